"""Where episodes start: drawn over the drivable sections of all traces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from vista_sim.arguments import check_number
from vista_sim.errors import WorldError

if TYPE_CHECKING:
    from vista_sim.traces.trace import Section, Trace

StartMode = Literal["uniform", "start", "curvature"]
MODES: tuple[StartMode, ...] = ("uniform", "start", "curvature")

#: Edges of the signed curvature classes that `curvature` balances, 1/m.
CURVATURE_EDGES = (-0.04, -0.02, -0.01, -0.005, -0.002, 0.002, 0.005, 0.01, 0.02, 0.04)
SPACING = 1.0  # m between the points whose curvature is looked up


@dataclass(frozen=True, slots=True)
class Start:
    """Where and how a car starts, relative to a recorded path."""

    trace: int  # index into the world's traces
    s: float  # m, arc length of the whole trace
    lateral: float = 0.0  # m
    heading: float = 0.0  # rad, relative to the path


@dataclass(frozen=True)
class Starts:
    """How starts are drawn.

    Args:
        mode: "uniform": over the drivable arc length of all traces; "curvature": a class of
            path curvature first, each as likely, then uniform within it; "start": the
            beginning of a section, each as likely.
        lateral, heading: largest perturbation of the start, m and rad; drawn uniformly
            from [-lateral, lateral] and [-heading, heading].
        runway: distance kept free before a section's end, m (half of a shorter section).
    """

    mode: StartMode = "uniform"
    lateral: float = 0.0
    heading: float = 0.0
    runway: float = 20.0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise WorldError(f"reset mode is {self.mode!r}; known are {', '.join(MODES)}")
        for name in ("lateral", "heading", "runway"):
            value = check_number(f"start {name}", getattr(self, name))
            if not (math.isfinite(value) and value >= 0):
                raise WorldError(f"start {name} is {value}; it must be finite and not negative")


class StartSampler:
    """Draws starts over the sections of several traces.

    Args:
        traces: open traces.
        sections: the drivable sections of each.
        starts: how to draw.
    """

    def __init__(
        self,
        traces: Sequence[Trace],
        sections: Sequence[Sequence[Section]],
        starts: Starts,
    ) -> None:
        self.starts = starts
        self._traces = traces
        self._sections = sections
        self._single: dict[int, StartSampler] = {}
        # One row a section: first and last possible s.
        owners, first, last = [], [], []
        for index, of_trace in enumerate(sections):
            for section in of_trace:
                length = section.end_s - section.start_s
                owners.append(index)
                first.append(section.start_s)
                last.append(section.end_s - min(starts.runway, 0.5 * length))
        self._owners = np.array(owners, dtype=np.int64)
        self._first = np.array(first)
        self._cumulative = np.cumsum(np.array(last) - self._first)
        self._classes: list[NDArray[np.float64]] | None = None

    def draw(self, rng: np.random.Generator, trace: int | None = None) -> Start:
        """Draw a start, in any trace or in one (an index).

        The same generator state gives the same start.

        Raises:
            WorldError: the trace asked for has nothing to drive.
        """
        if trace is not None:
            return self._only(trace).draw(rng)
        mode = self.starts.mode
        if mode == "start":
            row = int(rng.integers(len(self._owners)))
            index, s = int(self._owners[row]), float(self._first[row])
        elif mode == "uniform":
            index, s = self._locate(float(rng.uniform(0.0, self._cumulative[-1])))
        else:
            classes = self._curvature_classes()
            points = classes[int(rng.integers(len(classes)))]
            drawn = points[int(rng.integers(len(points)))] + rng.uniform(0.0, SPACING)
            index, s = self._locate(min(float(drawn), float(self._cumulative[-1])))
        lateral, heading = self.draw_perturbation(rng)
        return Start(index, s, lateral, heading)

    def draw_perturbation(self, rng: np.random.Generator) -> tuple[float, float]:
        """Draw a lateral offset (m) and a heading (rad)."""
        lateral = float(rng.uniform(-self.starts.lateral, self.starts.lateral))
        return lateral, float(rng.uniform(-self.starts.heading, self.starts.heading))

    def _only(self, trace: int) -> StartSampler:
        """The sampler of one trace alone."""
        if trace not in self._single:
            if not self._sections[trace]:
                raise WorldError(f"trace {trace} ({self._traces[trace].root}) has nothing to drive")
            alone = [s if i == trace else () for i, s in enumerate(self._sections)]
            self._single[trace] = StartSampler(self._traces, alone, self.starts)
        return self._single[trace]

    def _locate(self, distance: float) -> tuple[int, float]:
        """Trace and s of a distance (m) along all sections laid end to end."""
        row = int(np.searchsorted(self._cumulative, distance, side="left"))
        row = min(row, len(self._owners) - 1)
        before = self._cumulative[row - 1] if row else 0.0
        return int(self._owners[row]), float(self._first[row] + distance - before)

    def _curvature_classes(self) -> list[NDArray[np.float64]]:
        """Distances along all sections laid end to end, by curvature; empty classes left out."""
        if self._classes is None:
            distances = np.arange(0.0, max(self._cumulative[-1], SPACING), SPACING)
            curvature = np.empty_like(distances)
            for i, distance in enumerate(distances):
                trace, s = self._locate(float(distance))
                curvature[i] = self._traces[trace].path.curvature(s)
            kind = np.digitize(curvature, CURVATURE_EDGES)
            self._classes = [distances[kind == k] for k in np.unique(kind)]
        return self._classes
