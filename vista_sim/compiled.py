"""Numba, with a cache that notices changes in other modules.

Importing this module loads Numba.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def compiler(*includes: ModuleType, **options: Any) -> Callable[[Function], Function]:
    """A decorator that compiles functions which use constants or functions of `includes`.

    Numba's cache is renewed when the file of the function changes, but not when a module does
    whose constants and functions were compiled in; the old code would go on to be used. So
    the content of `includes`, and of what these include, is made part of the cache's stamp.

    `options` are further ones of `numba.njit`; without any, there is no fast-math.
    """
    digest = hashlib.sha256()
    for module in includes:
        digest.update(Path(str(module.__file__)).read_bytes())
    stamp = digest.hexdigest()

    def compile_(function: Function) -> Function:
        dispatcher: Any = njit(cache=True, nogil=True, error_model="numpy", **options)(function)
        # Not part of Numba's public interface: where it changes, the cache is as Numba's own.
        index: Any = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
        if index is not None and hasattr(index, "_source_stamp"):
            index._source_stamp = (index._source_stamp, stamp)
        return dispatcher

    return compile_
