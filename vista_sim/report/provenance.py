"""What was run, with which versions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from vista_sim.report.sheet import Sheet, mapping

Row = tuple[str, list[str]]


def provenance(sheets: Sequence[Sheet]) -> list[Row]:
    """Rows of what each run is, with a cell for each run; rows that say nothing are left out."""
    found: list[Row] = []
    for label, name in (
        ("run", None),
        ("what", "what"),
        ("policy", "policy"),
        ("suite", "suite"),
        ("traces", "traces"),
        ("cases", "cases"),
        ("what the cases fix, SHA-256", "cases_sha256"),
        ("seed", "seed"),
        ("step, s", "dt"),
        ("section", "section"),
        ("views", "views"),
        ("most seconds a step may take", "step_timeout"),
        ("status", "status"),
        ("cost", "cost"),
    ):
        cells = [
            str(sheet.run.folder.resolve()) if name is None else _cell(name, sheet.run.info)
            for sheet in sheets
        ]
        if any(cells):
            found.append((label, cells))
    return found


def versions(sheets: Sequence[Sheet]) -> list[Row]:
    """Rows of versions; those that differ between runs are first."""
    own = [
        {
            **mapping(sheet.run.info, "versions"),
            **{f"{name}, sources": v for name, v in mapping(sheet.run.info, "sources").items()},
        }
        for sheet in sheets
    ]
    names = list(dict.fromkeys(str(name) for versions in own for name in versions))
    table = [(name, [str(versions.get(name, "")) for versions in own]) for name in names]
    return sorted(table, key=lambda row: len(set(row[1])) == 1)


def _cell(name: str, info: Mapping[str, Any]) -> str:
    value = info.get(name)
    if value is None:
        return ""
    if name == "policy" and isinstance(value, Mapping):
        digest = value.get("sha256")
        parts = [str(value.get("name", "")), f"SHA-256 {digest}" if digest else ""]
        parts += [f"{key}: {value[key]}" for key in ("version", "unknown") if value.get(key)]
        return ", ".join(part for part in parts if part)
    if name == "suite" and isinstance(value, Mapping):
        parts = [str(value.get(key)) for key in ("name", "description", "file") if value.get(key)]
        return ", ".join(parts)
    if name == "traces" and isinstance(value, Sequence) and not isinstance(value, str):
        return "; ".join(
            f"{trace.get('name', '')} ({trace.get('path', '')})"
            if isinstance(trace, Mapping)
            else str(trace)
            for trace in value
        )
    if name == "cost" and isinstance(value, Mapping):
        return _cost(value)
    if isinstance(value, str | int | float):
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def _cost(cost: Mapping[str, Any]) -> str:
    wall, simulated = cost.get("wall_s"), cost.get("simulated_s")
    if not isinstance(wall, int | float) or not isinstance(simulated, int | float):
        return json.dumps(cost, ensure_ascii=False)
    text = f"{simulated:.0f} s simulated in {wall:.0f} s of wall time"
    workers = cost.get("workers")
    return f"{text}, {workers} worker{'' if workers == 1 else 's'}" if workers else text
