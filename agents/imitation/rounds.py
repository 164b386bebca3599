"""Rounds of frames, gathered by another process while the network is trained."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Protocol

from vista_sim.errors import VistaError
from vista_sim.interrupts import SIGNALS

from ..leading import leads
from .frames import Frames

_POLL = 0.05  # s between two looks for a file that another process writes


class Maker(Protocol):
    """Gathers the frames of a round."""

    def make(self, number: int, weights: Path | None = None) -> Frames:
        """The frames of round `number`, by the policy with these weights, where it needs one."""


class RoundError(VistaError, RuntimeError):
    """A round of data could not be made."""


class Rounds:
    """Files of frames by number.

    A file that is there is used: a resumed training goes on with the same data. Of several
    processes that train together, the first makes the files and the others wait for them.

    Args:
        folder: of the files.
        maker: makes a `Maker`; called once, in the process that gathers.
        background: gather in another process; False: when a round is first wanted, in this one.
    """

    def __init__(self, folder: Path, maker: Callable[[], Maker], background: bool = True) -> None:
        self._folder = folder
        self._factory = maker
        self._maker: Maker | None = None
        self._pool: ProcessPoolExecutor | None = None
        self._workers: list[BaseProcess] = []
        self._background = background
        self._leads = leads()
        self._pending: dict[int, Future[None]] = {}
        self._wanted: dict[int, Path | None] = {}
        self._loaded: dict[int, Frames] = {}

    def request(self, number: int, weights: Path | None = None) -> None:
        """Begin to make a round, unless it is there or begun."""
        if number in self._wanted:
            return
        self._wanted[number] = weights
        if not (self._leads and self._background) or self.path(number).exists():
            return
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                1, multiprocessing.get_context("spawn"), _open_maker, (self._factory,)
            )
        others = multiprocessing.active_children()
        with _undisturbed():  # submitting starts the process
            self._pending[number] = self._pool.submit(_make, number, weights, self.path(number))
            self._workers += [p for p in multiprocessing.active_children() if p not in others]

    def get(self, number: int) -> Frames:
        """The frames of a round; waits for them. Raises RoundError, PolicyError."""
        if number not in self._loaded:
            self.request(number)
            self._wait(number)
            self._loaded[number] = Frames.load(self.path(number))
        return self._loaded[number]

    def drop(self, number: int) -> None:
        """Forget a round and delete its file."""
        self._loaded.pop(number, None)
        if self._leads:
            self.path(number).unlink(missing_ok=True)

    def path(self, number: int) -> Path:
        """Where a round is kept."""
        return self._folder / f"round-{number + 1:05d}.safetensors"

    def close(self) -> None:
        """End the process that gathers, in the middle of its round: nobody waits for it."""
        if self._pool is not None:
            for worker in self._workers:
                worker.kill()
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
            for left in self._folder.glob(".round-*.part-*"):
                left.unlink(missing_ok=True)

    def _wait(self, number: int) -> None:
        pending = self._pending.pop(number, None)
        if pending is not None:
            try:
                pending.result()
            except BrokenProcessPool:
                raise RoundError(
                    f"{self.path(number)}: the process that gathers data ended (out of memory?); "
                    "go on with --resume"
                ) from None
            return
        while not self.path(number).exists():
            if self._leads:
                self._maker = self._maker or self._factory()
                self._maker.make(number, self._wanted[number]).save(self.path(number))
            else:
                time.sleep(_POLL)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Processes that are started here are deaf to the signals that a terminal or a batch system
    sends to all: the one that trains ends them.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# Of the process that gathers: what makes its maker, and the maker once it is needed.
_factory: Callable[[], Maker] | None = None
_maker: Maker | None = None


def _open_maker(factory: Callable[[], Maker]) -> None:
    import torch

    global _factory
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _factory = factory


def _end_with_parent() -> None:
    """End this process when the one that trains was killed; nothing else would."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _make(number: int, weights: Path | None, path: Path) -> None:
    global _maker
    if _maker is None:  # an error here reaches the process that waits; one on opening would not
        assert _factory is not None
        _maker = _factory()
    _maker.make(number, weights).save(path)
