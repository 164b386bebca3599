"""`vista-train` told to stop after some time, or not told what to learn."""

import json

import pytest
from safetensors.numpy import load_file
from test_training_commands import DATA, SMALL, refused
from vista_agents.cli import main

AT_ONCE = ["--minutes", "0.000001"]  # one step is done however little time there is


@pytest.mark.parametrize("command", ["bc", "guided"])
def test_a_training_whose_time_is_up_goes_on_to_the_same_weights(
    road_trace, tmp_path, capsys, command
):
    args = [command, "--traces", str(road_trace), *SMALL, *DATA[command]]
    main([*args, "--out", str(tmp_path / "whole")])
    stopped = tmp_path / "stopped"
    main([*args, "--out", str(stopped), *AT_ONCE])
    said = capsys.readouterr().out
    assert "stopped after 1e-06 minutes, at step 1 of 6; the same command with --resume" in said
    assert (stopped / "policy.json").is_file()
    main([*args, "--out", str(stopped), "--resume", "--json", *AT_ONCE])
    told = json.loads(capsys.readouterr().out)
    assert (told["steps"], told["time_was_up"]) == (2, True)
    main([*args, "--out", str(stopped), "--resume"])
    assert "stopped" not in capsys.readouterr().out.replace(str(stopped), "")
    weights = [load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "stopped")]
    assert weights[0].keys() == weights[1].keys()
    for name, values in weights[0].items():
        assert (weights[1][name] == values).all(), name


@pytest.mark.parametrize(
    "args",
    [[], ["guded", "--traces", "x"], ["--traces", "x"], ["--resume"]],
)
def test_without_a_way_of_learning_the_ways_are_listed(capsys, args):
    said = refused(capsys, *args)
    assert "ways of learning: bc, guided, dagger, reinforce, ppo, recurrent-ppo" in said
    assert "depth, export, networks, saliency, demo" in said
    assert ("did you mean guided?" in said) == (args[:1] == ["guded"])


@pytest.mark.parametrize("minutes", ["0", "-1", "nan"])
def test_a_time_that_is_none_is_refused(capsys, minutes):
    args = ("bc", "--traces", "x", "--out", "y", "--minutes", minutes)
    assert "minutes" in refused(capsys, *args)
