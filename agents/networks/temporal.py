"""Memory by causal attention over the last frames, with a cache when driving."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from .attention import Block
from .layers import check_depth, check_dropout, check_positive
from .recurrent import State


@dataclass(frozen=True)
class TemporalAttentionConfig:
    """Frames that attend to themselves and to those before them."""

    window: int = 16
    """Frames that each one sees in a layer, itself included."""
    width: int = 64
    """Of a frame's token."""
    heads: int = 4
    """Attention heads."""
    layers: int = 2
    """Attention blocks; each reaches back by another window."""
    dropout: float = 0.1
    """Share of values dropped in each block while training."""

    def __post_init__(self) -> None:
        check_positive(width=self.width, heads=self.heads)
        check_depth(layers=self.layers)
        check_dropout(self.dropout)
        if self.window < 2:
            raise ValueError(f"window is {self.window}; it must be at least 2 frames")
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not divisible by {self.heads} heads")

    @property
    def features(self) -> int:
        return self.width


class TemporalAttention(nn.Module):
    """Features (n, T, F) of features (n, T, D) and the state before them.

    The state holds keys and values of the last window - 1 frames of each layer, right-aligned,
    and how many frames were seen. Where a frame stands in time enters as a learned bias by its
    age (as in Raffel et al. 2020, section 2.1), so that a cache needs no absolute time.
    """

    def __init__(self, config: TemporalAttentionConfig, inputs: int) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Linear(inputs, config.width)
        self.blocks = nn.ModuleList(
            Block(config.width, config.heads, config.dropout) for _ in range(config.layers)
        )
        self.age = nn.Parameter(torch.zeros(config.layers, config.heads, config.window))
        self.norm = nn.LayerNorm(config.width)

    def initial_state(self, count: int, device: torch.device | None = None) -> State:
        config = self.config
        shape = (count, config.layers, config.heads, config.window - 1)
        depth = config.width // config.heads
        return {
            "keys": torch.zeros(*shape, depth, device=device),
            "values": torch.zeros(*shape, depth, device=device),
            "seen": torch.zeros(count, 1, device=device),
        }

    def forward(self, features: Tensor, mask: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Frames that the mask (n, T) leaves out are seen by none and leave no trace."""
        kept = self.config.window - 1
        seen = state["seen"]
        new = features.new_ones(features.shape[:2]) if mask is None else mask
        new = new.float()
        # Place in time of cached and of new frames, counted over those that are there.
        place_new = seen + new.cumsum(dim=1) - 1
        place_old = seen - torch.arange(kept, 0, -1, device=features.device)
        place = torch.cat([place_old, place_new], dim=1)
        there = torch.cat([(place_old >= 0).to(new.dtype), new], dim=1)
        age = (place_new[:, :, None] - place[:, None, :]).long()  # (n, T, kept + T)
        visible = (age >= 0) & (age <= kept) & (there[:, None, :] > 0)
        # A frame that is left out sees itself, so that no row of the softmax is empty.
        if mask is not None:
            own = torch.eye(features.shape[1], dtype=torch.bool, device=features.device)
            own = torch.cat([own.new_zeros(features.shape[1], kept), own], dim=1)
            visible = visible | (own & (new[:, :, None] == 0))
        hidden = torch.zeros_like(age, dtype=torch.float32).masked_fill(~visible, float("-inf"))
        last = _last(there, kept) if mask is not None else None
        tokens = self.embed(features)
        keys, values = [], []
        for i, block in enumerate(cast("list[Block]", list(self.blocks))):
            q, k, v = block.attention.queries_keys_values(block.before_attention(tokens))
            k = torch.cat([state["keys"][:, i].to(k.dtype), k], dim=2)
            v = torch.cat([state["values"][:, i].to(v.dtype), v], dim=2)
            bias = self.age[i][:, age.clamp(0, kept)].transpose(0, 1) + hidden[:, None]
            tokens = tokens + block.dropout(block.attention.attend(q, k, v, bias))
            tokens = tokens + block.dropout(block.dense(tokens))
            keys.append(_take(k, last, kept))
            values.append(_take(v, last, kept))
        state = {
            "keys": torch.stack(keys, dim=1),
            "values": torch.stack(values, dim=1),
            "seen": seen + new.sum(dim=1, keepdim=True),
        }
        return self.norm(tokens), state


def _last(
    there: Tensor,  # (n, L) 1 where a frame is there
    count: int,
) -> Tensor:  # (n, count)
    """Indices of the last frames that are there, in order, padded at the front with others."""
    order = torch.sort(there, dim=1, stable=True).indices
    return order[:, -count:]


def _take(x: Tensor, index: Tensor | None, count: int) -> Tensor:
    """The frames of (n, heads, L, d) that the cache keeps."""
    if index is None:
        return x[:, :, -count:]
    wanted = index[:, None, :, None].expand(-1, x.shape[1], -1, x.shape[3])
    return x.gather(2, wanted)
