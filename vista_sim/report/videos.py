"""The videos of a page: which are embedded, made smaller, linked, or left out."""

from __future__ import annotations

import os
import re
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vista_sim.errors import RunError
from vista_sim.evaluation.metrics.tables import largest, rows
from vista_sim.evaluation.metrics.tracking import cross_track_error
from vista_sim.report.columns import changes
from vista_sim.report.sheet import OUTCOMES, Sheet
from vista_sim.report.shrinking import Format, format_of, shrunk
from vista_sim.runs.filming import is_view

#: Views as the page orders them; the film only where there is no scene. What further cameras saw
#: ("camera.rear") comes beside the camera, by their names.
VIEWS = ("scene", "film", "recorded", "camera", "saliency", "validity")
EMBEDDED, SMALLER, LINKED = "embedded", "made smaller", "linked"
MISSING, BROKEN, LEFT_OUT = "missing", "cannot be played", "left out"
BASE64 = 4 / 3
OWN_NAME = re.compile(r"\d+-\d+\.mp4")
THREADS = 2
SAMPLES = 4  # videos made smaller to see by how much
UNKNOWN = Format(0.0, 0, 0)


@dataclass
class Clip:
    """A video of a run.

    Args:
        sheet: its run.
        view, file: what it shows, and its name in the run.
        path: where it should be.
        rank: of the episodes it shows, the gravest is first.
        frames: for each episode (number) the steps that it shows, and their frames.
        format: frames per second and size in px.
        size: bytes.
        state: see the constants above.
        data: what is embedded.
        href: what is linked.
    """

    sheet: Sheet
    view: str
    file: str
    path: Path
    rank: int
    frames: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    format: Format = UNKNOWN
    size: int = 0
    state: str = LEFT_OUT
    data: bytes = b""
    href: str = ""


def clips_of(sheet: Sheet) -> list[Clip]:
    """The videos of a run that a page can use, and which step each frame shows.

    Raises:
        RunError: a name leads out of the run's folder of views.
    """
    if not rows(sheet.frames):
        return []
    frames = sheet.frames
    views = np.array(frames["view"], dtype=str)
    order = np.lexsort((frames["step"], views, frames["episode"]))
    episode, view = frames["episode"][order], views[order]
    step, frame = frames["step"][order], frames["frame"][order]
    files = frames["file"][order]
    starts = np.flatnonzero(
        np.r_[True, (episode[1:] != episode[:-1]) | (view[1:] != view[:-1])]
    ).tolist()
    filmed = {(int(episode[at]), str(view[at])) for at in starts}
    ranks = _ranks(sheet)
    found: dict[str, Clip] = {}
    for low, high in zip(starts, [*starts[1:], len(step)], strict=True):
        number, name = int(episode[low]), str(view[low])
        unwanted = name == "film" and (number, "scene") in filmed
        if not is_view(name) or unwanted or number not in ranks:
            continue
        own = files[low:high]
        file = str(own[0])
        same = own == file
        clip = found.get(file)
        if clip is None:
            path = sheet.run.video(file)
            clip = found[file] = Clip(sheet, name, file, path, ranks[number])
        if clip.view == name:
            clip.rank = min(clip.rank, ranks[number])
            clip.frames[number] = (step[low:high][same], frame[low:high][same])
    for clip in found.values():
        _look_at(clip)
    return list(found.values())


def _place(view: str) -> tuple[int, str]:
    """Orders views."""
    return VIEWS.index(view.partition(".")[0]), view


def _ranks(sheet: Sheet) -> dict[int, int]:
    """For each episode its place among all, the gravest first."""
    gravity = []
    for row, outcome in enumerate(sheet.outcomes):
        off = largest(cross_track_error(sheet.steps_of(row)))
        grave = OUTCOMES.index(outcome)
        gravity.append((not sheet.by_policy[row], grave, -off if off == off else 0.0, row))
    numbers = sheet.episodes["episode"]
    return {int(numbers[item[-1]]): place for place, item in enumerate(sorted(gravity))}


def _look_at(clip: Clip) -> None:
    try:
        clip.size = clip.path.stat().st_size
    except OSError:
        clip.state = MISSING
        return
    try:
        clip.format = format_of(clip.path)
    except ValueError:
        clip.state = BROKEN


def embed(
    clips: Sequence[Clip], room: int, told: Callable[[float, float], None] | None = None
) -> None:
    """Embed as many videos as `room` bytes of a page take.

    Scenes go first, those of the gravest episodes before the others. What would not fit even if
    all were made smaller is left out; of the others the last are made smaller until all fit.
    """
    usable = [clip for clip in clips if clip.state == LEFT_OUT]
    usable.sort(key=lambda c: (c.view not in VIEWS[:2], c.rank, _place(c.view)))
    room = int(room / BASE64)
    with ThreadPoolExecutor(THREADS) as pool:
        made: dict[int, Future[bytes]] = {}
        kept = _fitting(usable, room, pool, made)
        before = total = sum(clip.size for clip in kept)
        for clip, future in _ahead(kept[::-1], pool, made):
            if total <= room:
                break
            if told is not None:
                told(before - total, before - room)
            try:
                data = future.result()
            except ValueError:
                clip.state = BROKEN
                total -= clip.size
                continue
            if len(data) < clip.size:
                clip.data, clip.state = data, SMALLER
                total += len(data) - clip.size
    for clip in kept[::-1]:
        if total > room:  # they became less small than was thought
            total -= len(clip.data) or clip.size
            clip.data, clip.state = b"", LEFT_OUT
        elif clip.state == LEFT_OUT:
            clip.data, clip.state = clip.path.read_bytes(), EMBEDDED


def _fitting(
    clips: Sequence[Clip], room: int, pool: ThreadPoolExecutor, made: dict[int, Future[bytes]]
) -> list[Clip]:
    """The first clips, as many as fit if all of them are made smaller.

    By how much that makes them smaller is seen from some of them, of which `made` gets the
    videos (by id of the clip).
    """
    if sum(clip.size for clip in clips) <= room:
        return list(clips)
    sampled = clips[:: -(-len(clips) // SAMPLES)]
    made.update((id(clip), pool.submit(shrunk, clip.path, clip.format.rate)) for clip in sampled)
    sound = [clip for clip in sampled if not made[id(clip)].exception()]
    after = sum(len(made[id(clip)].result()) for clip in sound)
    share = min(1.0, after / max(1, sum(clip.size for clip in sound))) if sound else 1.0
    ends = share * np.cumsum([clip.size for clip in clips])
    return list(clips[: int(np.searchsorted(ends, room, "right"))])


def _ahead(
    clips: Sequence[Clip], pool: ThreadPoolExecutor, made: dict[int, Future[bytes]]
) -> Iterator[tuple[Clip, Future[bytes]]]:
    """Make videos smaller in their order, some at the same time; `made` are so already."""
    waiting: deque[tuple[Clip, Future[bytes]]] = deque()
    try:
        for clip in clips:
            future = made.get(id(clip)) or pool.submit(shrunk, clip.path, clip.format.rate)
            waiting.append((clip, future))
            if len(waiting) > THREADS:
                yield waiting.popleft()
        yield from waiting
    finally:
        for _, future in waiting:
            future.cancel()


def link(clips: Sequence[Clip], folder: Path, name: str) -> None:
    """Copy all videos into a new folder.

    Args:
        clips: of all runs.
        folder: to copy into.
        name: of the folder as the page will find it beside itself.

    Raises:
        RunError: a video cannot be copied.
    """
    for number, clip in enumerate(clips):
        if clip.state != LEFT_OUT:
            continue
        own = f"{clip.sheet.index}-{number}.mp4"
        try:
            shutil.copyfile(clip.path, folder / own)
        except OSError as error:
            raise RunError(f"{clip.path}: cannot be copied ({error.strerror})") from error
        clip.state, clip.href = LINKED, f"{name}/{own}"


def is_own_folder(folder: Path) -> bool:
    """Whether a folder holds nothing but what `link` puts into one."""
    return folder.is_dir() and all(OWN_NAME.fullmatch(name) for name in os.listdir(folder))


def frame_data(clips: Sequence[Clip], sheet: Sheet) -> dict[str, dict[str, Any]]:
    """For each episode and view of a run its clip, and the steps and frames as changes."""
    found: dict[str, dict[str, Any]] = {}
    for number, clip in enumerate(clips):
        if clip.sheet is not sheet:
            continue
        for episode, (steps, frames) in clip.frames.items():
            found.setdefault(str(episode), {})[clip.view] = [
                number,
                changes(steps.astype(np.float64), 1.0),
                changes(frames.astype(np.float64), 1.0),
            ]
    return found


def notes(clips: Sequence[Clip]) -> list[str]:
    """What a reader has to know of the videos, a line each."""
    lines = []
    for state, words in (
        (SMALLER, "made smaller so that the page stays small"),
        (LEFT_OUT, "left out so that the page stays small; --videos link keeps all of them"),
        (MISSING, "missing from the run's folder"),
        (BROKEN, "cannot be played"),
    ):
        count = sum(clip.state == state for clip in clips)
        if count:
            lines.append(f"{count} of {len(clips)} videos: {words}")
    return lines
