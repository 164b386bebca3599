"""What saliency maps are worth: how much the steering changes where a map's brightest parts are
blurred away.

    python benchmarks/saliency.py runs/guided runs/attention

Each policy looks at views of a trace by itself. Of each view the tenth of the pixels that a map
marks most is replaced by a strong blur of the view, and the mean change of the curvature (1/m) is
compared: of the policy's own maps (`most`), of their least tenth (`least`), of as much of the view
drawn by chance (`random`, patches as coarse as the maps), and of simpler maps: VisualBackProp
(Bojarski et al. 2016) for convolutional encoders, the attention weights alone (multiplied from
layer to layer with the shortcuts, Abnar and Zuidema 2020) for attention over space. Prints JSON;
`share_of_most` is each change divided by that of `most`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from vista_agents.networks.attention import attention_maps  # type: ignore[import-not-found]
from vista_agents.networks.saliency import placed  # type: ignore[import-not-found]
from vista_agents.networks.spatial import SpatialAttention, SpatialAttentionConfig  # type: ignore[import-not-found]
from vista_agents.policy import NetworkPolicy  # type: ignore[import-not-found]

import vista_sim
from vista_sim.policies import load_policy

Floats = NDArray[np.float64]
Image = NDArray[np.uint8]
Map = NDArray[np.float32]

DT = 0.1  # s
COVERED = 0.1  # of the pixels
BLUR = 0.1  # of the view's width: deviation of the blur that covers
GRAIN = 0.04  # of the view's width: deviation of the blur of random maps


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("policies", nargs="+", type=Path, help="policy folders")
    parser.add_argument("--trace", type=Path, help="default: the sample trace not trained on")
    parser.add_argument("--views", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    trace = options.trace or vista_sim.sample_trace("proving-ground-unseen")
    results = {
        str(folder): measure(folder, trace, options.views, options.seed)
        for folder in options.policies
    }
    print(json.dumps(results, indent=2))


def measure(folder: Path, trace: Path, count: int, seed: int) -> dict[str, Any]:
    """The mean change of the curvature (1/m) for each kind of map of one policy."""
    policy = load_policy(str(folder))
    if not isinstance(policy, NetworkPolicy) or policy.camera is None:
        raise SystemExit(f"{folder}: holds no network with a camera")
    random = np.random.default_rng(seed)
    camera = policy.camera
    world = vista_sim.World([trace], dt=DT)
    car = world.spawn_agent()
    car.spawn_camera("camera", camera.size, camera.fov, camera.mount, camera.lens)
    section = max(world.sections[0], key=lambda s: s.end_s - s.start_s)
    changes: dict[str, list[float]] = {}
    for s in np.linspace(section.start_s + 1.0, section.end_s - 1.0, count):
        car.reset(trace=0, s=float(s), lateral=0.0, heading=0.0)
        view: Image = car.observations["camera"].copy()

        def steer(image: Image) -> float:
            policy.reset()
            return policy.act({**car.observations, "camera": image}, car).curvature

        with listening(policy) as simpler:
            before = steer(view)
        own = policy.saliency()
        if own is None:
            raise SystemExit(f"{folder}: gives no saliency maps")
        grain = cv2.GaussianBlur(
            random.standard_normal(own.shape).astype(np.float32), (0, 0), GRAIN * own.shape[1]
        )
        maps = {"most": own, **simpler, "random": grain, "least": -own}
        for name, found in maps.items():
            change = abs(steer(covered(view, found)) - before)
            changes.setdefault(name, []).append(change)
    means = {name: float(np.mean(values)) for name, values in changes.items()}
    return {
        "views": count,
        "change_1_per_m": {name: round(mean, 6) for name, mean in means.items()},
        "share_of_most": {name: round(mean / means["most"], 3) for name, mean in means.items()},
    }


def covered(view: Image, found: Map) -> Image:
    """The view with a blur in place of the tenth of its pixels where the map (h, w) is highest."""
    count = round(COVERED * found.size)
    # Ties are broken from one end of the map to the other.
    places = np.argsort(found, axis=None, kind="stable")[-count:]
    image = view.copy()
    blurred = cv2.GaussianBlur(view, (0, 0), BLUR * view.shape[1])
    image.reshape(-1, 3)[places] = blurred.reshape(-1, 3)[places]
    return image


@contextmanager
def listening(policy: NetworkPolicy) -> Iterator[dict[str, Map]]:
    """Gives a dictionary that holds, after the block, the simpler kind of map of the policy's last
    answer in it, by the name of the kind.
    """
    encoder, config = policy.network.encoder, policy.network.config.encoder
    assert policy.camera is not None
    size = policy.camera.size
    found: dict[str, Map] = {}
    if isinstance(encoder, SpatialAttention) and isinstance(config, SpatialAttentionConfig):
        with attention_maps(encoder) as weights:
            yield found
        layers = [weights[f"blocks.{i}.attention"] for i in range(len(encoder.blocks))]
        found["attention_weights"] = rolled_out(layers, config)
        return
    convolutions = [m for m in encoder.modules() if isinstance(m, nn.Conv2d)]
    features: list[Tensor] = []
    hooks = [
        m.register_forward_hook(lambda _, __, out: features.append(torch.relu(out)))
        for m in convolutions
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
    found["visual_back_prop"] = back_propagated(convolutions, features, size)


def back_propagated(layers: list[nn.Conv2d], features: list[Tensor], size: tuple[int, int]) -> Map:
    """VisualBackProp: mean feature maps, each times the enlarged product of those after it."""
    means = [f.mean(dim=1, keepdim=True) for f in features]
    found = means[-1]
    for i in range(len(layers) - 1, 0, -1):
        found = _enlarged(found, layers[i], tuple(means[i - 1].shape[2:])) * means[i - 1]
    return np.asarray(_enlarged(found, layers[0], size)[0, 0].numpy(), dtype=np.float32)


def rolled_out(layers: list[Tensor], config: SpatialAttentionConfig) -> Map:
    """Attention weights (1, heads, L, L) of all layers, from the last tokens to the first."""
    found = torch.eye(layers[0].shape[-1])
    for weights in layers:
        found = 0.5 * (weights.mean(dim=1)[0] + torch.eye(len(found))) @ found
    return placed(found.mean(dim=0).reshape(config.grid).numpy(), config)


def _enlarged(found: Tensor, layer: nn.Conv2d, size: tuple[int, ...]) -> Tensor:
    """A map of a layer's output, spread over what each of its values saw."""
    ones = torch.ones(1, 1, *layer.kernel_size)
    large = nn.functional.conv_transpose2d(found, ones, stride=layer.stride)
    top, left = (int(p) if not isinstance(p, str) else 0 for p in layer.padding)
    large = large[..., top:, left:]
    missing = [size[0] - large.shape[2], size[1] - large.shape[3]]
    return nn.functional.pad(large, (0, missing[1], 0, missing[0]))


if __name__ == "__main__":
    main()
