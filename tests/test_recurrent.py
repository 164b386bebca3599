"""Recurrent memories against PyTorch's and ncps' own, and gradients through time."""

import pytest
import torch
from ncps.torch import CfC
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from vista_agents.networks.recurrent import Recurrent, RecurrentConfig

INPUTS, SIZE = 6, 9
LENGTHS = [8, 5, 2]
MASK = torch.arange(8)[None] < torch.tensor(LENGTHS)[:, None]


def memory(kind, size=SIZE):
    torch.manual_seed(2)
    return Recurrent(RecurrentConfig(kind, size), INPUTS)


def features(count=3, length=8):
    return torch.randn(count, length, INPUTS, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("kind", "theirs"),
    [
        ("lstm", nn.LSTM(INPUTS, SIZE, batch_first=True)),
        ("gru", nn.GRU(INPUTS, SIZE, batch_first=True)),
        ("rnn", nn.RNN(INPUTS, SIZE, nonlinearity="relu", batch_first=True)),
    ],
)
def test_a_memory_of_padded_sequences_is_that_of_pytorch_on_packed_ones(kind, theirs):
    ours = memory(kind)
    theirs.load_state_dict({f"{k}_l0": v for k, v in ours.cell.state_dict().items()})
    x = features()
    with torch.no_grad():
        found, state = ours(x, MASK, ours.initial_state(3))
        packed, last = theirs(pack_padded_sequence(x, LENGTHS, batch_first=True))
        wanted, _ = pad_packed_sequence(packed, batch_first=True)
    assert torch.allclose(found[MASK], wanted[MASK], atol=1e-5)
    hidden, cell = last if kind == "lstm" else (last, None)
    assert torch.allclose(state["hidden"], hidden[0], atol=1e-5)
    if cell is not None:
        assert torch.allclose(state["cell"], cell[0], atol=1e-5)


def test_the_liquid_memory_is_that_of_ncps():
    ours, theirs = memory("cfc"), CfC(INPUTS, SIZE)
    theirs.rnn_cell.load_state_dict(ours.cell.state_dict())
    x = features()
    with torch.no_grad():
        found, state = ours(x, None, ours.initial_state(3))
        wanted, last = theirs(x)
    assert torch.allclose(found, wanted, atol=1e-5)
    assert torch.allclose(state["hidden"], last, atol=1e-5)


def test_an_lstm_forgets_nothing_at_first():
    cell = memory("lstm").cell
    assert torch.equal(cell.bias_ih[SIZE : 2 * SIZE], torch.ones(SIZE))


def gradient_by_age(ours, age):
    """Norm of the gradient of the last answer by the input so many steps before."""
    x = features(1, age + 1).requires_grad_()
    outputs, _ = ours(x, None, ours.initial_state(1))
    outputs[0, -1].sum().backward()
    return x.grad[0, 0].norm()


def test_the_identity_keeps_gradients_over_50_steps_where_a_tanh_network_loses_them():
    """Le, Jaitly and Hinton, "A Simple Way to Initialize Recurrent Networks", 2015."""
    identity = memory("rnn", 64)
    assert 0.1 < gradient_by_age(identity, 50) / gradient_by_age(identity, 0) < 10

    class Tanh(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(2)
            self.rnn = nn.RNN(INPUTS, 64, batch_first=True)

        def initial_state(self, count):
            return None

        def forward(self, x, mask, state):
            return self.rnn(x)

    plain = Tanh()
    assert gradient_by_age(plain, 50) / gradient_by_age(plain, 0) < 1e-6


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm", "cfc"])
def test_the_state_stands_still_at_padding(kind):
    ours = memory(kind)
    before = {k: torch.randn_like(v) for k, v in ours.initial_state(3).items()}
    with torch.no_grad():
        _, after = ours(features(), torch.zeros(3, 8, dtype=torch.bool), before)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[k], after[k]) for k in before)
