"""Keeps a broken policy from breaking more than its own drive.

Three things watch a step, because no one of them sees all:

- what the policy raises, and what it answers, is caught where it is called;
- code that takes too long is interrupted by an alarm (SIGALRM), in the main thread of a process:
  Python runs its handler between two instructions of the interpreter, so this ends a loop, a sleep
  or a wait for a socket;
- C code that does not come back to the interpreter cannot be interrupted from within its process.
  The guard says in a `StepClock` when its step must be over, and a `Watchdog` in the parent
  process kills what is overdue.

In another thread than the main one there is no alarm: a step that took too long is reported
when it has ended.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Mapping
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vista_sim.dynamics.action import Action
from vista_sim.errors import (
    PolicyError,
    PolicyFailureError,
    PolicyNotFiniteError,
    PolicyRaisedError,
    PolicyTimeoutError,
)
from vista_sim.policies.policy import Policy, SalientPolicy, policy_camera, policy_sensors
from vista_sim.policies.saliency import SaliencySource
from vista_sim.policies.watchdog import StepClock

if TYPE_CHECKING:
    from vista_sim.world import Car

REPEAT = 0.5  # s after which the alarm rings again, where the policy swallowed it
T = TypeVar("T")


class GuardedPolicy:
    """A policy whose every failure is a `PolicyFailureError` with a `reason` in one line.

    Args:
        policy: drives.
        step_timeout: s that `act` and `reset` may take each; None: no limit.
        clock: tells the parent process when the step must be over; see `watchdog`.

    Raises:
        PolicyError: the time limit is not positive.
    """

    def __init__(
        self,
        policy: Policy,
        step_timeout: float | None = None,
        clock: StepClock | None = None,
    ) -> None:
        if step_timeout is not None and not step_timeout > 0:
            raise PolicyError(f"step_timeout is {step_timeout} s; it must be positive")
        self.policy, self.step_timeout, self.clock = policy, step_timeout, clock
        self.sensors = policy_sensors(policy)
        self.camera = policy_camera(policy)
        self._salient: SaliencySource | None = None
        if isinstance(policy, SalientPolicy):
            asked = policy.saliency
            self._salient = SaliencySource(lambda: self._call("saliency", asked))

    def reset(self) -> None:
        """Reset the policy. Raises as `act` does."""
        self._call("reset", self.policy.reset)

    def act(self, observation: Mapping[str, Any], car: Car | None = None) -> Action:
        """What the policy answers.

        Raises:
            PolicyRaisedError: it raised an error.
            PolicyTimeoutError: it took longer than `step_timeout`.
            PolicyNotFiniteError: it answered with NaN, infinity or no `Action`.
            PolicyFailureError: another that the policy itself raised, such as PolicyDiedError.
        """
        action = self._call("act", lambda: self.policy.act(observation, car))
        if not isinstance(action, Action):
            raise PolicyNotFiniteError(f"act returned {action!r}; it must return an Action")
        return action

    def saliency(self) -> NDArray[np.float32] | None:
        """What the policy says of its last `act`; None where it says nothing.

        A map is no part of driving: where making it fails, takes longer than `step_timeout`, or
        gives anything but (height, width) numbers from 0 to 1, a warning is logged once, and the
        policy is not asked again.
        """
        if self._salient is None or self.camera is None:
            return None
        return self._salient.map(self.camera.size)

    def _call(self, name: str, call: Callable[[], T]) -> T:
        limit = self.step_timeout
        started = monotonic()
        if self.clock is not None and limit is not None:
            self.clock.begin(limit)
        try:
            result = call() if limit is None else _interrupted_after(limit, call)
        except _Alarm:
            raise self._late(name) from None
        except PolicyFailureError:
            raise
        except (Exception, SystemExit) as error:
            text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise PolicyRaisedError(f"{name}: {text}") from error
        finally:
            if self.clock is not None:
                self.clock.end()
        if limit is not None and monotonic() - started > limit:
            raise self._late(name)
        return result

    def _late(self, name: str) -> PolicyTimeoutError:
        return PolicyTimeoutError(f"{name} took longer than {self.step_timeout:g} s")


class _Alarm(BaseException):
    """Not an Exception, so that a policy's `except Exception` does not swallow it."""


def _interrupted_after(limit: float, call: Callable[[], T]) -> T:
    """Call, and raise _Alarm in the midst of it after `limit` seconds (main thread only)."""
    if threading.current_thread() is not threading.main_thread():
        return call()
    going = True

    def ring(number: int, frame: FrameType | None) -> None:
        if going:
            raise _Alarm

    started = monotonic()
    handler = signal.signal(signal.SIGALRM, ring)
    remaining, interval = signal.setitimer(signal.ITIMER_REAL, limit, REPEAT)
    try:
        try:
            return call()
        finally:
            going = False
    finally:
        # An alarm that somebody else had set goes on.
        left = max(1e-6, remaining - (monotonic() - started)) if remaining else 0.0
        signal.setitimer(signal.ITIMER_REAL, left, interval)
        signal.signal(signal.SIGALRM, signal.SIG_DFL if handler is None else handler)
