"""`vista-train`: the commands that train policies. Heavy parts load when a command runs."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from .leading import leads

INTERRUPTED = "vista-train: interrupted"
KEPT = "the last checkpoint is kept: make room, and go on with --resume"
GO_ON = "; a training goes on from its last checkpoint with --resume"


def main(args: list[str] | None = None) -> None:
    """Entry point of `vista-train`. A user's mistake is one line on stderr and exit status 2, a
    defect one line and status 1 (see `vista_sim.failures`); Ctrl-C and SIGTERM are one line and
    status 130 and 143.
    """
    with _ended_at_once():
        from vista_sim import __version__
        from vista_sim.failures import one_line_endings, without_debug
        from vista_sim.interrupts import interruptible
    args = without_debug(sys.argv[1:] if args is None else args)
    if args[:1] == ["--version"]:
        print(__version__)
        return
    with one_line_endings("vista-train: ", KEPT):
        with _ended_at_once():
            _need_training_extra()
            from .commands import run
        with interruptible(INTERRUPTED + GO_ON if leads() else ""):
            run(args)


@contextlib.contextmanager
def _ended_at_once() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the process in the midst of the imports in the block.

    Nothing needs to be tidied up by then, and packages would answer an exception in their own
    ways. (`vista_sim.interrupts` is not there yet: it takes a while to import, too.)
    """

    def end(number: int, frame: FrameType | None) -> None:
        if leads():
            os.write(2, f"{INTERRUPTED}\n".encode())
        os._exit(128 + number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _need_training_extra() -> None:
    from importlib.util import find_spec

    from vista_sim.errors import MissingDependencyError

    for name in ("tyro", "torch", "safetensors", "tensorboard"):
        if find_spec(name) is None:
            raise MissingDependencyError(
                f"{name} is not installed; training needs the extra: pip install 'vista-sim[train]'"
            )
