"""Damage to messages: MessagePack of policy sockets (.msg), requests (.http) and frames (.ws)."""

from __future__ import annotations

import random
import struct
from typing import Any

import numpy as np

from .operators import NotApplicableError, extreme, operator
from .text_operators import NAMES, _at, _places, _set

MSG, HTTP, WS = ".msg", ".http", ".ws"

#: Sizes of arrays whose product is right, wrong, nothing, or beyond 64 bits.
SHAPES = (
    *([0, 2**62], [2**62, 0], [2**63 - 1, 0], [2**31, 2**33, 0], [0] * 9, [1] * 60, [-1, -4]),
    *([], [0], [2**64], [10**18] * 3, [True], [1.0], ["3"], None, "text", [[1]], [1, 0, 2**63]),
)


def _message(path) -> dict[str, Any]:
    import msgpack

    try:
        return msgpack.unpackb(path.read_bytes()[4:])
    except Exception:
        raise NotApplicableError from None


def _write(path, value: Any, length: int | None = None) -> None:
    import msgpack

    _write_bytes(path, msgpack.packb(value), length)


def _write_bytes(path, data: bytes, length: int | None = None) -> None:
    path.write_bytes(struct.pack(">I", len(data) if length is None else length) + data)


@operator("message's length", MSG)
def messages_length(rng, path):
    data = path.read_bytes()[4:]
    near = len(data) + rng.choice((-1, 1, 1000))
    _write_bytes(path, data, rng.choice((0, 1, near, 2**28, 2**28 + 1, 2**31, 2**32 - 1)))


@operator("array's shape", MSG)
def arrays_shape(rng, path):
    """A shape that does not fit its bytes, or does and cannot be all the same."""
    shape = rng.choice(SHAPES)
    whole = isinstance(shape, list) and all(type(s) is int for s in shape)
    fits = whole and shape and 0 in shape
    data = b"" if fits else bytes(rng.choice((0, 4, 8)))
    kind = rng.choice(("uint8", "float64", "bool", "float16"))
    _put_array(rng, path, {"dtype": kind, "shape": shape, "bytes": data})


@operator("array's type", MSG)
def arrays_type(rng, path):
    kind = rng.choice(
        ("object", "O", "<U9", "datetime64[ns]", "", "x" * 5000, None, 3, [], "float128")
    )
    data = rng.choice((bytes(8), "text", None, b"", [0]))
    _put_array(rng, path, {"dtype": kind, "shape": [1], "bytes": data})


@operator("array of many bytes", MSG)
def array_of_many_bytes(rng, path):
    size = rng.choice((10**6, 12 * 10**6))
    kind = rng.choice(("uint8", "float64", "float16"))
    width = np.dtype(kind).itemsize
    _put_array(
        rng, path, {"dtype": kind, "shape": [size // width], "bytes": bytes(size // width * width)}
    )


def _put_array(rng: random.Random, path, array: dict[str, Any]) -> None:
    values = _message(path)
    places = list(_places(values, ()))
    arrays = [p for p in places if isinstance(_at(values, p), dict) and "dtype" in _at(values, p)]
    _set(values, rng.choice(arrays or places), array)
    _pack(path, values)


@operator("millions of values", MSG)
def millions_of_values(rng, path):
    """A byte each in the message, tens of bytes each when unpacked."""
    value = rng.choice((b"\x80", b"\x90", b"\xc0", b"\xa0", b"\x01", b"\x91\x90"))
    count = rng.choice((300_000, 3_000_000, 12_000_000)) // len(value)
    _insert(rng, path, b"\xdd" + struct.pack(">I", count) + value * count)


@operator("millions of keys", MSG)
def millions_of_keys(rng, path):
    count = rng.choice((100_000, 1_000_000))
    pairs = b"".join(b"\xa8%08x\xc0" % i for i in range(count))
    _insert(rng, path, b"\xdf" + struct.pack(">I", count) + pairs)


@operator("more declared than there is", MSG)
def more_declared_than_there_is(rng, path):
    most = struct.pack(">I", rng.choice((2**31, 2**32 - 1, 10**6)))
    _insert(rng, path, rng.choice((b"\xdd", b"\xdf", b"\xc6", b"\xdb", b"\xc9")) + most)


@operator("message nested deeply", MSG)
def message_nested_deeply(rng, path):
    deep = rng.choice((15, 17, 100, 600, 100_000, 2_000_000))
    _insert(rng, path, rng.choice((b"\x91", b"\x81\xa1a")) * deep + b"\xc0")


@operator("value of another kind", MSG)
def value_of_another_kind(rng, path):
    values = _message(path)
    things = (
        *(
            None,
            True,
            -1,
            2**64 - 1,
            -(2**63),
            "",
            "x" * 10**6,
            b"",
            b"\xff" * 9,
            [],
            {},
            [None] * 9,
        ),
        *({"type": "hello"}, {"a": {"b": []}}, extreme(rng), extreme(rng), *NAMES),
    )
    _set(values, rng.choice(list(_places(values, ()))), rng.choice(things))
    _pack(path, values)


@operator("key away, or another", MSG)
def key_away_or_another(rng, path):
    values = _message(path)
    place = rng.choice([p for p in _places(values, ()) if isinstance(p[-1], str)])
    holder = _at(values, place[:-1])
    value = holder.pop(place[-1])
    if rng.random() < 0.6:
        holder[rng.choice((*NAMES, 3, None, b"key", 1.5))] = value
    _pack(path, values)


@operator("another message", MSG)
def another_message(rng, path):
    values = rng.choice(
        (
            {"type": "hello", "protocol": "vista-policy-socket/2"},
            {"type": "act", "observation": {}},
            {"type": "act", "step": 2**63, "observation": {"camera": 3}, "car": {"state": 1}},
            {"type": "reset", "further": [1] * 1000},
            {"type": "ready"},
            {"type": "error", "kind": "refused", "message": "x\n" * 10**5},
            {"type": "error", "kind": ["raised"], "message": None},
            {"type": "action", "step": 0, "curvature": float("nan")},
            {"type": "action", "step": 0, "curvature": 2**64 - 1, "acceleration": "1"},
            {"type": "x" * 10**5},
            {"type": None},
            {},
            [],
            None,
            "GET / HTTP/1.1\r\n",
        )
    )
    _write(path, values)


@operator("strange MessagePack", MSG)
def strange_messagepack(rng, path):
    data = rng.choice(
        (
            b"\xc7\x00\x7f",  # an extension without content
            b"\xd6\xff\xff\xff\xff\xff",  # a time
            b"\xc9" + struct.pack(">I", 2**20) + b"\x01" + bytes(2**20),
            b"\xc1",  # never used
            b"\xa4\xff\xfe\xfd\xfc",  # text that is no UTF-8
            b"\xa3\xed\xa0\x80",  # half of a pair
            b"\x82\xa1a\x01\xa1a\x02",  # a key twice
            b"\x81\xc0\x01",  # a key that is nothing
            b"\x81\x90\x01",  # a key that is a list
        )
    )
    _insert(rng, path, data)


def _pack(path, values: Any) -> None:
    try:
        _write(path, values)
    except (ValueError, TypeError, OverflowError):
        raise NotApplicableError from None


def _insert(rng: random.Random, path, data: bytes) -> None:
    """Put raw MessagePack in the place of a value."""
    import msgpack

    values = _message(path)
    mark = "@@damage@@"
    places = list(_places(values, ()))
    if not places or rng.random() < 0.2:
        _write_bytes(path, data)
        return
    _set(values, rng.choice(places), mark)
    _write_bytes(path, msgpack.packb(values).replace(msgpack.packb(mark), data))


# Requests


@operator("strange request", HTTP)
def strange_request(rng, path):
    lines = path.read_bytes().split(b"\r\n")
    method, where, version = lines[0].split(b" ", 2)
    change = rng.choice(("method", "path", "version", "whole"))
    if change == "method":
        method = rng.choice(
            (b"POST", b"PUT", b"CONNECT", b"get", b"X" * 9000, b"\0", b"TRACE", b"PRI")
        )
    elif change == "path":
        where = rng.choice(
            (
                *(
                    b"/../../etc/passwd",
                    b"/%2e%2e/%00",
                    b"/" + b"a" * 70_000,
                    b"*",
                    b"http://evil/",
                ),
                *(b"//", b"/socket?" + b"token=x&" * 500, b"/?" + b"a" * 7000, b"/\xff\xfe"),
                *(b"\\", b"/%", b"/socket/"),
            )
        )
    elif change == "version":
        version = rng.choice((b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.1 x", b"", b"HTTP/9" * 99))
    else:
        lines[0] = rng.choice((b"", b"\x16\x03\x01\x02\0\x01", b"SSH-2.0-x", b"x" * 100_000))
    if change != "whole":
        lines[0] = b" ".join((method, where, version))
    path.write_bytes(b"\r\n".join(lines))


@operator("strange header", HTTP)
def strange_header(rng, path):
    lines = path.read_bytes().split(b"\r\n")
    further = rng.choice(
        (
            b"Host: evil.example",
            b"Host: 127.0.0.1:99999999999999999999",
            b"Host: [::1",
            b"Host: " + b"1" * 5000,
            b"Host: 127.0.0.1.nip.io",
            b"Host: \xff\xfe",
            b"Origin: null",
            b"Origin: http://" + b"x" * 8000,
            b"Content-Length: 99999999999999999999",
            b"Content-Length: -5",
            b"Content-Length: 1073741824",
            b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
            b"Transfer-Encoding: chunked\r\nContent-Length: 3",
            b"Expect: 100-continue",
            b"Cookie: " + b"a=b; " * 5000,
            b"X: " + b"y" * 100_000,
            b"\r\n".join(b"H%d: x" % i for i in range(20_000)),
            b" folded",
            b"no colon",
            b": empty",
            b"Connection: close, keep-alive, upgrade",
            b"Upgrade: h2c",
            b"Range: bytes=0-,-1",
            b"Sec-WebSocket-Version: 99",
            b"Sec-WebSocket-Key: !!!",
            b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=99",
            b"Sec-WebSocket-Protocol: " + b"x," * 3000,
        )
    )
    name = further.split(b":")[0].lower()
    if rng.random() < 0.7:
        lines = [
            lines[0],
            *(line for line in lines[1:] if not line.lower().startswith(name + b":")),
        ]
    lines.insert(rng.randint(1, max(1, len(lines) - 2)), further)
    path.write_bytes(b"\r\n".join(lines))


@operator("header away", HTTP)
def header_away(rng, path):
    lines = path.read_bytes().split(b"\r\n")
    if len(lines) < 5:
        raise NotApplicableError
    del lines[rng.randrange(1, len(lines) - 2)]
    path.write_bytes(b"\r\n".join(lines))


@operator("requests on end", HTTP)
def requests_on_end(rng, path):
    path.write_bytes(path.read_bytes() * rng.choice((2, 100, 3000)))


# Frames of a WebSocket (RFC 6455, 5.2)


def frame(data: bytes, opcode: int = 1, *, last: bool = True, masked: bool = True,
          length: int | None = None, reserved: int = 0) -> bytes:  # fmt: skip
    """A frame as a client sends it.

    Args:
        length: declared, where it is not that of the data.
    """
    size = len(data) if length is None else length
    head = bytes([last << 7 | reserved << 4 | opcode])
    mask = masked << 7
    if size < 126:
        head += bytes([mask | size])
    elif size < 65536:
        head += bytes([mask | 126]) + struct.pack(">H", size)
    else:
        head += bytes([mask | 127]) + struct.pack(">Q", size)
    return head + (bytes(4) if masked else b"") + data


@operator("strange frame", WS)
def strange_frame(rng, path):
    text = b'{"type":"ping","id":1}'
    change = rng.choice(
        ("opcode", "reserved", "bare", "length", "unfinished", "control", "text", "many")
    )
    lengths = (0, 125, 1025, 5000, 70_000, 2**31, 2**63 - 1, 2**64 - 1)
    ends = (b"", b"\x03", b"\x03\xe8", b"\xff\xff", b"\x03\xe8\xff\xfe", b"x" * 126)
    texts = (b"\xff\xfe", b"\xed\xa0\x80", b"", b"[" * 1000, b"\0" * 1024, b"x" * 2049)
    part = frame(b"x" * 600, 0, last=False)
    made = {
        "opcode": lambda: frame(text, rng.choice((0, 2, 3, 7, 11, 15))),
        "reserved": lambda: frame(text, reserved=rng.randint(1, 7)),
        "bare": lambda: frame(text, masked=False),
        "length": lambda: frame(text, length=rng.choice(lengths)),
        "unfinished": lambda: frame(text, last=False) + part * rng.choice((1, 900)),
        "control": lambda: frame(rng.choice(ends), rng.choice((8, 9, 10)), last=rng.random() < 0.8),
        "text": lambda: frame(rng.choice(texts)),
        "many": lambda: frame(text) * rng.choice((900, 1100, 20_000)),
    }[change]()
    path.write_bytes(made)
