"""Endings of episodes by number, as `info["ending_code"]` has them.

Texts in infos become arrays of objects in vector environments, which tensors cannot be made of.
"""

from __future__ import annotations

from vista_sim.tasks import lane_following, recovery

#: What each code stands for: None while the episode goes on. New ones are added at the end.
ENDINGS: tuple[str | None, ...] = (
    *lane_following.ENDINGS,
    recovery.RECOVERED,
    recovery.TIMED_OUT,
)


def ending_code(ending: str | None) -> int:
    """The index of an ending in `ENDINGS`."""
    return ENDINGS.index(ending)
