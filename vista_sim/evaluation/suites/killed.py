"""Cases whose process was killed: taken out of a run that is gone on with, to be driven again.

That a process was killed, mostly for its memory, says nothing of the policy. The cases after the
first such one leave the tables too, into which cases enter in their order, and wait for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from vista_sim.evaluation.suites.rows import CaseRows, Row, was_killed
from vista_sim.runs.run import Run


@dataclass(frozen=True)
class SetAside:
    """A run without cases whose process was killed.

    Args:
        run: with the cases before the first of them.
        waiting: rows of the others after that, by index.
        killed: names of those that are to be driven again.
    """

    run: Run
    waiting: Mapping[int, CaseRows]
    killed: tuple[str, ...]


def cases_of(run: Run) -> dict[str, list[Row]]:
    """Rows of a run's episodes by case, in the order of the cases."""
    cases: dict[str, list[Row]] = {}
    for row in run.episodes.to_pylist():
        cases.setdefault(row["case"], []).append(row)
    return cases


def killed_cases(run: Run) -> tuple[str, ...]:
    """Names of the cases whose process was killed."""
    return tuple(name for name, rows in cases_of(run).items() if was_killed(rows))


def set_aside(run: Run) -> SetAside:
    """Take the cases whose process was killed out of a run."""
    cases = cases_of(run)
    killed = killed_cases(run)
    if not killed:
        return SetAside(run, {}, ())
    names = list(cases)
    first = names.index(killed[0])
    waiting = {
        index: _rows(run, cases[name])
        for index, name in enumerate(names)
        if index > first and name not in killed
    }
    before = [row["episode"] for name in names[:first] for row in cases[name]]
    own = pc.is_in(run.episodes.column("episode"), pa.array(before, pa.int32()))
    return SetAside(replace(run, episodes=run.episodes.filter(own)), waiting, killed)


def _rows(run: Run, episodes: list[Row]) -> CaseRows:
    """All rows of a case, whose episodes are counted from 0."""
    numbers = [row["episode"] for row in episodes]
    own = pa.array(numbers, pa.int32())

    def of(table: pa.Table) -> list[Row]:
        if not table.num_rows:
            return []
        found: list[Row] = table.filter(pc.is_in(table.column("episode"), own)).to_pylist()
        return found

    rows = CaseRows(of(run.steps), of(run.timings), episodes, of(run.frames))
    return rows.numbered(-min(numbers))
