"""Query-key-value self-attention: Vaswani et al., "Attention Is All You Need" (2017), 3.2."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from .layers import check_dropout


class SelfAttention(nn.Module):
    """Several heads of softmax(Q Kᵀ / √d + bias) V.

    Args:
        width: of the tokens.
        heads: how many; they share the width.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not divisible by {heads} heads")
        self.heads = heads
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.keep = False  # see attention_maps
        self.kept: Tensor | None = None  # (n, heads, queries, keys)

    def queries_keys_values(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(n, L, D) to three of (n, heads, L, D / heads)."""
        q, k, v = self.project(tokens).chunk(3, dim=-1)
        return self._split(q), self._split(k), self._split(v)

    def attend(
        self,
        queries: Tensor,  # (n, heads, Lq, d)
        keys: Tensor,  # (n, heads, Lk, d)
        values: Tensor,  # (n, heads, Lk, d)
        bias: Tensor | None = None,  # broadcast to (n, heads, Lq, Lk); -inf: not to be seen
    ) -> Tensor:  # (n, Lq, heads * d)
        scores = queries @ keys.transpose(-2, -1) / math.sqrt(queries.shape[-1])
        if bias is not None:
            scores = scores + bias
        weights = scores.softmax(dim=-1)
        if self.keep:
            self.kept = weights
        mixed = (weights @ values).transpose(1, 2)
        return self.out(mixed.flatten(2))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.attend(*self.queries_keys_values(tokens))

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)


class Block(nn.Module):
    """Attention, then two dense layers, each with a shortcut and layer normalization before it
    (Xiong et al., "On Layer Normalization in the Transformer Architecture", 2020).
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        check_dropout(dropout)
        self.before_attention = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.dense = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Linear(2 * width, width),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.dropout(self.attention(self.before_attention(tokens)))
        return tokens + self.dropout(self.dense(tokens))


@contextmanager
def attention_maps(network: nn.Module, differentiable: bool = False) -> Iterator[dict[str, Tensor]]:
    """Read out attention weights: what forward passes inside the `with` attend to.

    Gives a dictionary that is filled when the block ends: name of the attention layer to the
    weights (n, heads, queries, keys) of the last pass; each row sums to 1.

    Args:
        differentiable: whether the weights are those that the pass went on with, so that a
            gradient with respect to them can be taken.
    """
    layers = {name: m for name, m in network.named_modules() if isinstance(m, SelfAttention)}
    found: dict[str, Tensor] = {}
    for layer in layers.values():
        layer.keep = True
    try:
        yield found
    finally:
        for name, layer in layers.items():
            if layer.kept is not None:
                found[name] = layer.kept if differentiable else layer.kept.detach()
            layer.keep, layer.kept = False, None
