"""Decoded frames kept once for all who use them: in a process, and between processes.

Neighbouring frames of one recorded camera at one size form a block. A process has every
block once, however many cameras and environments use it, and a block's arrays lie in a file
that other processes map too, so that the machine has them once. The file is sparse: it takes
what has been decoded. How it stays right without a server and without waiting:

- A file appears whole (written under another name, then linked) and is named after the files
  that its frames come from, their sizes and times, and the libraries that decode them.
- Whoever uses a file holds a shared `flock` on it, which the kernel takes back when the
  process ends in whatever way. A file that nobody holds is never read: it is removed, by the
  last user when it lets go, else by the next process that needs a block.
- A frame is written first and marked, with a checksum, after; who reads an unmarked, cut or
  wrong one decodes it anew. Two that write the same frame write the same bytes.
- Where no file can be made (no writable folder, a full disk, no file handles left) arrays
  stay in the process's own memory. What is read is the same either way.

Files lie in a folder of the user's own in the temporary folder, or in the folder that the
environment variable VISTA_SIM_FRAMES names; VISTA_SIM_FRAMES=private turns files off.
"""

from __future__ import annotations

import errno
import fcntl
import math
import mmap
import os
import resource
import secrets
import struct
import time
import weakref
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import util
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from vista_sim.own_folder import temporary_folder

FOLDER_VARIABLE = "VISTA_SIM_FRAMES"
PRIVATE = "private"

_MAGIC = b"vista-frames/1\0\0"
_PAGE = 4096
_RECORD = struct.Struct("<QQ")  # mark, checksum
_READY = 0x59444145525F4656
_BLOCK_BYTES = 12 * 2**20  # a block is about so large when all its frames are decoded
_MOST, _LEAST = 64, 4  # frames of a block
_FEWEST_BLOCKS = 4  # a smaller cache has blocks of one frame in its own memory

T = TypeVar("T")
Key = tuple[str, int]  # what the frames are, number of the block


@dataclass(frozen=True)
class BlockLayout:
    """The arrays that are kept of each frame, and how many frames a block has."""

    frames: int
    arrays: tuple[tuple[np.dtype[Any], tuple[int, ...]], ...]
    shared: bool

    @classmethod
    def of(
        cls, arrays: Sequence[tuple[Any, tuple[int, ...]]], frame_bytes: int, capacity: int
    ) -> BlockLayout:
        """The layout for a cache of `capacity` bytes, of which a frame takes `frame_bytes`."""
        fields = tuple((np.dtype(dtype), shape) for dtype, shape in arrays)
        frames = max(1, _BLOCK_BYTES // frame_bytes)
        frames = min(max(1 << (frames.bit_length() - 1), _LEAST), _MOST)
        if capacity < _FEWEST_BLOCKS * frames * frame_bytes:
            return cls(1, fields, shared=False)
        return cls(frames, fields, shared=True)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Bytes of each array."""
        return tuple(dtype.itemsize * math.prod(shape) for dtype, shape in self.arrays)

    @cached_property
    def slot_bytes(self) -> int:
        """Room for a frame: whole pages."""
        return -(-sum(-(-size // 64) * 64 for size in self.sizes) // _PAGE) * _PAGE

    @property
    def file_bytes(self) -> int:
        """Size of a block's file: a page of header and marks, then the frames."""
        return _PAGE + self.frames * self.slot_bytes


class Block(Generic[T]):
    """Some neighbouring frames.

    Attributes:
        frames: those that this process has, None elsewhere.
        count: how many these are.
    """

    def __init__(self, key: Key, layout: BlockLayout) -> None:
        self.layout = layout
        self.frames: list[T | None] = [None] * layout.frames
        self.count = 0
        self._file = _BlockFile.open(key, layout) if layout.shared else None

    def keep(self, slot: int, frame: T) -> T:
        """Keep a frame, unless another thread was faster; returns the one that is kept."""
        kept = self.frames[slot]
        if kept is not None:
            return kept
        self.frames[slot] = frame
        self.count += 1
        return frame

    def read(self, slot: int) -> list[NDArray[Any]] | None:
        """The arrays of a frame that another process has decoded, or None."""
        return None if self._file is None else self._file.read(slot)

    def write(self, slot: int, arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Keep the arrays of a frame; those returned, read only, are to be used instead."""
        if self._file is not None:
            kept = self._file.write(slot, arrays)
            if kept is not None:
                return kept
        arrays = [np.ascontiguousarray(array) for array in arrays]
        for array in arrays:
            array.setflags(write=False)
        return arrays

    def let_go(self) -> None:
        """Forget everything."""
        self.frames, self.count = [None] * self.layout.frames, 0
        self._file = None


class FrameBudget:
    """How much memory one user, a camera or a world, spends on frames; oldest blocks go first.

    Frames that several users keep exist once, and as long as one of them keeps them.

    Args:
        capacity: bytes. The block in use is kept in any case.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = int(capacity)
        self._spare = 0  # bytes that may still be added before it is counted again
        # Its operations are atomic, so no lock needs care when a process forks.
        self._blocks: OrderedDict[Key, tuple[Block[Any], int]] = OrderedDict()

    def __reduce__(self) -> tuple[Any, ...]:
        return FrameBudget, (self.capacity,)

    @property
    def used(self) -> int:
        """Bytes of the frames that are kept."""
        return sum(block.count * size for block, size in list(self._blocks.values()))

    def find(self, key: Key) -> Block[Any] | None:
        """A block that is kept; it counts as used just now."""
        found = self._blocks.get(key)
        if found is None:
            return None
        try:
            self._blocks.move_to_end(key)
        except KeyError:  # dropped by another thread meanwhile
            self._blocks[key] = found
        return found[0]

    def take(self, key: Key, layout: BlockLayout, frame_bytes: int) -> Block[Any]:
        """The block of a key, this process's one if there is one, else a new one."""
        block = self.find(key)
        if block is None:
            block = _registry.get((key, layout.frames))
            if block is None:
                block = _registry[key, layout.frames] = Block(key, layout)
            self._blocks[key] = (block, frame_bytes)
        return block

    def trim(self, added: int) -> None:
        """After so many more bytes: let go of the least recently used blocks if need be."""
        self._spare -= added
        if self._spare >= 0:
            return
        while len(self._blocks) > 1 and self.used > self.capacity:
            try:
                self._blocks.popitem(last=False)
            except KeyError:
                break
        self._spare = self.capacity - self.used


#: The blocks of this process, by key and frames of a block.
_registry: weakref.WeakValueDictionary[tuple[Key, int], Block[Any]] = weakref.WeakValueDictionary()


class _BlockFile:
    """The mapped file of a block, held by a lock as long as its arrays are in use."""

    def __init__(self, path: Path, file: int, layout: BlockLayout) -> None:
        self.path = path
        self._layout = layout
        self._inode = os.fstat(file).st_ino
        # The map keeps a handle of its own, and by it the lock.
        self._map = mmap.mmap(file, layout.file_bytes, access=mmap.ACCESS_READ)
        _open_files.add(self)
        weakref.finalize(self._map, _remove_unused, path).atexit = False

    @classmethod
    def open(cls, key: Key, layout: BlockLayout) -> _BlockFile | None:
        """Map the file of a block, made if need be; None where that cannot be."""
        if len(_open_files) >= _most_files():
            return None
        folder = _folder()
        if folder is None:
            return None
        path = folder / f"{key[0]}-{layout.frames}-{key[1]}"
        header = _header(key, layout)
        try:
            for _ in range(20):
                file = _attach(path, header, layout.file_bytes)
                if file is None:
                    file = _create(path, header, layout.file_bytes)
                if file is not None:
                    try:
                        return cls(path, file, layout)
                    finally:
                        os.close(file)
                time.sleep(0.001)  # another process is just making or removing it
        except (OSError, ValueError):
            return None
        return None

    def read(self, slot: int) -> list[NDArray[Any]] | None:
        mark, checksum = _RECORD.unpack_from(self._map, self._record(slot))
        if mark != _READY or not self._whole():
            return None
        arrays = self._arrays(slot)
        return arrays if _checksum(arrays) == checksum else None

    def write(self, slot: int, arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]] | None:
        arrays = [np.ascontiguousarray(array) for array in arrays]
        parts: list[Any] = []
        for array, size in zip(arrays, self._layout.sizes, strict=True):
            parts += [array.data.cast("B"), bytes(-size % 64)]
        try:
            file = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                if os.fstat(file).st_ino != self._inode or not self._whole():
                    return None  # removed behind our back
                at = self._start(slot)
                if os.pwritev(file, parts, at) != sum(len(part) for part in parts):
                    return None
                record = _RECORD.pack(_READY, _checksum(arrays))
                os.pwrite(file, record, self._record(slot))
            finally:
                os.close(file)
        except OSError:  # the disk is full
            return None
        return self._arrays(slot)

    def _whole(self) -> bool:
        """Whether the file still has its size: what is cut off must not be touched."""
        try:
            found = os.stat(self.path)
        except OSError:
            return False
        return found.st_ino == self._inode and found.st_size == self._layout.file_bytes

    def _start(self, slot: int) -> int:
        return _PAGE + slot * self._layout.slot_bytes

    def _record(self, slot: int) -> int:
        return 128 + slot * _RECORD.size

    def _arrays(self, slot: int) -> list[NDArray[Any]]:
        arrays, at = [], self._start(slot)
        for (dtype, shape), size in zip(self._layout.arrays, self._layout.sizes, strict=True):
            flat = np.frombuffer(self._map, dtype, size // dtype.itemsize, at)
            arrays.append(flat.reshape(shape))
            at += -(-size // 64) * 64
        return arrays


_open_files: weakref.WeakSet[_BlockFile] = weakref.WeakSet()


def _checksum(arrays: Sequence[NDArray[Any]]) -> int:
    """Of contiguous arrays. Sums of words: a frame that was not written whole shows in them."""
    total = 0
    for number, array in enumerate(arrays, start=1):
        data = array.reshape(-1).view(np.uint8)
        whole = len(data) // 8 * 8
        total += number * int(data[:whole].view(np.uint64).sum(dtype=np.uint64))
        total += zlib.crc32(data[whole:].data)
    return total % 2**64


def _header(key: Key, layout: BlockLayout) -> bytes:
    about = f"{key[0]} {key[1]} {layout.frames} {layout.slot_bytes}".encode()
    return _MAGIC + struct.pack("<I", zlib.crc32(about)) + about[:100].ljust(100, b"\0")


def _attach(path: Path, header: bytes, size: int) -> int | None:
    """A locked handle of a file that other processes use; None if there is none."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        if _lock(file, fcntl.LOCK_EX):  # nobody uses it: what it holds is not to be trusted
            _unlink(path, file)
        elif _lock(file, fcntl.LOCK_SH) and _is_at(path, file):
            if os.fstat(file).st_size == size and os.pread(file, len(header), 0) == header:
                return file
            raise ValueError(f"{path} is malformed")
    except BaseException:
        os.close(file)
        raise
    os.close(file)
    return None


def _create(path: Path, header: bytes, size: int) -> int | None:
    """A locked handle of a new file; None if another process was faster."""
    draft = path.with_name(f".{secrets.token_hex(8)}")
    file = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_SH)
        os.ftruncate(file, size)
        os.pwrite(file, header, 0)
        os.link(draft, path)
    except (FileExistsError, FileNotFoundError):  # or it was swept away before the lock
        os.close(file)
        return None
    except BaseException:
        os.close(file)
        raise
    finally:
        draft.unlink(missing_ok=True)
    return file


def _lock(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EINTR):
            return False
        raise
    return True


def _is_at(path: Path, file: int) -> bool:
    try:
        return os.stat(path).st_ino == os.fstat(file).st_ino
    except FileNotFoundError:
        return False


def _unlink(path: Path, file: int) -> None:
    """Remove a file, of which `file` is an exclusively locked handle."""
    if _is_at(path, file):
        path.unlink(missing_ok=True)


def _remove_unused(path: Path) -> None:
    """Remove a file that nobody holds."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        if _lock(file, fcntl.LOCK_EX):
            _unlink(path, file)
    except OSError:
        return
    finally:
        os.close(file)


def _most_files() -> int:
    """How many files to keep mapped: a part of the handles that the process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 4096 if soft == resource.RLIM_INFINITY else min(4096, int(soft) // 4)


#: Process and folder that were last found usable, and the folder that was asked for.
_checked: tuple[int, str | None, Path | None] = (-1, None, None)


def _folder() -> Path | None:
    """The folder of the blocks' files, swept once a process; None where there can be none."""
    global _checked
    asked = os.environ.get(FOLDER_VARIABLE)
    if _checked[:2] != (os.getpid(), asked):
        folder = None
        if asked != PRIVATE:
            folder = temporary_folder(asked)
        if folder is not None:
            for path in folder.iterdir():
                if not path.is_dir():  # such as that of compiled code
                    _remove_unused(path)
            util.Finalize(None, _let_go_of_all, exitpriority=0)
        _checked = (os.getpid(), asked, folder)
    return _checked[2]


def _let_go_of_all() -> None:
    """When a process ends: its last use of a file removes the file."""
    paths = [file.path for file in list(_open_files)]
    for block in list(_registry.values()):
        block.let_go()
    for path in paths:
        _remove_unused(path)
