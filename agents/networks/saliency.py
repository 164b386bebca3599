"""What in the view a network's answer depended on.

Convolutional encoders: the gradient of the answer with respect to the image, times how far each
pixel stands out from its surroundings. To first order that is how much the answer would change
if the detail there were blurred away (gradient times input, Shrikumar et al., "Not Just a Black
Box" (2016), with the blurred image as the baseline of Fong and Vedaldi (2017)). VisualBackProp
(Bojarski et al. 2016) knows nothing of the layers after the feature map: of a trained PilotNet,
blurring the tenth of the view that it marks changed the steering a seventh as much, little more
than a tenth drawn by chance (`benchmarks/saliency.py`).

Attention over space: the attention weights of all layers, multiplied from the last to the first
with the shortcuts counted in (Abnar and Zuidema, "Quantifying Attention Flow in Transformers"
(2020)), each weight by how much the answer depends on it (Chefer et al., "Generic
Attention-model Explainability" (2021), equations 5 and 6). The weights alone say nothing of the
steering: blurring the tenth that they mark changed it a twentieth as much, less than a tenth
drawn by chance (a fifth as much).

Both are of the last frame alone: what a memory kept of earlier ones has no place in this view.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .attention import attention_maps
from .network import DrivingNetwork
from .recurrent import State
from .spatial import SpatialAttention, SpatialAttentionConfig

Floats = NDArray[np.float32]

_SURROUNDINGS = 0.025  # of the view's width: deviation of the blur that a pixel is compared with
_SMOOTHING = 0.015  # of the view's width: deviation of the blur of the map


def saliency(
    network: DrivingNetwork,
    inputs: Mapping[str, Tensor],
    state: State,
    scalar: Callable[[Tensor], Tensor],
) -> Floats:
    """Map of what the network's answer to a frame depended on.

    Args:
        network: in evaluation mode, with a camera.
        inputs: of one step of one car, (1, ...) each.
        state: before that step.
        scalar: from what to do (1, K) to the number (1,) that is explained.

    Returns:
        (H, W) of the camera's size, from 0 to 1; the largest is 1 unless nothing mattered, then
        all are 0. NaN where the network's gradient is not finite.
    """
    with torch.inference_mode(False), torch.enable_grad():
        # What was made in inference mode takes no part in a gradient; copies do.
        given = {name: x.clone() for name, x in inputs.items()}
        given["camera"] = given["camera"].float().requires_grad_()
        before = {name: x.clone() for name, x in state.items()}
        encoder, config = network.encoder, network.config.encoder
        if isinstance(encoder, SpatialAttention) and isinstance(config, SpatialAttentionConfig):
            found = _attention(network, encoder, config, given, before, scalar)
        else:
            found = _contrast(network, given, before, scalar)
    largest = found.max()
    return found if largest == 0 else np.clip(found / largest, 0.0, 1.0)


def _contrast(
    network: DrivingNetwork,
    inputs: Mapping[str, Tensor],
    state: State,
    scalar: Callable[[Tensor], Tensor],
) -> Floats:
    """Gradient times contrast."""
    camera = inputs["camera"]
    (gradient,) = torch.autograd.grad(scalar(network.step(inputs, state)[0]).sum(), camera)
    image = camera.detach()[0].numpy()
    width = image.shape[1]
    standing_out = image - cv2.GaussianBlur(image, (0, 0), max(1.0, _SURROUNDINGS * width))
    change = np.abs((gradient[0].numpy() * standing_out).sum(axis=2))
    found: Floats = cv2.GaussianBlur(change, (0, 0), max(0.5, _SMOOTHING * width))
    return found


def _attention(
    network: DrivingNetwork,
    encoder: SpatialAttention,
    config: SpatialAttentionConfig,
    inputs: Mapping[str, Tensor],
    state: State,
    scalar: Callable[[Tensor], Tensor],
) -> Floats:
    """Attention weights from the answer back to the tokens of the image."""
    tokens: list[Tensor] = []
    hook = encoder.gather.register_forward_pre_hook(lambda _, given: tokens.append(given[0]))
    try:
        with attention_maps(encoder, differentiable=True) as maps:
            answer = scalar(network.step(inputs, state)[0]).sum()
    finally:
        hook.remove()
    weights = [maps[f"blocks.{i}.attention"] for i in range(len(encoder.blocks))]
    last, *slopes = torch.autograd.grad(answer, [tokens[-1], *weights])
    # How much the answer depends on each token after the last layer.
    relevance = (last * tokens[-1]).sum(dim=2).abs()  # (1, L)
    for weight, slope in zip(reversed(weights), reversed(slopes), strict=True):
        mixing = (slope * weight).clamp(min=0.0).mean(dim=1)  # (1, L, L): queries, keys
        relevance = relevance + (relevance[:, None] @ mixing)[:, 0]
    return placed(relevance.detach().reshape(config.grid).numpy(), config)


def placed(grid: Floats, config: SpatialAttentionConfig) -> Floats:
    """Values of tokens (rows, columns) as a map (H, W) of the view that they are from."""
    (down, top), (across, left) = config.token_places
    to_grid = np.array([[1 / across, 0.0, -left / across], [0.0, 1 / down, -top / down]])
    found: Floats = cv2.warpAffine(
        grid,
        to_grid,
        config.size[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return found
