"""A small part of the damage that `make fuzz` does, and what it takes for a fault."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fuzz import limits
from fuzz.limits import run_case, take_orphans
from fuzz.verdict import Rules, judge, listing

ROOT = Path(__file__).parents[1]
CASES = 12  # of each target
RULES = Rules()


@pytest.mark.parametrize(
    "targets",
    [
        ("traces", "geometry", "videos", "scenarios", "runs", "sockets", "drive", "importers"),
        ("policies", "onnx", "films"),
    ],
    ids="-".join,
)
def test_damaged_inputs_are_answered_in_one_line(targets, tmp_path):
    chosen = [word for name in targets for word in ("--target", name)]
    more = ["--count", str(CASES), "--workers", "2", "--out", str(tmp_path), "--json"]
    command = [sys.executable, "-m", "tests.fuzz", *chosen, *more]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert found["cases"] == CASES * len(targets)
    assert found["faults"] == []
    assert done.returncode == 0


@pytest.fixture
def _small(monkeypatch):
    """Limits that are reached soon; what cases leave behind comes to this process."""
    monkeypatch.setattr(limits, "MEMORY", 2**27)
    take_orphans()
    yield
    take_orphans(False)


def faults_of(run, tmp_path, rules=RULES, refused=False):
    """Kinds and places of the faults of a function that is run as a case."""
    folder, notes = tmp_path / "case", tmp_path / "notes"
    folder.mkdir()
    notes.mkdir()
    (folder / "input").write_text("given")
    before = listing(folder)
    outcome = run_case(run, folder, notes)
    found = judge(outcome, rules, refused, before, listing(folder))
    return [(fault.kind, fault.where) for fault in found]


def refuse(text, status=2):
    sys.stderr.write(text)
    return status


def fork_one_that_stays():
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)


def grow():
    held = [b"x" * 2**26 for _ in range(6)]
    time.sleep(60 * bool(held))


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize(
    ("run", "kinds"),
    [
        (lambda folder: 0, []),
        (lambda folder: refuse("error: a.json: is no JSON\n"), []),
        (lambda folder: refuse("WARNING: old\nerror: a.json: is no JSON\n"), []),
        (lambda folder: 1 // 0, ["traceback"]),
        (lambda folder: refuse("internal error\n", 1), ["traceback"]),
        (
            lambda folder: refuse(
                "error: KeyError at a.py:3; this is a defect of the program\n", 1
            ),
            ["traceback"],
        ),
        (lambda folder: refuse("Exception in thread Thread-1:\n", 0), ["traceback"]),
        (lambda folder: refuse(""), ["no word"]),
        (lambda folder: refuse("error: a\nand more\n"), ["stray line"]),
        (lambda folder: refuse("error: " + "x" * 2000 + "\n"), ["long line"]),
        (lambda folder: refuse("error: \x1b[2J\n"), ["control characters"]),
        (lambda folder: os.kill(os.getpid(), 11), ["signal"]),
        (lambda folder: grow(), ["memory"]),
        (lambda folder: fork_one_that_stays(), ["process left behind"]),
        (lambda folder: (folder / ".x.part").touch(), ["file left behind"]),
        (
            lambda folder: (folder / "input").write_text("lost") and refuse("error: no\n"),
            ["input changed"],
        ),
    ],
)
def test_what_is_no_answer_in_one_line_is_a_fault(run, kinds, tmp_path):
    assert [kind for kind, _ in faults_of(run, tmp_path)] == kinds


def test_what_has_to_be_refused_and_is_accepted_is_a_fault(tmp_path):
    assert faults_of(lambda folder: 0, tmp_path, refused=True) == [("accepted", "")]


def test_a_refusal_without_the_remedy_is_a_fault(tmp_path):
    rules = Rules(remedy="vista-sim bake")
    found = faults_of(lambda folder: refuse("error: a.npy: is damaged\n"), tmp_path, rules)
    assert [kind for kind, _ in found] == ["no remedy"]
