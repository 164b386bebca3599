"""How a command ends that could not do what it was asked: in one line, whatever happened.

    a user's mistake (`vista_sim.errors`)              the line, status 2
    the machine has no more (disk, memory, files)      the line, what is kept, status 2
    anything else: a defect of the program             the line, how to see where, status 1

With `--debug` anywhere on the command line, or VISTA_SIM_DEBUG=1, the traceback comes before it.
What goes wrong in threads, and what is logged with an error, is one line likewise.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from vista_sim.atomic import is_full_disk, why_not
from vista_sim.errors import VistaError
from vista_sim.files import one_line

DEBUG = "VISTA_SIM_DEBUG"
OPTION = "--debug"
LONGEST = 900  # characters of a line: two long paths, and what is wrong with them
#: What the machine, and no defect, is the cause of.
_MACHINE = frozenset(
    (
        *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM),
        *(errno.EMFILE, errno.ENFILE, errno.EIO, errno.ESTALE, errno.ENAMETOOLONG, errno.ELOOP),
        *(errno.ENOMEM, errno.ENODEV, errno.ENXIO, errno.EISDIR, errno.ENOTDIR),
    )
)


#: What threads had no space for: told where the command does not end by it too.
_postponed: list[str] = []


@contextlib.contextmanager
def one_line_endings(prefix: str, kept: str) -> Iterator[None]:
    """End the process in one line on stderr where the block raises.

    Args:
        prefix: of the line, such as "error: ".
        kept: what is left where the machine has no more, and how to go on.

    Raises:
        SystemExit: with status 2 for a mistake or the machine, 1 for a defect.
    """
    _log_in_one_line()
    before, threading.excepthook = threading.excepthook, _tell_of_thread
    _postponed.clear()
    try:
        yield
        sys.stderr.writelines(dict.fromkeys(_postponed))
        sys.stdout.flush()
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            sys.exit(1)
        if debugging():
            traceback.print_exc()
        line, status = explained(error, kept)
        sys.stderr.write(prefix + line + "\n")
        sys.exit(status)
    finally:
        threading.excepthook = before


def _log_in_one_line() -> None:
    if not logging.getLogger().handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(OneLine("%(levelname)s: %(message)s"))
        logging.getLogger().addHandler(handler)


def _nobody_reads() -> bool:
    """Whether stdout is a pipe whose reader has read enough; nothing more is written there."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def explained(error: BaseException, kept: str = "") -> tuple[str, int]:
    """An error as one line, and the status that a command ends with.

    Args:
        kept: see `one_line_endings`; it is no matter of room where a permission is missing.
    """
    if isinstance(error, VistaError):
        return one_line(error, LONGEST), 2
    after = f"; {kept}" if kept else ""
    if isinstance(error, PermissionError):
        after = "; give the right to read or write it, or name another place"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        said = f" ({one_line(error)})" if str(error) else ""
        return f"there is not enough memory{said}{after}", 2
    if isinstance(error, OSError) and (error.errno in _MACHINE or is_full_disk(error)):
        where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        why = why_not(error) if is_full_disk(error) else one_line(error.strerror or error)
        return one_line(f"{where}{why}{after}", LONGEST), 2
    return f"{summary(error)}; this is a defect of the program: {OPTION} shows its traceback", 1


def summary(error: BaseException) -> str:
    """Type, message and place of an error that nobody foresaw, in one line."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    said = f": {one_line(error)}" if str(error) else ""
    return f"{type(error).__name__}{said}{place}"


def debugging() -> bool:
    """Whether tracebacks are wanted, by the environment variable."""
    return os.environ.get(DEBUG, "") not in ("", "0")


def without_debug(arguments: Sequence[str]) -> list[str]:
    """Arguments without `--debug`; where it is among them, this process and those that it starts
    show tracebacks.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    left = [argument for argument in arguments[:end] if argument != OPTION]
    if len(left) < end:
        os.environ[DEBUG] = "1"
    return [*left, *arguments[end:]]


class OneLine(logging.Formatter):
    """Writes a message, and the error that it is logged with, on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; with `--debug` the traceback after it."""
        error = record.exc_info[1] if record.exc_info else None
        if error is None or debugging():
            return super().format(record)
        plain = {**record.__dict__, "exc_info": None, "exc_text": None}
        text = super().format(logging.makeLogRecord(plain))
        return f"{' '.join(text.split())} ({summary(error)})"


def _tell_of_thread(what: threading.ExceptHookArgs) -> None:
    if what.exc_type is SystemExit or what.exc_value is None:
        return
    if debugging():
        traceback.print_exception(what.exc_value)
    name = "a thread" if what.thread is None else f"thread {what.thread.name}"
    line = f"error: in {name}: {explained(what.exc_value)[0]}\n"
    if is_full_disk(what.exc_value):
        _postponed.append(line)
    else:
        sys.stderr.write(line)
