"""The views of a run: its videos, and which frame of them is shown when."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import RunError
from vista_sim.files import require_file
from vista_sim.replay.viewer.drives import ShownRun, Slot
from vista_sim.replay.viewer.recording import Recording, shown
from vista_sim.replay.viewer.roads import Roads
from vista_sim.replay.viewer.scene import frustum_path, log_frustum
from vista_sim.runs.filming import CAMERA, RECORDED, SCENE, VIEWS, is_view
from vista_sim.runs.run import columns
from vista_sim.runs.videos import open_video

PICTURES = (SCENE, CAMERA, RECORDED)
MAX_BYTES = 400 * 2**20  # of videos, in all
STALE = 1.0  # s that a frame is shown without another one; then nothing is


@dataclass(frozen=True, eq=False)
class Shots:
    """Frames of one video: which is shown when. frames: numbers in the file."""

    file: str
    times: NDArray[np.float64]
    steps: NDArray[np.int64]
    frames: NDArray[np.int64]


def view_path(recording: Recording, run: ShownRun, view: str) -> str:
    """Entity path of a view of a run; overlays lie below the view they belong to."""
    return recording.path("views", f"run_{run.index}", view)


def shots_of(run: ShownRun, slots: list[Slot]) -> dict[str, list[Shots]]:
    """When frames are shown, by view and file."""
    table = columns(run.run.frames)
    starts = {d.episode: s for s in slots for d in s.drives if d.run == run.index}
    times = {
        (int(e), int(k)): float(t)
        for e, k, t in zip(run.steps["episode"], run.steps["step"], run.steps["t"], strict=True)
        if int(e) in starts
    }
    gathered: dict[tuple[str, str], list[tuple[float, int, int]]] = {}
    rows = (table[name] for name in ("episode", "step", "view", "file", "frame"))
    for episode, step, view, file, frame in zip(*rows, strict=True):
        slot, t = starts.get(int(episode)), times.get((int(episode), int(step)))
        if slot is None or t is None or not is_view(view):
            continue
        row = (slot.start + t, slot.first_step + int(step), int(frame))
        gathered.setdefault((view, file), []).append(row)
    found: dict[str, list[Shots]] = {}
    for (view, file), rows_of in gathered.items():
        rows_of.sort()
        columns_of = (np.array(column) for column in zip(*rows_of, strict=True))
        found.setdefault(view, []).append(Shots(file, *columns_of))
    return found


def log_views(
    recording: Recording,
    run: ShownRun,
    slots: list[Slot],
    shots: dict[str, list[Shots]],
    roads: Roads,
) -> dict[str, tuple[int, int]]:
    """Log the videos of a run and which frame of them is shown when.

    Returns:
        The views that show something, and their (height, width).
    """
    sizes: dict[str, tuple[int, int]] = {}
    taken = 0
    for view in [*PICTURES, *sorted(set(shots) - set(VIEWS))]:
        shown_shots = []
        for one in shots.get(view, ()):
            try:
                path = run.run.video(one.file)
                taken += require_file(path, RunError)
                if taken > MAX_BYTES:
                    raise RunError("the videos are too large to be shown all; choose episodes")
                size = size_of(path)
                _log_video(recording, run, view, one, path)
                sizes[view] = size
                shown_shots.append(one)
            except (RunError, OSError, ValueError, RuntimeError) as error:
                note_lost(recording, run, view, one.file, error)
        if view in sizes:
            _clear_stale(recording, run, view, slots, shown_shots)
    if slots:
        _log_sensor(recording, run, slots, sizes.get(SCENE), roads)
    return sizes


def note_lost(recording: Recording, run: ShownRun, view: str, file: str, error: Exception) -> None:
    """Remember that a video cannot be shown."""
    # What the system says, without its number.
    reason = str(getattr(error, "strerror", None) or error)
    name = shown(file)
    reason = shown(
        reason.replace(f"{run.run.folder}{os.sep}", "").replace(file, name), "unreadable", 200
    )
    recording.note(f"{run.label}: view {view!r} of {name} is left out ({reason})")


def size_of(path: Path) -> tuple[int, int]:
    """(height, width) of a video."""
    with open_video(path) as (_, stream):
        return stream.height, stream.width


def _log_video(recording: Recording, run: ShownRun, view: str, one: Shots, path: Path) -> None:
    rr = recording.rr
    video = rr.AssetVideo(contents=path.read_bytes(), media_type="video/mp4")
    stamps = np.asarray(video.read_frame_timestamps_nanos(), dtype=np.int64)
    there = one.frames < len(stamps)
    if not there.any():
        raise RunError("it ends before the first frame")
    if lost := int((~there).sum()):
        recording.note(f"{run.label}: {shown(one.file)} lacks {lost} of {len(there)} frames")
    place = recording.path("videos", f"run_{run.index}", one.file)
    recording.log(place, video)
    references = rr.VideoFrameReference.columns(
        timestamp=stamps[one.frames[there]], video_reference=[place] * int(there.sum())
    )
    targets = [view_path(recording, run, view)]
    if view == SCENE:
        targets.append(frustum_path(recording, run))
    for target in targets:
        recording.send(target, one.times[there], one.steps[there], references)


def _clear_stale(
    recording: Recording, run: ShownRun, view: str, slots: list[Slot], shots: list[Shots]
) -> None:
    """Show nothing where no frame was filmed: a frame of before would be taken for one of now."""
    times = np.sort(np.concatenate([one.times for one in shots]))
    rr = recording.rr
    targets = [view_path(recording, run, view)]
    if view == SCENE:
        targets.append(frustum_path(recording, run))
    for slot in slots:
        own = times[(times >= slot.start) & (times <= slot.start + slot.duration)]
        last = float(own[-1]) + STALE if len(own) else slot.start
        if last < slot.start + slot.duration:
            share = (last - slot.start) / max(slot.duration, 1e-9)
            moment = (last, slot.first_step + round(share * slot.steps))
            for target in targets:
                recording.log_at(moment, target, rr.Clear(recursive=False))


def _log_sensor(
    recording: Recording,
    run: ShownRun,
    slots: list[Slot],
    size: tuple[int, int] | None,
    roads: Roads,
) -> None:
    """Log the frustum of the recorded camera, of the first trace that is at hand."""
    for slot in slots:
        for drive in slot.drives:
            if drive.run != run.index:
                continue
            trace = roads.trace(run, drive.trace)
            if trace is None or not trace.cameras:
                continue
            calibration = next(iter(trace.cameras.values())).calibration
            lens = calibration.lens if size is None else calibration.lens.resized(size)
            log_frustum(recording, frustum_path(recording, run), lens, calibration.T_vehicle_camera)
            return
