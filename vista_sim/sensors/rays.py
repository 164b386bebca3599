"""Rays of a lens, computed once for all cameras that look through an equal one."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.sensors.boxes import Spans, spans_of
from vista_sim.sensors.warp import normalized_rays
from vista_sim.traces.calibration import Lens


def shared_rays(lens: Lens, stride: int = 1) -> NDArray[np.float32]:
    """`normalized_rays` of every `stride`-th row and column, contiguous and read only."""
    return _rays(_about(lens), stride)


def shared_spans(lens: Lens) -> Spans:
    """The `boxes.spans_of` its rays."""
    return _spans(_about(lens))


def _about(lens: Lens) -> tuple[Any, ...]:
    """Two lenses are equal only if they are one object; what they say of themselves compares."""
    return (lens.model, lens.fx, lens.fy, lens.cx, lens.cy, tuple(lens.size), lens.distortion)


@lru_cache(maxsize=16)
def _rays(lens: tuple[Any, ...], stride: int) -> NDArray[np.float32]:
    rays = normalized_rays(Lens(*lens)) if stride == 1 else _rays(lens, 1)
    rays = np.ascontiguousarray(rays[:, ::stride, ::stride])
    rays.setflags(write=False)
    return rays


@lru_cache(maxsize=16)
def _spans(lens: tuple[Any, ...]) -> Spans:
    return spans_of(_rays(lens, 1))
