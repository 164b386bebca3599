"""Logs a trace into a recording of Rerun: path, cameras, baked geometry, lidars, tracks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.console import ReportProgress
from vista_sim.errors import VistaError
from vista_sim.geometry.store import GeometryStore
from vista_sim.replay.viewer.clouds import RADIUS, SPACING, cloud_path, joined, points_of
from vista_sim.replay.viewer.drives import COLORS
from vista_sim.replay.viewer.layout import trace_layout
from vista_sim.replay.viewer.plots import ALARM, CALM, LANES
from vista_sim.replay.viewer.recording import Recording, shown
from vista_sim.replay.viewer.roads import road_of
from vista_sim.replay.viewer.scene import WORLD, log_car, log_followers, log_frustum, log_road
from vista_sim.traces.lidar import RecordedLidar
from vista_sim.traces.tables import read_table
from vista_sim.traces.trace import Trace
from vista_sim.traces.video import RecordedCamera
from vista_sim.transforms import matrix_from_quaternion

Floats = NDArray[np.float64]
Image = NDArray[np.uint8]

MAX_VIDEO = 250 * 2**20  # bytes; of a larger one pictures are shown
MAX_PICTURES = 600  # of a camera, where its video is too large, and of its geometry
PICTURE_WIDTH = 640  # px at most
MAX_CLOUDS = 150
MAX_SWEEPS = 200
MAX_SWEEP_POINTS = 20_000
MAX_TRACKED = 20_000  # boxes of other road users
HOTTEST = 0.4  # 1/m of inverse depth (2.5 m)
CONFIDENT = 60  # of 255: what is less sure is no point


class TraceReplay:
    """A trace to be shown.

    Args:
        folder: of the trace.
        points: whether to log point clouds.

    Raises:
        TraceError: the trace cannot be read.
        MissingDependencyError: Rerun is not installed.
    """

    def __init__(self, folder: Path, points: bool = True) -> None:
        self.trace = Trace.open(folder)
        self.points = points
        self.recording = Recording(self.trace.name)
        self.stores: dict[str, GeometryStore] = {}
        self._car = self.recording.path(WORLD, "car")

    def log_first(self) -> None:
        """Log what makes the picture: scene, plots, videos and the layout."""
        recording, trace = self.recording, self.trace
        car = self._car
        recording.log(recording.path(WORLD), recording.rr.ViewCoordinates.RIGHT_HAND_Z_UP)
        log_road(recording, None, road_of(trace))
        self._log_ego(car)
        log_car(recording, car, None, trace.vehicle, COLORS[1])
        log_followers(recording, car)
        for name, camera in trace.cameras.items():
            self._log_camera(name, camera, car)
        self.stores = {name: store for name in trace.cameras if (store := self._store(name))}
        pictures = self._pictures(self.stores)
        plots = self._log_plots()
        self._log_labels()
        recording.stream.send_blueprint(
            trace_layout(recording, car, pictures, plots),
            make_active=True,
            make_default=True,
        )
        recording.stream.flush()

    def log_rest(self, report: ReportProgress) -> None:
        """Log what takes longer: geometry, points, lidar sweeps and tracks."""
        recording = self.recording
        for name, store in list(self.stores.items())[:1]:
            self._log_geometry(name, store, report)
            if self.points:
                self._log_points(name, store, report)
        if self.points:
            for lidar in self.trace.lidars.values():
                self._log_lidar(lidar, self._car, report)
        self._log_tracks()
        self._log_about()
        recording.stream.flush()

    def _steps(self, t: Floats) -> NDArray[np.int64]:
        """The step of each time: the frame of the first camera, else the ego row."""
        camera = next(iter(self.trace.cameras.values()), None)
        times = self.trace.ego.t if camera is None else camera.t
        return np.maximum(np.searchsorted(times, t + 1e-6) - 1, 0)

    def _path(self, *parts: str) -> str:
        return self.recording.path(*parts)

    def _store(self, name: str) -> GeometryStore | None:
        try:
            store = GeometryStore.find(self.trace, name)
        except VistaError as error:
            self.recording.note(f"geometry of camera {name!r} is left out ({error})")
            return None
        if store is None:
            self.recording.note(
                f"camera {name!r} is not baked: inverse depth, confidence and points are left "
                "out; run 'vista-sim bake'"
            )
        return store

    def _log_ego(self, car: str) -> None:
        ego = self.trace.ego
        columns = self.recording.rr.Transform3D.columns(
            translation=ego.position, quaternion=ego.quaternion
        )
        self.recording.send(car, ego.t, self._steps(ego.t), columns)

    def _log_camera(self, name: str, camera: RecordedCamera, car: str) -> None:
        calibration = camera.calibration
        sensor = f"{car}/{self._path(name)[1:]}"
        log_frustum(self.recording, sensor, calibration.lens, calibration.T_vehicle_camera)
        targets = (self._path("cameras", name), sensor)
        rr, steps = self.recording.rr, self._steps(camera.t)
        if camera.path.stat().st_size > MAX_VIDEO:
            self.recording.note(
                f"the video of camera {name!r} is large: at most {MAX_PICTURES} of its frames "
                "are shown"
            )
            chosen = _thinned(camera.frame_count)
            blobs = [_jpeg(camera.frame(int(i))) for i in chosen]
            columns = rr.EncodedImage.columns(blob=blobs, media_type=["image/jpeg"] * len(blobs))
            self.recording.send(targets[0], camera.t[chosen], steps[chosen], columns)
            return
        video = rr.AssetVideo(contents=camera.path.read_bytes(), media_type="video/mp4")
        place = self._path("videos", name)
        self.recording.log(place, video)
        stamps = np.asarray(video.read_frame_timestamps_nanos(), dtype=np.int64)
        # Frames from before the ego motion begins are in the video, but not in the camera.
        t_ns = read_table(camera.path.with_suffix(".parquet"), {"t_ns": "int"})["t_ns"]
        first = int(np.searchsorted((t_ns - self.trace.start_ns) * 1e-9, -1e-6))
        frames = np.minimum(first + np.arange(camera.frame_count), len(stamps) - 1)
        columns = rr.VideoFrameReference.columns(
            timestamp=stamps[frames], video_reference=[place] * len(frames)
        )
        for target in targets:
            self.recording.send(target, camera.t, steps, columns)

    def _pictures(self, stores: dict[str, GeometryStore]) -> list[Any]:
        rrb = self.recording.rr.blueprint
        names = [*stores, *(n for n in self.trace.cameras if n not in stores)]
        if not names:
            return []
        cameras = [
            rrb.Spatial2DView(origin=self._path("cameras", name), name=f"camera {name}")
            for name in names
        ]
        found = [rrb.Tabs(*cameras) if len(cameras) > 1 else cameras[0]]
        for name in list(stores)[:1]:
            for kind, title in (
                ("inverse_depth", "inverse depth (red: 2.5 m and nearer)"),
                ("confidence", "confidence (white: sure)"),
            ):
                origin = self._path("geometry", name, kind)
                found.append(rrb.Spatial2DView(origin=origin, name=title))
        return found

    def _log_geometry(self, name: str, store: GeometryStore, report: ReportProgress) -> None:
        rr, camera = self.recording.rr, self.trace.cameras[name]
        chosen = _thinned(store.frame_count)
        depths, confidences = [], []
        for done, i in enumerate(chosen):
            heat = np.sqrt(np.clip(store.metric(int(i)) / HOTTEST, 0.0, 1.0))
            colors = cv2.applyColorMap((255 * heat).astype(np.uint8), cv2.COLORMAP_TURBO)
            depths.append(_jpeg(np.asarray(colors[..., ::-1], dtype=np.uint8)))
            confidences.append(_jpeg(np.asarray(store.confidence[int(i)])))
            report(done + 1, len(chosen))
        t, steps = camera.t[chosen], self._steps(camera.t[chosen])
        for kind, blobs in (("inverse_depth", depths), ("confidence", confidences)):
            columns = rr.EncodedImage.columns(blob=blobs, media_type=["image/jpeg"] * len(blobs))
            self.recording.send(self._path("geometry", name, kind), t, steps, columns)

    def _log_points(self, name: str, store: GeometryStore, report: ReportProgress) -> None:
        """Points of recorded frames, SPACING apart along the path."""
        trace, camera = self.trace, self.trace.cameras[name]
        s = np.array([trace.path.arc_length(float(t)) for t in camera.t])
        _, frames = np.unique(s // SPACING, return_index=True)
        frames = frames[:: max(1, -(-len(frames) // MAX_CLOUDS))]
        clouds = []
        for done, i in enumerate(frames):
            small = cv2.resize(camera.frame(int(i)), store.size[::-1], interpolation=cv2.INTER_AREA)
            sure = np.asarray(store.confidence[int(i)]) >= CONFIDENT
            pose = trace.pose(float(camera.t[i])) @ camera.calibration.T_vehicle_camera
            clouds.append(
                points_of(store.lens, np.asarray(small, np.uint8), store.metric(int(i)), sure, pose)
            )
            report(done + 1, len(frames))
        points, colors = joined(clouds)
        self.recording.log(
            cloud_path(self.recording),
            self.recording.rr.Points3D(points, colors=colors, radii=[RADIUS]),
        )

    def _log_lidar(self, lidar: RecordedLidar, car: str, report: ReportProgress) -> None:
        rr = self.recording.rr
        place = f"{car}/{self._path(lidar.name)[1:]}"
        mount = lidar.calibration.T_vehicle_lidar
        self.recording.log(place, rr.Transform3D(translation=mount[:3, 3], mat3x3=mount[:3, :3]))
        chosen = _thinned(lidar.sweep_count, MAX_SWEEPS)
        for done, i in enumerate(chosen):
            sweep = lidar.sweep(int(i))
            points = sweep.points[:: max(1, -(-len(sweep.points) // MAX_SWEEP_POINTS))]
            step = int(self._steps(np.array([sweep.t]))[0])
            self.recording.log_at(
                (sweep.t, step), place, rr.Points3D(points, radii=[0.03], colors=[(255, 220, 90)])
            )
            report(done + 1, len(chosen))

    def _log_tracks(self) -> None:
        """Boxes of recorded road users, at the times of their rows."""
        try:
            tracks = self.trace.tracks()
        except VistaError as error:
            self.recording.note(f"tracks are left out ({error})")
            return
        if not tracks or not len(tracks["t"]):
            return
        rr = self.recording.rr
        times = np.unique(tracks["t"])
        rows_a_time = len(tracks["t"]) / len(times)
        every = max(1, -(-int(len(times) * rows_a_time) // MAX_TRACKED))
        for t in times[::every]:
            own = tracks["t"] == t
            pose, size = tracks["pose"][own], tracks["size"][own]
            up = np.array([matrix_from_quaternion(q)[:3, 2] for q in pose[:, 3:]])
            boxes = rr.Boxes3D(
                centers=pose[:, :3] + 0.5 * size[:, 2:] * up,
                half_sizes=0.5 * size,
                quaternions=pose[:, 3:],
                labels=[shown(c) for c in tracks["category"][own]],
                colors=[COLORS[0]],
            )
            step = int(self._steps(np.array([t]))[0])
            self.recording.log_at((float(t), step), self._path(WORLD, "road_users"), boxes)

    def _log_plots(self) -> list[Any]:
        rr, trace = self.recording.rr, self.trace
        ego = trace.ego
        s = np.array([trace.path.arc_length(float(t)) for t in ego.t])
        arrays = trace.path.arrays
        series = {
            "speed": ("speed, m/s", ego.speed),
            "steering": (
                "steering: curvature, 1/m, left is positive",
                np.interp(s, arrays.knots, arrays.bends),
            ),
            "yaw_rate": ("yaw rate, rad/s", ego.yaw_rate),
        }
        views = []
        for name, (title, values) in series.items():
            path = self._path("plots", name)
            self.recording.log(path, rr.SeriesLines(names=name, colors=[COLORS[1]], widths=[1.6]))
            columns = rr.Scalars.columns(scalars=values)
            self.recording.send(path, ego.t, self._steps(ego.t), columns)
            legend = rr.blueprint.PlotLegend(visible=False)
            views.append(rr.blueprint.TimeSeriesView(origin=path, name=title, plot_legend=legend))
        marks = [
            rr.blueprint.StateTimelineView(origin=self._path("marks"), name="sections and labels"),
            rr.blueprint.TextDocumentView(origin=self._path("about"), name="about"),
        ]
        return [*views, rr.blueprint.Tabs(*marks)]

    def _log_labels(self) -> None:
        """Sections that can be driven, and labels, as coloured stretches of time."""
        style = self.recording.rr.StateConfiguration(
            values=["can be driven", "-", "gap"], colors=[CALM, LANES[0], ALARM]
        )
        rows = [("sections", s.start, s.end, "can be driven") for s in self.trace.sections]
        rows += [("gaps", a, b, "gap") for a, b in self.trace.gaps]
        rows += [(shown(x.key), x.start, x.end, shown(x.value)) for x in self.trace.labels]
        for kind in ("sections", "gaps"):
            self.recording.log(self._path("marks", kind), style)
        for kind, start, end, text in rows:
            for t, state in ((start, text), (end, "-")):
                t = min(max(t, 0.0), self.trace.duration)
                step = int(self._steps(np.array([t]))[0])
                change = self.recording.rr.StateChange(state=state)
                self.recording.log_at((t, step), self._path("marks", kind), change)

    def _log_about(self) -> None:
        trace = self.trace
        lines = [
            shown(trace.name),
            f"source: {shown(trace.source, 'not given')}",
            f"licence: {shown(trace.licence, 'not given')}",
            f"duration: {trace.duration:.1f} s, length: {trace.path.length:.0f} m",
        ]
        if self.recording.notes:
            lines += ["", "left out:", *(f"- {note}" for note in self.recording.notes)]
        document = self.recording.rr.TextDocument("\n".join(lines), media_type="text/plain")
        self.recording.log(self._path("about"), document)


def _thinned(count: int, most: int = MAX_PICTURES) -> NDArray[np.int64]:
    """Numbers from 0 to below count, evenly thinned to at most so many."""
    return np.arange(0, count, max(1, -(-count // most)), dtype=np.int64)


def _jpeg(image: Image) -> bytes:
    """A JPEG of a gray or RGB image, at most PICTURE_WIDTH wide."""
    height, width = image.shape[:2]
    if width > PICTURE_WIDTH:
        size = (PICTURE_WIDTH, max(1, round(height * PICTURE_WIDTH / width)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    bgr = image[..., ::-1] if image.ndim == 3 else image
    encoded, data = cv2.imencode(".jpg", np.ascontiguousarray(bgr), [cv2.IMWRITE_JPEG_QUALITY, 85])
    if not encoded:
        raise VistaError("a picture cannot be encoded")
    return data.tobytes()
