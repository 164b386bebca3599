"""What a measured drive is told: what is wrong, and the option that mends it."""

from __future__ import annotations

import math
from collections.abc import Mapping

from vista_sim.checking.directions import Directions
from vista_sim.checking.frozen import Stills
from vista_sim.checking.remedies import FIX, Remedies, moved
from vista_sim.checking.report import Measure
from vista_sim.checking.steps import heading_steps, position_steps
from vista_sim.traces.checks import Finding
from vista_sim.traces.checks.finding import places
from vista_sim.traces.trace import Trace
from vista_sim.traces.video import RecordedCamera
from vista_sim.transforms import Matrix

DOUBLED = 0.03  # share of the frames
_HEIGHTS = ("imu_height", "frame_height", "base_height")  # of what the camera's height follows


def findings_of(
    trace: Trace,
    camera: RecordedCamera,
    measures: Mapping[str, Measure],
    mirrored: bool | None,
    ahead: Directions,
    stills: Stills,
) -> tuple[Finding, ...]:
    """Findings, the gravest first."""
    found: list[Finding] = []
    video = camera.path.name
    mend = Remedies(trace.importer)

    def add(name: str, where: str, text: str, remedy: str) -> None:
        found.append(Finding(name, "warn", where, text, remedy))

    def angle(name: str, degrees: float, *options: str) -> str:
        given = [(option, f"--{option.replace('_', '-')} {degrees:.2f}") for option in options]
        in_mounts = f"a {name} of {degrees:.2f} of {camera.name!r} in --mounts"
        return mend.change(
            f"the camera's {name}: {degrees:.2f} degrees", *given, ("mounts", in_mounts)
        )

    if mirrored:
        add(
            "mirrored",
            "ego.parquet",
            "the poses turn right where the frames turn left",
            "y must point to the left, and yaw be positive to the left; or the frames are "
            f"mirrored (negate y and yaw where the poses come from, {FIX})",
        )
    wrong = {name: m for name, m in measures.items() if m.wrong}
    if m := wrong.get("video-late"):
        late = m.estimate.value
        text = f"the frames turn {abs(late):.2f} s {'after' if late > 0 else 'before'} the poses"
        remedy = mend.change(
            f"{late:+.2f} s taken from the camera's times",
            ("time_offset", f"--time-offset {late:.2f} (or so much more than was taken already)"),
        )
        add(m.name, video, f"{text} (± {m.estimate.sigma:.2f})", remedy)
    mount = camera.calibration.T_vehicle_camera
    if m := wrong.get("camera-height"):
        high = float(mount[2, 3])
        right = high - m.estimate.value
        text = f"the road lies {right:.2f} m below the camera, by the calibration {high:.2f} m"
        by = moved(m.estimate.value)
        remedy = mend.change(
            f"the camera's height: {right:.2f} m",
            ("height", f"the camera's height: --height {right:.2f}"),
            *((name, f"--{name.replace('_', '-')} {by}") for name in _HEIGHTS),
        )
        add(m.name, video, f"{text} (± {m.estimate.sigma:.2f})", remedy)
    if m := wrong.get("camera-pitch"):
        text, right = _tilt(m, mount_pitch(mount), "down", "up")
        together = not ahead.mount_pitch.beyond(0.5 * abs(m.estimate.value))
        if together and ahead.mount_pitch.told:
            text += "; poses and camera are tilted together"
        add(m.name, video, text, angle("pitch", right, "pitch"))
    if m := wrong.get("camera-roll"):
        text, right = _tilt(m, mount_roll(mount), "down on the right", "down on the left")
        add(m.name, video, text, angle("roll", right))
    if m := wrong.get("camera-yaw"):
        text, right = _tilt(m, mount_yaw(mount), "left", "right", "the motion in the frames")
        add(m.name, video, text, angle("yaw", right, "mount_yaw"))
    if m := wrong.get("heading-off"):
        off = math.degrees(m.estimate.value)
        side = "left" if off > 0 else "right"
        text = f"headings are {abs(off):.1f} degrees {side} of the way the car goes"
        meant = angle("yaw", math.degrees(mount_yaw(mount)) - off, "mount_yaw")
        remedy = (
            f"turn the headings by {-off:+.1f} degrees; where the poses are the camera's, its "
            f"mount is meant: {meant}"
        )
        add(m.name, "ego.parquet", f"{text} (± {math.degrees(m.estimate.sigma):.1f})", remedy)
    if m := wrong.get("focal-length"):
        share, fx = m.estimate.value, camera.calibration.lens.fx
        right = fx / (1.0 + share)
        size = "long" if share > 0 else "short"
        text = f"the focal length is {100 * abs(share):.1f} % too {size}: bends say {right:.0f} px"
        remedy = mend.change(
            f"the focal length: fx {right:.1f} px",
            ("camera_matrix", f"fx {right:.1f} px in --camera-matrix"),
        )
        add(m.name, "trace.json", f"{text} (± {100 * m.estimate.sigma:.1f} %)", remedy)
    found += _steps(trace, mend)
    if stills.frozen:
        text = f"frames stand still while the car drives {places(stills.frozen)}"
        found.append(
            Finding(
                "frozen",
                "warn",
                video,
                text,
                mend.part("leave these stretches out", "--start", "--end"),
                stills.frozen,
            )
        )
    elif stills.doubled > DOUBLED:
        text = f"{100 * stills.doubled:.0f} % of the frames repeat the one before"
        add("doubled", video, text, mend.part("take fewer frames a second", "--rate"))
    return tuple(found)


def _steps(trace: Trace, mend: Remedies) -> list[Finding]:
    found: list[Finding] = []
    remedy = mend.part("smooth the poses there, or leave it out", "--start", "--end")
    if (steps := position_steps(trace)) is not None:
        text = f"positions step by up to {steps.largest:.2f} m against the speed"
        text += f" {places(steps.spans)}"
        found.append(Finding("pose-step", "warn", "ego.parquet", text, remedy, steps.spans))
    if (steps := heading_steps(trace)) is not None:
        text = f"headings step by up to {math.degrees(steps.largest):.1f} degrees against the yaw"
        text += f" rate {places(steps.spans)}"
        found.append(Finding("pose-step", "warn", "ego.parquet", text, remedy, steps.spans))
    return found


def _tilt(
    measure: Measure, calibrated: float, more: str, less: str, by: str = "the road in the frames"
) -> tuple[str, float]:
    """What is wrong with an angle, and the right one in degrees."""
    off, sigma = (math.degrees(x) for x in (measure.estimate.value, measure.estimate.sigma))
    right = math.degrees(calibrated) + off
    way = more if off > 0 else less
    text = f"by {by} the camera looks {abs(off):.1f} degrees further {way} than its mount says"
    return f"{text} (± {sigma:.1f})", right


def mount_pitch(mount: Matrix) -> float:
    """Pitch (rad, positive down) of a mount T_vehicle_camera, as of `camera_mount`."""
    return math.asin(max(-1.0, min(1.0, -float(mount[2, 2]))))


def mount_yaw(mount: Matrix) -> float:
    """Yaw (rad, positive to the left) of a mount T_vehicle_camera, as of `camera_mount`."""
    return math.atan2(float(mount[1, 2]), float(mount[0, 2]))


def mount_roll(mount: Matrix) -> float:
    """Roll (rad, right side down is positive) of a mount T_vehicle_camera."""
    return math.atan2(-float(mount[2, 0]), -float(mount[2, 1]))
