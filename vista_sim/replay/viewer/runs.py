"""Logs runs into a recording of Rerun."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vista_sim.console import ReportProgress
from vista_sim.replay.viewer.clouds import log_clouds
from vista_sim.replay.viewer.drives import ShownRun, arrange, open_runs
from vista_sim.replay.viewer.layout import run_layout
from vista_sim.replay.viewer.overlays import log_overlays, overlays_of
from vista_sim.replay.viewer.plots import log_about, log_episodes, log_plots
from vista_sim.replay.viewer.recording import Recording
from vista_sim.replay.viewer.roads import Roads
from vista_sim.replay.viewer.scene import log_scene
from vista_sim.replay.viewer.views import Shots, log_views, shots_of


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
        for run in self.runs:
            for note in run.run.notes:
                self.recording.note(note)
        self.slots = arrange(self.runs, episodes, self.recording.notes)
        self.roads = Roads(self.recording.note)
        self.shots: dict[int, dict[str, list[Shots]]] = {}
        self.sizes: dict[int, dict[str, tuple[int, int]]] = {}

    def log_first(self) -> None:
        """Log what makes the picture: scene, plots, videos and the layout."""
        recording, runs, slots = self.recording, self.runs, self.slots
        plots = log_plots(recording, runs, slots, self.roads)
        log_scene(recording, runs, slots, self.roads)
        log_episodes(recording, runs, slots)
        for run in runs:
            shots = self.shots[run.index] = shots_of(run, slots)
            sizes = self.sizes[run.index] = log_views(recording, run, slots, shots, self.roads)
            if not sizes:
                recording.note(f"{run.label}: no video of these episodes can be shown")
        overlays = {
            run.index: overlays_of(self.shots[run.index], self.sizes[run.index]) for run in runs
        }
        blueprint = run_layout(recording, runs, plots, self.sizes, overlays)
        recording.stream.send_blueprint(blueprint, make_active=True, make_default=True)
        recording.stream.flush()

    def log_rest(self, report: ReportProgress) -> None:
        """Log what takes longer: points and overlays."""
        recording, runs = self.recording, self.runs
        if self.points:
            log_clouds(recording, runs, self.slots, self.roads, report)
        for run in runs:
            log_overlays(recording, run, self.shots[run.index], self.sizes[run.index], report)
        log_about(recording, runs, self.slots)
        recording.stream.flush()
