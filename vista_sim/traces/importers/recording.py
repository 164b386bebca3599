"""What an importer makes of a recording: its motion at once, its images and sweeps as a stream.

Nothing is held that grows with the length of the recording but times and poses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vista_sim.traces.calibration import CameraCalibration, LidarCalibration, Vehicle
from vista_sim.traces.origin import Origin

Floats = NDArray[np.float64]
Times = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Motion:
    """The car's motion, row by row, in the world frame of a trace.

    Args:
        t_ns: (n,) ns, increasing.
        position: (n, 3) m.
        quaternion: (n, 4) x y z w.
        speed: (n,) m/s along the car's x. yaw_rate: (n,) rad/s.
    """

    t_ns: Times
    position: Floats
    quaternion: Floats
    speed: Floats
    yaw_rate: Floats
    further: Mapping[str, Floats] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class CameraStream:
    """Images of one camera.

    Args:
        calibration: of the images as they are recorded.
        t_ns: (n,) their times, ns, increasing.
        frames: uint8 RGB images of the frames whose numbers (increasing) it is given, in order.
        known: where each value comes from: one of `traces.known` for "lens" and "mount".
    """

    calibration: CameraCalibration
    t_ns: Times
    frames: Callable[[Sequence[int]], Iterator[NDArray[np.uint8]]]
    known: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Points:
    """Points of one sweep: xyz (n, 3) m in the lidar frame; intensity, ring, t_ns (n,)."""

    xyz: Floats
    intensity: Floats
    ring: NDArray[np.int64] | None = None
    t_ns: Times | None = None


@dataclass(frozen=True, eq=False)
class LidarStream:
    """Sweeps of one lidar; the members are as those of `CameraStream`."""

    calibration: LidarCalibration
    t_ns: Times
    sweeps: Callable[[Sequence[int]], Iterator[Points]]
    known: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Tracks:
    """Other road users; each row is one of them at one time.

    Args:
        t_ns: (n,) ns, never decreasing. track_id: (n,) the same for the same one.
        category: (n,) such as "car".
        pose: (n, 7) x y z qx qy qz qw of the middle of the underside in the world frame of
            the `Motion`, x ahead, z up.
        size: (n, 3) length, width, height, m.
    """

    t_ns: Times
    track_id: NDArray[np.int64]
    category: Sequence[str]
    pose: Floats
    size: Floats


@dataclass(frozen=True, eq=False)
class Recording:
    """A recording that was opened and looked at, but for its images and points.

    Args:
        name, source, licence: of the trace; a licence that is not known is "unknown".
        vehicle: the recording car.
        motion: of the car.
        cameras: by the names that they get in the trace, each opened where it is taken; raises
            TraceError where it cannot be.
        usual: the cameras that are taken where none are named.
        lidars: by the names that they get in the trace.
        origin: where on earth the world frame of `motion` is, where that is known.
        tracks: other road users, where they were labelled.
    """

    name: str
    source: str
    licence: str
    vehicle: Vehicle
    motion: Motion
    cameras: Mapping[str, Callable[[], CameraStream]]
    usual: tuple[str, ...]
    lidars: Mapping[str, LidarStream] = field(default_factory=dict)
    origin: Origin | None = None
    tracks: Tracks | None = None
