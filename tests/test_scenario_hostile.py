"""Scenario files that ask for unreasonable work: refused in one line, before it is begun."""

import os
import tomllib

import pytest

from vista_sim.errors import ScenarioError
from vista_sim.scenarios import load_suite, suite
from vista_sim.scenarios.toml_limits import check_depth

HEAD = 'format = "vista-scenario/1"\nname = "one"\n'


@pytest.fixture
def refused(tmp_path):
    """The problems of a file."""

    def read(text):
        path = tmp_path / "one.toml"
        path.write_text(text)
        with pytest.raises(ScenarioError) as caught:
            load_suite(path)
        for problem in caught.value.problems:
            assert "\n" not in problem
            assert len(problem) < 1000
        return [problem.replace(f"{tmp_path}/", "") for problem in caught.value.problems]

    return read


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("learni" + ".a" * 20_000 + " = 1\n", "one.toml:3: file: is not TOML (a key has more"),
        ("[a" + " . 'b'" * 20_000 + "]\n", "one.toml:3: file: is not TOML (a key has more than 16"),
        ("x = { a" + ".b" * 20_000 + " = 1 }\n", "one.toml:3: file: is not TOML (a key has more"),
        ("\nx = " + "[" * 17 + "]" * 17, "one.toml:4: file: is not TOML (nested more than 16 deep"),
        ("x = " + "{a = " * 300 + "1" + "}" * 300, "one.toml:3: file: is not TOML (nested more"),
    ],
)
def test_depth_is_refused_before_it_is_parsed(refused, text, expected, monkeypatch):
    monkeypatch.delattr(tomllib, "loads")  # which would take seconds and gigabytes
    (problem,) = refused(HEAD + text)
    assert problem.startswith(expected)


@pytest.mark.parametrize(
    "text",
    [
        'x = "' + "a.b." * 100 + '"',
        "x = '" + "a.b[" * 100 + "'",
        'x = """\n' + 'a.b[ \\" "' * 100 + '"""',
        "x = '''\n" + "a.b{ '" * 100 + "'''",
        "# " + "a.b.[{" * 100,
        "x = [\n" + "[1.5, 2.5],\n" * 1000 + "]",
        "x.y = 1.5\n" * 1000,
        "x = " + ".".join("12345678"),
        'y = "' + "x" * 1000,
    ],
)
def test_texts_comments_and_long_files_are_not_deep(text):
    check_depth(text)


def test_values_out_of_all_bounds_are_named(refused):
    text = (
        f"dt = {'9' * 4000}\ntime_limit = inf\n[start]\nheading = {'9' * 4000}\nlateral = nan\n"
        f"s = 1979-05-27\n[sensors]\nmount_yaw = '{'9' * 90} deg'\n"
    )
    problems = refused(HEAD + text)
    for name in ("dt", "time_limit", "start.heading", "start.lateral", "start.s", "mount_yaw"):
        assert sum(f"{name}: is " in problem for problem in problems) == 1


def test_of_very_many_unknown_keys_some_are_told(refused):
    problems = refused(HEAD + "".join(f"k{i} = 1\n" for i in range(2_000)))
    assert "one.toml:1: file: has 1980 more unknown keys" in problems
    assert len(problems) < 30


def test_very_many_values_with_one_twice_are_told_at_once(refused):
    values = ", ".join(f"{i / 1e4:.4f}" for i in range(90_000))
    problems = refused(f"{HEAD}[start]\nlateral = {{ values = [{values}, 0.5] }}\n")
    assert any("has 0.5 twice among its values" in problem for problem in problems)
    seeds = ", ".join(map(str, [*range(90_000), 7]))
    assert any("seeds: holds 7 twice" in problem for problem in refused(f"{HEAD}seeds=[{seeds}]\n"))


def test_ranges_whose_product_is_absurd_are_refused(refused):
    each = "{ from = 0.0, to = 1.0, steps = 1000 }"
    names = ("exposure", "red", "blue", "blur", "noise", "night")
    problems = refused(f"{HEAD}[image]\n" + "".join(f"{name} = {each}\n" for name in names))
    assert any(f"make {1000**6} cases; at most 100000 are swept" in p for p in problems)


@pytest.mark.parametrize("name", ["x" * 5000, "a\\u0000b", "/dev/null/x"])
def test_a_trace_whose_name_no_file_can_have_is_no_trace(refused, name):
    (problem,) = refused(f'{HEAD}traces = "{name}"\n')
    assert "no such trace" in problem


def test_suites_in_suites_in_suites_end(refused, tmp_path, monkeypatch):
    monkeypatch.setattr(suite, "MOST_FILES", 50)
    for i in range(30):
        entry = f'[[scenarios]]\npath = "{i + 1}.toml"\n'
        text = f'format = "vista-suite/1"\nname = "s{i}"\n' + 2 * entry
        (tmp_path / f"{i}.toml").write_text(text)
    problems = refused((tmp_path / "0.toml").read_text())
    assert any("is beyond 50 files" in problem for problem in problems)


def test_files_that_include_each_other_without_end_are_refused(refused, tmp_path):
    for i in range(30):
        (tmp_path / f"{i}.toml").write_text(f'{HEAD}include = "{i + 1}.toml"\n')
    (problem,) = refused(HEAD + 'include = "0.toml"\n')
    assert "include: is one of more than 20 files" in problem


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(ScenarioError, match="no such file"):
        load_suite(tmp_path / "pipe.toml")
