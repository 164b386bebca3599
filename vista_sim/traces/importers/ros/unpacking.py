"""Chunks of bags, unpacked to no more than recorders pack: a few bytes can stand for gigabytes."""

from __future__ import annotations

import bz2
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

MAX_CHUNK = 2**30  # bytes; recorders begin a new chunk at about 1 MB, or after one large message


def bound_chunks() -> None:
    """Have `rosbags` unpack with a bound: its tables of decompressors, by name, get ones that have.

    Calling it again does nothing more.
    """
    import lz4.frame
    from rosbags.rosbag1 import reader
    from rosbags.rosbag2 import storage_mcap

    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd

    made: dict[str, Callable[[], Any]] = {
        "bz2": bz2.BZ2Decompressor,
        "lz4": lz4.frame.LZ4FrameDecompressor,
        "zstd": zstd.ZstdDecompressor,
    }
    of_ros1: dict[str, Any] = getattr(reader, "decompressors", {})
    of_mcap: dict[str, Any] = getattr(storage_mcap, "DECOMPRESSORS", {})
    for name in set(of_ros1) & set(made):
        of_ros1[name] = partial(_unpacked, made[name])
    for name in set(of_mcap) & set(made):
        of_mcap[name] = partial(_unpacked, made[name])


def _unpacked(make: Callable[[], Any], data: bytes, declared: int | None = None) -> bytes:
    """What is packed in a chunk. Raises ValueError: it is more than was declared, or too much."""
    bound = MAX_CHUNK if declared is None else min(declared, MAX_CHUNK)
    content = bytes(make().decompress(data, max_length=bound + 1))
    if len(content) > bound:
        raise ValueError(f"a chunk holds more than the {bound} bytes that it may")
    return content
