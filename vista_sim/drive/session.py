"""The drive itself: a car in real time, driven by a human or, handed over, by a policy."""

from __future__ import annotations

import math
import threading
from time import monotonic, perf_counter, sleep
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.drive.course import POLICY_CAMERA, Course
from vista_sim.drive.link import Link
from vista_sim.drive.log import (
    HANDED_OVER,
    HUMAN,
    PERTURBED,
    POLICY,
    RESTARTED,
    SKIPPED,
    STOPPED,
    DriveLog,
)
from vista_sim.drive.protocol import Frame, Input
from vista_sim.drive.steering import Wheel, action, steers
from vista_sim.dynamics.action import Action
from vista_sim.errors import PolicyFailureError, WorldError
from vista_sim.evaluation.suites.rows import POLICY_FAILED
from vista_sim.policies import GuardedPolicy
from vista_sim.runs.endings import in_words
from vista_sim.scenarios.settings import RECOVERY

# What a drive is doing.
READY = "ready"  # at a start, waiting for the driver to go
DRIVING, PAUSED = "driving", "paused"
SET_BACK = "set_back"  # after a crash, for a moment, before it goes on
FINISHED = "finished"  # at the end of all that can be driven
ENDED = "ended"

HOLD = 2.0  # s that the car stands after it was set back
READING = 4.0  # s that a line for the driver is shown at least, whatever is done meanwhile
IDLE = 0.1  # s between looks while it stands
POLICY_PERIOD = 0.1  # s between decisions of a policy, as in an evaluation
PERTURBED_BY = (1.0, 0.1)  # m and rad at most, and at most half of what is a crash


class Session:
    """Drives a course as the other side of a link wants it. Runs in one thread.

    It never catches up: where a step takes longer than it lasts, the drive is slower than real
    time, and says so.

    Args:
        course: what is driven.
        link: to the driver.
        log: records it.
        policy: that may be handed over to; None: there is none.
        seed: of perturbations.
        quality: of the JPEG pictures, 1 to 100.
    """

    def __init__(
        self,
        course: Course,
        link: Link,
        log: DriveLog,
        policy: GuardedPolicy | None = None,
        seed: int = 0,
        quality: int = 80,
    ) -> None:
        self.course, self.link, self.log = course, link, log
        self.policy = policy
        self.phase, self.driver = READY, HUMAN
        self.note = ""  # a line for the driver, shown until `_read_by` at least
        self._read_by = 0.0
        self.stopping = threading.Event()  # set it from anywhere to end the drive
        self._rng = np.random.default_rng(seed)
        self._quality = quality
        self._wheel = Wheel()
        self._decided: Action | None = None
        self._since = 0  # steps since the policy decided
        self._seq = 0
        self._until = 0.0
        self._pace = 1.0  # simulated seconds per second
        self._frames = self._pictures = 0
        self._seen: NDArray[np.uint8] | None = None
        self._jpeg = b""
        self._stand(READY)

    def run(self) -> None:
        """Drive until the driver ends it, or `stopping` is set."""
        link, dt = self.link, self.course.car.dt
        link.tell(self.course.place())
        due = last = monotonic()
        while not self.stopping.is_set() and self.phase != ENDED:
            for name in link.take_commands():
                self._obey(name)
            now = monotonic()
            if self.phase == DRIVING and not link.connected:
                self.phase = PAUSED
            elif self.phase == SET_BACK and now >= self._until:
                self.phase = DRIVING
            if self.phase == DRIVING and now >= self._read_by:
                self.note = ""
            if self.phase != DRIVING:
                self._show()
                link.wait(now + IDLE)
                due = last = monotonic()
                continue
            self._drive(link.input)
            self._show()
            due = max(due + dt, monotonic())  # what is late is not caught up with
            sleep(max(0.0, due - monotonic()))
            now = monotonic()
            self._pace += 0.1 * (min(1.0, dt / max(now - last, 1e-6)) - self._pace)
            last = now
        self.log.end(self.course, STOPPED, cut_short=True)
        self.phase = ENDED

    def _obey(self, name: str) -> None:
        """Do what the driver wants."""
        going = self.phase in (DRIVING, SET_BACK)
        if name == "toggle":
            name = "pause" if going else "go"
        if (going or name != "pause") and monotonic() >= self._read_by:
            self.note = ""
        if name == "end":
            self.phase = ENDED
        elif name == "pause":
            if going:
                self.phase = PAUSED
        elif name == "go":
            if self.phase in (READY, PAUSED):
                self.phase = DRIVING
            elif self.phase == FINISHED:
                self._again()
        elif name == "restart":
            self.log.end(self.course, RESTARTED)
            self._again()
        elif name == "perturb":
            self._perturb()
        elif name == "next":
            self.log.end(self.course, SKIPPED)
            self._go_on()
        elif name == "hand_over":
            self._hand_over()

    def _again(self) -> None:
        """Back to the start of what is driven; from the end of all, to the first of it."""
        if self.phase == FINISHED and self.course.index > 0:
            self.course.next(-self.course.index)
            self.link.tell(self.course.place())
        else:
            self.course.stage.restart()
        self._stand(READY)

    def _perturb(self) -> None:
        """Put the car beside the path where it is, and turn it."""
        if self.phase == FINISHED:
            return
        car = self.course.car
        limits = (
            min(most, 0.5 * limit)
            for most, limit in zip(PERTURBED_BY, self.course.limits(), strict=True)
        )
        lateral, heading = (float(self._rng.uniform(-most, most)) for most in limits)
        self.log.end(self.course, PERTURBED)
        try:
            self.course.stage.restart(car.s, lateral, heading)
        except WorldError:  # at the very end of the section
            self.course.stage.restart()
        side = "left" if lateral > 0 else "right"
        self._stand(self.phase, f"put {abs(lateral):.1f} m to the {side}")

    def _hand_over(self) -> None:
        """To the policy, or back to the human."""
        if self.policy is None:
            self._say("there is no policy to hand over to: start with --policy")
            return
        self._change_driver(HUMAN if self.driver == POLICY else POLICY)
        if self.phase in (READY, PAUSED) and self.driver == POLICY:
            self.phase = DRIVING

    def _change_driver(self, driver: str) -> None:
        car = self.course.car
        if self.log.going:
            self.log.end(self.course, HANDED_OVER)
            car.carry_on()
        self.driver = driver
        self._wheel.reset(car.curvature, car.speed)
        self._decided = None
        if driver == POLICY:
            self._reset_policy()

    def _reset_policy(self) -> None:
        assert self.policy is not None
        try:
            self.policy.reset()
        except PolicyFailureError as error:
            self._policy_failed(error)

    def _policy_failed(self, error: PolicyFailureError) -> None:
        """The human drives on, when they are ready to."""
        car = self.course.car
        if self.log.going:
            self.log.end(self.course, POLICY_FAILED, failure=error.reason)
            car.carry_on()
        self.driver, self.phase = HUMAN, PAUSED
        self._wheel.reset(car.curvature, car.speed)
        self._say(f"the policy failed ({error.reason}): you drive")

    def _say(self, note: str) -> None:
        """Show the driver a line for as long as it takes to read; nothing takes away another."""
        if note:
            self.note, self._read_by = note, monotonic() + READING

    def _stand(self, phase: str, note: str = "") -> None:
        """The car was put somewhere: wheel and policy begin anew.

        Args:
            phase, note: what the drive does now, and a line for the driver; a policy that fails
                at its reset makes another of both.
        """
        self.phase = phase
        self._say(note)
        car = self.course.car
        self._wheel.reset(car.curvature, car.speed)
        self._decided = None
        if self.driver == POLICY:
            self._reset_policy()

    def _drive(self, given: Input) -> None:
        """One step."""
        stage, car = self.course.stage, self.course.car
        if self.driver == POLICY and steers(given):
            self._change_driver(HUMAN)
        started = perf_counter()
        wanted = self._decide(given)
        if wanted is None:
            return
        decided = perf_counter()
        self.log.begin(self.course, self.driver)
        car.move(wanted)
        moved = perf_counter()
        car.observe()
        self._seq = given.seq
        self.log.step(self.course, decided - started, moved - decided)
        if stage.watch(car) or car.done:
            self._over()

    def _decide(self, given: Input) -> Action | None:
        """What the one who drives wants; None if the policy failed."""
        car = self.course.car
        if self.driver == HUMAN:
            self._wheel.turn(given, car.dt)
            return action(self._wheel, given, car.speed, car.vehicle, self.course.free)
        if self._decided is None or self._since >= max(1, round(POLICY_PERIOD / car.dt)):
            assert self.policy is not None
            seen = car.observations
            if POLICY_CAMERA in seen:
                seen = {**seen, "camera": seen[POLICY_CAMERA]}
            try:
                self._decided = self.policy.act(seen, car)
            except PolicyFailureError as error:
                self._policy_failed(error)
                return None
            self._since = 0
        self._since += 1
        self._wheel.reset(self._decided.curvature, car.speed)
        return self._decided

    def _over(self) -> None:
        """An episode ended by itself: set the car back, or go on to what comes next."""
        stage = self.course.stage
        ending = stage.ending or ""
        recovered = {}
        if self.course.case.settings.mode == RECOVERY:
            recovered = {"recovered": stage.recovered, "recovery_time": stage.recovery_time}
        self.log.end(self.course, ending, **recovered)
        if stage.set_back():  # there is road further on, so that the car has left it
            self._until = monotonic() + HOLD
            self._stand(SET_BACK, "off the road: set back further on")
        else:
            self._go_on(in_words(ending))

    def _go_on(self, note: str = "") -> None:
        """To the next case, or to the end of all."""
        if self.course.next():
            self.link.tell(self.course.place())
            self._stand(READY, note)
        else:
            self.phase = FINISHED
            self._say(note)

    def _show(self) -> None:
        """Send what is to be seen now."""
        car = self.course.car
        seen = car.observations["camera"]
        if seen is not self._seen:
            self._seen, self._jpeg = seen, encode_jpeg(seen, self._quality)
            self._pictures += 1
        self._frames += 1
        self.link.show(Frame(self._frames, self._header(), self._pictures, self._jpeg))

    def _header(self) -> dict[str, Any]:
        car = self.course.car
        return {
            "seq": self._seq,
            "phase": self.phase,
            "driver": self.driver,
            "note": self.note,
            "t": round(car.t, 2),
            "s": round(car.s, 2),
            "x": round(car.x, 3),
            "y": round(car.y, 3),
            "yaw": round(car.yaw, 4),
            "speed": round(car.speed, 2),
            "recorded_speed": round(car.recorded_speed, 2),
            "lateral": round(car.lateral, 3),
            "heading": round(car.heading_error, 4),
            "validity": None if math.isnan(car.validity) else round(car.validity, 3),
            "wheel": round(self._wheel.angle, 3),
            "pace": round(self._pace, 2),
            "steps": self.log.steps,
            "episodes": self.log.episodes,
            "recording": self.log.going and self.phase == DRIVING,
        }


def encode_jpeg(image: NDArray[np.uint8], quality: int) -> bytes:
    """A JPEG of uint8 (height, width, 3) RGB."""
    import cv2

    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(data)
