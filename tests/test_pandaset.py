"""PandaSet: a sequence that is computed here, and the recorded one where it is."""

import gzip
import json
import math
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from pickles import Call, pickled, write_frame
from scipy.spatial.transform import Rotation

from vista_sim.errors import TraceError
from vista_sim.traces.importers.selection import Selection
from vista_sim.traces.importers.write import import_recording
from vista_sim.traces.trace import Trace
from vista_sim.transforms import matrix_from_quaternion

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "pandaset"
START = 1557539956.5  # s
SPEED, RADIUS, COUNT = 5.0, 25.0, 20
YAW = 0.8  # of the car when the clock says START, rad from east
HEIGHT = 0.31  # of the frame of the poses
#: m. Mounts are told by places between two poses, on the chord of the circle: up to
#: (SPEED * 0.1 s)^2 / (8 RADIUS) inside of it.
CHORD = 1.3e-3
LATITUDE, LONGITUDE, ALTITUDE = 37.776, -122.399, 2.95
#: Seconds before the scanner's time stamp, places in the car (x right, y ahead, z up), yaw.
CAMERAS = {
    "front": (0.05, (0.0, 0.85, 1.81), 0.0),
    "front_left": (0.06, (-0.64, 1.52, 1.53), 0.9),
    "back": (0.1, (0.03, -0.25, 1.66), math.pi),
}
SIZE = (54, 96)
STATIC = np.array([12.0, 3.0, 1.5])  # a place in the frame of the data
BOX = {"yaw": 0.3, "width": 1.9, "length": 4.6, "height": 1.5}
CAMERA_AXES = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # in the car, looking ahead


def car_at(t):
    """Pose of the car, x right and y ahead, t seconds after START; on a circle to the left."""
    turned = SPEED * t / RADIUS
    x, y = RADIUS * math.sin(turned), RADIUS * (1 - math.cos(turned))
    pose = np.eye(4)
    pose[:3, 3] = Rotation.from_euler("z", YAW).apply([x, y, 0.0])
    pose[:3, :3] = Rotation.from_euler("z", YAW + turned - math.pi / 2).as_matrix()
    return pose


def as_json(pose):
    x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat()
    return {
        "position": dict(zip("xyz", pose[:3, 3].tolist(), strict=True)),
        "heading": {"w": w, "x": x, "y": y, "z": z},
    }


def write_poses(folder, early, mount):
    folder.mkdir(parents=True)
    times = [0.1 * i - early for i in range(COUNT)]
    poses = [as_json(car_at(t) @ mount) for t in times]
    (folder / "poses.json").write_text(json.dumps(poses))
    (folder / "timestamps.json").write_text(json.dumps([START + t for t in times]))


def box_place(t):
    """A car that goes along its heading at 3 m/s."""
    heading = BOX["yaw"] + math.pi / 2
    return 20 + 3 * t * math.cos(heading), 5 + 3 * t * math.sin(heading), 0.5


def boxes(i):
    """A moving car by both scanners, each with its own name, and a cone that only one sees."""
    x, y, z = box_place(0.1 * i)
    rows = [
        ("first", "Car", x, y, z, 0, "second"),
        ("second", "Car", x + 0.4, y, z, 1, "first"),
        ("cone", "Cones", 6.0, 1.0, 0.0, -1, "-"),
    ]
    if i == 7:  # the mechanical scanner does not see it
        del rows[0]
    uuid, label, *place, sensor, sibling = zip(*rows, strict=True)
    columns = {
        "uuid": np.array(uuid, dtype=object),
        "label": np.array(label, dtype=object),
        "yaw": np.full(len(rows), BOX["yaw"]),
        "stationary": np.zeros(len(rows), bool),
        "cuboids.sensor_id": np.array(sensor),
        "cuboids.sibling_id": np.array(sibling, dtype=object),
    }
    columns |= {f"position.{a}": np.array(v) for a, v in zip("xyz", place, strict=True)}
    for axis, side in zip("xyz", ("width", "length", "height"), strict=True):
        columns[f"dimensions.{axis}"] = np.full(len(rows), BOX[side])
    return columns


def sweep(i):
    """What both scanners return of one place."""
    t = START + 0.1 * i
    return {
        "x": np.full(3, STATIC[0]),
        "y": np.full(3, STATIC[1]),
        "z": [STATIC[2], STATIC[2] + 1, STATIC[2] + 2],
        "i": [7.0, 8.0, 9.0],
        "t": [t - 0.1, t - 0.02, t + 0.03],
        "d": [0, 0, 1],
    }


def write_sequence(root, cameras=("front", "front_left"), sweeps=(3, 4, 9)):
    folder = root / "002"
    write_poses(folder / "lidar", 0.0, np.eye(4))
    for name, (early, place, yaw) in CAMERAS.items():
        mount = np.eye(4)
        mount[:3, :3] = Rotation.from_euler("z", yaw).as_matrix() @ CAMERA_AXES
        mount[:3, 3] = place
        camera = folder / "camera" / f"{name}_camera"
        write_poses(camera, early, mount)
        lens = {"fx": 98.5, "fy": 98.5, "cx": 48.5, "cy": 24.1}
        (camera / "intrinsics.json").write_text(json.dumps(lens))
        for i in range(COUNT) if name in cameras else ():
            image = np.full((*SIZE, 3), 40 + 8 * i, np.uint8)
            cv2.imwrite(str(camera / f"{i:02d}.jpg"), image)
    for i in sweeps:
        write_frame(folder / "lidar" / f"{i:02d}.pkl.gz", sweep(i))
    for i in range(COUNT):
        write_frame(folder / "annotations" / "cuboids" / f"{i:02d}.pkl.gz", boxes(i))
    (folder / "meta").mkdir()
    row = {"lat": LATITUDE, "long": LONGITUDE, "height": ALTITUDE, "xvel": 0, "yvel": SPEED}
    (folder / "meta" / "gps.json").write_text(json.dumps([row] * COUNT))
    return root


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    return write_sequence(tmp_path_factory.mktemp("pandaset") / "data")


@pytest.fixture
def data(pristine, tmp_path):
    return shutil.copytree(pristine, tmp_path / "data")


@pytest.fixture(scope="module")
def trace(pristine, tmp_path_factory):
    return Trace.open(import_recording(pristine, tmp_path_factory.mktemp("made") / "t"))


def in_world(places, start=0.0):
    """Places of the data in the world of the trace: where the car was at the first image."""
    first = car_at(start - CAMERAS["front"][0])
    heading = math.atan2(first[1, 1], first[0, 1])
    turn = Rotation.from_euler("z", -heading)
    return turn.apply(np.asarray(places) - first[:3, 3]) + np.array([0, 0, HEIGHT])


def test_the_rear_axle_follows_its_circle_on_the_road(trace):
    turned = SPEED * 0.1 * np.arange(COUNT) / RADIUS
    wanted = RADIUS * np.stack([np.sin(turned), 1 - np.cos(turned), 0 * turned], axis=1)
    np.testing.assert_allclose(trace.ego.position, wanted, atol=2e-3)
    np.testing.assert_allclose(trace.ego.yaw, turned, atol=1e-4)
    np.testing.assert_allclose(trace.ego.speed, SPEED, atol=5e-3)
    np.testing.assert_allclose(trace.ego.yaw_rate, SPEED / RADIUS, atol=1e-3)
    assert trace.start_ns == pytest.approx((START - 0.05) * 1e9, abs=300)  # of a double
    assert trace.findings == ()


def test_the_trace_tells_source_licence_and_what_is_known(trace):
    assert trace.name == "pandaset-002"
    assert trace.source == "PandaSet, sequence 002"
    assert trace.licence == "CC BY 4.0 with additional terms"
    assert trace.known["front"] == {"lens": "recorded", "mount": "assumed"}
    assert trace.known["pandar64"] == {"mount": "assumed"}
    assert list(trace.lidars) == ["pandar64", "pandar_gt"]  # the mechanical one first


def test_the_trace_says_where_on_earth_it_is(trace):
    assert trace.origin.latitude == pytest.approx(LATITUDE, abs=1e-5)
    assert trace.origin.longitude == pytest.approx(LONGITUDE, abs=1e-5)
    assert trace.origin.heading == pytest.approx(YAW - SPEED * 0.05 / RADIUS, abs=1e-4)


@pytest.mark.parametrize("name", ["front", "front_left"])
def test_cameras_sit_where_they_were_at_their_own_times(trace, name):
    early, (right, ahead, up), yaw = CAMERAS[name]
    mount = trace.cameras[name].calibration.T_vehicle_camera
    np.testing.assert_allclose(mount[:3, 3], [ahead, -right, up + HEIGHT], atol=3e-3)
    np.testing.assert_allclose(mount[:3, 2], [math.cos(yaw), math.sin(yaw), 0], atol=1e-4)
    late = CAMERAS["front"][0] - early
    first = 0 if late >= 0 else 1  # an image before the first pose is left out
    np.testing.assert_allclose(trace.cameras[name].t[0], late + 0.1 * first, atol=1e-6)
    assert abs(int(trace.cameras[name].frame(3).mean()) - (40 + 8 * (3 + first))) <= 2


def test_images_have_the_recorded_lens_and_no_distortion(trace):
    for camera in trace.cameras.values():
        lens = camera.calibration.lens
        assert (lens.fx, lens.fy, lens.cx, lens.cy) == (98.5, 98.5, 48.5, 24.1)
        assert not lens.distorted


def test_points_stay_where_they_are_in_the_world(trace):
    for name, heights, intensity in (
        ("pandar64", (0, 1), (7, 8)),
        ("pandar_gt", (2,), (9,)),
    ):
        lidar = trace.lidars[name]
        assert lidar.calibration.motion_compensated
        np.testing.assert_allclose(lidar.t, [0.3, 0.4, 0.9], atol=1e-6)  # the middles of the turns
        for k in range(3):
            sweep = lidar.sweep(k)
            pose = trace.pose(sweep.t) @ lidar.calibration.T_vehicle_lidar
            wanted = in_world([STATIC + np.array([0, 0, h]) for h in heights])
            np.testing.assert_allclose(
                sweep.points @ pose[:3, :3].T + pose[:3, 3], wanted, atol=CHORD
            )
            assert sweep.intensity.tolist() == list(intensity)
    sweep = trace.lidars["pandar64"].sweep(0)
    np.testing.assert_allclose(sweep.point_t - sweep.t, [-0.05, 0.03], atol=1e-6)


def test_boxes_stand_on_their_underside_and_look_ahead(trace):
    tracks = trace.tracks()
    car = tracks["category"] == "car"
    assert car.sum() == COUNT  # once a frame, by whichever scanner sees it, under one name
    assert len(set(tracks["track_id"][car])) == 1
    assert set(tracks["category"]) == {"car", "cones"}
    np.testing.assert_allclose(tracks["size"][0], [4.6, 1.9, 1.5])
    np.testing.assert_allclose(tracks["t"][car], 0.1 * np.arange(COUNT), atol=1e-6)
    places = np.array([box_place(0.1 * i) for i in range(COUNT)]) - [0, 0, 0.75]
    places[7, 0] += 0.4  # by the other scanner
    np.testing.assert_allclose(tracks["pose"][car, :3], in_world(places), atol=CHORD)
    ahead = matrix_from_quaternion(tracks["pose"][car, 3:])[:, :, 0]
    moved = tracks["pose"][car][-1, :3] - tracks["pose"][car][0, :3]
    np.testing.assert_allclose(ahead @ (moved / np.linalg.norm(moved)), 1, atol=1e-6)


def test_a_later_start_moves_boxes_and_points_along(data, tmp_path):
    selection = Selection(start=0.75, cameras=("front",))
    trace = Trace.open(import_recording(data, tmp_path / "t", selection=selection))
    lidar = trace.lidars["pandar64"]
    sweep = lidar.sweep(0)
    pose = trace.pose(sweep.t) @ lidar.calibration.T_vehicle_lidar
    place = pose[:3, :3] @ sweep.points[0] + pose[:3, 3]
    np.testing.assert_allclose(place, in_world(STATIC, 0.8), atol=CHORD)
    cone = trace.tracks()["category"] == "cones"
    wanted = in_world([[6.0, 1.0, -0.75]], 0.8)
    assert cone.sum() >= 11
    for place in trace.tracks()["pose"][cone, :3]:
        np.testing.assert_allclose(place, wanted[0], atol=CHORD)


def test_cameras_without_images_are_not_taken_and_refused_by_name(data, tmp_path):
    with pytest.raises(TraceError, match=r"back_camera: holds no images"):
        import_recording(data, tmp_path / "t", selection=Selection(cameras=("back",)))
    with pytest.raises(TraceError, match=r"right_camera: holds no images"):
        import_recording(data, tmp_path / "t", selection=Selection(cameras=("right",)))


def test_of_several_sequences_one_is_chosen(data, tmp_path):
    shutil.copytree(data / "002", data / "040")
    with pytest.raises(TraceError, match=r"holds 002, 040; choose one with --sequence"):
        import_recording(data, tmp_path / "t")
    made = import_recording(data, tmp_path / "t", sequence="040")
    assert Trace.open(made).name == "pandaset-040"


def test_recordings_without_lidar_boxes_or_place_are_taken_as_they_are(data, tmp_path):
    for i in (3, 4, 9):
        (data / f"002/lidar/{i:02d}.pkl.gz").unlink()
    shutil.rmtree(data / "002/annotations")
    shutil.rmtree(data / "002/meta")
    trace = Trace.open(import_recording(data, tmp_path / "t"))
    assert not trace.lidars
    assert trace.tracks() == {}
    assert trace.origin is None


def test_unpacked_pickles_are_read_too(data, tmp_path):
    for path in (data / "002/lidar").glob("*.pkl.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    trace = Trace.open(import_recording(data, tmp_path / "t"))
    assert trace.lidars["pandar64"].sweep_count == 3


def spoiled(part, change):
    def spoil(root):
        path = root / "002" / part
        if callable(change):
            value = json.loads(path.read_text())
            change(value)
            path.write_text(json.dumps(value))
        elif isinstance(change, dict):
            write_frame(path, change)
        else:
            path.write_bytes(change)

    return spoil


def without(part):
    def spoil(root):
        path = root / "002" / part
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return spoil


def linked(part, target):
    def spoil(root):
        path = root / "002" / part
        path.unlink()
        path.symlink_to(target)

    return spoil


def no_images(root):
    for path in root.glob("002/camera/*/*.jpg"):
        path.unlink()


def scaled(by):
    def change(poses):
        for pose in poses:
            pose["position"] = {axis: by * value for axis, value in pose["position"].items()}

    return change


def rolled(poses):
    for pose in poses:
        pose["heading"] = dict(zip("wxyz", np.roll(list(pose["heading"].values()), 1), strict=True))


def both(*spoils):
    def spoil(root):
        for one in spoils:
            one(root)

    return spoil


def late(times):
    times[:] = [t + 1000 for t in times]


FRONT, LIDAR, CUBOIDS = "camera/front_camera", "lidar", "annotations/cuboids"
ERRORS = {
    "no poses": (without(f"{FRONT}/poses.json"), r"no sequence is there"),
    "no times": (without(f"{FRONT}/timestamps.json"), r"front_camera/timestamps\.json: not found"),
    "no lens": (without(f"{FRONT}/intrinsics.json"), r"intrinsics\.json: not found"),
    "no images": (no_images, r"camera: holds no images; unpack all"),
    "no JSON": (spoiled(f"{FRONT}/poses.json", b"[{"), r"poses\.json: cannot be read as JSON"),
    "no list": (spoiled(f"{LIDAR}/poses.json", b"{}"), r"lidar/poses\.json: must hold a list"),
    "fewer poses": (
        spoiled(f"{FRONT}/poses.json", lambda poses: poses.pop()),
        r"front_camera/poses\.json: holds 19 poses and 20 times",
    ),
    "one pose": (
        lambda root: [
            spoiled(f"{FRONT}/{name}.json", lambda values: values.__delitem__(slice(1, None)))(root)
            for name in ("poses", "timestamps")
        ],
        r"holds 1 poses; at least 2",
    ),
    "not a number": (
        spoiled(f"{FRONT}/poses.json", lambda poses: poses[3]["position"].update(x=None)),
        r"position\.x of pose 3 is None; it must be a number from .*, in m",
    ),
    "no quaternion": (
        spoiled(f"{FRONT}/poses.json", lambda poses: poses[3]["heading"].update(w=0, x=0.1)),
        r"heading of pose 3 is no quaternion of length 1",
    ),
    "kilometres": (
        spoiled(f"{FRONT}/poses.json", scaled(0.001)),
        r"front_camera/poses\.json: is up to .* m and .* beside where it sits .*in m",
    ),
    "quaternions w last": (
        spoiled(f"{FRONT}/poses.json", rolled),
        r"front_camera/poses\.json: is up to .*quaternions w x y z",
    ),
    "another unit": (
        both(
            spoiled(f"{FRONT}/poses.json", scaled(40)), spoiled(f"{LIDAR}/poses.json", scaled(40))
        ),
        r"front_camera/poses\.json: pose 0: speed is 200.* m/s, above 150; positions must be in m",
    ),
    "milliseconds": (
        spoiled(f"{FRONT}/timestamps.json", lambda times: times.__setitem__(0, 1.5e12)),
        r"timestamps\.json: time 0 is 1500000000000\.0; it must be a number .*, in s",
    ),
    "time runs back": (
        spoiled(f"{FRONT}/timestamps.json", lambda times: times.__setitem__(4, times[2])),
        r"front_camera/poses\.json: time 4 must be after the one before",
    ),
    "another clock": (
        spoiled(f"{FRONT}/timestamps.json", late),
        r"front_camera/poses\.json: its times are none of those of .*one clock",
    ),
    "another lens": (
        spoiled(f"{FRONT}/intrinsics.json", lambda lens: lens.update(cx=970.0)),
        r"intrinsics\.json: .* is not of images of \(54, 96\)",
    ),
    "a focal length of 0": (
        spoiled(f"{FRONT}/intrinsics.json", lambda lens: lens.update(fx=0)),
        r"intrinsics\.json: .* is not of images",
    ),
    "an image cut off": (spoiled(f"{FRONT}/05.jpg", b"\xff\xd8\xff"), r"05\.jpg: cannot be read"),
    "an image that is text": (spoiled(f"{FRONT}/05.jpg", b"image"), r"05\.jpg: cannot be read"),
    "an image beyond": (
        lambda root: shutil.copy(root / f"002/{FRONT}/05.jpg", root / f"002/{FRONT}/25.jpg"),
        r"25\.jpg: .*front_camera holds 20 times; it has none",
    ),
    "a sweep beyond": (
        lambda root: shutil.copy(root / "002/lidar/03.pkl.gz", root / "002/lidar/30.pkl.gz"),
        r"30\.pkl\.gz: .*lidar holds 20 times; it has none",
    ),
    "a sweep cut off": (
        spoiled(f"{LIDAR}/04.pkl.gz", b"\x1f\x8b\x08"),
        r"04\.pkl\.gz: cannot be unp",
    ),
    "a sweep that runs": (
        spoiled(f"{LIDAR}/04.pkl.gz", pickled(Call("posix system", ("touch never",)))),
        r"04\.pkl\.gz: cannot be read as a table \(it asks for 'posix system'.*not run",
    ),
    "boxes that run": (
        spoiled(f"{CUBOIDS}/04.pkl.gz", pickled(Call("builtins eval", ("1",)))),
        r"04\.pkl\.gz: cannot be read as a table \(it asks for 'builtins eval'.*not run",
    ),
    "a sweep without a scanner": (
        spoiled(f"{LIDAR}/04.pkl.gz", {"x": [1.0]}),
        r"04\.pkl\.gz: column 'y' is missing; it has x",
    ),
    "a sweep of another time": (
        spoiled(f"{LIDAR}/04.pkl.gz", sweep(4) | {"t": [START + 50] * 3}),
        r"04\.pkl\.gz: column 't' is up to 49\.\d s beside",
    ),
    "points that are not finite": (
        spoiled(f"{LIDAR}/04.pkl.gz", sweep(4) | {"y": [1.0, np.nan, 2.0]}),
        r"04\.pkl\.gz: row 1: y is nan",
    ),
    "boxes without names": (
        spoiled(f"{CUBOIDS}/04.pkl.gz", boxes(4) | {"label": np.array([3, 3, 3], dtype=object)}),
        r"04\.pkl\.gz: row 0: label is 3; it must be a name",
    ),
    "boxes without size": (
        spoiled(f"{CUBOIDS}/04.pkl.gz", boxes(4) | {"dimensions.x": np.zeros(3)}),
        r"tracks\.parquet: row \d+: size must be positive",
    ),
    "no place": (
        spoiled("meta/gps.json", lambda rows: rows[0].update(lat=377.0)),
        r"gps\.json: lat of row 0 is 377\.0; it must be .*, in degrees",
    ),
    "a link to a device": (linked(f"{LIDAR}/04.pkl.gz", "/dev/zero"), r"04\.pkl\.gz: is a device"),
    "a link to a password": (
        linked(f"{LIDAR}/timestamps.json", "/etc/passwd"),
        r"timestamps\.json: cannot be read as JSON",
    ),
}


@pytest.mark.parametrize("what", ERRORS)
def test_what_is_wrong_is_told_in_one_line(what, data, tmp_path):
    spoil, said = ERRORS[what]
    spoil(data)
    with pytest.raises(TraceError, match=said) as error:
        import_recording(data, tmp_path / "out" / "t", "pandaset")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()
    assert not Path("never").exists()
