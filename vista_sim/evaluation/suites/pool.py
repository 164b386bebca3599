"""Processes that drive cases side by side; one that dies is replaced and costs only its case."""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import sys
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from time import monotonic, sleep
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from vista_sim.errors import PolicyDiedError, PolicyError
from vista_sim.evaluation.suites.driving import Job, unstarted
from vista_sim.evaluation.suites.rows import KILLED, CaseRows
from vista_sim.evaluation.suites.worker import BEGUN, BUG, DONE, READY, ROWS, USER, Spent, work
from vista_sim.policies import StepClock, Watchdog
from vista_sim.policies.identity import PolicyIdentity
from vista_sim.scenarios.further import FurtherSensor

if TYPE_CHECKING:
    from vista_sim.runs.filming import Films

LOADING_LIMIT = 600.0  # s that a policy may take to load
LOOK_EVERY = 0.5  # s between looks at how far the cases are
AHEAD = 2  # cases that a process has: one that it drives, one that it goes on with
GATHER = 0.01  # s in which messages gather: to wake up for each would cost the drivers their cores
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
        further: sensors of all scenarios; one that the policy calls as another one is refused.
    """

    policy: str
    step_timeout: float | None
    further: tuple[FurtherSensor, ...] = ()


@dataclass(frozen=True)
class Driven:
    """A case that was driven to its end."""

    job: Job
    rows: CaseRows
    spent: Spent


class _Worker:
    """A process of the pool, and what it is at: the first of its jobs."""

    def __init__(
        self, process: BaseProcess, connection: Connection, clock: StepClock, started: float
    ) -> None:
        self.process, self.connection, self.clock = process, connection, clock
        self.started = started
        self.ready = self.gone = False
        self.jobs: deque[Job] = deque()
        self.began = 0.0
        self.rows = CaseRows()
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)

    def give(self, job: Job) -> None:
        self.jobs.append(job)
        if len(self.jobs) == 1:
            self.began = monotonic()
        self.tell(job)

    def tell(self, what: Job | Films | None) -> None:
        with suppress(ConnectionError):  # it has died: that is seen when its connection is read
            self.connection.send(what)

    def end_case(self) -> tuple[Job, CaseRows]:
        """Its case is over: that, and its rows."""
        rows, self.rows, self.began = self.rows, CaseRows(), monotonic()
        return self.jobs.popleft(), rows

    @property
    def has_said(self) -> bool:
        """Whether a message is there, or the end of all."""
        return bool(self._poll.poll(0))


class WorkerPool:
    """Drives cases in processes; a context manager that leaves none of them behind.

    Args:
        assignment: what they are told.
        workers: how many processes at most.

    Attributes:
        start_up_s: wall time from the start of processes until they had loaded the policy, s,
            all of them together.
    """

    def __init__(self, assignment: Assignment, workers: int) -> None:
        self._assignment = assignment
        self._size = workers
        self._context = multiprocessing.get_context("spawn")
        self._watchdog = Watchdog()
        self._workers: list[_Worker] = []
        self._leaving: list[BaseProcess] = []
        self._films: Films | None = None
        self._identity: PolicyIdentity | None = None
        self.start_up_s = 0.0

    def __enter__(self) -> Self:
        """Start the first process; it loads the policy while the caller prepares the cases."""
        self._watchdog.__enter__()
        try:
            self._workers.append(self._start())
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def identify(self) -> PolicyIdentity:
        """What decides how the policy drives, by a process that has loaded it; waits for that.

        Raises:
            PolicyError: it cannot be loaded.
            ScenarioError: a further sensor is called as one of its own, and is another one.
        """
        while self._identity is None:
            for _ in self._look(deque()):
                pass
        return self._identity

    def get_ready(self, cases: int, films: Films | None) -> None:
        """Start the others; one of them has loaded the policy when this returns.

        Args:
            cases: that are to be driven; there are no more processes than that.
            films: videos to make; None: none.

        Raises:
            PolicyError: it cannot be loaded.
        """
        self._size, self._films = min(self._size, cases), films
        for worker in self._workers:
            worker.tell(films)
        self._fill_up()
        while not any(worker.ready for worker in self._workers):
            for _ in self._look(deque()):
                pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._dismiss(at_once=kind is not None)
        for process in self._leaving:
            process.join(5.0)
            if process.is_alive():
                process.kill()
                process.join()
        self._watchdog.__exit__(kind, error, traceback)

    def _dismiss(self, at_once: bool = False) -> None:
        """Have the processes end, without waiting until they have."""
        for worker in self._workers:
            if at_once or worker.jobs or not worker.ready:
                worker.process.kill()
            worker.connection.close()  # which also ends the ones that wait for a job
            self._leaving.append(worker.process)
        self._workers.clear()

    def drive(self, jobs: Sequence[Job]) -> Generator[Driven | Mapping[int, float], None, None]:
        """Drive cases, handed out in their order; the processes end after the last one.

        Returns:
            Each case when it is over, and now and then the simulated seconds (s) by index of those
            that are being driven.

        Raises:
            VistaError: the policy cannot be loaded, or a case cannot be staged.
            RuntimeError: a defect of this program, with its traceback as a note.
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
                yield {
                    worker.jobs[0].index: worker.rows.seconds
                    for worker in self._workers
                    if worker.jobs
                }
            if all(len(worker.jobs) == AHEAD for worker in self._workers):
                sleep(GATHER)
        self._dismiss()

    def _look(self, waiting: deque[Job]) -> Iterator[Driven]:
        """Wait for messages and hand out cases; the cases that are over."""
        for connection in wait([worker.connection for worker in self._workers], LOOK_EVERY):
            worker = next(worker for worker in self._workers if worker.connection is connection)
            try:
                while worker.has_said:
                    driven = self._take(worker, worker.connection.recv())
                    if driven is not None:
                        yield driven
            except (EOFError, ConnectionError):
                worker.gone = True
        for worker in [worker for worker in self._workers if worker.gone]:
            broken = self._reap(worker, waiting)
            if broken is not None:
                yield broken
        if waiting:
            self._fill_up()
        self._hand_out(waiting)

    def _fill_up(self) -> None:
        while len(self._workers) < self._size:
            self._workers.append(self._start())
            self._workers[-1].tell(self._films)

    def _hand_out(self, waiting: deque[Job]) -> None:
        for worker in self._workers:
            if worker.ready and not worker.jobs and waiting:
                worker.give(waiting.popleft())
            elif not worker.ready and monotonic() - worker.started > LOADING_LIMIT:
                raise PolicyError(
                    f"{self._assignment.policy}: did not load within {LOADING_LIMIT:g} s"
                )
        for worker in self._workers:  # the last cases go to whoever is free for them first
            if worker.ready and len(worker.jobs) < AHEAD and len(waiting) > self._size:
                worker.give(waiting.popleft())

    def _take(self, worker: _Worker, message: tuple[Any, ...]) -> Driven | None:
        """A message of a process; the case if that is over."""
        kind, *content = message
        if kind == ROWS:
            worker.rows.take(*content)
        elif kind == BEGUN:
            worker.rows.start = content[0]
        elif kind == READY:
            worker.ready = True
            self._compare(content[0])
            self.start_up_s += monotonic() - worker.started
        elif kind == DONE:
            return Driven(*worker.end_case(), content[0])
        elif kind == USER:
            raise content[0]
        elif kind == BUG:
            failed = RuntimeError(f"a process that drives cases failed: {content[0]}")
            failed.add_note(content[1])
            raise failed
        return None

    def _compare(self, identity: PolicyIdentity) -> None:
        """A process has loaded the policy: it must be the one that the others have."""
        if self._identity is None:
            self._identity = identity
        elif identity != self._identity:
            raise PolicyError(
                f"{self._assignment.policy}: has changed since the run began; start anew with "
                "--overwrite, or put back what it was and go on with --resume"
            )

    def _start(self) -> _Worker:
        here, there = self._context.Pipe()
        clock = StepClock(self._context)
        told = self._assignment
        process = self._context.Process(
            target=work,
            args=(there, clock, told.policy, told.step_timeout, told.further),
            daemon=True,
            name="vista-sim-worker",
        )
        started = monotonic()
        with _environment(THREADS), _interrupts_wait(), _without_main():
            process.start()
        there.close()
        self._watchdog.watch(process, clock)
        return _Worker(process, here, clock, started)

    def _reap(self, worker: _Worker, waiting: deque[Job]) -> Driven | None:
        """A process has ended without being told to; its case, if it had one.

        Those that it had not begun go back to the others that wait.
        """
        worker.connection.close()
        worker.process.join()
        self._workers.remove(worker)
        how = _how_it_ended(worker.process.exitcode)
        reason = self._watchdog.reason(worker.process) or PolicyDiedError(how).reason
        if not worker.jobs:
            if worker.ready:
                return None
            raise PolicyError(
                f"{self._assignment.policy}: its process ended while it was being loaded ({how})"
            )
        spent = Spent(monotonic() - worker.began)
        job, rows = worker.end_case()
        waiting.extendleft(reversed(worker.jobs))
        rows.break_off(unstarted(job), reason)
        return Driven(job, rows, spent)


def _how_it_ended(code: int | None) -> str:
    if code == -signal.SIGKILL:
        return KILLED
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
