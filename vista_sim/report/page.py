"""Puts a report together: reads runs, judges them, chooses videos, and fills the template."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vista_sim.atomic import WholeFolder, why_not, write_whole
from vista_sim.errors import MissingDependencyError, RunError
from vista_sim.evaluation.judging import JudgingSettings
from vista_sim.evaluation.judging_report import scenario_rows
from vista_sim.report import tables, videos
from vista_sim.report.columns import step_data, thinning
from vista_sim.report.encoding import packed, packed_json, safe_json, script_hash
from vista_sim.report.episodes import case_links, run_data
from vista_sim.report.heat import recovery_heat
from vista_sim.report.moments import Moment, worst_moments
from vista_sim.report.provenance import provenance, versions
from vista_sim.report.roads import maps, roads_of, trace_of_each
from vista_sim.report.sheet import LETTERS, OUTCOMES, Sheet, read_sheet

if TYPE_CHECKING:
    from jinja2 import Environment

VideoChoice = Literal["embed", "link", "none"]
Told = Callable[[float, float, str], None]

MAX_SIZE = 30.0  # MB
SCRIPTS = ("unpack", "table", "videos", "plots", "map", "player", "main")
MARGIN = 100_000  # bytes kept free for what is known last


def write_report(
    runs: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    choice: VideoChoice = "embed",
    max_size: float = MAX_SIZE,
    settings: JudgingSettings | None = None,
    overwrite: bool = False,
    told: Told | None = None,
) -> list[str]:
    """Write a report of runs as one HTML page.

    Args:
        runs: folders; the first is what the others are compared with.
        out: the page. With linked videos, a folder is written beside it.
        choice: whether videos are embedded, copied beside the page, or left out.
        max_size: MB that a page with embedded videos may take; more videos are made smaller or
            left out.
        settings: of the judging.
        overwrite: replace a page that is there.
        told: called with work done, work in all, and what is being done.

    Returns:
        What the reader should know: videos missing, made smaller or left out.

    Raises:
        RunError: a run cannot be used, or the page cannot be written.
        MissingDependencyError: a package of the extra `report` is missing.
    """
    told = told or (lambda done, total, note: None)
    out = Path(out)
    beside = out.with_name(f"{out.stem}-videos")
    _check_destination(out, beside if choice == "link" else None, overwrite)
    if not 1 <= len(runs) <= len(LETTERS):
        raise RunError(f"{len(runs)} runs are given; a report takes 1 to {len(LETTERS)}")
    environment, plotly = _environment(), _plotly()
    sheets = []
    for index, run in enumerate(runs):
        told(index, len(runs) + 5, "reading")
        sheets.append(read_sheet(run, index))
    work = float(len(runs))
    told(work, work + 5, "judging")
    page = _contents(sheets, settings or JudgingSettings(), plotly)
    told(work + 2, work + 5, "videos")
    clips = [clip for sheet in sheets for clip in videos.clips_of(sheet)]
    for sheet, data in zip(sheets, page["step_data"], strict=True):
        data["frames"] = videos.frame_data(clips, sheet)
    page["steps"] = [packed_json(data) for data in page.pop("step_data")]
    template = environment.get_template("report.html.j2")
    folder: WholeFolder | None = None
    try:
        if choice == "embed":
            empty = len(template.render(page, **_of_clips(page, [], plotly, choice)).encode())
            room = int(max_size * 1e6) - empty - MARGIN - 200 * len(clips)
            videos.embed(
                clips, max(room, 0), lambda d, t: told(work + 2 + 2 * d / t, work + 5, "videos")
            )
        elif choice == "link" and clips:
            folder = WholeFolder(beside)
            videos.link(clips, folder.path, beside.name)
        notes = [note for sheet in sheets for note in sheet.run.notes]
        notes += videos.notes(clips) if choice != "none" else []
        told(work + 4, work + 5, "writing")
        html = template.render(page, notes=notes, **_of_clips(page, clips, plotly, choice))
        _check_destination(out, beside if choice == "link" else None, overwrite)  # as it is by now
        if folder is not None:
            folder.finish()
        write_whole(out, html.encode(errors="replace"))
    except OSError as error:
        raise RunError(f"{out}: {why_not(error)}") from error
    finally:
        if folder is not None:
            folder.discard()
    return notes


def _contents(sheets: list[Sheet], settings: JudgingSettings, plotly: str) -> dict[str, Any]:
    """What the template shows, and the data of the page's own code."""
    judgements = [tables.judged(sheet, settings) for sheet in sheets]
    pairings = tables.pairings(sheets, settings)
    every = thinning(sheets)
    runs, steps = [], []
    for sheet in sheets:
        roads = roads_of(sheet)
        traces = trace_of_each(sheet, roads)
        runs.append(run_data(sheet, traces) | {"maps": maps(roads)})
        steps.append(step_data(sheet, roads, traces, every))
    return {
        "sheets": sheets,
        "standings": [tables.standing(sheet) for sheet in sheets],
        "headlines": [tables.headline(judgement) for judgement in judgements],
        "episodes": any(sheet.outcomes for sheet in sheets),
        "judgements": judgements,
        "metric_rows": tables.metric_rows(judgements),
        "by_scenario": [
            scenario_rows(j.scenarios) if j and len(j.scenarios) > 1 else None for j in judgements
        ],
        "left_out": tables.left_out(judgements[0]),
        "level": round(100 * settings.level),
        "pairings": pairings,
        "links": [case_links(pairing.b) for pairing in pairings],
        "moments": worst_moments(sheets),
        "heats": [recovery_heat(sheet) for sheet in sheets],
        "provenance": provenance(sheets),
        "versions": versions(sheets),
        "every": every,
        "built": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "runs": runs,
        "step_data": steps,
        "css": _static("report.css"),
        "script": _script(),
        "plotly": packed(plotly.encode("utf-8")),
        "whisker": tables.WHISKER,
    }


def _of_clips(
    page: dict[str, Any], clips: list[videos.Clip], plotly: str, choice: VideoChoice
) -> dict[str, Any]:
    """What of the page depends on the videos."""
    shown = [
        {
            "view": clip.view,
            "file": clip.file,
            "rate": round(clip.format.rate, 6),
            "size": clip.format[1:],
            "state": clip.state,
            "href": clip.href,
        }
        for clip in clips
    ]
    filmed = {
        (clip.sheet.index, episode)
        for clip in clips
        if clip.data or clip.href
        for episode in clip.frames
    }
    data = {
        "runs": page["runs"],
        "clips": shown,
        "outcomes": OUTCOMES,
        "begin": _beginning(page["moments"], page["sheets"], filmed),
        "videos": choice != "none",
    }
    media = "blob: 'self' file:" if any(clip.href for clip in clips) else "blob:"
    policy = (
        f"default-src 'none'; script-src {script_hash(page['script'])} {script_hash(plotly)}; "
        f"style-src 'unsafe-inline'; img-src data: blob:; media-src {media}; "
        "base-uri 'none'; form-action 'none'"
    )
    return {
        "data": safe_json(data),
        "filmed": filmed,
        "embedded": [
            (number, base64.b64encode(clip.data).decode("ascii"))
            for number, clip in enumerate(clips)
            if clip.data
        ],
        "security": policy,
    }


def _beginning(
    moments: Sequence[Moment], sheets: Sequence[Sheet], filmed: set[tuple[int, int]]
) -> str:
    """What the page opens: the worst moment that is filmed, or else another place."""
    places = [((moment.run, moment.episode), moment.link) for moment in moments]
    places += [
        ((sheet.index, int(number)), f"#run={sheet.index}&episode={int(number)}")
        for sheet in sheets
        for number in sheet.episodes["episode"]
    ]
    watchable = [link for episode, link in places if episode in filmed]
    return next(iter([*watchable, *(link for _, link in places)]), "")


def _environment() -> Environment:
    try:
        import jinja2
    except ImportError:
        raise MissingDependencyError(
            "a report needs jinja2; install it: pip install 'vista-sim[report]'"
        ) from None
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vista_sim.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["numeral"] = _numeral
    return environment


def _numeral(text: str) -> str:
    """Numbers in print: a minus sign in place of a hyphen, a dash where nothing is known."""
    return re.sub(r"(?<!\S)-(?!\S)", "–", re.sub(r"(?<!\w)-(?=\d)", "−", text))


def _plotly() -> str:
    """The plotting library's bundle."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise MissingDependencyError(
            "a report needs plotly; install it: pip install 'vista-sim[report]'"
        ) from None
    return str(get_plotlyjs())


def _static(name: str) -> str:
    folder = resources.files("vista_sim.report") / "static"
    return (folder / name).read_text(encoding="utf-8")


def _script() -> str:
    """The page's own code, in a scope of its own."""
    parts = "\n".join(_static(f"{name}.js") for name in SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}\n}})();'


def _check_destination(out: Path, beside: Path | None, overwrite: bool) -> None:
    if not out.absolute().parent.is_dir():
        raise RunError(f"{out}: there is no folder {out.absolute().parent}")
    for path in (out, beside):
        if path is None or not (path.exists() or path.is_symlink()):
            continue
        if not overwrite:
            raise RunError(f"{path}: is there already; choose another name or --overwrite it")
    if out.is_dir():
        raise RunError(f"{out}: is a folder; name a file, such as report.html")
    if beside is not None and beside.exists() and not videos.is_own_folder(beside):
        raise RunError(f"{beside}: holds more than a report's videos, so it is not overwritten")
