"""Where the car is, by odometry, poses, tf or GPS, and where things are on it: a circle."""

import math

import numpy as np
import pytest
from ros_bags import (
    COUNT,
    FORWARD,
    RADIUS,
    SPEED,
    START,
    STEP,
    bag_file,
    circle,
    opened,
    write_camera,
    write_odometry,
)
from test_kitti_raw import ALTITUDE, LATITUDE, LONGITUDE, YAW, degrees_of

from vista_sim.errors import TraceError
from vista_sim.transforms import planar_pose, pose_from_euler

RATE = SPEED / RADIUS
WANTED = np.array([circle(i) for i in range(COUNT)])


def drive(tmp_path, write, camera=True, kind="mcap", **options):
    with bag_file(tmp_path / "drive", kind) as bag:
        write(bag)
        if camera:
            write_camera(bag, count=3)
    return opened(tmp_path / "drive", **options)


def on_the_circle(motion, atol=1e-6, twist=1e-6):
    begins = int((motion.t_ns[0] - START) // STEP)
    wanted = np.linalg.inv(WANTED[begins]) @ WANTED[begins : begins + len(motion.t_ns)]
    np.testing.assert_allclose(motion.position, wanted[:, :3, 3], atol=atol)
    np.testing.assert_allclose(motion.speed, SPEED, atol=twist)
    np.testing.assert_allclose(motion.yaw_rate, RATE, atol=twist)


def test_odometry_of_a_base_that_is_not_at_the_rear_axle(tmp_path):
    base = pose_from_euler(1.4, 0.3, 0.6)
    place = {"base_x": 1.4, "base_y": 0.3, "base_height": 0.6}
    recording = drive(tmp_path, lambda bag: write_odometry(bag, base), **place)
    on_the_circle(recording.motion)
    assert recording.motion.t_ns[0] == START
    camera = recording.cameras["front"]()
    np.testing.assert_allclose(camera.calibration.T_vehicle_camera, base @ FORWARD, atol=1e-9)
    assert camera.known == {"lens": "recorded", "mount": "given"}


def test_odometry_of_a_turned_sensor_whose_place_tf_tells(tmp_path):
    """Twist is in the frame of the child, here a unit that is mounted sideways."""
    unit = pose_from_euler(0.5, -0.4, 1.2, yaw=math.pi / 2)

    def write(bag):
        bag.transform("/tf_static", START, "base_link", "unit", unit)
        write_odometry(bag, unit, frames=("map", "unit"))

    on_the_circle(drive(tmp_path, write).motion)


def test_a_twist_of_nothing_is_not_taken_for_standing_still(tmp_path, caplog):
    caplog.set_level("INFO")

    def write(bag):
        for i in range(COUNT):
            bag.odometry("/odom", START + i * STEP, circle(i))

    motion = drive(tmp_path, write).motion
    on_the_circle(motion, twist=0.02)


def test_a_twist_in_the_frame_of_the_world_is_not_taken(tmp_path, caplog):
    caplog.set_level("INFO")

    def write(bag):
        for i in range(COUNT):
            pose = planar_pose(0, 0, 2.0) @ circle(i)
            velocity = pose[:3, :3] @ [SPEED, 0, 0]
            bag.odometry("/odom", START + i * STEP, pose, velocity, (0, 0, RATE))

    on_the_circle(drive(tmp_path, write).motion, twist=0.02)
    assert "takes speed and yaw rate from the poses, since the twist's speed is" in caplog.text


def test_the_odometry_s_own_uncertainty_is_kept(tmp_path):
    spread = (0.04, 0.16, 0.0025)
    recording = drive(tmp_path, lambda bag: write_odometry(bag, spread=spread))
    std = recording.motion.further
    np.testing.assert_allclose(std["position_std"], math.sqrt(0.1))
    np.testing.assert_allclose(std["heading_std"], 0.05)
    for unknown in ((1e6, 1e6, 1e6), (0, 0, 0), (-1, 0, 0)):
        place = tmp_path / str(unknown[0])
        recording = drive(place, lambda bag, u=unknown: write_odometry(bag, spread=u))
        assert recording.motion.further == {}


def test_poses_without_twist_and_one_of_them_without_a_rotation(tmp_path, caplog):
    caplog.set_level("INFO")

    def write(bag):
        for i in range(COUNT):
            pose = circle(i)
            bag.pose_stamped("/pose", START + i * STEP, pose)
        bad = bag.make(
            "geometry_msgs/msg/PoseStamped",
            header=bag.header(START + COUNT * STEP, "map"),
            pose=bag.make(
                "geometry_msgs/msg/Pose",
                position=bag.vector((1, 2, 3), "Point"),
                orientation=bag.quaternion((0, 0, 0, 0)),
            ),
        )
        bag.write("/pose", "geometry_msgs/msg/PoseStamped", bad, START + COUNT * STEP)

    motion = drive(tmp_path, write).motion
    assert len(motion.t_ns) == COUNT
    on_the_circle(motion, twist=0.02)
    assert "1 of 13 poses are left out" in caplog.text


def write_tf(bag, topic="/tf"):
    """odom to base_link at 10 Hz; map to odom, which drifts by 1 m a second, at 5 Hz."""
    for i in range(COUNT):
        ns = START + i * STEP
        if i % 2 == 0:
            bag.transform(topic, ns, "map", "odom", pose_from_euler(7 + 0.1 * i, 0, 0))
        bag.transform(topic, ns, "odom", "base_footprint", circle(i))
    bag.transform("/tf_static", START, "base_footprint", "base_link", pose_from_euler(0, 0, 0.35))


def test_poses_of_tf_are_those_of_odom_or_of_map(tmp_path, caplog):
    caplog.set_level("INFO")
    recording = drive(tmp_path, write_tf)
    on_the_circle(recording.motion, twist=0.02)
    assert "takes the poses of base_link in odom" in caplog.text
    # How high base_link is tf says: the foot print is on the road.
    mount = recording.cameras["front"]().calibration.T_vehicle_camera
    assert mount[2, 3] == pytest.approx(FORWARD[2, 3] + 0.35)
    assert recording.cameras["front"]().known["mount"] == "recorded"
    other = opened(tmp_path / "drive", world_frame="map").motion
    # The drift is known until its last message.
    assert len(other.t_ns) == COUNT - 1
    drifted = other.position - WANTED[: COUNT - 1, :3, 3]
    np.testing.assert_allclose(drifted[:, 0], 0.1 * np.arange(COUNT - 1), atol=1e-6)
    np.testing.assert_allclose(drifted[:, 1:], 0, atol=1e-6)


def test_frames_that_do_not_move_in_each_other_are_refused(tmp_path):
    with pytest.raises(TraceError, match=r"base_link does not move in earth; frames: .*odom"):
        drive(tmp_path, write_tf, world_frame="earth")


def test_a_sensor_on_something_that_moves_is_refused(tmp_path):
    def write(bag):
        write_odometry(bag)
        for i in range(3):
            pose = pose_from_euler(0, 0, 0, yaw=0.1 * i)
            bag.transform("/tf", START + i * STEP, "base_link", "gimbal", pose)
            bag.transform("/tf", START + i * STEP, "gimbal", "front_optical", FORWARD)
            bag.image("/front/image", START + i * STEP, bytes(768), (24, 32), "mono8",
                      frame="front_optical")  # fmt: skip

    recording = drive(tmp_path, write, camera=False, camera_matrix="30,30,15,12")
    with pytest.raises(TraceError, match=r"gimbal moves in base_link, so front_optical is not fix"):
        recording.cameras["front"]()
    given = opened(tmp_path / "drive", camera_matrix="30,30,15,12", mounts="front=1.5,0.2,1.4")
    np.testing.assert_allclose(given.cameras["front"]().calibration.T_vehicle_camera, FORWARD)


def test_mounts_are_given_in_metres_and_degrees(tmp_path):
    recording = drive(tmp_path, write_odometry, mounts="front=1.5, 0.2, 1.4, 0, 10, -90")
    stream = recording.cameras["front"]()
    mount = stream.calibration.T_vehicle_camera
    # It looks to the right, ten degrees down.
    c, s = math.cos(math.radians(10)), math.sin(math.radians(10))
    np.testing.assert_allclose(mount[:3, 2], [0, -c, -s], atol=1e-12)
    np.testing.assert_allclose(mount[:3, 3], [1.5, 0.2, 1.4])
    assert stream.known["mount"] == "given"


def test_a_frame_that_is_no_optical_one_looks_along_x(tmp_path, caplog):
    caplog.set_level("INFO")

    def write(bag):
        write_odometry(bag)
        write_camera(bag, count=3, mount=pose_from_euler(1.5, 0.2, 1.4))

    recording = drive(tmp_path, write, camera=False)
    mount = recording.cameras["front"]().calibration.T_vehicle_camera
    np.testing.assert_allclose(mount, FORWARD, atol=1e-12)
    assert "front_optical is no optical frame" in caplog.text


@pytest.mark.parametrize("when", ["last", "never"])
def test_static_frames_may_come_late_or_never(tmp_path, when):
    def write(bag):
        write_odometry(bag)
        for i in range(3):
            bag.image("/front/image", START + i * STEP, bytes(768), (24, 32), "mono8",
                      frame="/front_optical")  # fmt: skip
        if when == "last":
            late = START + COUNT * STEP
            bag.transform("/tf_static", late, "/base_link", "/front_optical", FORWARD)

    recording = drive(tmp_path, write, camera=False, camera_matrix="30,30,15,12", kind="db3")
    if when == "last":
        mount = recording.cameras["front"]().calibration.T_vehicle_camera
        np.testing.assert_allclose(mount, FORWARD, atol=1e-9)
    else:
        said = r"front: tf does not say where 'front_optical' is on base_link .*--mounts 'front=X"
        with pytest.raises(TraceError, match=said):
            recording.cameras["front"]()


ANTENNA = np.array([-0.6, 0.4, 1.7])
IMU = pose_from_euler(0.2, 0.1, 0.9, yaw=-math.pi / 2)


def write_fixes(bag, valid=True, lost=(), altitude=lambda i: ALTITUDE, spread=None, count=COUNT):
    """The circle, begun at a yaw from east, by an antenna and a unit that is mounted sideways."""
    for i in range(count):
        pose = planar_pose(0, 0, YAW) @ circle(i)
        place = pose[:3, :3] @ ANTENNA + pose[:3, 3]
        latitude, longitude = degrees_of(place)
        ns = START + i * STEP
        up = ALTITUDE + place[2] if altitude(i) == ALTITUDE else altitude(i)
        status = -1 if i in lost else 0
        bag.fix("/fix", ns, latitude, longitude, up, status=status, spread=spread)
        for k in (0, 1):  # the unit is twice as fast
            turned = pose @ circle(k / 2) @ IMU if k else pose @ IMU
            bag.imu("/imu", ns + k * STEP // 2, turned[:3, :3], (0, 0, RATE), valid=valid)


GIVEN = {"mounts": "antenna=-0.6,0.4,1.7;imu=0.2,0.1,0.9,0,0,-90"}


def test_the_rear_axle_is_where_antenna_and_unit_say(tmp_path):
    recording = drive(tmp_path, lambda bag: write_fixes(bag, spread=(0.01, 0.03, 1)), **GIVEN)
    motion = recording.motion
    on_the_circle(motion, atol=2e-3, twist=0.05)
    np.testing.assert_allclose(motion.yaw_rate, RATE, atol=1e-6)
    assert recording.origin.latitude == pytest.approx(LATITUDE, abs=1e-8)
    assert recording.origin.longitude == pytest.approx(LONGITUDE, abs=1e-8)
    assert recording.origin.altitude == pytest.approx(ALTITUDE, abs=1e-3)
    assert recording.origin.heading == pytest.approx(YAW)
    np.testing.assert_allclose(motion.further["position_std"], math.sqrt(0.02))


def test_antenna_and_unit_may_be_placed_by_tf(tmp_path):
    def write(bag):
        bag.transform("/tf_static", START, "base_link", "gps", pose_from_euler(*ANTENNA))
        bag.transform("/tf_static", START, "base_link", "imu_link", IMU)
        write_fixes(bag)

    on_the_circle(drive(tmp_path, write).motion, atol=2e-3, twist=0.05)


def test_without_an_orientation_the_course_is_the_heading(tmp_path, caplog):
    caplog.set_level("INFO")

    def write(bag):
        write_fixes(bag, valid=False)

    recording = drive(tmp_path, write, mounts="antenna=0,0,1.7")
    assert "tells no orientation (orientation_covariance[0] is -1" in caplog.text
    assert "takes the heading from the course, and the car as level" in caplog.text
    # The antenna goes on a smaller circle, 0.4 m left and 0.6 m behind of the axle's.
    inner = math.hypot(RADIUS - ANTENNA[1], ANTENNA[0])
    np.testing.assert_allclose(recording.motion.speed, RATE * inner, atol=0.05)
    np.testing.assert_allclose(recording.motion.yaw_rate, RATE, atol=0.02)


def test_fixes_that_are_none_are_left_out_and_unknown_altitudes_level(tmp_path, caplog):
    caplog.set_level("INFO")

    def write(bag):
        write_fixes(bag, lost=(0, 5), altitude=lambda i: math.nan if i > 6 else ALTITUDE)

    motion = drive(tmp_path, write, **GIVEN).motion
    # Before the first there is nothing; the other lost one lies on the curve through the rest.
    np.testing.assert_array_equal(motion.t_ns, START + STEP * np.arange(1, 12))
    on_the_circle(motion, atol=4e-3, twist=0.1)
    assert "2 of 12 messages have no fix" in caplog.text
    assert "the altitude is not known everywhere" in caplog.text
    np.testing.assert_allclose(motion.position[:, 2], 0, atol=2e-3)


def test_between_slow_fixes_the_car_follows_a_curve(tmp_path, caplog):
    """At one a second, 5 m apart, chords of the circle would be 0.16 m off it."""
    caplog.set_level("INFO")

    def write(bag):
        for i in range(81):
            pose = planar_pose(0, 0, YAW) @ circle(i)
            if i % 10 == 0:
                bag.fix("/fix", START + i * STEP, *degrees_of(pose[:3, 3]), ALTITUDE)
            bag.imu("/imu", START + i * STEP, pose[:3, :3], (0, 0, RATE))

    motion = drive(tmp_path, write).motion
    assert len(motion.t_ns) == 81
    wanted = np.array([circle(i)[:3, 3] for i in range(81)])
    off = np.linalg.norm(motion.position - wanted, axis=1)
    assert off[10:-10].max() < 0.02
    assert off.max() < 0.06
    assert "poses between its messages are of a smooth curve" in caplog.text


def test_no_fix_at_all_and_degrees_that_are_none_are_refused(tmp_path):
    with pytest.raises(TraceError, match=r"/fix: 12 of 12 messages have no fix \(status -1"):
        drive(tmp_path / "a", lambda bag: write_fixes(bag, lost=range(COUNT)))

    def write(bag):
        for i in range(3):
            bag.fix("/fix", START + i * STEP, 4.9e8, 8.4e7, 100.0)

    with pytest.raises(TraceError, match="/fix: latitude and longitude must be in degrees"):
        drive(tmp_path / "b", write)


def test_a_motion_of_no_car_names_the_topic_and_the_unit(tmp_path):
    """Positions in mm; headings in degrees that are told as radians."""

    def in_mm(bag):
        for i in range(COUNT):
            pose = circle(i)
            pose[:3, 3] *= 1000
            bag.odometry("/odom", START + i * STEP, pose, (5000, 0, 0), (0, 0, RATE))

    said = r"drive: /odom: pose 0: speed is 5000 m/s, above 150; positions must be in m"
    with pytest.raises(TraceError, match=said):
        drive(tmp_path, in_mm)

    def in_degrees(bag):
        for i in range(COUNT):
            rate = math.degrees(RATE)
            bag.odometry("/odom", START + i * STEP, circle(i), (5, 0, 0), (0, 0, rate))

    (tmp_path / "b").mkdir()
    said = r"/odom: pose 0: yaw rate is 14\.32 rad/s, above 10; it must be in rad/s"
    with pytest.raises(TraceError, match=said):
        drive(tmp_path / "b", in_degrees)

    def too_rare(bag):
        for i in range(COUNT):
            bag.odometry("/odom", START + i * 1000 * STEP, circle(i))

    (tmp_path / "c").mkdir()
    with pytest.raises(TraceError, match=r"/odom: poses are 100 s apart; is their time in anoth"):
        drive(tmp_path / "c", too_rare)
