"""Options of videos: whose motion it is, and how the camera sees and sits; what they make up."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vista_sim.errors import TraceError
from vista_sim.files import shown
from vista_sim.traces.calibration import DISTORTION_LENGTH, MAX_RAYLESS, Lens
from vista_sim.traces.importers.options import option

QUARTER = math.pi / 4
_BENT = (0.4, 2.5)  # times as far out that a lens puts the edge of its picture
FOV = math.radians(65.0)  # of most phones' main cameras filming 16:9


@dataclass(frozen=True)
class VideoOptions:
    """Where the motion of a video comes from, its lens and its mount."""

    odometry: str = option(
        "log",
        "log: the motion is that of a position log; visual: that of the pictures.",
        choices=("log", "visual"),
    )
    log: str = option(
        "",
        "Position log: GPX, NMEA, CSV (with a header, see --columns); in the video (GoPro) or "
        "beside it, of its stem, else. With --odometry visual: metres by its speeds, in place of "
        "--height.",
    )
    time_offset: float | None = option(
        None,
        "Seconds by which the video is late against the log; found from its bends else.",
        low=-1e6,
        high=1e6,
    )
    fov: float | None = option(
        None,
        "Horizontal field of view, degrees; recorded, estimated or assumed (65) else.",
        low=math.radians(5),
        high=math.radians(170),
        degrees=True,
    )
    camera_matrix: str = option("", "FX,FY,CX,CY in pixels of the video, in place of --fov.")
    distortion: str = option(
        "",
        "K1,K2,P1,P2,K3 of a pinhole, or K1,K2,K3,K4 of a fisheye lens, as OpenCV has them; with "
        "--camera-matrix, or with --fov, which is then the field of view through that lens.",
    )
    height: float = option(1.4, "Camera above the road, m.", low=0.1, high=10.0)
    mount_x: float = option(1.6, "Camera ahead of the rear axle, m.", low=-20.0, high=20.0)
    mount_y: float = option(0.0, "Camera left of the car's middle, m.", low=-10.0, high=10.0)
    mount_yaw: float | None = option(
        None,
        "Camera looks to the left, degrees; estimated from straight roads else.",
        low=-QUARTER,
        high=QUARTER,
        degrees=True,
    )
    pitch: float | None = option(
        None,
        "Camera looks down, degrees; estimated from straight roads else.",
        low=-QUARTER,
        high=QUARTER,
        degrees=True,
    )
    times: str = option(
        "", "Of a folder of images: file of their times, s, a line each; times.txt in or beside it."
    )
    image_rate: float | None = option(
        None, "Of a folder of images without times: images a second.", low=0.1, high=1000.0
    )
    antenna_x: float = option(
        1.6, "What the log follows, ahead of the rear axle, m.", low=-20.0, high=20.0
    )
    antenna_y: float = option(
        0.0, "What the log follows, left of the car's middle, m.", low=-10.0, high=10.0
    )
    columns: str = option(
        "",
        "Columns of a CSV log, NAME=COLUMN:UNIT,... where its header does not say them, as "
        "speed=v:km/h,yaw=h:rad. NAME: time, latitude, longitude, altitude, x, y, speed, heading "
        "(clockwise from north), yaw (counter-clockwise from x), yaw_rate (positive to the left), "
        "accuracy. UNIT: s ms us ns, m cm km, m/s km/h mph knots, deg rad, rad/s deg/s.",
    )
    stabilized: str = option(
        "refuse",
        "What to do with a video that says it is stabilized electronically.",
        choices=("refuse", "accept"),
    )


def given_lens(options: VideoOptions, size: tuple[int, int]) -> Lens | None:
    """The lens that the options say, for pictures (height, width); None: they say none.

    Raises TraceError: they contradict each other, or are no numbers.
    """
    distortion = _numbers("distortion", options.distortion, tuple(DISTORTION_LENGTH.values()))
    if not options.camera_matrix:
        if options.fov is None:
            if distortion:
                raise TraceError("distortion is given without a camera_matrix or a fov")
            return None
        values: tuple[float, ...] = _of_fov(options.fov, distortion, size)
    elif options.fov is not None:
        raise TraceError("fov and camera_matrix are both given; one of them is due")
    else:
        values = _numbers("camera_matrix", options.camera_matrix, (4,))
    fx, fy, cx, cy = values
    height, width = size
    if options.camera_matrix and not (0 < cx < width and 0 < cy < height):
        raise TraceError(
            f"camera_matrix is {shown(options.camera_matrix)}; its middle ({cx:g}, {cy:g}) "
            f"must lie in the video of {width} x {height} pixels"
        )
    if min(fx, fy) <= 0:
        raise TraceError(
            f"camera_matrix is {shown(options.camera_matrix)}; its focal lengths FX, FY must be "
            "positive, px"
        )
    lens = Lens(_model(distortion), fx, fy, cx, cy, size, distortion)
    _check_distortion(lens, options.distortion)
    return lens


def _model(distortion: tuple[float, ...]) -> str:
    found = (m for m, count in DISTORTION_LENGTH.items() if count == len(distortion))
    return next(found, "pinhole")


def _of_fov(fov: float, distortion: tuple[float, ...], size: tuple[int, int]) -> tuple[float, ...]:
    """FX, FY, CX, CY of a lens that sees that much of the world across its picture."""
    lens = Lens.from_fov(size, fov)
    focal = lens.fx
    if distortion:
        bent = Lens(_model(distortion), 1.0, 1.0, 0.0, 0.0, size, distortion)
        edge = float(bent.project(np.array([math.sin(fov / 2), 0.0, math.cos(fov / 2)]))[0])
        focal *= math.tan(fov / 2) / edge if edge > 0 else 1.0
    return focal, focal, lens.cx, lens.cy


def _check_distortion(lens: Lens, text: str) -> None:
    """Refuse coefficients that no lens has."""
    blind = lens.rayless_share()
    if blind > MAX_RAYLESS:
        raise TraceError(
            f"distortion is {shown(text)}; it leaves {100 * blind:.0f} % of the pixels without a "
            "ray; is it of another lens, or in another order?"
        )
    if not lens.distorted:
        return
    corner = np.array([lens.size[1] - 1.0, lens.cy])
    ray = lens.unproject(corner)
    angle = math.atan2(float(np.hypot(ray[0], ray[1])), float(ray[2]))
    plain = angle if lens.model == "fisheye" else math.tan(angle)
    by = (corner[0] - lens.cx) / lens.fx / max(plain, 1e-9)
    if not _BENT[0] <= by <= _BENT[1]:
        raise TraceError(
            f"distortion is {shown(text)}; it puts the right edge of the picture {by:.2g} times as "
            "far out as without; is it of another lens, or in another order?"
        )


def _numbers(name: str, text: str, counts: tuple[int, ...]) -> tuple[float, ...]:
    if not text:
        return ()
    try:
        values = tuple(float(word) for word in text.split(","))
    except ValueError:
        values = ()
    if len(values) not in counts or not all(math.isfinite(value) for value in values):
        wanted = " or ".join(str(count) for count in counts)
        raise TraceError(f"{name} is {shown(text)}; it must be {wanted} numbers, A,B,...")
    return values
