"""How a training went, step by step: TensorBoard, curves.csv and curves.png."""

from __future__ import annotations

import csv
import io
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from vista_sim.atomic import write_whole
from vista_sim.errors import PolicyError

from ..folders import TENSORBOARD

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CSV, PNG = "curves.csv", "curves.png"
_SMOOTHING = 0.95  # share of the running mean that is kept from step to step


@dataclass
class Row:
    """One step."""

    step: int  # the first is 1
    loss: float
    gradient_norm: float  # before clipping
    learning_rate: float
    validation_loss: float | None = None  # where the held-out road was looked at
    validation_error: float | None = None


class Curves:
    """The rows of a training, kept in its policy folder.

    Leaving the `with` block saves them, so that a training that broke off shows what happened.

    Args:
        folder: None: nothing is kept, as in processes other than the first.
        step: of the checkpoint that is gone on from; later rows are forgotten.

    Raises:
        PolicyError: curves.csv cannot be read.
    """

    def __init__(self, folder: Path | None, step: int = 0) -> None:
        self.folder = folder
        self.rows: list[Row] = []
        self._saved = 0
        if folder is None:
            return
        from torch.utils.tensorboard import SummaryWriter

        if step:
            self.rows = [row for row in read_rows(folder / CSV) if row.step <= step]
        self._log = SummaryWriter(folder / TENSORBOARD, purge_step=step + 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.folder is not None:
            self.save()
            self._log.close()

    def add(self, row: Row) -> None:
        """Take in a step."""
        if self.folder is None:
            return
        self.rows.append(row)
        for tag, value in (
            ("loss/train", row.loss),
            ("loss/validation", row.validation_loss),
            ("error/validation", row.validation_error),
            ("gradient_norm", row.gradient_norm),
            ("learning_rate", row.learning_rate),
        ):
            if value is not None:
                self._log.add_scalar(tag, value, row.step)

    def save(self) -> None:
        """Write curves.csv and draw curves.png, each whole or not at all."""
        if self.folder is None or len(self.rows) == self._saved:
            return
        self._saved = len(self.rows)
        write_whole(self.folder / CSV, to_csv(self.rows).encode())
        write_whole(self.folder / PNG, picture(self.rows))


def to_csv(rows: list[Row]) -> str:
    """A line for each row, below their names; numbers are read back exactly as they were."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(f.name for f in fields(Row))
    writer.writerows(astuple(row) for row in rows)
    return text.getvalue()


def read_rows(path: Path) -> list[Row]:
    """Read what `to_csv` wrote; nothing where there is no file. Raises PolicyError."""
    if not path.exists():
        return []
    try:
        lines = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
        return [
            Row(int(line.pop("step")), **{k: float(v) if v else None for k, v in line.items()})  # type: ignore[arg-type]
            for line in lines
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PolicyError(
            f"{path}: is not readable ({error!r}); remove it to go on without older curves"
        ) from None


def picture(rows: list[Row]) -> bytes:
    """A PNG of losses, gradient norm and learning rate over the steps."""
    from matplotlib.figure import Figure  # draws without a display

    figure = Figure(figsize=(7, 8))
    figure.subplots_adjust(left=0.14, right=0.97, bottom=0.07, top=0.98, hspace=0.08)
    losses, norms, rates = figure.subplots(3, 1, sharex=True, height_ratios=(3, 2, 1))
    steps = [row.step for row in rows]
    _draw_noisy(losses, steps, [row.loss for row in rows], "training")
    looks = [row for row in rows if row.validation_loss is not None]
    losses.plot(
        [row.step for row in looks],
        [row.validation_loss for row in looks],
        "o-",
        color="tab:orange",
        markersize=3,
        label="held-out road",
    )
    losses.set_ylabel("loss")
    if min(row.loss for row in rows) > 0:  # a likelihood's can be negative
        losses.set_yscale("log")
    losses.legend()
    _draw_noisy(norms, steps, [row.gradient_norm for row in rows], "before clipping")
    norms.set_ylabel("gradient norm")
    norms.set_yscale("log")
    norms.legend()
    rates.plot(steps, [row.learning_rate for row in rows], color="tab:green")
    rates.set_ylabel("learning rate")
    rates.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    rates.set_xlabel("step")
    for axes in (losses, norms, rates):
        axes.grid(alpha=0.3)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=100)
    return data.getvalue()


def _draw_noisy(axes: Axes, steps: list[int], values: list[float], label: str) -> None:
    """Values, pale, and their running mean."""
    axes.plot(steps, values, color="tab:blue", alpha=0.3, linewidth=0.7)
    axes.plot(steps, running_mean(values, _SMOOTHING), color="tab:blue", label=label)


def running_mean(values: list[float], kept: float) -> list[float]:
    """Exponential mean without the pull to its start (Kingma and Ba 2015, section 3).

    Args:
        values: one after the other.
        kept: share of the mean that is kept from one to the next.
    """
    mean, means = 0.0, []
    for count, value in enumerate(values, start=1):
        mean = kept * mean + (1 - kept) * value
        means.append(mean / (1 - kept**count))
    return means
