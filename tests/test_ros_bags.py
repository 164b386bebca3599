"""Bags as files: what they hold is listed, times are chosen, and said."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ros_bags import (
    CONTAINERS,
    COUNT,
    DELAY,
    SIZE,
    START,
    STEP,
    bag_file,
    circle,
    opened,
    write_camera,
    write_drive,
    write_odometry,
)
from test_import import run

from vista_sim.errors import TraceError
from vista_sim.traces.importers.registry import detected
from vista_sim.traces.importers.ros import sensors
from vista_sim.traces.importers.ros.bag import Bag
from vista_sim.traces.importers.ros.poses import read_body
from vista_sim.traces.importers.ros.sensors import Pictures, lidar_stream
from vista_sim.traces.importers.ros.survey import survey
from vista_sim.traces.trace import Trace

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "samples" / "ros"
needs_samples = pytest.mark.skipif(not REAL.is_dir(), reason="the samples are not here")


@pytest.fixture(scope="module")
def drives(tmp_path_factory):
    """A drive in each container."""
    return {kind: write_drive(tmp_path_factory.mktemp(kind), kind) for kind in CONTAINERS}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_a_bag_is_imported_by_one_command_that_says_what_it_takes(
    drives, tmp_path, caplog, capsys, kind
):
    assert run("import", drives[kind], tmp_path / "t") == 0
    assert f"{drives[kind]}: ros (it is a bag: " in capsys.readouterr().err
    assert "takes poses of /odom (nav_msgs/msg/Odometry), camera front of /front/ima" in caplog.text
    assert "takes the times of headers, 0.003 to 0.003 s before those of recording" in caplog.text
    assert "takes base_link as on the road below the middle of the rear axle" in caplog.text
    trace = Trace.open(tmp_path / "t")
    assert trace.duration == pytest.approx((COUNT - 1) * STEP * 1e-9)
    assert trace.start_ns == START
    for i in (0, 5, 11):
        assert abs(float(trace.cameras["front"].frame(i).mean()) - 20 * i) <= 2
    assert trace.known["front"] == {"lens": "recorded", "mount": "assumed"}
    assert trace.licence == "unknown"


@pytest.mark.parametrize("suffix", [".db3", ".mcap"])
def test_a_single_file_of_a_folder_will_do(drives, tmp_path, suffix):
    file = next(drives[suffix[1:]].glob(f"*{suffix}"))
    alone = shutil.copy(file, tmp_path / f"alone{suffix}")
    assert detected(Path(alone)).importer.name == "ros"
    assert len(opened(alone).motion.t_ns) == COUNT
    (tmp_path / "folder").mkdir()
    shutil.copy(file, tmp_path / "folder" / file.name)  # without metadata.yaml
    assert len(opened(tmp_path / "folder").motion.t_ns) == COUNT


def test_the_parts_of_a_split_recording_are_one(tmp_path):
    (tmp_path / "parts").mkdir()
    for part in range(2):
        with bag_file(tmp_path / "parts" / f"drive_{part}.bag", "bag") as bag:
            for i in range(6 * part, 6 * part + 6):
                bag.odometry("/odom", START + i * STEP, circle(i), (5, 0, 0), (0, 0, 0.25))
            if part == 0:
                write_camera(bag, count=3)
    recording = opened(tmp_path / "parts")
    np.testing.assert_array_equal(recording.motion.t_ns, START + STEP * np.arange(COUNT))


def test_without_a_folder_for_the_trace_topics_are_listed_with_a_command(drives, tmp_path, capsys):
    assert run("import", "ros", drives["bag"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{drives['bag']}: ROS 1, 1.1 s, 26 messages"
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.startswith("/")}
    assert rows["/odom"] == ["nav_msgs/msg/Odometry", "12", "10.00", "--poses"]
    assert rows["/front/image_raw"] == ["sensor_msgs/msg/Image", "12", "10.00", "--images"]
    assert rows["/tf_static"][-1] == "mounts"
    command = next(line for line in lines if line.startswith("vista-sim import "))
    words = command.replace("DST", str(tmp_path / "t")).split()
    assert run(*words[1:]) == 0
    assert list(Trace.open(tmp_path / "t").cameras) == ["front"]


def test_what_tf_does_not_place_is_in_the_listed_command_with_a_placeholder(tmp_path, capsys):
    """Of a bag with tf that places one of its sensors alone, the command names the others."""
    points = np.ones(3, [("x", "<f4"), ("y", "<f4"), ("z", "<f4")])
    with bag_file(tmp_path / "drive", "mcap") as bag:
        write_odometry(bag)
        write_camera(bag)
        bag.cloud("/roof/points", START, points, frame="roof")
        bag.cloud("/trunk/points", START, points, frame="trunk")
        bag.transform("/tf_static", START, "base_link", "roof", circle(0))
    assert run("import", "ros", tmp_path / "drive") == 0
    lines = capsys.readouterr().out.splitlines()
    command = next(line for line in lines if line.startswith("vista-sim import "))
    assert command.endswith(" --mounts trunk=X,Y,Z,ROLL,PITCH,YAW")
    assert "To import it, with numbers in place of X,Y,Z,ROLL,PITCH,YAW:" in lines
    assert "trunk=X,Y,Z,ROLL,PITCH,YAW: where it is" in lines[-1]
    assert "tf does not place it, or leave out all lidars: --points none" in lines[-1]
    words = command.replace("DST", str(tmp_path / "t")).split()
    assert run(*words[1:]) == 2
    assert "numbers are due: 'X,Y,Z,ROLL,PITCH,YAW'" in capsys.readouterr().err
    words[-1] = "trunk=-1,0,1.2,0,0,180"
    assert run(*words[1:]) == 0
    trace = Trace.open(tmp_path / "t")
    assert sorted(trace.lidars) == ["roof", "trunk"]
    assert trace.lidars["trunk"].calibration.T_vehicle_lidar[0, 3] == -1


def test_without_tf_and_calibration_the_listed_command_has_a_place_for_both(tmp_path, capsys):
    of_times(tmp_path / "drive", lambda ns, i: ns)
    assert run("import", "ros", tmp_path / "drive") == 0
    lines = capsys.readouterr().out.splitlines()
    command = next(line for line in lines if line.startswith("vista-sim import "))
    assert "front=X,Y,Z,ROLL,PITCH,YAW --camera-matrix FX,FY,CX,CY" in command
    assert any("there is no tf" in line for line in lines)
    filled = command.replace("X,Y,Z,ROLL,PITCH,YAW", "1,0,1.5,0,0,0")
    filled = filled.replace("FX,FY,CX,CY", "30,30,15,12").replace("DST", str(tmp_path / "t"))
    assert run(*filled.split()[1:]) == 0


def test_one_pose_is_listed_as_none_to_be_imported(tmp_path, capsys):
    with bag_file(tmp_path / "drive", "mcap") as bag:
        write_odometry(bag, count=1)
        write_camera(bag)
    assert run("import", "ros", tmp_path / "drive") == 0
    assert "Not to be imported: /odom holds one pose" in capsys.readouterr().out


@needs_samples
@pytest.mark.parametrize("kind", ["mcap", "sqlite3"])
def test_of_recorded_bags_the_listed_command_asks_for_the_places_that_tf_lacks(capsys, kind):
    assert run("import", "ros", REAL / f"all_types/test_bag_{kind}") == 0
    output = capsys.readouterr().out
    assert "--mounts 'sensor_msgs=X,Y,Z,ROLL,PITCH,YAW;point_cloud2=X,Y,Z,ROLL" in output


def test_what_could_be_meant_twice_is_asked_for(tmp_path, capsys):
    with bag_file(tmp_path / "drive", "mcap") as bag:
        write_odometry(bag)
        write_odometry(bag, topic="/other/odom", count=3)
        write_camera(bag)
    with pytest.raises(TraceError, match="/odom, /other/odom could be meant; choose one with --po"):
        opened(tmp_path / "drive")
    assert len(opened(tmp_path / "drive", poses="/other/odom").motion.t_ns) == 3
    assert run("import", tmp_path / "drive") == 0
    output = capsys.readouterr().out
    assert "--poses /odom --images front=/front/image_raw" in output
    assert "Instead of what it names could stand /other/odom" in output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"poses": "/nothing"}, r"has no topic /nothing \(--poses\); it has /odom"),
        ({"poses": "/front/image_raw"}, r"/front/image_raw is of sensor_msgs/msg/Image; --poses"),
        ({"images": "a=/front/image_raw,a=/front/image_raw"}, "it names a twice"),
        ({"mounts": "front=1,2"}, r"mounts is 'front=1,2'; 3 or 6 finite numbers are due: '1,2'"),
        ({"mounts": "rear=1,2,3"}, "there is no sensor 'rear'; sensors of this import: front, "),
        ({"mounts": "front=1,2,3;front=4,5,6"}, "mounts is .*; it names front twice"),
        ({"camera_matrix": "1,2,3,4;5,6,7,8"}, "it gives numbers without a name twice"),
        ({"imu": "/odom"}, "/odom is of nav_msgs/msg/Odometry; --imu takes sensor_msgs/msg/Imu"),
        ({"camera_matrix": "1,2,nan,4"}, "camera_matrix is '1,2,nan,4'; 4 or 8 or 9 finite"),
        ({"time": "sensor"}, "time is 'sensor'; it must be header or log"),
    ],
)
def test_a_wrong_option_is_one_line(drives, options, said):
    with pytest.raises(TraceError, match=said):
        opened(drives["mcap"], **options)


def test_an_imu_that_would_not_be_used_is_refused(tmp_path):
    with bag_file(tmp_path / "drive", "mcap") as bag:
        write_odometry(bag)
        write_camera(bag)
        bag.imu("/imu", START, np.eye(3))
    with pytest.raises(TraceError, match=r"--imu is /imu; .* NavSatFix alone.*leave --imu out"):
        opened(tmp_path / "drive", imu="/imu")


def of_times(place, stamp, kind="mcap"):
    """A drive whose images are recorded 0.05 s after their times, and have other headers."""
    with bag_file(place, kind) as bag:
        write_odometry(bag)
        for i in range(COUNT):
            taken = START + i * STEP
            data = np.full((*SIZE, 3), 20 * i, np.uint8).tobytes()
            late = taken + STEP // 2
            bag.image("/front/image", stamp(taken, i), data, SIZE, "rgb8", log_ns=late)
    options = {"mounts": "front=1,0,1.5", "camera_matrix": "30,30,15,12"}
    return lambda **more: opened(place, **options, **more)


def test_times_are_those_of_headers_or_on_demand_of_recording(tmp_path, caplog):
    caplog.set_level("INFO")
    again = of_times(tmp_path / "drive", lambda ns, i: ns)
    np.testing.assert_array_equal(again().cameras["front"]().t_ns, START + STEP * np.arange(COUNT))
    assert "takes the times of headers, 0.003 to 0.050 s before" in caplog.text
    logged = again(time="log")
    assert logged.motion.t_ns[0] == START + DELAY
    assert logged.cameras["front"]().t_ns[0] == START + STEP // 2


def test_times_of_headers_that_are_those_of_recording_are_not_worth_a_word(tmp_path, caplog):
    caplog.set_level("INFO")
    with bag_file(tmp_path / "drive", "mcap") as bag:
        for i in range(COUNT):
            bag.odometry("/odom", START + i * STEP, circle(i), log_ns=START + i * STEP + 400_000)
        write_camera(bag, count=0)
        bag.image("/front/image_raw", START, bytes(3 * 24 * 32), SIZE, "rgb8", log_ns=START)
    opened(tmp_path / "drive")
    assert "takes poses of /odom" in caplog.text
    assert "takes the times of headers" not in caplog.text


def test_images_of_another_clock_name_their_times_and_the_remedy(tmp_path):
    again = of_times(tmp_path / "drive", lambda ns, i: ns + 5 * 10**9)
    said = (
        r"drive: /front/image: its images are from 5\.000 to 6\.100 s, the poses from 0 to 1\.100 "
        r"s; none is between them: has /odom another clock\? --time log takes the times"
    )
    with pytest.raises(TraceError, match=said):
        again().cameras["front"]()
    assert len(again(time="log").cameras["front"]().t_ns) == COUNT


def test_images_beside_the_poses_are_told_of(tmp_path, caplog):
    caplog.set_level("INFO")
    of_times(tmp_path / "drive", lambda ns, i: ns - 3 * STEP)().cameras["front"]()
    said = "/front/image: images left out: 3 before the first pose, 0 after the last one"
    assert said in caplog.text


@pytest.mark.parametrize(
    ("stamp", "said"),
    [
        (lambda ns, i: 0, "since the header times of /front/image are zero"),
        (lambda ns, i: ns - START + 10**9, "header times of /front/image and /odom are of diff"),
        (lambda ns, i: ns + i * 10**11, "header times of /front/image and those of recording run"),
    ],
)
def test_headers_of_no_or_of_another_clock_are_said_and_not_taken(tmp_path, caplog, stamp, said):
    caplog.set_level("INFO")
    recording = of_times(tmp_path / "drive", stamp)()
    assert f"takes the times of recording, {said}" in caplog.text or said in caplog.text
    assert recording.motion.t_ns[0] == START + DELAY
    assert recording.cameras["front"]().t_ns[0] == START + STEP // 2


def test_a_message_that_is_out_of_order_is_left_out(tmp_path, caplog):
    caplog.set_level("INFO")
    stream = of_times(tmp_path / "drive", lambda ns, i: ns - (4 * STEP if i == 5 else 0))().cameras[
        "front"
    ]()
    kept = [i for i in range(COUNT) if i != 5]
    np.testing.assert_array_equal(stream.t_ns, [START + i * STEP for i in kept])
    means = [int(image.mean()) for image in stream.frames(range(len(kept)))]
    assert means == [20 * i for i in kept]
    assert "/front/image: 1 of 12 messages are left out" in caplog.text


def test_pictures_are_read_one_by_one(drives, monkeypatch):
    """What is asked for is read, and of it no more than one message at a time."""
    recording = opened(drives["mcap"])
    stream = recording.cameras["front"]()
    read = []
    decode = sensors.rgb_of_image
    monkeypatch.setattr(
        sensors, "rgb_of_image", lambda *a: read.append(a[2].split()[-1]) or decode(*a)
    )
    images = stream.frames([3, 4, 9])
    assert int(next(images).mean()) == 60
    assert read == ["3"]
    assert int(next(images).mean()) == 80
    assert int(next(images).mean()) == 180
    assert read == ["3", "4", "9"]


@needs_samples
@pytest.mark.parametrize(
    ("place", "topic", "columns"),
    [
        ("all_types/test_bag_mcap", "/test/sensor_msgs/image", ["sensor_msgs/msg/Image", "2"]),
        ("all_types/test_bag_sqlite3", "/test/nav_msgs/odometry", ["nav_msgs/msg/Odometry", "2"]),
        ("rerun/rerun_rosbag2.mcap", "/point_cloud2", ["sensor_msgs/msg/PointCloud2", "1"]),
        ("plotjuggler/tilt_laser.bag", "/imu_data", ["sensor_msgs/msg/Imu", "356", "20.06"]),
        ("plotjuggler/rosbag2_test", "/pose", ["geometry_msgs/msg/PoseStamped", "1565", "25.00"]),
    ],
)
def test_recorded_bags_are_listed(capsys, place, topic, columns):
    assert run("import", "ros", REAL / place) == 0
    lines = capsys.readouterr().out.splitlines()
    row = next(line.split() for line in lines if line.startswith(topic + " "))
    assert row[1 : len(columns) + 1] == columns


@needs_samples
def test_a_recorded_bag_without_definitions_is_read_as_of_a_distribution(caplog):
    """Its poses have quaternions that are none, which is told."""
    caplog.set_level("INFO")
    with pytest.raises(TraceError, match="no topic holds pictures"):
        opened(REAL / "plotjuggler/rosbag2_test")
    assert "defines no messages; those of ROS 2 humble are taken (--distro)" in caplog.text
    for distro in ("humble", "foxy", "jazzy"):
        bag = Bag(REAL / "plotjuggler/rosbag2_test", distro)
        found = survey(bag, [bag.topics["/pose"], bag.topics["/imu"]], "header", False)
        assert found.series["/pose"].table().shape == (1565, 16)
        rates = found.series["/imu"].table()[:, 4:7]
        assert np.isfinite(rates).all()
        with pytest.raises(TraceError, match="1565 of 1565 poses are not finite, or their quatern"):
            read_body(found, bag.topics["/pose"], None, "base_link", "", "bag")


@needs_samples
def test_what_a_recorded_robot_tells_of_gps_and_imu_is_read():
    bag = Bag(REAL / "plotjuggler/tilt_laser.bag", "humble")
    fix, imu, tf = (bag.topics[name] for name in ("/position_gps", "/imu_data", "/tf"))
    found = survey(bag, [fix, imu, tf], "header", False)
    assert len(found.series["/position_gps"].table()) == 356
    assert found.frames.links
    body = read_body(found, fix, imu, "base_link", "", "bag")
    assert len(body.t_ns) > 300
    assert np.abs(np.linalg.det(body.poses[:, :3, :3]) - 1).max() < 1e-9


@needs_samples
def test_a_recorded_picture_cloud_and_calibration_are_read():
    bag = Bag(REAL / "rerun/rerun_rosbag2.mcap", "humble")
    names = ["/image", "/compressed_image", "/camera_info", "/point_cloud2"]
    found = survey(bag, [bag.topics[name] for name in names], "header", False)
    for name in names[:2]:
        pictures = Pictures.open(bag, found, bag.topics[name])
        image = next(pictures.frames([0]))
        assert image.shape == (*pictures.size, 3)
        assert image.std() > 10
    lidar = lidar_stream(bag, found, bag.topics["/point_cloud2"], np.eye(4), "auto", {})
    assert len(next(lidar.sweeps([0])).xyz) > 0


HIDDEN = """
import sys
sys.modules["rosbags"] = sys.modules["rosbags.highlevel"] = None
from vista_command import main
main()
"""


def without_rosbags(*arguments):
    return subprocess.run(
        [sys.executable, "-c", HIDDEN, *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_without_the_extra_one_line_names_it_and_formats_are_listed(drives, tmp_path):
    ended = without_rosbags("import", drives["mcap"], tmp_path / "t")
    assert ended.returncode == 2
    last = ended.stderr.splitlines()[-1]
    assert last == "error: bags of ROS need rosbags; install it: pip install 'vista-sim[ros]'"
    assert not list(tmp_path.iterdir())
    listed = without_rosbags("import", "--list")
    assert listed.returncode == 0
    assert re.search(r"ros +.*ros", listed.stdout)
