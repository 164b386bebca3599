"""The rows that a case adds to the tables of a run."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from vista_sim.errors import PolicyDiedError, RunError
from vista_sim.files import read_json
from vista_sim.runs.run import TABLES

MOST_JSON = 512 * 2**20  # bytes: a hundred thousand cases take some 150 MB

Row = dict[str, Any]

#: Ending of an episode whose policy broke.
POLICY_FAILED = "policy_failed"
#: How a process ended that somebody killed: for its memory, mostly, so that nothing is said of the
#: policy by it.
KILLED = "its process was ended by SIGKILL (out of memory?)"
_KILLED = PolicyDiedError(KILLED).reason


def was_killed(episodes: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the process that drove a case was killed, by the rows of its episodes."""
    return any(row.get("failure") == _KILLED for row in episodes)


@dataclass
class CaseRows:
    """Rows of a case as they come; its episodes are counted from 0.

    Args:
        steps, timings, episodes, frames: rows of the tables of that name.
        start: of the episode that is being driven, what its row will hold; None between two.
    """

    steps: list[Row] = field(default_factory=list)
    timings: list[Row] = field(default_factory=list)
    episodes: list[Row] = field(default_factory=list)
    frames: list[Row] = field(default_factory=list)
    start: Row | None = None

    def flush_now_and_then(self) -> None:
        """They stay where they are."""

    @property
    def case(self) -> str:
        """The name of the case, once one of its episodes is over."""
        return str(self.episodes[0]["case"]) if self.episodes else ""

    @property
    def seconds(self) -> float:
        """Simulated by the policy's episodes so far, s."""
        ended = sum(row["duration"] for row in self.episodes if row["driver"] == "policy")
        if self.start is not None and self.start["driver"] == "policy" and self.steps:
            return float(ended + self.steps[-1]["t"])
        return float(ended)

    def take(
        self, steps: list[Row], timings: list[Row], episodes: list[Row], frames: list[Row]
    ) -> None:
        """Add rows that another process recorded."""
        self.steps += steps
        self.frames += frames
        self.timings += timings
        self.episodes += episodes
        if episodes:
            self.start = None

    def break_off(self, start: Row, reason: str) -> None:
        """End what is being driven: its process is gone.

        The row is the one that the process would have written, had it caught the failure itself.

        Args:
            start: of the episode, where none had begun yet.
            reason: why the policy broke.
        """
        row = dict(self.start or start)
        if self.start is None:
            row["episode"] = len(self.episodes)
        own = [step for step in self.steps if step["episode"] == row["episode"]]
        distance = 0.0
        for before, after in itertools.pairwise(own):
            distance += math.hypot(after["x"] - before["x"], after["y"] - before["y"])
        last: Mapping[str, Any] = own[-1] if own else {"s": row["start_s"], "step": 0, "t": 0.0}
        self.episodes.append(
            row
            | {
                "end_s": last["s"],
                "steps": last["step"],
                "duration": last["t"],
                "distance": distance,
                "reward": float(sum(step["reward"] for step in own[1:])),
                "ending": POLICY_FAILED,
                "missed": False,
                "failure": reason,
            }
        )
        self.start = None

    def numbered(self, first: int) -> CaseRows:
        """The same with episodes counted from `first`."""

        def renumbered(rows: list[Row]) -> list[Row]:
            return [row | {"episode": row["episode"] + first} for row in rows]

        return CaseRows(
            steps=renumbered(self.steps),
            timings=renumbered(self.timings),
            episodes=renumbered(self.episodes),
            frames=renumbered(self.frames),
        )

    @classmethod
    def read(cls, path: Path, steps: pa.Schema) -> CaseRows | None:
        """The rows that `to_json` wrote; None where the file holds others.

        Args:
            path: of the file.
            steps: the columns of steps, with the task's terms.
        """
        try:
            values = read_json(path, RunError, MOST_JSON)
            rows = cls(**{name: values[name] for name in TABLES})
            for name, fields in TABLES.items():
                schema = steps if name == "steps" else pa.schema(list(fields.items()))
                pa.Table.from_pylist(getattr(rows, name), schema=schema)
            whole = bool(rows.episodes) and all(
                isinstance(row.get("episode"), int) and row.get("case") for row in rows.episodes
            )
        except (RunError, KeyError, TypeError, AttributeError, ValueError, pa.ArrowException):
            return None
        return rows if whole else None

    def to_json(self) -> dict[str, list[Row]]:
        """As plain JSON values, which Python reads back to the last bit."""
        return {
            "steps": self.steps,
            "timings": self.timings,
            "episodes": self.episodes,
            "frames": self.frames,
        }
