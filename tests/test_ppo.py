"""PPO and recurrent PPO: our networks inside Stable-Baselines3, and policies out of it."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from practising import ATTENTION, CNN, EYE, LSTM, MLP
from safetensors.torch import load_file
from vista_agents.cli import main
from vista_agents.networks.network import NetworkConfig
from vista_agents.networks.recurrent import RecurrentConfig
from vista_agents.networks.registry import ARCHITECTURES
from vista_agents.networks.sensors import own_sensors
from vista_agents.policy import NetworkPolicy, PolicySpec
from vista_agents.reinforcement.ppo import PPO, RecurrentPPO, learn_ppo
from vista_agents.reinforcement.practice import make_practice
from vista_agents.reinforcement.settings import PracticeConfig
from vista_agents.training.errors import TrainingError

from vista_sim.policies import load_policy
from vista_sim.traces.trace import Trace

pytest.importorskip("stable_baselines3")
pytest.importorskip("sb3_contrib")

from stable_baselines3.common.vec_env import DummyVecEnv
from vista_agents.reinforcement.sb3_learner import PPOLearner
from vista_agents.reinforcement.window import THERE, FrameWindow

pytestmark = pytest.mark.usefixtures("_unwarned", "_own_threads")

KINDS = [(PPO, CNN), (PPO, ATTENTION), (RecurrentPPO, LSTM), (PPO, MLP)]
NAMES = ["cnn", "attention", "lstm", "mlp"]
PRACTICE = PracticeConfig(num_envs=3, steps=20, curvature_limit=0.1, workers=1)


def recipe(trace, out, kind=PPO, network=CNN, **changes):
    small = {
        "iterations": 2,
        "evaluate_every": 2,
        "checkpoint_every": 1,
        "practice": PRACTICE,
        "batch_size": 30,
        "epochs": 2,
        "value_layers": (8,),
        "section": "0:3",
    }
    return kind(traces=(trace,), out=out, network=network, **(small | changes))


def learner_of(recipe):
    """What learns, with weights that answer something, and its environments."""
    trace = Trace.open(recipe.traces[0])
    sensors = own_sensors(recipe.network, 1.2)
    torch.manual_seed(3)
    learner = PPOLearner(recipe, make_practice([trace], sensors, recipe.practice))
    with torch.no_grad():
        for parameter in learner.module.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return learner


@pytest.mark.parametrize(("kind", "network"), KINDS, ids=NAMES)
def test_the_policy_drives_as_stable_baselines3_does(road_trace, tmp_path, kind, network):
    """Its curvature is SB3's deterministic action times the limit, step by step, through resets."""
    practice = dataclasses.replace(PRACTICE, num_envs=1)
    learning = recipe(road_trace, tmp_path, kind, network, practice=practice, batch_size=20)
    learner = learner_of(learning)
    model, venv = learner._model, learner._venv
    spec = PolicySpec(own_sensors(network, 1.2), network, practice.scales)
    policy = NetworkPolicy(spec, learner.policy_network())
    venv.seed(0)
    seen = venv.reset()
    state, start, dones, angles = None, np.ones(1, bool), 0, []
    for _ in range(60):
        action, state = model.predict(seen, state, start, deterministic=True)
        own = {name: frames[0, -1] for name, frames in seen.items()}
        curvature = policy.act(own, learner.envs.envs[0].car).curvature
        assert curvature == pytest.approx(float(action[0, 0]) * 0.1, abs=1e-6)
        angles.append(curvature)
        seen, _, start, _ = venv.step(np.clip(action + 0.3, -1, 1))
        if start[0]:
            dones += 1
            policy.reset()
    assert dones >= 2
    assert np.std(angles) > 1e-3


@pytest.mark.parametrize(("kind", "network"), KINDS, ids=NAMES)
def test_it_trains_and_leaves_a_policy_folder(road_trace, tmp_path, kind, network):
    out = tmp_path / "policy"
    result = learn_ppo(recipe(road_trace, out, kind, network, iterations=1))
    assert (result.iterations, result.steps) == (1, 60)
    policy = load_policy(out)
    assert policy.spec.name == ("recurrent-ppo" if kind is RecurrentPPO else "ppo")
    assert policy.network.head.output.weight[0].any()  # zero before the first step
    assert not policy.network.head.output.weight[1].any()
    files = {path.suffix for path in out.rglob("*") if path.is_file()} - {".png", ".csv"}
    assert {suffix for suffix in files if not suffix[1:].isdigit() and suffix != ".0"} <= {
        ".json",
        ".safetensors",
    }


class Killed(Exception):  # noqa: N818  # not an error
    pass


@pytest.mark.parametrize(("kind", "network"), [KINDS[0], KINDS[2]], ids=["cnn", "lstm"])
def test_a_killed_and_resumed_training_ends_with_the_same_weights(
    road_trace, tmp_path, kind, network
):
    def kill(iteration, crash_rate):
        if iteration == 2:
            raise Killed

    whole = recipe(road_trace, tmp_path / "whole", kind, network, iterations=3, entropy=0.01)
    learn_ppo(whole)
    cut = dataclasses.replace(whole, out=tmp_path / "cut")
    with pytest.raises(Killed):
        learn_ppo(cut, kill)
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002  # what Stable-Baselines3 draws from
    learn_ppo(dataclasses.replace(cut, resume=True))
    for name in ("weights.safetensors", "checkpoint/step-0000003.safetensors", "curves.csv"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_step_that_breaks_the_weights_stops_with_the_last_good_checkpoint(
    road_trace, tmp_path, monkeypatch
):
    out = tmp_path / "policy"
    good = recipe(road_trace, out, iterations=2, evaluate_every=1)
    monkeypatch.setattr(PPO, "rate", lambda self, iteration: (1e-3, 1e30)[iteration])
    with pytest.raises(TrainingError, match=r"in iteration 2; the policy of iteration 1 is kept"):
        learn_ppo(good)
    assert json.loads((out / "checkpoint/checkpoint.json").read_text())["step"] == 1
    kept = load_file(out / "checkpoint/step-0000001.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in kept.values())
    load_policy(out)


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        (PPO, {"network": LSTM}, "recurrent-ppo does"),
        (PPO, {"network": NetworkConfig(EYE, RecurrentConfig("cfc"))}, "reinforce does"),
        (RecurrentPPO, {"network": CNN}, "no recurrent memory"),
        (PPO, {"batch_size": 61}, "batch_size is 61"),
        (PPO, {"gae_lambda": 1.5}, "gae_lambda is 1.5"),
        (PPO, {"gamma": 1.0}, "gamma is 1.0"),
        (PPO, {"network": ARCHITECTURES["attention"], "practice": PracticeConfig()}, r"GiB; take"),
    ],
)
def test_recipes_that_cannot_be_are_refused(road_trace, tmp_path, kind, change, message):
    with pytest.raises(ValueError, match=message):
        recipe(road_trace, tmp_path, kind, **change)


class Counting:
    """An environment whose camera shows the number of the step, counted from 1."""

    def __init__(self, length):
        import gymnasium
        from gymnasium import spaces

        camera = spaces.Box(0, 255, (2, 2, 3), np.uint8)
        speed = spaces.Box(0.0, 70.0, (1,), np.float32)

        class Env(gymnasium.Env):
            observation_space = spaces.Dict({"camera": camera, "speed": speed})
            action_space = spaces.Box(-1, 1, (1,), np.float32)
            count = 0

            def seen(self):
                self.count += 1
                return {
                    "camera": np.full((2, 2, 3), self.count, np.uint8),
                    "speed": np.full(1, self.count, np.float32),
                }

            def reset(self, *, seed=None, options=None):
                self.count = 0
                return self.seen(), {}

            def step(self, action):
                seen = self.seen()
                return seen, 1.0, self.count > length, False, {}

        self.make = Env


def test_a_window_holds_the_last_frames_and_a_reset_clears_it():
    window = FrameWindow(DummyVecEnv([Counting(4).make, Counting(9).make]), 3, reward_scale=0.5)
    assert window.observation_space["camera"].shape == (3, 2, 2, 3)
    assert window.observation_space["speed"].shape == (3,)

    def frames(seen, car):
        assert np.array_equal(seen["camera"][car, :, 0, 0, 0], seen["speed"][car])
        assert np.array_equal(seen[THERE][car] > 0, seen["speed"][car] > 0)
        assert window.observation_space.contains({n: x[car] for n, x in seen.items()})
        return seen["speed"][car].tolist()

    first = window.reset()
    assert frames(first, 0) == [0, 0, 1]
    action = np.zeros((2, 1), np.float32)
    seen, rewards, _, _ = window.step(action)
    assert rewards.tolist() == [0.5, 0.5]
    assert frames(seen, 0) == [0, 1, 2]
    assert frames(first, 0) == [0, 0, 1]  # what was given before stays as it was
    for _ in range(3):
        seen, _, dones, infos = window.step(action)
    assert dones.tolist() == [True, False]
    assert infos[0]["terminal_observation"]["speed"].tolist() == [3, 4, 5]
    assert infos[0]["terminal_observation"][THERE].tolist() == [1, 1, 1]
    assert frames(seen, 0) == [0, 0, 1]
    assert frames(seen, 1) == [3, 4, 5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ppo", "--camera", "rear"], "no camera 'rear'"),
        (["recurrent-ppo", "--architecture", "cnn"], "recurrent-ppo learns an lstm"),
        (["ppo", "--architecture", "gru"], "reinforce does"),
    ],
)
def test_a_mistake_on_the_command_line_is_told_in_one_line(
    road_trace, tmp_path, capsys, arguments, message
):
    command, *rest = arguments
    with pytest.raises(SystemExit) as stop:
        main([command, "--traces", str(road_trace), "--out", str(tmp_path / "a"), *rest])
    said = capsys.readouterr().err
    assert stop.value.code == 2
    assert message in said
    assert said.count("\n") == 1
