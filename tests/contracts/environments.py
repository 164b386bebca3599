"""What environments are made with, found from what their entry points take."""

import inspect
import json
from dataclasses import dataclass
from importlib import import_module

import gymnasium
import pytest

from vista_sim.envs.registration import ENVIRONMENTS
from vista_sim.tasks.registry import known_tasks

TIME_LIMIT = 0.8  # s: episodes of eight steps
CASES = """format = "vista-scenario/1"
name = "short"
task = "{task}"
traces = {traces}
time_limit = {time_limit}
seeds = 2
[speed]
mode = "free"
[start]
lateral = {{ values = [-1, 0.4] }}
[section]
pieces = 2
[recovery]
within_time = 0.7
held = 0.1
"""


def loaded(entry_point):
    module, _, name = entry_point.partition(":")
    return getattr(import_module(module), name)


def taken(name):
    """The arguments that a registered environment takes, by name."""
    return inspect.signature(loaded(ENVIRONMENTS[name][0])).parameters


def takes_a_task(name):
    return not {"task", "scenario"}.isdisjoint(taken(name))


#: Every registered environment, with every task where it takes one.
FORMS = [
    (name, task)
    for name in sorted(ENVIRONMENTS)
    for task in (known_tasks() if takes_a_task(name) else [None])
]


def arguments(name, task, trace, folder, **more):
    """Of an environment in which episodes of a task are short; `more` where it takes them."""
    known = {
        "traces": [trace],
        "task": task,
        "observe": "state",
        "perturb_lateral": 1.0,
        "endings": {"time_limit": TIME_LIMIT},
        **more,
    }
    signature = taken(name)
    if "scenario" in signature:
        path = folder / f"{task}.toml"
        traces = json.dumps([str(trace)])
        path.write_text(CASES.format(task=task, traces=traces, time_limit=TIME_LIMIT))
        known["scenario"] = path
    given = {key: value for key, value in known.items() if key in signature and value is not None}
    needed = [
        key
        for key, parameter in signature.items()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    ]
    for key in needed:
        if key not in given:
            pytest.fail(f"{name} needs {key}: say in {__file__} what it is tested with")
    return given


@dataclass(frozen=True)
class Form:
    """An environment with a task, in a trace."""

    name: str
    task: str | None
    trace: object
    folder: object

    def arguments(self, **more):
        return arguments(self.name, self.task, self.trace, self.folder, **more)

    def one(self, **more):
        """The environment, without Gymnasium's wrappers."""
        return gymnasium.make(self.name, **self.arguments(**more)).unwrapped

    def many(self, count, autoreset_mode="NextStep", **more):
        """Many in one process, by the environment's own entry point."""
        return gymnasium.make_vec(
            self.name,
            num_envs=count,
            vectorization_mode="vector_entry_point",
            autoreset_mode=autoreset_mode,
            **self.arguments(**more),
        )
