"""What a pickle of a table would make, without making it.

A pickle is a program: `pickle.load` calls whatever it names. Here its instructions are read by
`pickletools`, and what they would have made is only told (`Told`); names beside those of tables
and arrays are refused, and so are instructions that no such pickle needs.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass
from typing import Any

from vista_sim.files import shown

MAX_INSTRUCTIONS = 2_000_000

ARRAY, BUFFER, DTYPE, SLICE = "array", "buffer", "dtype", "slice"
FRAME, MANAGER, BLOCK, INDEX = "frame", "manager", "block", "index"
#: Everything that a pickle may name.
_NAMES = {
    "pandas.core.frame DataFrame": FRAME,
    "pandas DataFrame": FRAME,
    "pandas.core.internals BlockManager": MANAGER,
    "pandas.core.internals.managers BlockManager": MANAGER,
    "pandas._libs.internals _unpickle_block": BLOCK,
    "pandas.core.internals.blocks new_block": BLOCK,
    "pandas.core.indexes.base _new_Index": INDEX,
    "pandas.core.indexes.base Index": "",
    "pandas Index": "",
    "pandas.core.indexes.range RangeIndex": "",
    "pandas RangeIndex": "",
    "pandas.core.indexes.numeric Int64Index": "",
    "pandas.core.indexes.numeric UInt64Index": "",
    "pandas.core.indexes.numeric Float64Index": "",
    "numpy.core.multiarray _reconstruct": ARRAY,
    "numpy._core.multiarray _reconstruct": ARRAY,
    "numpy.core.numeric _frombuffer": BUFFER,
    "numpy._core.numeric _frombuffer": BUFFER,
    "numpy dtype": DTYPE,
    "numpy ndarray": "",
    "builtins slice": SLICE,
    "__builtin__ slice": SLICE,
}


@dataclass(eq=False)
class Told:
    """What a pickle would have made: by which of `_NAMES`, of what, and in which state."""

    kind: str
    args: Any = ()
    state: Any = None


def told(content: bytes) -> Any:
    """What the instructions of a pickle tell.

    Raises ValueError, and IndexError, KeyError or TypeError where they do not fit each other.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def marked() -> list[Any]:
        start = marks.pop()
        if not 0 <= start <= len(stack):
            raise IndexError("it takes more than there is")
        items = stack[start:]
        del stack[start:]
        return items

    arg: Any
    for count, (code, arg, _) in enumerate(pickletools.genops(content)):
        if count > MAX_INSTRUCTIONS:
            raise ValueError(f"it has more than {MAX_INSTRUCTIONS} instructions")
        match code.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return stack.pop()
            case "MARK":
                marks.append(len(stack))
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(code.name == "NEWTRUE")
            case (
                "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT"
                | "BINUNICODE" | "SHORT_BINUNICODE" | "BINUNICODE8"
                | "BINBYTES" | "SHORT_BINBYTES" | "BINBYTES8" | "BYTEARRAY8"
            ):  # fmt: skip
                stack.append(arg)
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE":
                stack.append(tuple(marked()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                marks.append(len(stack) - int(code.name[-1]))
                stack.append(tuple(marked()))
            case "EMPTY_LIST":
                stack.append([])
            case "APPEND":
                _append(stack[-2], [stack.pop()])
            case "APPENDS":
                items = marked()
                _append(stack[-1], items)
            case "EMPTY_DICT":
                stack.append({})
            case "SETITEM":
                _set(stack[-3], [stack.pop(-2), stack.pop()])
            case "SETITEMS":
                items = marked()
                _set(stack[-1], items)
            case "BINPUT" | "LONG_BINPUT":
                memo[arg] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[arg])
            case "GLOBAL":
                stack.append(_named(arg))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                stack.append(_named(f"{plain(module, str)} {plain(name, str)}"))
            case "REDUCE" | "NEWOBJ":
                args, kind = stack.pop(), stack.pop()
                stack.append(Told(plain(kind, Told).kind, plain(args, tuple)))
            case "BUILD":
                state = stack.pop()
                plain(stack[-1], Told).state = state
            case _:
                raise ValueError(f"its instruction {code.name} is none that a table needs")
    raise ValueError("it has no end")


def _named(name: str) -> Told:
    if name not in _NAMES:
        raise ValueError(f"it asks for {shown(name)}, which is not part of a table; not run")
    return Told(_NAMES[name])


def plain(value: Any, kind: type[Any]) -> Any:
    """A value of this type and of none that is made of it. Raises TypeError."""
    if type(value) is not kind:
        raise TypeError(f"{shown(type(value).__name__)} in place of {kind.__name__}")
    return value


def _append(target: Any, items: list[Any]) -> None:
    plain(target, list).extend(items)


def _set(target: Any, items: list[Any]) -> None:
    # Keys are text: of tuples within tuples, hashing may take for ever.
    keys = [plain(key, str) for key in items[::2]]
    plain(target, dict).update(zip(keys, items[1::2], strict=True))
