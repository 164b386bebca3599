"""The content of files, by hashes that are remembered while the files are as they were.

A file is taken as unchanged if size, time of its last change, time of the last change of its
entry and inode are all the same; else its content is looked at. Those of large files are also
remembered in the user's cache folder, from one process to the next.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from vista_sim.files import open_file, read_json
from vista_sim.own_folder import cache_folder

State = tuple[int, int, int, int]

#: A change within the same tick of the file system's clock as the one before leaves no trace in a
#: file's times; those of the coarsest that are in use tick every two seconds.
SETTLED_NS = 2 * 10**9
LARGE = 16 * 2**20  # bytes from which on a hash is worth a file
REMEMBERED = 1000  # large files
FORMAT = "vista-digests/1"
MOST_FILES = 10_000  # of a folder that a policy or package is

_known: dict[str, tuple[State, str]] = {}


def file_state(found: os.stat_result) -> State:
    """Size, mtime_ns, ctime_ns and inode: what must be the same for a file to be unchanged."""
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def state_of(path: str | os.PathLike[str]) -> State | None:
    """The state of a file; None where there is none."""
    try:
        return file_state(os.stat(path))
    except (OSError, ValueError):
        return None


def content_digest(path: Path, error: type[Exception]) -> str:
    """SHA-256 of a file's content. Raises `error` where it cannot be read."""
    name = os.path.abspath(path)
    state = state_of(name)
    found = _known.get(name)
    if found is not None and found[0] == state:
        return found[1]
    with open_file(path, error) as file:
        state = file_state(os.fstat(file.fileno()))
        found = _from_cache(name) if state[0] >= LARGE else None
        if found is not None and found[0] == state:
            _known[name] = found
            return found[1]
        digest = hashlib.file_digest(cast(Any, file), "sha256").hexdigest()
        settled = time.time_ns() - state[2] > SETTLED_NS
        if settled and file_state(os.fstat(file.fileno())) == state:
            _known[name] = state, digest
            if state[0] >= LARGE:
                _to_cache(name, state, digest)
    return digest


def combined(parts: Mapping[str, Any]) -> str:
    """SHA-256 over named parts, whatever their order; values are JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def files_digests(files: Mapping[str, Path], error: type[Exception]) -> dict[str, str]:
    """SHA-256 of the content of files by the name under which each is used. Raises `error`."""
    return {name: content_digest(path, error) for name, path in files.items()}


def files_digest(files: Mapping[str, Path], error: type[Exception]) -> str:
    """SHA-256 over files by the name under which each is used. Raises `error`."""
    return combined(files_digests(files, error))


def digest_of_digests(files: Iterable[Path], error: type[Exception]) -> str:
    """SHA-256 over the SHA-256 of files, one after the other. Raises `error`."""
    digests = (bytes.fromhex(content_digest(path, error)) for path in files)
    return hashlib.sha256(b"".join(digests)).hexdigest()


def files_below(folder: Path, error: type[Exception]) -> dict[str, Path]:
    """All files of a folder and those below it, by their path in it; none that are hidden or that
    Python compiled. Raises `error` for more than `MOST_FILES`.
    """
    found: dict[str, Path] = {}
    for path in _walk(folder):
        found[path.relative_to(folder).as_posix()] = path
        if len(found) > MOST_FILES:
            raise error(f"{folder}: holds more than {MOST_FILES} files; is it the right folder?")
    return found


def _walk(folder: Path) -> Iterator[Path]:
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(n for n in folders if n != "__pycache__" and not n.startswith("."))
        for name in sorted(names):
            path = Path(base, name)
            if not name.startswith(".") and path.suffix != ".pyc" and path.is_file():
                yield path


def _cache_file() -> Path:
    return cache_folder() / "digests.json"


def _from_cache(name: str) -> tuple[State, str] | None:
    found = _read_cache().get(name)
    if not (isinstance(found, list) and len(found) == 5 and isinstance(found[4], str)):
        return None
    size, modified, changed, inode, digest = found
    return (size, modified, changed, inode), digest


def _read_cache() -> dict[str, Any]:
    try:
        values = read_json(_cache_file(), ValueError)
    except (ValueError, OSError):
        return {}
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        return {}
    files = values.get("files")
    return files if isinstance(files, dict) else {}


def _to_cache(name: str, state: State, digest: str) -> None:
    """Remember a large file's hash; where nothing can be written it is made again next time."""
    files = _read_cache()
    files.pop(name, None)
    files[name] = [*state, digest]
    kept: Iterable[tuple[str, Any]] = list(files.items())[-REMEMBERED:]
    path = _cache_file()
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")  # others write it too
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(json.dumps({"format": FORMAT, "files": dict(kept)}))
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
