"""Policies that other processes can load by name ("suite_policies:seeing"), good and bad ones."""

import ctypes
import os
import time

from vista_sim.policies import Action, CameraSpec
from vista_sim.policies.reference import ReferenceDriver


class Seeing(ReferenceDriver):
    """Drives like the reference, nudged by what it sees, so that views matter to the tables."""

    camera = CameraSpec((12, 32), fov=1.0)

    def act(self, observation, car=None):
        asked = super().act(observation, car)
        return Action(asked.curvature + 1e-5 * (float(observation["camera"].mean()) - 110.0))


class Slow(Seeing):
    """The same, and slower than a run that is to be killed midway."""

    def act(self, observation, car=None):
        time.sleep(0.02)
        return super().act(observation, car)


class Balance:
    """Steers to the brighter side of what it sees, and remembers where it steered."""

    camera = CameraSpec((40, 100), fov=1.0)

    def reset(self):
        self._last = 0.0

    def act(self, observation, car=None):
        image = observation["camera"]
        half = image.shape[1] // 2
        brighter = float(image[:, :half].mean() - image[:, half:].mean())
        self._last = 0.5 * self._last + 1e-3 * brighter
        return Action(self._last)


class Breaking(ReferenceDriver):
    """Breaks half a second after the start, in a way that the start's lateral offset decides."""

    camera = None

    def reset(self):
        self._start = None

    def act(self, observation, car=None):
        if self._start is None:
            self._start = round(car.lateral, 1)
        if car.t >= 0.5 - 1e-9:
            if self._start == -1.0:
                raise ZeroDivisionError("the network broke")
            if self._start == -0.5:
                time.sleep(1000)
            if self._start == 0.0:
                return Action(float("nan"))
            if self._start == 0.5:
                sum(range(10**15))  # does not come back to the interpreter
            if self._start == 1.0:
                os._exit(3)
            if self._start == 1.2:
                ctypes.string_at(0)
            if self._start == 1.5:
                return 0.1
        return super().act(observation, car)


class Straight(ReferenceDriver):
    """Never steers."""

    camera = None

    def act(self, observation, car=None):
        return Action(0.0)


def seeing():
    return Seeing()


def slow():
    return Slow()


def breaking():
    return Breaking()


def straight():
    return Straight()


def crashes_on_load():
    ctypes.string_at(0)
