"""The gate for files from outside: looked at before they are believed.

Whatever a user may have downloaded is opened here, so that sizes, types and magnitudes are
bounded before anything is computed with it. Each function takes the class of error to raise, and
raises it with one line that names the file. Parquet tables have `vista_sim.parquet`.
"""

from __future__ import annotations

import errno
import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

MAX_TEXT = 16 * 2**20  # bytes of a JSON, TOML or text file
#: Of a file larger than so many bytes, more than one in so many must be on the disk: what is all
#: holes takes as long to read as what is not, and holds nothing.
HOLLOW, HOLES = 2**28, 1000
MAX_DEPTH = 100  # lists and objects within each other
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@contextmanager
def open_file(path: Path, error: type[Exception], missing: str = "not found") -> Iterator[BinaryIO]:
    """Open a regular file for reading bytes; a pipe or a device is refused and never waited for.

    Args:
        path: the file; a link to a regular file is one.
        error: raised with one line that names the file.
        missing: what to say where there is none.
    """
    try:
        # Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise error(f"{path}: {missing}") from None
    except (OSError, ValueError) as reason:  # a name with a null byte is a ValueError
        raise error(f"{path}: cannot be read ({one_line(reason)})") from None
    found = os.fstat(descriptor)
    kind = stat.S_IFMT(found.st_mode)
    if kind != stat.S_IFREG:
        os.close(descriptor)
        raise error(f"{path}: is {_KINDS.get(kind, 'no regular file')}; a file is needed")
    if found.st_size > HOLLOW and 512 * found.st_blocks < found.st_size // HOLES:
        os.close(descriptor)
        raise error(f"{path}: of its {found.st_size} bytes hardly any are there; it is damaged")
    with os.fdopen(descriptor, "rb") as file:
        try:
            yield file
        except OSError as reason:
            if reason.errno not in (errno.EIO, errno.ESTALE, errno.EISDIR):
                raise
            raise error(f"{path}: cannot be read ({one_line(reason)})") from None


def require_file(path: Path, error: type[Exception], missing: str = "not found") -> int:
    """Size in bytes of a regular file; for libraries that open it by its name. Raises `error`."""
    with open_file(path, error, missing) as file:
        return os.fstat(file.fileno()).st_size


def absolute(path: str | os.PathLike[str], error: type[Exception]) -> Path:
    """A path from the root on. Raises `error` where the working folder that it is in is gone."""
    try:
        return Path(path).absolute()
    except TypeError:
        raise error(f"{shown(path)}: is no path; give the name of a folder") from None
    except FileNotFoundError:
        raise error(f"{path}: the working folder is gone; give a path that begins with /") from None


def read_bytes(
    path: Path, error: type[Exception], limit: int = MAX_TEXT, missing: str = "not found"
) -> bytes:
    """The content of a file of at most `limit` bytes. Raises `error`."""
    with open_file(path, error, missing) as file:
        size = max(os.fstat(file.fileno()).st_size, 2**16)  # what is asked for takes memory
        content = file.read(min(limit, size) + 1)
    if len(content) > limit:
        raise error(f"{path}: is larger than {limit} bytes; is it the right file?")
    return content


def read_text(
    path: Path, error: type[Exception], limit: int = MAX_TEXT, missing: str = "not found"
) -> str:
    """The content of a UTF-8 file, with or without a byte order mark. Raises `error`."""
    content = read_bytes(path, error, limit, missing)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as reason:
        line = content.count(b"\n", 0, reason.start) + 1
        raise error(
            f"{path}: line {line}: is not UTF-8 text (byte {reason.start}); save it as UTF-8"
        ) from None


def require_object(value: Any, name: str, error: type[Exception]) -> Mapping[str, Any]:
    """A value of a JSON file that must be an object. Raises `error`, which names it."""
    if not isinstance(value, dict):
        raise error(f"{name!r} is {shown(value)}; it must be a JSON object")
    return value


def read_json(
    path: Path, error: type[Exception], limit: int = MAX_TEXT, missing: str = "not found"
) -> Any:
    """The value of a JSON file (see `parse_json`). Raises `error`."""
    text = read_text(path, error, limit, missing)
    try:
        return parse_json(text)
    except ValueError as reason:
        raise error(f"{path}: cannot be read as JSON ({one_line(reason)})") from None


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text whose numbers fit into 64 bits and whose fields are given once.

    Raises:
        ValueError: it is no JSON, is nested more than `MAX_DEPTH` deep, holds NaN, infinity or a
            number that only infinity could stand for, or gives a field twice.
    """
    try:
        value = json.loads(
            text,
            parse_int=_whole,
            parse_float=_real,
            parse_constant=_no_number,
            object_pairs_hook=_without_repetition,
        )
        _check_depth(value)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def _whole(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= int(text) < 2**64:
        raise ValueError(f"the number {text[:20]}... has {len(text)} digits; 64 bits hold 19")
    return int(text)


def _real(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]} is too large")
    return value


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        names: set[str] = set()
        twice = next(name for name, _ in pairs if name in names or names.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"field {one_line(twice)!r} is given twice")
    return values


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise ValueError(f"nested more than {MAX_DEPTH} deep")


def check_real(
    value: Any, name: str, low: float, high: float, error: type[Exception] = ValueError
) -> float:
    """A number from outside as a float. Raises `error` unless it is one from low to high."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise error(f"{name} is {shown(value)}; it must be a number from {low:g} to {high:g}")
    return float(value)


def check_whole(value: Any, name: str, low: int, high: int) -> int:
    """A whole number from outside. Raises ValueError unless it is one from low to high."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} is {shown(value)}; it must be a whole number, {low} to {high}")
    return value


def shown(value: Any) -> str:
    """A value from outside as a short text on one line, of whatever size and type it is."""
    if isinstance(value, int) and not -(10**30) < value < 10**30:
        return "a number of more than 30 digits"
    if isinstance(value, str | bytes) and len(value) > 200:
        value = value[:200]
    elif isinstance(value, dict | list | tuple) and len(value) > 20:
        return f"{type(value).__name__} of {len(value)}"
    try:
        text = " ".join(repr(value).split())
    except (ValueError, RecursionError):  # whole numbers of over 4300 digits have no text
        text = type(value).__name__
    return text if len(text) <= 80 else text[:77] + "..."


def one_line(error: BaseException | str, longest: int = 200) -> str:
    """The message of an error on one line, printable, and at a readable length."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return text if len(text) <= longest else text[: longest - 3] + "..."
