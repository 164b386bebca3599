"""A process that drives cases: it takes jobs from a connection and sends back their rows.

Each step's rows are sent before the policy is asked for the next one, so that nothing is lost
when the process is killed because the policy does not come back.

To the worker: the videos to make or None, then each `Job`; the end of the connection ends it.
From it, tuples that begin with one of the names below.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from time import perf_counter
from typing import TYPE_CHECKING

from vista_sim.errors import VistaError
from vista_sim.failures import explained, summary
from vista_sim.policies import StepClock
from vista_sim.policies.identity import load_identified
from vista_sim.policies.policy import policy_sensors
from vista_sim.scenarios.further import FurtherSensor, all_sensors

if TYPE_CHECKING:
    from vista_sim.evaluation.suites.driving import Job
    from vista_sim.evaluation.suites.rows import Row
    from vista_sim.runs.filming import Films

READY = "ready"  # PolicyIdentity: the policy is loaded
BEGUN = "begun"  # start: an episode has begun
ROWS = "rows"  # steps, timings, episodes, frames
DONE = "done"  # Spent: the case is over
USER = "user"  # VistaError: something the user gave cannot be used
BUG = "bug"  # text: an error in one line, and its traceback

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(frozen=True)
class Spent:
    """Wall time of a case, s.

    Args:
        total: all of it.
        staging: making its world, and its first view.
        filming: making its video.
    """

    total: float
    staging: float = 0.0
    filming: float = 0.0

    @classmethod
    def since(cls, started: float, before: tuple[float, float], now: tuple[float, float]) -> Spent:
        """From a moment on, with what a `CaseDriver` had spent then and has spent now."""
        return cls(perf_counter() - started, now[0] - before[0], now[1] - before[1])


class Stream:
    """Takes rows and sends them on."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.steps: list[Row] = []
        self.timings: list[Row] = []
        self.episodes: list[Row] = []
        self.frames: list[Row] = []

    def begun(self, start: Row) -> None:
        """An episode has begun."""
        self._connection.send((BEGUN, start))
        self.flush_now_and_then()

    def flush_now_and_then(self) -> None:
        """Send what has come."""
        tables = (self.steps, self.timings, self.episodes, self.frames)
        self._connection.send((ROWS, *tables))
        for rows in tables:  # who fills one may hold on to it
            rows.clear()


def work(
    connection: Connection,
    clock: StepClock,
    policy: str,
    step_timeout: float | None,
    further: Sequence[FurtherSensor] = (),
) -> None:
    """Load a policy, and drive cases until told to end or the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    _die_with_the_parent()
    os.dup2(2, 1)  # what a policy prints must not get between what the parent prints
    sys.stdout = sys.stderr
    try:
        _work(connection, clock, policy, step_timeout, further)
    except (EOFError, ConnectionError):
        return
    except VistaError as error:
        connection.send((USER, error))
    except Exception as error:
        line, status = explained(error)
        told = VistaError(line) if status == 2 else None  # what the machine has no more of
        connection.send((USER, told) if told else (BUG, summary(error), traceback.format_exc()))


def _die_with_the_parent() -> None:
    """A policy that never comes back must not outlive a parent that was killed: prctl(2)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _work(
    connection: Connection,
    clock: StepClock,
    policy: str,
    step_timeout: float | None,
    further: Sequence[FurtherSensor],
) -> None:
    import cv2

    from vista_sim.evaluation.suites.driving import CaseDriver

    cv2.setNumThreads(1)
    loaded, identity = load_identified(policy)
    all_sensors(policy_sensors(loaded), further)
    connection.send((READY, identity))
    films: Films | None = connection.recv()
    driver = CaseDriver(loaded, step_timeout, clock, films)
    while True:
        job: Job = connection.recv()
        started, before = perf_counter(), driver.spent
        stream = Stream(connection)
        driver.drive(job, stream, stream.begun)
        connection.send((DONE, Spent.since(started, before, driver.spent)))
