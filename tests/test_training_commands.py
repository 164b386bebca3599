"""`vista-train` as typed: a policy at the end, or one line on stderr and status 2."""

import importlib.metadata
import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from conftest import write_road
from vista_agents.cli import main
from vista_agents.folders import claimed
from vista_agents.policy import load

from vista_sim.runs.run import read_run

SMALL = [
    *("--steps", "6", "--batch-size", "8", "--evaluate-every", "3", "--checkpoint-every", "3"),
    *("--threads", "1", "--network.encoder.size", "24", "48", "--network.encoder.features", "16"),
    *("--network.encoder.channels", "8", "8", "--network.encoder.kernels", "5", "3"),
    *("--network.encoder.strides", "2", "2"),
]
DATA = {
    "bc": [],
    "guided": ["--guided.frames", "16", "--guided.rounds", "2", "--no-background"],
    "dagger": ["--dagger.frames", "16", "--dagger.cars", "4", "--dagger.every", "2"],
}


def refused(capsys, *args):
    """The one line that a refused command prints."""
    with pytest.raises(SystemExit) as stop:
        main([str(arg) for arg in args])
    said = capsys.readouterr()
    assert stop.value.code == 2
    line = said.err.strip().splitlines()
    assert len(line) == 1, said.err
    assert line[0].startswith("vista-train: ")
    return line[0]


@pytest.mark.parametrize("command", DATA)
def test_a_command_trains_a_policy_that_says_how(road_trace, tmp_path, capsys, command):
    out = tmp_path / "policy"
    where = ["--traces", str(road_trace), "--out", str(out)]
    main([command, *where, "--json", *SMALL, *DATA[command]])
    printed = json.loads(capsys.readouterr().out)
    assert printed["steps"] == 6
    assert printed["policy"] == str(out)
    assert load(out).camera.fov == pytest.approx(1.2)
    training = json.loads((out / "policy.json").read_text())["training"]
    assert training["method"] == command
    assert training["traces"] == ["road"]
    assert training["seed"] == 0
    assert training["training"]["steps"] == 6


@pytest.mark.parametrize("command", ["bc", "guided"])
def test_a_policy_learns_from_the_mount_it_is_for(
    road_trace, tmp_path, capsys, monkeypatch, command
):
    monkeypatch.delenv("VISTA_SIM_UNBAKED")
    out = tmp_path / "policy"
    where = ["--traces", str(road_trace), "--out", str(out), "--mount", "1.2", "1.6", "0.1"]
    assert "is not baked" in refused(capsys, command, *where, *SMALL, *DATA[command])
    main([command, *where, "--unbaked", "--json", *SMALL, *DATA[command]])
    mount = load(out).camera.mount
    assert mount[:3, 3] == pytest.approx([1.2, 0.0, 1.6])
    ahead = [math.cos(0.1), 0.0, -math.sin(0.1)]  # the optical axis looks 0.1 rad down
    assert mount[:3, 2] == pytest.approx(ahead)


def test_a_folder_with_a_training_is_not_overwritten_unasked(road_trace, tmp_path, capsys):
    args = ["bc", "--traces", str(road_trace), "--out", str(tmp_path / "x"), *SMALL]
    main([*args, "--json"])
    before = (tmp_path / "x/weights.safetensors").read_bytes()
    capsys.readouterr()
    assert "--resume or --overwrite" in refused(capsys, *args)
    assert "exclude each other" in refused(capsys, *args, "--resume", "--overwrite")
    main([*args, "--json", "--resume"])
    assert (tmp_path / "x/weights.safetensors").read_bytes() == before
    main([*args, "--json", "--overwrite", "--seed", "1"])
    assert (tmp_path / "x/weights.safetensors").read_bytes() != before
    capsys.readouterr()
    assert "another seed (1, not 0)" in refused(capsys, *args, "--resume")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            [],
            "depth, export, networks, saliency, demo",
        ),
        (["teach"], "teach"),
        (["bc"], "--traces"),
        (["bc", "--traces", "x", "--out", "y", "--stepz", "3"], "--stepz"),
        (["bc", "--traces", "x", "--out", "y", "--steps", "many"], "--steps"),
        (["bc", "--traces", "x", "--out", "y", "--steps", "0"], "steps is 0"),
        (["bc", "--traces", "x", "--out", "y", "--fov", "4"], "fov is 4.0 rad"),
        (["bc", "--traces", "x", "--out", "y", "--mount", "1", "1.5", "4"], "mount is 1.0 m, 1.5"),
        (["bc", "--traces", "x", "--out", "y", "--mount", "1", "nan", "0"], "nan m, 0.0 rad"),
        (["guided", "--traces", "x", "--out", "y", "--guided.starts.balance", "2"], "balance is 2"),
        (["guided", "--traces", "x", "--out", "y", "--network.encoder.norm", "no"], "no"),
        (["bc", "--traces", "x", "--out", "y", "--architecture", "maze"], "'maze' is unknown"),
        (["bc", "--traces", "x", "--out", "y", "--seed", "9" * 30], "seed is 9999"),
        (["bc", "--traces", "x", "--out", "y", "--shift.lateral", "nan"], "lateral is nan m"),
        (["bc", "--traces", "x", "--out", "y", "--split.margin", "nan"], "margin nan m"),
        (["bc", "--traces", "x", "--out", "y", "--batch-size", "1000000000000"], "GiB of readings"),
        (["bc", "--traces", "x", "--out", "y", "--augment.contrast", "nan"], "contrast is nan"),
        (["guided", "--traces", "x", "--out", "y", "--guided.speed", "nan"], "speed is nan"),
        (["guided", "--traces", "x", "--out", "y", "--guided.cars", "100000"], "cars is 100000"),
        (["ppo", "--traces", "x", "--out", "y", "--batch-size", "1"], "at least 2"),
        (["demo", "--architecture", "lstm"], "demo has no network to choose"),
        (["bc", "--traces", "x", "--out", "y", "--network.memory.size", "4"], "--network.memory"),
        (["guided", "--traces", "--out", "y"], "traces is empty"),
        (["guided", "--traces", "/no/such/drive", "--out", "y"], "/no/such/drive: no such folder"),
    ],
)
def test_a_wrong_command_gets_one_line(tmp_path, monkeypatch, capsys, args, message):
    monkeypatch.chdir(tmp_path)
    assert message in refused(capsys, *args)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--section", "7"], "--section '7'"),
        (["--section", "100:120"], "starts after its end"),
        (["--camera", "rear"], "no camera 'rear'; cameras: front"),
    ],
)
def test_what_a_trace_does_not_have_gets_one_line(road_trace, tmp_path, capsys, extra, message):
    out = tmp_path / "x"
    assert message in refused(capsys, "bc", "--traces", road_trace, "--out", out, *SMALL, *extra)
    assert not out.exists()


def test_a_training_by_another_method_is_not_resumed(road_trace, tmp_path, capsys):
    where = ["--traces", str(road_trace), "--out", str(tmp_path / "x"), *SMALL]
    main(["bc", *where, "--json"])
    capsys.readouterr()
    assert "another method ('bc', not 'guided')" in refused(capsys, "guided", *where, "--resume")


def test_the_architecture_chooses_the_network_and_its_options(road_trace, tmp_path, capsys):
    args = ["bc", "--traces", str(road_trace), "--out", str(tmp_path / "x"), "--json", *SMALL]
    main([*args, "--architecture", "lstm", "--network.memory.size", "8", "--window", "4"])
    memory = load(tmp_path / "x").spec.network.memory
    assert (memory.cell, memory.size) == ("lstm", 8)


RATES = ["--find-rate", "--rates.steps", "10"]


def files(folder):
    """Bytes by name of all files below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_rates_are_tried_beside_a_training_and_before_one(road_trace, tmp_path, capsys):
    out = tmp_path / "x"
    args = ["guided", "--traces", str(road_trace), "--out", str(out), "--json", *SMALL]
    args += DATA["guided"]
    main([*args, *RATES])
    first = files(out)
    assert sorted(first) == ["rates.csv", "rates.png"]
    main([*args, *RATES, "--seed", "1"])  # once more
    second = files(out)
    assert second["rates.csv"] != first["rates.csv"]
    main(args)  # then it is learned
    whole = files(out)
    assert {name: whole[name] for name in second} == second
    main([*args, *RATES])  # and tried again
    assert files(out) == whole | first
    capsys.readouterr()
    said = refused(capsys, *args, *RATES, "--overwrite")
    assert "--find-rate leaves a training in the folder as it is" in said
    main([*args, "--overwrite"])
    assert files(out)["rates.csv"] == first["rates.csv"]


@pytest.mark.parametrize("resume", [True, False])
def test_a_training_that_broke_off_before_its_first_checkpoint_is_started_anew(
    road_trace, tmp_path, capsys, monkeypatch, resume
):
    """With other settings: none of the data that it gathered may be learned from."""
    args = ["guided", "--traces", str(road_trace), "--json", *SMALL, *DATA["guided"]]
    broken, anew = tmp_path / "broken", tmp_path / "anew"
    (broken / "tensorboard").mkdir(parents=True)
    for name in ("notes.txt", "picture.png", "tensorboard/notes.txt"):
        (broken / name).write_text("not of a training")
    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: math.nan)
        said = refused(capsys, *args, "--out", broken, "--seed", "1")
    assert "the norm of the gradient is nan at step 1" in said
    assert "nothing is kept" in said
    assert {"curves.csv", "curves.png", "rounds/round-00001.safetensors"} < set(files(broken))
    main([*args, "--out", str(anew)])
    main([*args, "--out", str(broken), *(["--resume"] if resume else [])])
    for name in ("weights.safetensors", "curves.csv"):
        assert files(broken)[name] == files(anew)[name]
    assert len(list((broken / "tensorboard").glob("events*"))) == 1
    for name in ("notes.txt", "picture.png", "tensorboard/notes.txt"):
        assert (broken / name).read_text() == "not of a training"


@pytest.mark.parametrize("command", ["bc", "reinforce", "depth"])
def test_a_folder_that_cannot_be_written_is_named(road_trace, tmp_path, capsys, command):
    file = tmp_path / "file"
    file.write_text("")
    args = (command, "--traces", road_trace, "--out", file / "below")
    assert f"{file / 'below'}: cannot be written to" in refused(capsys, *args)


def test_a_folder_takes_one_training_at_a_time(road_trace, tmp_path, capsys):
    out = tmp_path / "x"
    args = ("bc", "--traces", road_trace, "--out", out, *SMALL)
    with claimed(out):
        assert "another training is at work there" in refused(capsys, *args)
    assert not out.exists()


def test_reward_is_learned_by_one_process(road_trace, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    args = ("reinforce", "--traces", road_trace, "--out", tmp_path / "x")
    assert "start it without torchrun" in refused(capsys, *args)
    assert not (tmp_path / "x").exists()


def test_a_demo_does_not_renew_what_is_not_a_demos(road_trace, tmp_path, capsys):
    (tmp_path / "runs" / "bc").mkdir(parents=True)
    args = ("demo", "--out", tmp_path / "runs", "--traces", road_trace, road_trace)
    assert "is not of a demo" in refused(capsys, *args)


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert all(
        command in said
        for command in ("bc", "guided", "dagger", "reinforce", "ppo", "export", "networks", "demo")
    )


def test_the_version_is_that_of_the_package(capsys):
    main(["--version"])
    assert capsys.readouterr().out.strip() == importlib.metadata.version("vista-sim")


@pytest.mark.slow
def test_the_quick_demo_trains_judges_films_and_prints_one_table(tmp_path, capsys):
    traces = [tmp_path / "road", tmp_path / "other-road"]
    write_road(traces[0], length=90.0)
    shutil.copytree(traces[0], traces[1])
    args = ["demo", "--quick", "--json", "--out", str(tmp_path / "demo"), "--threads", "1"]
    main([*args, "--traces", *map(str, traces)])
    rows = json.loads(capsys.readouterr().out)
    assert [(row["policy"], row["trace"]) for row in rows] == [
        ("bc", "road"),
        ("guided", "road"),
        ("bc", "other-road"),
        ("guided", "other-road"),
    ]
    for row in rows:
        assert row["crashes"] >= 0
        assert 0 <= row["without_intervention"] <= 1
        assert 0 <= row["recovery_of_expert"] <= 1
        assert Path(row["video"]).stat().st_size > 0
        assert read_run(row["run"]).frames.num_rows > 0
    for trace in traces:
        page = (tmp_path / "demo" / f"report-{trace.name}.html").read_text(encoding="utf-8")
        assert "guided" in page
    assert all((trace / "geometry" / "front").is_dir() for trace in traces)
    recipes = [
        json.loads((tmp_path / "demo" / name / "policy.json").read_text())
        for name in ("bc", "guided")
    ]
    for field in ("network", "sensors", "action"):
        assert recipes[0][field] == recipes[1][field]
    for field in ("training", "seed", "augment", "split"):
        assert recipes[0]["training"][field] == recipes[1]["training"][field]


def test_the_demo_needs_two_traces(road_trace, tmp_path, capsys):
    args = ("demo", "--out", tmp_path / "demo", "--traces", road_trace)
    assert "--traces takes two folders" in refused(capsys, *args)
