"""Keyframes in chunks that overlap, each reconstructed by a process of its own, then joined.

So time and memory grow with the length of a drive and no faster, all cores have work, and what is
done need not be done again. A chain of chunks that breaks is two pieces: between them the camera
was lost.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim import children
from vista_sim.atomic import whole_file
from vista_sim.errors import TraceError
from vista_sim.files import one_line
from vista_sim.traces.calibration import Lens
from vista_sim.traces.importers.visual.store import TrackStore
from vista_sim.transforms import inverse

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
Report = Callable[[int, int], None]

CHUNK, OVERLAP, MOVED = 70, 20, 10  # keyframes; and by how many a chunk may begin elsewhere
MIN_SHARED = (3, 30)  # keyframes and points that two pieces must share to be joined
SPREAD = 0.25  # share by which half of the depths of two pieces may differ where they overlap
MIN_KEYFRAMES = 4  # of a piece
FIRST_FOCAL = 0.85  # of the width, where the search for a focal length begins
CALIBRATED, MIN_CALIBRATING = 3, 10  # chunks by which a lens is found; keyframes of each
MAX_CHILDREN = 8
_POLL = 0.05  # s


@dataclass(frozen=True, eq=False)
class Piece:
    """Keyframes that were reconstructed together, in units of their own.

    Args:
        frames: (n,) of the video, increasing.
        T_piece_camera: (n, 4, 4).
        ids, xyz: (m,) increasing and (m, 3) of the points.
    """

    frames: Numbers
    T_piece_camera: Floats
    ids: Numbers
    xyz: Floats

    def places(self, ids: Numbers) -> tuple[NDArray[np.intp], Floats]:
        """Which of some points it knows (rows), and where they are."""
        if not len(self.ids):
            return np.zeros(0, np.intp), np.zeros((0, 3))
        at = np.clip(np.searchsorted(self.ids, ids), 0, len(self.ids) - 1)
        rows = np.flatnonzero(self.ids[at] == ids)
        return rows, self.xyz[at[rows]]


def chunks_of(turning: Floats) -> list[tuple[int, int]]:
    """First and end of each chunk of keyframes; they meet where the camera turns least.

    Args:
        turning: (n,) how much it turns from the keyframe before to each; see `turning`.
    """
    count = len(turning)
    if count <= CHUNK + OVERLAP:
        return [(0, count)]
    number = -(-(count - OVERLAP) // (CHUNK - OVERLAP))
    edges = np.linspace(0, count - OVERLAP, number + 1).round().astype(int)
    total = np.concatenate([[0.0], np.cumsum(turning)])
    moved = [0]
    for edge in edges[1:-1]:
        near = np.arange(edge - MOVED, edge + MOVED + 1)
        moved.append(int(near[np.argmin(total[near + OVERLAP] - total[near])]))
    starts = [*moved, count - OVERLAP]
    return [(a, b + OVERLAP) for a, b in pairwise(starts)]


def turning(store: TrackStore) -> Floats:
    """How far the picture moves to the side up to each keyframe from the one before, px, by median
    of what both see; (n,), the first 0.
    """
    moved = [0.0]
    for before, after in pairwise(store.keyframes):
        first, second = store[before], store[after]
        here, there = first.common(second)
        aside = second.xy[there, 0] - first.xy[here, 0]
        moved.append(abs(float(np.median(aside))) if len(aside) else 0.0)
    return np.array(moved)


def reconstruct(
    store: TrackStore,
    lens: Lens,
    chunks: Sequence[tuple[int, int]],
    folder: Path,
    report: Report | None = None,
) -> list[Piece]:
    """Pieces of chunks of the keyframes seen through a known lens, in order of their frames.

    Raises TraceError.
    """
    focal = 0.5 * (lens.fx + lens.fy)
    camera = ("PINHOLE", [focal, focal, lens.cx + 0.5, lens.cy + 0.5])
    made = _run(_Job(store, folder, "chunk", camera, lens.size, lens), chunks, report)
    pieces: list[Piece] = []
    for (first, end), path in zip(chunks, made, strict=True):
        keyframes = np.array(store.keyframes[first:end])
        taken: set[int] = set()
        for model in sorted(_models(path), key=lambda model: -len(model["number"])):
            frames = keyframes[model["number"]]
            shared = sum(int(frame) in taken for frame in frames)
            if len(frames) < MIN_KEYFRAMES or 3 * shared > len(frames):
                continue
            taken |= set(frames.tolist())
            poses = inverse(_square(model["pose"]))
            pieces.append(Piece(frames, poses, model["id"], model["xyz"]))
    return sorted(pieces, key=lambda piece: int(piece.frames[0]))


def calibrate(
    store: TrackStore, size: tuple[int, int], folder: Path, report: Report | None = None
) -> tuple[Lens, float]:
    """The lens of a video, by the chunks that turn most, and the spread (share) of its focal
    length between them; NaN where there is one.

    Its middle is taken as that of the picture; distortion is the first radial coefficient.

    Raises TraceError: none could be reconstructed.
    """
    height, width = size
    turned = turning(store)
    chunks = sorted(chunks_of(turned), key=lambda chunk: -turned[chunk[0] : chunk[1]].sum())
    camera = ("SIMPLE_RADIAL", [FIRST_FOCAL * width, width / 2, height / 2, 0.0])
    chunks = chunks[:CALIBRATED]
    made = _run(_Job(store, folder, "lens", camera, size, None), chunks, report)
    told = []
    for (first, _), path in zip(chunks, made, strict=True):
        for model in _models(path):
            numbers = first + model["number"]
            if len(numbers) >= MIN_CALIBRATING:
                told.append((float(turned[numbers].sum()), model["params"]))
    told.sort(key=lambda of: -of[0])
    found = [(float(params[0]), float(params[3])) for _, params in told[:CALIBRATED]]
    found = [(f, k) for f, k in found if 0.2 < f / width < 5.0 and abs(k) < 1.0]
    if not found:
        raise TraceError("the focal length could not be found; give camera_matrix or fov")
    # What turns most comes first, and tells most: of two it is taken.
    focal = (
        float(np.sort([f for f, _ in found])[len(found) // 2]) if len(found) > 2 else found[0][0]
    )
    k1 = next(k for f, k in found if f == focal)
    spread = float(np.ptp([f for f, _ in found]) / focal) if len(found) > 1 else np.nan
    middle = ((width - 1) / 2, (height - 1) / 2)
    return Lens("pinhole", focal, focal, *middle, size, (k1, 0.0, 0.0, 0.0, 0.0)), spread


def _square(pose: Floats) -> Floats:
    full = np.tile(np.eye(4), (len(pose), 1, 1))
    full[:, :3] = pose
    return full


def ideal(lens: Lens, xy: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Where pixels would be without distortion, of equal focal lengths, px; and which are ahead."""
    rays = lens.unproject(xy)
    ahead = rays[:, 2] > 0.1
    focal = 0.5 * (lens.fx + lens.fy)
    flat = rays[:, :2] / np.where(ahead, rays[:, 2], 1.0)[:, None]
    return focal * flat + (lens.cx, lens.cy), ahead


@dataclass(frozen=True, eq=False)
class _Job:
    """What is the same for all chunks.

    camera: model and parameters of COLMAP. lens: by which pixels are made ideal ones first; None:
    the camera is to be found.
    """

    store: TrackStore
    folder: Path
    name: str
    camera: tuple[str, list[float]]
    size: tuple[int, int]
    lens: Lens | None


def _run(job: _Job, chunks: Sequence[tuple[int, int]], report: Report | None) -> list[Path]:
    """Have chunks reconstructed, as many at once as there are cores; what is there is kept."""
    made = [job.folder / f"{job.name}-{first:06d}-{end:06d}.npz" for first, end in chunks]
    waiting = [i for i, path in enumerate(made) if not path.is_file()]
    total, done = len(chunks), len(chunks) - len(waiting)
    running: dict[int, Popen[bytes]] = {}
    at_once = min(len(os.sched_getaffinity(0)), MAX_CHILDREN)
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                i = waiting.pop(0)
                source = job.folder / f"{made[i].stem}.in.npz"
                _write_input(job, chunks[i], source)
                running[i] = _start(source, made[i].with_suffix(".part"))
            for i, child in list(running.items()):
                if child.poll() is None:
                    continue
                del running[i]
                _finish(child, made[i])
                done += 1
                if report is not None:
                    report(done, total)
            time.sleep(_POLL)
    finally:
        for child in running.values():
            children.end(child)
    return made


def _start(source: Path, part: Path) -> Popen[bytes]:
    program = "vista_sim.traces.importers.visual.mapper"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return children.start(
        [sys.executable, "-m", program, str(source), str(part)],
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=PIPE,
        env=environment,
    )


def _finish(child: Popen[bytes], made: Path) -> None:
    errors = child.stderr.read() if child.stderr else b""
    if child.stderr:
        child.stderr.close()
    part = made.with_suffix(".part")
    if child.returncode or not part.is_file():
        last = errors.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        raise TraceError(
            f"the pictures could not be reconstructed (pycolmap ended with {child.returncode}: "
            f"{one_line(last[0])})"
        )
    os.replace(part, made)
    (made.parent / f"{made.stem}.in.npz").unlink(missing_ok=True)


def _write_input(job: _Job, chunk: tuple[int, int], path: Path) -> None:
    ids, places = [], []
    for frame in job.store.keyframes[chunk[0] : chunk[1]]:
        seen = job.store[frame]
        number, xy = seen.ids, seen.xy.astype(np.float64)
        if job.lens is not None:
            xy, ahead = ideal(job.lens, xy)
            number, xy = number[ahead], xy[ahead]
        ids.append(number)
        places.append(xy)
    with whole_file(path) as part, part.open("wb") as file:
        np.savez(
            file,
            size=np.array(job.size),
            model=np.array(job.camera[0]),
            params=np.array(job.camera[1]),
            refine=np.array(job.lens is None),
            counts=np.array([len(number) for number in ids]),
            ids=np.concatenate(ids),
            xy=np.concatenate(places),
        )


def _models(path: Path) -> list[dict[str, Any]]:
    with np.load(path, allow_pickle=False) as data:
        names = ("number", "pose", "id", "xyz", "params")
        return [{name: data[f"{name}_{i}"] for name in names} for i in range(int(data["count"]))]


def joined(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Chains of pieces, each brought into the frame and unit of the first of its chain."""
    chains: list[list[Piece]] = []
    for piece in pieces:
        moved = _brought(chains[-1][-1], piece) if chains else None
        if moved is None:
            chains.append([piece])
        else:
            chains[-1].append(moved)
    return chains


def bridges(chains: Sequence[Sequence[Piece]], store: TrackStore) -> list[tuple[int, int]]:
    """Chunks across the places where chains of pieces do not meet."""
    keyframes = np.array(store.keyframes)
    found = []
    for before, after in pairwise(chains):
        end = int(np.searchsorted(keyframes, before[-1].frames[-1]))
        start = int(np.searchsorted(keyframes, after[0].frames[0]))
        middle = (start + end) // 2
        found.append((max(0, middle - CHUNK // 2), min(len(keyframes), middle + CHUNK // 2)))
    return found


def _brought(before: Piece, piece: Piece) -> Piece | None:
    """A piece in the frame and unit of another that it overlaps; None: they do not fit."""
    _, here, there = np.intersect1d(
        before.frames, piece.frames, assume_unique=True, return_indices=True
    )
    here, there = here[-OVERLAP:], there[-OVERLAP:]
    rows, known = before.places(piece.ids)
    if len(here) < MIN_SHARED[0] or len(rows) < MIN_SHARED[1]:
        return None
    middle = len(here) // 2
    ratios = []
    for i in range(max(0, middle - 2), min(len(here), middle + 3)):
        ours, theirs = before.T_piece_camera[here[i]], piece.T_piece_camera[there[i]]
        depth = (known - ours[:3, 3]) @ ours[:3, 2]
        other = (piece.xyz[rows] - theirs[:3, 3]) @ theirs[:3, 2]
        ahead = (depth > 0) & (other > 0)
        ratios.append(depth[ahead] / other[ahead])
    ratio = np.concatenate(ratios)
    if len(ratio) < MIN_SHARED[1]:
        return None
    low, unit, high = np.quantile(ratio, [0.25, 0.5, 0.75])
    if high - low > SPREAD * unit:
        return None
    ours, theirs = before.T_piece_camera[here[middle]], piece.T_piece_camera[there[middle]]
    turn = ours[:3, :3] @ theirs[:3, :3].T
    shift = ours[:3, 3] - unit * turn @ theirs[:3, 3]
    poses = piece.T_piece_camera.copy()
    poses[:, :3, :3] = turn @ poses[:, :3, :3]
    poses[:, :3, 3] = unit * poses[:, :3, 3] @ turn.T + shift
    return Piece(piece.frames, poses, piece.ids, unit * piece.xyz @ turn.T + shift)
