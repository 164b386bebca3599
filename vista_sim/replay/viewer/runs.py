"""Logs runs into a recording of Rerun."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vista_sim.console import Report
from vista_sim.replay.viewer.clouds import log_clouds
from vista_sim.replay.viewer.drives import ShownRun, arrange, open_runs
from vista_sim.replay.viewer.layout import run_layout
from vista_sim.replay.viewer.overlays import log_overlays
from vista_sim.replay.viewer.plots import log_about, log_episodes, log_plots
from vista_sim.replay.viewer.recording import Recording
from vista_sim.replay.viewer.roads import Roads
from vista_sim.replay.viewer.scene import log_scene
from vista_sim.replay.viewer.views import OVERLAYS, log_views, shots_of
from vista_sim.replay.views import CAMERA, SCENE


class RunReplay:
    """Runs to be shown.

    Args:
        folders: of the runs; of the same scenarios where there are several.
        episodes: see `drives.arrange`.
        points: whether to synthesize views for point clouds.

    Raises:
        RunError: a run cannot be read, or has no such episode.
        MissingDependencyError: Rerun is not installed.
    """

    def __init__(self, folders: Sequence[Path], episodes: str = "", points: bool = True) -> None:
        self.runs: list[ShownRun] = open_runs(folders)
        self.points = points
        self.recording = Recording(", ".join(run.label for run in self.runs))
        self.slots = arrange(self.runs, episodes, self.recording.notes)

    def log(self, report: Report) -> None:
        """Log everything: first what makes the picture, then what takes longer."""
        recording, runs, slots = self.recording, self.runs, self.slots
        roads = Roads(recording.notes)
        shots = {run.index: shots_of(run, slots) for run in runs}
        plots = log_plots(recording, runs, slots, roads)
        log_scene(recording, runs, slots, roads)
        log_episodes(recording, runs, slots)
        sizes = {
            run.index: log_views(recording, run, slots, shots[run.index], roads) for run in runs
        }
        for run in runs:
            if not sizes[run.index]:
                recording.note(f"{run.label}: holds no video of these episodes")
        expected = {run.index: _overlays(shots[run.index], sizes[run.index]) for run in runs}
        blueprint = run_layout(recording, runs, plots, sizes, expected)
        recording.stream.send_blueprint(blueprint, make_active=True, make_default=True)
        recording.stream.flush()
        if self.points:
            log_clouds(recording, runs, slots, roads, report)
        for run in runs:
            log_overlays(recording, run, shots[run.index], sizes[run.index], report)
        log_about(recording, runs, slots)
        recording.stream.flush()


def _overlays(shots: dict[str, object], sizes: dict[str, tuple[int, int]]) -> dict[str, str]:
    """The view that each overlay will lie over."""
    base = CAMERA if CAMERA in sizes else SCENE
    return {view: base for view in OVERLAYS if view in shots and base in sizes}
