"""Many cars in one process against Gymnasium's own loop over single environments."""

import logging

import gymnasium
import numpy as np
import pytest
from conftest import write_road
from ending_codes import ENDINGS
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from same_bytes import assert_same

from vista_sim.envs.lane_following import lane_following_env
from vista_sim.errors import VistaError, WorldError
from vista_sim.tasks.lane_following import Endings

ID = "VistaSim/LaneFollowing-v0"
SIZE = (24, 48)
#: Short episodes of every kind of ending, from starts that differ.
SHORT = {
    "size": SIZE,
    "perturb_lateral": 0.8,
    "perturb_heading": 0.1,
    "section": (0.0, 8.0),
    "endings": Endings(max_lateral=1.5, time_limit=1.6),
}

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.ERROR)  # the ground is assumed flat where nothing was baked


@pytest.fixture(scope="module")
def traces(road_trace, tmp_path_factory):
    """Two traces of different rigs."""
    other = tmp_path_factory.mktemp("traces") / "other"
    return [road_trace, write_road(other, fov=0.9, size=(40, 60), camera="dash")]


def many(traces, num_envs=5, **options):
    return gymnasium.make_vec(
        ID,
        num_envs=num_envs,
        vectorization_mode="vector_entry_point",
        traces=traces,
        **(SHORT | options),
    )


def loop(traces, num_envs=5, autoreset_mode="NextStep", **options):
    """Gymnasium's own: a world for each environment, one after the other."""
    options = SHORT | {"text_infos": False} | options  # those of a vector environment are numbers
    make = lambda: lane_following_env(traces, **options)  # noqa: E731
    return SyncVectorEnv([make] * num_envs, autoreset_mode=autoreset_mode)


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
@pytest.mark.parametrize("options", [{}, {"control_speed": True, "workers": 1}])
def test_it_gives_the_same_bytes_as_single_environments(traces, mode, options):
    singles = {name: value for name, value in options.items() if name != "workers"}
    ours = many(traces, autoreset_mode=mode, text_infos=False, **({"workers": 2} | options))
    theirs = loop(traces, autoreset_mode=mode, **singles)
    rng = np.random.default_rng(3)
    assert_same(ours.reset(seed=7), theirs.reset(seed=7))
    endings, ended = set(), np.zeros(5, dtype=int)
    for _ in range(45):
        actions = rng.uniform(-0.5, 0.3, ours.action_space.shape).astype(np.float32)
        step = ours.step(actions)
        assert_same(step, theirs.step(actions))
        over = step[2] | step[3]
        ended += over
        endings |= {ENDINGS[i] for i in step[4].get("final_info", step[4])["ending_code"]}
        if mode == "Disabled" and over.any():
            for envs in (ours, theirs):
                again = envs.reset(options={"reset_mask": over.copy()})
                if envs is ours:
                    expected = again
            assert_same(expected, again)
    assert (ended >= 2).all()
    assert {"off_road", "time_limit"} <= endings
    ours.close()
    theirs.close()


def test_a_list_of_seeds_and_options_of_starts_are_those_of_single_environments(traces):
    ours, theirs = many(traces, 3), loop(traces, 3)
    assert_same(
        ours.reset(seed=[5, 1, None])[0]["camera"][:2],
        theirs.reset(seed=[5, 1, 0])[0]["camera"][:2],
    )
    start = {"trace": 1, "s": 40.0, "lateral": 0.5}
    assert_same(ours.reset(seed=2, options=start), theirs.reset(seed=2, options=start))
    assert ours.np_random_seed == (2, 3, 4)
    mask = np.array([False, True, False])
    options = {"reset_mask": mask, "s": 20.0}
    before = ours.reset(seed=2)[0]["camera"]
    theirs.reset(seed=2)
    again = ours.reset(options=options)
    assert_same(again, theirs.reset(options=dict(options)))
    assert "reset_mask" in options  # what was given is not changed
    assert np.array_equal(again[0]["camera"][[0, 2]], before[[0, 2]])


def rollout(traces, seed, **options):
    said = []
    envs = many(traces, 4, **options)
    observations, infos = envs.reset(seed=seed)
    actions = np.random.default_rng(0).uniform(-0.4, 0.4, (25, 4, 1))
    for action in actions:
        said.append(observations["camera"].tobytes() + observations["speed"].tobytes())
        said.append(repr(sorted(infos.items())))
        observations, rewards, *_, infos = envs.step(action)
        said.append(rewards.tobytes())
    envs.close()
    return said


def test_the_same_seed_gives_the_same_bytes_with_any_number_of_workers(traces):
    said = rollout(traces, 1, workers=1)
    assert said == rollout(traces, 1, workers=3)
    assert said != rollout(traces, 2, workers=1)


def test_copies_stay_as_they_are_and_shared_arrays_are_overwritten(traces):
    for copy in (True, False):
        envs = many(traces, 2, copy=copy)
        first = envs.reset(seed=0)[0]
        bytes_before = first["camera"].tobytes()
        second = envs.step(np.zeros((2, 1)))[0]
        assert (second["camera"] is first["camera"]) is not copy
        assert (first["camera"].tobytes() == bytes_before) is copy
        envs.close()


def test_spaces_and_metadata_are_gymnasiums(traces):
    envs = many(traces, 3)
    single = lane_following_env(traces, **SHORT)
    assert envs.single_observation_space == single.observation_space
    assert envs.single_action_space == single.action_space
    assert envs.action_space == gymnasium.vector.utils.batch_space(single.action_space, 3)
    assert envs.observation_space.contains(envs.reset(seed=0)[0])
    assert envs.spec.id == ID
    for given, mode in [
        ("same_step", AutoresetMode.SAME_STEP),
        ("SameStep", AutoresetMode.SAME_STEP),
        ("disabled", AutoresetMode.DISABLED),
        (AutoresetMode.NEXT_STEP, AutoresetMode.NEXT_STEP),
    ]:
        assert many(traces, 1, autoreset_mode=given).metadata["autoreset_mode"] is mode
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP


def test_every_car_may_have_a_trace_of_its_own(traces):
    envs = many([*traces] * 9, 18)
    envs.reset(seed=0)
    for i, mask in enumerate(np.eye(18, dtype=bool)):
        envs.reset(options={"trace": i, "reset_mask": mask})
    pool, spec = envs.envs[0].world.cameras, envs.envs[0].car.specs["camera"]
    cameras = [pool.camera(i, spec) for i in range(18)]
    *_, infos = envs.step(np.zeros((18, 1)))
    assert infos["trace"].tolist() == list(range(18))
    assert [pool.camera(i, spec) for i in range(18)] == cameras  # none was made anew


def test_gymnasiums_wrappers_and_its_loop_work_with_it(traces):
    wrapped = gymnasium.wrappers.vector.RecordEpisodeStatistics(many(traces, 2))
    wrapped.reset(seed=0)
    lengths = []
    for _ in range(40):
        *_, infos = wrapped.step(np.zeros((2, 1)))
        if "episode" in infos:
            lengths += infos["episode"]["l"][infos["_episode"]].tolist()
    assert lengths
    assert max(lengths) <= 16
    wrapped.close()
    looped = gymnasium.make_vec(ID, 2, vectorization_mode="sync", traces=traces, **SHORT)
    assert_same(looped.reset(seed=3), many(traces, 2).reset(seed=3))


def test_pictures_are_those_of_single_environments(traces):
    envs = many(traces, 2, render_mode="rgb_array")
    envs.reset(seed=4)
    singles = [lane_following_env(traces, render_mode="rgb_array", **SHORT) for _ in range(2)]
    for i, single in enumerate(singles):
        single.reset(seed=4 + i)
    for _ in range(3):
        envs.step(np.zeros((2, 1)))
    pictures = envs.render()
    assert len(pictures) == 2
    for single, picture in zip(singles, pictures, strict=True):
        for _ in range(3):
            single.step(np.zeros(1, dtype=np.float32))
        assert np.array_equal(single.render(), picture)
    envs.close()
    envs.close()


def test_attributes_of_each_environment_are_read_set_and_called(traces):
    envs = many(traces, 3)
    envs.reset(seed=0)
    cars = envs.get_attr("car")
    assert len({car.x for car in cars}) == 3
    assert cars[0].observations["camera"].shape == (*SIZE, 3)
    assert envs.call("render_mode") == (None, None, None)
    assert [car.s for car in cars] == [info["s"] for info in envs.call("info")]
    envs.set_attr("curvature_limit", [0.1, 0.05, 0.02])
    envs.step(np.full((3, 1), 1.0))
    assert [car.action.curvature for car in cars] == pytest.approx([0.1, 0.05, 0.02])
    with pytest.raises(WorldError, match="2 values for 3"):
        envs.set_attr("curvature_limit", [0.1, 0.05])


def test_cars_driven_as_arrays_are_the_cars_of_the_world(traces):
    envs = many(traces, 3, control_speed=True)
    envs.reset(seed=0)
    *_, infos = envs.step(np.array([[0.1, 0.5], [0.0, -1.0], [-0.1, 0.0]]))
    for i, car in enumerate(envs.get_attr("car")):
        assert (car.s, car.lateral, car.speed) == (
            infos["s"][i],
            infos["lateral"][i],
            infos["speed"][i],
        )
        assert car.steps == 1
    assert envs.get_attr("car")[1].action.acceleration == -car.vehicle.max_deceleration


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_envs": 0}, "num_envs is 0"),
        ({"workers": 0}, "workers is 0"),
        ({"workers": 1.5}, "workers is 1.5"),
        ({"autoreset_mode": "sometimes"}, "'sometimes'; known are next_step"),
        ({"render_mode": "human"}, "'human'"),
        ({"curvature_limit": -1.0}, "curvature_limit"),
        ({"size": 66}, "size is 66"),
    ],
)
def test_settings_that_cannot_be_are_named(traces, options, message):
    with pytest.raises(VistaError, match=message):
        many(traces, **options)


def test_an_unknown_argument_is_named(traces):
    with pytest.raises(TypeError, match="lanes"):
        many(traces, lanes=2)


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (np.zeros((2, 1)), r"shape \(2, 1\); they must be \(3, 1\)"),
        (np.zeros(3), "shape"),
        ([[0.0], [np.nan], [0.0]], "action of environment 1"),
    ],
)
def test_actions_that_cannot_be_are_refused(traces, actions, message):
    envs = many(traces, 3)
    with pytest.raises(WorldError, match="reset before"):
        envs.step(np.zeros((3, 1)))
    envs.reset(seed=0)
    with pytest.raises(WorldError, match=message):
        envs.step(actions)


@pytest.mark.parametrize(
    ("reset", "message"),
    [
        ({"seed": [1, 2]}, "2 values for 3"),
        ({"options": {"lane": 1}}, "'lane' is unknown"),
        ({"options": {"reset_mask": [True, False, False]}}, "NumPy array"),
        ({"options": {"reset_mask": np.zeros(3, dtype=bool)}}, "at least one"),
        ({"options": {"reset_mask": np.ones(2, dtype=bool)}}, r"shape \(3,\)"),
        ({"options": {"reset_mask": np.array([True, False, True])}}, "never reset"),
    ],
)
def test_resets_that_cannot_be_are_refused(traces, reset, message):
    with pytest.raises(WorldError, match=message):
        many(traces, 3).reset(**reset)


def test_without_autoreset_an_environment_that_is_over_must_be_reset(traces):
    envs = many(traces, 2, autoreset_mode="disabled", endings=Endings(time_limit=0.1))
    envs.reset(seed=0)
    assert envs.step(np.zeros((2, 1)))[3].all()
    with pytest.raises(WorldError, match=r"environment 0 is over \(time_limit\)"):
        envs.step(np.zeros((2, 1)))
