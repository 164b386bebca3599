"""The policy folder of a network: policy.json and weights.safetensors, and the policy in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from vista_sim.errors import PolicyError
from vista_sim.policies import POLICY_FORMAT, Action, CameraSpec, read_policy_json

from .networks.registry import build_network, network_from_json, network_to_json
from .threads import one_thread
from .weights import load_weights, save_model

if TYPE_CHECKING:
    from vista_sim.world import Car

LOADER = "vista-agents"
POLICY_JSON = "policy.json"


@dataclass(frozen=True)
class PolicySpec:
    """Everything that policy.json says beside the weights."""

    camera: CameraSpec
    network: Any
    curvature_scale: float = 0.05  # 1/m that the network calls 1
    curvature_limit: float = 0.2  # 1/m
    name: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)  # how it came about; not read back

    def __post_init__(self) -> None:
        for name in ("curvature_scale", "curvature_limit"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise PolicyError(f"policy {name} is {value} 1/m; it must be positive")
        if tuple(self.camera.size) != tuple(self.network.size):
            raise PolicyError(
                f"policy camera size {tuple(self.camera.size)} does not fit its network, "
                f"which takes {tuple(self.network.size)}"
            )

    def to_json(self) -> dict[str, Any]:
        speed = [{"name": "speed", "unit": "m/s"}] if self.network.speed else []
        return {
            "format": POLICY_FORMAT,
            "loader": LOADER,
            "name": self.name,
            "camera": self.camera.to_json(),
            "history": 1,
            "state": speed,
            "action": {"curvature": {"scale": self.curvature_scale, "limit": self.curvature_limit}},
            "normalization": {
                "camera": self.network.input_norm,
                "speed": self.network.speed_scale if self.network.speed else None,
                "where": "inside the network",
            },
            "network": network_to_json(self.network),
            "training": dict(self.training),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> PolicySpec:
        """Read policy.json (already checked for its format). Raises PolicyError."""
        if values.get("history") != 1:
            found = values.get("history")
            raise PolicyError(f"policy.json: history is {found!r}; this loader knows 1 alone")
        camera = values.get("camera")
        if not isinstance(camera, Mapping):
            raise PolicyError("policy.json: field 'camera' must be an object")
        try:
            action = values["action"]["curvature"]
            scale, limit = float(action["scale"]), float(action["limit"])
        except (KeyError, TypeError, ValueError):
            raise PolicyError(
                "policy.json: field 'action' must hold curvature with scale and limit"
            ) from None
        training = values.get("training")
        return cls(
            camera=CameraSpec.from_json(camera),
            network=network_from_json(values.get("network")),
            curvature_scale=scale,
            curvature_limit=limit,
            name=str(values.get("name", "")),
            training=training if isinstance(training, Mapping) else {},
        )


class NetworkPolicy:
    """Drives by a network that sees one camera image, and the speed if it was trained with it."""

    def __init__(self, spec: PolicySpec, network: nn.Module) -> None:
        self.spec = spec
        self.camera: CameraSpec | None = spec.camera
        self.network = network.eval()

    def reset(self) -> None:
        """Nothing to forget: the network has no memory."""

    def act(self, observation: Mapping[str, Any], car: Car | None = None) -> Action:
        image = np.asarray(observation["camera"])
        wanted = (*self.spec.camera.size, 3)
        if image.shape != wanted:
            raise PolicyError(
                f"the camera image has shape {image.shape}; this policy takes {wanted}"
            )
        speed = float(np.asarray(observation["speed"]).reshape(-1)[0])
        with torch.inference_mode(), one_thread():
            camera = torch.from_numpy(np.ascontiguousarray(image))[None]
            output = float(self.network(camera, torch.tensor([speed])))
        if not math.isfinite(output):
            raise PolicyError(
                f"policy {self.spec.name!r} answered {output}; its weights are broken"
            )
        limit = self.spec.curvature_limit
        return Action(max(-limit, min(limit, output * self.spec.curvature_scale)))

    def save(self, folder: Path | str) -> None:
        """Write policy.json and weights.safetensors, each whole or not at all."""
        save_policy(folder, self.spec, self.network.state_dict())


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
    weights = values.get("weights")
    if not isinstance(weights, Mapping) or not isinstance(weights.get("sha256"), str):
        raise PolicyError(f"{folder / 'policy.json'}: field 'weights' must hold file and sha256")
    network = build_network(spec.network)
    load_weights(network, folder, POLICY_JSON, weights["sha256"], PolicyError)
    return NetworkPolicy(spec, network)
