"""PointCloud2: fields where drivers put them, points without a return, times of points."""

from types import SimpleNamespace

import numpy as np
import pytest
from ros_bags import SIZE, START, STEP, bag_file, opened, write_odometry

from vista_sim.errors import TraceError

XYZ = [(axis, "<f4") for axis in "xyz"]
POINTS = np.array([[10, 1, 0.5], [9, -2, 0.25], [0, 20, 1], [-5, 0, -1]], float)
AFTER = np.array([0, 25_000_000, 50_000_000, 99_000_000])  # ns since the header's time


def table(fields, **columns):
    rows = np.zeros(len(POINTS), fields)
    for axis, values in zip("xyz", POINTS.T, strict=True):
        rows[axis] = values
    for name, values in columns.items():
        rows[name] = values
    return rows


def lidar_of(tmp_path, clouds, ns=START + STEP, **how):
    options = how.pop("options", {})
    with bag_file(tmp_path / "drive", how.pop("kind", "mcap")) as bag:
        write_odometry(bag)
        bag.image("/front/image", START, bytes(SIZE[0] * SIZE[1]), SIZE, "mono8")
        for k, part in enumerate(clouds if isinstance(clouds, list) else [clouds]):
            bag.cloud("/top/points", ns + k * STEP, part, **how)
    mounts = "front=1,0,1.5;top=1,0,1.8,0,0,90"
    options = {"mounts": mounts, "camera_matrix": "30,30,15,12"} | options
    return opened(tmp_path / "drive", **options).lidars["top"]


def sweep_of(tmp_path, cloud, **how):
    return next(lidar_of(tmp_path, cloud, **how).sweeps([0]))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(("rows", "padding", "row_padding"), [(1, 0, 0), (1, 12, 0), (2, 5, 24)])
def test_fields_are_found_by_name_in_padded_points_and_rows(
    tmp_path, big, rows, padding, row_padding
):
    order = ">" if big else "<"
    fields = [("junk", "u1"), ("intensity", f"{order}u2"), ("z", f"{order}f4")]
    fields += [("x", f"{order}f8"), ("ring", "u1"), ("y", f"{order}f4")]
    cloud = table(fields, junk=7, intensity=[1, 200, 3000, 4], ring=[0, 3, 63, 1])
    how = {"rows": rows, "padding": padding, "row_padding": row_padding, "big": big}
    sweep = sweep_of(tmp_path, cloud, **how)
    np.testing.assert_array_equal(sweep.xyz, POINTS)
    np.testing.assert_array_equal(sweep.intensity, [1, 200, 3000, 4])
    np.testing.assert_array_equal(sweep.ring, [0, 3, 63, 1])
    assert sweep.t_ns is None


def test_points_that_did_not_come_back_are_dropped(tmp_path):
    cloud = table([*XYZ, ("reflectivity", "<f4"), ("channel", "<u2")], channel=[4, 5, 6, 7])
    cloud["x"][1] = np.nan
    for axis in "xyz":
        cloud[axis][2] = 0.0  # at the scanner
    sweep = sweep_of(tmp_path, cloud)
    np.testing.assert_array_equal(sweep.xyz, POINTS[[0, 3]])
    np.testing.assert_array_equal(sweep.ring, [4, 7])


@pytest.mark.parametrize(
    ("name", "kind", "values", "said"),
    [
        ("time", "<f4", AFTER * 1e-9, "field time in s since the header's time"),
        ("time", "<f4", (AFTER - 99_000_000) * 1e-9, "field time in s since the header's time"),
        ("time", "<f4", AFTER * 1e-3, "field time in us since the header's time"),
        ("t", "<u4", AFTER, "field t in ns since the header's time"),
        ("t", "<u4", AFTER // 1000, "field t in us since the header's time"),
        ("offset_time", "<u4", AFTER, "field offset_time in ns since the header's time"),
        ("timestamp", "<f8", (START + STEP + AFTER) * 1e-9, "field timestamp in s of the clock"),
    ],
)
def test_times_of_points_are_told_by_type_and_size_and_said(
    tmp_path, caplog, name, kind, values, said
):
    caplog.set_level("INFO")
    lidar = lidar_of(tmp_path, table([*XYZ, (name, kind)], **{name: values}))
    assert not lidar.calibration.motion_compensated
    wanted = START + STEP + AFTER
    if (np.asarray(values) < 0).any():
        wanted = wanted - 99_000_000
    tolerance = 500 if kind == "<f8" else 10
    np.testing.assert_allclose(next(lidar.sweeps([0])).t_ns - wanted, 0, atol=tolerance)
    assert f"/top/points: time of points: {said}" in caplog.text
    # The time of a sweep is that of its first point.
    np.testing.assert_allclose(lidar.t_ns - wanted[0], 0, atol=tolerance)


def test_times_that_say_nothing_are_none(tmp_path):
    lidar = lidar_of(tmp_path, table([*XYZ, ("time", "<f4")]))
    assert next(lidar.sweeps([0])).t_ns is None
    assert lidar.calibration.motion_compensated


def test_whether_points_are_compensated_may_be_said(tmp_path):
    cloud = table([*XYZ, ("t", "<u4")], t=AFTER)
    lidar = lidar_of(tmp_path, cloud, options={"compensated": "yes"})
    assert lidar.calibration.motion_compensated
    assert next(lidar.sweeps([0])).t_ns is not None
    np.testing.assert_allclose(lidar.calibration.T_vehicle_lidar[:3, 0], [0, 1, 0], atol=1e-12)


def test_sweeps_are_read_by_their_numbers(tmp_path):
    clouds = [table([*XYZ, ("intensity", "<f4")], intensity=k) for k in range(5)]
    lidar = lidar_of(tmp_path, clouds)
    np.testing.assert_array_equal(lidar.t_ns, START + STEP * np.arange(1, 6))
    for wanted in ([0, 1, 2, 3, 4], [2], [1, 4]):
        assert [sweep.intensity[0] for sweep in lidar.sweeps(wanted)] == wanted


def test_clouds_without_points_name_their_topic_and_how_to_leave_them_out(tmp_path):
    lidar = lidar_of(tmp_path, table(XYZ)[:0])
    with pytest.raises(TraceError, match=r"/top/points: its clouds hold no points; .*--points no"):
        list(lidar.sweeps([0]))


def test_clouds_that_are_none_are_refused(tmp_path):
    with pytest.raises(TraceError, match=r"/top/points: has no field z; its fields are x, y"):
        lidar_of(tmp_path / "a", np.zeros(3, [("x", "<f4"), ("y", "<f4")]))

    def spoiled(place, **values):
        with bag_file(tmp_path / place, "db3") as bag:
            write_odometry(bag)
            bag.image("/front/image", START, bytes(SIZE[0] * SIZE[1]), SIZE, "mono8")
            write = bag.write

            def spoil(topic, kind, message, log_ns):
                write(topic, kind, SimpleNamespace(**(vars(message) | values)), log_ns)

            bag.write = spoil
            bag.cloud("/top/points", START, table([*XYZ, ("intensity", "<f4")]))
        lidars = opened(tmp_path / place, mounts="top=1,0,1.8").lidars
        return list(lidars["top"].sweeps([0]))

    with pytest.raises(TraceError, match=r"message 0: 64 bytes hold no 400 x 1 points of 16 byt"):
        spoiled("b", width=400)
    with pytest.raises(TraceError, match=r"declares 4611686014132420609 points; at most"):
        spoiled("c", width=2**31 - 1, height=2**31 - 1)
    with pytest.raises(TraceError, match=r"field y ends at byte 8 of 6 a point has"):
        spoiled("d", point_step=6, row_step=24)
