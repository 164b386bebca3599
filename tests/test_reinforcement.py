"""Learning from reward: returns, sequences, resuming, and what stops a training."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from practising import ATTENTION, CNN, GRU, LSTM, MLP
from safetensors.torch import load_file
from vista_agents.networks.cnn import ResNetConfig
from vista_agents.networks.heads import HeadConfig
from vista_agents.networks.network import NetworkConfig
from vista_agents.networks.registry import ARCHITECTURES, build_network
from vista_agents.networks.temporal import TemporalAttentionConfig
from vista_agents.reinforcement.curves import read_lines
from vista_agents.reinforcement.reinforce import Reinforce, Rollout, learn_reinforce
from vista_agents.reinforcement.settings import (
    PracticeConfig,
    for_reward,
    network_for,
    window_frames,
)
from vista_agents.training.errors import TrainingError

from vista_sim.errors import PolicyError, WorldError
from vista_sim.policies import load_policy

pytestmark = pytest.mark.usefixtures("_unwarned", "_own_threads")

PRACTICE = PracticeConfig(num_envs=4, steps=24, curvature_limit=0.1, workers=1)
SMALL = {"iterations": 2, "evaluate_every": 2, "checkpoint_every": 1, "practice": PRACTICE}


@pytest.fixture(scope="module")
def short_trace(road_trace):
    """The road's first 3 s, so that an evaluation is short."""
    return road_trace, "0:3"


def recipe(trace, out, network=CNN, kind=Reinforce, **changes):
    road, section = trace
    return kind(traces=(road,), out=out, section=section, network=network, **(SMALL | changes))


def rollout(rewards, crashed, cut=None, inputs=None):
    rewards, crashed = np.array(rewards, float), np.array(crashed, bool)
    over = crashed | (np.zeros_like(crashed) if cut is None else np.array(cut, bool))
    actions = np.zeros((*rewards.shape, 1), np.float32)
    return Rollout(inputs or {}, actions, rewards, crashed, over)


def test_returns_are_discounted_sums_up_to_the_crash():
    gamma = 0.5
    found = rollout([[1, 1, 1, 0, 1, 1]], [[0, 0, 0, 1, 0, 0]]).returns(gamma)[0]
    assert found[:4] == pytest.approx([1 + 0.5 + 0.25, 1 + 0.5, 1, 0])
    assert np.isnan(found[4:]).all()  # what followed is not known: within 1 / (1 - gamma) steps


def test_a_drive_that_was_cut_is_taken_to_go_on():
    gamma = 0.5
    found = rollout([[1, 1, 1, 1, 1]], [[0] * 5], [[0, 0, 0, 0, 1]]).returns(gamma)[0]
    assert found == pytest.approx([1 / (1 - gamma)] * 5)
    dense = rollout([[0.2, 0.6, 0.4, 0.4]], [[0] * 4], [[0, 0, 0, 1]]).returns(gamma)[0]
    assert dense[3] == pytest.approx(0.4 + gamma * 0.4 / (1 - gamma))  # 0.4 a step on average


def test_weights_are_normalized_returns_but_a_rare_crash_is_not_blown_up():
    crashed = np.zeros((8, 40), bool)
    crashed[:4, 20] = True
    weights = rollout(~crashed, crashed).weights(0.9)
    known = weights[~np.isnan(weights)]
    assert known.mean() == pytest.approx(0, abs=1e-6)
    assert known.std() == pytest.approx(1, rel=1e-5)
    assert weights[0, 19] < 0 < weights[7, 5]
    rare = np.zeros((200, 40), bool)
    rare[0, 20] = True
    once = rollout(~rare, rare).weights(0.9)
    assert np.nanmin(once) == pytest.approx(-10, rel=0.01)  # 10 of 10 lost, over a tenth of 10


@pytest.mark.parametrize("network", [CNN, LSTM, GRU, ATTENTION])
def test_what_is_learned_from_is_what_was_driven(network):
    """Answers of padded batches of drives are those of step by step driving with resets."""
    torch.manual_seed(0)
    net = build_network(network).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    rng = np.random.default_rng(0)
    inputs = {
        "camera": rng.integers(0, 256, (3, 9, 16, 32, 3), dtype=np.uint8),
        "speed": rng.uniform(5, 9, (3, 9)).astype(np.float32),
    }
    over = np.zeros((3, 9), bool)
    over[0, 3] = over[1, 1] = over[1, 2] = over[2, 8] = True
    driven = rollout(np.ones((3, 9)), over, inputs=inputs)
    drives = driven.drives(split=True)
    assert [(a, b) for car, a, b in drives if car == 1] == [(0, 2), (2, 3), (3, 9)]
    with torch.no_grad():
        learned, _ = net(*driven.sequences(drives))
        for row, (car, start, stop) in enumerate(drives):
            state = net.initial_state(1)
            for t in range(start, stop):
                now = slice(t, t + 1)
                frame = {name: torch.from_numpy(x[None, car, now]) for name, x in inputs.items()}
                answer, state = net(frame, None, state)
                assert torch.allclose(answer[0, 0], learned[row, t - start], atol=1e-5)


def test_batch_norm_and_dropout_are_left_out_of_what_learns_from_reward():
    network = NetworkConfig(
        ResNetConfig(norm="batch", dropout=0.2), TemporalAttentionConfig(dropout=0.1)
    )
    steady = for_reward(network)
    assert steady.encoder == dataclasses.replace(network.encoder, norm="group", dropout=0.0)
    assert steady.memory == dataclasses.replace(network.memory, dropout=0.0)
    assert steady.head.distribution == "gaussian"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"command": "one-hot"}, "command"),
        ({"head": HeadConfig("waypoints")}, "waypoints"),
        ({"head": HeadConfig(distribution="mixture")}, "mixture"),
    ],
)
def test_networks_that_reward_does_not_teach_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        for_reward(dataclasses.replace(CNN, **change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_envs": 0}, "num_envs is 0"),
        ({"reward": "rich"}, "known are sparse, dense"),
        ({"perturb_lateral": 2.0}, "below max_lateral"),
        ({"starts": "anywhere"}, "starts is 'anywhere'"),
    ],
)
def test_practices_that_cannot_be_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        PracticeConfig(**change)


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_every_architecture_has_a_small_form_that_reward_can_teach(name):
    network = network_for(ARCHITECTURES[name])
    assert network == for_reward(network)
    assert network.camera_size in ((33, 100), None)
    build_network(network)
    if name == "attention":
        assert window_frames(network) == 4
    Reinforce(traces=(".",), out="a", network=network)


@pytest.mark.parametrize("network", [CNN, GRU, ATTENTION, MLP], ids=["cnn", "gru", "time", "mlp"])
def test_reinforce_trains_and_leaves_a_policy_with_its_deviation(short_trace, tmp_path, network):
    learning = recipe(short_trace, tmp_path / "a", network, deviation=0.3, final_deviation=0.1)
    result = learn_reinforce(learning)
    assert result.steps == 2 * 4 * 24
    policy = load_policy(tmp_path / "a")
    output = policy.network.head.output
    assert output.bias[1].exp().item() == pytest.approx(0.1)
    assert not output.weight[1].any()
    assert output.weight[0].any()
    assert policy.spec.scales.curvature_scale == policy.spec.scales.curvature_limit == 0.1
    lines = read_lines(tmp_path / "a" / "curves.csv")
    assert [line["steps"] for line in lines] == [96, 192]
    assert 0 <= lines[0]["practice/reward"] <= 1  # +1 a step, and nothing else
    assert lines[1]["evaluation/crashes"] == result.crashes
    assert (tmp_path / "a" / "curves.png").stat().st_size > 1000


class Killed(Exception):  # noqa: N818  # not an error
    pass


def kill_after(iterations):
    def report(iteration, crash_rate):
        if iteration == iterations:
            raise Killed

    return report


def test_a_killed_and_resumed_training_ends_with_the_same_weights(short_trace, tmp_path):
    whole = recipe(short_trace, tmp_path / "whole", LSTM, iterations=4, evaluate_every=3)
    expected = learn_reinforce(whole)
    cut = dataclasses.replace(whole, out=tmp_path / "cut", checkpoint_every=2)
    with pytest.raises(Killed):
        learn_reinforce(cut, kill_after(3))
    found = learn_reinforce(dataclasses.replace(cut, resume=True))
    assert dataclasses.replace(found, minutes=expected.minutes) == expected
    for name in ("weights.safetensors", "checkpoint/step-0000004.safetensors", "curves.csv"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_another_recipe_is_not_resumed(short_trace, tmp_path):
    first = recipe(short_trace, tmp_path / "a", iterations=1)
    learn_reinforce(first)
    with pytest.raises(PolicyError, match="--resume or --overwrite"):
        learn_reinforce(first)
    other = dataclasses.replace(first, resume=True, gamma=0.9)
    with pytest.raises(PolicyError, match=r"another gamma \(0.95, not 0.9\)"):
        learn_reinforce(other)


def test_time_up_ends_an_iteration_early_with_everything_kept(short_trace, tmp_path):
    result = learn_reinforce(recipe(short_trace, tmp_path / "a", iterations=50, minutes=1e-9))
    assert result.iterations == 1
    assert json.loads((tmp_path / "a/checkpoint/checkpoint.json").read_text())["step"] == 1
    assert load_policy(tmp_path / "a").spec.name == "reinforce"


def test_a_loss_that_is_not_finite_stops_with_the_last_good_checkpoint(
    short_trace, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        Rollout,
        "weights",
        lambda self, gamma, n=[]: (
            n.append(0) or np.full(self.rewards.shape, 1.0 if len(n) < 3 else np.inf, np.float32)
        ),
    )
    with pytest.raises(
        TrainingError, match=r"loss/policy is .*nan.* in iteration 3; the policy of iteration 2"
    ):
        learn_reinforce(recipe(short_trace, tmp_path / "a", iterations=4))
    assert json.loads((tmp_path / "a/checkpoint/checkpoint.json").read_text())["step"] == 2
    kept = load_file(tmp_path / "a/checkpoint/step-0000002.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in kept.values())
    load_policy(tmp_path / "a")


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        (
            (1e30,),
            r"the network answers .*e\+.* curvature limit in iteration 1; no policy was kept",
        ),
        (
            (1e-3, 1e30),
            r"in iteration 2; the policy of iteration 1 is kept; try a lower --learning",
        ),
    ],
)
def test_a_step_far_too_long_stops_with_the_last_good_checkpoint(
    short_trace, tmp_path, monkeypatch, rates, message
):
    """Everything stays finite, but the explored deviation is lost in rounding."""
    monkeypatch.setattr(Reinforce, "rate", lambda self, iteration: rates[iteration])
    out = tmp_path / "a"
    with pytest.raises(TrainingError, match=message):
        learn_reinforce(recipe(short_trace, out, iterations=3, evaluate_every=1))
    good = len(rates) - 1
    assert [path.name for path in out.rglob("step-*")] == ["step-0000001.safetensors"] * good
    if good:
        answers = load_policy(out).network.head.output.bias
        assert answers.abs().max() < 10


def test_a_trace_without_the_camera_is_named(short_trace, tmp_path):
    with pytest.raises(WorldError, match="rear"):
        learn_reinforce(recipe(short_trace, tmp_path / "a", camera="rear"))
