import subprocess
import sys
from pathlib import Path

import pytest

from vista_sim.cli import main

COMMANDS = ("import", "record", "info", "bake", "render", "evaluate")


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert all(command in text for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    assert "Usage" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["info", "no-such-trace"], "no-such-trace"),
        (["render", "no-such-trace", "-o", "x.png"], "no-such-trace"),
        (["bake", "no-such-trace"], "no-such-trace"),
        (["evaluate", "--policy", "expert", "--traces", "no-such-trace"], "no-such-trace"),
        (["import", "kitti-odometry", "no-such-folder", "dst"], "no-such-folder"),
        (["import", "kitti-odometry", ".", "dst", "--height", "nan"], "--height"),
        (["render", "no-such-trace", "-o", "x.png", "--lateral", "nan"], "no-such-trace"),
        (["record", "dst", "--mount-height", "-1"], "--mount-height"),
        (["record", "dst", "--position-noise", "inf"], "--position-noise"),
        (["evaluate", "--policy", "expert", "--traces", ".", "--seed", "-1"], "--seed"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert words in lines[0]
    assert not list(tmp_path.iterdir())


def test_an_unknown_option_is_status_2():
    command = Path(sys.executable).with_name("vista-sim")
    result = subprocess.run([command, "info", "--wrong"], capture_output=True, text=True)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
