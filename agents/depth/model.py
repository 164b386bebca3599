"""The folder of a depth model: depth.json and weights.safetensors, and the model in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vista_sim.errors import GeometryError
from vista_sim.files import check_real, check_whole, one_line, shown
from vista_sim.geometry.ground import ground_inverse_depth
from vista_sim.geometry.models import DEPTH_FORMAT, DEPTH_JSON, read_depth_json
from vista_sim.traces.calibration import Lens

from ..networks.fields import config_from_json
from ..threads import one_thread
from ..weights import load_weights, save_model
from .network import DepthNet, DepthNetConfig

LOADER = "vista-agents"
NETWORK = "ground-corrector"

# How far, in the logarithm of inverse depth, a picture and its mirror image may disagree
# before the answer counts a third.
_DISAGREEMENT = 0.12
_SOFTENING = 0.01  # 1/m, in that logarithm


@dataclass(frozen=True)
class DepthModelSpec:
    """Everything that depth.json says beside the weights."""

    network: DepthNetConfig
    size: tuple[int, int]  # (height, width) of the pictures it learned from
    focal: float  # px, their focal length
    training: Mapping[str, Any] = field(default_factory=dict)  # how it came about; not read back

    def to_json(self) -> dict[str, Any]:
        return {
            "format": DEPTH_FORMAT,
            "loader": LOADER,
            "kind": "metric",
            "output": "inverse_depth",
            "range": {"times_flat_ground": [1 / 90, 90], "unit": "1/m"},
            "size": list(self.size),
            "focal": self.focal,
            "normalization": {
                "picture": "mean and deviation of each picture, inside the network",
                "inverse_depth": "the network gives inverse depth times the focal length of the "
                "picture it sees, px/m; divided by that of the camera at hand it is 1/m",
            },
            "network": {"name": NETWORK, "config": dataclasses.asdict(self.network)},
            "training": dict(self.training),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], path: Path) -> DepthModelSpec:
        """Read depth.json, already checked for its format. Raises GeometryError."""
        network = values.get("network")
        if not isinstance(network, Mapping) or network.get("name") != NETWORK:
            name = network.get("name") if isinstance(network, Mapping) else network
            raise GeometryError(f"{path}: network is {shown(name)}; this version knows {NETWORK!r}")
        try:
            config = config_from_json(DepthNetConfig, network["config"], "network")
            height, width = (check_whole(side, "size", 1, 8192) for side in values["size"])
            focal = check_real(values["focal"], "focal", 1e-3, 1e6)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = one_line(error)
            raise GeometryError(
                f"{path}: size, focal or network is not usable ({reason})"
            ) from None
        return cls(config, (height, width), focal)


class LearnedDepth:
    """Metric inverse depth from one picture; a `vista_sim.geometry.models.DepthModel`."""

    metric = True
    align = True

    def __init__(self, spec: DepthModelSpec, network: DepthNet, name: str) -> None:
        self.spec = spec
        self.network = network.eval()
        self.name = name

    def input_size(self, size: tuple[int, int]) -> tuple[int, int]:
        return self.spec.network.input_size(size)

    def predict(
        self,
        picture: NDArray[np.uint8],
        lens: Lens,
        T_vehicle_camera: NDArray[np.float64],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Inverse depth (h, w), 1/m, and how far a mirrored picture agrees (h, w), 0..1."""
        ground = ground_inverse_depth(lens, T_vehicle_camera) * np.float32(lens.fx)
        with torch.inference_mode(), one_thread():
            both = np.stack([picture, picture[:, ::-1]])
            image = torch.from_numpy(both)
            below = torch.from_numpy(np.stack([ground, ground[:, ::-1]]))
            output = self.network(image, below)[0]
            own, mirrored = output[0] / lens.fx, output[1].flip(1) / lens.fx
            apart = torch.log((own + _SOFTENING) / (mirrored + _SOFTENING)) / _DISAGREEMENT
            sure = torch.exp(-apart.abs())
            values = 0.5 * (own + mirrored)
        return values.numpy(), sure.numpy()


def save_depth_model(
    folder: Path | str, spec: DepthModelSpec, weights: Mapping[str, Tensor]
) -> None:
    """Write a model folder. depth.json holds a checksum of the weights."""
    save_model(folder, DEPTH_JSON, spec.to_json(), weights)


def load(folder: Path | str) -> LearnedDepth:
    """Load a model folder; the entry point `vista-agents` of `vista_sim.depth_models`.

    Raises:
        GeometryError: depth.json or the weights are missing, cut short, changed, not finite,
            or do not fit the network that depth.json describes.
    """
    folder = Path(folder)
    values = read_depth_json(folder)
    spec = DepthModelSpec.from_json(values, folder / DEPTH_JSON)
    network = DepthNet(spec.network)
    load_weights(network, folder, DEPTH_JSON, values["weights"], GeometryError)
    return LearnedDepth(spec, network, folder.name)
