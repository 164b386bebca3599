"""How a training from reward goes: TensorBoard, curves.csv and curves.png."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vista_sim.atomic import write_whole
from vista_sim.errors import PolicyError

from ..folders import TENSORBOARD

CSV, PNG = "curves.csv", "curves.png"

#: Panels of the picture: title, axis, and the numbers that are drawn.
PANELS = (
    ("Reward of a step", "reward", ("practice/reward",)),
    ("Crashes in 100 s of practice", "crashes", ("practice/crashes_per_100s",)),
    ("Crashes on the whole drive", "crashes", ("evaluation/crashes",)),
    (
        "Distance from the path on the whole drive",
        "m",
        ("evaluation/mean_cross_track_error_m", "evaluation/max_cross_track_error_m"),
    ),
)


class Curves:
    """Numbers of each iteration, kept in the training's folder.

    Args:
        out: the folder.
        iteration: done so far; what a killed training told of later ones is forgotten.
    """

    def __init__(self, out: Path, iteration: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._out = out
        self._lines = [x for x in read_lines(out / CSV) if x["iteration"] <= iteration]
        self._write()
        self._log = SummaryWriter(str(out / TENSORBOARD), purge_step=iteration + 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._log.close()
        if self._lines:
            write_whole(self._out / PNG, picture(self._lines))

    def add(self, iteration: int, steps: int, numbers: Mapping[str, float]) -> None:
        """Tell numbers of an iteration; more of the same one may follow.

        Args:
            iteration: counted from 1.
            steps: driven so far, of all cars.
            numbers: by name.
        """
        for name, value in numbers.items():
            self._log.add_scalar(name, value, iteration)
        self._log.flush()
        if not self._lines or self._lines[-1]["iteration"] != iteration:
            self._lines.append({"iteration": iteration, "steps": steps})
        self._lines[-1] |= numbers
        self._write()

    def mean(self, name: str, count: int) -> float:
        """Mean of a number over the last `count` iterations that told it."""
        values = [line[name] for line in self._lines[-count:] if name in line]
        return sum(values) / max(len(values), 1)

    def _write(self) -> None:
        text = io.StringIO()
        names = dict.fromkeys(name for line in self._lines for name in line)
        writer = csv.DictWriter(text, list(names), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._lines)
        write_whole(self._out / CSV, text.getvalue().encode())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The numbers of each iteration, by name; none where there is no file.

    Raises:
        PolicyError: the file cannot be read.
    """
    if not path.is_file():
        return []
    try:
        rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
        lines = [{name: float(value) for name, value in row.items() if value} for row in rows]
        return [x | {"iteration": int(x["iteration"]), "steps": int(x["steps"])} for x in lines]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PolicyError(
            f"{path}: is not readable ({error!r}); remove it to go on without older curves"
        ) from None


def picture(lines: list[dict[str, Any]]) -> bytes:
    """A PNG of the curves over the steps driven."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), layout="constrained")
    for axes, (title, unit, names) in zip(figure.subplots(2, 2).flat, PANELS, strict=True):
        for name in names:
            points = [(line["steps"] / 1000, line[name]) for line in lines if name in line]
            label = name.rpartition("/")[2].replace("_", " ")
            if points:
                axes.plot(*zip(*points, strict=True), marker=".", label=label)
        axes.set_title(title)
        axes.set_xlabel("steps of all cars, thousands")
        axes.set_ylabel(unit)
        axes.grid(alpha=0.3)
        if len(axes.lines) > 1:
            axes.legend()
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=100)
    return data.getvalue()
