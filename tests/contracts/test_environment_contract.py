"""What every environment must be: each that is registered is put through this, with every task."""

import copy
import inspect
import pickle

import numpy as np
import pyarrow.compute as pc
import pytest
from environments import FORMS, Form, loaded, taken
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import SyncVectorEnv
from same_bytes import assert_same

import vista_sim
from vista_sim.envs.registration import ENVIRONMENTS
from vista_sim.errors import VistaError
from vista_sim.runs.run import read_run
from vista_sim.tasks.endings import CUT, KINDS

SIZE = (24, 48)
CARS = 3
MODES = ("NextStep", "SameStep", "Disabled")
NAMES = sorted(ENVIRONMENTS)

pytestmark = [pytest.mark.filterwarnings("error"), pytest.mark.usefixtures("_unwarned")]


@pytest.fixture(params=FORMS, ids=[f"{name.partition('/')[2]}-{task}" for name, task in FORMS])
def form(request, road_trace, tmp_path):
    return Form(*request.param, road_trace, tmp_path)


@pytest.fixture(params=NAMES)
def plain(request, road_trace, tmp_path):
    """An environment with its first task."""
    return Form(*next(form for form in FORMS if form[0] == request.param), road_trace, tmp_path)


def actions(space, seed=4):
    rng = np.random.default_rng(seed)
    while True:
        yield rng.uniform(-0.6, 0.6, space.shape).astype(space.dtype)


def told(value):
    """What a step or a reset told, as values that can be compared whole: arrays as their bytes."""
    if isinstance(value, dict):
        return {name: told(one) for name, one in value.items()}
    if isinstance(value, tuple):
        return tuple(told(one) for one in value)
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    return type(value), value


def drive(env, episodes=2, seed=None, **reset):
    """All that is told in some episodes."""
    given = actions(env.action_space)
    for episode in range(episodes):
        yield env.reset(seed=seed if episode == 0 else None, **reset)
        over = False
        while not over:
            step = env.step(next(given))
            over = step[2] or step[3]
            yield step


def test_it_passes_gymnasiums_checks(form, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    with_pictures = form.task == FORMS[0][1]
    check_env(form.one(size=SIZE), skip_render_check=not with_pictures)


def test_its_spaces_hold_what_it_tells_and_terms_add_up_to_the_reward(form):
    env = form.one()
    for step in drive(env, 3, seed=3):
        assert step[0] in env.observation_space
        info = step[-1]
        assert info["ending_code"] in range(len(env.endings) + 1)
        assert set(info["reward_terms"]) == set(env.terms)
        if len(step) == 5:
            assert step[1] == pytest.approx(sum(info["reward_terms"].values()), abs=1e-12)
            assert np.isfinite(step[1])


def test_an_endings_kind_decides_whether_it_terminates_or_truncates(form):
    env = form.one()
    seen = set()
    for step in drive(env, 6, seed=3):
        kinds = {ending.name: ending.kind for ending in env.endings}
        codes = {ending.name: code for code, ending in enumerate(env.endings, start=1)}
        assert set(kinds.values()) <= set(KINDS)
        info = step[-1]
        if len(step) == 5 and (step[2] or step[3]):
            name = info["ending"]
            seen.add(name)
            assert (step[2], step[3]) == (kinds[name] != CUT, kinds[name] == CUT)
            assert (info["ending_code"], env.ending, env.ending_kind) == (
                codes[name],
                name,
                kinds[name],
            )
        else:
            assert "ending" not in info
            assert (info["ending_code"], env.ending, env.ending_kind) == (0, None, None)
    assert seen


def test_the_same_seed_gives_the_same_bytes_and_other_seeds_other_starts(form):
    first, again = (form.one() for _ in range(2))
    for ours, theirs in zip(drive(first, seed=5), drive(again, seed=5), strict=True):
        assert told(ours) == told(theirs)
    starts = [told(first.reset(seed=seed)[0]) for seed in range(6)]
    assert any(start != starts[0] for start in starts)
    assert told(first.reset(seed=5)) == told(again.reset(seed=5))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_drives_on_alike_and_leaves_the_original_alone(form, copied):
    env, untouched = form.one(), form.one()
    for one in (env, untouched):
        one.reset(seed=2)
        one.step(np.zeros(one.action_space.shape, np.float32))
    other = copied(env)
    ahead = list(_on(other))
    for expected, ours, theirs in zip(_on(untouched), _on(env), ahead, strict=True):
        assert told(ours) == told(theirs) == told(expected)
    with pytest.raises(VistaError, match="deepcopy"):
        copy.copy(env)


def _on(env):
    """The rest of an episode, and the next one, by the environment's own randomness."""
    given, over = actions(env.action_space), False
    while not over:
        step = env.step(next(given))
        over = step[2] or step[3]
        yield step
    yield from drive(env, 1)


@pytest.mark.parametrize("mode", MODES)
def test_many_do_what_each_would_alone(form, mode):
    compare(form, mode, 24)


@pytest.mark.parametrize("mode", MODES)
def test_many_see_what_each_would_alone(plain, mode):
    compare(plain, mode, 10, observe="camera", size=SIZE)


def compare(form, mode, steps, **more):
    """Ours of many and Gymnasium's own, of single ones, whose infos are numbers as well."""
    more["text_infos"] = False
    ours = form.many(CARS, mode, **more)
    theirs = SyncVectorEnv([lambda: form.one(**more)] * CARS, autoreset_mode=mode)
    first = ours.reset(seed=7)
    assert_same(first, theirs.reset(seed=7))
    check_infos(first[1], np.ones(CARS, bool))
    given, ended = actions(ours.action_space), 0
    for number in range(steps):
        if number == steps // 2:
            ours = copy.deepcopy(ours)
        chosen = next(given)
        step = ours.step(chosen)
        assert_same(step, theirs.step(chosen), f"{mode} step {number}")
        observation, rewards, terminated, truncated, infos = step
        assert observation in ours.observation_space
        assert (rewards.shape, rewards.dtype) == ((CARS,), np.float64)
        over = terminated | truncated
        ended += int(over.sum())
        if mode == "SameStep" and over.any():
            check_finals(infos, over, ours.single_observation_space)
        check_infos(infos, np.ones(CARS, bool))
        if mode == "Disabled" and over.any():
            again = ours.reset(options={"reset_mask": over.copy()})
            assert_same(again, theirs.reset(options={"reset_mask": over.copy()}))
            check_infos(again[1], over)
    assert ended >= CARS
    ours.close()
    theirs.close()


def check_infos(infos, of):
    """Numbers, beside each of which stands of which environments it is told."""
    for name, value in infos.items():
        if name.startswith("_") or name in ("final_obs", "final_info"):
            continue
        mask = infos[f"_{name}"]
        assert (mask.dtype, mask.tolist()) == (np.bool_, of.tolist()), name
        if isinstance(value, dict):
            check_infos(value, of)
        else:
            assert (len(value), value.dtype != object) == (CARS, True), name


def check_finals(infos, over, space):
    """What was told last of the episodes that are over."""
    assert infos["_final_info"].tolist() == infos["_final_obs"].tolist() == over.tolist()
    for row in np.flatnonzero(over):
        assert infos["final_obs"][row] in space
        assert infos["final_info"]["ending_code"][row] > 0
        assert infos["ending_code"][row] == 0


def test_what_is_driven_in_it_can_be_recorded(form):
    env = vista_sim.RecordRun(form.one(), form.folder / "run", views=())
    steps = [step for step in drive(env, 2, seed=1) if len(step) == 5]
    env.close()
    run = read_run(form.folder / "run")
    assert run.episodes["ending"].to_pylist() == [s[4]["ending"] for s in steps if s[2] or s[3]]
    kinds = {ending.name: ending.kind for ending in env.unwrapped.endings}
    for row in run.episodes.to_pylist():
        assert row["ending_kind"] == kinds[row["ending"]]
    driven = run.steps.filter(pc.greater(run.steps["step"], 0))  # the first is the start
    assert driven.num_rows == len(steps)
    assert sum(run.episodes["reward"].to_pylist()) == pytest.approx(sum(s[1] for s in steps))
    for term in env.unwrapped.terms:
        expected = [step[4]["reward_terms"][term] for step in steps]
        assert driven[f"reward_{term}"].to_pylist() == pytest.approx(expected, abs=1e-6)


WRONG = {
    "traces": "not-there",
    "scenario": "not-there.toml",
    "task": "to-fly",
    "size": (0, 48),
    "fov": 4.0,
    "render_mode": "paper",
    "observe": "sonar",
    "sensors": [1],
    "curvature_limit": -0.5,
    "text_infos": "yes",
    "reset_mode": "middle",
    "section": (3.0, 2.0),
    "endings": {"max_width": 1.0},
    "rewards": {"survival": 1.0},
    "world_options": {"backends": "numpy"},
    "randomization": 3,
    "backend": "cuda",
}
PAIRS = [(name, argument) for name in NAMES for argument in WRONG if argument in taken(name)]


@pytest.mark.parametrize(("name", "argument"), PAIRS)
def test_an_argument_that_cannot_be_is_one_line(name, argument, road_trace, tmp_path):
    form = Form(*next(form for form in FORMS if form[0] == name), road_trace, tmp_path)
    given = form.arguments()
    if argument == "fov":
        given.pop("observe")
    if argument == "sensors":
        given.pop("observe")
    for entry_point in ENVIRONMENTS[name]:
        with pytest.raises(VistaError) as caught:
            loaded(entry_point)(**(given | {argument: WRONG[argument]}))
        assert "\n" not in str(caught.value)
        value = WRONG[argument]
        value = next(iter(value)) if isinstance(value, dict) else value
        assert argument in str(caught.value) or str(value) in str(caught.value)


def test_options_and_actions_that_cannot_be_are_one_line(plain):
    env, envs = plain.one(), plain.many(2)
    wrong = np.full(env.action_space.shape, np.nan, np.float32)
    for one, action, shape in ((env, wrong, (7,)), (envs, np.stack([wrong] * 2), (2, 7))):
        with pytest.raises(VistaError, match="'ahead'"):
            one.reset(seed=1, options={"ahead": 3.0})
        one.reset(seed=1)
        for given in (action, np.zeros(shape, np.float32), "left"):
            with pytest.raises(VistaError, match="action") as caught:
                one.step(given)
            assert "\n" not in str(caught.value)


def test_what_many_are_made_with_is_checked(plain):
    make = loaded(ENVIRONMENTS[plain.name][1])
    given = plain.arguments()
    for name, value in {
        "num_envs": 0,
        "autoreset_mode": "later",
        "workers": -1,
        "copy": "yes",
        "max_episode_steps": 0,
        "tensors": 3,
        "render_mode": "human",
    }.items():
        with pytest.raises(VistaError, match=name) as caught:
            make(**{"num_envs": 2, **given, name: value})
        assert "\n" not in str(caught.value)


def test_it_says_what_its_arguments_are(plain):
    for entry_point in ENVIRONMENTS[plain.name]:
        made = loaded(entry_point)
        text = inspect.getdoc(made)
        named = [
            name
            for name, parameter in inspect.signature(made).parameters.items()
            if parameter.kind is not parameter.VAR_KEYWORD
        ]
        assert all(name in text for name in named)
