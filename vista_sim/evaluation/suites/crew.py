"""Processes that drive cases side by side; one that dies is replaced and costs only its case."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from time import monotonic
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from vista_sim.errors import PolicyDiedError, PolicyError
from vista_sim.evaluation.suites import worker
from vista_sim.evaluation.suites.driving import Job, unstarted
from vista_sim.evaluation.suites.rows import CaseRows
from vista_sim.evaluation.suites.worker import Spent
from vista_sim.policies import StepClock, Watchdog

if TYPE_CHECKING:
    from vista_sim.replay.views import Films

LOADING_LIMIT = 600.0  # s that a policy may take to load
LOOK_EVERY = 0.5  # s between looks at how far the cases are
#: One thread each: as many processes as cores are all that a machine can do, and with a fixed
#: number a network's sums come out the same whatever the number of processes.
THREADS = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)


@dataclass(frozen=True)
class Assignment:
    """What all processes are told.

    Args:
        policy: what `load_policy` takes.
        step_timeout: s that it may take for a step.
        films: videos to make; None: none.
    """

    policy: str
    step_timeout: float | None
    films: Films | None = None


@dataclass(frozen=True)
class Driven:
    """A case that was driven to its end."""

    job: Job
    rows: CaseRows
    spent: Spent


class _Hand:
    """A process of the crew, and what it is at."""

    def __init__(
        self, process: BaseProcess, connection: Connection, clock: StepClock, started: float
    ) -> None:
        self.process, self.connection, self.clock = process, connection, clock
        self.started = started
        self.ready = self.gone = False
        self.job: Job | None = None
        self.given = 0.0
        self.rows = CaseRows()

    def give(self, job: Job) -> None:
        self.job, self.rows, self.given = job, CaseRows(), monotonic()
        try:
            self.connection.send(job)
        except ConnectionError:
            return  # it has died since; that is seen when its connection is read


class Crew:
    """Drives cases in processes; a context manager that leaves none of them behind.

    Args:
        assignment: what they are told.
        workers: how many processes.

    Attributes:
        start_up_s: wall time from the start of processes until they had loaded the policy, s,
            all of them together.
    """

    def __init__(self, assignment: Assignment, workers: int) -> None:
        self._assignment = assignment
        self._workers = workers
        self._context = multiprocessing.get_context("spawn")
        self._watchdog = Watchdog()
        self._hands: list[_Hand] = []
        self.start_up_s = 0.0

    def __enter__(self) -> Self:
        """Start the processes; one of them has loaded the policy when this returns.

        Raises:
            PolicyError: it cannot be loaded.
        """
        self._watchdog.__enter__()
        try:
            for _ in range(self._workers):
                self._hands.append(self._start())
            while not any(hand.ready for hand in self._hands):
                for _ in self._look(deque()):
                    pass
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for hand in self._hands:
            if kind is not None or hand.job is not None or not hand.ready:
                hand.process.kill()
            hand.connection.close()  # which also ends the ones that wait for a job
        for hand in self._hands:
            hand.process.join(5.0)
            if hand.process.is_alive():
                hand.process.kill()
                hand.process.join()
        self._watchdog.__exit__(kind, error, traceback)

    def drive(self, jobs: Sequence[Job]) -> Generator[Driven | Mapping[int, float], None, None]:
        """Drive cases, handed out in their order.

        Returns:
            Each case when it is over, and now and then the simulated seconds (s) by index of those
            that are being driven.

        Raises:
            VistaError: the policy cannot be loaded, or a case cannot be staged.
            RuntimeError: a defect of this program, with its traceback.
        """
        waiting = deque(jobs)
        left = len(waiting)
        told = monotonic()
        self._hand_out(waiting)
        while left:
            for driven in self._look(waiting):
                left -= 1
                yield driven
            if monotonic() - told >= LOOK_EVERY:
                told = monotonic()
                yield {h.job.index: h.rows.seconds for h in self._hands if h.job is not None}

    def _look(self, waiting: deque[Job]) -> Iterator[Driven]:
        """Wait for messages and hand out cases; the cases that are over."""
        for connection in wait([hand.connection for hand in self._hands], LOOK_EVERY):
            hand = next(hand for hand in self._hands if hand.connection is connection)
            try:
                while hand.connection.poll():
                    driven = self._take(hand, hand.connection.recv())
                    if driven is not None:
                        yield driven
            except (EOFError, ConnectionError):
                hand.gone = True
        for hand in [hand for hand in self._hands if hand.gone]:
            broken = self._bury(hand)
            if broken is not None:
                yield broken
        if waiting and len(self._hands) < self._workers:
            self._hands.append(self._start())
        self._hand_out(waiting)

    def _hand_out(self, waiting: deque[Job]) -> None:
        for hand in self._hands:
            if hand.ready and hand.job is None and waiting:
                hand.give(waiting.popleft())
            elif not hand.ready and monotonic() - hand.started > LOADING_LIMIT:
                raise PolicyError(
                    f"{self._assignment.policy}: did not load within {LOADING_LIMIT:g} s"
                )

    def _take(self, hand: _Hand, message: tuple[Any, ...]) -> Driven | None:
        """A message of a process; the case if that is over."""
        kind, *content = message
        if kind == worker.ROWS:
            hand.rows.take(*content)
        elif kind == worker.BEGUN:
            hand.rows.start = content[0]
        elif kind == worker.READY:
            hand.ready = True
            self.start_up_s += monotonic() - hand.started
        elif kind == worker.DONE and hand.job is not None:
            driven = Driven(hand.job, hand.rows, content[0])
            hand.job = None
            return driven
        elif kind == worker.USER:
            raise content[0]
        elif kind == worker.BUG:
            raise RuntimeError(f"a process that drives cases failed:\n{content[0]}")
        return None

    def _start(self) -> _Hand:
        here, there = self._context.Pipe()
        clock = StepClock(self._context)
        told = self._assignment
        process = self._context.Process(
            target=worker.work,
            args=(there, clock, told.policy, told.step_timeout, told.films),
            daemon=True,
            name="vista-sim-worker",
        )
        started = monotonic()
        with _environment(THREADS), _interrupts_wait(), _without_main():
            process.start()
        there.close()
        self._watchdog.watch(process, clock)
        return _Hand(process, here, clock, started)

    def _bury(self, hand: _Hand) -> Driven | None:
        """A process has ended without being told to; its case, if it had one."""
        hand.connection.close()
        hand.process.join()
        self._hands.remove(hand)
        how = _how_it_ended(hand.process.exitcode)
        reason = self._watchdog.reason(hand.process) or PolicyDiedError(how).reason
        if hand.job is None:
            if hand.ready:
                return None
            raise PolicyError(
                f"{self._assignment.policy}: its process ended while it was being loaded ({how})"
            )
        hand.rows.break_off(unstarted(hand.job), reason)
        return Driven(hand.job, hand.rows, Spent(monotonic() - hand.given))


def _how_it_ended(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            return f"its process was ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"its process was ended by signal {-code}"
    return f"its process ended with exit status {code}"


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Processes that are started meanwhile do not see Ctrl-C, not even while they import."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _without_main() -> Iterator[None]:
    """Processes that are started meanwhile do not import the caller's script.

    They need nothing of it, and one without an `if __name__ == "__main__":` would run again.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
