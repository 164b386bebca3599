"""Damage to pickles: what they call, the lengths that they declare, their instructions."""

from __future__ import annotations

import os
import pickle
import pickletools
import struct

from .operators import OUTSIDE, NotApplicableError, is_damageable, operator

PKL = ".pkl"


class _Call:
    def __init__(self, call, *args):
        self.made = call, args

    def __reduce__(self):
        return self.made


@operator("pickle that calls", PKL)
def calls(rng, path):
    command = f"touch {path.parent / OUTSIDE}"
    gadget = rng.choice(
        [
            _Call(os.system, command),
            _Call(eval, "1"),
            _Call(bytearray, 2**40),
            [_Call(getattr, 1, "real")],
        ]
    )
    path.write_bytes(pickle.dumps(gadget, rng.randint(0, pickle.HIGHEST_PROTOCOL)))
    return "refused"


def _instructions(path):
    if not is_damageable(path):
        raise NotApplicableError
    data = bytearray(path.read_bytes())
    try:
        return data, list(pickletools.genops(bytes(data)))
    except ValueError:  # it is damaged already
        raise NotApplicableError from None


@operator("pickle length", PKL)
def lengths(rng, path):
    data, found = _instructions(path)
    places = [at for code, _, at in found if code.name in ("BINUNICODE", "BINBYTES", "BINPUT")]
    if not places:
        raise NotApplicableError
    at = rng.choice(places) + 1
    size = rng.choice((0, 1, 255, 2**16, 2**31 - 1, 2**32 - 1))
    data[at : at + 4] = struct.pack("<I", size)
    path.write_bytes(data)
    return None


@operator("pickle instruction", PKL)
def instructions(rng, path):
    data, found = _instructions(path)
    code = rng.choice(pickletools.opcodes).code.encode("latin1")
    at = rng.choice(found)[2]
    if rng.random() < 0.5:
        data[at : at + 1] = code
    else:
        data[at:at] = code * rng.choice((1, 2, 1000))
    path.write_bytes(data)
    return None
