"""Comparing checkouts: what differs is named, and each process runs on the sources it is given."""

import math
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))

import checkouts  # noqa: E402
import golden  # noqa: E402
import golden_worker  # noqa: E402


def drive(**changes):
    """What a form may tell: two steps."""
    found = {
        "step 0|observation.camera": np.zeros((2, 3, 3), np.uint8),
        "step 0|reward": np.array(0.5),
        "step 0|info.ending": np.array("off_road"),
        "step 1|observation.camera": np.zeros((2, 3, 3), np.uint8),
        "step 1|reward": np.array(np.nan),
    }
    return found | changes


def test_the_same_bytes_are_equal_and_not_a_number_equals_itself():
    assert golden.verdict(drive(), drive()) == (False, "equal, 5 values")


def test_the_first_difference_is_named_with_the_largest_of_the_whole_drive():
    near, far = np.zeros((2, 3, 3), np.uint8), np.zeros((2, 3, 3), np.uint8)
    near[0, 0, :2], far[1] = 1, 9
    own = drive(
        **{
            "step 0|observation.camera": near,
            "step 1|observation.camera": far,
            "step 1|reward": np.array(1.0),
        }
    )
    differs, text = golden.verdict(drive(), own)
    assert differs
    assert text == (
        "step 0: observation.camera differs in 2 of 18 numbers by at most 1, "
        "in 2 places by at most 9; 1 more differ: reward"
    )


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"step 0|reward": np.array(0.25)}, "step 0: reward is 0.5 in BASE, 0.25 here"),
        ({"step 0|reward": np.array(0.5, np.float32)}, "float64 () in BASE, float32 () here"),
        ({"step 0|info.ending": np.array("heading")}, "'off_road' in BASE, 'heading' here"),
        ({"step 0|info.lap": np.array(3)}, "step 0: info.lap is only here (3)"),
        ({"step 1|reward": np.array(-np.nan)}, "step 1: reward is nan in BASE, nan here"),
        ({"WorldError|error": np.array("no road")}, "WorldError: error is only here (no road)"),
    ],
)
def test_whatever_differs_is_told(change, text):
    differs, told = golden.verdict(drive(), drive(**change))
    assert differs
    assert text in told


def test_what_is_missing_at_the_end_is_told():
    short = drive()
    del short["step 1|reward"]
    assert golden.verdict(drive(), short) == (True, "step 1: reward is only in BASE (nan)")


def test_a_tolerance_is_of_numbers_alone():
    own = drive(**{"step 0|reward": np.array(0.5 + 1e-9)})
    assert golden.verdict(drive(), own).differs
    assert not golden.verdict(drive(), own, 1e-6).differs
    assert golden.verdict(drive(), drive(**{"step 1|reward": np.array(1.0)}), 1e-6).differs
    assert golden.verdict(drive(), drive(**{"step 0|info.ending": np.array("x")}), 1e6).differs


def test_only_a_package_that_both_lack_may_be_left_out():
    lacking = {"ModuleNotFoundError|error": np.array("No module named 'torch'")}
    assert golden.verdict(lacking, lacking).differs is False
    moved = {"ModuleNotFoundError|error": np.array("No module named 'vista_sim.gone'")}
    assert golden.verdict(moved, moved).differs
    broken = {"WorldError|error": np.array("no road")}
    assert golden.verdict(broken, broken).differs
    assert golden.verdict(lacking, {}).differs


def test_nested_infos_are_told_leaf_by_leaf():
    told = golden_worker.told("step 3", ("info",), ({"a": {"b": 1.5}, "c": [None, "x"], "n": ()},))
    assert {key: value.item() for key, value in told} == {
        "step 3|info.a.b": 1.5,
        "step 3|info.c.0": "None",
        "step 3|info.c.1": "x",
    }


def test_columns_of_tables_are_numbers_where_they_can_be(tmp_path):
    table = {"s": [1.5, None], "step": [0, 1], "ending": [None, "off_road"]}
    pq.write_table(pa.table(table), tmp_path / "steps.parquet")
    pq.write_table(pa.table({"view_s": [0.1]}), tmp_path / "timings.parquet")  # is no drive
    told = {key: value.tolist() for key, value in golden_worker.tables(tmp_path)}
    assert math.isnan(told["steps.parquet|s"].pop())
    assert told == {
        "steps.parquet|s": [1.5],
        "steps.parquet|s without": [False, True],
        "steps.parquet|step": [0, 1],
        "steps.parquet|ending": ["None", "'off_road'"],
    }


def test_names_choose_forms(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["golden.py", "--list", "--only", "scenario/state/*"])
    assert golden.main() == 0
    shapes = ("single", "vector", "vector-same-step")
    assert capsys.readouterr().out.split() == [f"scenario/state/{shape}" for shape in shapes]


def test_a_ratio_holds_what_times_say():
    rng = np.random.default_rng(0)
    base = 1e-3 * np.exp(0.3 * rng.standard_normal(40))  # a machine whose speed drifts
    ratio = checkouts.ratio_of(1.05 * base * np.exp(0.01 * rng.standard_normal(40)), base)
    assert ratio.low < 1.05 < ratio.high
    assert ratio.high - ratio.low < 0.02  # though either of the two drifts by 30 %


def test_the_interval_of_a_median_is_that_of_the_tables():
    """Of 10 values the second and the ninth (97.9 %), of 20 the sixth and the fifteenth."""
    for count, low, high in ((10, 2, 9), (20, 6, 15)):
        times = np.random.default_rng(0).permutation(np.arange(1.0, count + 1))
        assert checkouts.ratio_of(times, np.ones(count))[1:] == (low, high)
    assert checkouts.ratio_of([1.0, 2.0], [1.0, 1.0]).high == np.inf


@pytest.fixture
def copy(tmp_path):
    """Another checkout, whose reward for surviving is greater by a thousandth."""
    root = tmp_path / "copy"
    for folder in ("vista_sim", "agents", "scenarios"):
        skipped = shutil.ignore_patterns("static", "templates")  # compiled code comes along
        shutil.copytree(checkouts.HERE / folder, root / folder, ignore=skipped)
    for name in ("pyproject.toml", "vista_command.py"):
        shutil.copy(checkouts.HERE / name, root)
    rewards = root / "vista_sim" / "tasks" / "lane_following.py"
    text = rewards.read_text(encoding="utf-8")
    assert text.count("survive: float = weight(0.5)\n") == 1
    rewards.write_text(
        text.replace("survive: float = weight(0.5)\n", "survive: float = weight(0.501)\n")
    )
    return root


def test_another_reward_in_another_checkout_is_found(copy, tmp_path, road_trace):
    """The whole way, on a trace that is made up, without compiling anew."""
    told = []
    with checkouts.both(copy) as (base, own, work):
        (work / "given").mkdir()
        shutil.copytree(road_trace, work / "given" / "flat")
        for name, checkout in (("base", base), ("own", own)):
            out = work / f"of-{name}"
            out.mkdir()
            form = "lane-following/state/single"
            drive = ("--out", out, "--steps", 3, "--seed", 0, "--forms", form)
            golden.run(checkout, work / "given", *drive)
            told.append(golden.read(out, 0))
    differs, text = golden.verdict(*told)
    assert differs
    assert text.startswith("step 0: reward is ")
    assert text.endswith("in 3 places by at most 0.001; 1 more differ: info.reward_terms.survive")
