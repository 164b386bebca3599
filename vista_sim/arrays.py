"""NumPy files from outside, mapped into memory after their header was looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vista_sim.files import one_line, require_file


def map_array(
    path: Path, dtype: DTypeLike, shapes: Sequence[tuple[int, ...]], error: type[Exception]
) -> NDArray[Any]:
    """Map a .npy file for reading. Never unpickles.

    Args:
        path: the file.
        dtype: that it must have.
        shapes: of which it must have one; the first is named in errors.
        error: raised with one line unless the file is there, whole, and of type and shape.
    """
    require_file(path, error)
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except MemoryError:
        raise error(f"{path}: cannot be read (its header declares an absurd size)") from None
    except Exception as reason:  # the header is a Python literal: nearly anything may be wrong
        raise error(f"{path}: cannot be read ({one_line(reason)})") from None
    wanted = np.dtype(dtype)
    if array.dtype != wanted or array.shape not in shapes:
        raise error(
            f"{path}: holds {one_line(str(array.dtype))} {one_line(str(array.shape))}; it must be "
            f"{wanted} {shapes[0]}"
        )
    return array
