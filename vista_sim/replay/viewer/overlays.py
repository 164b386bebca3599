"""What is laid over the views: where no recorded frame saw, and what the policy looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.console import ReportProgress
from vista_sim.errors import RunError
from vista_sim.replay.viewer.drives import ShownRun
from vista_sim.replay.viewer.recording import Recording
from vista_sim.replay.viewer.views import Shots, note_lost, view_path
from vista_sim.runs.filming import CAMERA, SALIENCY, SCENE, VALIDITY
from vista_sim.runs.videos import open_video

Image = NDArray[np.uint8]

OVERLAYS = (VALIDITY, SALIENCY)
WIDTH = 160  # px at most
MOST = 2000  # pictures of an overlay of a run
UNSEEN = (255, 40, 40, 150)  # RGBA
OPACITY = 0.98  # Rerun lets what is below shine through where this is below 1


def overlays_of(shots: dict[str, list[Shots]], sizes: dict[str, tuple[int, int]]) -> dict[str, str]:
    """The view that each overlay lies over, by overlay.

    Args:
        shots: of `views.shots_of`.
        sizes: of the views that are shown.
    """
    base = CAMERA if CAMERA in sizes else SCENE
    return {view: base for view in OVERLAYS if shots.get(view) and base in sizes}


def log_overlays(
    recording: Recording,
    run: ShownRun,
    shots: dict[str, list[Shots]],
    sizes: dict[str, tuple[int, int]],
    report: ReportProgress,
) -> None:
    """Log the overlays of a run; `report` is told how far it is. See `overlays_of`."""
    painters: dict[str, Callable[[Image], Image]] = {VALIDITY: unseen, SALIENCY: looked_at}
    bases = overlays_of(shots, sizes)
    total = sum(min(MOST, sum(len(s.frames) for s in shots[view])) for view in bases)
    done = 0
    for view, base in bases.items():
        every = max(1, -(-sum(len(s.frames) for s in shots[view]) // MOST))
        for one in shots[view]:
            try:
                path = run.run.video(one.file)
                done += _log_overlay(
                    recording, run, (base, view), one, every, path, sizes[base], painters[view]
                )
            except (RunError, OSError, ValueError) as error:
                note_lost(recording, run, view, one.file, error)
            report(min(done, total), total)
        if every > 1:
            recording.note(f"{run.label}: one of {every} pictures of {view!r} is shown")


def unseen(levels: Image) -> Image:
    """RGBA (h, w, 4) that tints what no recorded frame saw; levels (h, w) are 255 where one did."""
    picture = np.zeros((*levels.shape, 4), np.uint8)
    picture[levels < 128] = UNSEEN
    return picture


def looked_at(levels: Image) -> Image:
    """RGBA (h, w, 4) that glows where the policy looked; levels (h, w) from 0 to 255."""
    picture = np.empty((*levels.shape, 4), np.uint8)
    picture[..., :3] = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1]
    picture[..., 3] = np.minimum(1.2 * levels.astype(np.float32), 210.0).astype(np.uint8)
    return picture


def _log_overlay(
    recording: Recording,
    run: ShownRun,
    views: tuple[str, str],
    one: Shots,
    every: int,
    path: Path,
    size: tuple[int, int],
    paint: Callable[[Image], Image],
) -> int:
    """Log the frames of one video, every so many; returns how many."""
    rr = recording.rr
    base, view = views
    wanted = {int(f): i for i, f in enumerate(one.frames) if i % every == 0}
    blobs: list[bytes] = []
    places: list[int] = []
    shape: tuple[int, int] | None = None
    for frame, levels in _decoded(path, wanted):
        shape = levels.shape[0], levels.shape[1]
        blobs.append(_png(paint(levels)))
        places.append(wanted[frame])
    if shape is None:
        raise RunError("it ends before the first frame")
    target = f"{view_path(recording, run, base)}/{view}"
    scale = (size[1] / shape[1], size[0] / shape[0], 1.0)
    recording.log(target, rr.Transform3D(scale=scale))
    count = len(blobs)
    recording.send(
        target,
        one.times[places],
        one.steps[places],
        rr.EncodedImage.columns(
            blob=blobs,
            media_type=["image/png"] * count,
            opacity=[OPACITY] * count,
            draw_order=[10.0] * count,
        ),
    )
    return count


def _decoded(path: Path, wanted: dict[int, int]) -> Iterator[tuple[int, Image]]:
    """Number and gray levels (h, w), at most WIDTH wide, of the wanted frames of a video."""
    with open_video(path) as (container, _):
        last = max(wanted)
        for number, frame in enumerate(container.decode(video=0)):
            if number in wanted:
                levels = frame.to_ndarray(format="gray")
                if (width := levels.shape[1]) > WIDTH:
                    height = max(1, round(levels.shape[0] * WIDTH / width))
                    levels = cv2.resize(levels, (WIDTH, height), interpolation=cv2.INTER_AREA)
                yield number, np.asarray(levels, dtype=np.uint8)
            if number >= last:
                return


def _png(picture: Image) -> bytes:
    encoded, data = cv2.imencode(
        ".png", picture[..., [2, 1, 0, 3]], [cv2.IMWRITE_PNG_COMPRESSION, 1]
    )
    if not encoded:
        raise RunError("a picture cannot be encoded")
    return data.tobytes()
