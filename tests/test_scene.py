"""Scenes: several bodies at one moment of a recording."""

import copy
import math
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gymnasium.vector import SyncVectorEnv
from gymnasium.wrappers import TimeLimit
from range_sensor import RangeSpec
from same_bytes import assert_same

from vista_sim import CameraSpec
from vista_sim.car import Place
from vista_sim.dynamics import state as c
from vista_sim.dynamics.action import Action
from vista_sim.envs.lane_following import lane_following_env, lane_following_vector_env
from vista_sim.errors import TraceError, WorldError
from vista_sim.scene.behaviour import RecordedDrive
from vista_sim.scene.box import PAINTS, Box
from vista_sim.scene.company import overlaps
from vista_sim.sensors.randomization import Randomization
from vista_sim.traces.trace import Trace
from vista_sim.transforms import inverse, planar_pose
from vista_sim.world import World

SIZE = (60, 120)
STRAIGHT = Action(0.0)


@pytest.fixture(scope="module")
def tracked_trace(road_trace, tmp_path_factory):
    """The road with a van that drives ahead at 8 m/s, 14 m before the recording car, and is lost
    after 6 s, and one that stands beside the road, 40 m from its start."""
    folder = tmp_path_factory.mktemp("traces") / "tracked"
    shutil.copytree(road_trace, folder)
    t = np.arange(0, 6.01, 0.1)
    path = Trace.open(road_trace).path
    poses = []
    for moment in t:
        ahead = path.pose(14.0 + 8.0 * moment)
        half = math.atan2(ahead[1, 0], ahead[0, 0]) / 2
        poses.append([*ahead[:2, 3], 0.0, 0.0, 0.0, math.sin(half), math.cos(half)])
    standing = [[40.0, 6.0, 0.0, 0.0, 0.0, 0.0, 1.0]] * len(t)
    pq.write_table(
        pa.table(
            {
                "t_ns": np.repeat(np.round(t * 1e9), 2).astype(np.int64),
                "track_id": np.tile([7, 9], len(t)),
                "category": ["van", "car"] * len(t),
                "pose": [pose for pair in zip(poses, standing, strict=True) for pose in pair],
                "size": [[5.0, 2.0, 2.2], [4.0, 1.8, 1.5]] * len(t),
            }
        ),
        folder / "tracks.parquet",
    )
    return folder


def two(trace, ahead=12.0, **settings):
    """A scene whose second car starts so far ahead of the first, both with cameras."""
    world = World(trace, **settings)
    scene = world.spawn_scene(np.random.default_rng(3))
    first, second = scene.spawn_agent(), scene.spawn_agent(place=Place(ahead))
    for car in (first, second):
        car.spawn_camera("camera", SIZE)
    return scene, first, second


def drawn(image, paint):
    """How many pixels have a shade of a paint."""
    pixels = image.reshape(-1, 3).astype(float)
    paint = np.array(paint) / np.linalg.norm(paint)
    length = np.linalg.norm(pixels, axis=1)
    return int((pixels @ paint > 0.998 * np.maximum(length, 1)).sum())


def test_two_cars_of_a_scene_see_each_other_and_those_of_two_scenes_do_not(road_trace):
    _, behind, before = two(road_trace)
    behind.reset(0, s=20.0, lateral=0.0, heading=0.0)
    assert before.s == pytest.approx(32.0)
    before.observe()
    # 12 m between the rear axles; the camera looks ahead, so only the car behind sees the other.
    alone = World(road_trace).spawn_agent()
    alone.spawn_camera("camera", SIZE)
    alone.reset(0, s=20.0, lateral=0.0, heading=0.0)
    differs = (behind.observations["camera"] != alone.observations["camera"]).any(axis=-1)
    assert drawn(behind.observations["camera"], PAINTS[1]) > 100
    assert drawn(alone.observations["camera"], PAINTS[1]) == 0
    # Its outline: the box's corners in the camera, by pinhole. The rear is 11.1 - 1.5 m ahead.
    lens = behind.world.cameras.camera(0, CameraSpec(SIZE)).lens
    rows, columns = np.nonzero(differs)
    depth = 12.0 - 0.9 - 1.5
    assert abs(np.ptp(columns) + 1 - lens.fx * 1.8 / depth) < 2
    assert abs(rows.max() + 1 - (lens.cy + lens.fy * (1.4 / depth - 0.08))) < 3
    alone.reset(0, s=before.s, lateral=before.lateral, heading=before.heading_error)
    assert_same(before.observations["camera"], alone.observations["camera"])
    # Pictures by other cameras show it too.
    assert_same(behind.render(CameraSpec(SIZE))[0], behind.observations["camera"])


def test_a_scene_steps_alike_with_a_car_and_with_what_was_recorded_of_it(road_trace):
    scene, first, second = two(road_trace, ahead=-10.0)
    rng = np.random.default_rng(0)
    scene.reset()
    start = (first.trace_index, first.s, first.lateral, first.heading_error)
    actions = [{first: Action(rng.uniform(-0.03, 0.03)), second: Action(0.01)} for _ in range(12)]
    rows, times, seen = [second.state[0].copy()], [scene.time], []
    for step in actions:
        scene.step(step)
        rows.append(second.state[0].copy())
        times.append(scene.time)
        seen.append((first.observations["camera"].copy(), first.reward_terms, first.state.copy()))

    world = World(road_trace)
    again = world.spawn_scene(np.random.default_rng(3))
    car = again.spawn_agent()
    car.spawn_camera("camera", SIZE)
    again.add(
        RecordedDrive(np.array(rows), np.array(times), Box.of_vehicle(second.vehicle, PAINTS[1]))
    )
    car.reset(*start)
    for step, (image, terms, row) in zip(actions, seen, strict=True):
        car.step(step[first])
        assert_same(car.observations["camera"], image)
        assert car.reward_terms == terms
        assert_same(car.state[0, : c.VIEW_SECONDS], row[0, : c.VIEW_SECONDS])
    car.step(STRAIGHT)  # beyond what was recorded of it, the other is not there
    assert len(world.present(0)) == 1
    assert drawn(car.observations["camera"], PAINTS[1]) == 0


def test_the_clock_of_a_scene_starts_where_its_first_car_does_and_goes_on_evenly(road_trace):
    scene, first, second = two(road_trace, ahead=8.0, dt=0.05)
    assert math.isnan(scene.time)
    first.reset(0, s=40.0, lateral=0.0, heading=0.0)
    assert scene.time == pytest.approx(5.0, abs=1e-4)  # 40 m at 8 m/s
    slow = Action(0.0, -3.0)
    for _ in range(10):
        scene.step({first: slow, second: STRAIGHT})
    assert scene.time == pytest.approx(5.5, abs=1e-4)
    # It is behind what was recorded, by (3 m/s²) / 2 (0.5 s)² at 8 m/s.
    assert scene.time - first.scene_time == pytest.approx(0.375 / 8, abs=0.005)
    first.reset(0, s=16.0, lateral=0.0, heading=0.0)
    assert scene.time == pytest.approx(2.0, abs=1e-4)


def test_recorded_road_users_are_where_they_were_recorded(tracked_trace):
    world = World(tracked_trace, tracks=True)
    car = world.spawn_agent()
    car.spawn_camera("camera", SIZE)
    car.reset(0, s=16.0, lateral=0.0, heading=0.0)  # 2 s
    rows = world.present(0)
    assert len(rows) == 3
    assert world.table[rows, c.ROLE].tolist() == [c.LEARNER, c.REPLAY, c.REPLAY]
    van = world.table[rows[1]]
    assert np.hypot(van[c.X] - car.x, van[c.Y] - car.y) == pytest.approx(14.0, abs=0.02)
    # The rear of the van is 14 - 2.5 m ahead of the rear axle, 10 m ahead of the camera.
    view = car.view().look(CameraSpec(SIZE))
    lens = world.cameras.camera(0, CameraSpec(SIZE)).lens
    row = round(lens.cy + lens.fy * ((1.4 - 1.1) / 10 - 0.08))  # of the middle of its rear
    assert 1 / view.inverse_depth[0, row, SIZE[1] // 2] == pytest.approx(10.0, abs=0.1)
    assert car.world.boxes[int(van[c.BOX])].size == (5.0, 2.0, 2.2)
    for _ in range(5):
        car.step(STRAIGHT)
    van = world.table[rows[1]]
    expected = world.traces[0].path.pose(14.0 + 8.0 * 2.5)[:2, 3]
    np.testing.assert_allclose(van[[c.X, c.Y]], expected, atol=1e-6)
    car.reset(0, s=52.0, lateral=0.0, heading=0.0)  # 6.5 s: both were lost
    assert world.present(0).tolist() == [car.row]


def test_a_track_that_is_inclined_is_replayed_so(tracked_trace, tmp_path):
    folder = tmp_path / "inclined"
    shutil.copytree(tracked_trace, folder)
    table = pq.read_table(folder / "tracks.parquet").to_pydict()
    half = 0.05  # 0.1 rad nose up
    table["pose"] = [[*p[:3], 0.0, -math.sin(half), 0.0, math.cos(half)] for p in table["pose"]]
    pq.write_table(pa.table(table), folder / "tracks.parquet")
    world = World(folder, tracks=True)
    car = world.spawn_agent()
    car.reset(0, s=16.0, lateral=0.0, heading=0.0)
    bodies = world.company(0, np.array([car.row]))
    assert len(bodies) == 2
    for pose in bodies.pose:
        assert pose[2, 0] == pytest.approx(math.sin(0.1))


@pytest.mark.parametrize("mode", ["next_step", "same_step"])
def test_a_vector_environment_replays_tracks_as_single_ones_do(tracked_trace, mode):
    settings = {
        "traces": [tracked_trace],
        "section": (0.0, 7.0),
        "sensors": {"camera": CameraSpec((24, 48)), "range": RangeSpec()},
        "world_options": {"tracks": True},
        "randomization": Randomization(noise=4.0, mount_jitter=(0.05, 0.01)),
    }
    many = lane_following_vector_env(3, autoreset_mode=mode, max_episode_steps=5, **settings)
    each = SyncVectorEnv(
        [lambda: TimeLimit(lane_following_env(**settings), 5)] * 3,
        autoreset_mode=many.autoreset_mode,
    )
    assert_same(many.reset(seed=4)[0], each.reset(seed=4)[0])
    rng, boxes = np.random.default_rng(0), 0
    for _ in range(8):
        actions = rng.uniform(-0.2, 0.2, (3, 1)).astype(np.float32)
        ours, theirs = many.step(actions), each.step(actions)
        assert_same(ours[:4], theirs[:4])
        boxes += sum(len(many.envs[0].world.present(scene)) - 1 for scene in range(3))
    assert boxes > 0
    many.close(), each.close()


def test_a_car_with_a_driver_goes_along_and_learners_alone_need_actions(road_trace):
    world = World(road_trace)
    scene = world.spawn_scene()
    ego = scene.spawn_agent()
    seen = []

    def driver(car):
        seen.append((car.s, car.observations["speed"].item()))
        return Action(0.0, 1.0)

    other = scene.spawn_agent(driver, place=Place(15.0))
    ego.reset(0, s=10.0, lateral=0.0, heading=0.0)
    assert [car.state[0, c.ROLE] for car in scene.cars] == [c.LEARNER, c.SCRIPT]
    ego.step(STRAIGHT)
    ego.step(STRAIGHT)
    assert [s for s, _ in seen] == pytest.approx([25.0, 25.0 + 8.05 * 0.1], abs=1e-3)
    assert other.speed == pytest.approx(8.2)
    third = scene.spawn_agent(place=Place(-8.0))
    ego.reset(0, s=20.0, lateral=0.0, heading=0.0)
    with pytest.raises(WorldError, match="has no action"):
        ego.step(STRAIGHT)
    scene.step({ego: STRAIGHT, third: STRAIGHT})
    stranger = World(road_trace).spawn_agent()
    with pytest.raises(WorldError, match="another scene"):
        scene.step({ego: STRAIGHT, third: STRAIGHT, stranger: STRAIGHT})
    with pytest.raises(WorldError, match="another world"):
        world.step({stranger: STRAIGHT})


def test_a_car_whose_episode_is_over_is_there_no_longer(road_trace):
    scene, behind, before = two(road_trace, ahead=12.0)
    behind.reset(0, s=20.0, lateral=0.0, heading=0.0)
    for _ in range(60):
        if before.done:
            break
        scene.step({behind: STRAIGHT, before: Action(0.2)})
    assert before.ending is not None
    assert not behind.done
    scene.step({behind: STRAIGHT})
    assert scene._world.present(0).tolist() == [behind.row]
    assert drawn(behind.observations["camera"], PAINTS[1]) == 0


@pytest.mark.parametrize("wrong", [{"ahead": math.nan}, {"ahead": 5.0, "heading": "left"}])
def test_a_place_that_is_no_number_is_refused_and_not_taken_for_the_end_of_the_road(wrong):
    with pytest.raises(WorldError, match=r"place (ahead|heading) is"):
        Place(**wrong)


def test_drawn_starts_keep_clear_of_other_bodies(road_trace):
    world = World(road_trace, section=(2.0, 8.0))
    scene = world.spawn_scene(np.random.default_rng(0))
    cars = [scene.spawn_agent() for _ in range(3)]
    for _ in range(20):
        scene.reset()
        for car in cars:
            gaps = [abs(car.s - other.s) for other in cars if other is not car]
            assert min(gaps) >= 4.5 + 1.0 - 0.05  # a car's length and the clearance
    # One that is put there all the same is, and one whose place is beyond the road is not.
    cars[1].start(0, s=cars[0].s, lateral=0.0, heading=0.0)
    assert not cars[1].done
    far = scene.spawn_agent(place=Place(1000.0))
    cars[0].start(0, s=20.0, lateral=0.0, heading=0.0)
    assert far.done
    assert far.row not in world.present(0)


def test_what_is_drawn_in_a_scene_does_not_depend_on_other_scenes(road_trace):
    def drive(company):
        world = World(road_trace, randomization=Randomization(noise=5.0))
        scene = world.spawn_scene(np.random.default_rng(7))
        car = scene.spawn_agent()
        car.spawn_camera("camera", (20, 40))
        others = [world.spawn_scene(np.random.default_rng(k)) for k in range(company)]
        for other in others:
            other.spawn_agent().spawn_camera("camera", (20, 40))
        images = []
        for _ in range(2):
            world.reset()
            for _ in range(3):
                world.step(dict.fromkeys(world.cars, STRAIGHT))
                images.append(car.observations["camera"].copy())
        return np.stack(images)

    assert_same(drive(0), drive(3))


def test_a_world_with_scenes_is_copied_whole(tracked_trace):
    world = World(tracked_trace, tracks=True)
    scene = world.spawn_scene(np.random.default_rng(1))
    scene.spawn_agent().spawn_camera("camera", (20, 40))
    world.reset()
    other = copy.deepcopy(world)
    for one in (world, other):
        for _ in range(3):
            one.step({one.cars[0]: Action(0.01)})
    assert_same(other.table[:, : c.VIEW_SECONDS], world.table[:, : c.VIEW_SECONDS])
    assert_same(other.cars[0].observations, world.cars[0].observations)


def test_rows_of_bodies_that_are_gone_are_used_again(tracked_trace, road_trace):
    world = World([tracked_trace, road_trace], tracks=True)
    scene = world.spawn_scene()
    car = scene.spawn_agent()
    for k in range(10):
        car.start(trace=k % 2, s=16.0, lateral=0.0, heading=0.0)
        assert len(world.present(0)) == (3, 1)[k % 2]
    assert len(world.table) <= 4


@pytest.mark.parametrize(
    ("x", "y", "yaw", "touch"),
    [
        (4.4, 0.0, 0.0, True),
        (4.6, 0.0, 0.0, False),
        (0.0, 1.7, 0.0, True),
        (0.0, 1.9, 0.0, False),
        # At 45 degrees, the corner of one meets the long side of the other: along its normal
        # they reach (2.25 + 0.9) / sqrt(2) and 0.9, so that they touch up to 3.15 + 0.9 sqrt(2).
        (4.42, 0.0, math.pi / 4, True),
        (4.43, 0.0, math.pi / 4, False),
    ],
)
def test_boxes_touch_as_their_rectangles_do(x, y, yaw, touch):
    box = Box((4.5, 1.8, 1.5))
    table = np.zeros((2, c.WIDTH))
    table[1, [c.X, c.Y, c.YAW]] = x, y, yaw
    assert overlaps(table, 0, np.array([1]), [box], 0.0) is touch
    assert overlaps(table, 1, np.array([0]), [box], 0.0) is touch


def test_a_drive_that_cannot_be_replayed_is_refused():
    box = Box((4.5, 1.8, 1.5))
    with pytest.raises(WorldError, match="2 rows and 1 times"):
        RecordedDrive(np.zeros((2, c.WIDTH)), np.array([0.0]), box)
    with pytest.raises(WorldError, match="must increase"):
        RecordedDrive(np.zeros((2, c.WIDTH)), np.array([1.0, 1.0]), box)


def test_tracks_that_cannot_be_read_stop_the_start(tracked_trace, tmp_path):
    folder = tmp_path / "broken"
    shutil.copytree(tracked_trace, folder)
    (folder / "tracks.parquet").write_bytes(b"PAR1")
    car = World(folder, tracks=True).spawn_agent()
    with pytest.raises(TraceError, match=r"tracks\.parquet"):
        car.reset(0, s=16.0)


def test_an_environment_seeds_its_scene(tracked_trace):
    env = lane_following_env(tracked_trace, size=(20, 40), world_options={"tracks": True})
    first = env.reset(seed=5)[0], env.reset()[0]
    again = env.reset(seed=5)[0], env.reset()[0]
    assert_same(first, again)
    assert (first[0]["camera"] != first[1]["camera"]).any()


def test_bodies_are_told_in_the_recorded_cars_frame(road_trace):
    scene, behind, before = two(road_trace, ahead=20.0)
    behind.start(0, s=50.0, lateral=0.4, heading=0.05)
    bodies = scene._world.company(0, np.array([behind.row, before.row]))
    recording = behind.trace
    expected = (
        inverse(recording.pose(behind.scene_time))
        @ recording.pose(before.scene_time)
        @ planar_pose(0.5 * 4.5 - 0.9, 0.0, 0.0)
    )
    np.testing.assert_allclose(bodies.pose[0], expected, atol=1e-3)  # a path is smooth
    assert bodies.starts.tolist() == [0, 1, 2]
