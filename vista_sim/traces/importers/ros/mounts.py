"""Where sensors are on the car: by options, else by tf and where the base frame is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vista_sim.errors import TraceError
from vista_sim.files import shown
from vista_sim.traces.importers.notes import note
from vista_sim.traces.importers.recording import Floats
from vista_sim.traces.importers.ros.frames import Frames
from vista_sim.traces.known import ASSUMED, GIVEN, RECORDED
from vista_sim.transforms import (
    R_VEHICLE_FORWARD_CAMERA,
    Matrix,
    camera_mount,
    pose_from_euler,
)

BASE, FOOTPRINT = "base_link", "base_footprint"  # REP 105; REP 120: on the ground
_LOOKS_UP = 0.9  # of the optical axis, that is against gravity


def numbers_of(text: str, option: str, counts: tuple[int, ...]) -> dict[str, tuple[float, ...]]:
    """The numbers of NAME=A,B,C;NAME=... by name, or of A,B,C by "". Raises TraceError.

    Args:
        option: its name, for errors. counts: how many numbers may be given at once.
    """
    found: dict[str, tuple[float, ...]] = {}
    for part in text.split(";"):
        if not part.strip():
            continue
        name, _, values = part.rpartition("=")
        try:
            numbers = tuple(float(value) for value in values.split(","))
        except ValueError:
            numbers = ()
        if len(numbers) not in counts or not np.isfinite(numbers).all():
            due = " or ".join(str(count) for count in counts)
            raise TraceError(f"{option} is {shown(text)}; {due} finite numbers are due: {values!r}")
        name = name.strip()
        if name in found:
            twice = f"names {name}" if name else "gives numbers without a name"
            raise TraceError(f"{option} is {shown(text)}; it {twice} twice")
        found[name] = numbers
    return found


def parse_mounts(text: str) -> dict[str, tuple[float, ...]]:
    """x, y, z, m, and roll, pitch, yaw, rad, by sensor, of NAME=X,Y,Z[,ROLL,PITCH,YAW];...

    The text has degrees. Raises TraceError.
    """
    mounts = numbers_of(text, "mounts", (3, 6))
    if "" in mounts:
        raise TraceError(f"mounts is {shown(text)}; give NAME=X,Y,Z,ROLL,PITCH,YAW")
    return {
        name: (*values[:3], *(math.radians(a) for a in (*values[3:], 0.0, 0.0, 0.0)[:3]))
        for name, values in mounts.items()
    }


@dataclass(frozen=True, eq=False)
class Mounts:
    """The rig.

    Args:
        frames: of tf. base: the frame that is fixed to the car.
        T_vehicle_base: (4, 4) where that is. base_is: where this is known from.
        given: x, y, z, roll, pitch, yaw by sensor, of the options.
    """

    frames: Frames
    base: str
    T_vehicle_base: Matrix
    base_is: str
    given: dict[str, tuple[float, ...]]

    @classmethod
    def of(
        cls,
        frames: Frames,
        base: str,
        place: tuple[float, float, float],
        place_is: str,
        given: dict[str, tuple[float, ...]],
    ) -> Mounts:
        """The rig with the base at a place x, y, z (m) of the vehicle frame; one that nobody gave
        is as high as tf has it over `base_footprint`, where it has.
        """
        T_vehicle_base, base_is = pose_from_euler(*place), place_is
        if place_is == ASSUMED:
            over = frames.fixed(FOOTPRINT, base) if FOOTPRINT in frames else None
            height = 0.0 if over is None else float(over[2, 3])
            T_vehicle_base = pose_from_euler(*place[:2], height)
            base_is = ASSUMED if over is None else RECORDED
            said = "on the road" if height == 0 else f"{height:.3f} m above the road"
            note(
                f"takes {base} as {said} below the middle of the rear axle; --base-x, --base-y and "
                "--base-height say where it is"
            )
        return cls(frames, base, T_vehicle_base, base_is, given)

    def camera(self, name: str, frame: str, offset: Floats) -> tuple[Matrix, str]:
        """T_vehicle_camera (4, 4) and where it is known from. Raises TraceError.

        Args:
            frame: of the images. offset: (3,) m, of the camera in that frame: of the second of a
                pair.
        """
        if name in self.given:
            return camera_mount(*self.given[name]), GIVEN
        T_vehicle_frame, known = self.frame(name, frame)
        T_vehicle_camera = T_vehicle_frame.copy()
        if abs(T_vehicle_frame[2, 2]) > _LOOKS_UP and T_vehicle_frame[2, 2] > 0:
            note(
                f"{name}: {frame} is no optical frame (its z axis points up); its x axis is taken "
                "as the optical axis"
            )
            T_vehicle_camera[:3, :3] = T_vehicle_frame[:3, :3] @ R_VEHICLE_FORWARD_CAMERA
        T_vehicle_camera[:3, 3] += T_vehicle_camera[:3, :3] @ offset
        return T_vehicle_camera, known

    def frame(self, name: str, frame: str) -> tuple[Matrix, str]:
        """T_vehicle_frame (4, 4) and where it is known from. Raises TraceError.

        Args:
            name: of the sensor, as the options may give it. frame: of its messages.
        """
        if name in self.given:
            return pose_from_euler(*self.given[name]), GIVEN
        pose = self.frames.fixed(self.base, frame)
        if pose is None:
            known = ", ".join(sorted(self.frames.links)) or "none"
            raise TraceError(
                f"{name}: tf does not say where {shown(frame.strip())} is on {self.base} (frames: "
                f"{known}); say it with --mounts '{name}=X,Y,Z,ROLL,PITCH,YAW' (m, degrees)"
            )
        return self.T_vehicle_base @ pose, self.base_is


def base_frame(frames: Frames, child: str, named: str) -> str:
    """The frame that is fixed to the car: the named one, else that of REP 105, else the one whose
    poses are told.
    """
    if named:
        return named.lstrip("/")
    for name in (BASE, FOOTPRINT):
        if name in frames:
            return name
    return child.strip() or BASE
