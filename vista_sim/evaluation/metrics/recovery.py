"""How often and how fast the car came back from beside the path.

Of the recovery episodes of a run (kind "recovery"); what counts as recovered is said in
`vista_sim.evaluation.recovery`. A driver is "policy", or "expert" for the privileged reference
that tried the same starts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.evaluation.metrics.tables import Table, floats, mean, ratio, rows, texts

EXPERT = "expert"


def tried(episodes: Table) -> int:
    """Starts that the policy tried. Unit: 1."""
    return int((~_by_expert(episodes)).sum())


def recovered(episodes: Table) -> int:
    """Starts that the policy came back from. Unit: 1."""
    return int((~_by_expert(episodes) & _recovered(episodes)).sum())


def expert_recovered(episodes: Table) -> int:
    """Starts that the expert came back from. Unit: 1."""
    return int((_by_expert(episodes) & _recovered(episodes)).sum())


def both_recovered(episodes: Table) -> int:
    """Starts that the policy and the expert came back from. Unit: 1."""
    back, expert = _recovered(episodes), _by_expert(episodes)
    keys = list(
        zip(
            texts(episodes, "scenario").tolist(),
            texts(episodes, "case").tolist(),
            *(
                floats(episodes, name).round(6).tolist()
                for name in ("trace", "start_s", "start_lateral", "start_heading")
            ),
            strict=True,
        )
    )
    theirs = {key for key, is_back, by in zip(keys, back, expert, strict=True) if is_back and by}
    mine = [key for key, is_back, by in zip(keys, back, expert, strict=True) if is_back and not by]
    return sum(key in theirs for key in mine)


def recovery_time(episodes: Table) -> float:
    """Seconds that the recoveries of the policy took, summed. Unit: s."""
    own = ~_by_expert(episodes) & _recovered(episodes)
    return float(np.nansum(floats(episodes, "recovery_time")[own]))


def recovery_rate(episodes: Table) -> float:
    """Share of the starts that the policy came back from. Unit: 1."""
    return ratio(recovered(episodes), tried(episodes))


def recovery_rate_of_expert(episodes: Table) -> float:
    """Share of the expert's recoveries that the policy has too. Unit: 1.

    From the other starts recovery may be physically impossible. NaN where no expert tried.
    """
    return ratio(both_recovered(episodes), expert_recovered(episodes))


def mean_recovery_time(episodes: Table) -> float:
    """Mean time from a start until the policy was back and had stayed so. Unit: s.

    Of the starts it came back from: a policy that comes back from more of the hard ones may take
    longer, so it is read together with the rate.
    """
    own = ~_by_expert(episodes) & _recovered(episodes)
    return mean(floats(episodes, "recovery_time")[own])


def _by_expert(episodes: Table) -> NDArray[Any]:
    return texts(episodes, "driver") == EXPERT


def _recovered(episodes: Table) -> NDArray[Any]:
    if "recovered" not in episodes:
        return np.zeros(rows(episodes), dtype=bool)
    return np.asarray(episodes["recovered"]).astype(bool)
