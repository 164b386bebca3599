"""Closed loop over whole traces: drive, crash, be set back on the path, go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vista_sim.arguments import check_number
from vista_sim.errors import PolicyNotFiniteError, WorldError
from vista_sim.evaluation.episode import drive
from vista_sim.evaluation.suites.rows import POLICY_FAILED
from vista_sim.policies import Policy
from vista_sim.runs.kinds import DRIVING
from vista_sim.runs.recorder import Recorder
from vista_sim.tasks.endings import CRASH
from vista_sim.traces.sections import Section

if TYPE_CHECKING:
    from vista_sim.runs.filming import ViewRecorder
    from vista_sim.world import Car


@dataclass(frozen=True)
class ClosedLoop:
    """How whole traces are driven.

    Args:
        setback: after a crash the car is put on the path where the recording was this many
            seconds later, s.
    """

    setback: float = 2.0

    def __post_init__(self) -> None:
        if not check_number("setback", self.setback, "s") > 0:
            raise WorldError(f"setback is {self.setback} s; it must be positive")


def drive_trace(
    policy: Policy,
    car: Car,
    trace: int,
    recorder: Recorder,
    settings: ClosedLoop | None = None,
    film: ViewRecorder | None = None,
    driven: Callable[[float], None] | None = None,
) -> None:
    """Drive all sections of a trace from their start to their end.

    An answer that is not finite, or no number, ends it: a policy that breaks is no policy that
    steers badly.

    Args:
        policy: drives; it is reset each time the car is set on the path.
        car: of a world whose task's endings say what a crash is.
        trace: index into the world's traces.
        recorder: gets every step and every episode.
        film: gets a picture each step.
        driven: called with the distance (m) covered of the trace, now and then.
    """
    settings = settings or ClosedLoop()
    before = 0.0

    for section in car.world.sections[trace]:

        def watch(car: Car, section: Section = section, before: float = before) -> None:
            if film is not None:
                film.shoot(car, recorder.episode)
            if driven is not None and car.steps % 10 == 0:
                driven(before + car.s - section.start_s)

        s: float | None = section.start_s
        while s is not None:
            car.reset(trace=trace, s=s, lateral=0.0, heading=0.0)
            recorder.begin(car, DRIVING)
            try:
                drive(policy, car, recorder, watch)
            except PolicyNotFiniteError as error:
                recorder.end(car, POLICY_FAILED, failure=error.reason)
                return
            recorder.end(car)
            s = _next_start(car, section, settings) if car.ending_kind == CRASH else None
        before += section.length


def _next_start(car: Car, section: Section, settings: ClosedLoop) -> float | None:
    """Arc length at which a car that crashed goes on; None if the section ends before."""
    time = car.scene_time + settings.setback
    if time >= section.end - car.dt:
        return None
    return car.path.arc_length(time)
