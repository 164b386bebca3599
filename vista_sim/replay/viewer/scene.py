"""The 3D scene: road, recorded path, driven paths, cars, frustums and endings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vista_sim.replay.viewer.drives import (
    ShownEpisode,
    ShownRun,
    Slot,
    ending_of,
    moments,
    went_wrong,
)
from vista_sim.replay.viewer.recording import Recording
from vista_sim.replay.viewer.roads import Roads, ShownRoad
from vista_sim.traces.calibration import Lens, Vehicle
from vista_sim.transforms import Matrix, camera_mount

Floats = NDArray[np.float64]

WORLD, ROAD = "world", "road"
SURFACE = (58, 62, 70)
EDGE = (200, 204, 212)
PATH = (240, 240, 245)
ALARM = (255, 70, 70)
CALM = (120, 220, 140)
PATH_UP, DRIVEN_UP = 0.03, 0.08  # m above the ground, so that lines do not flicker
PICTURE_AT = 4.0  # m ahead of the camera, where its frustum ends
#: T_vehicle_camera of who looks over the car's roof, and down on it from ahead of it.
BEHIND = camera_mount(-8.5, 0.0, 5.2, pitch=0.32)
ABOVE = camera_mount(8.0, 0.0, 45.0, pitch=1.55)
FOLLOWING = Lens.from_fov((720, 960), 1.2)


def car_path(recording: Recording, run: ShownRun) -> str:
    """Entity path of the car of a run."""
    return recording.path(WORLD, f"car_{run.index}")


def followers(car: str) -> tuple[str, str]:
    """Entity paths of the cameras that follow a car: from behind, and from above."""
    return f"{car}/seen_from_behind", f"{car}/seen_from_above"


def frustum_path(recording: Recording, run: ShownRun) -> str:
    """Entity path of the sensor on that car."""
    return f"{car_path(recording, run)}/sensor"


def log_scene(recording: Recording, runs: list[ShownRun], slots: list[Slot], roads: Roads) -> None:
    """Log everything in 3D but the point clouds."""
    rr = recording.rr
    recording.log(recording.path(WORLD), rr.ViewCoordinates.RIGHT_HAND_Z_UP)
    shown_road: ShownRoad | None = None
    for slot in slots:
        moment = (slot.start, slot.first_step)
        road = _road(runs, slot, roads)
        if road is not shown_road:
            log_road(recording, moment, road)
            shown_road = road
        driving = {drive.run: drive for drive in slot.drives}
        for run in runs:
            drive = driving.get(run.index)
            if drive is None:
                for path in (car_path(recording, run), *_traces_of(recording, run)):
                    recording.log_at(moment, path, rr.Clear(recursive=True))
            else:
                _log_drive(recording, run, slot, drive, roads, named=len(runs) > 1)


def log_road(
    recording: Recording, moment: tuple[float, int] | None, road: ShownRoad | None
) -> None:
    """Log surface, edges and recorded path of a road, in place of another one.

    Args:
        moment: from when on (s, step); None: at all times.
    """
    rr = recording.rr
    base = recording.path(WORLD, ROAD)

    def log(name: str, value: object) -> None:
        path = f"{base}/{name}"
        if moment is None:
            recording.log(path, value)
        else:
            recording.log_at(moment, path, value)

    if road is None:
        if moment is not None:
            recording.log_at(moment, base, rr.Clear(recursive=True))
        return
    edges = road.line(road.left) + road.line(-road.right)
    log("recorded_path", _strips(recording, road.line(up=PATH_UP), PATH, 0.06))
    log("edges", _strips(recording, edges, EDGE, 0.05))
    vertices, triangles = _surface(road)
    if len(triangles):
        colors = np.tile(np.array(SURFACE, np.uint8), (len(vertices), 1))
        mesh = rr.Mesh3D(
            vertex_positions=vertices, triangle_indices=triangles, vertex_colors=colors
        )
        log("surface", mesh)
    elif moment is not None:
        recording.log_at(moment, f"{base}/surface", rr.Clear(recursive=False))


def log_car(
    recording: Recording,
    path: str,
    moment: tuple[float, int] | None,
    vehicle: Vehicle,
    color: tuple[int, int, int],
    label: str = "",
) -> None:
    """Log a car's body in the frame of its entity, from a moment on or (None) at all times."""
    rr = recording.rr
    middle = 0.5 * vehicle.length - vehicle.rear_overhang
    body = rr.Boxes3D(
        centers=[(middle, 0.0, 0.5 * vehicle.height + 0.1)],
        half_sizes=[(0.5 * vehicle.length, 0.5 * vehicle.width, 0.5 * vehicle.height)],
        colors=[(*color, 110)],
        labels=[label] if label else None,
        show_labels=bool(label),
        fill_mode="solid",
    )
    if moment is None:
        recording.log(f"{path}/body", body)
    else:
        recording.log_at(moment, f"{path}/body", body)


def log_followers(recording: Recording, car: str) -> None:
    """Log the cameras that follow a car."""
    for path, mount in zip(followers(car), (BEHIND, ABOVE), strict=True):
        recording.log(path, *_camera(recording, FOLLOWING, mount, 0.01, (0, 0, 0, 0), 0.0))


def log_frustum(recording: Recording, path: str, lens: Lens, mount: Matrix) -> None:
    """Log a camera on a car: an ideal one, also where the real one has distortion."""
    recording.log(path, *_camera(recording, lens, mount, PICTURE_AT, EDGE, None))


def poses(x: Floats, y: Floats, z: Floats, yaw: Floats) -> tuple[Floats, Floats]:
    """Translations (n, 3) and quaternions (n, 4), x y z w, of upright poses."""
    zeros = np.zeros_like(yaw)
    return np.column_stack([x, y, z]), np.column_stack(
        [zeros, zeros, np.sin(0.5 * yaw), np.cos(0.5 * yaw)]
    )


def _log_drive(
    recording: Recording, run: ShownRun, slot: Slot, drive: ShownEpisode, roads: Roads, named: bool
) -> None:
    rr = recording.rr
    road = roads.road(run, drive.trace)
    x, y = run.numbers("x", drive), run.numbers("y", drive)
    z = np.zeros_like(x) if road is None else np.nan_to_num(road.at("z", run.numbers("s", drive)))
    times, steps = moments(run, slot, drive)
    moment = (slot.start, slot.first_step)
    path, (driven, ending) = car_path(recording, run), _traces_of(recording, run)
    line = np.column_stack([x, y, z + DRIVEN_UP])
    recording.log_at(moment, driven, _strips(recording, [line], run.color, 0.12))
    recording.log_at(moment, ending, rr.Clear(recursive=False))
    translations, quaternions = poses(x, y, z, run.numbers("yaw", drive))
    recording.send(
        path,
        times,
        steps,
        rr.Transform3D.columns(translation=translations, quaternion=quaternions),
    )
    trace = roads.trace(run, drive.trace)
    vehicle = Vehicle() if trace is None else trace.vehicle
    log_car(recording, path, moment, vehicle, run.color, run.label if named else "")
    log_followers(recording, path)
    if drive.about.get("ending") or drive.about.get("failure"):
        point = rr.Points3D(
            [line[-1] + (0.0, 0.0, 0.5)],
            radii=[0.5],
            colors=[ALARM if went_wrong(drive) else CALM],
            labels=[ending_of(drive)],
            show_labels=True,
        )
        recording.log_at((float(times[-1]), int(steps[-1])), ending, point)


def _traces_of(recording: Recording, run: ShownRun) -> tuple[str, str]:
    """Entity paths of what a run leaves behind: its driven path, and its ending."""
    return (
        recording.path(WORLD, f"driven_{run.index}"),
        recording.path(WORLD, f"ending_{run.index}"),
    )


def _road(runs: list[ShownRun], slot: Slot, roads: Roads) -> ShownRoad | None:
    for drive in slot.drives:
        if (road := roads.road(runs[drive.run], drive.trace)) is not None:
            return road
    return None


def _strips(
    recording: Recording, lines: list[Floats], color: tuple[int, int, int], radius: float
) -> object:
    return recording.rr.LineStrips3D(
        [line.astype(np.float32) for line in lines],
        colors=[color] * len(lines),
        radii=[radius] * len(lines),
    )


def _surface(road: ShownRoad) -> tuple[Floats, NDArray[np.uint32]]:
    """Vertices (2n, 3) and triangles (m, 3) of the road where both edges are known."""
    normal = np.column_stack([-np.sin(road.yaw), np.cos(road.yaw), 0 * road.yaw])
    middle = np.column_stack([road.x, road.y, road.z - 0.02])
    left = middle + road.left[:, None] * normal
    right = middle - road.right[:, None] * normal
    vertices = np.stack([left, right], axis=1).reshape(-1, 3)
    known = np.isfinite(vertices).all(axis=1).reshape(-1, 2).all(axis=1)
    joined = known[:-1] & known[1:] & (np.diff(road.section) == 0)
    first = 2 * np.flatnonzero(joined)[:, None]
    triangles = np.concatenate([first + np.array(corners) for corners in ((0, 1, 2), (2, 1, 3))])
    return np.nan_to_num(vertices), triangles.astype(np.uint32)


def _camera(
    recording: Recording,
    lens: Lens,
    mount: Matrix,
    plane: float,
    color: tuple[int, ...],
    line: float | None,
) -> tuple[object, ...]:
    rr = recording.rr
    height, width = lens.size
    return (
        rr.Transform3D(translation=mount[:3, 3], mat3x3=mount[:3, :3]),
        rr.Pinhole(
            focal_length=(lens.fx, lens.fy),
            principal_point=(lens.cx + 0.5, lens.cy + 0.5),
            width=width,
            height=height,
            image_plane_distance=plane,
            color=color,
            line_width=line,
        ),
        rr.TransformAxes3D(0.0),
    )
