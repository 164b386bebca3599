"""Videos with a position log: a drive of the proving ground filmed again, and a recorded GoPro."""

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from test_video_file import write_video

import vista_sim
from vista_sim.cli import main
from vista_sim.errors import TraceError
from vista_sim.traces.geodesy import geodetic_of_local
from vista_sim.traces.importers.registry import detected
from vista_sim.traces.importers.selection import Selection
from vista_sim.traces.importers.video_options import VideoOptions, given_lens
from vista_sim.traces.importers.write import import_recording
from vista_sim.traces.known import ASSUMED, ESTIMATED, GIVEN
from vista_sim.traces.trace import Trace
from vista_sim.traces.video import VideoWriter

GOPRO = Path(__file__).resolve().parents[2] / "shared" / "data" / "samples" / "gopro"
BEGIN, END = 16.0, 40.0  # s of the drive that are filmed
CLOCK = datetime(2025, 3, 14, 7, tzinfo=UTC)  # UTC at second 0 of the drive
LATITUDE, LONGITUDE = 48.0, 11.0
ANTENNA = 1.6
LOG_FROM = 12.0  # s of the drive at the first row of the log


def run(*arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return stop.value.code or 0


def film(path, trace, until=END):
    camera = trace.cameras["front"]
    rows = np.flatnonzero((camera.t >= BEGIN) & (camera.t <= until))
    with VideoWriter(path, camera.calibration.lens.size, 10.0, key_every=20) as video:
        for row in rows:
            video.write(camera.frame(int(row)))
    return path


def receiver(trace, seed=3):
    """Fixes once a second, 1.5 m off, four of them far off: time, place, speed, course."""
    ego, rng = trace.ego, np.random.default_rng(seed)
    t = np.arange(LOG_FROM, END + 4.0, 1.0)
    yaw, speed = np.interp(t, ego.t, ego.yaw), np.interp(t, ego.t, ego.speed)
    place = np.stack([np.interp(t, ego.t, ego.position[:, k]) for k in range(3)], axis=1)
    place[:, 0] += ANTENNA * np.cos(yaw)
    place[:, 1] += ANTENNA * np.sin(yaw)
    place[:, :2] += rng.normal(0, 1.5, (len(t), 2))
    bad = rng.choice(len(t), 4, replace=False)
    place[bad, :2] += rng.choice([-1, 1], (4, 2)) * rng.uniform(25, 50, (4, 2))
    degrees = geodetic_of_local(place, LATITUDE, LONGITUDE, 500.0)
    noise = rng.normal(0, 1, (2, len(t)))
    return t, *degrees, speed + 0.15 * noise[0], yaw + 0.02 * noise[1]


def sentence(body):
    check = 0
    for letter in body:
        check ^= ord(letter)
    return f"${body}*{check:02X}"


def minutes(value, width):
    whole = int(value)
    return f"{whole:0{width}d}{60 * (value - whole):08.5f}"


def write_nmea(path, trace):
    lines = []
    for t, latitude, longitude, altitude, speed, yaw in zip(*receiver(trace), strict=True):
        when = CLOCK + timedelta(seconds=float(t))
        clock = f"{when:%H%M%S}.{when.microsecond // 10000:02d}"
        place = f"{minutes(latitude, 2)},N,{minutes(longitude, 3)},E"
        course = math.degrees(math.pi / 2 - yaw) % 360
        knots = speed / 0.514444
        lines.append(sentence(f"GPGGA,{clock},{place},1,09,0.9,{altitude:.1f},M,46,M,,"))
        lines.append(
            sentence(f"GPRMC,{clock},A,{place},{knots:.2f},{course:.2f},{when:%d%m%y},,,A")
        )
    path.write_text("\r\n".join(lines))
    return path


def write_csv(path, trace, columns=("x", "y"), until=END):
    """The rear axle's poses ten a second, on a clock that begins with the video."""
    ego = trace.ego
    t = np.arange(BEGIN, until + 1.0, 0.1)
    values = {
        "x": np.interp(t, ego.t, ego.position[:, 0]),
        "y": np.interp(t, ego.t, ego.position[:, 1]),
        "speed_kmh": 3.6 * np.interp(t, ego.t, ego.speed),
        "yaw_rate_deg_s": np.degrees(np.interp(t, ego.t, ego.yaw_rate)),
    }
    rows = [",".join(f"{values[c][k]:.6f}" for c in columns) for k in range(len(t))]
    lines = [f"{t[k] - BEGIN:.3f},{row}" for k, row in enumerate(rows)]
    path.write_text("\n".join([",".join(["t_s", *columns]), *lines]) + "\n")
    return path


@pytest.fixture(scope="module")
def drive():
    return Trace.open(vista_sim.sample_trace())


@pytest.fixture(scope="module")
def place(tmp_path_factory, drive):
    folder = tmp_path_factory.mktemp("video")
    film(folder / "drive.mp4", drive)
    film(folder / "short.mp4", drive, BEGIN + 4.0)
    write_nmea(folder / "drive.nmea", drive)
    return folder


def errors(drive, trace, from_second):
    """Of the motion against the drive's, both brought onto each other: m and rad."""
    t = trace.ego.t + from_second
    true = np.stack([np.interp(t, drive.ego.t, drive.ego.position[:, k]) for k in range(2)], 1)
    found = trace.ego.position[:, :2]
    a, b = found - found.mean(axis=0), true - true.mean(axis=0)
    u, _, v = np.linalg.svd(a.T @ b)
    turn = (u @ v).T
    off = np.linalg.norm(a @ turn.T - b, axis=1)
    yaw = trace.ego.yaw + math.atan2(turn[1, 0], turn[0, 0])
    return off, np.angle(np.exp(1j * (yaw - np.interp(t, drive.ego.t, drive.ego.yaw))))


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


@pytest.fixture(scope="module")
def imported(place, tmp_path_factory, request):
    """The video with the log beside it: neither lens nor time offset is told."""
    made = tmp_path_factory.mktemp("made") / "trace"
    return Trace.open(import_recording(place / "drive.mp4", made))


def test_the_log_beside_a_video_makes_a_path_of_it(drive, imported):
    second = (imported.start_ns - CLOCK.timestamp() * 1e9) * 1e-9
    off, yaw = errors(drive, imported, second)
    assert rms(off) < 1.0  # a fix is 2.1 m off, and four are 25 m and more
    assert np.degrees(rms(yaw)) < 1.0
    assert imported.findings == ()
    std = imported.ego.optional["position_std"]
    assert 0.4 < rms(off) / (math.sqrt(2) * rms(std)) < 2.5
    assert "heading_std" in imported.ego.optional
    assert imported.source == "drive.mp4, motion by drive.nmea"


def test_the_time_offset_is_found_from_bends(imported):
    """The video has no clock at all; its first frame is that of second 16 of the drive."""
    first = imported.start_ns * 1e-9 + imported.cameras["front"].t[0] - CLOCK.timestamp()
    assert first == pytest.approx(BEGIN, abs=0.1)
    assert imported.cameras["front"].frame_count == 241


def test_the_field_of_view_is_found_from_bends(drive, imported):
    camera = imported.cameras["front"].calibration
    true = drive.cameras["front"].calibration
    assert camera.lens.fx == pytest.approx(true.lens.fx, rel=0.05)
    assert imported.known["front"]["lens"] == ESTIMATED


def test_the_mount_is_found_from_straight_roads(drive, imported):
    camera = imported.cameras["front"].calibration.T_vehicle_camera
    true = drive.cameras["front"].calibration.T_vehicle_camera
    ahead = math.degrees(math.acos(float(camera[:3, 2] @ true[:3, 2])))
    assert ahead < 0.5
    known = imported.known["front"]
    assert (known["pitch"], known["mount_yaw"], known["mount"]) == (ESTIMATED, ESTIMATED, ASSUMED)


def test_the_origin_is_where_the_rear_axle_begins(drive, imported):
    second = (imported.start_ns - CLOCK.timestamp() * 1e9) * 1e-9
    there = [np.interp(second, drive.ego.t, drive.ego.position[:, k]) for k in range(3)]
    latitude, longitude, _ = geodetic_of_local(np.array(there), LATITUDE, LONGITUDE, 500.0)
    origin = imported.origin
    assert 111_200 * abs(origin.latitude - latitude) < 2.5
    assert 74_500 * abs(origin.longitude - longitude) < 2.5
    yaw = np.interp(second, drive.ego.t, drive.ego.yaw)
    assert math.remainder(origin.heading - yaw, 2 * math.pi) == pytest.approx(0, abs=0.03)


def test_a_csv_of_poses_is_taken_as_it_is(drive, place, tmp_path, capsys):
    log = write_csv(tmp_path / "poses.csv", drive, until=BEGIN + 4.0)
    options = ["--log", log, "--fov", "75", "--time-offset", "0", "--pitch", "4"]
    options += ["--antenna-x", "0", "--height", "1.35", "--mount-yaw", "0"]
    assert run("import", "video", place / "short.mp4", tmp_path / "t", *options) == 0
    trace = Trace.open(tmp_path / "t")
    off, yaw = errors(drive, trace, BEGIN + trace.start_ns * 1e-9)
    assert off.max() < 0.1
    assert np.degrees(np.abs(yaw).max()) < 0.5
    assert trace.origin is None
    known = dict(trace.known["front"])
    assert set(known.values()) == {GIVEN}
    assert trace.cameras["front"].calibration.T_vehicle_camera[2, 3] == pytest.approx(1.35)
    assert trace.cameras["front"].frame_count == 41


def test_what_is_found_out_is_said(drive, place, tmp_path, caplog):
    log = write_csv(tmp_path / "poses.csv", drive, ("speed_kmh", "yaw_rate_deg_s"), BEGIN + 4.0)
    options = ["--log", log, "--end", "1"]
    assert run("import", "video", place / "short.mp4", tmp_path / "t", *options) == 0
    said = caplog.text
    assert "position log" in said
    assert "poses.csv (given), 50 rows" in said
    # Four seconds are too few to tell.
    assert "time offset to the log cannot be told from bends" in said
    assert "assumed, counted from where the log's time zero is taken as the first frame" in said
    assert "field of view is 65.0 degrees (assumed)" in said
    assert "1.40 m above the road (assumed)" in said


def test_speed_and_yaw_rate_alone_are_added_up(drive, place, tmp_path):
    log = write_csv(tmp_path / "poses.csv", drive, ("speed_kmh", "yaw_rate_deg_s"), BEGIN + 4.0)
    steps = []
    made = import_recording(
        place / "short.mp4",
        tmp_path / "t",
        progress=lambda done, total, what="": steps.append((what, done, total)),
        log=str(log),
        time_offset=0.0,
    )
    assert [s[1:] for s in steps if s[0] == "pictures seen"] == [(k, 41) for k in range(1, 42)]
    off, yaw = errors(drive, Trace.open(made), BEGIN)
    assert off.max() < 0.3
    assert np.degrees(np.abs(yaw).max()) < 1.0


def test_the_offset_that_is_given_moves_the_video(drive, place, tmp_path, caplog):
    """Positive: the video is late, so its first frame belongs to an earlier row."""
    log = write_csv(tmp_path / "poses.csv", drive, until=BEGIN + 4.0)
    options = {"log": str(log), "fov": math.radians(75)}
    made = import_recording(place / "short.mp4", tmp_path / "t", time_offset=1.0, **options)
    trace = Trace.open(made)
    # The first second of the video is before the log, which is more than a few frames.
    record = next(r for r in caplog.records if "frames left out" in r.message)
    assert record.levelname == "WARNING"
    assert (
        "10 before the first position and 0 after the last one, of 41; is the log of"
        in record.message
    )
    assert trace.cameras["front"].frame_count == 31
    assert trace.cameras["front"].t[0] == pytest.approx(0, abs=1e-6)


def test_a_video_is_known_by_its_name(place):
    guess = detected(place / "drive.mp4")
    assert (guess.importer.name, guess.why) == ("video", "it is named as a video, .mp4")


WRONG = {
    "no log": ({}, r"short\.mp4: has no position log, neither in it \(GoPro\) nor beside it"),
    "both": ({"fov": 1.0, "camera_matrix": "1,1,1,1"}, r"fov and camera_matrix are both given"),
    "three": ({"camera_matrix": "1,2,3"}, r"camera_matrix is '1,2,3'; it must be 4 numbers"),
    "another size": ({"camera_matrix": "900,900,960,540"}, r"must lie in the video of 320 x 200"),
    "nan": ({"camera_matrix": "nan,1,1,1"}, r"camera_matrix is 'nan,1,1,1'; it must be 4 numbers"),
    "distortion": ({"distortion": "0.1"}, r"distortion is '0\.1'; it must be 5 or 4 numbers"),
    "absurd": (
        {"fov": 1.0, "distortion": "9,9,9,9"},
        r"distortion is '9,9,9,9'; it puts the right edge of the picture \S+ times as far out",
    ),
    "folded": (
        {"camera_matrix": "200,200,160,100", "distortion": "-2,0,0,0,0"},
        r"distortion is '-2,0,0,0,0'; it leaves \d+ % of the pixels without a ray",
    ),
    "no focal": ({"camera_matrix": "0,1,160,100"}, r"camera_matrix is .* FX, FY must be positive"),
    "of no CSV": ({"log": "a.gpx", "columns": "speed=v"}, r"columns is 'speed=v'; a\.gpx has none"),
    "alone": ({"distortion": "0,0,0,0"}, r"distortion is given without a camera_matrix or a fov"),
    "missing": ({"log": "nowhere.gpx"}, r"nowhere\.gpx: not found"),
    "angle": ({"fov": 9.0}, r"fov is 515\.6\d*; it must be from 5 to 170"),
    "odometry": ({"odometry": "magic"}, r"odometry is 'magic'; it must be log or visual"),
    "another drive": (
        {"log": "far.csv", "time_offset": -500.0},
        r"0 positions are of the time of the video; is it another drive, or the clock",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_options_are_refused_in_one_line_and_leave_nothing(
    drive, place, tmp_path, case, monkeypatch
):
    given, message = WRONG[case]
    monkeypatch.chdir(tmp_path)
    if given.get("log") == "far.csv":
        write_csv(tmp_path / "far.csv", drive, until=BEGIN + 4.0)
    else:
        write_csv(tmp_path / "log.csv", drive, until=BEGIN + 4.0)
        given = {"log": "log.csv"} | given if case != "no log" else given
    before = sorted(tmp_path.iterdir())
    with pytest.raises(TraceError, match=message) as caught:
        import_recording(place / "short.mp4", tmp_path / "t", "video", **given)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


def test_a_field_of_view_is_that_through_the_distortion():
    for fov, text in ((75.0, "-0.2,0.03,0,0,0"), (140.0, "0.02,-0.01,0,0")):
        options = VideoOptions(fov=math.radians(fov), distortion=text)
        lens = given_lens(options, (1080, 1920))
        left, right = lens.unproject(np.array([[-0.5, lens.cy], [1919.5, lens.cy]]))
        cosine = left @ right / np.linalg.norm(left) / np.linalg.norm(right)
        assert math.degrees(math.acos(cosine)) == pytest.approx(fov, abs=0.2)


def test_a_wrong_option_is_named_as_on_the_command_line(place, tmp_path, capsys):
    options = ["--camera-matrix", "1,2"]
    log = ["--log", place / "drive.nmea"]
    assert run("import", "video", place / "short.mp4", tmp_path / "t", *log, *options) == 2
    assert "--camera-matrix is '1,2'; it must be 4 numbers" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_breaks_off_leaves_nothing(drive, tmp_path):
    path = write_video(
        tmp_path / "a.mp4", tuple(k / 10 for k in range(41)), container={"movflags": "faststart"}
    )
    log = write_csv(tmp_path / "log.csv", drive, until=BEGIN + 4.0)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])
    with pytest.raises(TraceError, match=r"a\.mp4: is cut off"):
        import_recording(path, tmp_path / "t", log=str(log), time_offset=0.0, fov=1.0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "log.csv"]


@pytest.mark.skipif(not GOPRO.is_dir(), reason="the samples are not here")
def test_a_recorded_gopro_is_refused_for_its_stabilization_or_taken_as_it_is(tmp_path, caplog):
    path = GOPRO / "max-heromode.mp4"
    with pytest.raises(TraceError, match=r"was stabilized electronically.*--stabilized accept"):
        import_recording(path, tmp_path / "t")
    selection = Selection(end=2.0, rate=10.0)
    made = import_recording(path, tmp_path / "t", stabilized="accept", selection=selection)
    assert "was stabilized electronically" in caplog.text
    trace = Trace.open(made)
    # A pavement along a house in Carlsbad, at a walk.
    assert trace.ego.speed.mean() == pytest.approx(1.2, abs=0.15)
    assert trace.origin.latitude == pytest.approx(33.12678, abs=2e-5)
    assert trace.origin.longitude == pytest.approx(-117.32735, abs=2e-5)
    camera = trace.cameras["front"]
    assert (camera.frame_count, camera.calibration.lens.model) == (20, "fisheye")
    assert dict(trace.known["front"])["lens"] == "recorded"
