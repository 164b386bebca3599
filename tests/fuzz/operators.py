"""Named ways to damage a file. Those of a format register themselves from their own modules."""

from __future__ import annotations

import os
import random
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ALL = "*"
LARGEST = 2**24  # bytes of a file that is damaged
OUTSIDE = "outside"  # folder of what must not be read


class NotApplicableError(Exception):
    """The operator finds nothing in this file that it could damage."""


@dataclass(frozen=True)
class Operator:
    """One way to damage a file.

    Args:
        name: told with each fault.
        suffixes: of the files that it damages; "*": any.
        apply: damages the file; may return "refused": what then is accepted is a fault.
    """

    name: str
    suffixes: tuple[str, ...]
    apply: Callable[[random.Random, Path], str | None]


OPERATORS: dict[str, Operator] = {}


def operator(name: str, *suffixes: str) -> Callable[[Callable[..., str | None]], Callable]:
    """Registers a function (rng, path) under a name, for files with one of the suffixes."""

    def register(function: Callable[..., str | None]) -> Callable:
        assert name not in OPERATORS, name
        OPERATORS[name] = Operator(name, suffixes or (ALL,), function)
        return function

    return register


def is_damageable(path: Path) -> bool:
    """Whether it is a file of its own that is small enough to be read."""
    return path.is_file() and not path.is_symlink() and path.stat().st_size <= LARGEST


def fitting(path: Path) -> list[Operator]:
    """The operators for a file: those of its format twice, so that they are not outnumbered."""
    own = [o for o in OPERATORS.values() if path.suffix in o.suffixes]
    return own + own + [o for o in OPERATORS.values() if o.suffixes == (ALL,)]


def extreme(rng: random.Random) -> float:
    """A number that few expect."""
    return rng.choice(
        (
            *(0.0, -0.0, -1.0, 1e-9, 5e-324, 1e-310, 1e9, -1e9, 1e18, 2.0**53, 2.0**63, 1e154),
            *(1e155, 1e300, -1e300, 1.7e308, float("nan"), float("inf"), float("-inf")),
        )
    )


# Bytes


@operator("truncate")
def truncate(rng, path):
    data = path.read_bytes()
    if not data:
        raise NotApplicableError
    keep = rng.randrange(len(data)) if rng.random() < 0.7 else max(0, len(data) - rng.randint(1, 9))
    path.write_bytes(data[:keep])


@operator("append garbage")
def append_garbage(rng, path):
    path.write_bytes(path.read_bytes() + rng.randbytes(rng.choice((1, 8, 1000))))


@operator("flip bits")
def flip_bits(rng, path):
    data = bytearray(path.read_bytes())
    if not data:
        raise NotApplicableError
    for _ in range(rng.choice((1, 1, 4, 40))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


@operator("flip bits at an end")
def flip_bits_at_an_end(rng, path):
    data = bytearray(path.read_bytes())
    if not data:
        raise NotApplicableError
    span = min(len(data), rng.choice((8, 64, 600)))
    for _ in range(rng.choice((1, 2, 8))):
        at = rng.randrange(span)
        data[at if rng.random() < 0.5 else len(data) - 1 - at] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def _overwrite(rng, path, filling):
    data = bytearray(path.read_bytes())
    if not data:
        raise NotApplicableError
    size = min(len(data), rng.choice((4, 16, 256, 4096)))
    at = rng.randrange(len(data) - size + 1)
    data[at : at + size] = filling(size)
    path.write_bytes(data)


@operator("zero block")
def zero_block(rng, path):
    _overwrite(rng, path, bytes)


@operator("ones block")
def ones_block(rng, path):
    _overwrite(rng, path, lambda size: b"\xff" * size)


@operator("random block")
def random_block(rng, path):
    _overwrite(rng, path, rng.randbytes)


@operator("remove block")
def remove_block(rng, path):
    data = path.read_bytes()
    size = min(len(data), rng.choice((1, 4, 64, 1000)))
    at = rng.randrange(len(data) - size + 1)
    path.write_bytes(data[:at] + data[at + size :])


@operator("repeat block")
def repeat_block(rng, path):
    data = path.read_bytes()
    size = min(len(data), rng.choice((1, 4, 64, 1000)))
    at = rng.randrange(len(data) - size + 1)
    path.write_bytes(data[: at + size] + data[at:])


@operator("empty")
def empty(rng, path):
    path.write_bytes(b"")


# What stands in the place of the file


@operator("remove")
def remove(rng, path):
    path.unlink()


@operator("folder in its place")
def folder_in_its_place(rng, path):
    path.unlink()
    path.mkdir()


@operator("pipe in its place")
def pipe_in_its_place(rng, path):
    path.unlink()
    os.mkfifo(path)


@operator("device in its place")
def device_in_its_place(rng, path):
    path.unlink()
    path.symlink_to(rng.choice(("/dev/zero", "/dev/null", "/dev/full", "/dev/urandom", "/dev/tty")))


@operator("socket in its place")
def socket_in_its_place(rng, path):
    path.unlink()
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(os.path.relpath(path))
    except OSError:
        raise NotApplicableError from None
    finally:
        listener.close()


@operator("dangling link")
def dangling_link(rng, path):
    path.unlink()
    path.symlink_to(path.parent / "nowhere")


@operator("link to itself")
def link_to_itself(rng, path):
    path.unlink()
    path.symlink_to(path.name)


@operator("link to the machine's files")
def link_to_the_machines_files(rng, path):
    path.unlink()
    path.symlink_to(rng.choice(("/proc/self/maps", "/proc/self/mem", "/etc/hostname")))


@operator("sparse gigabytes")
def sparse_gigabytes(rng, path):
    with open(path, "rb+") as file:
        file.truncate(rng.choice((2**31 + 5, 2**33, 2**40)))


@operator("folder that leads elsewhere", ".mp4")
def folder_that_leads_elsewhere(rng, path):
    """The videos of a run lie in another folder, to which theirs is a link."""
    folder = path.parent
    if folder.name != "views" or folder.is_symlink():
        raise NotApplicableError
    elsewhere = folder.parents[1] / OUTSIDE
    shutil.move(folder, elsewhere)
    for file in elsewhere.iterdir():
        os.utime(file, (0, file.stat().st_mtime))  # who reads it changes the first
    folder.symlink_to(os.path.relpath(elsewhere, folder.parent))


@operator("swap files")
def swap_files(rng, path):
    others = [p for p in sorted(path.parent.iterdir()) if p != path and is_damageable(p)]
    if not others:
        raise NotApplicableError
    other, aside = rng.choice(others), path.with_name("aside")
    shutil.move(path, aside)
    shutil.move(other, path)
    shutil.move(aside, other)


@operator("copy of another file")
def copy_of_another_file(rng, path):
    others = [p for p in sorted(path.parent.iterdir()) if p != path and is_damageable(p)]
    if not others:
        raise NotApplicableError
    path.write_bytes(rng.choice(others).read_bytes())
