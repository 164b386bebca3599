"""Learning-rate range test: which learning rates make the loss fall, and which make it rise.

Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), section 3.3. The rate rises
from step to step, exponentially; too small ones leave the loss as it is, too large ones let it
explode. The training itself starts from new weights.
"""

from __future__ import annotations

import contextlib
import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path

import torch

from vista_sim.atomic import write_whole

from ..imitation.frames import Source
from ..policy import PolicySpec
from .augment import AugmentConfig
from .config import TrainingConfig
from .curves import running_mean
from .descent import Descent
from .errors import TrainingError
from .processes import join

CSV, PNG = "rates.csv", "rates.png"
_SMOOTHING = 0.9  # share of the running mean that is kept from step to step
_BELOW = 10.0  # how far the suggestion is below the rate of the lowest loss


@dataclass(frozen=True)
class RangeConfig:
    """Which learning rates are tried."""

    smallest: float = 1e-6
    """First learning rate."""
    largest: float = 1.0
    """Last learning rate."""
    steps: int = 100
    """Gradient steps from one to the other."""

    def __post_init__(self) -> None:
        if not 0 < self.smallest < self.largest < math.inf:
            raise ValueError(
                f"smallest is {self.smallest} and largest {self.largest}; both must be positive "
                "and the first below the second"
            )
        if self.steps < 10:
            raise ValueError(f"steps is {self.steps}; it must be at least 10")

    def rate(self, step: int) -> float:
        """Learning rate of a step (the first is 0)."""
        return self.smallest * (self.largest / self.smallest) ** (step / (self.steps - 1))


@dataclass(frozen=True)
class RangeTest:
    """What the loss did at each learning rate, as far as it was finite."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]

    @property
    def suggested(self) -> float:
        """A tenth of the rate at which the smoothed loss is lowest: there, it is about to rise."""
        return self.rates[self.smoothed.index(min(self.smoothed))] / _BELOW


def range_test(
    spec: PolicySpec,
    source: Source,
    config: TrainingConfig,
    augmentation: AugmentConfig,
    out: Path,
    seed: int,
    rates: RangeConfig,
) -> RangeTest:
    """Try learning rates on a new network, and draw what they did to the loss.

    Writes `rates.csv` and `rates.png` into `out`, and no policy.

    Args:
        spec, source, augmentation, seed: as for `train`; the source is closed at the end.
        config: batch size, optimizer, clipping and the like; its rate and schedule play no part.
        out: folder, made if it is not there.
        rates: those to try.

    Raises:
        TrainingError: not even the smallest rates gave finite losses, or there is no such
            device.
    """
    tried: list[float] = []
    losses: list[float] = []
    with contextlib.closing(source):
        processes = join(config.device)
        torch.set_num_threads(config.threads)
        descent = Descent(spec, config, augmentation, processes, seed)
        for step in range(rates.steps):
            source.prepare(step, descent.network)
            loss, norm = descent.gradients(source.batch(step, config.batch_size), step)
            if not (math.isfinite(loss) and math.isfinite(norm)):
                break
            tried.append(rates.rate(step))
            losses.append(loss)
            descent.update(tried[-1])
        if not tried:
            raise TrainingError(f"{out}: the loss is not finite before the first step")
        result = RangeTest(tuple(tried), tuple(losses), tuple(running_mean(losses, _SMOOTHING)))
        if processes.first:
            out.mkdir(parents=True, exist_ok=True)
            write_whole(out / CSV, to_csv(result).encode())
            write_whole(out / PNG, picture(result))
    return result


def to_csv(result: RangeTest) -> str:
    """A line for each learning rate."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("learning_rate", "loss", "smoothed_loss"))
    writer.writerows(zip(result.rates, result.losses, result.smoothed, strict=True))
    return text.getvalue()


def picture(result: RangeTest) -> bytes:
    """A PNG of the loss over the learning rate, as far as it stays in sight."""
    from matplotlib.figure import Figure  # draws without a display

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(result.rates, result.losses, color="tab:blue", alpha=0.3, linewidth=0.7)
    axes.plot(result.rates, result.smoothed, color="tab:blue", label="loss")
    axes.axvline(
        result.suggested,
        color="tab:green",
        linestyle="--",
        label=f"suggested: {result.suggested:.1e}",
    )
    lowest, first = min(result.smoothed), result.smoothed[0]
    fall = max(first - lowest, 1e-3 * abs(first), 1e-12)
    axes.set_ylim(lowest - 0.5 * fall, first + fall)
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")
    axes.grid(alpha=0.3)
    axes.legend()
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=100)
    return data.getvalue()
