"""Child processes that end with the one that started them, in whatever way that one ends."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

_PR_SET_PDEATHSIG = 1  # prctl(2)


def start(arguments: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a program that the kernel ends when the calling thread's process is gone.

    A process that is killed cannot end its children itself; on Linux the kernel does. Elsewhere
    they are ended by those who started them alone, see `end`.

    Args:
        arguments: the program and its arguments.
        options: of `subprocess.Popen`.
    """
    return subprocess.Popen(
        list(arguments),
        start_new_session=True,  # Ctrl-C is for this process, which then ends the child
        preexec_fn=_tied_to_parent(),
        **options,
    )


def end(child: subprocess.Popen[bytes], patience: float = 5.0) -> None:
    """Ask a child to end, and make it after so many seconds."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _tied_to_parent() -> Callable[[], None] | None:
    """What a child calls before it becomes the program; None where the system cannot do it."""
    if not sys.platform.startswith("linux"):
        return None
    try:  # looked up before the fork: little may be done between fork and exec
        prctl = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return None
    parent = os.getpid()

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # it ended before the kernel was asked
            os._exit(1)

    return tie
