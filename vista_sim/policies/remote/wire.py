"""Messages on a socket: a length of four bytes, big endian, then a MessagePack map.

An array is a map {"dtype", "shape", "bytes"}: little endian, the last axis fastest. Nothing
else than numbers, text, bytes, lists, maps and arrays is read or written: no code, no objects.
"""

from __future__ import annotations

import math
import socket
import struct
from collections.abc import Mapping
from importlib import import_module
from time import monotonic
from typing import Any

import numpy as np

from vista_sim.errors import MissingDependencyError
from vista_sim.files import shown
from vista_sim.policies.remote.items import check_items

PROTOCOL = "vista-policy-socket/1"
MAX_REQUEST = 1 << 28  # bytes; an image of 8192 x 8192 fits
MAX_REPLY = 1 << 20  # bytes
MAX_HELLO = 1 << 12  # bytes, of what a peer says that nobody knows yet
MAX_VALUES = 1 << 16  # of a message: numbers, texts, lists, maps and arrays
MAX_TEXT = 1 << 20  # bytes of one text
WHOLE_WITHIN = 60.0  # s that a message may take that has begun
MAX_DEPTH = 16
DTYPES = (
    "bool",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float16",
    "float32",
    "float64",
)
_HEADER = struct.Struct(">I")
_CHUNK = 1 << 20
_ARRAY_KEYS = {"dtype", "shape", "bytes"}


class WireError(ValueError):
    """Why something is no message, as the rest of a sentence that begins with "the message"."""


class ClosedError(ConnectionError):
    """The other side closed the connection."""


def pack(message: Mapping[str, Any]) -> bytes:
    """A message with its length before it. Raises WireError for values that cannot travel."""
    try:
        data: bytes = _msgpack().packb(_plain(message), use_bin_type=True)
    except (TypeError, ValueError, OverflowError) as error:
        raise WireError(f"cannot be sent ({error})") from None
    return _HEADER.pack(len(data)) + data


def unpack(data: bytes) -> dict[str, Any]:
    """The map of a message without its length. Raises WireError."""
    msgpack = _msgpack()
    try:
        check_items(data, MAX_VALUES)
    except ValueError as error:
        raise WireError(f"is no MessagePack that is read: {error}") from None
    try:
        message = msgpack.unpackb(data, raw=False, strict_map_key=True, max_str_len=MAX_TEXT)
    except Exception as error:  # several classes, some without a common base
        raise WireError(f"is no MessagePack ({type(error).__name__})") from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise WireError('is no map with a "type"')
    read = _arrays(message)
    assert isinstance(read, dict)
    return read


def send(connection: socket.socket, message: Mapping[str, Any], timeout: float | None) -> None:
    """Send a message. Raises OSError, WireError; TimeoutError after `timeout` seconds in all."""
    connection.settimeout(timeout)
    connection.sendall(pack(message))


def receive(connection: socket.socket, limit: int, timeout: float | None) -> dict[str, Any]:
    """Receive a message.

    Args:
        limit: bytes that it may have; it is not read if it says it has more.
        timeout: s in all; None: any until it begins, and then `WHOLE_WITHIN`.

    Raises:
        WireError: what comes is no message.
        ClosedError: the connection is closed before it has begun, or in the midst of it.
        TimeoutError, OSError: of the socket.
    """
    until = None if timeout is None else monotonic() + timeout
    first = _read(connection, 1, until)
    until = monotonic() + WHOLE_WITHIN if until is None else until
    (length,) = _HEADER.unpack(first + _read(connection, _HEADER.size - 1, until))
    if length > limit:
        raise WireError(f"says it has {length:,} bytes; at most {limit:,} can be")
    return unpack(_read(connection, length, until))


def _read(connection: socket.socket, count: int, until: float | None) -> bytes:
    parts = bytearray()  # grows with what came, not with what was announced
    while len(parts) < count:
        if until is None:
            connection.settimeout(None)
        else:
            left = until - monotonic()
            if left <= 0:
                raise TimeoutError
            connection.settimeout(left)
        part = connection.recv(min(_CHUNK, count - len(parts)))
        if not part:
            raise ClosedError
        parts += part
    return bytes(parts)


def _plain(value: Any, depth: int = 0) -> Any:
    """Arrays as maps, NumPy's numbers as Python's."""
    if depth > MAX_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(value, np.ndarray):
        if value.dtype.name not in DTYPES:
            raise TypeError(f"arrays of {value.dtype}")
        array = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
        return {"dtype": value.dtype.name, "shape": list(value.shape), "bytes": array.tobytes()}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {key: _plain(part, depth + 1) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part, depth + 1) for part in value]
    return value


def _arrays(value: Any, depth: int = 0) -> Any:
    if depth > MAX_DEPTH:
        raise WireError("is nested too deeply")
    if isinstance(value, dict):
        if value.keys() == _ARRAY_KEYS:
            return _array(value)
        return {key: _arrays(part, depth + 1) for key, part in value.items()}
    if isinstance(value, list):
        return [_arrays(part, depth + 1) for part in value]
    return value


def _array(value: dict[str, Any]) -> np.ndarray[Any, Any]:
    dtype, shape, data = value["dtype"], value["shape"], value["bytes"]
    if not isinstance(dtype, str) or dtype not in DTYPES or not isinstance(data, bytes):
        raise WireError(f"holds an array of {shown(dtype)}; allowed: {', '.join(DTYPES)}")
    if not isinstance(shape, list) or len(shape) > 8:
        raise WireError("holds an array without a shape of at most 8 sizes")
    if not all(type(side) is int and side >= 0 for side in shape):
        raise WireError("holds an array whose shape is no list of sizes")
    kind = np.dtype(dtype).newbyteorder("<")
    # Beside an empty side the others count too: NumPy has limits of its own for them.
    huge = math.prod(max(side, 1) for side in shape) * kind.itemsize > MAX_REQUEST
    if huge or math.prod(shape) * kind.itemsize != len(data):
        raise WireError(f"holds an array {dtype} {tuple(shape)} of {len(data)} bytes")
    read: np.ndarray[Any, Any] = np.frombuffer(data, kind).reshape(shape).astype(dtype)
    return read


def _msgpack() -> Any:
    try:
        return import_module("msgpack")
    except ImportError:
        raise MissingDependencyError(
            "msgpack is not installed; policies over a socket need it: pip install msgpack"
        ) from None
