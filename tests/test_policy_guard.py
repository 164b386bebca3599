"""Policies that raise, hang or answer nonsense cost no more than their own drive."""

import itertools
import math
import multiprocessing
import pickle
import signal
import sys
import threading
import time

import numpy as np
import pytest

from vista_sim.errors import (
    PolicyDiedError,
    PolicyError,
    PolicyFailureError,
    PolicyNotFiniteError,
    PolicyRaisedError,
    PolicyTimeoutError,
)
from vista_sim.policies import Action, CameraSpec, GuardedPolicy, Policy, StepClock, Watchdog


class Doing:
    """Does something in `act`."""

    camera = None

    def __init__(self, do):
        self.do = do

    def reset(self):
        pass

    def act(self, observation, car=None):
        return self.do()


def fails(error):
    def do():
        raise error

    return do


def reason_of(do, step_timeout=None):
    with pytest.raises(PolicyFailureError) as caught:
        GuardedPolicy(Doing(do), step_timeout).act({})
    assert "\n" not in caught.value.reason
    assert str(caught.value) == caught.value.reason
    return type(caught.value), caught.value.reason


def test_a_sound_policy_is_not_disturbed():
    guarded = GuardedPolicy(Doing(lambda: Action(0.1, -1.0)), 5.0)
    assert isinstance(guarded, Policy)
    guarded.reset()
    assert guarded.act({}) == Action(0.1, -1.0)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            ZeroDivisionError("division\nby zero"),
            "raised: act: ZeroDivisionError: division by zero",
        ),
        (KeyError("speed"), "raised: act: KeyError: 'speed'"),
        (AssertionError(), "raised: act: AssertionError"),
        (SystemExit(3), "raised: act: SystemExit: 3"),
        (PolicyError("weights are broken"), "raised: act: PolicyError: weights are broken"),
        (PolicyDiedError("gone"), "died: gone"),
    ],
)
def test_what_a_policy_raises_is_its_reason(error, reason):
    assert reason_of(fails(error))[1] == reason


def test_a_reason_is_short():
    assert len(reason_of(fails(ValueError("x" * 10_000)))[1]) < 320


@pytest.mark.parametrize(
    ("do", "reason"),
    [
        (lambda: Action(math.nan), "not finite: curvature is nan; it must be finite"),
        (lambda: Action(0.0, math.inf), "not finite: acceleration is inf; it must be finite"),
        (lambda: 0.1, "not finite: act returned 0.1; it must return an Action"),
        (lambda: None, "not finite: act returned None; it must return an Action"),
    ],
)
def test_an_answer_that_is_no_action_is_its_reason(do, reason):
    assert reason_of(do, 5.0) == (PolicyNotFiniteError, reason)


def swallowing():
    """Catches what it can, again and again, for a while."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            time.sleep(0.01)
        except Exception:
            continue


def busy():
    while True:
        pass


@pytest.mark.parametrize("do", [lambda: time.sleep(30), busy, swallowing, threading.Event().wait])
def test_python_code_that_does_not_come_back_is_interrupted(do):
    started = time.monotonic()
    kind, reason = reason_of(do, 0.2)
    assert (kind, reason) == (PolicyTimeoutError, "timed out: act took longer than 0.2 s")
    assert time.monotonic() - started < 5
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL


def test_a_policy_that_swallows_even_the_alarm_is_late_all_the_same():
    def do():
        try:
            time.sleep(30)
        except BaseException:
            return Action(0.0)

    assert reason_of(do, 0.1)[0] is PolicyTimeoutError


def test_a_reset_is_guarded_too():
    policy = Doing(lambda: Action(0.0))
    policy.reset = lambda: time.sleep(30)
    with pytest.raises(PolicyTimeoutError, match=r"reset took longer than 0\.1 s"):
        GuardedPolicy(policy, 0.1).reset()
    policy.reset = fails(OSError("no disk"))
    with pytest.raises(PolicyRaisedError, match="raised: reset: OSError: no disk"):
        GuardedPolicy(policy).reset()


def test_an_alarm_that_somebody_else_has_set_goes_on():
    rung = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 100.0)
        GuardedPolicy(Doing(lambda: Action(0.0)), 5.0).act({})
        left, _ = signal.getitimer(signal.ITIMER_REAL)
        assert 50 < left <= 100
        assert signal.getsignal(signal.SIGALRM) is not before
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_in_another_thread_a_late_step_is_reported_when_it_ends():
    found = []

    def drive():
        try:
            GuardedPolicy(Doing(lambda: time.sleep(0.15)), 0.05).act({})
        except PolicyFailureError as error:
            found.append(error.reason)

    thread = threading.Thread(target=drive)
    thread.start()
    thread.join()
    assert found == ["timed out: act took longer than 0.05 s"]


def test_an_interrupt_by_the_user_goes_through():
    with pytest.raises(KeyboardInterrupt):
        GuardedPolicy(Doing(fails(KeyboardInterrupt())), 5.0).act({})


@pytest.mark.parametrize("limit", [0.0, -1.0, math.nan])
def test_a_limit_that_cannot_be_is_refused(limit):
    with pytest.raises(PolicyError, match=r"step_timeout is .* s; it must be positive"):
        GuardedPolicy(Doing(None), limit)


def test_failures_travel_between_processes():
    for error in (PolicyTimeoutError("late"), PolicyNotFiniteError("nan")):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), again.reason) == (type(error), error.reason)


def drive_in_c(clock, step_timeout):
    """The alarm cannot end this: the interpreter does not get its turn."""
    policy = Doing(lambda: sum(itertools.repeat(0)))
    GuardedPolicy(policy, step_timeout, clock).act({})


def drive_well(clock, step_timeout):
    guarded = GuardedPolicy(Doing(lambda: time.sleep(0.01) or Action(0.0)), step_timeout, clock)
    for _ in range(20):
        guarded.act({})
    sys.exit(7)


def test_c_code_that_does_not_come_back_is_killed_by_the_watchdog():
    context = multiprocessing.get_context("fork")
    with Watchdog(grace=0.3) as watchdog:
        processes = {}
        for target, limit in ((drive_in_c, 0.2), (drive_well, 30.0)):
            clock = StepClock(context)
            process = context.Process(target=target, args=(clock, limit))
            process.start()
            watchdog.watch(process, clock)
            processes[target] = process
        for process in processes.values():
            process.join(timeout=60)
        killed, sound = processes[drive_in_c], processes[drive_well]
        assert killed.exitcode == -signal.SIGKILL
        assert watchdog.reason(killed) == (
            "timed out: took longer than 0.2 s and could not be interrupted; its process was killed"
        )
        assert sound.exitcode == 7
        assert watchdog.reason(sound) is None
        assert list(watchdog.reasons) == [killed]


def test_a_clock_tells_by_how_much_a_step_is_late():
    clock = StepClock()
    assert clock.overdue() == -math.inf
    clock.begin(0.05)
    assert clock.overdue() == pytest.approx(-0.05, abs=0.04)
    time.sleep(0.1)
    assert clock.overdue() >= 0.05
    clock.end()
    assert clock.overdue() == -math.inf


class Looking(Doing):
    """Gives what `look` returns as its saliency."""

    camera = CameraSpec((2, 3))

    def __init__(self, look):
        super().__init__(lambda: Action(0.1))
        self.saliency = look


def test_a_saliency_map_is_passed_on():
    looked = np.linspace(0, 1, 6).reshape(2, 3)
    found = GuardedPolicy(Looking(lambda: looked), 5.0).saliency()
    assert found.dtype == np.float32
    assert found == pytest.approx(looked)
    assert GuardedPolicy(Looking(lambda: None)).saliency() is None
    assert GuardedPolicy(Doing(lambda: Action(0.1))).saliency() is None


@pytest.mark.parametrize(
    ("look", "said"),
    [
        (fails(RuntimeError("no\ngradient")), "no gradient"),
        (lambda: np.zeros((3, 2)), "float64 (3, 2); it must be float32 (2, 3)"),
        (lambda: np.full((2, 3), np.nan), "from nan to nan"),
        (lambda: np.full((2, 3), -0.5), "from -0.5 to -0.5"),
        (lambda: "left", "saliency is"),
        (lambda: time.sleep(60), "took longer than 0.2 s"),
    ],
)
def test_a_saliency_map_that_fails_costs_a_warning_and_no_drive(look, said, caplog):
    asked = []

    def counted():
        asked.append(True)
        return look()

    guarded = GuardedPolicy(Looking(counted), 0.2)
    for _ in range(3):
        assert guarded.act({}) == Action(0.1)
        assert guarded.saliency() is None
    (warning,) = caplog.messages
    assert said in warning
    assert len(asked) == 1
