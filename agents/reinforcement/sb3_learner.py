"""PPO and recurrent PPO of Stable-Baselines3, one iteration at a time."""

from __future__ import annotations

import math

import numpy as np
import torch
from stable_baselines3 import PPO as SB3PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.utils import set_random_seed
from torch import nn

from vista_sim.envs.sb3 import as_vec_env
from vista_sim.envs.vector import DrivingVectorEnv
from vista_sim.errors import MissingDependencyError

from ..networks.network import DrivingNetwork
from ..networks.registry import build_network
from .ppo import PPO, RecurrentPPO
from .practice import Meter, practice_seed
from .sb3_network import extract, install, parts, policy_arguments
from .settings import window_frames
from .trainer import Iteration
from .window import FrameWindow

#: Numbers of Stable-Baselines3's log that are drawn, and what we call them.
NUMBERS = {
    "train/loss": "loss/all",
    "train/policy_gradient_loss": "loss/policy",
    "train/value_loss": "loss/value",
    "train/explained_variance": "value/explained_variance",
    "train/approx_kl": "ppo/kl",
    "train/clip_fraction": "ppo/clipped",
    "train/std": "deviation",
}

#: What PyTorch says of a Gaussian whose mean is not a number, in the midst of an update.
_NOT_A_DISTRIBUTION = "Expected parameter"


class PPOLearner:
    """Lets Stable-Baselines3 drive and learn; `learn` is called once an iteration."""

    def __init__(self, recipe: PPO, envs: DrivingVectorEnv) -> None:
        self._recipe = recipe
        self.envs = envs
        self._rate = recipe.rate(0)
        # Values of about 1, whatever the horizon: their error shares a loss with the policy's.
        scale = 1.0 - recipe.gamma
        self._venv = FrameWindow(as_vec_env(envs), window_frames(recipe.network), scale)
        algorithm, policy = SB3PPO, "MultiInputPolicy"
        if isinstance(recipe, RecurrentPPO):
            algorithm, policy = _recurrent(), "MultiInputLstmPolicy"
        self._model = algorithm(
            policy,
            self._venv,
            learning_rate=lambda _: self._rate,
            n_steps=recipe.practice.steps,
            batch_size=recipe.batch_size,
            n_epochs=recipe.epochs,
            gamma=recipe.gamma,
            gae_lambda=recipe.gae_lambda,
            clip_range=recipe.clip_range,
            ent_coef=recipe.entropy,
            vf_coef=recipe.value_weight,
            max_grad_norm=recipe.clip,
            policy_kwargs=policy_arguments(
                recipe.network, recipe.value_layers, math.log(recipe.deviation)
            ),
            device="cpu",
        )
        self._model.set_logger(Logger(None, []))
        install(build_network(recipe.network), self._model.policy)
        self.module: nn.Module = parts(self._model.policy)
        self.optimizer: torch.optim.Optimizer = self._model.policy.optimizer

    def policy_network(self) -> DrivingNetwork:
        return extract(self._model.policy, self._recipe.network)

    def iterate(self, iteration: int) -> Iteration:
        recipe = self._recipe
        self._rate = recipe.rate(iteration)
        set_random_seed(practice_seed(recipe.seed, iteration, 1))
        self._venv.seed(practice_seed(recipe.seed, iteration))
        counter = Counter(self._venv.reward_scale)
        steps = recipe.practice.num_envs * recipe.practice.steps
        try:
            self._model.learn(steps, callback=counter, log_interval=None)
        except ValueError as error:
            if not str(error).startswith(_NOT_A_DISTRIBUTION):
                raise
            return Iteration(counter.meter, {"loss/all": math.nan})
        told = self._model.logger.name_to_value
        numbers = {ours: float(told[name]) for name, ours in NUMBERS.items() if name in told}
        return Iteration(counter.meter, numbers)


class Counter(BaseCallback):  # type: ignore[misc]
    """Counts what the cars of a rollout got."""

    def __init__(self, reward_scale: float) -> None:
        super().__init__()
        self.meter = Meter()
        self._scale = reward_scale

    def _on_step(self) -> bool:
        cut = np.array([info["TimeLimit.truncated"] for info in self.locals["infos"]])
        self.meter.count(self.locals["rewards"] / self._scale, self.locals["dones"] & ~cut)
        return True


def _recurrent() -> type[SB3PPO]:
    try:
        from sb3_contrib import RecurrentPPO as Algorithm
    except ImportError:
        raise MissingDependencyError(
            "recurrent-ppo needs sb3-contrib; install it: pip install 'vista-sim[train]'"
        ) from None
    found: type[SB3PPO] = Algorithm
    return found
