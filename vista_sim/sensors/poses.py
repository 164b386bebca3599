"""Where a view's camera stood among the recorded frames, compiled: it is needed at every step.

Baking refines the differences of the poses of near frames (`GeometryStore.poses`). Between two
frames the recorded motion is followed, with the correction of the second frame brought in
gradually, so that a view moves smoothly from the one frame to the other.

Scalar code without fast-math, in a loop over the views: a view's numbers do not depend on the
batch that it is made in.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vista_sim.compiled import compiler
from vista_sim.traces import curve, projection
from vista_sim.traces.curve import last_not_after, matrix_at
from vista_sim.transforms import Matrix, inverse

Floats = NDArray[np.float64]

_compiled = compiler(curve, projection)
_STANDING = 0.02  # m between two frames
_GRID = 0.5  # of the distance to another frame, that it may be chosen on


@_compiled
def planar_poses(offsets: Floats) -> Floats:
    """Poses (n, 4, 4) of bodies at (x, y, 0), turned by yaw about z: offsets (n, 3)."""
    out = np.zeros((len(offsets), 4, 4))
    for i in range(len(offsets)):
        c, s = math.cos(offsets[i, 2]), math.sin(offsets[i, 2])
        out[i, 0, 0], out[i, 0, 1], out[i, 0, 3] = c, -s, offsets[i, 0]
        out[i, 1, 0], out[i, 1, 1], out[i, 1, 3] = s, c, offsets[i, 1]
        out[i, 2, 2] = out[i, 3, 3] = 1.0
    return out


@_compiled
def choose_frames(
    ts: Floats,
    offsets: Floats,
    view_mount: Matrix,
    ego_t: Floats,
    ego_position: Floats,
    ego_quaternion: Floats,
    times: Floats,
    travelled: Floats,
    recorded: Floats,
    fitted: Floats,
    twists: Floats,
    mount: Matrix,
    exposure: Floats,
    distances: Floats,
    lead: float,
) -> tuple[bool, NDArray[np.int64], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """The frames that views are made from, and where they stood.

    Args:
        ts: (n,) moments of the scene, s.
        offsets: (n, 4, 4) T_recorded_displaced of the car.
        view_mount, mount: T_vehicle_camera of the view and of the recorded camera.
        ego_t, ego_position, ego_quaternion: the recorded motion, row by row.
        times: (f,) of the frames, s. travelled: (f,) way to each, m.
        recorded, fitted: (f, 4, 4) T_world_camera of the frames, as recorded and as refined.
        twists: (f, 6), see `corrections`.
        exposure: (f, 3) log brightness of red, green and blue (`GeometryStore.exposure`).
        distances, lead: see `plan.Synthesis`.

    Returns:
        Whether all times are inside the recorded motion and all offsets finite; else the rest
        means nothing. Frames (n, 1 + len(distances)): the main one, then the others, -1 where
        one would be there already; their poses T_view_frame (.., 4, 4), the inverses of these,
        and what their colours (.., 3) are to be multiplied by.
    """
    count, most = len(ts), 1 + len(distances)
    frames = np.full((count, most), -1)
    forth = np.zeros((count, most, 4, 4), dtype=np.float32)
    back = np.zeros((count, most, 4, 4), dtype=np.float32)
    gains = np.ones((count, most, 3), dtype=np.float32)
    unmount = _invert(mount)
    last = len(times) - 1
    for n in range(count):
        if not (ts[n] >= ego_t[0] and ts[n] <= ego_t[-1] and np.isfinite(offsets[n]).all()):
            return False, frames, forth, back, gains
        i = min(max(last_not_after(times, ts[n]), 0), last)
        share = (ts[n] - times[i]) / (times[i + 1] - times[i]) if i < last else 0.0
        share = min(max(share, 0.0), 1.0)
        car = matrix_at(ts[n], ego_t, ego_position, ego_quaternion)
        # The recorded way from the frame before, corrected, in the refined frame's coordinates.
        way = _multiply(_invert(recorded[i]), _multiply(car, mount))
        there = _multiply(_multiply(fitted[i], way), _part(twists[i], share))
        view = _multiply(there, _multiply(unmount, _multiply(offsets[n], view_mount)))
        world_to_view = _invert(view)
        frames[n, 0] = main = _main_frame(i, share, offsets[n, 0, 3], travelled, lead)
        for k in range(1, most):
            # Places of a grid, the wider the farther: a drive then needs fewer frames.
            grid = _GRID * abs(distances[k - 1]) + 1e-9
            place = np.rint((travelled[main] + distances[k - 1]) / grid) * grid
            frame = _first_at(travelled, place)
            if not (frames[n, :k] == frame).any():
                frames[n, k] = frame
        for k in range(most):
            if frames[n, k] >= 0:
                pose = _multiply(world_to_view, fitted[frames[n, k]])
                forth[n, k], back[n, k] = pose, _invert(pose)
            if k > 0 and frames[n, k] >= 0:
                for c in range(3):
                    gains[n, k, c] = math.exp(exposure[main, c] - exposure[frames[n, k], c])
    return True, frames, forth, back, gains


@_compiled
def _main_frame(before: int, share: float, ahead: float, travelled: Floats, lead: float) -> int:
    """The frame that sees most: the nearest one behind, or one that is `lead` of a way ahead.

    Args:
        before: the last frame not after the moment of the scene.
        share: of the way to the next frame that is gone.
        ahead: how far the view is ahead of the recorded car, m.
    """
    i, last = before, len(travelled) - 1
    step = travelled[min(i + 1, last)] - travelled[i]
    # Where the car stands, frames do not differ by where they are.
    if ahead != 0.0 and step > _STANDING:
        target = travelled[i] + share * step + ahead
        i = min(max(last_not_after(travelled, target), 0), last)
        step = travelled[min(i + 1, last)] - travelled[i]
        share = (target - travelled[i]) / step if step > 0.0 else 0.0
    if i < last and 1.0 - share <= lead:
        i += 1
    return i


@_compiled
def _first_at(travelled: Floats, distance: float) -> int:
    """The first frame at or behind a distance; the last one if there is none."""
    low, high = 0, len(travelled) - 1
    while low < high:
        middle = (low + high) // 2
        if travelled[middle] < distance:
            low = middle + 1
        else:
            high = middle
    return low


@_compiled
def _multiply(a: Matrix, b: Matrix) -> Matrix:
    out = np.zeros((4, 4))
    for i in range(3):
        for j in range(4):
            out[i, j] = a[i, 0] * b[0, j] + a[i, 1] * b[1, j] + a[i, 2] * b[2, j]
        out[i, 3] += a[i, 3]
    out[3, 3] = 1.0
    return out


@_compiled
def _invert(a: Matrix) -> Matrix:
    out = np.zeros((4, 4))
    for i in range(3):
        for j in range(3):
            out[i, j] = a[j, i]
        out[i, 3] = -(a[0, i] * a[0, 3] + a[1, i] * a[1, 3] + a[2, i] * a[2, 3])
    out[3, 3] = 1.0
    return out


@_compiled
def _part(twist: Floats, share: float) -> Matrix:
    """A share of the motion of a rotation vector (rad) and a shift (m): Rodrigues' formula."""
    out = np.zeros((4, 4))
    x, y, z = share * twist[0], share * twist[1], share * twist[2]
    angle2 = x * x + y * y + z * z
    angle = math.sqrt(angle2)
    a = math.sin(angle) / angle if angle > 1e-9 else 1.0
    b = (1.0 - math.cos(angle)) / angle2 if angle > 1e-9 else 0.5
    out[0, 0], out[0, 1], out[0, 2] = 1 - b * (y * y + z * z), b * x * y - a * z, b * x * z + a * y
    out[1, 0], out[1, 1], out[1, 2] = b * x * y + a * z, 1 - b * (x * x + z * z), b * y * z - a * x
    out[2, 0], out[2, 1], out[2, 2] = b * x * z - a * y, b * y * z + a * x, 1 - b * (x * x + y * y)
    for i in range(3):
        out[i, 3] = share * twist[3 + i]
    out[3, 3] = 1.0
    return out


def corrections(recorded: Floats, fitted: Floats) -> Floats:
    """How the fitted way from each frame to the next differs from the recorded one.

    Args:
        recorded, fitted: (n, 4, 4) T_world_camera.

    Returns:
        (n, 6) rotation vector (rad) and shift (m) in the next frame's camera; zero for the last.
    """
    from scipy.spatial.transform import Rotation

    result = np.zeros((len(recorded), 6))
    recorded_way, fitted_way = (inverse(p[:-1]) @ p[1:] for p in (recorded, fitted))
    change = inverse(recorded_way) @ fitted_way
    if len(change):
        result[:-1, :3] = Rotation.from_matrix(change[:, :3, :3]).as_rotvec()
        result[:-1, 3:] = change[:, :3, 3]
    return result
