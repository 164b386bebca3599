"""Ctrl-C, SIGTERM and a terminal that is closed (SIGHUP) end a command in one line, and not in the
middle of what belongs together.

SIGQUIT is left as it is: who sends it wants the process as it stands, for a core dump.
What was half-written then lies beside its destination, as after SIGKILL, and the next command that
writes there removes it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from time import monotonic
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 1.0  # s in which signals are of one wish to end: a terminal and torchrun both send one
AGAIN = 0.01  # s until a signal is sent again that came where nothing can be raised


class Interrupted(BaseException):
    """A signal asks this process to end.

    It is no KeyboardInterrupt, which libraries of commands answer in words of their own.
    """


@contextlib.contextmanager
def interruptible(line: str) -> Iterator[None]:
    """Where a signal comes in the block, leave it, print a line and exit.

    The signal is raised as `Interrupted` in the main thread, so that `with` and `finally` end
    what was begun. In whatever form it arrives here (compiled code turns it into errors of its
    own), it is told as an interruption. One that comes more than a second later ends the
    process at once. A signal that is ignored stays ignored.

    Args:
        line: for stderr; empty: nothing is said.

    Raises:
        SystemExit: with 128 + the number of the signal, as shells tell it: 130, 143 or 129.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, float]] = []
    show = sys.unraisablehook

    def handle(number: int, frame: FrameType | None) -> None:
        if not came:
            came.append((number, monotonic()))
            raise Interrupted
        first, at = came[0]
        if monotonic() - at > PATIENCE:
            os._exit(128 + first)

    def unraisable(what: sys.UnraisableHookArgs) -> None:
        if not came:
            show(what)
        elif isinstance(what.exc_value, Interrupted):  # in a finalizer or a callback: once more
            number, _ = came.pop()
            threading.Timer(AGAIN, os.kill, (os.getpid(), number)).start()

    before = {n: signal.getsignal(n) for n in SIGNALS if signal.getsignal(n) != signal.SIG_IGN}
    for number in before:
        signal.signal(number, handle)
    sys.unraisablehook = unraisable
    how = ""
    try:
        yield
    except BaseException as error:
        if not came:
            raise
        how = "".join(getattr(error, "__notes__", ()))
    finally:
        if not came:  # else a second signal would be told while the interpreter shuts down
            sys.unraisablehook = show
            for number, handler in before.items():
                signal.signal(number, handler)
    if came:
        if line:
            with contextlib.suppress(OSError):  # its terminal may be closed
                sys.stderr.write(f"{line}{how}\n")
        sys.exit(128 + came[0][0])


@contextlib.contextmanager
def going_on(how: str) -> Iterator[None]:
    """Where a signal ends the block, `interruptible` tells after its line how to go on."""
    try:
        yield
    except Interrupted as interruption:
        interruption.add_note(how)
        raise


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Signals that come in the block are handled after it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {n: handler for n in SIGNALS if (handler := signal.getsignal(n)) is not None}
    for number in before:  # all but those that something else than Python handles
        signal.signal(number, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
