"""Options that mean the same have the same names in all commands."""

import typer
from vista_agents.commands import parse

from vista_sim.cli import build_app


def commands(group, path=()):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


ALL = dict(commands(typer.main.get_command(build_app())))


def test_what_is_written_is_named_by_out_or_o_everywhere():
    named = {
        name: set(param.opts)
        for name, command in ALL.items()
        for param in command.params
        if "--out" in param.opts
    }
    assert set(named) >= {"info", "render", "evaluate", "report", "drive", "scenario show"}
    assert set(map(frozenset, named.values())) == {frozenset(("--out", "-o"))}


def test_every_option_says_what_it_is():
    for name, command in ALL.items():
        for param in command.params:
            if any(option.startswith("--") for option in param.opts) and "--help" not in param.opts:
                assert getattr(param, "help", None), f"{name}: {param.opts[0]} has no help"


def test_a_trace_is_named_by_trace_or_traces_in_every_training():
    by_one = parse(["bc", "--trace", "a", "-o", "b"])
    assert by_one == parse(["bc", "--traces", "a", "--out", "b"])
    assert [str(path) for path in by_one.traces] == ["a"]
    saliency = parse(["saliency", "--policy", "p", "--traces", "a", "-o", "b.png"])
    assert saliency == parse(["saliency", "--policy", "p", "--trace", "a", "--out", "b.png"])
    (evaluated,) = (p for p in ALL["evaluate"].params if "--traces" in p.opts)
    assert "--trace" in evaluated.opts
