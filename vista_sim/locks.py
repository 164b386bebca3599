"""The right to write to a place: held by one process at a time, and given back when it ends.

The kernel takes a `flock` back in whatever way its process ends, so that nothing that was left
behind keeps anybody out. What is held is a file, which goes with the right to it.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import time
from pathlib import Path
from typing import Self

from vista_sim.files import one_line

logger = logging.getLogger(__name__)

_LOOK = 0.02  # s, more than `is_held` keeps a file from others
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


class Lock:
    """The right to write; a context manager that gives it back.

    On a file system without locks everybody gets it.

    Args:
        path: file to hold, made where it is not there.
        error: raised with one line.
        busy: what to say where somebody else holds it.
        wait: until they give it back, and say so in the log; else `busy` is an error.

    Raises:
        error: somebody else does, or the file cannot be made.
    """

    def __init__(
        self, path: Path, error: type[Exception], busy: str, *, wait: bool = False
    ) -> None:
        self.path = path
        self._file: int | None = None
        while self._file is None:
            try:
                file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
            except OSError as reason:
                raise error(f"{path}: cannot be written ({one_line(reason)})") from None
            try:
                _take(file, busy if wait else None)
            except BlockingIOError:
                os.close(file)
                raise error(busy) from None
            except BaseException:
                os.close(file)
                raise
            if _is_at(path, file):
                self._file = file
            else:  # whoever had it gave it back just now, and the file with it
                os.close(file)

    def release(self) -> None:
        """Give it back. Calling it again does nothing."""
        file, self._file = self._file, None
        if file is not None:
            self.path.unlink(missing_ok=True)
            os.close(file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def is_held(path: Path) -> bool:
    """Whether somebody has the right to write, as far as can be told."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(file)
    return False


def _take(file: int, waiting: str | None) -> None:
    """Lock a file; `waiting` is logged before a wait, and None does not wait: BlockingIOError."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if waiting is None:
            time.sleep(_LOOK)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        logger.warning("%s", waiting)
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as reason:
        if reason.errno not in _NO_LOCKS:
            raise BlockingIOError(*reason.args) from None


def _is_at(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except FileNotFoundError:
        return False
