"""`vista-sim scenario check`, `list` and `show`: what they print, and their pictures."""

import json

import cv2
import numpy as np
import pytest

from vista_sim.cli import main
from vista_sim.colours import ALARM, CAR, TRACK
from vista_sim.scenarios import load_suite
from vista_sim.scenarios.picture import HEIGHT, NARROW, WIDE, draw_suite


@pytest.fixture
def write(tmp_path, road_trace):
    def write(text, name="one"):
        path = tmp_path / f"{name}.toml"
        head = f'format = "vista-scenario/1"\nname = "{name}"\ndescription = "About {name}"\n'
        path.write_text(f"{head}traces = {json.dumps(str(road_trace))}\n{text}")
        return path

    return write


def run(*arguments):
    """Exit status of a command."""
    with pytest.raises(SystemExit) as stopped:
        main([str(a) for a in arguments])
    return stopped.value.code or 0


def test_good_files_are_counted(write, capsys):
    path = write("seeds = 3\n")
    assert run("scenario", "check", path, "smoke") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == f"{path}: one: 3 cases"
    assert out[1].endswith("smoke.toml: smoke: 2 cases")


def test_all_mistakes_of_all_files_are_told_in_a_line_each(write, capsys):
    one, two = write("dt = 3\nspede = 1\n"), write("[start]\ns = 999\n", "two")
    good = write("", "good")
    assert run("scenario", "check", one, good, two) == 2
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert [line.split(": ")[1] for line in lines] == [f"{one}:6", f"{one}:5", f"{two}:6"]
    assert all(line.startswith("error: ") for line in lines)
    assert said.out == f"{good}: good: 1 case\n"


def test_a_metric_that_there_is_not_is_told_before_anything_is_driven(write, capsys):
    path = write("[pass]\ncrashs = { max = 0 }\n")
    assert run("scenario", "check", path) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {path}: ")
    assert line.endswith("there is no metric 'crashs'; did you mean 'crashes'?")


def test_a_name_that_no_file_can_have_is_no_file(capsys):
    assert run("scenario", "check", "x" * 400) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no such file; installed scenarios: " in line


def test_a_byte_order_mark_is_no_mistake(write, capsys):
    path = write("seeds = 2\n")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert run("scenario", "check", path) == 0
    assert capsys.readouterr().out == f"{path}: one: 2 cases\n"


def test_installed_scenarios_are_listed_by_default(capsys):
    assert run("scenario", "list", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["scenarios"]
    assert {(r["name"], r["cases"]) for r in rows} >= {("smoke", 2), ("recovery", 588)}
    assert all(r["description"] for r in rows)


def test_a_folder_or_a_file_is_listed(write, tmp_path, capsys):
    write("seeds = 2\n")
    (tmp_path / "all.toml").write_text(
        'format = "vista-suite/1"\nname = "all"\n[[scenarios]]\npath = "one.toml"\nweight = 2\n'
    )
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert run("scenario", "list", tmp_path, "--json") == 0
    rows = json.loads(capsys.readouterr().out)["scenarios"]
    assert [(r["name"], r["cases"]) for r in rows] == [("all", 2), ("one", 2)]
    assert run("scenario", "list", tmp_path / "all.toml") == 0
    assert capsys.readouterr().out.split()[-5:] == ["one", "2", "2", "About", "one"]


def test_a_wrong_file_in_a_folder_does_not_hide_the_others(write, tmp_path, capsys):
    write("")
    (tmp_path / "bad.toml").write_text("format = \n")
    assert run("scenario", "list", tmp_path) == 2
    said = capsys.readouterr()
    assert "About one" in said.out
    assert "bad.toml:1: file: is not TOML" in said.err


def test_a_picture_shows_start_section_and_limits(write):
    """A start at s = 20 m, where the road is still straight: the detail is drawn around it."""
    path = write("[start]\ns = 20\nlateral = 1.0\n[section]\ndistance = [5, 70]\n")
    picture = draw_suite(load_suite(path))
    assert picture.shape[1] == WIDE + NARROW
    detail = picture[-HEIGHT:, WIDE:]
    scale = 0.5 * NARROW / 11.0  # px/m
    middle = np.array([HEIGHT / 2, NARROW / 2])

    def shown(x, y, color):
        """Whether a color is near a point (m, x ahead and y left of the path at the start)."""
        row, column = np.round(middle + scale * np.array([-y, x])).astype(int)
        patch = detail[row - 2 : row + 3, column - 2 : column + 3].reshape(-1, 3).astype(int)
        return (np.abs(patch - color).sum(axis=1) < 60).any()

    assert shown(6.0, 0.0, TRACK)
    assert shown(6.0, 2.0, ALARM)
    assert shown(6.0, -2.0, ALARM)
    assert shown(1.0, 1.0, CAR)  # the arrow from the rear axle, 1 m to the left
    assert shown(3.6, 1.5, CAR)  # the front bumper
    assert not shown(1.0, -1.0, CAR)


def test_show_writes_the_picture(write, tmp_path, capsys):
    out = tmp_path / "picture.png"
    assert run("scenario", "show", write(""), "-o", out) == 0
    image = cv2.imread(str(out))
    assert image.shape[1] == WIDE + NARROW
    assert run("scenario", "show", write(""), "-o", tmp_path / "picture.xyz") == 2
    assert "picture.xyz: cannot be written" in capsys.readouterr().err
    assert run("scenario", "show", "gone", "-o", out) == 2
    assert "gone: no such file" in capsys.readouterr().err
