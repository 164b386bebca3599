"""The policy folder of a network: policy.json and weights.safetensors, and the policy in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vista_sim.errors import PolicyError, PolicyNotFiniteError
from vista_sim.policies import (
    POLICY_FORMAT,
    Action,
    CameraSpec,
    read_policy_json,
    read_policy_sensors,
)
from vista_sim.policies.policy import place_of_command
from vista_sim.sensors.registry import spec_to_json
from vista_sim.sensors.spec import SensorSpec, StateSpec, first_camera

from .actions import Scales, steering, to_action
from .networks.encoders import reading_shape
from .networks.network import COMMANDS, DrivingNetwork, NetworkConfig
from .networks.recurrent import State
from .networks.registry import build_network, network_from_json, network_to_json
from .networks.saliency import saliency
from .networks.sensors import check_fit
from .threads import one_thread
from .weights import load_weights, save_model

if TYPE_CHECKING:
    from vista_sim.world import Car

LOADER = "vista-agents"
POLICY_JSON = "policy.json"
_NORMALIZATION = {"where": "inside the network"}
_UNITS = {"speed": "m/s", "command": " | ".join(COMMANDS), "state": "vista_sim state vector"}


@dataclass(frozen=True)
class PolicySpec:
    """Everything that policy.json says beside the weights.

    Args:
        sensors: what the policy observes, by name; see `networks.sensors`.
        network: shape of the network, which takes them.
        scales: what its numbers stand for.
        name: for tables.
        training: how it came about; not read back.
    """

    sensors: Mapping[str, SensorSpec]
    network: NetworkConfig
    scales: Scales = field(default_factory=Scales)
    name: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fit(self.network, self.sensors)

    @property
    def camera(self) -> CameraSpec | None:
        """The first camera; None for a policy that sees none."""
        return first_camera(self.sensors)

    def to_json(self) -> dict[str, Any]:
        return {
            "format": POLICY_FORMAT,
            "loader": LOADER,
            "name": self.name,
            "sensors": {name: spec_to_json(spec) for name, spec in self.sensors.items()},
            "history": 1,
            "state": [{"name": name, "unit": _UNITS[name]} for name in _state_names(self.network)],
            "action": {"outputs": self.network.head.outputs, **self.scales.to_json()},
            "normalization": _NORMALIZATION,
            "network": network_to_json(self.network),
            "training": dict(self.training),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> PolicySpec:
        """Read policy.json (already checked for its format). Raises PolicyError."""
        if values.get("history") != 1:
            found = values.get("history")
            raise PolicyError(f"policy.json: history is {found!r}; this loader knows 1 alone")
        if values.get("normalization") != _NORMALIZATION:
            raise PolicyError(
                f"policy.json: normalization is {values.get('normalization')!r}; this loader knows "
                f"{_NORMALIZATION!r} alone"
            )
        network = network_from_json(values.get("network"))
        check_state(values.get("state"), network)
        sensors = read_policy_sensors(values)
        if StateSpec.kind in network.encoders:  # which earlier versions took without naming it
            sensors.setdefault(StateSpec.kind, StateSpec())
        training = values.get("training")
        return cls(
            sensors=sensors,
            network=network,
            scales=Scales.from_json(values.get("action")),
            name=str(values.get("name", "")),
            training=training if isinstance(training, Mapping) else {},
        )


def check_state(state: object, network: NetworkConfig) -> None:
    """Raise PolicyError where policy.json names other numbers, or other units, than the network
    takes.
    """
    if not isinstance(state, list) or not all(isinstance(entry, Mapping) for entry in state):
        raise PolicyError("policy.json: field 'state' must be a list of objects")
    found = [entry.get("name") for entry in state]
    wanted = _state_names(network)
    if found != wanted:
        raise PolicyError(f"policy.json: state names {found!r}; the network takes {wanted!r}")
    for entry in state:
        if entry.get("unit") != (unit := _UNITS[entry["name"]]):
            raise PolicyError(
                f"policy.json: state {entry['name']!r} has unit {entry.get('unit')!r}; the network "
                f"takes {unit!r}"
            )


def _state_names(network: NetworkConfig) -> list[str]:
    """Inputs of a network whose numbers have names and units of their own."""
    return [name for name in network.inputs if name in _UNITS]


class NetworkPolicy:
    """Drives by a network; it remembers from one `act` to the next, and `reset` forgets."""

    def __init__(self, spec: PolicySpec, network: DrivingNetwork) -> None:
        self.spec = spec
        self.sensors = dict(spec.sensors)
        self.camera: CameraSpec | None = spec.camera
        self.network = network.eval()
        self.reset()

    def reset(self) -> None:
        self._state = self.network.initial_state(1)
        self._last: tuple[dict[str, Tensor], State, float] | None = None

    def act(self, observation: Mapping[str, Any], car: Car | None = None) -> Action:
        """What the network answers, within the policy's limits.

        Raises:
            PolicyError: an observation that the network does not take.
            PolicyNotFiniteError: an answer that is not finite.
        """
        inputs, state = self._inputs(observation, car), self._state
        with torch.inference_mode(), one_thread():
            output, self._state = self.network.step(inputs, state)
        numbers = output[0].tolist()
        if not all(map(math.isfinite, numbers)):
            raise PolicyNotFiniteError(
                f"policy {self.spec.name!r} answered {numbers}; its weights are broken"
            )
        speed = float(np.asarray(observation["speed"]).reshape(-1)[0])
        self._last = inputs, state, speed
        return to_action(numbers, self.spec.network.head, self.spec.scales, speed)

    def saliency(self) -> NDArray[np.float32] | None:
        """What in the view of the first camera the curvature of the last `act` depended on; see
        `networks.saliency`.

        It costs another pass through the network, there and back, and changes nothing.

        Returns:
            (height, width) of the camera, from 0 to 1; None for a policy without a camera, and
            before the first `act` after `reset`.

        Raises:
            PolicyNotFiniteError: the network's gradient is not finite.
        """
        if self.camera is None or self._last is None:
            return None
        inputs, state, speed = self._last
        head, scales = self.spec.network.head, self.spec.scales
        with one_thread():
            found = saliency(
                self.network,
                inputs,
                state,
                lambda numbers: steering(numbers, head, scales, torch.tensor([speed])),
            )
        if not np.isfinite(found).all():
            raise PolicyNotFiniteError(
                f"policy {self.spec.name!r} has a saliency map that is not finite"
            )
        return found

    def _inputs(self, observation: Mapping[str, Any], car: Car | None) -> dict[str, Tensor]:
        inputs: dict[str, Tensor] = {}
        for name in self.spec.network.inputs:
            if name in self.sensors:
                inputs[name] = self._reading(name, observation, car)
            elif name == "speed":
                inputs[name] = torch.from_numpy(
                    np.asarray(observation["speed"], dtype=np.float32).reshape(1)
                )
            else:
                inputs[name] = torch.tensor([command_number(observation.get("command"))])
        return inputs

    def _reading(self, name: str, observation: Mapping[str, Any], car: Car | None) -> Tensor:
        if name in observation:
            reading = np.asarray(observation[name])
        elif name == StateSpec.kind and car is not None:
            reading = car.state_vector()
        else:
            needed = "; or call act(observation, car)" if name == StateSpec.kind else ""
            raise PolicyError(
                f"policy {self.spec.name!r} drives by {name!r}, which is not observed: give the "
                f"car the sensors of the policy{needed}"
            )
        wanted = reading_shape(self.spec.network.encoders[name])
        if reading.shape != wanted:
            raise PolicyError(
                f"observation {name!r} has shape {reading.shape}; this policy takes {wanted}"
            )
        # A copy: `saliency` looks at it later, when the caller's array may hold the next one.
        return torch.from_numpy(np.array(reading, order="C"))[None]

    def save(self, folder: Path | str) -> None:
        """Write policy.json and weights.safetensors, each whole or not at all."""
        save_policy(folder, self.spec, self.network.state_dict())


def command_number(command: Any) -> int:
    """Place of a navigation command in `COMMANDS`; None: follow.

    Args:
        command: its name or number.

    Raises:
        PolicyError: there is no such command.
    """
    return place_of_command(command, COMMANDS, COMMANDS[0])


def save_policy(folder: Path | str, spec: PolicySpec, weights: Mapping[str, Tensor]) -> None:
    """Write a policy folder. policy.json holds a checksum of the weights."""
    save_model(folder, POLICY_JSON, spec.to_json(), weights)


def load(folder: Path | str) -> NetworkPolicy:
    """Load a policy folder; the entry point `vista-agents`.

    Raises:
        PolicyError: policy.json or the weights are missing, cut short, changed, not finite,
            or do not fit the network that policy.json describes.
    """
    folder = Path(folder)
    values = read_policy_json(folder)
    try:
        spec = PolicySpec.from_json(values)
    except PolicyError as error:
        raise PolicyError(f"{folder}: {error}") from None
    network = build_network(spec.network)
    load_weights(network, folder, POLICY_JSON, values.get("weights"), PolicyError)
    return NetworkPolicy(spec, network)
