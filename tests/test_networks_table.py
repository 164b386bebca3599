"""The table of what networks cost: parameters, FLOPs, time."""

import json

import pytest
import torch
from architectures import SMALL
from vista_agents.networks.cnn import PilotNetConfig
from vista_agents.networks.heads import HeadConfig
from vista_agents.networks.mlp import StateMLPConfig
from vista_agents.networks.network import NetworkConfig
from vista_agents.networks.registry import ARCHITECTURES, build_network
from vista_agents.networks.table import VARIANTS, Networks, cost, count_flops, run_networks

from vista_sim.errors import PolicyError


def test_flops_of_dense_layers_are_two_for_each_weight():
    config = NetworkConfig(
        StateMLPConfig(hidden=(7,), scale=(1.0,) * 5), head=HeadConfig(hidden=()), speed=False
    )
    assert count_flops(build_network(config)) == 2 * (5 * 7 + 7 * 1)


def test_flops_of_convolutions_are_two_for_each_weight_and_place():
    encoder = PilotNetConfig((20, 30), (4, 6), (5, 3), (2, 1), features=9)
    config = NetworkConfig(encoder, head=HeadConfig(hidden=()), speed=False)
    first, second = (8, 13), (6, 11)  # height and width of the maps
    convolutions = 5 * 5 * 3 * 4 * first[0] * first[1] + 3 * 3 * 4 * 6 * second[0] * second[1]
    dense = 6 * second[0] * second[1] * 9 + 9
    assert count_flops(build_network(config)) == 2 * (convolutions + dense)


def test_parameters_and_time_are_those_of_the_network():
    found = cost("lstm", SMALL["lstm"], repeats=5)
    network = build_network(SMALL["lstm"])
    assert found.parameters == sum(p.numel() for p in network.parameters())
    assert 0.0 < found.milliseconds < 1000.0


def test_the_table_is_printed_for_the_networks_named(capsys):
    costs = run_networks(Networks(("mlp", "patches"), repeats=2))
    shown = capsys.readouterr().out
    for c in costs:
        assert c.name in shown
        assert f"{c.parameters:,}" in shown
    assert [c.name for c in costs] == ["mlp", "patches"]


def test_the_table_is_json_where_it_is_asked_for(capsys):
    costs = run_networks(Networks(("mlp",), repeats=2, json=True))
    shown = json.loads(capsys.readouterr().out)
    assert shown["networks"][0]["name"] == "mlp"
    assert shown["networks"][0]["flops"] == costs[0].flops


def test_every_architecture_is_in_the_table():
    assert set(ARCHITECTURES) < set(VARIANTS)


def test_the_threads_of_pytorch_are_as_before():
    before = torch.get_num_threads()
    cost("mlp", SMALL["mlp"], repeats=1)
    assert torch.get_num_threads() == before


def test_an_unknown_network_is_refused_with_those_there_are():
    with pytest.raises(PolicyError, match="'vgg' is unknown; known: mlp, cnn"):
        Networks(("vgg",))
    with pytest.raises(ValueError, match="repeats is 0"):
        Networks(repeats=0)
