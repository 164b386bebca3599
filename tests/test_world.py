"""Cars in a world, against the analytic road and the analytic view of `road_trace`."""

import logging
import math

import numpy as np
import pytest
from conftest import ROAD_SPEED, road_pose, view_of_ground, write_road, write_straight

from vista_sim.dynamics.state import VALIDITY, X, Y
from vista_sim.errors import TraceError, WorldError
from vista_sim.policies import Action, CameraSpec
from vista_sim.tasks.lane_following import Endings, LaneFollowing, Rewards
from vista_sim.tasks.starts import CURVATURE_EDGES, Starts
from vista_sim.transforms import planar_pose
from vista_sim.world import World


@pytest.fixture
def car(road_trace):
    return World(road_trace).spawn_agent()


def drive(car, steps, curvature=None, acceleration=None):
    """Drive with a fixed curvature, or the path's where the car is."""
    for _ in range(steps):
        if car.done:
            break
        k = car.path.curvature(min(car.s, car.path.length)) if curvature is None else curvature
        car.step(Action(k, acceleration))


def test_a_start_stands_where_the_geometry_says(car):
    for s, lateral, heading in ((20.0, 0.0, 0.0), (60.0, 1.2, -0.1), (130.0, -0.7, 0.2)):
        car.reset(trace=0, s=s, lateral=lateral, heading=heading)
        x, y, yaw = road_pose(s)
        assert car.x == pytest.approx(x - lateral * math.sin(yaw), abs=0.02)
        assert car.y == pytest.approx(y + lateral * math.cos(yaw), abs=0.02)
        assert car.yaw == pytest.approx(yaw + heading, abs=0.01)
        assert (car.s, car.lateral) == pytest.approx((s, lateral), abs=1e-3)
        assert car.heading_error == pytest.approx(heading, abs=1e-3)
        assert car.speed == pytest.approx(ROAD_SPEED)
        assert (car.t, car.steps, car.done) == (0.0, 0, False)


def test_a_car_that_holds_the_path_curvature_stays_on_the_path(car):
    car.reset(trace=0, s=0.0, lateral=0.0, heading=0.0)
    worst = 0.0
    while not car.done:
        # Half a step ahead: the action is held over the step.
        ahead = min(car.s + 0.5 * car.speed * car.dt, car.path.length)
        car.step(Action(car.path.curvature(ahead)))
        worst = max(worst, abs(car.lateral))
    assert car.ending == "end_of_trace"
    assert worst < 0.25
    assert car.t == pytest.approx(180.0 / ROAD_SPEED, abs=0.15)


def test_a_car_that_goes_straight_leaves_the_bend_as_the_circle_says(car):
    car.reset(trace=0, s=45.0, lateral=0.0, heading=0.0)  # 5 m into a left bend of 40 m radius
    car.step(Action(0.0))
    while not car.done:
        car.step(Action(0.0))
    assert car.ending == "off_road"
    # A tangent is 2 m from a circle after sqrt((r + 2)² - r²) m; the tires take 0.2 s to align.
    assert car.t * ROAD_SPEED == pytest.approx(math.sqrt(42**2 - 40**2), abs=2.5)
    assert car.lateral < -2.0


def test_each_ending_has_its_name_and_kind(road_trace):
    endings = Endings(max_heading=0.1, time_limit=1.0)
    task = LaneFollowing(endings)
    car = World(road_trace, task=task).spawn_agent()
    car.reset(trace=0, s=0.0, lateral=0.0, heading=0.05)
    drive(car, 100, curvature=0.05)
    assert car.ending == "heading"
    car.reset(trace=0, s=0.0, lateral=0.0, heading=0.0)
    drive(car, 100)
    assert (car.ending, car.steps) == ("time_limit", 10)
    car.reset(trace=0, s=178.0, lateral=0.0, heading=0.0)
    drive(car, 100)
    assert car.ending == "end_of_trace"
    car.reset(trace=0, s=0.0, lateral=2.5, heading=0.0)
    assert car.ending == "off_road"
    kinds = {ending.name: ending.kind for ending in task.endings}
    assert [name for name, kind in kinds.items() if kind == "cut"] == ["end_of_trace", "time_limit"]


def test_the_road_may_end_the_episode_on_each_side(road_trace):
    car = World(road_trace, task=LaneFollowing(Endings(max_lateral="road"))).spawn_agent()
    for lateral, ending in ((2.9, None), (3.1, "off_road"), (-1.4, None), (-1.6, "off_road")):
        car.reset(trace=0, s=20.0, lateral=lateral, heading=0.0)
        assert car.ending == ending, lateral


def test_road_edges_that_are_not_there_are_named(tmp_path):
    write_straight(tmp_path / "straight", lambda t: 8.0)
    task = LaneFollowing(Endings(max_lateral="road"))
    with pytest.raises(WorldError, match=r"road\.parquet"):
        World(tmp_path / "straight", task=task)


def test_speed_is_as_recorded_where_the_car_is(tmp_path):
    t, speed, x = write_straight(tmp_path / "s", lambda t: 9 + 3 * math.sin(0.4 * t))
    car = World(tmp_path / "s").spawn_agent()
    car.reset(trace=0, s=0.0)
    while not car.done:
        assert car.speed == pytest.approx(np.interp(car.x, x, speed), abs=0.05)
        assert car.scene_time == pytest.approx(car.t, abs=0.05)
        car.step(Action(0.0))
    assert car.t == pytest.approx(t[-1], abs=0.15)


def test_acceleration_is_driven_and_braking_ends_in_a_stop(car):
    car.reset(trace=0, s=0.0, lateral=0.0, heading=0.0)
    drive(car, 10, curvature=0.0, acceleration=2.0)
    assert car.speed == pytest.approx(ROAD_SPEED + 2.0)
    assert car.s == pytest.approx(ROAD_SPEED + 1.0, abs=1e-3)
    drive(car, 30, curvature=0.0, acceleration=-5.0)
    assert car.speed == 0.0
    assert car.s == pytest.approx(ROAD_SPEED + 1.0 + 10.0**2 / 10, abs=1e-3)


def test_back_to_recorded_speed_within_the_limits_of_the_vehicle(car):
    car.reset(trace=0, s=0.0, lateral=0.0, heading=0.0)
    drive(car, 8, curvature=0.0, acceleration=-8.0)
    assert car.speed == pytest.approx(1.6)
    drive(car, 1, curvature=0.0)
    assert car.speed == pytest.approx(1.6 + 0.1 * car.vehicle.max_acceleration)


def test_curvature_is_a_target_that_the_tires_approach(car):
    car.reset(trace=0, s=5.0, lateral=0.0, heading=0.0)
    car.step(Action(0.2))
    assert car.tire_angle == pytest.approx(0.06, abs=1e-3)  # 0.6 rad/s for 0.1 s
    assert car.tire_rate == pytest.approx(0.6, abs=0.01)
    assert car.curvature == pytest.approx(math.tan(0.06) / 2.7, abs=1e-3)


def test_the_view_is_what_the_displaced_camera_would_see(road_trace, caplog):
    caplog.set_level(logging.CRITICAL)
    world = World(road_trace)
    car = world.spawn_agent()
    car.spawn_camera("camera", size=(48, 96))
    recorded = world.traces[0].cameras["front"].calibration

    def psnr(a, b):
        rows = slice(26, 48)  # near ground; the far ground is finer than the pixels
        error = (a[rows].astype(float) - b[rows]) ** 2
        return 10 * math.log10(255**2 / error.mean())

    for s, lateral, heading in ((20.0, 1.0, 0.0), (64.0, -1.0, 0.12), (130.0, 0.5, -0.15)):
        car.reset(trace=0, s=s, lateral=lateral, heading=heading)
        image = car.observations["camera"]
        pose = planar_pose(car.x, car.y, car.yaw) @ recorded.T_vehicle_camera
        truth = view_of_ground(recorded.lens, pose)
        on_path = planar_pose(*road_pose(s)) @ recorded.T_vehicle_camera
        assert psnr(image, truth) > 22
        assert psnr(image, truth) > psnr(view_of_ground(recorded.lens, on_path), truth) + 4
        assert car.distance_to_recording == pytest.approx(abs(lateral), abs=0.05)
        assert 0.6 < car.validity <= 1.0


def test_observations_have_the_names_and_sizes_asked_for(car):
    car.spawn_camera("camera", size=(40, 100), fov=1.0)
    car.spawn_camera("wide", size=(30, 60), fov=1.3)
    car.reset(trace=0, s=20.0)
    assert set(car.observations) == {"camera", "wide", "speed"}
    assert car.observations["camera"].shape == (40, 100, 3)
    assert car.observations["wide"].shape == (30, 60, 3)
    assert car.observations["speed"].dtype == np.float32
    with pytest.raises(WorldError, match="already"):
        car.spawn_camera("wide")


def test_a_camera_of_another_name_is_not_the_one_that_a_policy_sees(car):
    car.spawn_camera("front", (20, 40))
    car.reset(trace=0, s=10.0)
    assert car.observations["front"].shape == (20, 40, 3)
    assert car.valid is None
    assert math.isnan(car.validity)


def test_several_cars_drive_on_their_own(road_trace):
    world = World([road_trace, road_trace])
    one, two = world.spawn_agent(), world.spawn_agent()
    world.reset(seed=3)
    assert (one.trace_index, one.s) != (two.trace_index, two.s)
    one.reset(trace=0, s=10.0)
    two.reset(trace=1, s=100.0)
    world.step({one: Action(0.0), two: Action(0.01, -1.0)})
    assert one.s == pytest.approx(10.8, abs=1e-3)
    assert two.speed == pytest.approx(7.9)
    with pytest.raises(WorldError, match="no action"):
        world.step({one: Action(0.0)})


def test_a_car_that_is_done_refuses_to_go_on(car):
    with pytest.raises(WorldError, match="reset"):
        car.step(Action(0.0))
    car.reset(trace=0, s=20.0, lateral=5.0)
    with pytest.raises(WorldError, match="off_road"):
        car.step(Action(0.0))


def test_a_pose_out_of_reach_of_the_path_is_off_the_road(road_trace):
    task = LaneFollowing(Endings(max_lateral=1000.0, max_heading=math.pi))
    car = World(road_trace, task=task).spawn_agent()
    car.reset(trace=0, s=20.0, heading=math.pi / 2)
    drive(car, 100, curvature=0.0, acceleration=3.0)
    assert car.ending == "off_road"


def test_a_section_limits_starts_and_ends(road_trace):
    world = World(road_trace, section=(5.0, 10.0))
    car = world.spawn_agent()
    for seed in range(20):
        world.reset(seed=seed)
        assert 40.0 <= car.s <= 80.0
    while not car.done:
        car.step(Action(car.path.curvature(car.s)))
        assert 5.0 <= car.scene_time <= 10.0
    assert car.ending == "end_of_trace"
    with pytest.raises(WorldError, match=r"can be driven of .* 40\.0 to 80\.0"):
        car.reset(trace=0, s=30.0)


def test_a_stop_separates_sections_that_share_an_arc_length(tmp_path):
    def speed(t):
        return max(0.0, min(6.0, 2 * abs(t - 15.0) - 8.0))

    write_straight(tmp_path / "stop", speed)
    world = World(tmp_path / "stop")
    before, after = world.sections[0]
    car = world.spawn_agent()
    car.reset(trace=0, s=after.start_s)
    assert car.section == after
    car.step(Action(0.0))
    assert car.s > after.start_s
    car.reset(trace=0, s=before.end_s - 2.0)
    assert car.section == before


def test_the_same_seed_draws_the_same_starts(road_trace):
    starts = Starts("uniform", lateral=0.5, heading=0.1)
    poses = []
    for _ in range(2):
        world = World(road_trace, starts=starts)
        cars = [world.spawn_agent() for _ in range(3)]
        world.reset(seed=11)
        poses.append([(car.s, car.lateral, car.heading_error) for car in cars])
    assert poses[0] == poses[1]
    assert len(set(poses[0])) == 3


def test_uniform_starts_cover_the_road_evenly_and_keep_a_runway(road_trace):
    world = World(road_trace, starts=Starts(lateral=0.5, heading=0.1, runway=20.0))
    rng = np.random.default_rng(0)
    drawn = [world.sampler.draw(rng) for _ in range(4000)]
    s = np.array([start.s for start in drawn])
    assert s.min() >= 0.0
    assert s.max() <= 160.0
    counts, _ = np.histogram(s, bins=8, range=(0, 160))
    assert np.abs(counts - 500).max() < 120
    assert np.abs([start.lateral for start in drawn]).max() == pytest.approx(0.5, abs=0.01)
    assert np.abs([start.heading for start in drawn]).max() == pytest.approx(0.1, abs=0.002)


def test_balanced_starts_take_each_class_of_curvature_as_often(road_trace):
    world = World(road_trace, starts=Starts("curvature"))
    rng = np.random.default_rng(0)
    path = world.traces[0].path
    curvature = [path.curvature(world.sampler.draw(rng).s) for _ in range(3000)]
    kinds = np.unique(np.digitize(curvature, CURVATURE_EDGES), return_counts=True)[1]
    straight = np.mean(np.abs(curvature) < 0.002)
    assert straight < 0.25  # more than half of the road is straight
    assert kinds.min() > 0.5 * 3000 / len(kinds)


def test_starts_of_mode_start_are_the_sections_beginnings(road_trace):
    world = World([road_trace, road_trace], starts=Starts("start"))
    rng = np.random.default_rng(0)
    drawn = [world.sampler.draw(rng) for _ in range(50)]
    assert {start.s for start in drawn} == {0.0}
    assert {start.trace for start in drawn} == {0, 1}
    assert {world.sampler.draw(rng, trace=1).trace for _ in range(10)} == {1}


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ({"trace": 2}, "there are 1"),
        ({"trace": -1}, "there are 1"),
        ({"s": 500.0}, "can be driven"),
        ({"s": math.nan}, "finite"),
        ({"lateral": math.inf}, "finite"),
        ({"heading": math.nan}, "finite"),
    ],
)
def test_starts_that_cannot_be_are_refused(car, start, message):
    with pytest.raises(WorldError, match=message):
        car.reset(**start)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"traces": []}, "empty"),
        ({"dt": 0.0}, "dt is"),
        ({"section": (100.0, 120.0)}, "nothing to drive"),
        ({"min_speed": 9.0}, "nothing to drive"),
    ],
)
def test_worlds_that_cannot_be_are_refused(road_trace, options, message):
    with pytest.raises(WorldError, match=message):
        World(**({"traces": road_trace} | options))


def test_a_trace_that_is_not_there_is_named(tmp_path):
    with pytest.raises(TraceError, match="no such folder"):
        World(tmp_path / "nowhere")


def test_a_recorded_camera_that_is_not_there_is_named(road_trace):
    with pytest.raises(WorldError, match="'rear'; cameras: front"):
        World(road_trace, recorded_camera="rear")


def test_reward_terms_are_what_their_definitions_say(road_trace):
    rewards = Rewards(survive=0.5, progress=0.5, lateral=0.5, heading=0.1, comfort=0.05)
    world = World(road_trace, task=LaneFollowing(Endings(), rewards))
    car = world.spawn_agent()
    car.reset(trace=0, s=10.0, lateral=1.0, heading=0.0)
    car.step(Action(0.0))
    terms = car.reward_terms
    assert terms["survive"] == 0.5
    assert terms["progress"] == pytest.approx(0.5, abs=1e-3)
    assert terms["lateral"] == pytest.approx(-0.5 * 0.5**2, abs=1e-3)
    assert terms["heading"] == pytest.approx(0.0, abs=1e-6)
    assert terms["comfort"] == pytest.approx(0.0, abs=1e-4)
    car.reset(trace=0, s=10.0, lateral=1.9, heading=0.2)
    car.step(Action(0.2))
    terms = car.reward_terms
    assert car.ending == "off_road"
    assert terms["survive"] == 0.0
    assert terms["lateral"] == -0.5
    assert terms["comfort"] == pytest.approx(-0.05, abs=1e-3)
    assert car.reward == pytest.approx(math.fsum(terms.values()), abs=1e-12)
    car.reset(trace=0, s=10.0, lateral=1.0, heading=0.0)
    assert set(car.reward_terms.values()) == {car.reward} == {0.0}


def test_each_car_of_a_world_has_its_own_reward(road_trace):
    world = World(road_trace)
    cars = [world.spawn_agent() for _ in range(3)]  # the table grows meanwhile
    for car, lateral in zip(cars, (0.0, 1.0, -1.5), strict=True):
        car.reset(trace=0, s=10.0, lateral=lateral, heading=0.0)
    world.step({car: Action(0.0) for car in cars})
    terms = [car.reward_terms["lateral"] for car in cars]
    assert terms == pytest.approx([0.0, -0.5 * 0.5**2, -0.5 * 0.75**2], abs=1e-3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Endings(max_lateral=0.0),
        lambda: Endings(max_lateral="lane"),
        lambda: Endings(max_heading=4.0),
        lambda: Endings(time_limit=-1.0),
        lambda: Rewards(survive=math.nan),
        lambda: Starts("random"),
        lambda: Starts(lateral=-1.0),
    ],
)
def test_settings_that_cannot_be_are_refused(make):
    with pytest.raises(WorldError):
        make()


def test_traces_of_different_rigs_share_one_camera(road_trace, tmp_path):
    other = write_road(tmp_path / "other", fov=0.9, size=(40, 60), camera="dash")
    world = World([road_trace, other, road_trace], cameras_kept=2)
    spec = CameraSpec((48, 96))
    first = world.cameras.camera(0, spec)
    assert first.lens.fov == pytest.approx(1.2)
    second = world.cameras.camera(1, spec)
    assert (second.name, second.size) == ("dash", (48, 96))
    assert second.lens.fov == pytest.approx(1.2)
    assert world.cameras.camera(1, CameraSpec((48, 96), fov=0.7)).lens.fov == pytest.approx(0.7)
    # Two are kept: the first one has gone and is made anew.
    assert world.cameras.camera(1, spec) is second
    assert world.cameras.camera(0, spec) is not first


def test_the_recorded_camera_at_another_size_is_the_recorded_camera(road_trace):
    world = World([road_trace, road_trace])
    for trace in (0, 1):
        lens = world.cameras.camera(trace, CameraSpec((24, 48))).lens
        recorded = world.traces[trace].cameras["front"].calibration.lens.resized((24, 48))
        assert (lens.fx, lens.fy, lens.cx, lens.cy) == pytest.approx(
            (recorded.fx, recorded.fy, recorded.cx, recorded.cy)
        )


def test_cars_moved_in_one_call_are_moved_as_each_alone(road_trace):
    together, alone = (World([road_trace], starts=Starts(lateral=1.0, heading=0.1)) for _ in "ab")
    for world in (together, alone):
        for _ in range(7):
            world.spawn_agent()
        world.reset(seed=1)
    rng = np.random.default_rng(0)
    rows = np.arange(7)
    start = together.table[:7].copy()
    for _ in range(30):
        curvature, acceleration = rng.uniform(-0.1, 0.1, 7), rng.uniform(-4, 3, 7)
        for i in rows:
            action = Action(curvature[i], None if i % 2 else acceleration[i])
            together.cars[i].ask(action)
            alone.cars[i].ask(action)
            alone.dynamics(0).step(alone.cars[i].state, np.zeros(1, dtype=np.int64), 0.1)
        together.dynamics(0).step(together.table[:7], rows, 0.1)
        moved = slice(X, VALIDITY)  # not the time that views took
        assert together.table[:7][:, moved].tobytes() == alone.table[:7][:, moved].tobytes()
    assert (np.hypot(*(together.table[:7][:, X : Y + 1] - start[:, X : Y + 1]).T) > 5.0).all()


def test_a_car_carries_on_as_it_moves_in_an_episode_of_its_own(car):
    car.reset(trace=0, s=20.0, lateral=0.4, heading=0.0)
    drive(car, 7, curvature=0.02)
    before = {name: getattr(car, name) for name in ("x", "y", "yaw", "speed", "tire_angle", "s")}
    car.carry_on()
    assert (car.steps, car.t, car.action, car.ending) == (0, 0.0, None, None)
    assert {name: getattr(car, name) for name in before} == before
    drive(car, 3, curvature=0.02)
    assert car.t == pytest.approx(0.3)
    drive(car, 1000, curvature=0.1)
    with pytest.raises(WorldError, match="the car is done"):
        car.carry_on()
