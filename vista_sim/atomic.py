"""Files and folders that appear whole or not at all: the one way in which anything is written.

What is being written lies beside its destination under a hidden name (`.NAME.part-XXXX`), on which
its writer holds a lock that the kernel takes back when the process ends, in whatever way. The next
writer of the same destination removes what nobody holds any more.

A folder takes the place of another in one step where the system can exchange two names (Linux,
renameat2), so that there is always one under the name. Elsewhere the old one is `.NAME.old-XXXX`
for a moment; where a kill leaves it so, the next writer puts it back, and `left_beside` tells a
reader about it.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from vista_sim.files import one_line
from vista_sim.interrupts import uninterrupted
from vista_sim.locks import is_held

FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_AT_FDCWD = -100  # of Linux's fcntl.h
_RENAME_EXCHANGE = 2  # renameat2(2)
_CANNOT_EXCHANGE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)


class WholeFolder:
    """A hidden folder beside a destination, which takes its place when it is whole.

    A context manager: what is not finished when the block ends is removed.

    Args:
        destination: that appears; a link to a folder is followed.

    Attributes:
        path: the folder to write into.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, destination: Path) -> None:
        self.destination = resolved(destination)
        sweep(self.destination)
        while True:
            self.path = _hidden(self.destination, "part")
            self.path.mkdir()
            self._lock = _hold(self.path)
            if self._lock is not None:
                break

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.discard()

    def finish(self, check: Callable[[Path], None] | None = None) -> None:
        """Put the folder in its place; what was there is removed after that.

        Args:
            check: see `replace_folder`.
        """
        replace_folder(self.path, self.destination, check)
        self._let_go()

    def discard(self) -> None:
        """Remove the folder, unless it is finished."""
        if self._lock is not None:
            shutil.rmtree(self.path, ignore_errors=True)
            self._let_go()

    def _let_go(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A hidden name beside `path` to write to, renamed to it where the block ends well.

    Else what was at `path` stays, and nothing of what was written.
    """
    with _named(path):
        sweep(path)
        part, lock = _new_part(path)
        try:
            yield part
            os.replace(part, path)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
        finally:
            os.close(lock)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, onto the disk. Raises OSError."""
    write_together([(path, data)])


def write_together(files: Sequence[tuple[Path, bytes]]) -> None:
    """Write files that belong together, each whole; they take their places at the same moment, as
    nearly as names can be changed; Ctrl-C and SIGTERM do not part them. Raises OSError, and then
    none has.

    Until the last has its name, what the others replace is kept beside them, where `kept_beside`
    finds it: a process that is killed between two names has still left the files of before.
    """
    parts: list[tuple[Path, Path, int]] = []
    try:
        for path, data in files:
            with _named(path):
                sweep(path)
                part, lock = _new_part(path)
                parts.append((part, path, lock))
                part.write_bytes(data)
                _sync(part)
        with uninterrupted():
            _rename_together([(part, path) for part, path, _ in parts])
    except BaseException:
        for part, _, _ in parts:
            with suppress(OSError):
                part.unlink()
        raise
    finally:
        for _, _, lock in parts:
            os.close(lock)


def _rename_together(parts: Sequence[tuple[Path, Path]]) -> None:
    """Give all files their names. Raises OSError, and then none has."""
    placed: list[tuple[Path, Path | None]] = []  # all but the last, with what was there
    try:
        for part, path in parts:
            with _named(path):
                if path != parts[-1][1]:
                    placed.append((path, _kept(path)))
                os.replace(part, path)
    except BaseException:
        for path, old in placed:
            with suppress(OSError):
                if old is not None:
                    os.replace(old, path)
                else:
                    path.unlink()
        raise
    for _, old in placed:
        if old is not None:
            with suppress(OSError):
                old.unlink()


def _kept(path: Path) -> Path | None:
    """A second name for what is at a path, or a copy of it; None where nothing is."""
    if not path.exists():
        return None
    old = _hidden(path, "old")
    try:
        os.link(path, old)
    except OSError:
        shutil.copy2(path, old)
    return old


def kept_beside(path: Path) -> list[Path]:
    """What was at a path before a writer was killed that wrote several files together."""
    return _left(path, "old")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors of writing name the file: those of a handle, which has no name, do not."""
    try:
        yield
    except OSError as error:
        if error.errno is None or (error.filename and ".part-" not in str(error.filename)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _new_part(path: Path) -> tuple[Path, int]:
    """A new hidden file beside a path, and the handle that holds it."""
    while True:
        part = _hidden(path, "part")
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        lock = _hold(part)
        if lock is not None:
            return part, lock


def _sync(path: Path) -> None:
    """Have a file's content on the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_folder(
    new: Path, destination: Path, check: Callable[[Path], None] | None = None
) -> None:
    """Rename a folder to its destination; what was there is removed after that.

    Args:
        check: raises where what is at a path may not be removed, which stays then. It is asked
            about the destination, and again about what was taken from there: another process may
            have put something in its place between the two.
    """
    if check is not None:
        check(destination)
    if not destination.exists():
        os.replace(new, destination)  # fails where a folder with anything in it appears now
        return
    if exchange(new, destination):
        if check is not None:
            try:
                check(new)
            except BaseException:
                exchange(new, destination)
                raise
        shutil.rmtree(new, ignore_errors=True)
        return
    old = _hidden(destination, "old")
    os.replace(destination, old)
    try:
        if check is not None:
            check(old)
        os.replace(new, destination)
    except BaseException:
        os.replace(old, destination)
        raise
    shutil.rmtree(old, ignore_errors=True)


def exchange(one: Path, other: Path) -> bool:
    """Give two files or folders each other's names in one step; False where that cannot be done.

    Raises:
        OSError: one is not there, or may not be renamed.
    """
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    names = os.fsencode(one), os.fsencode(other)
    if renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _CANNOT_EXCHANGE:
        return False
    raise OSError(code, os.strerror(code), str(one), None, str(other))


def sweep(destination: Path) -> None:
    """Remove what ended writers of a destination left beside it; put back what only that holds."""
    for kind in ("old", "part"):
        for left in _left(destination, kind):
            lock = _try_lock(left)
            if lock is None:
                continue
            try:
                if kind == "old" and not os.path.lexists(destination):
                    os.replace(left, destination)
                else:
                    remove(left)
            except OSError:  # another process was faster
                continue
            finally:
                os.close(lock)


def is_being_written(destination: Path) -> bool:
    """Whether somebody writes a destination just now, as far as can be told."""
    return any(is_held(part) for part in _left(resolved(destination), "part"))


def left_beside(destination: Path) -> str:
    """What to tell of a destination that is not there, but was when a writer was ended; or ""."""
    if os.path.lexists(destination):
        return ""
    old = next(iter(_left(destination, "old")), None)
    return "" if old is None else f"; what was there is kept in {old}: rename it to {destination}"


def remove(path: Path) -> None:
    """Remove a file, a link or a folder with all in it; what a link leads to stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def resolved(destination: Path) -> Path:
    """The folder that a link names, where it names one: else a link itself would be replaced."""
    return Path(os.path.realpath(destination)) if destination.is_symlink() else destination


def is_full_disk(error: BaseException) -> bool:
    """Whether an error of Python, PyAV or PyArrow means that nothing more can be written."""
    text = str(error)
    return getattr(error, "errno", None) in FULL_DISK or (
        isinstance(error, OSError) and "No space left on device" in text
    )


def why_not(error: OSError) -> str:
    """What to tell of an error of writing."""
    if is_full_disk(error):
        return "no space left on the device"
    return f"cannot be written ({error.strerror or one_line(error)})"


def _hidden(destination: Path, kind: str) -> Path:
    return destination.with_name(f".{destination.name}.{kind}-{secrets.token_hex(4)}")


def _left(destination: Path, kind: str) -> list[Path]:
    """What lies beside a destination and was made by a writer of it, in use or not."""
    prefix = f".{destination.name}.{kind}-"
    try:
        with os.scandir(destination.parent) as entries:
            names = sorted(entry.name for entry in entries if entry.name.startswith(prefix))
    except OSError:
        return []
    return [destination.with_name(name) for name in names]


def _hold(path: Path) -> int | None:
    """A handle by which a new file or folder is in use; None if it was swept away already."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        with suppress(OSError):  # a file system without locks: nobody can lock it to remove it
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.stat(path).st_ino == os.fstat(handle).st_ino:
            return handle
    except FileNotFoundError:
        pass
    os.close(handle)
    return None


def _try_lock(path: Path) -> int | None:
    """A handle on what nobody else holds; None if somebody does, or that cannot be told."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle
