"""What decided a run, as its run.json says, and in what two runs differ.

Runs of earlier versions say less: what they do not say is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def mapping(info: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A field of run.json that holds fields; empty where it does not."""
    value = info.get(name)
    return value if isinstance(value, Mapping) else {}


def traces_of(info: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What run.json says of each trace."""
    value = info.get("traces")
    found = value if isinstance(value, list) else []
    return [trace if isinstance(trace, Mapping) else {} for trace in found]


def is_known(info: Mapping[str, Any]) -> bool:
    """Whether run.json says by which recordings and by which code the run came about."""
    traces = traces_of(info)
    told = all(isinstance(trace.get("recording"), str) for trace in traces)
    return bool(traces) and told and isinstance(mapping(info, "sources").get("simulator"), str)


def policy_of(info: Mapping[str, Any]) -> str:
    """A run's policy in a line: its name, and by what it is known."""
    policy = mapping(info, "policy")
    parts = [str(policy.get("name") or "not named")]
    if isinstance(policy.get("sha256"), str):
        parts.append(f"SHA-256 {policy['sha256'][:12]}")
    if policy.get("version"):
        parts.append(f"version {policy['version']}")
    if policy.get("unknown"):
        parts.append(f"not known: {policy['unknown']}")
    return ", ".join(parts)


def versions_of(info: Mapping[str, Any]) -> str:
    """The code of a run in a line."""
    version = mapping(info, "versions").get("vista-sim")
    sources = mapping(info, "sources")
    named = [f"vista-sim {version if version is not None else 'of unknown version'}"]
    named += [
        f"{name} {digest[:12]}" for name, digest in sources.items() if isinstance(digest, str)
    ]
    return ", ".join(named) if sources else f"{named[0]}, sources not known"


def code_of(info: Mapping[str, Any]) -> dict[str, Any]:
    """Versions and sources by what they are called."""
    found = {f"the version of {name}": v for name, v in mapping(info, "versions").items()}
    for name, digest in mapping(info, "sources").items():
        found[f"the hash of the {name}'s sources"] = digest
    return found


def changed_traces(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """The recordings and geometries that are not what they were, as the subject and verb of a
    sentence; of the traces that two runs name alike.
    """
    for old, new in _pairs(traces_of(before), traces_of(now)):
        where = new.get("path") or new.get("name")
        if old.get("recording") != new.get("recording"):
            yield f"the recording {where} has changed"
        elif old.get("geometry") != new.get("geometry"):
            what = "has been baked anew" if new.get("geometry") else "is gone"
            what = what if old.get("geometry") else "was made only afterwards"
            yield f"the baked geometry of {where} {what}"


def _pairs(
    before: list[Mapping[str, Any]], now: list[Mapping[str, Any]]
) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Traces of the same name; of several of one name the first with the first, and so on."""
    waiting: dict[str, list[Mapping[str, Any]]] = {}
    for trace in before:
        waiting.setdefault(str(trace.get("name")), []).append(trace)
    for trace in now:
        found = waiting.get(str(trace.get("name")))
        if found:
            yield found.pop(0), trace


def doubts(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Why two runs may not have been driven on the same, a line each; none where it is known
    that their recordings, geometry and code were the same.
    """
    found = [
        f"{label} was written before runs said which recordings and code decide them, so that "
        "it is not known whether both were driven on the same"
        for label, info in (("a", a), ("b", b))
        if not is_known(info)
    ]
    if not found:
        found += [f"{line} from a to b" for line in changed_traces(a, b)]
    return found
