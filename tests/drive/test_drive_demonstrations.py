"""What a human drove, written as traces: as a recording of that drive would be."""

import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROAD_SPEED, view_of_ground, write_road

from vista_sim.cli import main
from vista_sim.drive.course import read_target
from vista_sim.drive.demonstrations import Rules, write_demonstrations
from vista_sim.errors import RunError, VistaError, WorldError
from vista_sim.evaluation.suites.run_folder import write_cases
from vista_sim.policies import Action
from vista_sim.runs.recorder import Recorder
from vista_sim.runs.run import read_run
from vista_sim.runs.writer import RunWriter
from vista_sim.sensors.camera import Camera
from vista_sim.traces.trace import Trace
from vista_sim.transforms import planar_pose, quaternion_from_matrix
from vista_sim.world import World

pytestmark = pytest.mark.usefixtures("_unwarned")

DT = 0.05


def drive_off_centre(trace, out, seconds=8.0, lateral=0.6, crash=False, cases=()):
    """A run of a human who drives beside the path, swaying; then off it, if they crash."""
    world = World([trace], dt=DT)
    car = world.spawn_agent()
    info = {"traces": [{"path": str(trace), "name": "road"}]}
    with RunWriter(out, info, tuple(vars(world.task.rewards))) as writer:
        recorder = Recorder(writer)
        write_cases(out, cases)
        labels = {"case": cases[0].case} if cases else {}
        for driver in ("policy", "human"):
            car.reset(trace=0, s=3.0, lateral=lateral, heading=0.0)
            recorder.begin(car, "closed_loop", driver, **labels)
            while not car.done and (crash or car.t < seconds):
                sway = 0.02 * math.sin(2 * car.t) - 0.1 * car.heading_error
                bend = 0.1 if crash and car.t > seconds else car.path.curvature(car.s) + sway
                car.step(Action(bend))
                recorder.step(car, 0.0, 0.0)
            recorder.end(car, "stopped")
        writer.finish({})
    return read_run(out)


@pytest.fixture(scope="module")
def driven(road_trace, tmp_path_factory):
    """(run, its demonstration as a trace)."""
    folder = tmp_path_factory.mktemp("drive")
    run = drive_off_centre(road_trace, folder / "run")
    (made,) = write_demonstrations(run, folder / "demos")
    return run, Trace.open(made.folder), made


def steps_of(run, episode=1):
    return [step for step in run.steps.to_pylist() if step["episode"] == episode]


def test_only_what_the_human_drove_is_a_demonstration(driven, tmp_path):
    run, trace, made = driven
    assert made.folder.name == "run-001"  # episode 0 was the policy's
    assert trace.extra["demonstration"]["driver"] == "human"
    (other,) = write_demonstrations(run, tmp_path, Rules(driver="policy"))
    assert other.folder.name == "run-000"


def test_it_says_where_it_is_from(driven):
    _, trace, _ = driven
    assert trace.licence == "MIT"
    assert "computed by a test" in trace.source
    assert "road" in trace.source


def test_the_ego_motion_is_the_driven_one(driven):
    run, trace, made = driven
    steps = steps_of(run)
    origin = np.linalg.inv(planar_pose(*(steps[0][name] for name in ("x", "y", "yaw"))))
    assert trace.duration == pytest.approx(8.0)
    assert made.seconds == pytest.approx(8.0)
    assert made.metres == pytest.approx(8.0 * ROAD_SPEED, rel=0.01)
    for step in steps[::20]:
        pose = origin @ planar_pose(step["x"], step["y"], step["yaw"])
        np.testing.assert_allclose(trace.pose(step["t"]), pose, atol=1e-6)
        assert trace.speed(step["t"]) == pytest.approx(step["speed"])
    # The yaw that the rates add up to is the yaw that was driven.
    turned = np.trapezoid(trace.ego.yaw_rate, trace.ego.t)
    assert turned == pytest.approx(steps[-1]["yaw"] - steps[0]["yaw"], abs=0.01)


def test_the_frames_are_what_a_camera_on_the_driven_car_would_have_recorded(driven, road_trace):
    run, trace, _ = driven
    recorded = Trace.open(road_trace).cameras["front"].calibration
    camera = trace.cameras["front"]
    assert camera.calibration.lens.size == recorded.lens.size
    np.testing.assert_array_equal(camera.calibration.T_vehicle_camera, recorded.T_vehicle_camera)
    np.testing.assert_allclose(np.diff(camera.t), 0.1)
    steps = steps_of(run)
    # Truth is computed from the scene. Had a camera stood elsewhere, it would look otherwise.
    elsewhere = [(0, 0.3, 0), (0, -0.3, 0), (0, 0, 0.03), (0, 0, -0.03), (0.8, 0, 0), (-0.8, 0, 0)]
    places = [(0, 0, 0), *elsewhere]
    errors = np.zeros((0, len(places)))
    for index in range(5, len(camera.t), 15):
        step = steps[2 * index]
        pose = planar_pose(step["x"], step["y"], step["yaw"])
        mounts = [pose @ planar_pose(*place) @ recorded.T_vehicle_camera for place in places]
        truths = [view_of_ground(recorded.lens, mount).astype(float) for mount in mounts]
        frame = camera.frame(index)
        errors = np.vstack([errors, [np.abs(frame - truth).mean() for truth in truths]])
    assert len(errors) > 4
    assert (errors.argmin(axis=1) == 0).all()


def test_the_roads_edges_are_as_far_as_they_were_from_the_driven_path(driven):
    run, trace, _ = driven
    # The recording has its edges 3 m to the left and 1.5 m to the right of its path.
    for step in steps_of(run)[10::30]:
        s = trace.path.arc_length(step["t"])
        left = np.interp(s, trace.road["s"], trace.road["left"])
        right = np.interp(s, trace.road["s"], trace.road["right"])
        assert left == pytest.approx(3.0 - step["lateral"], abs=0.02)
        assert right == pytest.approx(1.5 + step["lateral"], abs=0.02)


def test_it_can_be_driven_in_and_seen_by_like_any_trace(driven):
    _, trace, _ = driven
    assert len(trace.sections) == 1
    car = World([trace]).spawn_agent()
    car.spawn_camera("camera", size=(24, 48))
    car.reset(trace=0, s=5.0, lateral=0.3, heading=0.0)
    car.step(Action(0.0))
    assert car.observations["camera"].shape == (24, 48, 3)
    assert car.validity > 0.5


def test_seconds_before_a_crash_are_left_out(road_trace, tmp_path):
    run = drive_off_centre(road_trace, tmp_path / "run", seconds=5.0, crash=True)
    last = steps_of(run)[-1]
    assert last["ending"] in ("off_road", "heading")
    (made,) = write_demonstrations(run, tmp_path / "demos", Rules(before_crash=2.0))
    assert made.seconds == pytest.approx(last["t"] - 2.0, abs=DT)
    (all_of_it,) = write_demonstrations(run, tmp_path / "all", Rules(before_crash=0.0))
    assert all_of_it.seconds == pytest.approx(last["t"])


def test_frames_of_which_too_little_was_seen_leave_a_gap(driven, tmp_path, road_trace):
    run, _, _ = driven
    seen = []
    camera = Camera(Trace.open(road_trace), "front")
    for step in steps_of(run)[::2]:
        pose = np.linalg.inv(Trace.open(road_trace).pose(step["scene_time"])) @ planar_pose(
            step["x"], step["y"], step["yaw"]
        )
        seen.append(camera.render(step["scene_time"], pose)[1].mean())
    limit = float(np.quantile(seen, 0.3))
    (made,) = write_demonstrations(run, tmp_path, Rules(min_validity=limit))
    assert made.left_out == pytest.approx(np.count_nonzero(np.array(seen) < limit), abs=2)
    assert made.frames + made.left_out == len(seen)
    assert Trace.open(made.folder).gaps


def test_labels_are_taken_over_where_they_were_driven_by(tmp_path):
    folder = write_road(tmp_path / "road")
    labelled = Trace.open(folder)
    assert labelled.labels == ()
    start = labelled.start_ns
    pq.write_table(
        pa.table(
            {
                "start_ns": pa.array([start + 2 * 10**9], pa.int64()),
                "end_ns": pa.array([start + 4 * 10**9], pa.int64()),
                "key": ["command"],
                "value": ["left"],
            }
        ),
        folder / "labels.parquet",
    )
    run = drive_off_centre(folder, tmp_path / "run")
    (made,) = write_demonstrations(run, tmp_path / "demos")
    (label,) = Trace.open(made.folder).labels
    assert (label.key, label.value) == ("command", "left")
    # The drive began 3 m down the road, where the recording was after 3/8 of a second.
    assert label.start == pytest.approx(2 - 3 / ROAD_SPEED, abs=0.1)
    assert label.end == pytest.approx(4 - 3 / ROAD_SPEED, abs=0.1)


def test_other_road_users_are_where_they_are_seen_from_the_driven_car(tmp_path):
    folder = write_road(tmp_path / "road")
    # One that is parked, and one that drives at 5 m/s along y = 4, every half a second for 20 s.
    times = np.repeat(np.arange(0, 20, 0.5), 2)
    parked, going = planar_pose(30.0, 3.0, 0.5), planar_pose(0.0, 4.0, 0.0)
    rows = []
    for i, time in enumerate(times):
        pose = going @ planar_pose(5.0 * time, 0, 0) if i % 2 else parked
        rows.append([*pose[:3, 3], *quaternion_from_matrix(pose[None, :3, :3])[0]])
    pq.write_table(
        pa.table(
            {
                "t_ns": pa.array(Trace.open(folder).start_ns + np.round(times * 1e9).astype(int)),
                "track_id": pa.array(np.arange(len(times)) % 2),
                "category": ["car"] * len(times),
                "pose": pa.array(rows, pa.list_(pa.float64())),
                "size": pa.array([[4.0, 1.8, 1.5]] * len(times), pa.list_(pa.float64())),
            }
        ),
        folder / "tracks.parquet",
    )
    run = drive_off_centre(folder, tmp_path / "run")
    (made,) = write_demonstrations(run, tmp_path / "demos")
    tracks = Trace.open(made.folder).tracks()
    steps = steps_of(run)
    begin = np.linalg.inv(planar_pose(*(steps[0][name] for name in ("x", "y", "yaw"))))
    still = tracks["track_id"] == 0
    assert 13 <= np.count_nonzero(still) <= 17
    expected = (begin @ parked)[:3, 3]
    np.testing.assert_allclose(
        tracks["pose"][still, :3], [expected] * np.count_nonzero(still), atol=1e-6
    )
    turned = 2 * np.arctan2(tracks["pose"][still, 5], tracks["pose"][still, 6])
    np.testing.assert_allclose(turned, 0.5 - steps[0]["yaw"], atol=1e-6)
    # The drive began where the recording was after 3/8 of a second.
    for time, pose in zip(tracks["t"][~still], tracks["pose"][~still], strict=True):
        seen = min(steps, key=lambda step: abs(step["t"] - time))["scene_time"]
        there = begin @ going @ planar_pose(5.0 * seen, 0, 0)
        np.testing.assert_allclose(pose[:3], there[:3, 3], atol=5.0 * DT)
    assert set(tracks["category"]) == {"car"}
    np.testing.assert_allclose(tracks["size"], [[4.0, 1.8, 1.5]] * len(tracks["size"]))


def changed_case(road_trace, tmp_path, *lines):
    file = tmp_path / "changed.toml"
    text = ('format = "vista-scenario/1"', 'name = "changed"', f'traces = "{road_trace}"', *lines)
    file.write_text("\n".join(text), encoding="utf-8")
    return read_target(str(file), DT, None).cases


def test_what_a_scenario_does_to_images_and_mount_is_in_the_frames(road_trace, tmp_path):
    changes = ("image.exposure = -2.0", "sensors.mount_yaw = 0.06")
    cases = changed_case(road_trace, tmp_path, *changes)
    run = drive_off_centre(road_trace, tmp_path / "run", seconds=4.0, cases=cases)
    (made,) = write_demonstrations(run, tmp_path / "demos")
    camera = Trace.open(made.folder).cameras["front"]
    recorded = Trace.open(road_trace).cameras["front"].calibration
    darker = 2.0 ** (-2.0 / 2.2)
    steps = steps_of(run)
    errors = []
    for index in range(5, len(camera.t), 10):
        step = steps[2 * index]
        pose = planar_pose(step["x"], step["y"], step["yaw"])
        frame = camera.frame(index).astype(float)
        errors.append([])
        for yaw in (0.06, 0.0, -0.06):
            mount = recorded.T_vehicle_camera.copy()
            mount[:3, :3] = planar_pose(0, 0, yaw)[:3, :3] @ mount[:3, :3]
            truth = view_of_ground(recorded.lens, pose @ mount).astype(float)
            errors[-1].append(np.abs(frame - darker * truth).mean())
        assert frame.mean() / truth.mean() == pytest.approx(darker, rel=0.1)
    assert (np.array(errors).argmin(axis=1) == 0).all()


def test_a_case_whose_camera_the_trace_does_not_have(road_trace, tmp_path):
    cases = changed_case(road_trace, tmp_path)
    run = drive_off_centre(road_trace, tmp_path / "run", seconds=2.5, cases=cases)
    file = tmp_path / "run" / "cases.json"
    values = json.loads(file.read_text())
    values[0]["settings"]["sensors"]["recorded_camera"] = "<rear>"
    file.write_text(json.dumps(values))
    with pytest.raises(WorldError, match="no camera '<rear>'"):
        write_demonstrations(run, tmp_path / "demos")
    assert not (tmp_path / "demos").exists()
    for damage in ("{", "[1]", "{}", '[{"scenario": 1}]', "[" * 100_000):
        file.write_text(damage)
        if damage == "{}":
            continue
        with pytest.raises(RunError, match=r"cases\.json: (holds no cases|cannot be read as JSON)"):
            write_demonstrations(run, tmp_path / "demos")


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("x", math.nan, "x is not finite"),
        ("scene_time", math.inf, "scene_time is not finite"),
        ("t", 0.0, "t must increase"),
        ("scene_time", 1e9, "the trace lasts from 0 to 22.5 s"),
        ("x", 1e300, "positions must be in m"),
    ],
)
def test_a_damaged_run_is_refused(driven, tmp_path, column, value, says):
    run, _, _ = driven
    values = run.steps[column].to_pylist()
    values[-5] = value
    steps = run.steps.set_column(run.steps.column_names.index(column), column, pa.array(values))
    damaged = type(run)(**{**vars(run), "steps": steps})
    with pytest.raises(VistaError, match=says):
        write_demonstrations(damaged, tmp_path / "demos")
    assert not (tmp_path / "demos").exists()


@pytest.mark.parametrize("ending", ["off_road", "stopped"])
def test_episodes_whose_steps_are_gone_are_no_demonstrations(driven, tmp_path, ending):
    run, _, _ = driven
    names = run.episodes.column_names
    endings = pa.array([ending] * run.episodes.num_rows)
    episodes = run.episodes.set_column(names.index("ending"), "ending", endings)
    empty = type(run)(**{**vars(run), "steps": run.steps.slice(0, 0), "episodes": episodes})
    assert not write_demonstrations(empty, tmp_path / "demos")


def test_nothing_is_replaced(driven, tmp_path):
    run, _, _ = driven
    write_demonstrations(run, tmp_path)
    with pytest.raises(RunError, match="is there already"):
        write_demonstrations(run, tmp_path)


def test_the_command(driven, tmp_path, capsys):
    run, _, _ = driven
    with pytest.raises(SystemExit) as caught:
        main(["demonstrations", str(run.folder), str(tmp_path / "demos")])
    assert caught.value.code == 0
    (folder,) = (tmp_path / "demos").iterdir()
    assert f"{folder}: 8.0 s, 6" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--min-validity", "nan"], "--min-validity is nan"),
        (["--driver", "nobody"], "choose human or policy"),
        (["--before-crash", "-1"], "--before-crash is -1.0"),
    ],
)
def test_mistakes_are_one_line(driven, tmp_path, capsys, arguments, says):
    run, _, _ = driven
    with pytest.raises(SystemExit) as caught:
        main(["demonstrations", str(run.folder), str(tmp_path / "demos"), *arguments])
    assert caught.value.code == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "demos").exists()


def test_a_run_that_does_not_say_where_its_trace_is(driven, tmp_path):
    run, _, _ = driven
    lost = type(run)(**{**vars(run), "info": {"traces": "none"}})
    with pytest.raises(RunError, match="do not say where"):
        write_demonstrations(lost, tmp_path / "demos")
