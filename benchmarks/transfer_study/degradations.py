"""Policies made worse on purpose: noise, bias, delay, weak steering, wrong calibration.

A degraded policy is a policy, and drives alike in a synthesized and in a rendered world: noise
is drawn from the seed and from where an episode starts.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vista_sim.policies import Action, CameraSpec, Policy
from vista_sim.transforms import Matrix, camera_mount, pose_from_euler

if TYPE_CHECKING:
    from vista_sim.world import Car

NOISE_STEPS = 5.0  # steps after which the noise has forgotten all but 1 / e of itself
STRAIGHT = camera_mount(0.0, 0.0, 0.0)  # rotation alone: a camera that looks straight ahead


@dataclass(frozen=True)
class Degradation:
    """What is done to a policy; the defaults do nothing."""

    noise: float = 0.0  # 1/m, deviation of what is added to the curvature
    bias: float = 0.0  # 1/m, added to the curvature, positive to the left
    gain: float = 1.0  # times the curvature
    delay: int = 0  # steps that an action comes late
    fov: float = 1.0  # times the field of view that the policy was trained with
    yaw: float = 0.0  # degrees that its camera is turned to the left
    pitch: float = 0.0  # degrees that its camera is turned down

    def __post_init__(self) -> None:
        numbers = dataclasses.astuple(self)
        if not all(math.isfinite(v) for v in numbers):
            raise ValueError(f"{self}: every value must be finite")
        if self.noise < 0 or self.delay < 0 or self.fov <= 0:
            raise ValueError(f"{self}: noise and delay must not be negative, fov positive")

    @property
    def name(self) -> str:
        """What differs from the defaults, such as "noise 0.02, delay 3"; "" if nothing."""
        default = Degradation()
        changed = {k: v for k, v in vars(self).items() if v != getattr(default, k)}
        return ", ".join(f"{k} {v:g}" for k, v in changed.items())


class DegradedPolicy:
    """A policy with a degradation.

    Args:
        policy: what is made worse.
        degradation: how.
        camera: with its field of view and mount as they were in training.
        seed: of the noise.
    """

    def __init__(
        self, policy: Policy, degradation: Degradation, camera: CameraSpec | None, seed: int
    ) -> None:
        self.camera = None if camera is None else miscalibrated(camera, degradation)
        self._policy = policy
        self._degradation = degradation
        self._seed = seed
        self._rng: np.random.Generator | None = None
        self._noise = 0.0
        self._late: deque[float] = deque()

    def reset(self) -> None:
        """Forget everything: a new episode begins."""
        self._policy.reset()
        self._rng = None
        self._late = deque([0.0] * self._degradation.delay)

    def act(self, observation: Mapping[str, Any], car: Car | None = None) -> Action:
        how = self._degradation
        action = self._policy.act(observation, car)
        self._late.append(how.gain * action.curvature + how.bias + self._next_noise(car))
        return Action(self._late.popleft(), action.acceleration)

    def _next_noise(self, car: Car | None) -> float:
        """Noise that drifts (first-order autoregressive), so that the tires follow it, 1/m."""
        if self._degradation.noise == 0.0:
            return 0.0
        kept = math.exp(-1.0 / NOISE_STEPS)
        if self._rng is None:
            self._rng = np.random.default_rng([self._seed, *_start_of(car)])
            self._noise, kept = 0.0, 0.0
        drawn = float(self._rng.standard_normal())
        self._noise = kept * self._noise + math.sqrt(1.0 - kept * kept) * drawn
        return self._degradation.noise * self._noise


def miscalibrated(camera: CameraSpec, degradation: Degradation) -> CameraSpec:
    """The camera that a policy of wrong calibration asks for."""
    changed: dict[str, Any] = {}
    if degradation.fov != 1.0:
        if camera.fov is None:
            raise ValueError("the camera's field of view is not known; it cannot be made wrong")
        changed["fov"] = camera.fov * degradation.fov
    if degradation.yaw or degradation.pitch:
        if camera.mount is None:
            raise ValueError("the camera's mount is not known; it cannot be made wrong")
        changed["mount"] = camera.mount @ _turned(degradation)
    return dataclasses.replace(camera, **changed)


def _turned(degradation: Degradation) -> Matrix:
    """T_camera_turned (4, 4): the turn about the vehicle's axes, as the camera frame sees it."""
    turn = pose_from_euler(pitch=math.radians(degradation.pitch), yaw=math.radians(degradation.yaw))
    return np.asarray(STRAIGHT.T @ turn @ STRAIGHT)


def _start_of(car: Car | None) -> tuple[int, ...]:
    """Numbers that tell one start from another, the same in every world."""
    if car is None:
        return ()
    values = (car.s, car.lateral + 100.0, car.heading_error + 100.0)
    return tuple(round(1000.0 * max(v, 0.0)) for v in values)
