"""Numba, with a cache that notices changes in other modules, wherever it can be written.

Numba keeps what it compiles beside the sources, else in the user's cache folder, or where the
environment variable NUMBA_CACHE_DIR says. Where none of them can be written to, it is kept in a
folder of the user's own in the temporary folder, and where that cannot be either, not at all.
What is read from it is run, so a folder that somebody else can write to is never used.

Importing this module loads Numba.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import numba
from numba.core import config
from numba.core.ir import Loc

from vista_sim.own_folder import own_folder, temporary_folder

logger = logging.getLogger(__name__)

Function = TypeVar("Function", bound=Callable[..., Any])


def _without_a_working_folder() -> None:
    """Have Numba compile where the working folder is gone: it asks for it to name source lines.

    Not part of Numba's public interface: where it changes, such a folder must be there.
    """
    named: Any = getattr(Loc, "_get_path", None)
    if named is None:
        return

    def path_of(loc: Any) -> str:
        try:
            return str(named(loc))
        except OSError:
            return str(loc.filename)

    Loc._get_path = path_of


_without_a_working_folder()


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit`, which also compiles where nothing can be kept."""

    def compile_(function: Callable[..., Any]) -> Any:
        try:
            dispatcher = numba.njit(**options)(function)
        except RuntimeError as error:
            if "cannot cache" not in str(error):
                raise
            dispatcher = _elsewhere(function, options)
        kept: Any = getattr(dispatcher, "_cache", None)
        if hasattr(kept, "save_overload"):
            kept.save_overload = _as_far_as_possible(kept.save_overload)
        return dispatcher

    return compile_


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


def _elsewhere(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    """A function compiled with a cache in the temporary folder, or with none."""
    folder = temporary_folder()
    folder = None if folder is None else own_folder(folder / "numba")
    if folder is not None:
        before, config.CACHE_DIR = config.CACHE_DIR, str(folder)
        try:
            return numba.njit(**options)(function)
        except RuntimeError as error:
            if "cannot cache" not in str(error):
                raise
        finally:
            config.CACHE_DIR = before
    _warn()
    return numba.njit(**(options | {"cache": False}))(function)


def _as_far_as_possible(save: Callable[..., None]) -> Callable[..., None]:
    def save_or_go_on(*arguments: Any) -> None:
        try:
            save(*arguments)
        except OSError:  # the disk is full, or the folder can no longer be written to
            _warn()

    return save_or_go_on


@cache
def _warn() -> None:
    """Once a process."""
    logger.warning(
        "compiled code cannot be kept, so that every start takes longer; set NUMBA_CACHE_DIR to "
        "a folder of your own that can be written to"
    )
