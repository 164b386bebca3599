"""Logs that contradict themselves are refused, and noise is no contradiction."""

from pathlib import Path

import numpy as np
import pytest

from vista_sim.errors import TraceError
from vista_sim.traces.importers.log_check import check_fit, checked_path
from vista_sim.traces.importers.log_path import LogPath
from vista_sim.traces.importers.logs.csv_log import read_csv
from vista_sim.traces.importers.logs.find import read_log

SAMPLES = Path(__file__).resolve().parents[2] / "shared" / "data" / "samples"


def drive(seconds=15.0, rate=5.0, speed=9.0, noise=0.0, seed=0):
    """Straight, a bend to the left of 0.15 rad/s for 5 s, straight: columns by their names."""
    fine = np.arange(0.0, seconds, 0.01)
    turning = np.where(np.mod(fine, 15.0) // 5 == 1, 0.15, 0.0)
    yaw = np.cumsum(turning) * 0.01
    t = np.arange(0.0, seconds, 1 / rate)
    rng = np.random.default_rng(seed)
    values = {
        "x": np.cumsum(np.cos(yaw)) * speed * 0.01,
        "y": np.cumsum(np.sin(yaw)) * speed * 0.01,
        "yaw": yaw,
        "rate": turning,
    }
    at = {name: np.interp(t, fine, value) for name, value in values.items()}
    for name in "xy":
        at[name] = at[name] + rng.normal(0, noise, len(t))
    return {"time": t, "speed": np.full(len(t), speed), **at}


def path_of(tmp_path, columns, says="", arm=(0.0, 0.0)):
    lines = [
        ",".join(columns),
        *(",".join(map(repr, map(float, r))) for r in zip(*columns.values(), strict=True)),
    ]
    (tmp_path / "log.csv").write_text("\n".join(lines) + "\n")
    return LogPath.of(read_csv(tmp_path / "log.csv", says), arm)


def case(name, noise=0.0, seconds=15.0, rate=5.0, seed=0):
    d = drive(seconds, rate, noise=noise, seed=seed)
    place = {name: d[name] for name in ("time", "x", "y")}
    jump = 300.0 * (d["time"] > 7.0)
    return {
        "km/h": {**place, "speed": 3.6 * d["speed"]},
        "knots": {**place, "speed": d["speed"] * 3600 / 1852},
        "mph": {**place, "speed": d["speed"] / 0.44704},
        "none": {**place, "speed": 0 * d["speed"]},
        "m/s": {**place, "speed_kmh": d["speed"]},
        "rad": {**place, "heading": d["yaw"]},
        "from x": {**place, "heading": np.degrees(d["yaw"])},
        "from north": {**place, "yaw_deg": 90 - np.degrees(d["yaw"])},
        "turned": {**place, "heading": -np.degrees(d["yaw"]) - 30},
        "deg/s": {**place, "yaw_rate_rad_s": np.degrees(d["rate"])},
        "rad/s": {**place, "yaw_rate_deg_s": d["rate"]},
        "right": {**place, "yaw_rate_rad_s": -d["rate"]},
        "cm": {"time": d["time"], "x": 100 * d["x"], "y": 100 * d["y"]},
        "jump": {**place, "x": d["x"] + jump},
        "sound": {
            **place,
            "speed_kmh": 3.6 * d["speed"],
            "heading": np.mod(90 - np.degrees(d["yaw"]), 360),
            "yaw_rate_deg_s": np.degrees(d["rate"]),
        },
    }[name]


WRONG = {
    "km/h": r"column 'speed', read as speed in m/s, adds up to 3\.6\d* times .* speed=speed:km/h",
    "knots": r"adds up to 1\.9\d times .* speed=speed:knots",
    "mph": r"adds up to 2\.2\d times .* speed=speed:mph",
    "none": r"adds up to 0 times .* speed=speed:UNIT\), or remove it",
    "m/s": r"column 'speed_kmh', read as speed in kmh, adds up to 0\.2\d* times .*=speed_kmh:m/s",
    "rad": r"column 'heading', read as heading in deg, is \d+ degrees off .* yaw=heading:rad",
    "from x": r"degrees off the way of the positions: it may be from x in deg; .* yaw=heading:deg",
    "from north": r"it may be from north in deg; --columns heading=yaw_deg:deg",
    "turned": r"is turned 120 degrees to the left of the way",
    "deg/s": r"as yaw_rate in rad_s, is 6\d[.0-9]* times what .* yaw_rate=yaw_rate_rad_s:deg/s",
    "rad/s": r"is 0\.02\d+ times what .* yaw_rate=yaw_rate_deg_s:rad/s",
    "right": r"it must be positive to the left; negate it",
    "cm": r"positions in m \(column 'x'\) move at 900 m/s; .*x=COLUMN:cm",
    "jump": r"\d\d of 75 positions are out .*: 7\.2 s after the first row they jump by 30\d m",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_log_that_contradicts_itself_is_refused_with_its_remedy(tmp_path, name):
    with pytest.raises(TraceError, match=WRONG[name]) as caught:
        checked_path(path_of(tmp_path, case(name)))
    assert "\n" not in str(caught.value)
    assert "log.csv: " in str(caught.value)


@pytest.mark.parametrize("name", ["km/h", "rad", "right", "from x"])
def test_it_is_also_where_positions_are_noisy(tmp_path, name):
    with pytest.raises(TraceError, match=WRONG[name].split(".*")[-1]):
        checked_path(path_of(tmp_path, case(name, noise=2.0, seconds=90.0, rate=1.0)))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("km/h", "speed=speed:km/h"),
        ("m/s", "speed=speed_kmh:m/s"),
        ("rad", "yaw=heading:rad"),
        ("from x", "yaw=heading:deg"),
        ("from north", "heading=yaw_deg:deg"),
        ("deg/s", "yaw_rate=yaw_rate_rad_s:deg/s"),
        ("cm", "x=x:cm,y=y:cm,time=time:s"),
    ],
)
def test_what_is_proposed_helps(tmp_path, name, says):
    path = path_of(tmp_path, case(name), says)
    assert checked_path(path) is path


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("noise", [0.0, 2.0, 5.0])
def test_noise_is_no_contradiction(tmp_path, noise, seed):
    path = path_of(tmp_path, case("sound", noise, 60.0, 1.0, seed))
    assert checked_path(path) is path
    check_fit(path, path.motion(0.0, 59.0))


def test_a_jump_that_lasts_is_refused_however_long_the_log_is(tmp_path):
    d = drive(120.0)
    d["x"] = d["x"] + 300.0 * (d["time"] > 60.0)
    with pytest.raises(TraceError, match=r"60\.2 s after the first row they jump by (298|30\d) m"):
        checked_path(path_of(tmp_path, {name: d[name] for name in ("time", "x", "y")}))


def test_positions_that_are_off_and_come_back_are_left_to_the_fit(tmp_path):
    d = drive(60.0)
    d["x"] = d["x"] + 300.0 * ((d["time"] > 30.0) & (d["time"] < 36.0)) + 500 * (d["time"] < 1)
    path = path_of(tmp_path, {name: d[name] for name in ("time", "x", "y")})
    assert checked_path(path) is path
    planar = path.motion(0.0, 59.8)
    assert 25 <= planar.outliers.sum() <= 40
    check_fit(path, planar)


def test_noise_ten_times_a_second_is_no_speed(tmp_path):
    path = path_of(tmp_path, case("sound", 5.0, 60.0, 10.0))
    assert checked_path(path) is path


def test_where_no_column_can_be_named_what_contradicts_is_left_out(tmp_path, caplog):
    path = path_of(tmp_path, case("right"))
    object.__setattr__(path.log, "titles", {})
    assert len(checked_path(path).yaw_rate) == 0
    assert "its yaw rate is -1" in caplog.text
    assert "it is not used" in caplog.text


def test_a_motion_that_passes_by_the_positions_is_refused(tmp_path):
    """As one column makes it that the comparison did not see."""
    path = path_of(tmp_path, case("km/h"))
    with pytest.raises(TraceError, match=r"positions.*are its columns right \(speed\)\?"):
        check_fit(path, path.motion(0.0, 14.8))


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the samples are not here")
@pytest.mark.parametrize("name", ["gpx/sf_30km_h.gpx", "gopro/max-heromode.mp4"])
def test_recorded_logs_agree_with_themselves(name, caplog):
    path = LogPath.of(read_log(SAMPLES / name), (1.6, 0.0))
    assert checked_path(path) is path
    last = float((path.log.t_ns[-1] - path.log.t_ns[0]) * 1e-9)
    check_fit(path, path.motion(0.0, last))
    assert caplog.text == ""
