"""One geometry from several sources."""

from __future__ import annotations

from collections.abc import Sequence

from vista_sim.geometry.source import Floats


def merged(estimates: Sequence[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    """Inverse depth (h, w) and confidence (h, w) of all sources together.

    Args:
        estimates: inverse depth (h, w), 1/m, and confidence (h, w), 0 to 1, of each source.
    """
    values, sure = estimates[0]
    return values, sure
