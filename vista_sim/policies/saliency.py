"""Saliency maps of policies: checked, and asked for in a way that costs no drive."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import PolicyError

_log = logging.getLogger(__name__)


def checked_saliency(found: Any, size: tuple[int, int]) -> NDArray[np.float32]:
    """What a policy's `saliency` returned, as float32 (height, width).

    Args:
        found: as returned, not None.
        size: (height, width) of the policy's camera.

    Raises:
        PolicyError: it is of another shape, or not of numbers from 0 to 1.
    """
    array = np.asarray(found)
    if array.shape != tuple(size) or array.dtype.kind not in "fiub":
        raise PolicyError(
            f"saliency is {array.dtype} {array.shape}; it must be float32 {tuple(size)}, the size "
            "of the policy's camera"
        )
    values = array.astype(np.float32)
    if not (values.min() >= 0 and values.max() <= 1):  # NaN is not
        raise PolicyError(
            f"saliency goes from {values.min():g} to {values.max():g}; it must be from 0 to 1"
        )
    return values


class SaliencySource:
    """Asks for a policy's saliency maps. A map is no part of driving: where making one fails, or
    it is not as it must be, a warning is logged once, and no other is asked for.

    Args:
        ask: gives the map of the policy's last `act`, or None.
    """

    def __init__(self, ask: Callable[[], Any]) -> None:
        self._ask: Callable[[], Any] | None = ask

    @classmethod
    def of(cls, policy: object) -> Self | None:
        """That of a policy; None where it has no `saliency`."""
        ask = getattr(policy, "saliency", None)
        return None if ask is None else cls(ask)

    def map(self, size: tuple[int, int]) -> NDArray[np.float32] | None:
        """The map, float32 (height, width) from 0 to 1, of a camera of that size; or None."""
        if self._ask is None:
            return None
        try:
            found = self._ask()
            return None if found is None else checked_saliency(found, size)
        except Exception as error:
            self._ask = None
            text = str(error) if isinstance(error, PolicyError) else repr(error)
            _log.warning("no saliency map from here on: %s", " ".join(text.split()))
            return None
