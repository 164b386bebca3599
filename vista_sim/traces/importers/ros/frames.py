"""The tree of frames of a bag (tf, REP 105): what stands still in it, and what moves."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import TraceError
from vista_sim.traces.importers.recording import Floats, Times
from vista_sim.transforms import Matrix, inverse, matrix_from_quaternion

STEP = 1e-6  # m, and of a quaternion, that a transform may differ and be the same


class Link:
    """One transform from a parent's frame to a child's: of its values only what changes is kept.

    Args:
        header_ns, log_ns: times of those that are kept, ns.
        values: x y z and quaternion x y z w of each, one after the other. first: of the first.
        moves: whether it changes.
    """

    def __init__(self, parent: str, header_ns: int, log_ns: int, value: tuple[float, ...]) -> None:
        self.parent = parent
        self.moves = False
        self.header_ns, self.log_ns = array("q", [header_ns]), array("q", [log_ns])
        self.first, self.values = value, array("d", value)
        self._last = (header_ns, log_ns)

    def add(self, header_ns: int, log_ns: int, value: tuple[float, ...]) -> None:
        """One more value."""
        first = self.first
        if not self.moves:
            if all(abs(a - b) < STEP for a, b in zip(value, first, strict=True)):
                self._last = (header_ns, log_ns)
                return
            self.moves = True
            self._append(*self._last, first)  # so long it stood still
        self._append(header_ns, log_ns, value)

    def _append(self, header_ns: int, log_ns: int, value: tuple[float, ...]) -> None:
        self.header_ns.append(header_ns)
        self.log_ns.append(log_ns)
        self.values.extend(value)

    def samples(self, time: str) -> tuple[Times, Floats]:
        """Times (n,), ns, increasing, of headers or of recording, and values (n, 7)."""
        t_ns = np.array(self.log_ns if time == "log" else self.header_ns, dtype=np.int64)
        later = np.concatenate([[True], t_ns[1:] > np.maximum.accumulate(t_ns)[:-1]])
        return t_ns[later], np.array(self.values).reshape(len(t_ns), -1)[later]


class Frames:
    """All frames that a bag tells of; each has one parent."""

    def __init__(self) -> None:
        self.links: dict[str, Link] = {}

    def add(self, transforms: Iterable[Any], log_ns: int) -> None:
        """Take the transforms of a message of tf that was recorded at a time, ns."""
        for one in transforms:
            parent, child = plain(one.header.frame_id), plain(one.child_frame_id)
            p, q = one.transform.translation, one.transform.rotation
            value = (p.x, p.y, p.z, q.x, q.y, q.z, q.w)
            if not usable(value) or parent == child or not child:
                continue
            header_ns = one.header.stamp.sec * 10**9 + one.header.stamp.nanosec
            known = self.links.get(child)
            if known is None:
                self.links[child] = Link(parent, header_ns, log_ns, value)
            elif known.parent == parent:  # of two parents the first one stays
                known.add(header_ns, log_ns, value)

    def __contains__(self, name: str) -> bool:
        return name in self.links or any(link.parent == name for link in self.links.values())

    def up_from(self, name: str) -> list[str]:
        """A frame, its parent, and so on up to the root."""
        chain = [name]
        while chain[-1] in self.links and len(chain) <= len(self.links):
            chain.append(self.links[chain[-1]].parent)
        return chain

    def fixed(self, base: str, name: str) -> Matrix | None:
        """T_base_name (4, 4) of what stands still to the base; None where tf does not join them.

        Raises TraceError: what joins them moves.
        """
        if base == name:
            return np.eye(4)
        up, down = self.up_from(base), self.up_from(name)
        common = next((frame for frame in up if frame in down), None)
        if common is None:
            return None
        return inverse(self._along(up, common, base, name)) @ self._along(down, common, base, name)

    def _along(self, chain: list[str], common: str, base: str, name: str) -> Matrix:
        """Pose of the first frame of a chain in a later one."""
        pose = np.eye(4)
        for frame in chain[: chain.index(common)]:
            if self.links[frame].moves:
                raise TraceError(
                    f"tf: {frame} moves in {self.links[frame].parent}, so {name} is not fixed to "
                    f"{base}; say where the sensor is with --mounts"
                )
            pose = pose_of(self.links[frame].first) @ pose
        return pose

    def moving(self, world: str, base: str, time: str) -> tuple[Times, Matrix] | None:
        """Times, ns, and poses (n, 4, 4) of a frame in a world frame; None where tf does not tell.

        The times are those of what moves most often; the rest of the chain, such as a correction
        from map to odom, is interpolated.
        """
        up = self.up_from(base)
        if world not in up:
            return None
        chain = [self.links[frame] for frame in up[: up.index(world)]]
        samples = {id(link): link.samples(time) for link in chain if link.moves}
        if not samples:
            return None
        t_ns = max((t for t, _ in samples.values()), key=len)
        first = max(int(t[0]) for t, _ in samples.values())
        last = min(int(t[-1]) for t, _ in samples.values())
        t_ns = t_ns[(t_ns >= first) & (t_ns <= last)]
        poses = np.tile(np.eye(4), (len(t_ns), 1, 1))
        for link in chain:
            moved = samples.get(id(link))
            pose = pose_of(link.first) if moved is None else poses_at(t_ns, *moved)
            poses = pose @ poses
        return t_ns, poses


def plain(name: str) -> str:
    """A frame's name, printable, without the slash that ROS 1 may begin it with."""
    return "".join(c if c.isprintable() else "?" for c in str(name)).lstrip("/")


def usable(value: tuple[float, ...]) -> bool:
    """Whether x y z and a quaternion are a pose: finite, and the quaternion of length 1."""
    array = np.array(value)
    return bool(np.isfinite(array).all() and abs(np.linalg.norm(array[3:]) - 1) < 0.01)


def pose_of(value: tuple[float, ...]) -> Matrix:
    """A pose (4, 4) of x y z and a quaternion x y z w."""
    return poses_of(np.array(value)[None])[0]


def poses_of(values: Floats) -> NDArray[np.float64]:
    """Poses (n, 4, 4) of rows (n, 7): x y z and a quaternion x y z w."""
    pose = np.tile(np.eye(4), (len(values), 1, 1))
    quaternion = values[:, 3:] / np.linalg.norm(values[:, 3:], axis=1, keepdims=True)
    pose[:, :3, :3] = matrix_from_quaternion(quaternion)
    pose[:, :3, 3] = values[:, :3]
    return pose


def poses_at(at_ns: Times, t_ns: Times, values: Floats) -> NDArray[np.float64]:
    """Poses (m, 4, 4) at some times of rows (n, 7) at times, ns, increasing: linear and slerp."""
    from scipy.spatial.transform import Rotation, Slerp

    if len(t_ns) == 1:
        return np.tile(poses_of(values)[0], (len(at_ns), 1, 1))
    t = (t_ns - t_ns[0]) * 1e-9
    at = np.clip((at_ns - t_ns[0]) * 1e-9, t[0], t[-1])
    pose = np.tile(np.eye(4), (len(at), 1, 1))
    pose[:, :3, :3] = Slerp(t, Rotation.from_quat(values[:, 3:]))(at).as_matrix()
    pose[:, :3, 3] = np.stack([np.interp(at, t, values[:, k]) for k in range(3)], axis=1)
    return pose
