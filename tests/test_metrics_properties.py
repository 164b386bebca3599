"""Metrics do not change when a run is mirrored, nor by how it is laid out on disk."""

import shutil
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up_runs import Drive, Start, rows_of, write

from vista_sim.evaluation.judging import JudgingSettings, judge, judge_tables
from vista_sim.evaluation.metrics import select
from vista_sim.runs.run import EPISODE_FIELDS, STEP_FIELDS, columns, read_run

FAST = JudgingSettings(draws=20)
FLIPPED_STEPS = ("lateral", "heading_error", "y", "yaw", "tire_angle", "curvature")
FLIPPED_EPISODES = ("start_lateral", "start_heading")

drives = st.builds(
    Drive,
    endings=st.sampled_from([("end_of_trace",), ("off_road", "end_of_trace"), ("heading",)]),
    lateral=st.floats(-2.0, 2.0),
    steps=st.integers(1, 9),
    trace=st.integers(0, 2),
    validity=st.none() | st.floats(0.0, 1.0),
)
starts = st.builds(
    Start,
    s=st.integers(0, 90).map(float),
    lateral=st.sampled_from([-1.0, 0.5]),
    recovered=st.booleans(),
    seconds=st.floats(1.0, 5.0),
)
runs = st.lists(drives | starts, min_size=1, max_size=6)


def tables_of(things, seed):
    episodes, steps = rows_of(things, seed)
    steps = pa.Table.from_pylist(steps, schema=pa.schema(list(STEP_FIELDS.items())))
    episodes = pa.Table.from_pylist(episodes, schema=pa.schema(list(EPISODE_FIELDS.items())))
    return columns(steps), columns(episodes)


def wild(steps, seed):
    """With headings all around the circle and bends to both sides."""
    rng = np.random.default_rng(seed)
    count = len(steps["episode"])
    return steps | {
        "yaw": rng.uniform(-3.1, 3.1, count),
        "y": rng.uniform(-9, 9, count),
        "curvature": rng.uniform(-0.1, 0.1, count),
        "speed": rng.uniform(0, 20, count),
    }


def values(judgement):
    return {
        (verdict.name, name, end): value
        for verdict in (judgement.overall, *judgement.scenarios)
        for name, found in verdict.metrics.items()
        for end, value in vars(found).items()
    }


@settings(max_examples=40, deadline=None)
@given(things=runs, seed=st.integers(0, 1000))
def test_a_mirrored_run_has_the_same_metrics(things, seed):
    steps, episodes = tables_of(things, seed)
    steps = wild(steps, seed)
    mirrored_steps = steps | {name: -steps[name] for name in FLIPPED_STEPS}
    mirrored_episodes = episodes | {name: -episodes[name] for name in FLIPPED_EPISODES}
    here = values(judge_tables(steps, episodes, FAST))
    there = values(judge_tables(mirrored_steps, mirrored_episodes, FAST))
    assert there == pytest.approx(here, nan_ok=True)


def test_the_property_would_notice_a_metric_that_knows_left_from_right():
    steps, episodes = tables_of([Drive(lateral=0.5)], 0)
    steps = wild(steps, 0)
    wrong = steps | {name: -steps[name] for name in FLIPPED_STEPS if name != "heading_error"}
    here, there = (values(judge_tables(s, episodes, FAST)) for s in (steps, wrong))
    assert there != pytest.approx(here, nan_ok=True)


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    things=runs,
    cuts=st.lists(st.integers(0, 200), max_size=4),
    shuffled=st.booleans(),
)
def test_a_run_in_several_files_has_the_same_metrics(tmp_path, things, cuts, shuffled):
    folder = tmp_path / "run"
    shutil.rmtree(folder, ignore_errors=True)
    write(folder, things)
    whole = values(judge(folder, FAST))
    for name in ("steps", "episodes"):
        path = folder / f"{name}.parquet"
        table = pq.read_table(path)
        path.unlink()
        path.mkdir()
        edges = sorted({0, table.num_rows, *(min(cut, table.num_rows) for cut in cuts)})
        parts = [table.slice(a, b - a) for a, b in pairwise(edges)]
        if shuffled:  # as several processes may have written them
            parts.reverse()
        for i, part in enumerate(parts):
            pq.write_table(part, path / f"{i:06d}.parquet")
    again = judge(folder, FAST)
    assert values(again) == pytest.approx(whole, nan_ok=True, abs=0, rel=1e-12)


def test_a_run_older_than_its_columns_is_judged(tmp_path):
    folder = write(tmp_path / "run", [Drive(), Start(5.0)])
    now = values(judge(folder, FAST))
    path = folder / "episodes.parquet"
    old = pq.read_table(path).drop_columns(["scenario", "case", "seed", "weight", "failure"])
    pq.write_table(old, path)
    run = read_run(folder)
    assert run.episodes.column("weight").null_count == run.episodes.num_rows
    assert set(run.episodes.column_names) == set(EPISODE_FIELDS)
    assert values(judge(folder, FAST)) == pytest.approx(now, nan_ok=True)
    plain = select(columns(old), np.ones(old.num_rows, dtype=bool))
    assert values(judge_tables(columns(run.steps), plain, FAST)) == pytest.approx(now, nan_ok=True)
