"""What of a policy decides how it drives, as far as that can be known."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from vista_sim.errors import PolicyError
from vista_sim.identity.files import digest_of_digests, files_below, files_digest
from vista_sim.identity.onnx_files import weight_files
from vista_sim.identity.sources import sources_digest
from vista_sim.policies.folder import installed_loaders, read_policy_json
from vista_sim.policies.kind import policy_kind
from vista_sim.policies.loading import load_policy
from vista_sim.policies.onnx.files import description_path
from vista_sim.policies.policy import Policy
from vista_sim.policies.version import declared_version

OWN_DISTRIBUTION = "vista-sim"
_DECLARE = "give the policy a text `version` that changes with all that decides how it drives"


@dataclass(frozen=True)
class PolicyIdentity:
    """What decides how a policy drives.

    Args:
        sha256: of its files; None where it has none.
        code: SHA-256 of the sources that read the files; None: those of the simulator do.
        version: that the policy declares; "" where it declares none.
        unknown: what else decides and cannot be seen from here, as in "what x.py reads"; "" where
            there is nothing.
        remedy: what would make it known.
    """

    sha256: str | None = None
    code: str | None = None
    version: str = ""
    unknown: str = ""
    remedy: str = ""

    def to_json(self) -> dict[str, Any]:
        """As run.json has it beside the policy's name; what is not known or needed is left out."""
        more = {"code": self.code, "version": self.version, "unknown": self.unknown}
        return {"sha256": self.sha256} | {name: value for name, value in more.items() if value}


def identify_policy(what: object, loaded: Policy | None = None) -> PolicyIdentity:
    """What decides how a policy drives.

    Args:
        what: what `load_policy` takes, or a policy.
        loaded: the policy that was made of it, for the version that it may declare.

    Raises:
        PolicyError: a file cannot be read, or the version is no short text.
    """
    if not isinstance(what, str | os.PathLike):
        version = declared_version(what)
        unknown = "" if version else f"what an object of {type(what).__name__} is made of"
        return PolicyIdentity(version=version, unknown=unknown, remedy=_DECLARE)
    kind, version = policy_kind(what), declared_version(loaded)
    if kind == "expert":
        return PolicyIdentity()
    if kind == "onnx":
        return PolicyIdentity(onnx_digest(Path(what)))
    if kind == "folder":
        return PolicyIdentity(*_of_folder(Path(what)))
    if kind == "socket":
        return PolicyIdentity(
            version=version,
            unknown="" if version else f"what is served at {what}",
            remedy="have its server declare a version: vista-sim serve-policy does so for folders "
            "and ONNX files, and takes --policy-version",
        )
    files = module_files(str(what).partition(":")[0])
    return PolicyIdentity(
        files_digest(files, PolicyError) if files else None,
        version=version,
        unknown="" if version else f"what {what} reads beside the files of its module",
        remedy=_DECLARE,
    )


def load_identified(what: str | os.PathLike[str]) -> tuple[Policy, PolicyIdentity]:
    """A policy, and what decides how it drives.

    Raises:
        PolicyError: it cannot be loaded, or its files change meanwhile.
    """
    before = identify_policy(what)
    policy = load_policy(what)
    now = identify_policy(what, policy)
    if (before.sha256, before.code) != (now.sha256, now.code):
        raise PolicyError(f"{what}: has changed while it was loaded; try again")
    return policy, now


def policy_hash(what: object) -> str | None:
    """SHA-256 of the files that decide how a policy drives, for a run's record.

    Returns:
        Of a folder: over policy.json and the files that it names (all, where another package than
        this one reads it). Of an ONNX file: over it, the JSON file, and the files that its tensors
        name. Of a factory: over its module's file, or all of the package that it is in. None for
        all others; `identify_policy` says what else is known of them.

    Raises:
        PolicyError: the files cannot be read.
    """
    return identify_policy(what).sha256 if isinstance(what, str | os.PathLike) else None


def onnx_digest(model: Path) -> str:
    """SHA-256 over a model, its description, and the files that its tensors name.

    Raises:
        PolicyError: one of them cannot be read.
    """
    files = [model, description_path(model), *weight_files(model, PolicyError)]
    return digest_of_digests(files, PolicyError)


def _of_folder(folder: Path) -> tuple[str, str | None]:
    """Hashes of a policy folder's files and of the package that reads them.

    Of a loader of this distribution: policy.json and the files that it names. What another one
    reads is not known: all files of the folder.
    """
    values = read_policy_json(folder)
    loader = installed_loaders().get(str(values.get("loader")))
    if loader is not None and _is_ours(loader):
        names = {"policy.json", *named_files(folder, values)}
        files = {name: folder / name for name in names}
    else:
        files = files_below(folder, PolicyError)
    code = None if loader is None else sources_digest(loader.module.partition(".")[0])
    return files_digest(files, PolicyError), code


def _is_ours(loader: EntryPoint) -> bool:
    name = loader.dist.name if loader.dist is not None else ""
    return re.sub(r"[-_.]+", "-", name).lower() == OWN_DISTRIBUTION


def named_files(folder: Path, values: Mapping[str, Any]) -> set[str]:
    """The files of a folder, or of one in it, that a JSON object names anywhere."""
    found: set[str] = set()
    pending: list[Any] = [values]
    while pending:
        value = pending.pop()
        if isinstance(value, Mapping):
            pending += value.values()
        elif isinstance(value, list):
            pending += value
        elif isinstance(value, str) and _is_file_in(folder, value):
            found.add(value)
    return found


def _is_file_in(folder: Path, name: str) -> bool:
    if not 0 < len(name) < 1000 or "\0" in name:
        return False
    path = Path(name)
    if path.is_absolute() or ".." in path.parts:
        return False
    try:
        return (folder / path).is_file()
    except OSError:  # such as a text that is too long for a name
        return False


def module_files(name: str) -> dict[str, Path]:
    """The files of a module: its own, or all of the package that it is in; none of what cannot be
    found without running it.
    """
    top, *rest = name.split(".")
    spec = _find(top)
    if spec is None:
        return {}
    folders = list(spec.submodule_search_locations or ())
    if not folders or spec.origin is not None:
        return _files_of(spec)
    # In a folder that is no package, the module or package that is named.
    for part in rest:
        spec = PathFinder.find_spec(part, folders)
        if spec is None:
            return {}
        if spec.origin is not None:
            return _files_of(spec)
        folders = list(spec.submodule_search_locations or ())
    return {}


def _find(top: str) -> ModuleSpec | None:
    here = PathFinder.find_spec(top, [os.getcwd()])  # where `make_policy` looks first
    if here is not None:
        return here
    try:
        return importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return None


def _files_of(spec: ModuleSpec) -> dict[str, Path]:
    if spec.submodule_search_locations is None:
        own = Path(spec.origin) if spec.has_location and spec.origin else None
        return {} if own is None else {own.name: own}
    return {
        f"{number}/{name}": path
        for number, folder in enumerate(spec.submodule_search_locations)
        for name, path in files_below(Path(folder), PolicyError).items()
    }
