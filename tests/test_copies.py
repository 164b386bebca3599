"""Copies drive as the original would have, and apart from it; or they are refused in one line."""

import copy
import math
import pickle

import gymnasium
import numpy as np
import pytest
from conftest import ROAD_SPEED
from gymnasium.wrappers import RecordEpisodeStatistics, TimeLimit

import vista_sim
from vista_sim.dynamics.state import VIEW_SECONDS
from vista_sim.errors import RunError, WorldError
from vista_sim.policies import Action, CameraSpec
from vista_sim.sensors.randomization import Randomization
from vista_sim.transforms import camera_mount
from vista_sim.world import World

pytestmark = pytest.mark.usefixtures("_unwarned")

SIZE = (24, 48)
CLONES = {"deepcopy": copy.deepcopy, "pickle": lambda x: pickle.loads(pickle.dumps(x))}
RANDOM = Randomization(exposure=0.5, noise=4.0, mount_jitter=(0.05, 0.01))
SCENARIO = """
format = "vista-scenario/1"
name = "worn"
traces = ["TRACE"]
[vehicle]
actuation_delay = 0.15
[sensors]
late_frames = 0.15
dropped_frames = 0.3
[image]
night = 0.3
"""


@pytest.fixture(params=CLONES)
def clone(request):
    return CLONES[request.param]


@pytest.fixture(scope="module")
def scenario(road_trace, tmp_path_factory):
    path = tmp_path_factory.mktemp("scenarios") / "worn.toml"
    path.write_text(SCENARIO.replace("TRACE", str(road_trace)))
    return path


def lane_following(road_trace, **options):
    return gymnasium.make(
        "VistaSim/LaneFollowing-v0",
        traces=[road_trace],
        size=SIZE,
        perturb_lateral=0.3,
        randomization=RANDOM,
        **options,
    )


def flat(values):
    """Whatever a step returned, as nested tuples that compare byte by byte."""
    if isinstance(values, dict):
        return tuple((name, flat(value)) for name, value in values.items())
    if isinstance(values, tuple | list):
        return tuple(flat(value) for value in values)
    return values.tolist() if isinstance(values, np.ndarray) else values


def driven(env, steps=3, action=0.1):
    """What so many steps and a reset after them tell."""
    actions = np.full(env.action_space.shape, action, np.float32)
    return [flat(env.step(actions)) for _ in range(steps)] + [flat(env.reset())]


def test_a_copied_environment_moves_as_the_road_says(road_trace, clone):
    """The first 40 m are straight and driven at one speed."""
    env = gymnasium.make("VistaSim/LaneFollowing-v0", traces=[road_trace], observe="state")
    env.reset(seed=1, options={"s": 10.0, "lateral": 0.0, "heading": 0.0})
    twin = clone(env)
    for _ in range(3):  # the original drives on, first
        env.step(np.zeros(1, np.float32))
    places = [twin.step(np.zeros(1, np.float32))[4]["s"] for _ in range(5)]
    assert places == pytest.approx(10.0 + 0.1 * ROAD_SPEED * np.arange(1, 6), abs=1e-3)
    assert env.step(np.zeros(1, np.float32))[4]["s"] == pytest.approx(10 + 0.4 * ROAD_SPEED)


@pytest.mark.parametrize("kind", ["lane following", "scenario", "wrapped"])
def test_a_copied_environment_gives_the_bytes_of_the_original(road_trace, scenario, kind, clone):
    if kind == "scenario":
        env = gymnasium.make("VistaSim/Scenario-v0", scenario=scenario, size=SIZE)
    else:
        env = lane_following(road_trace)
        if kind == "wrapped":
            env = RecordEpisodeStatistics(TimeLimit(env, 50))
    env.reset(seed=5)
    env.step(np.zeros(1, np.float32))
    twin, again = clone(env), clone(env)
    wanted = driven(env)
    assert driven(twin) == wanted
    assert driven(again) == wanted  # nothing of the other two reached it
    assert driven(twin, action=0.5) != driven(again, action=-0.5)


def test_an_environment_that_was_never_reset_can_be_copied(road_trace, scenario, clone):
    for env in (
        lane_following(road_trace),
        gymnasium.make("VistaSim/Scenario-v0", scenario=scenario, size=SIZE),
    ):
        twin = clone(env)
        assert flat(twin.reset(seed=3)) == flat(env.reset(seed=3))


@pytest.mark.parametrize("mode", ["next_step", "same_step", "disabled"])
def test_a_copied_vector_environment_gives_the_bytes_of_the_original(road_trace, mode, clone):
    envs = gymnasium.make_vec(
        "VistaSim/LaneFollowing-v0",
        num_envs=3,
        vectorization_mode="vector_entry_point",
        traces=[road_trace],
        size=SIZE,
        randomization=RANDOM,
        workers=2,
        autoreset_mode=mode,
    )
    envs.reset(seed=2)
    envs.step(np.zeros((3, 1), np.float32))
    twin = clone(envs)
    wanted = driven(envs)
    assert driven(twin) == wanted
    twin.close()


def test_a_copied_vector_environment_of_scenarios_gives_the_bytes_of_the_original(scenario, clone):
    envs = gymnasium.make_vec("VistaSim/Scenario-v0", num_envs=2, scenario=scenario, size=SIZE)
    envs.reset(seed=2)
    twin = clone(envs)
    wanted = driven(envs)
    assert driven(twin) == wanted


def test_a_copied_world_takes_its_cars_along(road_trace, clone):
    world = World(road_trace)
    first, second = world.spawn_agent(), world.spawn_agent()
    world.reset(seed=4)
    twin = clone(world)
    assert clone(second).world.cars[1].s == second.s  # a car comes with its world
    world.step({first: Action(0.0), second: Action(0.0)})
    cars = twin.cars
    twin.step({cars[0]: Action(0.0), cars[1]: Action(0.0)})
    np.testing.assert_array_equal(twin.table[:, :VIEW_SECONDS], world.table[:, :VIEW_SECONDS])
    assert not np.shares_memory(twin.table, world.table)
    assert [car.s for car in cars] == [first.s, second.s]
    world.reset()
    before = [car.s for car in cars]
    twin.reset()
    assert [car.s for car in cars] == [first.s, second.s] != before  # generators went along
    third = twin.spawn_agent()  # the table is made anew, and all cars with it
    third.reset(s=20.0, lateral=0.0, heading=0.0)
    assert (third.s, cars[0].s, len(world.cars)) == (pytest.approx(20.0), first.s, 2)


def test_a_copied_camera_sees_the_same(road_trace, clone):
    mount = camera_mount(1.4, 0.1, 1.3)
    camera = vista_sim.Camera(road_trace, "front", size=SIZE, fov=1.0, mount=mount)
    wanted = camera.render(4.0, (0.0, 0.5, 0.1))[0]
    for twin in (clone(camera), copy.copy(camera)):
        np.testing.assert_array_equal(twin.render(4.0, (0.0, 0.5, 0.1))[0], wanted)
        assert (twin.names, twin.size) == (camera.names, camera.size)
    with pytest.raises(ValueError, match="read-only"):
        camera.T_vehicle_camera[0, 3] = 9.0


def test_a_trace_does_not_change_and_is_its_own_copy(road_trace):
    trace = vista_sim.Trace.open(road_trace)
    assert copy.copy(trace) is trace
    assert copy.deepcopy(trace) is trace
    assert pickle.loads(pickle.dumps(trace)) is trace  # while it is open and as it was
    for array in (trace.road["left"], trace.ego.position, trace.path.points):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 9.0


def test_shallow_copies_of_what_drives_are_refused(road_trace):
    world = World(road_trace)
    car = world.spawn_agent()
    env = lane_following(road_trace).unwrapped
    envs = gymnasium.make_vec("VistaSim/LaneFollowing-v0", traces=[road_trace], size=SIZE)
    for one in (world, car, env, envs):
        with pytest.raises(WorldError, match=r"copy\.deepcopy"):
            copy.copy(one)


def test_a_recording_is_not_copied(road_trace, tmp_path):
    env = vista_sim.RecordRun(RecordEpisodeStatistics(lane_following(road_trace)), tmp_path / "run")
    for clone in (*CLONES.values(), copy.copy):
        with pytest.raises(RunError, match="two would write"):
            clone(env)
    copy.deepcopy(env.env).reset(seed=1)  # what is below it can be
    env.close()


def test_observations_that_are_kept_do_not_change_and_may_be_written_into(road_trace, scenario):
    def checked(env, batched):
        actions = np.zeros(env.action_space.shape, np.float32)
        first, _ = env.reset(seed=3)
        kept, copies = [first], [copy.deepcopy(first)]
        for _ in range(4):
            seen = env.step(actions)[0]
            kept.append(seen)
            copies.append(copy.deepcopy(seen))
        assert flat(kept) == flat(copies)
        env.reset(seed=3)
        written = []
        for _ in range(4):
            seen = env.step(actions)[0]
            written.append(copy.deepcopy(seen))
            for array in seen.values():
                array[:] = 7
        if batched:  # those that are not reset are as they were
            mask = np.array([True, False])
            seen = env.reset(options={"reset_mask": mask})[0]
            assert flat(seen["camera"][1]) == flat(copies[-1]["camera"][1])
        assert flat(written) == flat(copies[1:])
        if not batched:
            assert (env.render()[:40] != 7).any()

    for kind, options in (
        ("VistaSim/LaneFollowing-v0", {"traces": [road_trace]}),
        ("VistaSim/Scenario-v0", {"scenario": scenario}),
    ):
        checked(gymnasium.make(kind, size=SIZE, render_mode="rgb_array", **options), False)
        checked(gymnasium.make_vec(kind, num_envs=2, size=SIZE, **options), True)


def test_infos_have_arrays_of_their_own(road_trace):
    envs = gymnasium.make_vec(
        "VistaSim/LaneFollowing-v0", num_envs=2, traces=[road_trace], observe="state"
    )
    _, infos = envs.reset(seed=1)
    before = envs.unwrapped.envs[0].world.table.copy()
    for array in (a for a in infos.values() if isinstance(a, np.ndarray)):
        array[:] = 0
    np.testing.assert_array_equal(envs.unwrapped.envs[0].world.table, before)
    assert infos["reward_terms"]["_survive"].all()  # not the mask of another


def test_a_mount_is_kept_as_it_was_given():
    mount = camera_mount(1.5, 0.0, 1.4)
    spec = CameraSpec(mount=mount)
    mount[0, 3] = math.nan
    assert spec.mount[0, 3] == 1.5
    with pytest.raises(ValueError, match="read-only"):
        spec.mount[0, 3] = 2.0
