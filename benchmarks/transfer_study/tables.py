"""What the study says, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SHOWN = {  # metric: what it is called, factor to the unit shown, digits
    "crashes_per_km": ("crashes per km", 1.0, 1),
    "mean_cross_track_error_m": ("cross-track error, mean, m", 1.0, 2),
    "recovery": ("recovery, % of the expert's", 100.0, 0),
}


def as_markdown(summary: Mapping[str, Any]) -> str:
    """Both tables, with what they rest on."""
    laterals = ", ".join(f"{v:g}" for v in summary["laterals_m"])
    headings = ", ".join(f"{v:g}" for v in summary["headings_deg"])
    lines = [
        f"Learned from views synthesized from {', '.join(summary['learned'])}; judged in "
        f"{', '.join(summary['unseen'])}. Recovery: up to {summary['starts_per_world']} starts in "
        f"each, {laterals} m beside the path and {headings} degrees off it; the share of those "
        "that a privileged expert recovers from.",
    ]
    if summary["deployment"]:
        lines += ["", "## Deployed where everything is rendered", ""]
        lines += deployment_lines(summary["deployment"])
    if summary["verdict"]["policies"]:
        lines += ["", "## Verdicts: synthesized and rendered views of the same roads", ""]
        lines += verdict_lines(summary["verdict"])
    return "\n".join(lines) + "\n"


def deployment_lines(rows: list[dict[str, Any]]) -> list[str]:
    names = [name for name, _, _ in SHOWN.values()]
    lines = [f"| trained by | seeds | km | {' | '.join(names)} |", "|---" * 6 + "|"]
    for row in rows:
        cells = [interval(row[metric], metric) for metric in SHOWN]
        lines.append(
            f"| {row['training']} | {row['seeds']} | {row['km']:.1f} | {' | '.join(cells)} |"
        )
    lines += ["", "In brackets: 95 % intervals, bootstrap over seeds and worlds (crossed); without"]
    return [*lines, "any crash, the rule of three."]


def verdict_lines(verdict: Mapping[str, Any]) -> list[str]:
    lines = [f"| policy | {' | '.join(name for name, _, _ in SHOWN.values())} |", "|---" * 4 + "|"]
    for policy in verdict["policies"]:
        both = (policy["synthesized"], policy["rendered"])
        cells = [" / ".join(number(world[metric], metric) for world in both) for metric in SHOWN]
        lines.append(f"| {policy['policy']} | {' | '.join(cells)} |")
    correlations = [plain(verdict["spearman"][metric], 2) for metric in SHOWN]
    lines.append(f"| **Spearman's rank correlation** | {' | '.join(correlations)} |")
    return [
        *lines,
        "",
        f"Synthesized / rendered. {len(verdict['policies'])} of {verdict['of']} policies judged, "
        f"{verdict['recovering_20_to_90_percent']} of which recover in 20 to 90 % of the rendered "
        "tests. In brackets: 95 % intervals, bootstrap over policies.",
    ]


def interval(values: Mapping[str, float | None], metric: str) -> str:
    _, factor, digits = SHOWN[metric]
    scaled = {k: None if v is None else factor * v for k, v in values.items()}
    return plain(scaled, digits)


def plain(values: Mapping[str, float | None], digits: int) -> str:
    """A figure as text: value (low to high), as far as known."""
    value, low, high = (values[k] for k in ("value", "low", "high"))
    if value is None:
        return "-"
    if low is None or high is None:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def number(value: float | None, metric: str) -> str:
    _, factor, digits = SHOWN[metric]
    return "-" if value is None else f"{factor * value:.{digits}f}"
