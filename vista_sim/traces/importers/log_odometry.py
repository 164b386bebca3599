"""The motion of a video by its position log.

Positions once a second become poses by what is known of how cars turn: a gyroscope or a yaw rate of
the log, else that of the pictures. The pictures' bends also tell by how much the video is late, and
how long the focal length is, where neither is said.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import TraceError
from vista_sim.traces.calibration import CameraCalibration, Lens
from vista_sim.traces.image_motion import ImageMotion, image_motion
from vista_sim.traces.importers.log_check import check_fit, checked_path
from vista_sim.traces.importers.log_clock import doubt_of, nominal_start
from vista_sim.traces.importers.log_path import LogPath
from vista_sim.traces.importers.logs.find import find_log, read_log
from vista_sim.traces.importers.logs.gpmf import Settings, read_settings
from vista_sim.traces.importers.motion_evidence import Measured
from vista_sim.traces.importers.options import given_or_assumed
from vista_sim.traces.importers.planar_motion import PlanarMotion
from vista_sim.traces.importers.posed_video import PosedVideo
from vista_sim.traces.importers.recording import Floats
from vista_sim.traces.importers.video_file import VideoFile
from vista_sim.traces.importers.video_options import FOV, VideoOptions, given_lens
from vista_sim.traces.importers.work import Tell, Work
from vista_sim.traces.known import ASSUMED, ESTIMATED, GIVEN, RECORDED
from vista_sim.traces.mount_from_motion import turned_mount
from vista_sim.traces.time_offset import find_offset
from vista_sim.transforms import Matrix, camera_mount

logger = logging.getLogger(__name__)

RATE = 10.0  # pictures a second that are looked at for their motion
_IMAGE_STD = 0.006  # rad/s of the pictures' yaw rate, at least
_LATE = 0.3  # s that bends at first leave of an offset
_FACTOR = 0.3  # sigma of the logarithm of a focal length that is assumed
_CHECK = 0.1  # and of one that is known, which the bends check
_TOLD = 0.04  # sigma from which on a focal length counts as estimated
_AGAIN = 0.02  # change of a focal length after which pictures are looked at again
_LOOKS = 3
_DIFFERS = 0.08  # of a focal length that is known, from which it is said
_CLOCKS = 1.0  # s that clocks of one recording may differ at most
_MARGIN = 1.0  # s of motion beside the video
_FEW = 0.1  # share of the frames that may be left out without a warning


@dataclass(frozen=True, eq=False)
class _Seen:
    """The pictures' motion by a lens.

    start: time of the log, s after its first row, at time zero of the video; timed: whether it is
    known, by the bends or otherwise. lens_is, start_is: where they come from.
    """

    lens: Lens
    lens_is: str
    motion: ImageMotion
    start: float
    start_is: str
    timed: bool

    @property
    def t(self) -> Floats:
        """(n,) times of the motion on the log's clock, s."""
        return self.motion.t + self.start

    @property
    def yaw_rate(self) -> Floats:
        """(n,) rad/s of a camera that is not turned on the car."""
        return self.motion.yaw_rate(camera_mount(0.0, 0.0, 0.0))


def odometry(video: VideoFile, options: VideoOptions, work: Work) -> PosedVideo:
    """The motion of a video, its lens and mount; the work is told how far it is.

    Raises TraceError.
    """
    settings = read_settings(video.path)
    _check_stabilized(video, settings, options)
    where, how = find_log(video.path, options.log)
    path = LogPath.of(read_log(where, options.columns), (options.antenna_x, options.antenna_y))
    path = checked_path(path)
    logger.info("%s: position log %s (%s), %d rows", video.path, where, how, len(path.log.t_ns))
    lens, lens_is = _lens(video, settings, options)
    seen = _timed(video, path, _look(video, lens, lens_is, work.tell), options)
    steady = settings is None or not settings.stabilized
    seen, planar = _fitted(video, path, seen, steady, work.tell)
    check_fit(path, planar)
    _say(video, path, seen, planar)
    mount, mount_is = _mount(seen, planar, options)
    motion, origin = path.rows(planar)
    t_ns = video.t_ns + int(path.log.t_ns[0]) + round(seen.start * 1e9)
    before, after = (t_ns < motion.t_ns[0]).sum(), (t_ns > motion.t_ns[-1]).sum()
    if before or after:
        few = before + after <= _FEW * len(t_ns)
        logger.log(
            logging.INFO if few else logging.WARNING,
            "%s: frames left out: %d before the first position and %d after the last one, of %d%s",
            video.path,
            before,
            after,
            len(t_ns),
            "" if few else "; is the log of this drive, or the clock another (--time-offset)?",
        )
    return PosedVideo(
        motion,
        t_ns,
        CameraCalibration(seen.lens, mount),
        {"lens": seen.lens_is, **mount_is},
        f"motion by {where.name}" + ("" if where != video.path else " itself (GoPro)"),
        origin,
    )


def _check_stabilized(video: VideoFile, settings: Settings | None, options: VideoOptions) -> None:
    if settings is None or not settings.stabilized:
        return
    text = (
        f"{video.path}: was stabilized electronically, so that the camera does not look where the "
        "car does, and its focal length varies"
    )
    if options.stabilized == "refuse":
        raise TraceError(f"{text}; film without, or take it as it is with --stabilized accept")
    logger.warning("%s", text)


def _lens(video: VideoFile, settings: Settings | None, options: VideoOptions) -> tuple[Lens, str]:
    """The lens as far as it is known, and where from."""
    if (given := given_lens(options, video.size)) is not None:
        return given, GIVEN
    if settings is None or not math.isfinite(settings.fov):
        return Lens.from_fov(video.size, FOV), ASSUMED
    height, width = video.size
    half = 0.5 * math.hypot(height, width)
    middle = ((width - 1) / 2, (height - 1) / 2)
    if settings.lens == "linear":
        focal = half / math.tan(settings.fov / 2)
        return Lens("pinhole", focal, focal, *middle, video.size), RECORDED
    focal = half / (settings.fov / 2)  # equidistant: an angle is a length in the picture
    return Lens("fisheye", focal, focal, *middle, video.size), RECORDED


def _look(video: VideoFile, lens: Lens, lens_is: str, tell: Tell) -> _Seen:
    """The pictures' motion by a lens; not yet on the log's clock."""
    slot = np.floor((video.t_ns - video.t_ns[0]) * 1e-9 * RATE + 1e-3)
    rows = np.flatnonzero(np.diff(slot, prepend=-1.0) > 0)
    logger.info("%s: looking at the motion of %d pictures", video.path, len(rows))
    pictures = _told(video.frames(rows.tolist()), len(rows), tell)
    motion = image_motion(pictures, video.t_ns[rows] * 1e-9, lens)
    return _Seen(lens, lens_is, motion, 0.0, "", False)


def _told(
    pictures: Iterator[NDArray[np.uint8]], total: int, tell: Tell
) -> Iterator[NDArray[np.uint8]]:
    for number, picture in enumerate(pictures, 1):
        yield picture
        tell("pictures seen", number, total)


def _timed(video: VideoFile, path: LogPath, seen: _Seen, options: VideoOptions) -> _Seen:
    """Put the pictures' motion on the log's clock: as given, by the bends, or by the clocks."""
    nominal = nominal_start(video, path.log)
    if options.time_offset is not None:
        start = nominal.seconds - options.time_offset
        return replace(seen, start=start, start_is=f"given, {nominal.counted}", timed=True)
    seen = replace(seen, start=nominal.seconds, start_is=f"assumed, {nominal.counted}")
    if nominal.reach <= _CLOCKS:  # one recording; what bends say within that is no better
        return replace(seen, start_is=nominal.why, timed=True)
    last = (int(path.log.t_ns[-1]) - int(path.log.t_ns[0])) * 1e-9
    alone = path.motion(0.0, last)
    found = find_offset(seen.t, seen.yaw_rate, alone.t, alone.yaw_rate, nominal.reach)
    known = seen.lens_is in (GIVEN, RECORDED)
    doubt = doubt_of(found, nominal, known)
    if not doubt:
        start_is = f"found from bends, +-{found.std:.2f} s, {nominal.counted}"
        return replace(seen, start=seen.start - found.seconds, start_is=start_is, timed=True)
    if not found.sure:
        other = find_offset(seen.t, -seen.yaw_rate, alone.t, alone.yaw_rate, nominal.reach)
        if not doubt_of(other, nominal, known):
            doubt += "; it turns against the pictures: must its yaw rate be negated?"
    logger.warning(
        "%s: its time offset to the log cannot be told from bends (%s); assumed: %s; else give it "
        "by --time-offset",
        video.path,
        doubt,
        nominal.why,
    )
    return seen


def _fitted(
    video: VideoFile, path: LogPath, seen: _Seen, steady: bool, tell: Tell
) -> tuple[_Seen, PlanarMotion]:
    """The likeliest motion, and the pictures' with the lens and the time that go with it.

    steady: whether the camera turns as the car does.
    """
    planar = _planar(video, path, seen)
    if not seen.timed:
        return seen, planar
    for _ in range(_LOOKS):
        factor, late, spread = _gauge(path, seen, planar)
        seen = replace(seen, start=seen.start - late)
        if seen.lens_is in (GIVEN, RECORDED):
            if steady and abs(math.log(factor)) > max(_DIFFERS, 3 * spread):
                better = replace(seen.lens, fx=seen.lens.fx * factor, fy=seen.lens.fy * factor)
                logger.warning(
                    "%s: turns as if its field of view were %.1f degrees, not %.1f (--fov)",
                    video.path,
                    math.degrees(better.fov),
                    math.degrees(seen.lens.fov),
                )
            break
        if spread > _TOLD:
            break
        lens = replace(seen.lens, fx=seen.lens.fx * factor, fy=seen.lens.fy * factor)
        if abs(math.log(factor)) < _AGAIN:
            seen = replace(seen, lens=lens, lens_is=ESTIMATED)
            break
        start, start_is = seen.start, seen.start_is
        seen = replace(
            _look(video, lens, ESTIMATED, tell), start=start, start_is=start_is, timed=True
        )
        planar = _planar(video, path, seen)
    return seen, planar


def _planar(video: VideoFile, path: LogPath, seen: _Seen) -> PlanarMotion:
    """The motion during the video, with the pictures' yaw rates where the log has none."""
    lasts = (int(path.log.t_ns[-1]) - int(path.log.t_ns[0])) * 1e-9
    first = max(0.0, float(video.t_ns[0]) * 1e-9 + seen.start - _MARGIN)
    last = min(lasts, float(video.t_ns[-1]) * 1e-9 + seen.start + _MARGIN)
    if len(path.yaw_rate) or not seen.timed:
        return path.motion(first, last)
    std = np.maximum(seen.motion.error, _IMAGE_STD)
    late = _LATE if seen.start_is.startswith("found") else 0.0
    factor = _CHECK if seen.lens_is in (GIVEN, RECORDED) else _FACTOR
    return path.motion(first, last, Measured(seen.t, seen.yaw_rate, std), (factor, late, 0.0))


def _gauge(path: LogPath, seen: _Seen, planar: PlanarMotion) -> tuple[float, float, float]:
    """What the pictures' yaw rates are too large by, late by (s), and the factor's sigma (log)."""
    if not len(path.yaw_rate):
        return planar.factor, planar.late, float(planar.gauge_std[0])
    found = find_offset(seen.t, seen.yaw_rate, planar.t, planar.yaw_rate, _CLOCKS)
    if not found.sure:
        return 1.0, 0.0, math.inf
    return found.scale, 0.0, found.scale_std / found.scale


def _mount(
    seen: _Seen, planar: PlanarMotion, options: VideoOptions
) -> tuple[Matrix, dict[str, str]]:
    """The camera's mount, and where it comes from."""
    rate = np.interp(seen.t, planar.t, planar.yaw_rate, left=np.nan, right=np.nan)
    turned = turned_mount(seen.motion, rate)
    known = {"mount": given_or_assumed(options, "height", "mount_x", "mount_y")}
    angles = {}
    for name in ("pitch", "mount_yaw"):
        value = getattr(options, name)
        estimate = None if turned is None else getattr(turned, name.removeprefix("mount_"))
        angles[name] = value if value is not None else estimate or 0.0
        known[name] = GIVEN if value is not None else ASSUMED if estimate is None else ESTIMATED
    logger.info(
        "camera looks %s (%s) and %s (%s), %.2f m above the road (%s)",
        _sided(angles["pitch"], "down", "up"),
        known["pitch"],
        _sided(angles["mount_yaw"], "to the left", "to the right"),
        known["mount_yaw"],
        options.height,
        known["mount"],
    )
    mount = camera_mount(
        options.mount_x,
        options.mount_y,
        options.height,
        pitch=angles["pitch"],
        yaw=angles["mount_yaw"],
    )
    return mount, known


def _sided(angle: float, positive: str, negative: str) -> str:
    degrees = math.degrees(angle)
    return f"{abs(degrees):.1f} degrees {negative if degrees < -0.05 else positive}"


def _say(video: VideoFile, path: LogPath, seen: _Seen, planar: PlanarMotion) -> None:
    outliers = np.count_nonzero(planar.outliers)
    if len(path.position):
        logger.info(
            "%s: positions err by %.1f m; %d of %d are not believed",
            path.log.path,
            planar.noise * float(np.median(path.position.std)),
            outliers,
            len(planar.outliers),
        )
    nominal = nominal_start(video, path.log)
    logger.info(
        "%s: is %+.2f s late against the log: %s",
        video.path,
        nominal.seconds - seen.start,
        seen.start_is,
    )
    logger.info(
        "%s: field of view is %.1f degrees (%s)",
        video.path,
        math.degrees(seen.lens.fov),
        seen.lens_is,
    )
