"""What a scenario fixes, beside its traces and seeds, with units, limits and defaults.

Every field that is a number may be a range in a file (see `ranges`); in a case it is one
number. Positive is to the left, of offsets, angles and curvature alike.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from vista_sim.scenarios.fields import (
    Number,
    choice,
    count,
    further,
    named,
    number,
    span,
    spec_of,
    text,
    texts,
)
from vista_sim.scenarios.further import FurtherSensor
from vista_sim.sensors.registry import spec_to_json
from vista_sim.tasks.endings import ROAD as ROAD
from vista_sim.tasks.endings import Endings
from vista_sim.tasks.lane_following import Rewards
from vista_sim.tasks.recovery import RecoveryRule
from vista_sim.tasks.registry import LANE_FOLLOWING, find_task, make_task
from vista_sim.tasks.task import Task, Weights, parts_of

EPISODE, RESTART, RECOVERY = "episode", "restart", "recovery"
MODES = (EPISODE, RESTART, RECOVERY)
RECORDED, FREE = "recorded", "free"

_FAR = 1e7  # m and s; longer is no drive


@dataclass(frozen=True)
class SectionSettings:
    """Which stretches of the traces are driven: those for which all that is given holds.

    Args:
        time: from, to, s of the trace.
        distance: from, to, m along the recorded path.
        curvature: least and greatest curvature of the path, 1/m, positive to the left.
        bend: least and greatest size of the curvature, 1/m, to either side.
        label: "key" or "key=value" of the trace's labels; of several, one must hold.
        exclude_labels: labels whose stretches are left out.
        min_speed: recorded speed below which a trace is not driven, m/s.
        min_length: shorter stretches are left out, m.
        pieces: each stretch is cut into so many of equal length, to be driven each by itself:
            many short drives say how sure a figure is, one long drive does not.
    """

    time: tuple[float, float] | None = span(0.0, _FAR, "s")
    distance: tuple[float, float] | None = span(0.0, _FAR, "m")
    curvature: tuple[float, float] | None = span(-1.0, 1.0, "1/m")
    bend: tuple[float, float] | None = span(0.0, 1.0, "1/m")
    label: tuple[str, ...] = texts()
    exclude_labels: tuple[str, ...] = texts()
    min_speed: float = number(2.5, 0.0, 70.0, "m/s")
    min_length: float = number(2.0, 2.0, _FAR, "m")
    pieces: int = count(1, 1, 10_000)


@dataclass(frozen=True)
class StartSettings:
    """Where and how the car starts. Of `s`, `fraction` and `places` at most one is given.

    Args:
        s: m along the recorded path, inside a section.
        fraction: of each section's length; 0, its start, where nothing is given.
        places: so many places drawn on each kind of road (straight, left, right) of all traces
            together, as the recovery test of `vista_sim.evaluate` draws them.
        places_seed: draws the places.
        lateral: offset from the path, m.
        heading: relative to the path, rad.
    """

    s: float | None = number(None, 0.0, _FAR, "m")
    fraction: float | None = number(None, 0.0, 1.0)
    places: int | None = count(None, 1, 10_000)
    places_seed: int = count(0, 0, 2**63 - 1)
    lateral: float = number(0.0, -20.0, 20.0, "m")
    heading: float = number(0.0, -1.5, 1.5, "rad")


@dataclass(frozen=True)
class VehicleSettings:
    """Limits of vehicle and controller in place of the recording's, where given.

    Args:
        curvature_limit: 1/m, of the curve that the tires can reach.
        steering_rate_limit: rad/s, of the tires.
        max_acceleration, max_deceleration: m/s², both positive.
        actuation_delay: s from what a policy asks to when the car begins to follow.
    """

    curvature_limit: float | None = number(None, 0.001, 1.0, "1/m")
    steering_rate_limit: float | None = number(None, 0.001, 20.0, "rad/s")
    max_acceleration: float | None = number(None, 0.1, 30.0, "m/s²")
    max_deceleration: float | None = number(None, 0.1, 30.0, "m/s²")
    actuation_delay: float = number(0.0, 0.0, 5.0, "s")


@dataclass(frozen=True)
class SpeedSettings:
    """How fast the car drives.

    Args:
        mode: "recorded": as the recording, whatever a policy asks; "free": the policy's
            acceleration, where it asks for one.
        factor: of the recorded speed; with "recorded" alone.
        limit: that the car does not exceed by its own doing, m/s.
    """

    mode: str = choice(RECORDED, RECORDED, FREE)
    factor: float = number(1.0, 0.05, 5.0)
    limit: float | None = number(None, 0.5, 70.0, "m/s")


@dataclass(frozen=True)
class SensorSettings:
    """What is wrong with the sensors, and further ones.

    The policy's camera is perturbed, never replaced.

    Args:
        recorded_camera: that views are made from; None: each trace's "front", "left", or first.
        mount_x, mount_y, mount_z: how far the mount is off in the vehicle frame, m.
        mount_roll, mount_pitch, mount_yaw: and about the vehicle's axes, rad.
        dropped_frames: probability of each image after the first to be lost; the policy then
            sees the last one again.
        late_frames: s from the exposure of an image to when the policy sees it.
        further: sensors that the car has beside the policy's: a table each, as [sensors.rear].
    """

    recorded_camera: str | None = text()
    mount_x: float = number(0.0, -1.0, 1.0, "m")
    mount_y: float = number(0.0, -1.0, 1.0, "m")
    mount_z: float = number(0.0, -1.0, 1.0, "m")
    mount_roll: float = number(0.0, -0.5, 0.5, "rad")
    mount_pitch: float = number(0.0, -0.5, 0.5, "rad")
    mount_yaw: float = number(0.0, -0.5, 0.5, "rad")
    dropped_frames: float = number(0.0, 0.0, 0.99)
    late_frames: float = number(0.0, 0.0, 5.0, "s")
    further: tuple[FurtherSensor, ...] = further()


@dataclass(frozen=True)
class ImageSettings:
    """What becomes of every image before a policy sees it.

    Args:
        exposure: stops; light is scaled by 2 ** exposure.
        red, blue: white balance: light in red and in blue is scaled by 2 ** it (stops).
        blur: standard deviation of a Gaussian, px of the policy's image.
        noise: standard deviation of Gaussian noise, levels of 255.
        night: 0 is day, 1 is night-like (see `images.night`).
    """

    exposure: float = number(0.0, -6.0, 6.0)
    red: float = number(0.0, -2.0, 2.0)
    blue: float = number(0.0, -2.0, 2.0)
    blur: float = number(0.0, 0.0, 10.0)
    noise: float = number(0.0, 0.0, 64.0)
    night: float = number(0.0, 0.0, 1.0)


@dataclass(frozen=True)
class TaskSettings:
    """What is asked of the car: a task by its name, and the weights of its reward terms."""

    name: str = named(LANE_FOLLOWING, find_task)
    rewards: Weights = field(default_factory=Rewards)


@dataclass(frozen=True)
class RestartSettings:
    """Mode "restart": after a crash the car is set on the path `setback` seconds further on."""

    setback: float = number(2.0, 0.1, 600.0, "s")


@dataclass(frozen=True)
class RecoverySettings:
    """Mode "recovery": what counts as recovered (see `tasks.recovery.RecoveryRule`)."""

    within_lateral: float = number(0.3, 0.001, 25.0, "m")
    within_heading: float = number(math.radians(2), 0.0001, math.pi, "rad")
    within_time: float = number(5.0, 0.1, 600.0, "s")
    held: float = number(1.0, 0.0, 600.0, "s")


@dataclass(frozen=True)
class Settings:
    """All of it.

    Args:
        mode: "episode": drive once, until an ending; "restart": and go on after each crash,
            to the section's end; "recovery": until the car is back on the path or the time for
            it is over.
        dt: length of a step, s.
        time_limit: of an episode, s; None: none. It stands here, not in `endings`.
        endings: of the task, whose own class they are of.
    """

    mode: str = choice(EPISODE, *MODES)
    dt: float = number(0.1, 0.001, 1.0, "s")
    time_limit: float | None = number(None, 0.1, _FAR, "s")
    section: SectionSettings = field(default_factory=SectionSettings)
    start: StartSettings = field(default_factory=StartSettings)
    vehicle: VehicleSettings = field(default_factory=VehicleSettings)
    speed: SpeedSettings = field(default_factory=SpeedSettings)
    sensors: SensorSettings = field(default_factory=SensorSettings)
    image: ImageSettings = field(default_factory=ImageSettings)
    task: TaskSettings = field(default_factory=TaskSettings)
    endings: Endings = field(default_factory=Endings)
    restart: RestartSettings = field(default_factory=RestartSettings)
    recovery: RecoverySettings = field(default_factory=RecoverySettings)

    def conflict(self) -> tuple[tuple[str, ...], str] | None:
        """A field and what about it does not go with another one; None: all do."""
        ways = [n for n in ("s", "fraction", "places") if getattr(self.start, n) is not None]
        if len(ways) > 1:
            return ("start", ways[1]), f"is given beside {ways[0]}; give one of the two"
        if self.speed.mode == FREE and self.speed.factor != 1.0:
            return ("speed", "factor"), 'scales the recorded speed; mode is "free"'
        if find_task(self.task.name).needs_speed and self.speed.mode != FREE:
            return ("speed", "mode"), (
                f'is "{self.speed.mode}"; the task {self.task.name} needs mode = "free"'
            )
        if self.recovery.held >= self.recovery.within_time:
            return ("recovery", "held"), (
                f"is {self.recovery.held:g} s; it must be less than within_time, "
                f"{self.recovery.within_time:g} s"
            )
        crashed = self.endings.max_lateral
        if isinstance(crashed, float) and abs(self.start.lateral) >= crashed:
            return ("start", "lateral"), (
                f"is {self.start.lateral:g} m; it must be within endings.max_lateral, {crashed:g} m"
            )
        if abs(self.start.heading) >= self.endings.max_heading:
            return ("start", "heading"), (
                f"is {self.start.heading:.6g} rad; it must be within endings.max_heading, "
                f"{self.endings.max_heading:.6g} rad"
            )
        return None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, laid out as in a file."""
        values = dataclasses.asdict(self)
        sensors = values["sensors"]
        del sensors["further"]
        sensors |= {one.name: spec_to_json(one.spec) for one in self.sensors.further}
        return values

    def make_task(self) -> Task:
        """The task, as a world takes it."""
        endings = dataclasses.replace(self.endings, time_limit=self.time_limit)
        return make_task(self.task.name, endings, self.task.rewards)

    def recovery_rule(self) -> RecoveryRule:
        """What counts as recovered."""
        return RecoveryRule(**vars(self.recovery))


def tables_of_task(name: str) -> dict[tuple[str | int, ...], type[Any]]:
    """The tables of a file that are a task's own: by their path, which dataclass each is."""
    parts = parts_of(find_task(name))
    return {("endings",): parts["limits"], ("task", "rewards"): parts["rewards"]}


def unit_of(settings: Settings, path: Sequence[str | int]) -> str:
    """Unit of the number at a path such as ("start", "heading"); "" if it has none."""
    table: Any = settings
    for name in path[:-1]:
        table = getattr(table, str(name))
    spec = next(spec_of(f) for f in dataclasses.fields(table) if f.name == path[-1])
    return spec.unit if isinstance(spec, Number) else ""
