"""A recording is checked against itself; what is right in it is never called wrong."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hand_made_drives import FLAWLESS, follow, ramp, shaken, turned
from scipy.spatial.transform import Rotation
from test_trace_commands import run
from tiny import calibration, frame_of

import vista_sim
from vista_sim.errors import TraceError
from vista_sim.images import read_image
from vista_sim.proving_ground.record import Motion as RecordedMotion
from vista_sim.proving_ground.record import Recording
from vista_sim.proving_ground.road import Road
from vista_sim.traces.calibration import LidarCalibration, Vehicle
from vista_sim.traces.checks import (
    CALIBRATION_CHECKS,
    LIDAR_CHECKS,
    MOTION_CHECKS,
    PICTURE_CHECKS,
    TIME_CHECKS,
    Motion,
    PictureValues,
    check_motion,
    check_pictures,
)
from vista_sim.traces.findings import find_all
from vista_sim.traces.importers.motion import motion_of_poses, poses_of_vehicle
from vista_sim.traces.trace import Trace
from vista_sim.traces.writer import TraceWriter
from vista_sim.transforms import camera_mount, pose_from_euler

KITTI = Path(__file__).resolve().parents[2] / "shared" / "data" / "kitti-odometry"
STRAIGHT = {"speed": 10.0, "curvature": 0.0, "rate": 10.0}


def found(columns):
    """Findings of a drive's columns."""
    t = (columns["t_ns"] - columns["t_ns"][0]) * 1e-9
    rest = (columns[name] for name in ("position", "quaternion", "speed", "yaw_rate"))
    return check_motion(Motion(t, *rest))


def named(columns):
    return [(finding.name, finding.level) for finding in found(columns)]


def write(folder, columns, picture=frame_of, frame_t=None):
    with TraceWriter(folder, name="d", licence="", source="", vehicle=Vehicle()) as writer:
        writer.write_ego(**columns)
        if picture is not None:
            camera = writer.add_camera("front", calibration(), 10.0)
            last = columns["t_ns"][-1]
            times = np.arange(0, last + 1, 100_000_000) if frame_t is None else frame_t
            for index, t in enumerate(times):
                camera.write(picture(index), int(t))
    return folder


def winding(rate=10.0, radius=30.0):
    return follow(10.0, lambda t: np.sin(t / 4) / radius, rate=rate)


def moved(columns, rows, by):
    """The same drive with some rows (a slice) moved by (x, y, z) m."""
    position = columns["position"].copy()
    position[rows] += by
    return columns | {"position": position}


@pytest.mark.parametrize("name", FLAWLESS)
def test_nothing_is_found_on_a_drive_without_flaws(name):
    assert found(FLAWLESS[name]()) == ()


@pytest.mark.parametrize("name", ["proving-ground", "proving-ground-unseen"])
def test_nothing_is_found_on_the_samples(name):
    trace = Trace.open(vista_sim.sample_trace(name))
    assert find_all(trace) == ()
    assert trace.gaps == ()


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_found_on_drives_recorded_with_noise(seed):
    recording = Recording(seed=seed, seconds=20.0)
    motion = RecordedMotion.simulate(recording, Road(seed, recording.road_shape))
    columns = {name: getattr(motion, name) for name in ("position", "quaternion")}
    columns |= {"speed": motion.speed, "yaw_rate": motion.yaw_rate}
    assert found(columns | {"t_ns": np.round(motion.t * 1e9).astype(np.int64)}) == ()


@pytest.mark.skipif(not KITTI.is_dir(), reason="the real recording is not here")
def test_nothing_is_found_on_a_real_drive():
    poses = np.tile(np.eye(4), (100, 1, 1))
    poses[:, :3] = np.loadtxt(KITTI / "poses" / "00.txt").reshape(-1, 3, 4)[:100]
    seconds = np.loadtxt(KITTI / "sequences" / "00" / "times.txt")[:100]
    t_ns = np.round(seconds * 1e9).astype(np.int64)
    mount = camera_mount(1.08, 0.0, 1.65, pitch=0.0093)
    assert found(vars(motion_of_poses(t_ns, poses_of_vehicle(poses, mount)))) == ()
    pictures = [
        read_image(KITTI / f"sequences/00/image_0/{number:06d}.png", TraceError)
        for number in (0, 50, 99)
    ]
    assert check_pictures(PictureValues.of("left", pictures)) == ()


def test_a_car_that_only_stands_or_creeps_tells_nothing_of_its_headings():
    standing = FLAWLESS["GPS, standing"]()
    assert found(turned(standing, lambda yaw: yaw + np.pi / 2)) == ()


HEADINGS = {
    "90 degrees off": (lambda yaw: yaw + np.pi / 2, "headings are 90 degrees off"),
    "90 degrees off to the right": (lambda yaw: yaw - np.pi / 2, "headings are 90 degrees off"),
    "backward": (lambda yaw: yaw + np.pi, "headings are 180 degrees off"),
    "NED": (lambda yaw: -yaw, "headings turn against the motion.*NED.*clockwise"),
    "compass": (lambda yaw: np.pi / 2 - yaw, "headings turn against the motion.*compass"),
    "degrees": (lambda yaw: np.degrees(yaw + 0.3), "degrees that were taken for radians"),
    "never turned": (lambda yaw: 0 * yaw, "headings hardly turn where the car does"),
}


@pytest.mark.parametrize("case", HEADINGS)
def test_headings_of_another_convention_are_refused_in_one_line(tmp_path, case):
    change, message = HEADINGS[case]
    with pytest.raises(TraceError, match=rf"drive/ego\.parquet: .*{message}") as caught:
        write(tmp_path / "drive", turned(winding(), change), picture=None)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def of_poses(columns, change, rows=slice(None)):
    """A drive whose speed is made of its poses, with headings (rad) from the right ones."""
    drive = turned(columns, change)
    poses = np.tile(np.eye(4), (len(drive["t_ns"]), 1, 1))
    poses[:, :3, :3] = Rotation.from_quat(drive["quaternion"]).as_matrix()
    poses[:, :3, 3] = drive["position"]
    return vars(motion_of_poses(drive["t_ns"][rows], poses[rows]))


@pytest.mark.parametrize("bent", [False, True])
@pytest.mark.parametrize("degrees", [50, 60, 90, -75, 120])
def test_headings_are_called_wrong_and_not_the_speed_that_was_made_of_them(bent, degrees):
    columns = winding() if bent else follow(**STRAIGHT)
    (finding,) = found(of_poses(columns, lambda yaw: yaw + np.radians(degrees)))
    assert (finding.name, finding.level) == ("heading", "refuse")
    assert f"headings are {abs(degrees)} degrees off" in finding.text


@pytest.mark.parametrize("seconds", [4.0, 8.0, 30.0])
def test_mirrored_headings_are_refused_on_a_short_drive_too(seconds):
    columns = follow(8.0, lambda t: np.sin(t / 2) / 25, rate=10.0, seconds=seconds)
    (finding,) = found(of_poses(columns, lambda yaw: np.pi / 2 - yaw))
    assert (finding.name, finding.level) == ("heading", "refuse")


@pytest.mark.parametrize("name", FLAWLESS)
def test_nothing_is_found_where_the_speed_is_made_of_the_poses(name):
    columns = of_poses(FLAWLESS[name](), lambda yaw: yaw)
    bad = {"heading", "in-reverse", "upside-down"}
    assert [finding for finding in found(columns) if finding.name in bad] == []


def test_a_drive_that_is_all_in_reverse_is_told():
    columns = of_poses(winding(), lambda yaw: yaw + np.pi)
    (finding,) = found(columns)
    assert (finding.name, finding.level) == ("in-reverse", "warn")
    assert finding.text == "the car drives in reverse on 100 % of its way"
    assert "camera-to-world" in finding.remedy
    assert "direction of motion" in finding.remedy


@pytest.mark.skipif(not KITTI.is_dir(), reason="the recorded drive is not there")
def test_recorded_poses_of_the_world_in_the_camera_are_told():
    poses = np.tile(np.eye(4), (100, 1, 1))
    poses[:, :3] = np.loadtxt(KITTI / "poses" / "00.txt").reshape(-1, 3, 4)[:100]
    t_ns = np.round(np.loadtxt(KITTI / "sequences" / "00" / "times.txt")[:100] * 1e9)
    mount = camera_mount(1.08, 0.0, 1.65, pitch=0.0093)
    wrong = motion_of_poses(t_ns.astype(np.int64), poses_of_vehicle(np.linalg.inv(poses), mount))
    said = [finding.name for finding in found(vars(wrong))]
    assert said[0] in ("in-reverse", "heading")


def test_quaternions_with_w_first_are_refused():
    columns = winding()
    columns["quaternion"] = columns["quaternion"][:, [3, 0, 1, 2]]
    (finding,) = found(columns)
    assert (finding.name, finding.level) == ("upside-down", "refuse")
    assert "is w first" in finding.remedy


@pytest.mark.parametrize("radius", [30, 200])
@pytest.mark.parametrize(
    ("factor", "remedy"), [(-1.0, "NED axes"), (np.degrees(1.0) / 2, "degrees per second")]
)
def test_a_yaw_rate_against_the_headings_is_told(radius, factor, remedy):
    columns = winding(radius=radius)
    (finding,) = found(columns | {"yaw_rate": factor * columns["yaw_rate"]})
    assert (finding.name, finding.level) == ("yaw-rate", "warn")
    assert remedy in finding.remedy


@pytest.mark.parametrize("rate", [10.0, 50.0])
@pytest.mark.parametrize(
    "jump", [(0, 5, 0), (0, -1.5, 0), (-5, 0, 0), (-2, 0, 0), (4, 0, 0), (0, 0, 3)]
)
def test_a_jump_of_the_positions_is_cut_where_it_is(rate, jump):
    columns = follow(10.0, 0.0, rate=rate)
    half = len(columns["t_ns"]) // 2
    (finding,) = found(moved(columns, slice(half, None), jump))
    assert (finding.name, finding.level) == ("position-jump", "cut")
    t = columns["t_ns"] * 1e-9
    assert finding.spans == ((t[half - 1], t[half]),)
    assert f"{np.linalg.norm(jump):.1f} m (row {half})" in finding.text


def test_a_jump_far_beyond_any_localization_is_refused():
    columns = moved(follow(10.0, 0.0), slice(700, None), (0, 5000, 0))
    assert named(columns) == [("position-jump", "refuse")]


def test_a_jump_that_a_filter_spreads_is_cut():
    columns = moved(follow(10.0, 0.0, rate=50.0), slice(755, None), (0, 5, 0))
    columns["position"][745:755, 1] = np.linspace(0, 5, 10)
    (finding,) = found(columns)
    assert (finding.name, finding.level) == ("position-drift", "cut")
    ((start, end),) = finding.spans
    assert 14.0 < start < 14.9 < 15.1 < end < 16.0


def test_positions_that_are_held_while_the_car_drives_are_cut():
    columns = follow(10.0, 0.0, rate=10.0)
    columns["position"][100:130] = columns["position"][100]
    findings = found(columns)
    assert {finding.level for finding in findings} == {"cut"}
    start = min(span[0] for finding in findings for span in finding.spans)
    end = max(span[1] for finding in findings for span in finding.spans)
    assert start == pytest.approx(9.9, abs=0.5)
    assert end == pytest.approx(13.0, abs=0.5)


def test_no_section_spans_a_jump_and_the_expert_drives_on_both_sides(tmp_path):
    columns = moved(follow(**STRAIGHT, seconds=10.0), slice(50, None), (0, 5, 0))
    trace = Trace.open(write(tmp_path / "drive", columns))
    np.testing.assert_allclose(trace.gaps, [(4.9, 5.0)])
    sections = [(section.start, section.end) for section in trace.sections]
    np.testing.assert_allclose(sections, [(0, 4.9), (5.0, 10.0)])
    before, after = (trace.path.arc_length(t) for t in (4.9, 5.0))
    for s in (before - 3, before - 1, before, after, after + 1, after + 3):
        x, y, yaw = trace.path.place(s)  # straight on, up to the jump and from it
        assert yaw == pytest.approx(0, abs=1e-6)
        assert y == pytest.approx(0 if s <= before else 5, abs=1e-6)
        assert trace.path.project(x, y, 0.0, near=s).lateral == pytest.approx(0, abs=1e-6)
    car = vista_sim.World([trace]).spawn_agent()
    for section in trace.sections:
        car.reset(trace=0, s=section.start_s, lateral=0.0, heading=0.0)
        while not car.done:
            assert car.lateral == pytest.approx(0, abs=1e-6)
            car.step(vista_sim.Action(curvature=0.0))
        assert car.ending == "end_of_trace"


def test_reversing_with_a_positive_speed_is_cut():
    speed = ramp((0, 8), (8, 8), (11, 0), (14, -5), (24, -5), (26, 0), (30, 0))
    (finding,) = found(follow(speed, 0.01, signed=False))
    assert (finding.name, finding.level) == ("reversing", "cut")
    ((start, end),) = finding.spans
    assert start == pytest.approx(11.0, abs=0.7)
    assert end == pytest.approx(26.0, abs=0.7)


def test_the_error_between_poses_too_rare_for_the_curves_is_told():
    columns = follow(10.0, 1 / 30, rate=1.0, seconds=60)
    (finding,) = found(columns)
    assert (finding.name, finding.level) == ("pose-rate", "warn")
    # The rise of the chord of an arc of 10 m and 30 m of radius.
    rise = 30 * (1 - np.cos(10 / 30 / 2))
    assert f"off by up to {rise:.2f} m" in finding.text


UNITS = {
    "us": (lambda c: c | {"t_ns": c["t_ns"] // 1000}, "rows are 0.0001 s apart .* another unit"),
    "ms": (lambda c: c | {"t_ns": c["t_ns"] // 10**6}, "rows are 1e-07 s apart .* another unit"),
    "cm": (lambda c: c | {"position": 100 * c["position"]}, "speed is 0.01 times.*centimetres"),
    "mph": (lambda c: c | {"speed": 2.237 * c["speed"]}, r"speed is 2.24 times.*mph"),
    "no speed": (lambda c: c | {"speed": 0 * c["speed"]}, "speed is 0 times"),
    "no positions": (lambda c: c | {"position": 0 * c["position"]}, "positions stand still"),
    "a continent": (
        lambda c: c | {"position": 1e5 * c["position"], "speed": c["speed"]},
        "ego.parquet: .*(x is|speed is|way of)",
    ),
}


@pytest.mark.parametrize("case", UNITS)
def test_columns_in_another_unit_are_refused(tmp_path, case):
    change, message = UNITS[case]
    with pytest.raises(TraceError, match=message):
        write(tmp_path / "drive", change(follow(**STRAIGHT)), picture=None)


def test_microseconds_at_one_row_a_second_are_found_by_speed_and_way():
    columns = follow(10.0, 0.0, rate=1.0)
    (finding,) = found(columns | {"t_ns": columns["t_ns"] // 1000})
    assert (finding.name, finding.level) == ("speed-unit", "refuse")
    assert "microseconds" in finding.remedy


def test_a_camera_with_times_in_microseconds_is_refused(tmp_path):
    columns = follow(**STRAIGHT)
    with pytest.raises(TraceError, match=r"front\.parquet: .*another unit"):
        write(tmp_path / "a", columns, frame_t=np.arange(60) * 100_000)
    slow = follow(10.0, 0.0, rate=10.0, seconds=60.0)
    with pytest.raises(TraceError, match=r"front\.parquet: its frames last .*in microseconds"):
        write(tmp_path / "b", slow, frame_t=np.arange(60) * 1_000_000)


def test_a_camera_of_another_clock_is_told(tmp_path):
    frame_t = 29_000_000_000 + np.arange(40) * 100_000_000  # 11 of 40 within the 30 s
    trace = Trace.open(write(tmp_path / "drive", follow(**STRAIGHT), frame_t=frame_t))
    (finding,) = trace.findings
    assert (finding.name, finding.level) == ("camera-time", "warn")
    assert "72 % of its frames" in finding.text or "73 % of its frames" in finding.text


def write_with(folder, camera=None, sweeps=None):
    """A straight drive of 3 s with a camera of a calibration, and sweeps of a lidar."""
    columns = follow(**STRAIGHT, seconds=3.0)
    with TraceWriter(folder, name="d", licence="", source="", vehicle=Vehicle()) as writer:
        writer.write_ego(**columns)
        if camera is not None:
            out = writer.add_camera("front", camera, 10.0)
            for index, t_ns in enumerate(columns["t_ns"]):
                out.write(frame_of(index), int(t_ns))
        if sweeps is not None:
            scanner = writer.add_lidar("top", LidarCalibration(pose_from_euler(1.0, 0.0, 1.8)))
            for t_ns, xyz, point_t_ns in sweeps:
                scanner.write(t_ns, xyz, np.ones(len(xyz)), point_t_ns=point_t_ns)
    return writer.findings


CALIBRATIONS = {
    "identity mount": ({"T_vehicle_camera": np.eye(4)}, "camera-mount", "looks at the sky"),
    "looks down": ({"T_vehicle_camera": camera_mount(1.0, 0, 1.5, pitch=1.5)}, None, "ground"),
    "on its side": ({"T_vehicle_camera": camera_mount(1.0, 0, 1.5, roll=1.5)}, None, "86 degrees"),
    "in millimetres": ({"T_vehicle_camera": camera_mount(1.0, 0, 15.0)}, None, "15.00 m above"),
    "in the road": ({"T_vehicle_camera": camera_mount(1.0, 0, 0.0)}, None, "0.00 m above"),
    "identity K": ({"fx": 1.0, "fy": 1.0, "cx": 0.0, "cy": 0.0}, "camera-lens", "focal lengths"),
    "K of size 1": ({"fx": 0.6, "fy": 0.9, "cx": 0.5, "cy": 0.5}, "camera-lens", "in pixels"),
    "K of another size": ({"cx": 320.0, "cy": 240.0}, None, r"centre at \(320, 240\)"),
}


@pytest.mark.parametrize("case", CALIBRATIONS)
def test_a_calibration_that_no_camera_on_a_car_has_is_found(tmp_path, caplog, case):
    """What can be no camera at all is refused, what hardly is one is said when it is written."""
    values, refused, text = CALIBRATIONS[case]
    good = calibration()
    mount = values.get("T_vehicle_camera", good.T_vehicle_camera)
    numbers = {name: value for name, value in values.items() if name != "T_vehicle_camera"}
    camera = replace(good, lens=replace(good.lens, **numbers), T_vehicle_camera=mount)
    if refused:
        with pytest.raises(TraceError, match=rf"trace\.json: .*{text}"):
            write_with(tmp_path / "drive", camera)
        assert list(tmp_path.iterdir()) == []
        return
    (finding,) = write_with(tmp_path / "drive", camera)
    assert finding.level == "warn"
    assert re.search(text, finding.text)
    assert f"{tmp_path / 'drive' / finding.line}" in caplog.messages


def sweeps_of(scale=1.0, shift=0.0, late_ns=0, point_late_ns=0, length=None):
    """Thirty sweeps of a wall 20 m to the left and of the road behind the car."""
    span = np.linspace(-10.0, 10.0, 50)
    wall = np.stack([span, np.full(50, 20.0), np.ones(50)], axis=1)
    xyz = np.concatenate([wall, wall * [-1.0, 0.3, -1.0]]) * scale + [shift, 0.0, 0.0]
    for index in range(30):
        t_ns = index * (length or 10**8) + late_ns
        yield t_ns, xyz, np.full(len(xyz), t_ns + 10**7 + point_late_ns)


POINTS = {
    "kilometres": ({"scale": 1e-3}, "lidar-range", "half of its points are within"),
    "centimetres": ({"scale": 100.0}, "lidar-range", "half of its points are over"),
    "of the world": ({"shift": 9e3}, "lidar-range", r"over 9e\+03 m away"),
    "points of another clock": ({"point_late_ns": 10**15}, "lidar-point-time", r"1e\+06 s from"),
}


@pytest.mark.parametrize("case", POINTS)
def test_points_that_no_lidar_measures_are_told(tmp_path, case):
    changes, name, text = POINTS[case]
    (finding,) = write_with(tmp_path / "drive", sweeps=sweeps_of(**changes))
    assert (finding.name, finding.level) == (name, "warn")
    assert re.search(text, finding.text)
    assert write_with(tmp_path / "good", sweeps=sweeps_of()) == ()


def test_a_lidar_of_another_clock_is_refused(tmp_path):
    for late, length, text in (
        (10**15, None, r"no sweep lies within the time of ego\.parquet"),
        (0, 10**5, "its sweeps last 0.0029 s, .* in microseconds"),
    ):
        with pytest.raises(TraceError, match=rf"top\.parquet: {text}"):
            write_with(tmp_path / "a", sweeps=sweeps_of(late_ns=late, length=length))
    (finding,) = write_with(tmp_path / "b", sweeps=sweeps_of(late_ns=2 * 10**9))
    assert (finding.name, finding.level) == ("lidar-time", "warn")
    assert "of its sweeps lie outside" in finding.text


@pytest.mark.parametrize(
    ("value", "name"), [(3, "dark-pictures"), (252, "pale-pictures"), (99, None)]
)
def test_pictures_outside_the_range_of_eight_bits_are_told(tmp_path, value, name):
    columns = follow(**STRAIGHT, seconds=2.0)

    def picture(index):
        return np.full((47, 71, 3), value, dtype=np.uint8)

    trace = Trace.open(write(tmp_path / "drive", columns, picture=picture))
    assert [finding.name for finding in find_all(trace)] == ([name] if name else [])


def test_info_lists_findings_with_their_remedies(tmp_path, capsys):
    columns = moved(follow(**STRAIGHT, seconds=10.0), slice(50, None), (0, 5, 0))
    folder = write(tmp_path / "drive", columns)
    run("info", folder, "--json")
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert finding["name"] == "position-jump"
    assert finding["level"] == "cut"
    np.testing.assert_allclose(finding["spans"], [[4.9, 5.0]])
    assert finding["remedy"]
    run("info", folder)
    shown = capsys.readouterr().out
    assert "cut (position-jump)" in shown
    assert "4.90-5.00 s" in shown


def test_the_table_of_findings_lists_every_check():
    source = "".join(
        path.read_text() for path in Path(vista_sim.__file__).parent.glob("traces/checks/*.py")
    )
    source = source.replace('f"{times.kind}-', '"camera-') + source.replace(
        'f"{times.kind}-', '"lidar-'
    )
    made = set(re.findall(r'Finding\(\s*"([a-z-]+)",\s*"(refuse|cut|warn)"', source))
    checks = (*MOTION_CHECKS, *TIME_CHECKS, *CALIBRATION_CHECKS, *PICTURE_CHECKS, *LIDAR_CHECKS)
    assert len(made) >= len(checks)
    page = (Path(vista_sim.__file__).parent / "traces" / "README.md").read_text()
    rows = re.findall(
        r"^\| (`[a-z-]+`(?:, `[a-z-]+`)*) \| (refuse|cut|warn) \|", page, re.MULTILINE
    )
    told = {(name, level) for names, level in rows for name in re.findall("`(.+?)`", names)}
    assert made <= told


def test_noise_of_a_receiver_is_no_jump():
    rng = np.random.default_rng(3)
    for deviation in (0.05, 0.3, 1.0, 2.0):
        columns = shaken(follow(8.0, 0.01, rate=10.0), deviation, seed=int(rng.integers(99)))
        assert [x for x in found(columns) if x.level != "warn"] == []


@pytest.mark.parametrize("seconds", [4.0, 30.0])
@pytest.mark.parametrize("rate", [1.0, 10.0, 50.0])
def test_a_jump_to_the_side_makes_no_headings_wrong(rate, seconds):
    columns = follow(10.0, 0.0, rate=rate, seconds=seconds)
    half = len(columns["t_ns"]) // 2
    for jump in (12.0, 30.0):
        names = [name for name, _ in named(moved(columns, slice(half, None), (0, jump, 0)))]
        assert "heading" not in names


def test_what_is_logged_says_its_level_once(tmp_path, caplog):
    columns = moved(follow(**STRAIGHT, seconds=10.0), slice(50, None), (0, 5, 0))
    write(tmp_path / "drive", columns)
    (line,) = caplog.messages
    assert line.startswith(f"{tmp_path / 'drive' / 'ego.parquet'}: positions jump by")
    assert "no section spans these places" in line


NO_SECTION = {
    "slow": (lambda: follow(2.0, 0.0), "none, 30.00 s slower than 2.5 m/s (0.0 s"),
    "reverse": (lambda: follow(-5.0, 0.0), "none, 30.00 s in reverse (0.0 s"),
    "short": (
        lambda: follow(5.0, 0.0, seconds=0.3),
        "none, 0.30 s between those, under 0.5 s or 2 m at a time (0.0 s",
    ),
    "both": (
        lambda: follow(ramp((0, -4), (10, -4), (12, 0), (20, 0)), 0.0, seconds=20.0),
        r"none, 8.* s slower than 2.5 m/s, 11.* s in reverse (0.0 s",
    ),
}


@pytest.mark.parametrize("case", NO_SECTION)
def test_info_says_why_nothing_can_be_driven(tmp_path, capsys, monkeypatch, case):
    monkeypatch.setenv("COLUMNS", "200")
    columns, said = NO_SECTION[case]
    folder = write(tmp_path / "drive", columns(), picture=None)
    run("info", folder)
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "sections" in line]
    assert re.search(re.escape(said).replace(r"\.\*", ".*"), row), row
