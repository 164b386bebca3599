"""The cases of a run: what was driven under one name, and what of another run it pairs with.

A run of a suite says for each episode of which scenario and case it is. In a run of plain
traces a case is a section of a trace, with all that followed on set-backs, or a start of the
recovery test; its scenario is the trace, by the kind of test.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.evaluation.metrics.recovery import EXPERT
from vista_sim.evaluation.metrics.tables import Table, Tables, floats, rows, select, texts
from vista_sim.runs.kinds import DRIVING, RECOVERY


@dataclass(frozen=True)
class JudgedCase:
    """What was driven under one name.

    Args:
        scenario: of which it is a case.
        name: the same in every run of the same settings.
        cluster: cases of one cluster are alike, so a confidence interval draws clusters first,
            and then units within them: the scenario of a suite; the unit in a run of plain
            traces.
        unit: cases of one unit are no independent evidence, neither of how good a run is nor of
            a difference between two: the case itself; of a recovery test, where many starts are
            tried at one place, the place (trace and arc length) and seed.
        kind: `DRIVING` or `RECOVERY`.
        weight: of its scenario.
        tables: its own rows; those of a privileged expert only in recovery.
    """

    scenario: str
    name: str
    cluster: str
    unit: str
    kind: str
    weight: float
    tables: Tables


@dataclass(frozen=True)
class _Key:
    kind: str
    scenario: str
    name: str
    cluster: str
    unit: str


def split(steps: Table, episodes: Table) -> tuple[JudgedCase, ...]:
    """The cases of a run's tables, in the order in which they were first driven.

    Rows may come in any order; episodes and steps are put in order of their numbers.
    """
    order = np.argsort(episodes["episode"], kind="stable")
    episodes = select(episodes, order)
    kinds, drivers = texts(episodes, "kind"), texts(episodes, "driver")
    of_policy = (kinds == RECOVERY) | (drivers != EXPERT)
    episodes = select(episodes, of_policy)
    owners: dict[_Key, list[int]] = defaultdict(list)
    for row, key in enumerate(_keys(episodes)):
        owners[key].append(row)
    bounds, steps = _by_episode(steps)
    weights = floats(episodes, "weight")
    cases = []
    for key, own in owners.items():
        spans = [bounds.get(int(episodes["episode"][row]), (0, 0)) for row in own]
        picked = np.concatenate([np.arange(*span) for span in spans]).astype(np.int64)
        weight = float(weights[own[0]])
        tables = Tables(select(steps, picked), select(episodes, np.array(own)))
        cases.append(
            JudgedCase(
                key.scenario,
                key.name,
                key.cluster,
                key.unit,
                key.kind,
                1.0 if np.isnan(weight) else weight,
                tables,
            )
        )
    return tuple(cases)


def of_suite(episodes: Table) -> bool:
    """Whether a run's episodes name their scenarios."""
    return bool((texts(episodes, "scenario") != "").any())


def _keys(episodes: Table) -> list[_Key]:
    """Of which case each episode is."""
    if of_suite(episodes):
        return _keys_of_suite(episodes)
    traces = _trace_labels(episodes)
    kinds = texts(episodes, "kind")
    at = {
        name: floats(episodes, name)
        for name in ("section_start_s", "start_s", "start_lateral", "start_heading")
    }
    keys = []
    for row in range(rows(episodes)):
        if kinds[row] == RECOVERY:
            place = f"{traces[row]}, s={_number(at['start_s'][row], 2)}"
            name = (
                f"recovery {place}, lateral={_number(at['start_lateral'][row], 3)}, "
                f"heading={_number(at['start_heading'][row], 4)}"
            )
            scenario, kind = f"recovery {traces[row]}", RECOVERY
        else:
            place = f"{traces[row]} from s={_number(at['section_start_s'][row], 2)}"
            name, scenario, kind = place, str(traces[row]), DRIVING
        keys.append(_Key(kind, scenario, name, place, place))
    return keys


def _keys_of_suite(episodes: Table) -> list[_Key]:
    scenarios, names = texts(episodes, "scenario"), texts(episodes, "case")
    kinds, traces = texts(episodes, "kind"), _trace_labels(episodes)
    start, seed = floats(episodes, "start_s"), floats(episodes, "seed")
    keys = []
    for row in range(rows(episodes)):
        scenario = str(scenarios[row])
        name = unit = str(names[row]) or scenario
        kind = DRIVING
        if kinds[row] == RECOVERY:
            kind = RECOVERY
            unit = f"{scenario} {traces[row]}, s={_number(start[row], 2)}, seed={seed[row]:g}"
        keys.append(_Key(kind, scenario, name, scenario, unit))
    return keys


def _trace_labels(episodes: Table) -> list[str]:
    """Names of the traces; one that has the name of an earlier one gets a number."""
    labels: dict[int, str] = {}
    seen: dict[str, int] = defaultdict(int)
    indices, names = episodes["trace"], texts(episodes, "trace_name")
    firsts: dict[int, str] = {}
    for index, name in zip(indices.tolist(), names.tolist(), strict=True):
        firsts.setdefault(int(index), name)
    for index in sorted(firsts):
        name = firsts[index]
        seen[name] += 1
        labels[index] = name if seen[name] == 1 else f"{name}#{seen[name]}"
    return [labels[int(index)] for index in indices.tolist()]


def _by_episode(steps: Table) -> tuple[dict[int, tuple[int, int]], dict[str, NDArray[Any]]]:
    """Steps in order, and between which rows those of each episode are."""
    keys = [steps["episode"]]
    if "step" in steps:
        keys.insert(0, steps["step"])
    ordered = select(steps, np.lexsort(keys))
    found, first = np.unique(ordered["episode"], return_index=True)
    ends = [*first[1:].tolist(), rows(ordered)][: len(first)]  # none where there are no steps
    return dict(zip(found.tolist(), zip(first.tolist(), ends, strict=True), strict=True)), ordered


def _number(value: float, digits: int) -> str:
    """Rounded, so that the last bits of a computation make no other case; never -0."""
    text = f"{value:.{digits}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
