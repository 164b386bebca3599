"""Kinds of endings in runs: the column `ending_kind` of episodes, and what endings are in words."""

from __future__ import annotations

from collections.abc import Sequence

from vista_sim.tasks.endings import CRASH, CUT, KINDS, Kind
from vista_sim.tasks.lane_following import HEADING, OFF_ROAD

#: Runs that were written before they said of what kind their endings are knew these crashes, and
#: those of a policy that broke; all others were cuts.
_CRASHES = (OFF_ROAD, HEADING)
_BROKEN = "policy_failed"

#: Endings in words, where these are not the name's own.
_WORDS = {OFF_ROAD: "off the road", HEADING: "turned off the path"}


def ending_kinds(endings: Sequence[str | None], kinds: Sequence[str | None]) -> list[str | None]:
    """Of what kind endings are: as a run says, and where it is older, by their names.

    Args:
        endings: names.
        kinds: what the run says of each, which may be no kind.

    Returns:
        "crash", "cut" or "success"; None of an episode that did not come to such an ending.
    """
    return [
        kind if kind in KINDS else _kind_of_older(name)
        for name, kind in zip(endings, kinds, strict=True)
    ]


def _kind_of_older(ending: str | None) -> Kind | None:
    if not ending or ending == _BROKEN:
        return None
    return CRASH if ending in _CRASHES else CUT


def in_words(ending: str) -> str:
    """An ending as a reader is told it."""
    return _WORDS.get(ending, ending.replace("_", " "))
