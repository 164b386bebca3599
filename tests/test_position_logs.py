"""Position logs: GPX, NMEA, CSV and GoPro tracks, recorded ones and such as are made here."""

import csv
import math
import re
import struct
from pathlib import Path

import numpy as np
import pytest

import vista_sim
from vista_sim.errors import TraceError
from vista_sim.traces.geodesy import local_of_geodetic
from vista_sim.traces.importers.logs.csv_log import FACTORS, _meant, read_csv
from vista_sim.traces.importers.logs.find import find_log, read_log
from vista_sim.traces.importers.logs.gpmf import (
    has_gpmf,
    parse_payloads,
    read_gpmf,
    read_settings,
)
from vista_sim.traces.importers.logs.gpx import read_gpx
from vista_sim.traces.importers.logs.klv import entries
from vista_sim.traces.importers.logs.nmea import read_nmea
from vista_sim.traces.importers.logs.position_log import Title

SAMPLES = Path(__file__).resolve().parents[2] / "shared" / "data" / "samples"
real = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the samples are not here")

# The example of the usual descriptions of the format, with its checksums.
RMC = "$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*6A"
GGA = "$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47"


def sentence(body):
    check = 0
    for letter in body:
        check ^= ord(letter)
    return f"${body}*{check:02X}"


def rmc(second, latitude="4807.038,N", longitude="01131.000,E", status="A", date="230394"):
    return sentence(
        f"GNRMC,1235{second:02d}.50,{status},{latitude},{longitude},10.0,90.0,{date},,,A"
    )


def write(path, text):
    path.write_text(text) if isinstance(text, str) else path.write_bytes(text)
    return path


# NMEA


def test_the_example_of_nmea_is_read_with_its_units(tmp_path):
    later = sentence("GPRMC,123520,A,4807.040,N,01131.000,W,022.4,084.4,230394,003.1,W")
    log = read_nmea(write(tmp_path / "a.nmea", "\r\n".join([RMC, GGA, later])))
    assert log.clock == "world"
    assert log.t_ns[0] == 764426119 * 10**9  # 1994-03-23 12:35:19 UTC
    assert log.latitude[0] == pytest.approx(48 + 7.038 / 60)
    assert log.longitude == pytest.approx([11 + 31 / 60, -(11 + 31 / 60)])
    assert log.speed[0] == pytest.approx(22.4 * 0.514444, rel=1e-5)
    assert math.degrees(log.course[0]) == pytest.approx(90 - 84.4)  # compass to east, left
    assert log.altitude[0] == 545.4
    assert math.isnan(log.altitude[1])
    assert log.accuracy[0] == pytest.approx(1.8)


def test_altitude_is_that_of_the_same_second_whichever_sentence_comes_first(tmp_path):
    first = [GGA, RMC, rmc(20)]
    log = read_nmea(write(tmp_path / "a.nmea", "\n".join(first)))
    assert log.altitude[0] == 545.4
    assert math.isnan(log.altitude[1])


def test_what_dash_cams_put_before_a_sentence_is_passed_over(tmp_path):
    lines = [f"[139558{k:07d}]{rmc(k)}" for k in range(10, 13)] + ["[1395581234567]$GPGSV,3,1*00"]
    log = read_nmea(write(tmp_path / "a.nmea", "\n".join(lines)))
    assert np.diff(log.t_ns).tolist() == [10**9] * 2
    assert log.t_ns[0] % 10**9 == 5 * 10**8


def test_a_damaged_sentence_is_left_out_and_so_is_one_without_a_fix(tmp_path):
    lines = [rmc(10), rmc(11).replace("4807", "4907"), rmc(12, status="V"), rmc(13)]
    log = read_nmea(write(tmp_path / "a.nmea", "\n".join(lines)))
    assert len(log.t_ns) == 2
    assert log.latitude == pytest.approx(48.1173, abs=1e-4)


def test_the_day_goes_on_after_midnight(tmp_path):
    lines = [
        sentence("GPRMC,235959,A,4807.038,N,01131.000,E,1,0,311225,,"),
        sentence("GPRMC,000000,A,4807.038,N,01131.000,E,1,0,010126,,"),
    ]
    log = read_nmea(write(tmp_path / "a.nmea", "\n".join(lines)))
    assert np.diff(log.t_ns).tolist() == [10**9]


# GPX


def gpx(points, head=""):
    return f'<?xml version="1.0"?>{head}<gpx xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>{points}</trkseg></trk></gpx>'


def point(second, more="", latitude="48.1"):
    return (
        f'<trkpt lat="{latitude}" lon="11.5"><ele>500.5</ele>'
        f"<time>2025-03-14T07:00:{second:02d}.250Z</time>{more}</trkpt>"
    )


def test_speed_and_course_of_gpx_are_found_in_extensions(tmp_path):
    more = (
        "<hdop>1.5</hdop><extensions><g:TrackPointExtension xmlns:g='urn:g'><g:speed>7.5</g:speed>"
        "<g:course>350</g:course></g:TrackPointExtension></extensions>"
    )
    log = read_gpx(write(tmp_path / "a.gpx", gpx(point(0, more) + point(1))))
    assert log.t_ns[0] == 1741935600250 * 10**6
    assert log.speed[0] == 7.5
    assert math.degrees(log.course[0]) == pytest.approx(100 - 360)
    assert math.isnan(log.speed[1])
    assert log.accuracy[0] == 3.0
    assert log.altitude.tolist() == [500.5, 500.5]


def test_a_point_that_is_written_twice_is_one(tmp_path):
    log = read_gpx(write(tmp_path / "a.gpx", gpx(point(0) + point(1) + point(1) + point(2))))
    assert len(log.t_ns) == 3


@real
def test_a_recorded_gpx_track_has_its_length():
    log = read_gpx(SAMPLES / "gpx" / "sf_30km_h.gpx")
    assert len(log.t_ns) == 49
    assert (log.t_ns[-1] - log.t_ns[0]) * 1e-9 == pytest.approx(93.6, abs=0.05)
    place = local_of_geodetic(log.latitude, log.longitude, log.altitude)
    way = np.linalg.norm(np.diff(place[:, :2], axis=0), axis=1).sum()
    assert way / 93.624 == pytest.approx(30 / 3.6, rel=0.002)  # it was drawn so


BILLION = (
    "<!DOCTYPE g [<!ENTITY a 'aaaaaaaaaa'>"
    + "".join(f"<!ENTITY {chr(98 + k)} '{('&' + chr(97 + k) + ';') * 10}'>" for k in range(9))
    + "]>"
)
WRONG_GPX = {
    "entities": (gpx("<name>&j;</name>", BILLION), "declares a document type"),
    "external": (
        gpx("", "<!DOCTYPE g [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"),
        "declares a document type",
    ),
    "cut off": (gpx(point(0))[:-40], "is no whole XML"),
    "empty": ("", "is no whole XML"),
    "no XML": ("hello", "is no whole XML"),
    "a waypoint": (gpx("<wpt lat='1' lon='2'/>"), "holds no track point"),
    "no time": (gpx("<trkpt lat='1' lon='2'/>" * 3), "point 0 has no time"),
    "no number": (gpx(point(0, latitude="48,1") + point(1)), r"point 0: lat is '48,1'"),
    "no place": (gpx(point(0, latitude="NaN") + point(1)), r"point 0: lat is 'NaN'"),
    "radians and more": (gpx(point(0, latitude="481") + point(1)), "latitude is 481"),
    "a local time": (gpx(point(0).replace("2025-03-14T", "14.3.2025 ")), "time is '14.3.2025"),
    "year 1": (gpx(point(0).replace("2025", "0001")), "time is '0001-03-14"),
    "one point": (gpx(point(0)), "1 rows hold a position; at least 2"),
    "deep": (gpx("<a>" * 100 + "</a>" * 100), "nested more than 64 deep"),
    "unknown encoding": ('<?xml version="1.0" encoding="x"?><gpx/>', "a.gpx: "),
}


@pytest.mark.parametrize("case", WRONG_GPX)
def test_a_wrong_gpx_is_refused_in_one_line(tmp_path, case):
    text, message = WRONG_GPX[case]
    with pytest.raises(TraceError, match=message) as caught:
        read_gpx(write(tmp_path / "a.gpx", text))
    assert "\n" not in str(caught.value)
    assert "a.gpx" in str(caught.value)


WRONG_NMEA = {
    "nothing": ("", "holds no position of an RMC"),
    "no fix": ("\n".join(rmc(k, status="V") for k in range(3)), r"\(3 sentences say that there is"),
    "no date": (GGA, "GGA alone has no date"),
    "damaged": ("\n".join(rmc(k)[:-2] + "00" for k in range(3)), "3 sentences are damaged"),
    "minutes": (sentence("GPRMC,123519,A,4867.038,N,01131.0,E,1,0,230394,,"), "damaged"),
    "date": (rmc(1, date="310299"), "damaged"),
    "clock": (
        rmc(1) + "\n" + sentence("GPGGA,1x,4807.038,N,01131.0,E,1,8,1,5,M,46,M,,") * 2,
        "2 sentences are damaged",
    ),
}


@pytest.mark.parametrize("case", WRONG_NMEA)
def test_a_wrong_nmea_is_refused_in_one_line(tmp_path, case):
    text, message = WRONG_NMEA[case]
    with pytest.raises(TraceError, match=message):
        read_nmea(write(tmp_path / "a.nmea", text))


# CSV


def test_columns_say_what_they_are_and_in_which_unit(tmp_path):
    text = "Time (ms),lat,lon,Speed (km/h),yaw_rate_deg_s,heading\n"
    text += "0,48.1,11.5,36,10,90\n500,48.1,11.5001,72,,0\n"
    log = read_csv(write(tmp_path / "a.csv", text))
    assert log.clock == "own"
    assert log.t_ns.tolist() == [0, 500_000_000]
    assert log.speed == pytest.approx([10, 20])
    assert log.yaw_rate[0] == pytest.approx(math.radians(10))
    assert math.isnan(log.yaw_rate[1])
    assert np.degrees(log.course) == pytest.approx([0, 90])


def test_options_say_it_where_the_header_does_not(tmp_path):
    text = "n;when;a;b;w\n1;1000;0;0;0.1\n2;1100;1;0;0.1\n3;1200;2;0;0.1\n"
    columns = "time=when:ms,x=a:m,y=b,yaw_rate=w:rad/s"
    log = read_csv(write(tmp_path / "a.csv", text), columns)
    assert log.t_ns.tolist() == [10**9, 11 * 10**8, 12 * 10**8]
    assert log.x.tolist() == [0, 1, 2]
    assert log.yaw_rate.tolist() == [0.1, 0.1, 0.1]


def test_nanoseconds_keep_their_digits_and_dates_are_utc(tmp_path):
    text = "t_ns,x,y\n1741935600123456789,0,0\n1741935601123456790,1,1\n"
    log = read_csv(write(tmp_path / "a.csv", text))
    assert log.t_ns.tolist() == [1741935600123456789, 1741935601123456790]
    assert log.clock == "world"
    text = "timestamp,x,y\n2025-03-14T07:00:00Z,0,0\n2025-03-14T09:00:01+02:00,1,1\n"
    assert np.diff(read_csv(write(tmp_path / "b.csv", text)).t_ns).tolist() == [10**9]


def test_a_speed_with_a_yaw_rate_is_enough(tmp_path):
    text = "t,v_ms,yaw_rate_rad_s\n" + "".join(f"{k / 10},5,0.1\n" for k in range(5))
    log = read_csv(write(tmp_path / "a.csv", text))
    assert log.speed.tolist() == [5] * 5
    with pytest.raises(TraceError, match="0 rows hold a position; at least 2 are needed, or a spe"):
        read_csv(write(tmp_path / "b.csv", "t,v_ms\n0,5\n1,5\n"))


ROWS = "0,1,1\n1,2,2\n"
WRONG_CSV = {
    "empty": ("", "holds 0 rows below a header"),
    "header alone": ("t,x,y\n", "holds 0 rows below a header"),
    "no time": ("a,x,y\n" + ROWS, "has no column of time; its columns are 'a, x, y'"),
    "no unit": ("t,x,yaw_rate\n" + ROWS, "column 'yaw_rate' has no unit; say it: --columns yaw_r"),
    "strange unit": ("t,x (ft),y\n" + ROWS, "column 'x \\(ft\\)' is in 'ft'; known are m, cm, km"),
    "milliseconds": ("t,x,y\n0,1,1\n40000,2,2\n", r"rows are 40000 s from each other, if"),
    "text": ("t,x,y\n0,1,1\n1,two,2\n", "row 3: 'two' must be a number"),
    "infinite": ("t,x,y\n0,1,1\n1,inf,2\n", "row 3: 'inf' must be a number"),
    "no time there": ("t,x,y\n0.5,1,1\n,2,2\n", "row 3 has no time"),
    "ragged": ("t,x,y\n0,1\n1,2,2\n", "row 2 has 2 cells, the header has 3"),
    "kilometres": ("t,x,y\n0,1e8,1\n1,1e8,2\n", "row 0: x is 1e\\+08; it must be in m"),
    "km/h": ("t,x,y,speed\n0,1,1,200\n1,2,2,200\n", "speed is 200; it must be in m/s"),
    "backwards": ("t,x,y\n2,1,1\n1,1,1\n3,1,1\n2,1,1\n", "times run backwards"),
    "huge": ("t_s,x,y\n9999999999999,1,1\n99999999999999,2,2\n", "beyond what nanoseconds"),
    "binary": (b"t,x,y\n\xff\xfe\n", "is not UTF-8"),
    "null": ("t,x,y\n0,1,1\n1,\0,2\n", "a.csv: "),
}


@pytest.mark.parametrize("case", WRONG_CSV)
def test_a_wrong_csv_is_refused_in_one_line(tmp_path, case):
    text, message = WRONG_CSV[case]
    with pytest.raises(TraceError, match=message) as caught:
        read_csv(write(tmp_path / "a.csv", text))
    assert "\n" not in str(caught.value)


def test_the_table_of_the_manual_is_what_is_read():
    text = (Path(vista_sim.__file__).parent / "traces" / "README.md").read_text()
    table = text.split("| name | titles | units, the usual first |")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.split("\n")[2:]]
    assert [row[0] for row in rows][:3] == ["time", "latitude, longitude", "x, y"]
    for names, titles, units in rows:
        for name, title in zip(names.split(", "), titles.split(":")[0].split(";"), strict=False):
            for word in [name, *(w.strip() for w in title.split(","))]:
                if " " not in word:
                    assert _meant(word)[0][0] == name, word
        for unit in re.findall(r"\b(?:m/s|km/h|deg|rad|m|cm|km|ms|us|ns|mph|knots)\b", units):
            assert unit in FACTORS[names.split(", ")[0]], unit


def test_a_column_that_an_option_names_is_no_longer_what_its_title_says(tmp_path):
    text = "t,x,y,heading\n0,0,0,0\n1,1,0,1\n"
    log = read_csv(write(tmp_path / "a.csv", text), "yaw=heading:rad")
    assert log.course.tolist() == [0.0, 1.0]
    assert log.titles["course"] == Title("heading", "yaw", "rad")


def test_a_wrong_option_of_columns_is_refused(tmp_path):
    path = write(tmp_path / "a.csv", "t,x,y\n" + ROWS)
    with pytest.raises(TraceError, match="columns is 'speed=v': there is no column 'v'"):
        read_csv(path, "speed=v")
    with pytest.raises(TraceError, match="no name 'velocity'"):
        read_csv(path, "velocity=x")


# GoPro


def klv(key, type, size, payload):
    count = len(payload) // size if size else 0
    padding = b"\0" * (-len(payload) % 4)
    return (
        key.encode() + struct.pack(">cBH", type.encode() or b"\0", size, count) + payload + padding
    )


def nest(key, *inner):
    content = b"".join(inner)
    return key.encode() + b"\0\x01" + struct.pack(">H", len(content)) + content


def gps5(rows, fix=3, dop=200, scale=(10**7, 10**7, 1000, 1000, 100), more=b""):
    return nest(
        "STRM",
        more,
        klv("GPSF", "L", 4, struct.pack(">L", fix)),
        klv("GPSP", "S", 2, struct.pack(">H", dop)),
        klv("SCAL", "l", 4, struct.pack(">5l", *scale)),
        klv("GPS5", "l", 20, b"".join(struct.pack(">5l", *row) for row in rows)),
    )


def payload(*streams):
    return nest("DEVC", klv("DVNM", "c", 1, b"Camera"), *streams)


def rows_of(k, count=2):
    return [(481000000 + 10 * (k + i), 115000000, 5000, 7500, 750) for i in range(count)]


def stamp(microseconds):
    return klv("STMP", "J", 8, struct.pack(">Q", microseconds))


def test_samples_are_spread_over_their_payload_and_scaled_by_their_stream():
    payloads = [(k * 1.001, 1.001, payload(gps5(rows_of(2 * k)))) for k in range(3)]
    log = parse_payloads(Path("x.mp4"), payloads)
    np.testing.assert_allclose(log.t_ns * 1e-9, np.arange(6) * 0.5005, atol=1e-9)
    np.testing.assert_allclose(log.latitude, 48.1 + np.arange(6) * 1e-6, atol=1e-9)
    assert log.speed.tolist() == [7.5] * 6
    assert log.altitude.tolist() == [5.0] * 6
    assert log.accuracy.tolist() == [4.0] * 6  # 2 m for each of dilution of precision


def test_stamps_date_the_first_sample_against_the_first_picture():
    exposures = [
        nest("STRM", stamp(85_000 + k * 1_001_000), klv("SHUT", "f", 4, struct.pack(">f", 1e-3)))
        for k in range(2)
    ]
    payloads = [
        (
            k * 1.001,
            1.001,
            payload(gps5(rows_of(2 * k), more=stamp(105_000 + k * 1_000_000)), exposures[k]),
        )
        for k in range(2)
    ]
    log = parse_payloads(Path("x.mp4"), payloads)
    np.testing.assert_allclose(log.t_ns * 1e-9, [0.02, 0.52, 1.02, 1.52], atol=1e-9)


def test_payloads_before_a_fix_are_left_out():
    payloads = [(k * 1.0, 1.0, payload(gps5(rows_of(2 * k), fix=3 if k else 0))) for k in range(3)]
    log = parse_payloads(Path("x.mp4"), payloads)
    assert log.t_ns[0] == 10**9
    assert len(log.t_ns) == 4


def test_the_gyroscope_is_taken_about_what_the_accelerometer_feels_as_up():
    """Axes in any order and sign: here the second one points down."""
    felt = struct.pack(">3h", 0, -981, 0) * 4
    turning = struct.pack(">3h", 7, -50, 9) * 4  # 0.5 rad/s to the left
    scale = klv("SCAL", "s", 2, struct.pack(">h", 100))
    streams = [
        gps5(rows_of(0)),
        nest("STRM", scale, klv("ACCL", "s", 6, felt)),
        nest("STRM", scale, klv("GYRO", "s", 6, turning)),
    ]
    log = parse_payloads(Path("x.mp4"), [(0.0, 1.0, payload(*streams))])
    np.testing.assert_allclose(log.gyro, 0.5)
    np.testing.assert_allclose(log.gyro_t_ns * 1e-9, [0, 0.25, 0.5, 0.75])


WRONG_PAYLOADS = {
    "cut off": (payload(gps5(rows_of(0)))[:-16], "payload 0 is damaged"),
    "no GPS": (payload(), "holds no GPS"),
    "no fix": (payload(gps5(rows_of(0), fix=0)), "never had a fix"),
    "no scale": (payload(gps5(rows_of(0), scale=(0, 1, 1, 1, 1))), "SCAL of GPS5 is"),
    "text": (payload(nest("STRM", klv("GPS5", "c", 1, b"nowhere"))), "GPS5 has the type 'c'"),
    "columns": (payload(nest("STRM", klv("GPS5", "l", 8, b"\0" * 16))), "has 2 columns, not 5"),
    "degrees": (payload(gps5(rows_of(0), scale=(1, 1, 1, 1, 1))), "latitude is 4.81e"),
}


@pytest.mark.parametrize("case", WRONG_PAYLOADS)
def test_a_wrong_gopro_track_is_refused_in_one_line(case):
    data, message = WRONG_PAYLOADS[case]
    with pytest.raises(TraceError, match=message):
        parse_payloads(Path("x.mp4"), [(0.0, 1.0, data)])


def test_entries_within_each_other_have_an_end():
    data = b""
    for _ in range(20):
        data = nest("DEVC", data)
    with pytest.raises(TraceError, match="nested more than 8 deep"):
        parse_payloads(Path("x.mp4"), [(0.0, 1.0, data)])


def raw_payloads(path):
    """The payloads of a bare track, one a second; the container with their times is not there."""
    return [(float(k), 1.0, nest("DEVC", e.data)) for k, e in enumerate(entries(path.read_bytes()))]


@real
@pytest.mark.parametrize(("name", "kind"), [("hero05", "GPS5"), ("hero11", "GPS9")])
def test_recorded_tracks_hold_what_another_program_found_in_them(name, kind):
    folder = SAMPLES / "gopro2gpx"
    log = parse_payloads(folder / f"{name}.bin", raw_payloads(folder / f"{name}.bin"))
    with open(folder / f"{name}.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["name"] == kind]
    assert abs(len(log.t_ns) - len(rows)) <= 1
    for column, values, tolerance in (
        ("latitude", log.latitude, 1e-7),
        ("longitude", log.longitude, 1e-7),
        ("elevation", log.altitude, 1e-3),
        ("speed", log.speed, 1e-3),
    ):
        wanted = np.array([float(row[column]) for row in rows])
        count = min(len(values), len(wanted))
        np.testing.assert_allclose(values[:count], wanted[:count], atol=1.01 * tolerance)


@real
def test_a_recorded_track_is_on_the_clock_of_its_pictures():
    path = SAMPLES / "gopro" / "max-heromode.mp4"
    assert has_gpmf(path)
    log = read_gpmf(path)
    assert (log.clock, len(log.t_ns)) == ("video", 191)
    t = log.t_ns * 1e-9
    # The first GPSU is 2.47 s before the second: these times do not believe it.
    assert np.diff(t).min() > 0.053
    assert np.diff(t).max() < 0.057
    assert 0 <= t[0] < 0.1
    assert t[-1] == pytest.approx(10.5, abs=0.1)
    place = local_of_geodetic(log.latitude, log.longitude, log.altitude)[:, :2]
    way = np.linalg.norm(place[-1] - place[0])
    assert way == pytest.approx(np.trapezoid(log.speed, t), rel=0.05)
    assert len(log.gyro) == pytest.approx(200 * 10.5, rel=0.02)


@real
def test_recorded_settings_say_lens_and_stabilization():
    found = read_settings(SAMPLES / "gopro" / "max-heromode.mp4")
    assert (found.lens, found.stabilized) == ("wide", True)
    assert math.degrees(found.fov) == pytest.approx(137.4, abs=0.1)


@real
@pytest.mark.parametrize("name", ["hero5.raw", "Fusion.raw"])
def test_recorded_payloads_of_other_models_are_of_the_same_place(name):
    """Integers and floats, with and without STMP; all were filmed beside the same house."""
    path = SAMPLES / "gopro" / name
    log = parse_payloads(path, raw_payloads(path))
    assert np.abs(log.latitude - 33.1266).max() < 5e-4
    assert np.abs(log.longitude + 117.3274).max() < 5e-4
    assert 0 < log.speed.max() < 3
    assert len(log.gyro) > 190


@real
@pytest.mark.parametrize(
    ("name", "message"),
    [("hero6.raw", "never had a fix"), ("hero6+ble.raw", "never had a fix"), ("karma.raw", "GPS")],
)
def test_recorded_payloads_without_a_position_say_so(name, message):
    path = SAMPLES / "gopro" / name
    with pytest.raises(TraceError, match=message):
        parse_payloads(path, raw_payloads(path))


# Which log


def test_the_log_beside_a_video_is_found_and_two_are_not_guessed_between(tmp_path):
    video = write(tmp_path / "drive.mp4", b"")
    with pytest.raises(TraceError, match=r"has no position log.*--log, or take --odometry visual"):
        find_log(video, "")
    write(tmp_path / "drive.gpx", "")
    assert find_log(video, "") == (tmp_path / "drive.gpx", "beside the video")
    write(tmp_path / "drive.csv", "")
    with pytest.raises(TraceError, match=r"drive\.csv, drive\.gpx are beside it; name one by"):
        find_log(video, "")
    assert find_log(video, "a.nmea") == (Path("a.nmea"), "given")


def test_a_log_of_another_kind_or_of_none_is_refused(tmp_path):
    with pytest.raises(TraceError, match=r"is no log by its name \(\.gpx, \.nmea, \.csv, or a GoP"):
        read_log(write(tmp_path / "a.kml", ""))
    with pytest.raises(TraceError, match=r"a\.gpx: not found"):
        read_log(tmp_path / "a.gpx")
    with pytest.raises(TraceError, match=r"a\.csv: holds 0 rows"):
        read_log(write(tmp_path / "a.csv", gpx("").replace("\n", "")[:0]))
