"""Kills processes whose policy does not come back: the parent's half of the guard.

clock = StepClock(context)                     # in the parent; goes to the child on its start
child = context.Process(target=drive, args=(clock, ...))
child.start()                                  # GuardedPolicy(policy, step_timeout, clock)
with Watchdog() as watchdog:
    watchdog.watch(child, clock)
    child.join()
    watchdog.reason(child)                     # "timed out: ..." if it was killed, else None
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Mapping
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from time import monotonic
from types import TracebackType
from typing import Any, Self

from vista_sim.errors import PolicyTimeoutError

GRACE = 2.0  # s beyond the limit in which the alarm inside the process has its chance
INTERVAL = 0.1  # s between looks


class StepClock:
    """Says when the step that goes on in a process must be over; shared with its parent.

    One process writes, others read: a double is written whole. Times are of CLOCK_MONOTONIC,
    which all processes of a machine share.

    Args:
        context: of the processes.
    """

    def __init__(self, context: BaseContext | None = None) -> None:
        raw: Any = (context or multiprocessing.get_context()).RawArray("d", 2)
        self._times = raw  # when it must be over (0: no step goes on), and the limit

    def begin(self, limit: float) -> None:
        """A step begins that may take `limit` seconds."""
        self._times[1] = limit
        self._times[0] = monotonic() + limit

    def end(self) -> None:
        """The step is over."""
        self._times[0] = 0.0

    def overdue(self) -> float:
        """Seconds by which the step exceeds its limit; negative while it does not."""
        until = float(self._times[0])
        return monotonic() - until if until else float("-inf")

    @property
    def limit(self) -> float:
        """Of the last step, s."""
        return float(self._times[1])


class Watchdog:
    """A thread that kills watched processes that are overdue; a context manager.

    Args:
        grace: s beyond the limit after which a process is killed.
    """

    def __init__(self, grace: float = GRACE) -> None:
        self.grace = grace
        self._watched: dict[BaseProcess, StepClock] = {}
        self._reasons: dict[BaseProcess, str] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, name="policy-watchdog", daemon=True)

    def watch(self, process: BaseProcess, clock: StepClock) -> None:
        """Watch a process that was started, until it ends."""
        with self._lock:
            self._watched[process] = clock

    def reason(self, process: BaseProcess) -> str | None:
        """Why a process was killed, as `PolicyTimeoutError.reason` says it; None: it was not."""
        with self._lock:
            return self._reasons.get(process)

    @property
    def reasons(self) -> Mapping[BaseProcess, str]:
        """Why processes were killed."""
        with self._lock:
            return dict(self._reasons)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(INTERVAL):
            with self._lock:
                for process, clock in list(self._watched.items()):
                    if not process.is_alive():
                        del self._watched[process]
                    elif clock.overdue() > self.grace:
                        late = PolicyTimeoutError(
                            f"took longer than {clock.limit:g} s and could not be interrupted; "
                            "its process was killed"
                        )
                        self._reasons[process] = late.reason
                        process.kill()
                        del self._watched[process]
