"""How everything is arranged on the screen: blueprints of Rerun."""

from __future__ import annotations

from typing import Any

from vista_sim.replay.viewer.drives import ShownRun
from vista_sim.replay.viewer.plots import (
    CROSS_TRACK,
    EPISODES,
    LOG,
    PLOTS,
    REWARD,
    SEEN,
    SPEED,
    STEERING,
)
from vista_sim.replay.viewer.recording import TIME, Recording
from vista_sim.replay.viewer.scene import WORLD, car_path, followers
from vista_sim.replay.viewer.views import view_path
from vista_sim.runs.filming import CAMERA, RECORDED, SALIENCY, SCENE, VALIDITY, VIEWS

MOST_BESIDE = 3  # runs whose views are all on the screen; more are in tabs
ALONE = {SALIENCY: "where it looked", VALIDITY: "unseen (red)"}
BACKGROUND = (18, 20, 25)
TITLES = {
    STEERING: "steering: curvature, 1/m, left is positive",
    SPEED: "speed, m/s",
    CROSS_TRACK: "cross-track error, m, left is positive",
    REWARD: "reward terms",
    SEEN: "pixels really seen",
}


def run_layout(
    recording: Recording,
    runs: list[ShownRun],
    plots: set[str],
    sizes: dict[int, dict[str, tuple[int, int]]],
    overlays: dict[int, dict[str, str]],
) -> Any:
    """The arrangement of runs: 3D scene on the left, views on the right, plots and log below.

    Args:
        plots: that show something.
        sizes: of the views that show something, by run.
        overlays: the view each lies over, by run.
    """
    rrb = recording.rr.blueprint
    several = len(runs) > 1
    place = _views_beside if several else _views
    seen = [place(recording, run, sizes[run.index], overlays[run.index]) for run in runs]
    seen = [view for view in seen if view is not None]
    top = [scene_views(recording, [car_path(recording, run) for run in runs])]
    if len(seen) == 1:
        top.append(seen[0])
    elif seen:
        top.append(rrb.Vertical(*seen) if len(seen) <= MOST_BESIDE else rrb.Tabs(*seen))
    lines = [
        _plot(recording, name, legend=name == STEERING)
        for name in (STEERING, SPEED, CROSS_TRACK)
        if name in plots
    ]
    rest = [
        _plot(recording, name, legend=name == REWARD and not several)
        for name in (REWARD, SEEN)
        if name in plots
    ]
    if rest:
        lines.append(rrb.Tabs(*rest) if len(rest) > 1 else rest[0])
    story = rrb.Tabs(
        rrb.StateTimelineView(origin=recording.path(EPISODES), name="episodes and endings"),
        rrb.TextLogView(origin=recording.path(LOG), name="log"),
        rrb.TextDocumentView(origin=recording.path("about"), name="about"),
    )
    parts = [rrb.Horizontal(*top, column_shares=[1.0, 1.0][: len(top)])]
    if lines:
        parts.append(rrb.Horizontal(*lines))
    parts.append(story)
    story_share = 1.5 + 0.55 * min(len(runs) - 1, 4)
    shares = [5.0, 2.4, story_share] if lines else [5.0, story_share]
    return _blueprint(recording, rrb.Vertical(*parts, row_shares=shares))


def trace_layout(recording: Recording, car: str, pictures: list[Any], plots: list[Any]) -> Any:
    """The arrangement of a trace: 3D scene, pictures of the camera, plots below."""
    rrb = recording.rr.blueprint
    top = [scene_views(recording, [car])]
    if pictures:
        top.append(rrb.Vertical(*pictures) if len(pictures) <= 3 else rrb.Grid(*pictures))
    parts = [rrb.Horizontal(*top, column_shares=[1.5, 1.0][: len(top)])]
    parts.append(rrb.Horizontal(*plots))
    return _blueprint(recording, rrb.Vertical(*parts, row_shares=[4.0, 1.5]))


def scene_views(recording: Recording, cars: list[str]) -> Any:
    """The 3D scene from behind the first of the cars (entity paths), and from above it."""
    rrb = recording.rr.blueprint
    hidden = [path for car in cars for path in followers(car)]
    views = [
        rrb.Spatial3DView(
            origin=recording.path(WORLD),
            name=name,
            contents=["+ $origin/**", *(f"- {path}" for path in hidden if path != eye)],
            background=rrb.Background(color=BACKGROUND),
            line_grid=rrb.LineGrid3D(visible=False),
            eye_controls=rrb.EyeControls3D(tracking_entity=eye),
        )
        for name, eye in zip(
            ("scene, behind the car", "from above"), followers(cars[0]), strict=True
        )
    ]
    return rrb.Tabs(*views)


def _plot(recording: Recording, name: str, legend: bool) -> Any:
    rrb = recording.rr.blueprint
    return rrb.TimeSeriesView(
        origin=recording.path(PLOTS, name),
        name=TITLES[name],
        plot_legend=rrb.PlotLegend(visible=legend),
    )


def _views(
    recording: Recording,
    run: ShownRun,
    sizes: dict[str, tuple[int, int]],
    overlays: dict[str, str],
) -> Any:
    """The views of a run: the synthesized one beside the recorded frame, and the policy's."""
    rrb = recording.rr.blueprint
    pair = []
    if SCENE in sizes:
        pair.append(_layered(recording, run, SCENE, "synthesized", overlays))
    if RECORDED in sizes:
        pair.append(_view(recording, run, RECORDED, "recorded"))
    rows = [rrb.Horizontal(*pair)] if len(pair) > 1 else pair
    if CAMERA in sizes:
        glows = ", glowing where it looked" if overlays.get(SALIENCY) == CAMERA else ""
        title = f"what {run.label} saw{glows}"
        rows.append(_layered(recording, run, CAMERA, title, overlays))
    further = _further(recording, run, sizes)
    if further:
        rows.append(rrb.Horizontal(*further))
    if not rows:
        return None
    return rrb.Vertical(*rows) if len(rows) > 1 else rows[0]


def _views_beside(
    recording: Recording,
    run: ShownRun,
    sizes: dict[str, tuple[int, int]],
    overlays: dict[str, str],
) -> Any:
    """The views of one run of several, in a row."""
    rrb = recording.rr.blueprint
    row = []
    if SCENE in sizes:
        row.append(_layered(recording, run, SCENE, run.label, overlays))
    if CAMERA in sizes:
        row.append(_layered(recording, run, CAMERA, f"what {run.label} saw", overlays))
    row += _further(recording, run, sizes)
    if RECORDED in sizes and len(row) < 2:
        row.append(_view(recording, run, RECORDED, "recorded"))
    return rrb.Horizontal(*row, name=run.label) if row else None


def _further(recording: Recording, run: ShownRun, sizes: dict[str, tuple[int, int]]) -> list[Any]:
    """What further cameras saw, under their names."""
    names = [name for name in sizes if name not in VIEWS]
    return [_view(recording, run, name, name.partition(".")[2]) for name in names]


def _layered(
    recording: Recording, run: ShownRun, name: str, title: str, overlays: dict[str, str]
) -> Any:
    """A view with its overlays, in tabs that switch them."""
    own = [o for o in (SALIENCY, VALIDITY) if overlays.get(o) == name]
    if not own:
        return _view(recording, run, name, title)
    tabs = [_view(recording, run, name, title, *own)]
    if len(own) > 1:
        tabs += [_view(recording, run, name, ALONE[o], o) for o in own]
    return recording.rr.blueprint.Tabs(*tabs, _view(recording, run, name, "plain"))


def _view(recording: Recording, run: ShownRun, name: str, title: str, *over: str) -> Any:
    origin = view_path(recording, run, name)
    contents = ["+ $origin", *(f"+ $origin/{o}" for o in over)]
    return recording.rr.blueprint.Spatial2DView(origin=origin, name=title, contents=contents)


def _blueprint(recording: Recording, root: Any) -> Any:
    rrb = recording.rr.blueprint
    return rrb.Blueprint(
        root,
        rrb.BlueprintPanel(state="collapsed"),
        rrb.SelectionPanel(state="collapsed"),
        rrb.TimePanel(state="collapsed", timeline=TIME, play_state="playing", loop_mode="all"),
        auto_views=False,
        auto_layout=False,
    )
