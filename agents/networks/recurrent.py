"""Memories that carry a state from frame to frame: plain RNN, GRU, LSTM, liquid (CfC)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from .layers import check_choice, check_positive

State = dict[str, Tensor]  # each (n, ...)
CELLS = ("rnn", "gru", "lstm", "cfc")


@dataclass(frozen=True)
class RecurrentConfig:
    """A recurrent cell on the encoder's features."""

    cell: Literal["rnn", "gru", "lstm", "cfc"] = "lstm"
    """rnn: plain, ReLU, starting from the identity (Le et al. 2015); gru; lstm; cfc: liquid,
    closed-form continuous-time (Hasani et al. 2022, library ncps)."""
    size: int = 64
    """Width of the hidden state."""

    def __post_init__(self) -> None:
        check_choice("cell", self.cell, CELLS)
        check_positive(size=self.size)

    @property
    def features(self) -> int:
        return self.size


class Recurrent(nn.Module):
    """Features (n, T, F) of features (n, T, D) and the state before them."""

    def __init__(self, config: RecurrentConfig, inputs: int) -> None:
        super().__init__()
        self.kind, self.size = config.cell, config.size
        self.cell = _cell(config, inputs)

    def initial_state(self, count: int, device: torch.device | None = None) -> State:
        names = ("hidden", "cell") if self.kind == "lstm" else ("hidden",)
        return {name: torch.zeros(count, self.size, device=device) for name in names}

    def forward(self, features: Tensor, mask: Tensor | None, state: State) -> tuple[Tensor, State]:
        """The state stands still at frames that the mask (n, T) leaves out."""
        outputs = []
        for t in range(features.shape[1]):
            new = self._step(features[:, t], state)
            if mask is not None:
                kept = mask[:, t, None]
                new = {name: torch.where(kept, new[name], state[name]) for name in new}
            state = new
            outputs.append(state["hidden"])
        return torch.stack(outputs, dim=1), state

    def _step(self, x: Tensor, state: State) -> State:
        hidden = state["hidden"].to(x.dtype)
        if self.kind == "lstm":
            hidden, cell = self.cell(x, (hidden, state["cell"].to(x.dtype)))
            return {"hidden": hidden, "cell": cell}
        if self.kind == "cfc":
            # Frames are equally spaced: the time between two is the unit.
            return {"hidden": self.cell(x, hidden, 1.0)[0]}
        return {"hidden": self.cell(x, hidden)}


def _cell(config: RecurrentConfig, inputs: int) -> nn.Module:
    if config.cell == "cfc":
        from ncps.torch import CfCCell

        return CfCCell(inputs, config.size)
    if config.cell == "gru":
        return nn.GRUCell(inputs, config.size)
    if config.cell == "lstm":
        cell = nn.LSTMCell(inputs, config.size)
        # Forget nothing at first: Jozefowicz et al., "An Empirical Exploration" (2015).
        with torch.no_grad():
            cell.bias_ih[config.size : 2 * config.size] = 1.0
        return cell
    plain = nn.RNNCell(inputs, config.size, nonlinearity="relu")
    nn.init.eye_(plain.weight_hh)
    nn.init.normal_(plain.weight_ih, std=0.1 / inputs**0.5)
    nn.init.zeros_(plain.bias_ih)
    nn.init.zeros_(plain.bias_hh)
    return plain
