"""Point clouds, coloured by the views they are from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vista_sim.console import ReportProgress
from vista_sim.errors import VistaError
from vista_sim.geometry.store import GeometryStore
from vista_sim.replay.viewer.drives import ShownRun, Slot
from vista_sim.replay.viewer.recording import Recording
from vista_sim.replay.viewer.roads import Roads
from vista_sim.replay.viewer.scene import WORLD
from vista_sim.traces.calibration import Lens
from vista_sim.traces.trace import Trace
from vista_sim.transforms import Matrix, planar_pose

Floats = NDArray[np.float64]
#: Points (n, 3) in the world, m, and their colours (n, 3), RGB.
Cloud = tuple[NDArray[np.float32], NDArray[np.uint8]]

SPACING = 6.0  # m along the path between views
MAX_VIEWS = 150  # of a run, in all
MOST_POINTS = 500_000  # of a trace
WIDTH = 180  # px
NEAREST, FARTHEST = 3.0, 28.0  # m along the optical axis; farther out depth is too rough
RADIUS = 0.05  # m


def cloud_path(recording: Recording) -> str:
    """Entity path of the points around the road."""
    return recording.path(WORLD, "points")


def points_of(
    lens: Lens,
    image: NDArray[np.uint8],
    inverse_depth: NDArray[np.float32],
    keep: NDArray[np.bool_],
    T_world_camera: Matrix,
) -> Cloud:
    """Points (n, 3) in the world and their colours (n, 3) of what a view sees nearby.

    Args:
        lens: of the view.
        image: (h, w, 3) RGB.
        inverse_depth: (h, w), 1/m along the optical axis.
        keep: (h, w), which pixels are worth it.
        T_world_camera: (4, 4).
    """
    near = keep & (inverse_depth > 1 / FARTHEST) & (inverse_depth < 1 / NEAREST)
    rays = lens.rays()[near]
    ahead = rays[:, 2] > 0.05
    depth = 1.0 / inverse_depth[near][ahead].astype(np.float64)
    rays = rays[ahead]
    points = rays * (depth / rays[:, 2])[:, None]
    world = points @ T_world_camera[:3, :3].T + T_world_camera[:3, 3]
    return world.astype(np.float32), image[near][ahead]


def joined(clouds: Sequence[Cloud]) -> Cloud:
    """Clouds as one, evenly thinned to MOST_POINTS."""
    points = np.concatenate([cloud[0] for cloud in clouds])
    colors = np.concatenate([cloud[1] for cloud in clouds])
    every = max(1, -(-len(points) // MOST_POINTS))
    return points[::every], colors[::every]


def log_clouds(
    recording: Recording,
    runs: list[ShownRun],
    slots: list[Slot],
    roads: Roads,
    report: ReportProgress,
) -> None:
    """Synthesize views along what was driven, and log their points for each trace.

    The points of a trace appear when its first episode begins, and those of the trace before go.
    """
    views = _views(runs, slots)
    total = sum(len(places) for places in views.values())
    every = max(1, -(-total // MAX_VIEWS))
    clouds: dict[tuple[int, int], Cloud | None] = {}
    done = 0
    for key, places in views.items():
        run = runs[key[0]]
        trace = roads.trace(run, key[1])
        clouds[key] = None
        if trace is None:
            continue
        try:
            clouds[key] = _cloud(trace, places[::every])
        except (VistaError, ValueError, OSError) as error:
            recording.note(f"{run.label}: point clouds are left out ({error})")
        done += len(places)
        report(done, total)
    rr, last = recording.rr, None
    for slot in slots:
        key = _key(slot)
        if key == last:
            continue
        last, cloud = key, clouds.get(key)
        moment = (slot.start, slot.first_step)
        if cloud is None:
            recording.log_at(moment, cloud_path(recording), rr.Clear(recursive=False))
        else:
            points = rr.Points3D(cloud[0], colors=cloud[1], radii=[RADIUS])
            recording.log_at(moment, cloud_path(recording), points)


def _key(slot: Slot) -> tuple[int, int]:
    """Run and trace whose points are shown in a slot."""
    return slot.drives[0].run, slot.drives[0].trace


def _views(runs: list[ShownRun], slots: list[Slot]) -> dict[tuple[int, int], list[Floats]]:
    """Where views are made by run and trace: (scene time, x, y, yaw), SPACING apart."""
    found: dict[tuple[int, int], list[Floats]] = {}
    seen: set[tuple[int, int, int]] = set()
    for slot in slots:
        drive = slot.drives[0]
        run = runs[drive.run]
        names = ("scene_time", "x", "y", "yaw", "s")
        table = np.column_stack([run.numbers(name, drive) for name in names])
        places = found.setdefault(_key(slot), [])
        for row in table[np.isfinite(table).all(axis=1)]:
            stretch = (drive.run, drive.trace, int(row[4] // SPACING))
            if stretch not in seen:
                seen.add(stretch)
                places.append(row[:4])
    return found


def _cloud(trace: Trace, places: list[Floats]) -> Cloud | None:
    from vista_sim.sensors.camera import Camera

    name = next(iter(trace.cameras), None)
    if name is None or not places:
        return None
    if GeometryStore.find(trace, name) is None:
        raise VistaError(f"{trace.root}: camera {name!r} is not baked; run 'vista-sim bake'")
    height, width = trace.cameras[name].calibration.lens.size
    camera = Camera(trace, name, size=(round(height * WIDTH / width), WIDTH))
    mount = camera.T_vehicle_camera
    clouds = []
    for t, x, y, yaw in places:
        recorded = trace.pose(float(t))
        level = np.linalg.inv(recorded) @ _beside(recorded, x, y, yaw)
        view = camera.render_view(float(t), level)
        clouds.append(
            points_of(
                camera.lens, view.image, view.inverse_depth, view.valid, recorded @ level @ mount
            )
        )
    return joined(clouds)


def _beside(recorded: Matrix, x: float, y: float, yaw: float) -> Matrix:
    """The pose of the car: where it is, at the height and slope of the recording there."""
    turn = yaw - np.arctan2(recorded[1, 0], recorded[0, 0])
    pose = planar_pose(0.0, 0.0, float(turn)) @ recorded
    pose[:3, 3] = (x, y, recorded[2, 3])
    return np.asarray(pose, dtype=np.float64)
