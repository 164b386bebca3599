"""A thread that decodes the frames a drive needs next, while the step computes.

One a process, started when there is something to do, gone when there has been nothing for a
while. What is decoded is the same with or without it. The environment variable
VISTA_SIM_PREFETCH=0 turns it off.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

VARIABLE = "VISTA_SIM_PREFETCH"
_PENDING = 64  # jobs; with more, the oldest are no longer worth doing
_IDLE = 0.5  # s without a job after which the thread ends

Job = Callable[[], object]


class Prefetcher:
    """Does jobs in the background, in order; a job has a key, and each key one job."""

    def __init__(self) -> None:
        self._state = threading.Condition()
        self._jobs: OrderedDict[Hashable, Job] = OrderedDict()
        self._current: Hashable | None = None
        self._paused = self._stopped = False
        self._thread: threading.Thread | None = None

    def request(self, key: Hashable, job: Job) -> None:
        """Have a job done some time, or not at all."""
        with self._state:
            if self._stopped or key in self._jobs or key == self._current:
                return
            self._jobs[key] = job
            while len(self._jobs) > _PENDING:
                self._jobs.popitem(last=False)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="vista_sim-prefetch", daemon=True
                )
                self._thread.start()
            else:
                self._state.notify_all()

    def claim(self, key: Hashable) -> None:
        """Before doing a job oneself: wait if it is being done, forget it if it is to be done."""
        if self._thread is None:
            return
        with self._state:
            self._jobs.pop(key, None)
            while self._current == key:
                self._state.wait()

    def stop(self) -> None:
        """End the thread; nothing is done from now on."""
        with self._state:
            self._stopped = True
            self._jobs.clear()
            thread = self._thread
            self._state.notify_all()
        if thread is not None:
            thread.join(timeout=5)

    def pause(self) -> None:
        """Wait for the job being done, and begin none until `resume`."""
        self._state.acquire()
        self._paused = True
        while self._current is not None:
            self._state.wait()

    def resume(self) -> None:
        """Go on after `pause`, in the same thread."""
        self._paused = False
        self._state.notify_all()
        self._state.release()

    def _work(self) -> None:
        while True:
            with self._state:
                while self._paused or not self._jobs:
                    idle = not self._state.wait(_IDLE) and not self._jobs
                    if self._stopped or (idle and not self._paused):
                        self._thread = None
                        return
                key, job = self._jobs.popitem(last=False)
                self._current = key
            try:
                job()
            except Exception:  # whoever needs the frame meets the error, and reports it
                pass
            finally:
                del job
                with self._state:
                    self._current = None
                    self._state.notify_all()


_prefetcher: Prefetcher | None = None


def prefetcher() -> Prefetcher | None:
    """The one of this process; None if it is turned off."""
    global _prefetcher
    if os.environ.get(VARIABLE) == "0":
        return None
    if _prefetcher is None:
        _prefetcher = Prefetcher()
        atexit.register(_prefetcher.stop)
    return _prefetcher


def _before_fork() -> None:
    # Else the child could inherit a lock of FFmpeg or Numba that nobody there would open.
    if _prefetcher is not None:
        _prefetcher.pause()


def _after_fork_in_parent() -> None:
    if _prefetcher is not None:
        _prefetcher.resume()


def _after_fork_in_child() -> None:
    global _prefetcher
    if _prefetcher is not None:  # its thread was left behind
        atexit.unregister(_prefetcher.stop)
        _prefetcher = None


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
