"""`vista-sim replay --save`: what is in the recording, and what is said of what cannot be shown."""

import json
import re
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filmed_runs import LENGTH, SPEED, write_run
from test_trace_commands import one_line, run
from tiny import write_tiny_trace

from vista_sim import Action, CameraSpec
from vista_sim.evaluation.evaluate import evaluate

rerun_chunk = pytest.importorskip("rerun.chunk")


def read(path):
    """Record batches by entity path."""
    found = {}
    for chunk in rerun_chunk.RrdReader(path).stream():
        found.setdefault(chunk.entity_path, []).append(chunk.to_record_batch())
    return found


def column(batches, name):
    """The values of a column over all batches that have it, one a row."""
    return [
        value
        for batch in batches
        for field in batch.schema.names
        if field.split(":")[-1] == name
        for value in batch.column(field).to_pylist()
        if value is not None
    ]


def replay(tmp_path, *arguments):
    out = tmp_path / "out.rrd"
    status = run("replay", *arguments, "--save", out)
    return read(out) if status == 0 else status


def texts(entities, path):
    return " | ".join(text for (text,) in column(entities[path], "text"))


def test_a_run_is_shown_with_its_road_path_plots_and_views(tmp_path):
    folder = write_run(tmp_path / "run", endings=("off_road", "end_of_trace"))
    entities = replay(tmp_path, folder)
    (line,) = column(entities["/world/road/recorded_path"], "strips")[0]
    assert np.allclose(np.array(line)[[0, -1], :2], [(0, 0), (LENGTH, 0)], atol=1e-4)
    left, right = column(entities["/world/road/edges"], "strips")[0]
    assert np.allclose(np.array(left)[:, 1], 3.0)
    assert np.allclose(np.array(right)[:, 1], -1.5)
    driven = column(entities["/world/driven_0"], "strips")
    assert [np.allclose(np.array(strip[0])[:, 1], 0.5) for strip in driven] == [True, True]
    human = np.ravel(column(entities["/plots/steering/human"], "scalars"))
    assert np.allclose(human[:12], 0.001 * 0.8 * np.arange(12))  # the road's curvature where it is
    policy = np.ravel(column(entities["/plots/steering/run_0"], "scalars"))
    assert np.isnan(policy[0])
    assert np.allclose(policy[1:12], 0.01)
    assert np.allclose(
        np.ravel(column(entities["/plots/cross_track_error/run_0"], "scalars"))[:12], 0.5
    )
    assert {"/plots/reward/progress\\ run_0", "/plots/speed/human"} <= set(entities)
    for view in ("scene", "camera", "recorded"):
        stamps = np.ravel(column(entities[f"/views/run_0/{view}"], "timestamp"))
        assert np.allclose(np.sort(stamps), 1e8 * np.arange(24))  # ns; 10 frames a second
    (place,) = {v for (v,) in column(entities["/views/run_0/scene"], "video_reference")}
    assert place == "/videos/run_0/drive.scene.mp4"
    assert (
        bytes(column(entities[place], "blob")[0][0])
        == (folder / "views" / "drive.scene.mp4").read_bytes()
    )
    assert "crash: off road after 1.1 s at 8.8 m" in texts(entities, "/log")
    states = [state for (state,) in column(entities["/episodes/run_0"], "state")]
    ends = ["policy: crash: off road", "policy: end of trace"]
    assert states == ["policy: driving", ends[0], "policy: driving", ends[1]]


def test_what_further_cameras_saw_is_shown_in_views_of_their_own(tmp_path):
    views = ("scene", "camera", "camera.rear", "camera.left", "camera.to/../x")
    folder = write_run(tmp_path / "run", views=views[:4])
    frames = pq.read_table(folder / "frames.parquet").to_pylist()
    hostile = [row | {"view": views[4]} for row in frames if row["view"] == "camera"]
    schema = pq.read_schema(folder / "frames.parquet")
    pq.write_table(pa.Table.from_pylist(frames + hostile, schema=schema), folder / "frames.parquet")
    for runs in ([folder], [folder, write_run(tmp_path / "other")]):
        out = tmp_path / f"of_{len(runs)}"
        out.mkdir()
        entities = replay(out, *runs)
        shown = {path for path in entities if re.fullmatch("/views/run_0/[^/]+", path)}
        assert shown == {f"/views/run_0/{view}" for view in views[:4]}
        for view in views[1:4]:
            place = f"/views/run_0/{view}"
            stamps = np.ravel(column(entities[place], "timestamp"))
            assert np.allclose(np.sort(stamps), 1e8 * np.arange(12))  # ns; 10 frames a second
            (video,) = {v for (v,) in column(entities[place], "video_reference")}
            blob = column(entities[video], "blob")[0][0]
            assert bytes(blob) == (folder / "views" / f"drive.{view}.mp4").read_bytes()
        (blueprint,) = rerun_chunk.RrdReader(out / "out.rrd").blueprints()
        chunks = rerun_chunk.RrdReader(out / "out.rrd").stream(store=blueprint)
        names = [
            value for (value,) in column([c.to_record_batch() for c in chunks], "display_name")
        ]
        assert names.count("rear") == names.count("left") == 1


def test_the_layout_is_in_the_file(tmp_path):
    replay(tmp_path, write_run(tmp_path / "run"))
    (blueprint,) = rerun_chunk.RrdReader(tmp_path / "out.rrd").blueprints()
    chunks = rerun_chunk.RrdReader(tmp_path / "out.rrd").stream(store=blueprint)
    batches = [chunk.to_record_batch() for chunk in chunks]
    classes = {value for (value,) in column(batches, "class_identifier")}
    assert {"3D", "2D", "TimeSeries", "TextLog"} <= classes


def test_unseen_pixels_are_tinted(tmp_path):
    import cv2

    entities = replay(tmp_path, write_run(tmp_path / "run"))
    pictures = column(entities["/views/run_0/camera/validity"], "blob")
    first, last = (
        cv2.imdecode(np.frombuffer(bytes(picture[0]), np.uint8), cv2.IMREAD_UNCHANGED)
        for picture in (pictures[0], pictures[-1])
    )
    assert first[..., 3].min() > 100  # frame 0 is black: nothing was seen
    assert (first[..., 2] > first[..., 1]).all()  # red
    assert last[..., 3].max() == 0  # frame 11 is bright: all was seen


def test_runs_of_the_same_scenario_are_shown_at_the_same_time(tmp_path):
    one = write_run(tmp_path / "one", name="a", endings=("off_road", "end_of_trace"), steps=8)
    two = write_run(tmp_path / "two", name="b", endings=("end_of_trace",), lateral=-0.3)
    entities = replay(tmp_path, one, two)
    starts = {}
    for path in ("/world/driven_0", "/world/driven_1"):
        (batch,) = [b for b in entities[path] if any("strips" in n for n in b.schema.names)][:1]
        starts[path] = batch.column("time").to_pylist()[0]
    assert starts["/world/driven_0"] == starts["/world/driven_1"]
    colors = [column(entities[f"/plots/speed/run_{i}"], "colors")[0][0] for i in (0, 1)]
    assert colors[0] != colors[1]
    names = [column(entities[f"/plots/speed/run_{i}"], "names")[0][0] for i in (0, 1)]
    assert names == ["a", "b"]


def test_episodes_can_be_chosen(tmp_path, capsys):
    folder = write_run(tmp_path / "run", endings=("off_road", "off_road", "end_of_trace"))
    entities = replay(tmp_path, folder, "--episode", "1:2")
    assert len(column(entities["/world/driven_0"], "strips")) == 2
    for wrong in ("7", "2:1", "x", "1:2:3", "-1", "²"):
        capsys.readouterr()
        assert run("replay", folder, "--save", tmp_path / "n.rrd", f"--episode={wrong}") == 2
        assert one_line(capsys.readouterr().err)
    assert not (tmp_path / "n.rrd").exists()


def test_a_run_that_was_killed_is_shown(tmp_path):
    folder = write_run(tmp_path / "run", endings=("off_road", None), finish=False)
    for video in folder.glob("views/*.mp4"):  # a kill also cuts videos off
        data = video.read_bytes()
        video.write_bytes(data[: int(0.8 * len(data))])
    entities = replay(tmp_path, folder)
    assert len(column(entities["/world/driven_0"], "strips")) == 2
    assert "policy: cut off" in texts(entities, "/log")
    assert "status: running" in texts(entities, "/about")


def test_missing_and_broken_videos_are_told(tmp_path, capsys):
    folder = write_run(tmp_path / "run")
    (folder / "views" / "drive.scene.mp4").unlink()
    (folder / "views" / "drive.recorded.mp4").write_bytes(b"no video")
    entities = replay(tmp_path, folder)
    assert "/views/run_0/camera" in entities
    assert not {"/views/run_0/scene", "/views/run_0/recorded"} & set(entities)
    told = capsys.readouterr().err
    assert "view 'scene' of drive.scene.mp4 is left out" in told
    assert "view 'recorded' of drive.recorded.mp4 is left out" in told
    assert "frustums are left out" in told  # the trace is not at hand
    assert "view 'scene'" in texts(entities, "/about")


def test_frames_that_a_video_lacks_are_told(tmp_path, capsys):
    folder = write_run(tmp_path / "run")
    table = pq.read_table(folder / "frames.parquet")
    views, frames = table["view"].to_pylist(), table["frame"].to_pylist()
    first = views.index("camera")
    for i, view in enumerate(views):
        if view == "scene" or i == first:
            frames[i] = 10**8
    table = table.set_column(
        table.schema.get_field_index("frame"), "frame", pa.array(frames, pa.int32())
    )
    pq.write_table(table, folder / "frames.parquet")
    entities = replay(tmp_path, folder)
    told = capsys.readouterr().err
    assert "view 'scene' of drive.scene.mp4 is left out (it ends before the first frame)" in told
    assert f"drive.camera.mp4 lacks 1 of {views.count('camera')} frames" in told
    assert "/views/run_0/scene" not in entities
    assert len(column(entities["/views/run_0/camera"], "timestamp")) == views.count("camera") - 1


def test_a_trace_that_is_driven_often_is_told_once_where_it_is_not_at_hand(tmp_path, capsys):
    folder = write_run(tmp_path / "run", endings=("off_road", "end_of_trace"))
    info = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    info["traces"] *= 2
    (folder / "run.json").write_text(json.dumps(info), encoding="utf-8")
    table = pq.read_table(folder / "episodes.parquet")
    place = table.schema.get_field_index("trace")
    table = table.set_column(place, "trace", pa.array([0, 1], pa.int32()))
    pq.write_table(table, folder / "episodes.parquet")
    replay(tmp_path, folder)
    assert capsys.readouterr().err.count("frustums are left out") == 1


@pytest.mark.parametrize("broken", ["lacks the trace", "holds text"])
def test_a_road_that_is_broken_is_not_shown(tmp_path, broken):
    folder = write_run(tmp_path / "run")
    table = pq.read_table(folder / "roads.parquet")
    if broken == "lacks the trace":
        table = table.drop_columns(["trace"])
    else:
        words = pa.array(["a"] * table.num_rows)
        table = table.set_column(table.schema.get_field_index("x"), "x", words)
    pq.write_table(table, folder / "roads.parquet")
    entities = replay(tmp_path, folder)
    assert "/world/road/recorded_path" not in entities
    assert "/world/driven_0" in entities


def test_hostile_names_stay_names(tmp_path):
    nasty = '<img src=x onerror="alert(1)">/../../etc/passwd\n\x1b[31m' + "x" * 500
    folder = write_run(
        tmp_path / "run", name=nasty, trace={"name": nasty, "path": "../../\0"}, terms=("<b>/..",)
    )
    frames = pq.read_table(folder / "frames.parquet").to_pydict()
    frames["file"] = [
        "../../run.json" if v == "camera" else f
        for v, f in zip(frames["view"], frames["file"], strict=True)
    ]
    pq.write_table(pa.table(frames), folder / "frames.parquet")
    entities = replay(tmp_path, folder)
    assert not any(path.startswith("/videos/run_0/..") for path in entities)
    assert all(path.count("/") <= 6 for path in entities)
    assert "/plots/reward/\\<b\\>\\/..\\ run_0" in entities
    about = texts(entities, "/about")
    assert "\x1b" not in about
    assert "x" * 100 not in about
    assert "no plain file name" in about


def test_steps_without_a_place_are_left_out(tmp_path):
    folder = write_run(tmp_path / "run")
    table = pq.read_table(folder / "steps.parquet")
    for name, at, value in (("x", 3, np.nan), ("y", 4, 1e300), ("yaw", 5, None)):
        values = table.column(name).to_pylist()
        values[at] = value
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(name), [values])
    pq.write_table(table, folder / "steps.parquet")
    entities = replay(tmp_path, folder)
    (strip,) = column(entities["/world/driven_0"], "strips")[0]
    assert len(strip) == 9


@pytest.mark.parametrize("what", ["version", "json", "steps", "column", "empty", "nothing"])
def test_what_is_no_run_is_one_line(tmp_path, capsys, what):
    folder = write_run(tmp_path / "run", steps=0 if what == "empty" else 3, views=())
    if what == "version":
        info = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps(info | {"format": "vista-run/2"}))
    elif what == "json":
        (folder / "run.json").write_text("{")
    elif what == "steps":
        (folder / "steps.parquet").write_bytes(b"PAR1")
    elif what == "column":
        table = pq.read_table(folder / "steps.parquet").drop_columns(["x"])
        pq.write_table(table, folder / "steps.parquet")
    elif what == "nothing":
        shutil.rmtree(folder)
    capsys.readouterr()
    assert replay(tmp_path, folder) == 2
    captured = capsys.readouterr()
    assert one_line(captured.err)
    assert str(folder) in captured.err
    assert not list(tmp_path.glob("*.rrd")) + list(tmp_path.glob(".*part*"))


def test_a_trace_is_shown(tiny_trace, tmp_path, capsys):
    entities = replay(tmp_path, tiny_trace)
    path = np.array(column(entities["/world/road/recorded_path"], "strips")[0][0])
    radius = np.hypot(path[:, 0], path[:, 1] - 40.0)  # `tiny` drives a circle
    assert np.allclose(radius, 40.0, atol=0.05)
    stamps = np.ravel(column(entities["/cameras/front"], "timestamp"))
    assert len(stamps) == 31
    speeds = np.ravel(column(entities["/plots/speed"], "scalars"))
    assert np.allclose(speeds, SPEED)
    assert "not baked" in capsys.readouterr().err


def test_a_baked_trace_has_depth_confidence_and_points_on_the_ground(road_trace, tmp_path):
    folder = shutil.copytree(road_trace, tmp_path / "road")
    assert run("bake", folder, "--geometry", "ground") == 0
    entities = replay(tmp_path, folder)
    for kind in ("inverse_depth", "confidence"):
        assert len(column(entities[f"/geometry/front/{kind}"], "blob")) > 100


def test_point_clouds_lie_where_the_scene_is():
    from vista_sim.replay.viewer.clouds import points_of
    from vista_sim.traces.calibration import Lens
    from vista_sim.transforms import camera_mount

    lens, mount = Lens.from_fov((48, 96), 1.2), camera_mount(1.5, 0.0, 1.4, pitch=0.08)
    rays = lens.rays() @ mount[:3, :3].T
    down = np.minimum(rays[..., 2], -1e-6)
    depth = -1.4 / down  # along the optical axis, to the ground: rays have z = 1
    image = np.full((48, 96, 3), 77, np.uint8)
    keep = np.ones((48, 96), bool)
    points, colors = points_of(lens, image, (1 / depth).astype(np.float32), keep, mount)
    assert len(points) > 500
    assert np.allclose(points[:, 2], 0.0, atol=1e-3)
    assert (colors == 77).all()


def test_wrong_uses_are_one_line(tiny_trace, tmp_path, capsys, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    folder = write_run(tmp_path / "run", views=())
    there = tmp_path / "there.rrd"
    there.write_text("mine")
    for arguments, word in (
        ((folder,), "--save"),  # no screen
        ((folder, "--save", there), "already"),
        ((folder, "--save", tmp_path / "x.mp4"), ".rrd"),
        ((folder, "--save", tmp_path / "x.rrd", "--web"), "choose one"),
        ((folder, "--port", "99999", "--web"), "--port"),
        ((folder, "--port", "8000"), "--web"),
        ((tmp_path,), "neither"),
        ((tiny_trace, folder), "alone"),
        ((tiny_trace, "--episode", "1", "--save", tmp_path / "x.rrd"), "--episode"),
    ):
        capsys.readouterr()
        if word == "neither":
            arguments += ("--save", tmp_path / "x.rrd")
        if word == "alone":
            arguments += ("--save", tmp_path / "x.rrd")
        assert run("replay", *arguments) == 2, arguments
        error = capsys.readouterr().err
        assert one_line(error)
        assert word in error
    assert there.read_text() == "mine"
    assert run("replay", folder, "--save", there, "--overwrite") == 0
    assert there.read_bytes()[:3] == b"RRF"


def test_where_the_policy_looked_glows():
    from vista_sim.replay.viewer.overlays import looked_at

    glow = looked_at(np.array([[0, 128, 255]], np.uint8))
    assert glow.shape == (1, 3, 4)
    assert glow[0, 0, 3] == 0  # the picture below is as it was
    assert glow[0, 0, 3] < glow[0, 1, 3] < glow[0, 2, 3]
    assert glow[0, 2, :3].astype(int).sum() > glow[0, 1, :3].astype(int).sum()


def test_what_the_policy_looked_at_lies_over_what_it_saw(tmp_path):
    folder = write_run(tmp_path / "run", views=("scene", "camera", "saliency"))
    entities = replay(tmp_path, folder)
    assert len(column(entities["/views/run_0/camera/saliency"], "blob")) == 12
    assert not any(path.startswith("/views/run_0/scene/") for path in entities)


def test_an_older_run_without_roads_and_frames_is_shown(tmp_path, capsys):
    folder = write_run(tmp_path / "run", views=())
    (folder / "frames.parquet").unlink()
    (folder / "roads.parquet").unlink()
    entities = replay(tmp_path, folder)
    assert "/world/driven_0" in entities
    assert not any(path.startswith("/world/road/") for path in entities)
    assert "no video" in capsys.readouterr().err


class Straight:
    camera = CameraSpec((24, 48))

    def reset(self):
        pass

    def act(self, observation, car=None):
        return Action(0.0)


def test_a_real_run_has_points_on_the_ground_it_drove_over(road_trace, tmp_path):
    folder = shutil.copytree(road_trace, tmp_path / "road")
    assert run("bake", folder, "--geometry", "ground") == 0
    out = tmp_path / "run"
    evaluate(Straight(), folder, out, recovery=False, section=(0, 3), video=False)
    entities = replay(tmp_path, out)
    points = np.array(column(entities["/world/points"], "positions")[0])
    assert len(points) > 1000
    assert np.abs(points[:, 2]).max() < 0.05  # the ground is flat, and all there is
    assert points[:, 0].min() > 0.0  # the road begins straight ahead
    assert 30.0 < points[:, 0].max() < 60.0
    size = column(entities["/world/car_0/sensor"], "resolution")[0][0]
    assert size == [96, 48]  # width and height of the recorded camera
    entities = replay(tmp_path, out, "--no-points", "--overwrite")
    assert "/world/points" not in entities


def test_hostile_names_in_a_trace_stay_names(tmp_path):
    nasty = "<script>alert(1)</script>/../..\n"
    labels = [(0.2, 1.0, nasty, nasty)]
    folder = write_tiny_trace(tmp_path / "t", name=nasty, source=nasty, labels=labels)
    entities = replay(tmp_path, folder)
    assert "/marks/\\<script\\>alert\\(1\\)\\<\\/script\\>\\/..\\/.." in entities
    assert nasty.strip() in texts(entities, "/about").splitlines()
