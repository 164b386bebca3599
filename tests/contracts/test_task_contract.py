"""What every task must be: each that is known by a name is put through this.

Every environment is driven with every one of them in test_environment_contract.py.
"""

import copy
import pickle

import numpy as np
import pytest
from environments import Form

from vista_sim.dynamics import state as c
from vista_sim.envs.lane_following import lane_following_env, lane_following_vector_env
from vista_sim.tasks import recovery
from vista_sim.tasks.endings import KINDS, TIME_LIMIT, Ending, code_of, name_of
from vista_sim.tasks.registry import find_task, known_tasks, make_task

TASKS = known_tasks()
CARS = 4

pytestmark = [pytest.mark.filterwarnings("error"), pytest.mark.usefixtures("_unwarned")]


@pytest.fixture(params=TASKS)
def task(request):
    return request.param


@pytest.fixture
def driven(task, road_trace):
    """Tables of cars as they came to be in some steps, and what the world's task is."""
    envs = lane_following_vector_env(
        CARS, task=task, traces=[road_trace], observe="state", perturb_lateral=1.0
    )
    rng, tables = np.random.default_rng(2), []
    envs.reset(seed=1)
    for _ in range(25):
        envs.step(0.6 * rng.uniform(-1, 1, envs.action_space.shape))
        tables.append(envs.envs[0].world.table[:CARS].copy())
    return np.concatenate(tables), envs.envs[0].world.task


def judged(task, table, rows):
    terms = np.full((len(table), len(task.terms)), np.nan)
    codes = np.full(len(table), -1)
    task.judge(table, rows, 0.1, terms, codes)
    return terms, codes


def test_its_terms_are_finite_and_its_codes_those_of_its_endings(driven):
    table, task = driven
    terms, codes = judged(task, table, np.arange(len(table)))
    assert np.isfinite(terms).all()
    assert ((codes >= 0) & (codes <= len(task.endings))).all()
    assert terms.shape[1] == len(set(task.terms)) > 0


def test_one_car_is_judged_as_many_are(driven):
    table, task = driven
    terms, codes = judged(task, table, np.arange(len(table))[::-1].copy())
    for row in range(len(table)):
        alone = judged(task, table[row : row + 1], c.FIRST)
        assert alone[0].tobytes() == terms[row].tobytes()
        assert alone[1][0] == codes[row]
        within = judged(task, table, np.array([row]))
        assert within[0][row].tobytes() == terms[row].tobytes()
        others = np.delete(np.arange(len(table)), row)
        assert np.isnan(within[0][others]).all()
        assert (within[1][others] == -1).all()


def test_its_endings_have_kinds_and_names_of_their_own(task):
    endings = make_task(task).endings
    names = [ending.name for ending in endings]
    assert len(set(names)) == len(names)
    assert not set(names) & {ending.name for ending in recovery.ENDINGS}
    assert all(isinstance(ending, Ending) and ending.kind in KINDS for ending in endings)
    assert name_of(endings, 0) is None
    codes = range(1, len(names) + 1)
    assert [code_of(endings, name_of(endings, code)) for code in codes] == [*codes]


def test_a_car_out_of_reach_of_the_path_is_over(driven):
    table, task = driven
    table[:, c.IN_REACH] = 0.0
    assert (judged(task, table, np.arange(len(table)))[1] > 0).all()


def test_the_limit_of_time_cuts(task, road_trace):
    env = lane_following_env(
        road_trace, task=task, observe="state", endings={"time_limit": 0.2}, reset_mode="start"
    )
    env.reset(seed=0)
    env.step(np.zeros(env.action_space.shape, np.float32))
    _, _, terminated, truncated, info = env.step(np.zeros(env.action_space.shape, np.float32))
    assert (terminated, truncated, info["ending"]) == (False, True, TIME_LIMIT)


def test_it_is_made_of_mappings_too_and_can_be_copied(task):
    usual = make_task(task)
    told = make_task(task, vars(usual.limits), vars(usual.rewards))
    assert usual == told == find_task(task)() == pickle.loads(pickle.dumps(usual))
    assert make_task(copy.deepcopy(usual)) == usual


def test_a_case_of_it_may_also_end_by_recovery(task, road_trace, tmp_path):
    env = Form("VistaSim/Scenario-v0", task, road_trace, tmp_path).one()
    env.reset(seed=0)
    assert env.endings == (*make_task(task).endings, *recovery.ENDINGS)
