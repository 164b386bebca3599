"""What the drive page and its server say to each other over the WebSocket.

The page sends small JSON texts:

    {"type": "input", "seq": 17, "steer": 0.4, "throttle": 0, "brake": 0, "keys": false}
    {"type": "command", "name": "pause"}
    {"type": "ack", "frame": 42}         a frame was drawn: another one may come
    {"type": "ping", "id": 3}

The server sends JSON texts ("hello", "place", "pong", "refused", "end"; see `session` and `server`)
and frames as binary: the length of a JSON header (4 bytes, big-endian), the header, and a JPEG,
which is left out where the picture is still the last one. A header's "seq" is that of the newest
input that the frame shows the effect of.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vista_sim.errors import VistaError

MAX_MESSAGE = 1024  # bytes, of what the page sends
MAX_SEQ = 2**53  # JavaScript's numbers count so far

#: What a command may be called.
COMMANDS = (
    "go",  # drive on; the drive waits for it after each start
    "pause",
    "toggle",  # go or pause
    "restart",  # back to the start of this stretch
    "perturb",  # beside the path, and turned
    "hand_over",  # to the policy, or take back
    "next",  # the next stretch or case
    "end",  # the drive is over: write it
)

# Why a connection was closed: WebSocket codes of this program's own (RFC 6455, 7.4.2).
CLOSE_BUSY, CLOSE_SILENT, CLOSE_MALFORMED, CLOSE_ENDED = 4001, 4002, 4003, 4004


class MessageError(VistaError, ValueError):
    """The page said something that cannot be understood."""


@dataclass(frozen=True)
class Input:
    """How the driver holds the controls.

    Args:
        seq: counts the inputs of a page.
        steer: from -1 (right) to 1 (left).
        throttle, brake: from 0 to 1.
        keys: whether they are keys, which are either down or up: the wheel then turns smoothly.
    """

    seq: int = 0
    steer: float = 0.0
    throttle: float = 0.0
    brake: float = 0.0
    keys: bool = True


@dataclass(frozen=True)
class Command:
    """One of `COMMANDS`."""

    name: str


@dataclass(frozen=True)
class Ack:
    """A frame, by its number, was drawn."""

    frame: int


@dataclass(frozen=True)
class Ping:
    """The page is there; it is answered with the same id."""

    id: int


Message = Input | Command | Ack | Ping


@dataclass(frozen=True)
class Frame:
    """What the driver sees.

    Args:
        number: counts the frames of a drive.
        header: for the page.
        picture: number of the picture; frames of a paused drive have one picture.
        jpeg: the picture.
    """

    number: int
    header: Mapping[str, Any]
    picture: int
    jpeg: bytes

    def pack(self, with_picture: bool = True) -> bytes:
        """The binary message."""
        head = json.dumps({"n": self.number, **self.header}, allow_nan=False).encode()
        return struct.pack(">I", len(head)) + head + (self.jpeg if with_picture else b"")


def unpack_frame(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and JPEG (empty where it was left out) of a binary message."""
    (length,) = struct.unpack_from(">I", data)
    return json.loads(data[4 : 4 + length]), data[4 + length :]


def parse_message(text: str) -> Message:
    """Read what the page sent.

    Raises:
        MessageError: it is no message; one line says why.
    """
    if len(text) > MAX_MESSAGE:
        raise MessageError(f"a message has {len(text)} characters; at most {MAX_MESSAGE} are read")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise MessageError("a message is no JSON") from None
    if not isinstance(values, dict):
        raise MessageError("a message is no JSON object")
    kind = values.get("type")
    if kind == "input":
        return Input(
            seq=_count(values, "seq"),
            steer=_number(values, "steer", -1.0),
            throttle=_number(values, "throttle", 0.0),
            brake=_number(values, "brake", 0.0),
            keys=values.get("keys") is True,
        )
    if kind == "command":
        name = values.get("name")
        if name not in COMMANDS:
            raise MessageError(f"command {name!r:.40} is unknown; known: {', '.join(COMMANDS)}")
        return Command(name)
    if kind == "ack":
        return Ack(_count(values, "frame"))
    if kind == "ping":
        return Ping(_count(values, "id"))
    raise MessageError(f"a message's type is {kind!r:.40}; known: input, command, ack, ping")


def _number(values: Mapping[str, Any], name: str, low: float) -> float:
    """A number, clipped to [low, 1]."""
    value = values.get(name, 0.0)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MessageError(f"{name} is {value!r:.40}; it must be a number")
    if not abs(value) <= sys.float_info.max:  # no float has as many digits as JSON's numbers may
        raise MessageError(f"{name} is {value!r:.40}; it must be finite")
    return float(min(max(value, low), 1.0))


def _count(values: Mapping[str, Any], name: str) -> int:
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_SEQ:
        raise MessageError(f"{name} is {value!r:.40}; it must be a whole number, not negative")
    return value
