"""`vista-sim check`: what is wrong with a drive is found by its frames, and mended."""

import dataclasses
import json
import math

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from textured import STREET, write_drive
from typer.testing import CliRunner

from vista_sim.checking.amended import Amendment, write_amended
from vista_sim.checking.check import check
from vista_sim.checking.drawing import Overlay
from vista_sim.checking.estimate import Estimate, median, of_groups
from vista_sim.checking.frozen import look_for_stills
from vista_sim.checking.mending import amendment_of
from vista_sim.checking.moments import find_moments
from vista_sim.checking.pairs import PairReader, choose
from vista_sim.checking.steps import position_steps
from vista_sim.cli import build_app
from vista_sim.errors import TraceError
from vista_sim.traces.calibration import Lens
from vista_sim.traces.trace import Trace
from vista_sim.traces.video import VideoWriter
from vista_sim.transforms import camera_mount, inverse, planar_pose

FRAMES, SPEED = 46, 8.0
LENS = Lens.from_fov((120, 200), 1.3)
PLACE, PITCH = (1.5, 0.0, 1.4), 0.06
MOUNT = camera_mount(*PLACE, pitch=PITCH)


def slalom(t, swing=0.25, period=2.4):
    """T_world_vehicle (n, 4, 4) at times t (s): to and fro between two rows of houses.

    The speed changes a little, as that of every car does.
    """
    fine = np.arange(-1.0, 8.0, 0.002)
    yaw = swing * np.sin(2 * np.pi * fine / period + 0.3 * np.sin(fine))
    speed = SPEED * (1 + 0.08 * np.sin(1.3 * fine))
    x, y = (np.cumsum(speed * f(yaw)) * 0.002 for f in (np.cos, np.sin))
    columns = [np.interp(t, fine, v) for v in (x - x[500], y - y[500], yaw)]
    return np.array([planar_pose(*row) for row in zip(*columns, strict=True)])


T = np.arange(FRAMES) / 10


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A drive in which nothing is wrong."""
    folder = tmp_path_factory.mktemp("check") / "good"
    write_drive(folder, STREET, slalom(T), lens=LENS, mount=MOUNT)
    return folder


def copied(source, folder, calibration=None, **tables):
    """A copy of a trace with other values: functions of columns by table, and of trace.json."""
    folder.mkdir()
    for file in source.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    for name, changes in tables.items():
        table = pq.read_table(folder / f"{name}.parquet")
        for column, change in changes.items():
            values = pa.array(change(table[column].to_numpy()))
            table = table.set_column(table.column_names.index(column), column, values)
        pq.write_table(table, folder / f"{name}.parquet")
    values = json.loads((folder / "trace.json").read_text())
    values["sensors"]["front"] |= calibration or {}
    (folder / "trace.json").write_text(json.dumps(values))
    return folder


@pytest.fixture(scope="module")
def damaged(good, tmp_path_factory):
    """The same with a video that is 0.3 s late, and a mount that is too high and looks too low."""
    wrong = camera_mount(PLACE[0], PLACE[1], PLACE[2] + 0.3, pitch=PITCH + math.radians(2))
    return copied(
        good,
        tmp_path_factory.mktemp("check") / "damaged",
        {"T_vehicle_camera": wrong.tolist()},
        front={"t_ns": lambda t_ns: t_ns + 300_000_000},
    )


@pytest.fixture(scope="module")
def report(damaged):
    return check(Trace.open(damaged))


def told(report, name):
    """A measure's value and sigma in the units that people read."""
    measure = report.measures[name]
    assert measure.estimate.told, measure.line
    return measure.shown(measure.estimate.value), measure.shown(measure.estimate.sigma)


def names(report):
    return {finding.name for finding in report.findings} - {"yaw-rate"}  # which is written as 0


def test_a_good_drive_is_silent_and_says_what_it_measured(good):
    report = check(Trace.open(good))
    assert names(report) == set()
    assert report.mirrored is False
    for name, most in (("video-late", 0.03), ("camera-height", 0.05), ("camera-pitch", 0.4)):
        assert abs(told(report, name)[0]) < most
    assert abs(told(report, "focal-length")[0]) < 1.5
    assert not report.measures["heading-off"].estimate.told  # nowhere does it drive straight on


def test_damages_are_found_within_a_tenth(report):
    assert {"video-late", "camera-height", "camera-pitch"} <= names(report)
    assert told(report, "video-late")[0] == pytest.approx(0.3, abs=0.03)
    assert told(report, "camera-height")[0] == pytest.approx(0.3, abs=0.03)
    assert told(report, "camera-pitch")[0] == pytest.approx(-2.0, abs=0.2)


def test_findings_say_the_value_that_is_right(report):
    remedies = {finding.name: finding.remedy for finding in report.findings}
    height = float(remedies["camera-height"].split("height: ")[1].split(" m")[0])
    assert height == pytest.approx(1.4, abs=0.03)
    pitch = float(remedies["camera-pitch"].split("pitch: ")[1].split(" degrees")[0])
    assert pitch == pytest.approx(math.degrees(PITCH), abs=0.2)
    late = float(remedies["video-late"].split(" s taken")[0].split()[-1])
    assert late == pytest.approx(0.3, abs=0.03)


def test_a_mended_drive_is_as_it_was_recorded(report, damaged, good, tmp_path):
    trace, before = Trace.open(damaged), Trace.open(good)
    fixed = write_amended(trace, tmp_path / "fixed", "front", amendment_of(trace, report))
    mended = Trace.open(fixed)
    assert (fixed / "front.mp4").read_bytes() == (damaged / "front.mp4").read_bytes()
    assert mended.known["front"] == {"mount": "estimated", "time": "estimated"}
    late = [pq.read_table(f / "front.parquet")["t_ns"].to_numpy() for f in (fixed, good)]
    assert np.abs(late[0] - late[1]).max() < 0.03e9
    # Where the camera is in the world, which the frames show, is where it truly was.
    for t in (1.0, 3.0):
        pose, true = (
            x.pose(t) @ x.cameras["front"].calibration.T_vehicle_camera for x in (mended, before)
        )
        off = inverse(true) @ pose
        assert np.degrees(np.linalg.norm(cv2.Rodrigues(off[:3, :3])[0])) < 0.5
        assert abs(off[1, 3]) < 0.05


def test_mirrored_axes_are_found(good, tmp_path):
    signs = dict.fromkeys(("y", "qx", "qz", "yaw_rate"), np.negative)
    trace = Trace.open(copied(good, tmp_path / "mirrored", ego=signs))
    report = check(trace)
    assert "mirrored" in names(report)
    assert "video-late" not in names(report)
    fixed = write_amended(trace, tmp_path / "fixed", "front", amendment_of(trace, report))
    true = Trace.open(good)
    for t in (0.7, 2.3):
        off = inverse(true.pose(t)) @ Trace.open(fixed).pose(t)
        assert np.abs(off - np.eye(4)).max() < 0.02


def test_a_wrong_focal_length_is_found_in_bends(good, tmp_path):
    trace = Trace.open(good)
    long = write_amended(trace, tmp_path / "long", "front", Amendment(focal=1.05))
    report = check(Trace.open(long))
    assert "focal-length" in names(report)
    value, sigma = told(report, "focal-length")
    assert value == pytest.approx(5.0, abs=1.5)
    assert sigma < 1.5


def test_a_straight_drive_cannot_tell_and_says_so(tmp_path):
    t = T[:30]
    way = np.array([planar_pose(SPEED * s, 0.0, 0.0) for s in t])
    write_drive(tmp_path / "d", STREET, way, t=t, lens=LENS, mount=MOUNT)
    report = check(Trace.open(tmp_path / "d"))
    assert names(report) == set()
    assert report.mirrored is None
    assert not report.measures["focal-length"].estimate.told
    assert not report.measures["video-late"].estimate.told
    assert sum("cannot tell" in line for line in report.untold) == len(report.untold) == 3


def test_frames_that_stand_while_the_car_drives_are_found(good, tmp_path):
    trace = Trace.open(good)
    camera = trace.cameras["front"]
    folder = copied(good, tmp_path / "d")
    with VideoWriter(folder / "front.mp4", camera.calibration.lens.size, 10.0) as video:
        for index, t in enumerate(T):
            video.write(camera.frame(20 if 2.0 < t < 3.0 else index))
    frozen = Trace.open(folder)
    reader = PairReader(frozen, frozen.cameras["front"])
    stills = look_for_stills(frozen, reader, [pair for pair, *_ in reader.read(reader.chosen)])
    ((start, end),) = stills.frozen
    assert (start, end) == (pytest.approx(2.0, abs=0.15), pytest.approx(2.9, abs=0.15))


def test_the_command_tells_by_its_exit_status(good, damaged, report, tmp_path, monkeypatch):
    monkeypatch.setattr("vista_sim.checking.check.check", lambda *_: report)
    run, sheet, fixed = CliRunner().invoke, tmp_path / "sheet.png", tmp_path / "fixed"
    arguments = ["check", str(damaged), "-o", str(sheet), "--fix", str(fixed)]
    result = run(build_app(), [*arguments, "--json"])
    assert result.exit_code == 1
    values = json.loads(result.stdout)
    assert values["measures"]["camera-height"]["wrong"]
    assert values["measures"]["camera-height"]["unit"] == "m"
    assert cv2.imread(str(sheet)).shape[1] > 1000
    assert Trace.open(fixed).known["front"]["mount"] == "estimated"
    again = run(build_app(), arguments)
    assert "is there already" in str(again.exception)
    silent = dataclasses.replace(report, findings=())
    monkeypatch.setattr("vista_sim.checking.check.check", lambda *_: silent)
    assert run(build_app(), ["check", str(good)]).exit_code == 0
    jpeg = run(build_app(), ["check", str(good), "-o", "x.jpg"])
    assert "must end in .png" in str(jpeg.exception)


@pytest.mark.parametrize("count", [1, 3])
def test_a_drive_of_a_few_frames_can_tell_nothing(count, tmp_path):
    write_drive(tmp_path / "d", STREET, slalom(T[:count]), lens=LENS.resized((60, 100)))
    report = check(Trace.open(tmp_path / "d"))
    assert names(report) == set()
    assert len(report.untold) == len(report.measures) + 1


def test_no_such_camera_is_named_with_those_that_there_are(good):
    with pytest.raises(TraceError, match="no camera 'rear'; cameras: front"):
        check(Trace.open(good), "rear")


def test_the_path_is_drawn_where_the_car_will_be(good):
    trace = Trace.open(good)
    lens = trace.cameras["front"].calibration.lens.resized((480, 800))
    picture = Overlay(trace, lens, MOUNT).draw(np.zeros((480, 800, 3), np.uint8), 1.0)
    camera = inverse(trace.pose(1.0) @ MOUNT)
    for later in (1.8, 2.2):
        point = camera @ trace.pose(later) @ [0, 0, 0, 1]
        u, v = lens.matrix[:2] @ (point[:3] / point[2])
        red, green, _ = picture[round(v), round(u)].astype(int)
        assert green > 60
        assert green > red
        beside = camera @ trace.pose(later) @ [0, 3.0, 0, 1]
        u, v = lens.matrix[:2] @ (beside[:3] / beside[2])
        assert picture[round(v), round(u), 1] < picture[round(v), round(u), 2] + 40
    # A horizon: as far above the middle as the camera looks down.
    row = round(lens.cy - lens.fy * math.tan(PITCH))
    assert (picture[row - 3 : row + 4, 400].max(axis=0) > [200, 200, 40]).all()


def test_moments_differ(good):
    trace = Trace.open(good)
    moments = find_moments(trace, trace.cameras["front"])
    kinds = {moment.kind: moment for moment in moments}
    assert {"left", "right", "fast", "slow"} <= set(kinds)
    yaw = np.interp([kinds["left"].t, kinds["left"].t + 0.1], trace.ego.t, trace.ego.yaw)
    assert yaw[1] > yaw[0]
    assert len({moment.frame for moment in moments}) == len(moments)


def test_pairs_of_a_long_drive_are_a_bounded_number_with_its_bends(good):
    trace = Trace.open(good)
    t = trace.cameras["front"].t
    everything, some = choose(trace, t), choose(trace, t, most=24)
    assert len(some) <= 24 < len(everything)
    assert (some[:, 1] > some[:, 0]).all()
    assert (t[everything[:, 1]] - t[everything[:, 0]]).min() > 0.09
    assert (np.diff(everything[:, 0]) > 0).all()


def test_deviations_are_those_that_repetitions_show():
    rng = np.random.default_rng(3)
    groups = np.arange(400) // 10
    found = [median(rng.normal(1.0, 2.0, 400), groups) for _ in range(60)]
    spread = np.std([estimate.value for estimate in found])
    assert np.mean([estimate.sigma for estimate in found]) == pytest.approx(spread, rel=0.3)
    whole, sigma = of_groups(400, groups, lambda kept: float(kept.mean()))
    assert (whole, sigma) == (1.0, 0.0)
    assert not Estimate(1.0, 0.5, 9).beyond(0.1)
    assert Estimate(-1.0, 0.3, 9).beyond(0.1)
    assert not Estimate(-1.0, 0.3, 9).beyond(1.5)


def test_a_step_of_the_positions_that_the_speed_denies_is_found(good, tmp_path):
    def stepped(y):
        return y + np.where(np.arange(len(y)) >= 30, 0.4, 0.0)

    steps = position_steps(Trace.open(copied(good, tmp_path / "d", ego={"y": stepped})))
    assert steps.largest == pytest.approx(0.4, abs=0.1)
    ((start, end),) = steps.spans
    assert start <= 2.95 <= end
    assert position_steps(Trace.open(good)) is None
