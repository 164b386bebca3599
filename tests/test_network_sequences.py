"""Every architecture on batches of sequences: padding, order, causality, and step by step."""

import dataclasses

import pytest
import torch
from architectures import REMEMBERING, SMALL, at, build, sequences
from torch import nn

#: (n, T): padding at the end, at the start and in between.
MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [0, 1, 0, 1, 1, 0]], dtype=torch.bool)

everyone = pytest.mark.parametrize("name", SMALL)
whoever_remembers = pytest.mark.parametrize("name", REMEMBERING)


def config_of(name, **values):
    return dataclasses.replace(SMALL[name], command="embedding", **values)


def spoiled(inputs, mask):
    """What no frame can hold, at padding: NaN, and a command that there is none of."""
    spoiled = {}
    for key, x in inputs.items():
        x = x.clone()
        x[~mask] = 99 if key == "command" else float("nan")
        spoiled[key] = x
    return spoiled


def answers(network, inputs, mask=None, state=None):
    with torch.no_grad():
        return network(inputs, mask, state)


def train_once(network, inputs, mask):
    """Outputs at real frames, gradients and buffers after one backward pass in training mode."""
    network.train()
    torch.manual_seed(5)  # of dropout
    outputs, _ = network(inputs, mask)
    outputs[mask].square().mean().backward()
    gradients = {name: p.grad for name, p in network.named_parameters()}
    return outputs[mask].detach(), gradients, dict(network.named_buffers())


@everyone
def test_what_stands_in_padding_changes_neither_answers_nor_gradients_nor_statistics(name):
    config = config_of(name)
    inputs = sequences(config)
    clean = train_once(build(config), inputs, MASK)
    spoilt = train_once(build(config), spoiled(inputs, MASK), MASK)
    assert torch.equal(clean[0], spoilt[0])
    for a, b in zip(clean[1:], spoilt[1:], strict=True):
        assert a.keys() == b.keys()
        for key in a:
            assert torch.isfinite(b[key]).all(), key
            assert torch.equal(a[key], b[key]), key
    assert any(gradient.abs().max() > 0 for gradient in clean[1].values())


@everyone
def test_padding_wherever_it_is_answers_as_the_sequence_without_it(name):
    config = config_of(name)
    network, inputs = build(config), sequences(config)
    padded, state = answers(network, spoiled(inputs, MASK), MASK)
    for i in range(3):
        row = slice(i, i + 1)
        there = MASK[i]
        alone, alone_state = answers(network, {k: x[row, there] for k, x in inputs.items()})
        assert torch.allclose(padded[i, there], alone[0], atol=1e-5)
        # What is remembered may differ in places that are never looked at: go on with both.
        after = at(sequences(config, count=1, length=2, seed=7), slice(None))
        going_on, _ = answers(network, after, state={k: s[row] for k, s in state.items()})
        assert torch.allclose(going_on, answers(network, after, state=alone_state)[0], atol=1e-5)


def test_batch_norm_counts_real_frames_alone():
    config = config_of("lstm")
    inputs = sequences(config)
    network = build(config)
    first = next(m for m in network.modules() if isinstance(m, nn.BatchNorm2d))
    convolution = next(m for m in network.modules() if isinstance(m, nn.Conv2d))
    pixels = network.encoder.convolutions[0]
    train_once(network, spoiled(inputs, MASK), MASK)
    with torch.no_grad():
        maps = convolution(pixels(inputs["camera"][MASK]))
    expected = 0.1 * maps.mean(dim=(0, 2, 3))  # momentum 0.1, from zero
    assert torch.allclose(first.running_mean, expected, atol=1e-5)


@everyone
def test_the_future_changes_no_answer(name):
    config = config_of(name)
    network, inputs = build(config), sequences(config, length=7)
    other = sequences(config, length=7, seed=2)
    changed = {key: torch.cat([x[:, :4], other[key][:, 4:]], dim=1) for key, x in inputs.items()}
    before, after = answers(network, inputs)[0], answers(network, changed)[0]
    assert torch.allclose(before[:, :4], after[:, :4], atol=1e-6)
    assert not torch.allclose(before[:, 4:], after[:, 4:], atol=1e-4)


@everyone
def test_sequences_of_a_batch_do_not_mix(name):
    config = config_of(name)
    network, inputs = build(config), sequences(config)
    order = torch.tensor([2, 0, 1])
    together, permuted = answers(network, inputs)[0], answers(network, at(inputs, order))[0]
    assert torch.allclose(together[order], permuted, atol=1e-5)


@everyone
def test_the_order_of_frames_matters_to_those_that_remember_alone(name):
    config = config_of(name)
    network, inputs = build(config), sequences(config)
    shuffled = at(inputs, (slice(None), torch.tensor([0, 1, 2, 4, 3, 5])))
    last, shuffled_last = answers(network, inputs)[0][:, -1], answers(network, shuffled)[0][:, -1]
    frames_matter = not torch.allclose(last, shuffled_last, atol=1e-6)
    assert frames_matter == (name in REMEMBERING)


@everyone
def test_step_by_step_equals_the_whole_sequence(name):
    config = config_of(name)
    network, inputs = build(config), sequences(config, length=9)
    whole, end = answers(network, inputs)
    state = network.initial_state(3)
    with torch.no_grad():
        for t in range(9):
            answer, state = network.step(at(inputs, (slice(None), t)), state)
            assert torch.allclose(answer, whole[:, t], atol=1e-5), t
    assert state.keys() == end.keys()
    assert all(torch.allclose(state[key], end[key], atol=1e-5) for key in end)


@everyone
def test_two_pieces_equal_the_whole_sequence(name):
    config = config_of(name)
    network, inputs = build(config), sequences(config, length=9)
    whole, _ = answers(network, inputs)
    for cut in (1, 3, 5, 8):
        first, state = answers(network, at(inputs, (slice(None), slice(0, cut))))
        second, _ = answers(network, at(inputs, (slice(None), slice(cut, 9))), state=state)
        assert torch.allclose(torch.cat([first, second], dim=1), whole, atol=1e-5), cut


@whoever_remembers
def test_pieces_with_padding_between_them_equal_the_whole_sequence(name):
    config = config_of(name)
    network = build(config)
    inputs, rest = sequences(config), sequences(config, length=4, seed=8)
    _, state = answers(network, spoiled(inputs, MASK), MASK)
    pieces, _ = answers(network, rest, state=state)
    for i in range(3):
        joined = {
            k: torch.cat([x[i : i + 1, MASK[i]], rest[k][i : i + 1]], dim=1)
            for k, x in inputs.items()
        }
        whole, _ = answers(network, joined)
        assert torch.allclose(whole[0, -4:], pieces[i], atol=1e-5)


@whoever_remembers
def test_what_is_remembered_matters(name):
    config = config_of(name)
    network, inputs = build(config), sequences(config, length=2)
    _, state = answers(network, at(inputs, (slice(None), slice(0, 1))))
    second = at(inputs, (slice(None), slice(1, 2)))
    remembering, forgetting = answers(network, second, state=state)[0], answers(network, second)[0]
    assert not torch.allclose(remembering, forgetting, atol=1e-4)
