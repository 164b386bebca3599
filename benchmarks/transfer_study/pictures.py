"""Draws the study: who recovers from where, and how the two worlds' verdicts agree."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from transfer_study.tables import SHOWN, plain

ORANGE, BLUE = "#d95f02", "#1f5fa8"


def draw_deployment(summary: Mapping[str, Any], path: Path) -> None:
    """Recovery and crashes by training with intervals, and recovery by offset and heading."""
    from matplotlib.figure import Figure

    rows = summary["deployment"]
    count = len(rows)
    wide = max(2, min(count, 4))
    lines = math.ceil(count / wide)
    figure = Figure(figsize=(2.6 * wide + 1.0, 3.0 + 2.4 * lines), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[3.0, 2.4 * lines])
    above, below = parts
    for axes, metric in zip(above.subplots(1, 2), ("recovery", "crashes_per_km"), strict=True):
        name, factor, _ = SHOWN[metric]
        for i, row in enumerate(rows):
            value, low, high = (
                factor * (math.nan if row[metric][k] is None else row[metric][k])
                for k in ("value", "low", "high")
            )
            axes.bar(i, value, color=BLUE, width=0.6)
            if math.isfinite(low):
                axes.plot([i, i], [low, high], color="black")
        axes.set_xticks(range(count), [row["training"] for row in rows], rotation=20, ha="right")
        axes.set_title(name, fontsize=9)
        axes.set_xlim(-0.6, count - 0.4)
        axes.set_ylim(0, 105 if metric == "recovery" else None)
    grids = below.subplots(lines, wide, squeeze=False)
    for axes in grids.ravel()[count:]:
        axes.set_axis_off()
    for axes, row in zip(grids.ravel(), rows, strict=False):
        best = np.array(row["recovered_by_expert"])
        shares = np.array(row["recovered"]) / np.where(best > 0, best, math.nan)
        axes.set_facecolor("lightgray")  # from there the expert does not recover either
        axes.imshow(shares, vmin=0, vmax=1, cmap="RdYlGn", aspect="auto", origin="lower")
        for (i, j), share in np.ndenumerate(shares):
            text = "-" if math.isnan(share) else f"{100 * share:.0f}"
            colour = "white" if share > 0.85 or share < 0.15 else "black"
            axes.text(j, i, text, ha="center", va="center", fontsize=8, color=colour)
        axes.set_xticks(range(shares.shape[1]), [f"{v:+g}°" for v in summary["headings_deg"]])
        axes.set_yticks(range(shares.shape[0]), [f"{v:+g} m" for v in summary["laterals_m"]])
        axes.set_title(f"{row['training']}: recovers, %", fontsize=9)
    save(figure, path)


def draw_verdict(summary: Mapping[str, Any], path: Path) -> None:
    """A panel a metric: every policy, in the synthesized world and in the rendered one."""
    from matplotlib.figure import Figure

    verdict = summary["verdict"]
    figure = Figure(figsize=(12.0, 4.4), layout="constrained")
    for axes, (metric, (name, factor, _)) in zip(
        figure.subplots(1, len(SHOWN)), SHOWN.items(), strict=True
    ):
        sides = [[p[v][metric] for v in ("synthesized", "rendered")] for p in verdict["policies"]]
        pairs = factor * np.array(sides, dtype=np.float64)
        degraded = np.array(["," in p["policy"] for p in verdict["policies"]])
        for which, colour, label in (
            (~degraded, BLUE, "as trained"),
            (degraded, ORANGE, "made worse"),
        ):
            axes.scatter(*pairs[which].T, s=26, color=colour, alpha=0.8, label=label)
        most = 100.0 if metric == "recovery" else float(np.nanmax(pairs))
        end = 1.05 * max(most, 1e-3)
        axes.plot([0, end], [0, end], color="gray", linewidth=0.8, zorder=0)
        axes.set(xlim=(-0.03 * end, end), ylim=(-0.03 * end, end), aspect="equal")
        axes.set_xlabel("in synthesized views")
        axes.set_ylabel("rendered")
        agreement = plain(verdict["spearman"][metric], 2)
        axes.set_title(f"{name.split(',')[0]}\nSpearman {agreement}", fontsize=10)
    axes.legend(fontsize=8, loc="lower right")
    save(figure, path)


def save(figure: Any, path: Path) -> None:
    """Write a PNG that is whole or not there, the same bytes for the same figure."""
    temporary = path.with_suffix(".part.png")
    figure.savefig(temporary, dpi=110, metadata={"Software": None})
    temporary.replace(path)
