"""Poses of the pictures between keyframes: from points whose places are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from vista_sim.traces.calibration import Lens
from vista_sim.traces.importers.visual.reconstruction import Piece, ideal
from vista_sim.traces.importers.visual.store import TrackStore

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]

_STEPS = 12
_MISS = 1.0  # px of 1000 px of width: errors beyond count less (Cauchy)
_INLIER = 3.0  # px of 1000
MIN_POINTS, MIN_SHARE = 15, 0.35  # of points that fit, and of those that are seen


@dataclass(frozen=True, eq=False)
class Path:
    """Poses of one chain of pieces: frames (n,), T_chain_camera (n, 4, 4), and keyframes among
    them, by the piece that knows the points each sees.
    """

    frames: Numbers
    T_chain_camera: Floats
    keyframes: Numbers
    pieces: list[Piece]  # of each keyframe


def path_of(
    chain: list[Piece],
    store: TrackStore,
    lens: Lens,
    report: Callable[[], None] | None = None,
) -> Path:
    """Poses of all frames from the first to the last keyframe of a chain that can be had."""
    owners = _owners(chain)
    keyframes = sorted(owners)
    frames: list[int] = []
    poses: list[Floats] = []
    resection = _Resection(store, lens)
    for a, b in zip(keyframes, [*keyframes[1:], None], strict=True):
        piece, mapped = owners[a]
        # The last keyframe of a piece is held from one side alone, and COLMAP may leave it far
        # from where its points say; the others stay where they are.
        found = resection.find(piece, a, mapped)
        pose = mapped if found is None else found
        frames.append(a)
        poses.append(pose)
        guess: Callable[[int], Floats] | None = None
        if b is not None:
            guess = _interpolation(a, b, pose, _pose_in(piece, b, owners))
        for i in range(a + 1, _next_keyframe(store, a) if b is None else b):
            found = resection.find(piece, i, poses[-1] if guess is None else guess(i))
            if found is not None:
                frames.append(i)
                poses.append(found)
            if report is not None:
                report()
    return Path(
        np.array(frames, np.int64),
        np.array(poses),
        np.array(keyframes, np.int64),
        [owners[k][0] for k in keyframes],
    )


def _next_keyframe(store: TrackStore, frame: int) -> int:
    return next((k for k in store.keyframes if k > frame), store.count)


def _owners(chain: list[Piece]) -> dict[int, tuple[Piece, Floats]]:
    """Of each keyframe the piece and the pose: up to the middle of an overlap those of the first
    of two pieces, then those of the second; there they agree.
    """
    owners: dict[int, tuple[Piece, Floats]] = {}
    for piece in chain:
        shared = [int(frame) for frame in piece.frames if int(frame) in owners]
        after = shared[len(shared) // 2] if shared else -1
        for frame, pose in zip(piece.frames.tolist(), piece.T_piece_camera, strict=True):
            if frame not in owners or frame >= after:
                owners[frame] = (piece, pose)
    return owners


def _pose_in(piece: Piece, frame: int, owners: dict[int, tuple[Piece, Floats]]) -> Floats:
    at = int(np.searchsorted(piece.frames, frame))
    if at < len(piece.frames) and piece.frames[at] == frame:
        return piece.T_piece_camera[at]
    return owners[frame][1]


def _interpolation(a: int, b: int, first: Floats, last: Floats) -> Callable[[int], Floats]:
    turn = Slerp([0.0, 1.0], Rotation.from_matrix(np.stack([first[:3, :3], last[:3, :3]])))

    def at(frame: int) -> Floats:
        share = (frame - a) / (b - a)
        pose = np.eye(4)
        pose[:3, :3] = turn(share).as_matrix()
        pose[:3, 3] = (1 - share) * first[:3, 3] + share * last[:3, 3]
        return pose

    return at


class _Resection:
    """Finds poses by least squares (Gauss, Newton) with weights against outliers."""

    def __init__(self, store: TrackStore, lens: Lens) -> None:
        self._store = store
        self._lens = lens
        self._focal = 0.5 * (lens.fx + lens.fy)
        self._unit = max(lens.size[1] / 1000.0, 0.5)

    def find(self, piece: Piece, frame: int, guess: Floats) -> Floats | None:
        """T_piece_camera of a frame; None: too few points fit."""
        seen = self._store[frame]
        rows, xyz = piece.places(seen.ids)
        if len(rows) < MIN_POINTS:
            return None
        xy, ahead = ideal(self._lens, seen.xy[rows].astype(np.float64))
        xy, xyz = xy[ahead], xyz[ahead]
        target = (xy - (self._lens.cx, self._lens.cy)) / self._focal
        turn, shift = guess[:3, :3].T, -guess[:3, :3].T @ guess[:3, 3]
        # From coarse to fine: a guess may be off by more than a point may miss its place.
        for limit in np.geomspace(8 * _MISS, _MISS, _STEPS) * self._unit / self._focal:
            error, jacobian, front = _linearized(turn, shift, xyz, target)
            weight = front / (1.0 + (error**2).sum(axis=1) / limit**2)
            weighted = jacobian * weight[:, None, None]
            normal = np.einsum("nki,nkj->ij", weighted, jacobian)
            right = np.einsum("nki,nk->i", weighted, error)
            try:
                change = -np.linalg.solve(normal + 1e-12 * np.trace(normal) * np.eye(6), right)
            except np.linalg.LinAlgError:
                return None
            step = Rotation.from_rotvec(change[:3]).as_matrix()
            turn, shift = step @ turn, step @ shift + change[3:]
        error, _, front = _linearized(turn, shift, xyz, target)
        miss = np.linalg.norm(error, axis=1) * self._focal / self._unit
        fit = int((front & (miss < _INLIER)).sum())
        if fit < MIN_POINTS or fit < MIN_SHARE * len(xyz) or not np.isfinite(shift).all():
            return None
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = turn.T, -turn.T @ shift
        return pose


def _linearized(
    turn: Floats, shift: Floats, xyz: Floats, target: Floats
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Errors (n, 2) on the plane z = 1 and their derivatives (n, 2, 6) by a turn and a shift of
    the camera frame; and which points lie ahead.
    """
    there = xyz @ turn.T + shift
    front = there[:, 2] > 1e-9
    x, y, z = there[:, 0], there[:, 1], np.where(front, there[:, 2], 1.0)
    error = np.stack([x / z, y / z], axis=1) - target
    error[~front] = 0.0
    zero = np.zeros_like(x)
    rows = [
        [-x * y / z**2, 1 + (x / z) ** 2, -y / z, 1 / z, zero, -x / z**2],
        [-1 - (y / z) ** 2, x * y / z**2, x / z, zero, 1 / z, -y / z**2],
    ]
    jacobian = np.stack([np.stack(row, axis=1) for row in rows], axis=1)
    jacobian[~front] = 0.0
    return error, jacobian, front
