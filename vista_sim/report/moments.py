"""The worst moments of runs, the gravest first, for a link to each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vista_sim.evaluation.metrics.comfort import lateral_acceleration
from vista_sim.evaluation.metrics.tables import Floats, Table, floats, rows, texts
from vista_sim.evaluation.metrics.tracking import cross_track_error
from vista_sim.report.sheet import BACK, BROKE, CRASHED, LOST, MISSED, Sheet
from vista_sim.runs.endings import in_words
from vista_sim.runs.kinds import DRIVING, RECOVERY

EACH = 5  # moments of a kind
ENDINGS = 10  # crashes, and episodes in which the policy broke
ON_PATH = 0.05  # m from the path at which driving may begin; tests of recovery begin farther off
BEFORE = 2.0  # s before the moment at which the page begins to show it


@dataclass(frozen=True)
class Moment:
    """A moment worth a look.

    Args:
        kind: what happened: an outcome, or what is large or small there.
        value: in words, with unit.
        run, episode: which.
        t: s from the start of the episode.
        s: m along the recorded path; None where not known.
        where: what the episode is called.
        shown_from: s from the start of the episode, at which the page begins to show it.
    """

    kind: str
    value: str
    run: int
    episode: int
    t: float
    s: float | None
    where: str
    shown_from: float

    @property
    def link(self) -> str:
        """Where on the page it is."""
        return f"#run={self.run}&episode={self.episode}&t={self.shown_from:.2f}"

    @property
    def place(self) -> str:
        """Where it is, in words: of a start of a recovery test, that start."""
        if self.kind == LOST:
            return self.where
        along = "" if self.s is None else f"at {self.s:.0f} m, "
        return f"{self.where}, {along}after {self.t:.1f} s"


def _hardness(steps: Table) -> Floats:
    return np.abs(lateral_acceleration(steps))


def _unseen(steps: Table) -> Floats:
    return 1.0 - floats(steps, "validity")


#: What is largest: its name, its value a row, how it is said, and from what on it is worth it.
PEAKS: tuple[tuple[str, Callable[[Table], Floats], Callable[[float], str], float], ...] = (
    ("farthest off the path", cross_track_error, lambda v: f"{v:.2f} m", 0.05),
    ("hardest lateral acceleration", _hardness, lambda v: f"{v:.2f} m/s²", 0.5),
    ("least really seen", _unseen, lambda v: f"{100 * (1 - v):.1f} % of pixels", 0.005),
)


def worst_moments(sheets: list[Sheet]) -> list[Moment]:
    """Broken policies and crashes, then what was not recovered from or missed, then peaks.

    Of a recovery test only starts count from which the expert came back, if it tried them. The
    peaks are of closed-loop driving alone, one for each episode: starts of a recovery test are
    set beside the path, so that theirs say nothing.
    """
    found = []
    for outcome, most in ((BROKE, ENDINGS), (CRASHED, ENDINGS), (LOST, EACH), (MISSED, EACH)):
        found += _endings(sheets, outcome, most)
    for name, values, say, least in PEAKS:
        peaks = []
        for sheet in sheets:
            driving = (texts(sheet.episodes, "kind") == DRIVING) & sheet.by_policy
            on_path = np.abs(floats(sheet.episodes, "start_lateral")) < ON_PATH
            for row in np.flatnonzero(driving | (~sheet.finished & on_path)):
                steps = sheet.steps_of(int(row))
                own = values(steps)
                if len(own) and np.isfinite(own).any():
                    at = int(np.nanargmax(own))
                    peaks.append((float(own[at]), sheet, int(row), at))
        peaks.sort(key=lambda peak: (-peak[0], peak[1].index, peak[2]))
        found += [
            _moment(name, say(value), sheet, row, at)
            for value, sheet, row, at in peaks[:EACH]
            if value >= least
        ]
    return found


def _endings(sheets: list[Sheet], outcome: str, most: int) -> list[Moment]:
    """Episodes that ended so: of driving before those of recovery, the fastest first."""
    found = []
    for sheet in sheets:
        excused = _excused(sheet)
        tests = texts(sheet.episodes, "kind") == RECOVERY
        for row, own in enumerate(sheet.outcomes):
            if own != outcome or not sheet.by_policy[row] or row in excused:
                continue
            steps = sheet.steps_of(row)
            last = rows(steps) - 1
            speed = float(floats(steps, "speed")[last]) if last >= 0 else 0.0
            speed = speed if speed == speed else 0.0
            found.append((bool(tests[row]), -speed, sheet.index, row, sheet, last))
    found.sort(key=lambda item: item[:4])
    tested = [item for item in found if item[0]]
    return [
        _moment(outcome, _how(sheet, row, -speed), sheet, row, max(last, 0))
        for _, speed, _, row, sheet, last in [*found[: len(found) - len(tested)], *tested[:EACH]][
            :most
        ]
    ]


def _excused(sheet: Sheet) -> set[int]:
    """Starts of a recovery test from which the expert did not come back either."""
    hopeless = {
        names
        for names, outcome, own in zip(
            sheet.case_names, sheet.outcomes, sheet.by_policy, strict=True
        )
        if not own and outcome != BACK
    }
    return {row for row, names in enumerate(sheet.case_names) if names in hopeless}


def _how(sheet: Sheet, row: int, speed: float) -> str:
    failure = str(texts(sheet.episodes, "failure")[row])
    if failure:
        return failure
    if sheet.outcomes[row] == LOST:
        duration = float(floats(sheet.episodes, "duration")[row])
        return f"within {duration:.1f} s"
    ending = str(texts(sheet.episodes, "ending")[row])
    return f"{in_words(ending)} at {speed:.1f} m/s"


def _moment(kind: str, value: str, sheet: Sheet, row: int, at: int) -> Moment:
    steps = sheet.steps_of(row)
    there = at < rows(steps)
    s = float(floats(steps, "s")[at]) if there else float("nan")
    t = float(floats(steps, "t")[at]) if there else 0.0
    shown_from = t
    if kind == LOST:
        shown_from = 0.0
    elif kind in (BROKE, CRASHED):
        shown_from = max(0.0, t - BEFORE)
    return Moment(
        kind,
        value,
        sheet.index,
        int(sheet.episodes["episode"][row]),
        t,
        s if s == s else None,
        sheet.titles[row],
        shown_from,
    )
