"""The drive of a camera in metres, from its pictures: tracks, keyframes, the rest, the road."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import TraceError
from vista_sim.traces.calibration import Lens
from vista_sim.traces.importers.visual.ground import level_and_ahead
from vista_sim.traces.importers.visual.odometer import metres
from vista_sim.traces.importers.visual.reconstruction import (
    Piece,
    bridges,
    calibrate,
    chunks_of,
    joined,
    reconstruct,
    turning,
)
from vista_sim.traces.importers.visual.resection import path_of
from vista_sim.traces.importers.visual.scale import Pictures, camera_heights
from vista_sim.traces.importers.visual.store import TrackStore
from vista_sim.traces.importers.visual.tracking import Tracker

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
Step = Callable[[str, int, int], None]

MIN_KEYFRAMES = 6


@dataclass(frozen=True, eq=False)
class Stretch:
    """Frames over which the camera was not lost.

    Args:
        frames: (n,) of the video, increasing.
        T_stretch_camera: (n, 4, 4), m.
        up, ahead: (3,) unit, in the camera frame: of the road, and where the car goes.
        road: share of the keyframes at which the road was seen; NaN where metres are not by it.
    """

    frames: Numbers
    T_stretch_camera: Floats
    up: Floats
    ahead: Floats
    road: float


@dataclass(frozen=True, eq=False)
class CameraMotion:
    """What the pictures tell.

    Args:
        lens: that was given, or found.
        spread: share by which parts of the drive differ on the focal length that was found; NaN.
        stretches: in order; between them the camera was lost.
    """

    lens: Lens
    spread: float
    stretches: list[Stretch]


def follow(pictures: Pictures, count: int, folder: Path, step: Step) -> TrackStore:
    """Follow points through all frames of a video; goes on from what is in the folder."""
    store = TrackStore(folder)
    done = store.count
    tracker = Tracker()
    coming: Iterator[NDArray[np.uint8]]
    if done:
        coming = pictures(range(done - 1, count))
        key = store[store.keyframes[-1]]
        tracker = Tracker(store[done - 1], key, next(coming), store.next_id)
    else:
        coming = pictures(range(count))
    if done < count:
        for number, picture in enumerate(coming, done + 1):
            store.add(tracker.step(picture), tracker.next_id)
            step("following points", number, count)
        store.flush(tracker.next_id)
    return store


def drive_of(
    pictures: Pictures,
    count: int,
    size: tuple[int, int],
    folder: Path,
    *,
    height: float,
    lens: Lens | None = None,
    way: Floats | None = None,
    step: Step = lambda *_: None,
) -> CameraMotion:
    """The drive of a camera, from its pictures alone.

    Args:
        pictures: gives gray pictures (h, w) of frames (increasing).
        count: of the frames.
        size: (height, width) of them.
        folder: work folder, in which an interrupted call of the same arguments is gone on with.
        height: of the camera above the road, m: the measure of the drive.
        lens: None: it is found.
        way: (count,) m of a log at each frame, NaN where it does not tell: the measure of the drive
            in place of the height.
        step: told (what is done, how much of it, all).

    Raises:
        TraceError: the camera does not move, or no road is seen.
    """
    store = follow(pictures, count, folder, step)
    if len(store.keyframes) < MIN_KEYFRAMES:
        raise TraceError(
            f"the pictures hardly change ({len(store.keyframes)} of {count} differ): the camera "
            "stands still, or sees nothing that can be followed"
        )
    spread = float("nan")
    if lens is None:
        lens, spread = calibrate(
            store, size, folder, lambda done, all: step("finding the lens", done, all)
        )
    stretches = []
    problem: TraceError | None = None
    for chain in _chains(store, lens, folder, step):
        path = path_of(chain, store, lens)
        poses = path.T_chain_camera
        if len(path.keyframes) < MIN_KEYFRAMES:
            continue
        try:
            heights = camera_heights(
                poses,
                path.frames,
                pictures,
                lens,
                height,
                lambda done, all: step("looking at the road", done, all),
            )
        except TraceError as error:
            if way is None:
                problem = error
                continue
            up, ahead = level_and_ahead(poses)
            scale, road = metres(poses, way[path.frames]), np.nan
        else:
            up, ahead, road = heights.up, heights.ahead, heights.share
            scale = height / heights.height
            if way is not None:
                scale, road = metres(poses, way[path.frames]), np.nan
        metric = poses.copy()
        metric[:, :3, 3] = scaled(poses[:, :3, 3], scale)
        stretches.append(Stretch(path.frames, metric, up, ahead, road))
    if not stretches:
        raise problem or TraceError("the pictures could not be reconstructed; the way is not known")
    return CameraMotion(lens, spread, stretches)


def _chains(store: TrackStore, lens: Lens, folder: Path, step: Step) -> list[list[Piece]]:
    """Chains of pieces that were reconstructed; where they break, it is tried across the break."""

    def report(done: int, total: int) -> None:
        step("reconstructing", done, total)

    pieces = reconstruct(store, lens, chunks_of(turning(store)), folder, report)
    chains = joined(pieces)
    if len(chains) > 1:
        across = reconstruct(store, lens, bridges(chains, store), folder, report)
        again = joined(sorted([*pieces, *across], key=lambda piece: int(piece.frames[0])))
        if len(again) < len(chains):
            return again
    return chains


def scaled(place: Floats, scale: Floats) -> Floats:
    """Places (n, 3) whose steps are scaled, each by the mean of the scales (n,) at its ends."""
    steps = np.diff(place, axis=0) * (0.5 * (scale[1:] + scale[:-1]))[:, None]
    return np.concatenate([np.zeros((1, 3)), np.cumsum(steps, axis=0)])
