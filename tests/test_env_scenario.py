"""`VistaSim/Scenario-v0`: the contract of an environment, and the cases of a file."""

import json
import logging

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import vista_sim  # noqa: F401  # registers the environment
from vista_sim.errors import ScenarioError, WorldError
from vista_sim.policies import Action, CameraSpec
from vista_sim.scenarios import stage

ID = "VistaSim/Scenario-v0"
SIZE = (48, 96)


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.ERROR)  # the ground is assumed flat where nothing was baked


@pytest.fixture
def write(tmp_path, road_trace):
    def write(text):
        path = tmp_path / "one.toml"
        head = 'format = "vista-scenario/1"\nname = "one"\n'
        path.write_text(f"{head}traces = {json.dumps(str(road_trace))}\n{text}")
        return path

    return write


TEXT = (
    "[start]\ns = 20\nlateral = { values = [-1, 0, 1] }\n[image]\nnoise = 5\n"
    "[vehicle]\nactuation_delay = 0.15\n"
)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("text", [TEXT, '[speed]\nmode = "free"\n', 'mode = "recovery"\n'])
def test_it_passes_gymnasiums_checks_without_a_warning(write, text, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = gymnasium.make(ID, scenario=write(text), size=SIZE)
    check_env(env.unwrapped)
    env.close()


def test_its_spaces_are_those_of_lane_following(write, road_trace):
    for observe in ("camera", "state"):
        env = gymnasium.make(ID, scenario=write(TEXT), observe=observe)
        plain = gymnasium.make("VistaSim/LaneFollowing-v0", traces=road_trace, observe=observe)
        assert env.observation_space == plain.observation_space
        assert env.action_space == plain.action_space
        observation, _ = env.reset(seed=0)
        assert observation in env.observation_space
    free = gymnasium.make(ID, scenario=write('[speed]\nmode = "free"\n'))
    driven = gymnasium.make("VistaSim/LaneFollowing-v0", traces=road_trace, control_speed=True)
    assert free.action_space == driven.action_space


def test_a_seed_draws_a_case_and_options_name_one(write):
    env = gymnasium.make(ID, scenario=write(TEXT), size=SIZE)
    drawn = [env.reset(seed=seed)[1]["case"] for seed in range(12)]
    assert len(set(drawn)) == 3
    assert drawn == [env.reset(seed=seed)[1]["case"] for seed in range(12)]
    _, info = env.reset(options={"case": 2})
    assert (info["case"], info["scenario"]) == ("one/road,lateral=1,seed=0", "one")
    assert info["lateral"] == pytest.approx(1.0)
    _, info = env.reset(options={"case": "one/road,lateral=-1,seed=0"})
    assert info["lateral"] == pytest.approx(-1.0)


def test_it_drives_what_a_stage_drives(write):
    env = gymnasium.make(ID, scenario=write(TEXT), size=SIZE, curvature_limit=0.1).unwrapped
    observation, _ = env.reset(options={"case": 0})
    staged = stage(env.episodes.cases[0], CameraSpec(SIZE))
    for steer in (0.5, -0.2, 0.3, 0.0):
        np.testing.assert_array_equal(observation["camera"], staged.observations["camera"])
        observation, _, _, _, info = env.step(np.array([steer], dtype=np.float32))
        staged.step(Action(float(np.float32(steer)) * 0.1))
        assert info["lateral"] == staged.car.lateral


def test_recovering_cuts_the_episode_and_a_crash_ends_it(write):
    text = 'mode = "recovery"\n[start]\ns = 15\nlateral = { values = [0.1, 1.9] }\n'
    env = gymnasium.make(ID, scenario=write(text), observe="state").unwrapped
    env.reset(options={"case": 0})
    outcome = [env.step(np.zeros(1, dtype=np.float32))[2:] for _ in range(11)]
    assert [(t, u) for t, u, _ in outcome] == [(False, False)] * 10 + [(False, True)]
    assert outcome[-1][2]["ending"] == "recovered"
    env.reset(options={"case": 1})
    terminated = truncated = False
    while not (terminated or truncated):
        _, _, terminated, truncated, info = env.step(np.ones(1, dtype=np.float32))
    assert (terminated, truncated, info["ending"]) == (True, False, "off_road")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"case": 3}, "case is 3; give a name, or an index below 3"),
        ({"case": True}, "case is True"),
        ({"case": "two"}, "case 'two' is not one of"),
        ({"s": 3.0}, "reset option 's' is unknown; known: case"),
    ],
)
def test_options_that_cannot_be_are_refused(write, options, said):
    env = gymnasium.make(ID, scenario=write(TEXT), size=SIZE)
    with pytest.raises(WorldError, match=said):
        env.reset(options=options)


def test_what_is_given_wrongly_is_refused(write):
    with pytest.raises(ScenarioError, match="no such file"):
        gymnasium.make(ID, scenario="gone.toml")
    with pytest.raises(WorldError, match="fov"):
        gymnasium.make(ID, scenario=write(TEXT), fov=9.0)
    with pytest.raises(WorldError, match="reset first"):
        gymnasium.make(ID, scenario=write(TEXT)).unwrapped.step(np.zeros(1))


def test_a_picture_is_made_of_it(write):
    env = gymnasium.make(ID, scenario=write(TEXT), size=SIZE, render_mode="rgb_array")
    env.reset(seed=0)
    env.step(np.zeros(1, dtype=np.float32))
    assert env.render().shape[2] == 3


def test_many_of_them_run_as_gymnasium_puts_them_together(write):
    envs = gymnasium.make_vec(ID, num_envs=2, scenario=write(TEXT), size=SIZE)
    observations, infos = envs.reset(seed=3)
    assert observations["camera"].shape == (2, *SIZE, 3)
    cases = envs.get_attr("episodes")[0].cases
    assert all(cases[i].case.startswith("one/road") for i in infos["case_index"])
    envs.close()
