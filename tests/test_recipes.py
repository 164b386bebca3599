"""Every network learns by every way of imitating, and drives afterwards."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from small_networks import small
from vista_agents.imitation.dagger import DaggerConfig
from vista_agents.imitation.guided import GuidedConfig
from vista_agents.imitation.recipes import BehaviourCloning, Dagger, Guided, learn
from vista_agents.networks.heads import HeadConfig
from vista_agents.networks.registry import ARCHITECTURES
from vista_agents.policy import load
from vista_agents.training import TrainingConfig

from vista_sim.errors import PolicyError
from vista_sim.geometry.bake import bake
from vista_sim.world import World

TRAINING = TrainingConfig(steps=4, batch_size=6, evaluate_every=2, checkpoint_every=2, threads=1)
RECIPES = {
    "bc": (BehaviourCloning, {}),
    "guided": (Guided, {"guided": GuidedConfig(frames=32, rounds=1, cars=4), "background": False}),
    "dagger": (
        Dagger,
        {"dagger": DaggerConfig(frames=32, cars=4, every=2), "background": False},
    ),
}


def recipe_for(method, trace, out, network, **more):
    kind, settings = RECIPES[method]
    given = {"training": TRAINING, "window": None if network.memory is None else 6} | more
    return kind(traces=(trace,), out=out, network=network, **settings | given)


def drive(policy, trace, steps=5):
    """Curvatures that a policy asks for on its first steps."""
    world = World([trace])
    car = world.spawn_agent()
    if policy.camera is not None:
        car.spawn_camera("camera", policy.camera.size, policy.camera.fov)
    car.reset(trace=0, s=5.0, lateral=0.0, heading=0.0)
    policy.reset()
    asked = []
    for _ in range(steps):
        action = policy.act(car.observations, car)
        asked.append(action.curvature)
        car.step(action)
    return asked


@pytest.mark.parametrize("method", RECIPES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_network_learns_by_every_method_and_drives(
    road_trace, tmp_path, architecture, method
):
    network = small(architecture)
    result = learn(recipe_for(method, road_trace, tmp_path / "x", network))
    assert result.steps == 4
    assert 0 <= result.validation_error < 1
    policy = load(tmp_path / "x")
    assert policy.spec.network == network
    assert json.loads((tmp_path / "x/policy.json").read_text())["training"]["method"] == method
    first = drive(policy, road_trace)
    assert first == drive(policy, road_trace)
    assert len(set(first)) > 1
    assert not (tmp_path / "x/rounds").exists()


@pytest.mark.parametrize("outputs", ["curvature+acceleration", "waypoints"])
@pytest.mark.parametrize("distribution", ["point", "gaussian", "mixture"])
def test_every_head_learns_and_drives(road_trace, tmp_path, outputs, distribution):
    head = HeadConfig(outputs, distribution, hidden=(8,))
    network = dataclasses.replace(small("gru"), head=head, command="embedding")
    learn(recipe_for("guided", road_trace, tmp_path / "x", network))
    assert all(abs(curvature) <= 0.2 for curvature in drive(load(tmp_path / "x"), road_trace))


KILLED = """
import os, signal, sys, time
from pathlib import Path
from vista_agents.imitation.guided import GuidedConfig
from vista_agents.imitation.recipes import Guided, learn
from vista_agents.training import TrainingConfig
from small_networks import small

def kill(step, loss):
    own = os.getpid()
    print(Path(f"/proc/{own}/task/{own}/children").read_text(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    learn(Guided(
        traces=(Path(sys.argv[1]),), out=Path(sys.argv[2]), network=small("cnn"),
        training=TrainingConfig(steps=4, batch_size=4, threads=1),
        guided=GuidedConfig(frames=16, rounds=1, cars=4),
    ), kill)
"""


def test_the_process_that_gathers_ends_when_the_training_is_killed(road_trace, tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(
        [sys.executable, script, road_trace, tmp_path / "x"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    assert done.returncode == -signal.SIGKILL
    children = [int(child) for child in done.stdout.split()]
    assert children
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and any(map(is_running, children)):
        time.sleep(0.1)
    assert not any(map(is_running, children))


def is_running(process):
    stat = Path(f"/proc/{process}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("method", RECIPES)
def test_a_training_that_was_killed_ends_with_the_same_weights(road_trace, tmp_path, method):
    network = small("lstm")
    training = dataclasses.replace(TRAINING, steps=8)
    learn(recipe_for(method, road_trace, tmp_path / "whole", network, training=training))

    class KillError(Exception):
        pass

    def kill(step, loss):
        if step == 7:
            raise KillError

    cut = recipe_for(method, road_trace, tmp_path / "cut", network, training=training)
    with pytest.raises(KillError):
        learn(cut, kill)
    learn(dataclasses.replace(cut, resume=True))
    weights = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "cut")]
    assert weights[0] == weights[1]


def test_a_training_goes_on_only_with_the_recording_and_code_it_began_with(road_trace, tmp_path):
    trace = Path(shutil.copytree(road_trace, tmp_path / "drive"))
    begun = recipe_for("bc", trace, tmp_path / "x", small("mlp"))
    learn(begun)
    again = dataclasses.replace(begun, resume=True)
    assert learn(again).steps == 4
    described = tmp_path / "x" / "checkpoint" / "checkpoint.json"
    whole = described.read_text()

    def refused(message, change):
        values = json.loads(whole)
        change(values["recipe"])
        described.write_text(json.dumps(values))
        with pytest.raises(PolicyError, match=message) as caught:
            learn(again)
        assert str(caught.value).endswith("start anew with --overwrite")
        described.write_text(whole)

    refused("the code that learns has changed since", lambda recipe: recipe["code"].reverse())
    refused("made before checkpoints said which recordings", lambda recipe: recipe.pop("code"))
    bake(trace, geometry="ground", size=(24, 48))
    refused("the baked geometry of the traces has changed since", lambda recipe: None)
    shutil.rmtree(trace / "geometry")
    assert learn(again).steps == 4
    table = pq.read_table(trace / "front.parquet")
    pq.write_table(table, trace / "front.parquet", compression="none")
    refused("the recordings have changed since", lambda recipe: None)
