"""What is a fault: how each case has to end, and where what did not was."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from .limits import Outcome
from .operators import OUTSIDE

LONGEST_LINE = 1000  # characters of a message
REFUSED = 2  # exit status of a user's mistake
_FRAME = re.compile(r'File "[^"]*/((?:vista_sim|agents|scenarios)/[^"]+)", line (\d+),? in (\S+)')
_CAUSE = re.compile(
    r"^([A-Za-z_][\w.]*(?:Error|Exception|Warning|Exit|Interrupt|Interrupted))\b", re.M
)
_TRACES = (
    *("Traceback (most recent call last)", "Exception in thread", "Exception ignored in"),
    *("is a defect of the program", "error: in thread", "error: in a thread"),
)
_TOLD_PLACE = re.compile(r" at (\w+\.py):\d+")  # in a line that stands for a traceback
# Of what takes long, a line of progress now and then belongs to it: "bc: 1 of 2 steps, ...".
_SAYS = re.compile(r"(error|warning|WARNING|note|ERROR|vista-train): ?|[\w ]+: \d+ of \d+ \w+")
_HIDDEN = re.compile(r"(^|/)\.[^/]*(part|old|tmp|new|merged)[^/]*$")


@dataclass(frozen=True)
class Fault:
    """What went wrong, and where: faults with the same kind and place are taken as one."""

    kind: str
    where: str
    detail: str


@dataclass(frozen=True)
class Rules:
    """What a command may do.

    Args:
        statuses: of its exit, beside 0 and 2.
        kept: what may be there after it was refused that was not before (patterns).
        changed: what it may change although it was refused (patterns).
        remedy: what a refusal has to say.
    """

    statuses: tuple[int, ...] = ()
    kept: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    remedy: str = ""


def judge(
    outcome: Outcome,
    rules: Rules,
    refused: bool,
    before: dict[str, tuple[int, ...]],
    after: dict[str, tuple[int, ...]],
) -> list[Fault]:
    """The faults of a case; none where it ended as it should.

    Args:
        refused: whether what was given has to be refused.
        before, after: files of the case's folder (see `listing`).
    """
    faults = _ended(outcome, rules)
    if not faults:
        faults = _said(outcome, rules, refused)
    faults += [Fault("process left behind", line.split(" -")[0], line) for line in outcome.left[:1]]
    if outcome.over is None and outcome.signal is None:
        faults += _files(outcome.status == REFUSED, rules, before, after)
    return faults


def _ended(outcome: Outcome, rules: Rules) -> list[Fault]:
    place, cause = _place(outcome.stack or outcome.err)
    if outcome.over == "time":
        how = f"{outcome.seconds:.0f} s, {outcome.processor_seconds:.0f} s of the processor"
        return [Fault("hang", place, how)]
    if outcome.over == "memory":
        return [Fault("memory", place, f"{outcome.memory / 2**20:.0f} MiB")]
    if outcome.signal is not None:
        name = signal.Signals(outcome.signal).name
        return [Fault("signal", f"{name} {place}", _last(outcome.err))]
    if any(text in outcome.err for text in _TRACES) or outcome.status not in (
        0,
        2,
        *rules.statuses,
    ):
        return [Fault("traceback", f"{place} {cause}".strip(), _last(outcome.err))]
    return []


def _said(outcome: Outcome, rules: Rules, refused: bool) -> list[Fault]:
    lines = outcome.err.splitlines()
    errors = [line for line in lines if line.startswith(("error: ", "vista-train: "))]
    if outcome.status != REFUSED:
        if refused:
            return [Fault("accepted", "", f"status {outcome.status}")]
        return []
    if not errors:
        return [Fault("no word", "", _last(outcome.err))]
    stray = [line for line in lines if not _SAYS.match(line)]
    if stray:
        return [Fault("stray line", re.sub(r"[\d/]+", "#", stray[0])[:60], stray[0][:200])]
    longest = max(lines, key=len)
    if len(longest) > LONGEST_LINE:
        place = re.sub(r"[\d/]+", "#", longest[len(longest) - 60 :])
        return [Fault("long line", place, f"{len(longest)} characters: ...{longest[-100:]}")]
    if any(not c.isprintable() for c in outcome.err.replace("\n", "")):
        shown = ascii(errors[-1])
        return [Fault("control characters", re.sub(r"[\d/]+", "#", shown)[-60:], shown[:200])]
    if rules.remedy and not any(rules.remedy in line for line in errors):
        return [Fault("no remedy", re.sub(r"[\d/]+", "#", errors[0])[:80], errors[0][:200])]
    return []


def _files(
    refused: bool,
    rules: Rules,
    before: dict[str, tuple[int, ...]],
    after: dict[str, tuple[int, ...]],
) -> list[Fault]:
    new = sorted(set(after) - set(before))
    left = [p for p in new if _HIDDEN.search(p)]
    if refused:
        left += [p for p in new if not _matches(p, (*rules.kept, "*.partial*"))]
    left = [p for p in left if not _matches(p, rules.kept)]
    faults = (
        [Fault("file left behind", re.sub(r"[0-9a-f]{6,}|\d+", "#", left[0]), left[0])]
        if left
        else []
    )
    if refused:
        lost = [p for p in before if before[p] != after.get(p) and not _matches(p, rules.changed)]
        faults += (
            [Fault("input changed", lost[0], f"{before[lost[0]]} {after.get(lost[0])}")]
            if lost
            else []
        )
    return faults


def unread(folder: Path) -> None:
    """Let nothing in the folder `OUTSIDE` have been read: who reads it changes the first time."""
    for file in (folder / OUTSIDE).glob("*"):
        os.utime(file, (0, file.stat().st_mtime))


def read_outside(folder: Path) -> list[Fault]:
    """Whether something in the folder `OUTSIDE` was read, by its time of access."""
    files = sorted(file for file in (folder / OUTSIDE).glob("*") if file.is_file())
    read = [file.name for file in files if file.stat().st_atime > 0]
    return [Fault("read outside", read[0], f"{len(read)} of {len(files)} files")] if read else []


def listing(folder: Path) -> dict[str, tuple[int, ...]]:
    """Files of a folder with what tells that they were written: size, time, inode."""
    found: dict[str, tuple[int, ...]] = {}
    for root, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = os.path.join(root, name)
            about = os.lstat(path)
            sized = (about.st_size, about.st_mtime_ns) if name in files else ()
            found[os.path.relpath(path, folder)] = (*sized, about.st_ino)
    return found


def _matches(path: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(path, pattern) for pattern in patterns)


def _place(text: str) -> tuple[str, str]:
    """The innermost frame of the project in a traceback or a stack, and the exception's class."""
    if "most recent call first" in text:
        current = text[text.rfind("Current thread") if "Current thread" in text else 0 :]
        found = _FRAME.search(current) or _FRAME.search(text)
    else:
        block = text[text.rfind(_TRACES[0]) :]
        found = (list(_FRAME.finditer(block)) or list(_FRAME.finditer(text)) or [None])[-1]
    causes = _CAUSE.findall(text)
    told = _TOLD_PLACE.search(text)
    place = f"{found[1]}:{found[3]}" if found else told[1] if told else ""
    return place, causes[-1] if causes else ""


def _last(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "nothing was said"
