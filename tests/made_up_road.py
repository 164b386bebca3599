"""A made-up road to learn from: a bright bar whose place in the image says how to steer.

As a script: `made_up_road.py shared OUT`, started by torchrun, trains two networks in several
processes; `made_up_road.py killed OUT` dies in the middle.
"""

import atexit
import dataclasses
import hashlib
import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save as save_tensors
from vista_agents.imitation.frames import Batch
from vista_agents.networks.cnn import PilotNetConfig
from vista_agents.networks.heads import HeadConfig
from vista_agents.networks.network import NetworkConfig
from vista_agents.networks.recurrent import RecurrentConfig
from vista_agents.policy import PolicySpec
from vista_agents.training import AugmentConfig, TrainingConfig, train

from vista_sim.policies import CameraSpec

SIZE = (16, 32)
ENCODER = PilotNetConfig(
    size=SIZE, channels=(8, 8), kernels=(5, 3), strides=(2, 2), features=16, dropout=0.1
)
HEAD = HeadConfig(hidden=(8,))
CNN = NetworkConfig(ENCODER, head=HEAD)
LSTM = dataclasses.replace(CNN, memory=RecurrentConfig("lstm", 8))
PLAIN_LSTM = dataclasses.replace(
    LSTM, encoder=dataclasses.replace(ENCODER, norm="none", dropout=0.0)
)
CONFIG = TrainingConfig(
    steps=60, batch_size=8, warmup=5, evaluate_every=10, checkpoint_every=20, threads=1
)
AUGMENT = AugmentConfig(shift=1)
SCALE = 0.05  # 1/m, of the policy's curvature


def spec_of(network):
    return PolicySpec({"camera": CameraSpec(SIZE, 1.0)}, network)


class Bars:
    """Sequences of one to `length` frames with a bar at a place proportional to the curvature."""

    def __init__(self, length=1, broken_at=None, killed_at=None):
        self.length, self.broken_at, self.killed_at = length, broken_at, killed_at
        self.prepared, self.closed = [], 0

    def prepare(self, step, network):
        self.prepared.append(step)

    def batch(self, step, size):
        if step == self.killed_at:
            raise KeyboardInterrupt
        batch = self.draw(np.random.default_rng([7, step]), size)
        if step == self.broken_at:
            batch.target[0, 0] = np.nan
        return batch

    def validation(self):
        return self.draw(np.random.default_rng(1), 40)

    def close(self):
        self.closed += 1

    def draw(self, rng, size):
        shape = (size, self.length)
        lengths = rng.integers(1, self.length + 1, size)
        mask = np.arange(self.length) < lengths[:, None]
        column = rng.integers(0, SIZE[1] - 4, shape)
        camera = rng.integers(0, 60, (*shape, *SIZE, 3), dtype=np.uint8)
        for at, c in np.ndenumerate(column):
            camera[(*at, slice(None), slice(c, c + 4))] = 250
        camera[~mask] = 0
        curvature = ((SIZE[1] - 4) / 2 - column) / SIZE[1] * 0.2
        target = np.where(mask, curvature / SCALE, 0.0).astype(np.float32)
        inputs = {"camera": camera, "speed": np.where(mask, 8.0, 0.0).astype(np.float32)}
        return Batch(
            {name: torch.from_numpy(x) for name, x in inputs.items()},
            torch.from_numpy(target[..., None]),
            torch.from_numpy(mask),
        )


def run(out, source=None, config=CONFIG, seed=0, network=CNN, augment=AUGMENT, **options):
    recipe = {"seed": seed, "training": dataclasses.asdict(config)}
    source = source or Bars()
    return train(spec_of(network), source, config, augment, out, seed, recipe, **options)


class Watched(Bars):
    """Writes down a checksum of the network as it stands before each step."""

    def __init__(self, file, **options):
        super().__init__(**options)
        self.file = file

    def prepare(self, step, network):
        data = save_tensors({n: t.contiguous() for n, t in network.state_dict().items()})
        with self.file.open("a") as file:
            file.write(hashlib.sha256(data).hexdigest() + "\n")


class Deadly(Bars):
    """Kills its own process where it would else draw a batch."""

    def batch(self, step, size):
        if step == self.killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().batch(step, size)


#: Windows of unequal length in pieces, without batch normalization and dropout.
SHARED = dataclasses.replace(
    CONFIG,
    **{"steps": 12, "batch_size": 6, "tbptt": 3, "evaluate_every": 4, "checkpoint_every": 6},
    **{"device": "cpu", "learning_rate": 0.01},
)


def write_threads(path):
    """Names of the threads of this process."""
    tasks = Path("/proc/self/task").iterdir()
    path.write_text("\n".join((task / "comm").read_text().strip() for task in tasks))


if __name__ == "__main__":
    kind, out = sys.argv[1], Path(sys.argv[2])
    if kind == "killed":
        run(out, Deadly(killed_at=47))
    else:  # by torchrun
        atexit.register(write_threads, out / f"threads-of-{os.environ['RANK']}.txt")
        run(out / "plain", Bars(length=8), SHARED, network=PLAIN_LSTM)
        # The same twice, to be sure that nothing of the first is in the way of a second.
        watched = Watched(out / f"network-of-{os.environ['RANK']}.txt", length=8)
        run(out / "normalized", watched, SHARED, network=LSTM)
