"""How much a MessagePack text holds, found before anything of it is made.

A text of 12 MB may hold 12 million empty maps, which take gigabytes as objects; their number
stands in a few bytes of each head (github.com/msgpack/msgpack/blob/master/spec.md, "Formats").
"""

from __future__ import annotations

#: First byte: bytes of the size that follows it, and what that counts.
_SIZED = {
    **{0xC4 + i: (1 << i, "bytes") for i in range(3)},  # bin 8, 16, 32
    **{0xD9 + i: (1 << i, "bytes") for i in range(3)},  # str 8, 16, 32
    **{0xDC + i: (2 << i, "entries") for i in range(2)},  # array 16, 32
    **{0xDE + i: (2 << i, "pairs") for i in range(2)},  # map 16, 32
}
#: First byte: bytes that follow it.
_FIXED = {
    **dict.fromkeys((0xC0, 0xC2, 0xC3), 0),  # nil, false, true
    **{0xCA: 4, 0xCB: 8},  # float 32, 64
    **{0xCC + i: 1 << i for i in range(4)},  # uint 8 to 64
    **{0xD0 + i: 1 << i for i in range(4)},  # int 8 to 64
}


def check_items(data: bytes, most: int) -> None:
    """Raise ValueError unless a text is one object of at most `most` objects, without extensions.

    It takes time in proportion to `most`, whatever the text says of itself.
    """
    at, left, count = 0, 1, 0
    while left:
        count += 1
        if count + left - 1 > most:
            raise ValueError(f"it holds more than {most} values")
        if at >= len(data):
            raise ValueError("it ends too soon")
        head, at = data[at], at + 1
        size, inner = 0, 0
        if head <= 0x7F or head >= 0xE0:
            pass  # a small number
        elif head <= 0x8F:
            inner = 2 * (head & 0x0F)
        elif head <= 0x9F:
            inner = head & 0x0F
        elif head <= 0xBF:
            size = head & 0x1F
        elif head in _FIXED:
            size = _FIXED[head]
        elif head in _SIZED:
            width, what = _SIZED[head]
            number = int.from_bytes(data[at : at + width])
            at += width
            size = number if what == "bytes" else 0
            inner = {"bytes": 0, "entries": number, "pairs": 2 * number}[what]
        else:
            raise ValueError("it holds an extension")
        at += size
        left += inner - 1
    if at != len(data):
        raise ValueError("it ends too soon" if at > len(data) else "more follows it")
