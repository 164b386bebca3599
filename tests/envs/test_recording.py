"""What is recorded of an environment, against what the environment itself returned."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import closing

import av
import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from suite_files import scenario

import vista_sim
from vista_sim.envs.lane_following import lane_following_env
from vista_sim.errors import RunError, WorldError
from vista_sim.evaluation.judging import judge_tables
from vista_sim.evaluation.metrics import summarize
from vista_sim.runs.run import columns, read_run
from vista_sim.tasks.lane_following import LaneFollowing

ID = "VistaSim/LaneFollowing-v0"
SIZE = (40, 96)
START = {"trace": 0, "s": 20.0, "lateral": 0.2, "heading": 0.0}


def make(road_trace, **options):
    return gymnasium.make(ID, traces=[road_trace], size=SIZE, **options)


def wander(env, steps, seed=0, options=None):
    """Drive by random actions; what reset and each step returned."""
    rng = np.random.default_rng(seed)
    returned = [env.reset(seed=seed, options=options)]
    for _ in range(steps):
        returned.append(env.step(rng.uniform(-0.3, 0.3, 1).astype(np.float32)))
        if returned[-1][2] or returned[-1][3]:
            break
    return returned


def images(run, view, episode=0):
    """Decoded images by step."""
    found = {}
    for row in run.frames.to_pylist():
        if (row["view"], row["episode"]) == (view, episode):
            with av.open(str(run.video(row["file"]))) as container:
                frames = list(container.decode(video=0))
            found[row["step"]] = frames[row["frame"]].to_ndarray(format="rgb24")
    return found


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


def test_steps_are_what_the_environment_returned(road_trace, tmp_path):
    env = vista_sim.RecordRun(make(road_trace, control_speed=False), tmp_path / "run", views=())
    returned = [wander(env, 15, seed, START) for seed in (3, 4)]
    env.close()
    run = read_run(tmp_path / "run")
    assert run.info["status"] == "complete"
    assert (run.info["env"], run.info["seed"]) == (ID, 3)
    (told,) = run.info["traces"]
    assert (told["path"], told["name"]) == (str(road_trace), "road")
    assert run.info["results"]["steps"] == 30
    steps, episodes = columns(run.steps), columns(run.episodes)
    assert episodes["seed"].tolist() == [3, 4]
    assert episodes["ending"].tolist() == ["cut", "cut"]
    for episode, told in enumerate(returned):
        own = {name: x[steps["episode"] == episode] for name, x in steps.items()}
        assert own["step"].tolist() == list(range(16))
        infos = [told[0][1], *(step[4] for step in told[1:])]
        for name in ("s", "lateral", "heading_error", "speed", "validity"):
            assert own[name].tolist() == [info[name] for info in infos]
        rewards = [step[1] for step in told[1:]]
        assert own["reward"][1:] == pytest.approx(rewards, abs=1e-12)
        for name in infos[1]["reward_terms"]:
            values = [info["reward_terms"][name] for info in infos[1:]]
            assert own[f"reward_{name}"][1:].tolist() == values
        actions = np.random.default_rng((3, 4)[episode]).uniform(-0.3, 0.3, 15)
        assert own["action_curvature"][1:] == pytest.approx(0.2 * actions, abs=1e-8)
        assert episodes["reward"][episode] == pytest.approx(sum(rewards))


def test_recording_changes_nothing_that_is_returned(road_trace, tmp_path):
    plain, recorded = make(road_trace), make(road_trace)
    recorded = vista_sim.RecordRun(recorded, tmp_path / "run")
    for a, b in zip(wander(plain, 12, 1), wander(recorded, 12, 1), strict=True):
        assert a[0]["camera"].tobytes() == b[0]["camera"].tobytes()
        assert a[1:] == b[1:]
    recorded.close()


def test_a_recorded_step_is_judged_once(road_trace, tmp_path, monkeypatch):
    judged = []
    judge = LaneFollowing.judge

    def count(task, table, *args):
        judged.append(len(table))
        judge(task, table, *args)

    with closing(vista_sim.RecordRun(make(road_trace), tmp_path / "run", views=())) as env:
        env.reset(seed=0)
        monkeypatch.setattr(LaneFollowing, "judge", count)
        for _ in range(5):
            env.step(np.zeros(1, np.float32))
    assert judged == [1] * 5


def test_frames_are_the_observations_of_their_steps(road_trace, tmp_path):
    env = vista_sim.RecordRun(make(road_trace), tmp_path / "run", views=("camera", "recorded"))
    seen = [step[0]["camera"] for step in wander(env, 6, options=START)]
    env.close()
    run = read_run(tmp_path / "run")
    filmed = images(run, "camera")
    assert sorted(filmed) == list(range(7))
    for step, image in filmed.items():
        assert image.shape == (*SIZE, 3)
        errors = [psnr(image, other) for other in seen]
        assert errors[step] > 32
    assert set(run.frames.column("view").to_pylist()) == {"camera", "recorded"}


class Looking:
    """Looks at another column each time it is asked."""

    def __init__(self):
        self.asked = 0

    def saliency(self):
        looked = np.zeros(SIZE, np.float32)
        looked[:, 10 * self.asked : 10 * self.asked + 10] = 1.0
        self.asked += 1
        return looked


@pytest.mark.parametrize("as_policy", [True, False])
def test_what_the_policy_looked_at_is_filmed(road_trace, tmp_path, as_policy):
    policy = Looking()
    env = vista_sim.RecordRun(
        make(road_trace),
        tmp_path / "run",
        views=("saliency",),
        saliency=policy if as_policy else policy.saliency,
    )
    wander(env, 5, options=START)
    env.close()
    filmed = images(read_run(tmp_path / "run"), "saliency")
    # What it looked at is known once it has acted: not after the last step.
    assert sorted(filmed) == list(range(5))
    for step, image in filmed.items():
        brightest = image[..., 0].mean(axis=0)[: 10 * 6].reshape(6, 10).mean(axis=1)
        assert brightest.argmax() == step
        assert brightest.max() > 200


@pytest.mark.parametrize(
    ("looked", "said"),
    [
        (np.zeros((3, 4)), "(3, 4)"),
        (np.full(SIZE, np.nan), "nan"),
        (np.full(SIZE, 2.0), "from 2 to 2"),
        (ZeroDivisionError("oh"), "oh"),
    ],
)
def test_a_saliency_map_that_cannot_be_costs_a_warning_and_no_drive(
    road_trace, tmp_path, looked, said, caplog
):
    def look():
        if isinstance(looked, Exception):
            raise looked
        return looked

    env = vista_sim.RecordRun(make(road_trace), tmp_path / "run", saliency=look)
    wander(env, 4, options=START)
    env.close()
    (warning,) = [r for r in caplog.records if "saliency" in r.getMessage()]
    assert said in warning.getMessage()
    run = read_run(tmp_path / "run")
    assert run.steps.num_rows == 5
    assert "saliency" not in run.frames.column("view").to_pylist()


def test_what_is_written_is_bounded(road_trace, tmp_path):
    env = vista_sim.RecordRun(
        make(road_trace),
        tmp_path / "run",
        views=("camera",),
        rate=5.0,
        every=2,
        max_steps=20,
        max_frames=5,
    )
    for _ in range(5):
        wander(env, 8, options=START)
    env.close()
    run = read_run(tmp_path / "run")
    # Episodes 0, 2 and 4 are recorded; the last one has but 4 steps left.
    assert run.episodes.column("steps").to_pylist() == [8, 8, 4]
    assert run.info["results"] == {"episodes": 3, "episodes_driven": 5, "steps": 20}
    shown = [(row["episode"], row["step"]) for row in run.frames.to_pylist()]
    assert shown == [(0, 0), (0, 2), (0, 4), (0, 6), (0, 8)]


def test_metrics_judge_a_recorded_run(road_trace, tmp_path):
    env = vista_sim.RecordRun(make(road_trace), tmp_path / "run", views=())
    env.reset(options=START)
    over, distance, laterals = False, 0.0, []
    while not over:
        before = env.unwrapped.car.x, env.unwrapped.car.y
        _, _, terminated, truncated, info = env.step(np.array([0.9], np.float32))
        car = env.unwrapped.car
        distance += np.hypot(car.x - before[0], car.y - before[1])
        laterals.append(info["lateral"])
        over = terminated or truncated
    assert terminated  # it leaves the road
    env.close()
    run = read_run(tmp_path / "run")
    tables = columns(run.steps), columns(run.episodes)
    assert tables[1]["ending"].tolist() == [info["ending"]]
    assert tables[1]["steps"].tolist() == [len(laterals)]
    assert tables[1]["distance"] == pytest.approx(distance)
    found = summarize(*tables)
    assert found["crashes"] == 1
    assert judge_tables(*tables) is not None


@pytest.mark.parametrize("inside", [True, False])
def test_an_episode_that_a_wrapper_cuts_says_so(road_trace, tmp_path, inside):
    env = make(road_trace, max_episode_steps=None if not inside else 6)
    env = vista_sim.RecordRun(env, tmp_path / "run", views=())
    if not inside:
        env = gymnasium.wrappers.TimeLimit(env, 6)
    for _ in range(2):
        assert wander(env, 20, options=START)[-1][3]
    env.close()
    episodes = columns(read_run(tmp_path / "run").episodes)
    assert episodes["ending"].tolist() == ["cut", "cut"]
    assert episodes["steps"].tolist() == [6, 6]


def test_it_passes_the_checks_of_gymnasium_and_keeps_its_spaces(road_trace, tmp_path):
    plain = lane_following_env([road_trace], size=SIZE)
    env = vista_sim.RecordRun(plain, tmp_path / "run", views=())
    assert env.observation_space == plain.observation_space
    with pytest.warns(UserWarning, match="wrapper"):  # that it is one, and nothing else
        check_env(env, skip_render_check=True)
    env.close()
    assert read_run(tmp_path / "run").steps.num_rows > 0


def test_it_is_trained_in_by_stable_baselines3(road_trace, tmp_path):
    sb3 = pytest.importorskip("stable_baselines3")
    env = vista_sim.RecordRun(
        make(road_trace, observe="state"), tmp_path / "run", views=(), every=1
    )
    sb3.PPO("MultiInputPolicy", env, n_steps=32, batch_size=32, n_epochs=1, seed=0).learn(64)
    env.close()
    run = read_run(tmp_path / "run")
    assert run.info["status"] == "complete"
    assert run.info["results"]["steps"] == 64


def test_cases_of_a_scenario_are_recorded_by_their_names(road_trace, tmp_path):
    suite = scenario(tmp_path, road_trace, start=["s = 20.0"])
    env = gymnasium.make("VistaSim/Scenario-v0", scenario=suite, size=SIZE)
    env = vista_sim.RecordRun(env, tmp_path / "run", views=("camera",))
    told = [wander(env, 3, options={"case": 0})[0][1] for _ in range(2)]
    env.close()
    run = read_run(tmp_path / "run")
    assert run.info["traces"][0]["path"] == str(road_trace)
    rows = run.episodes.to_pylist()
    assert [row["case"] for row in rows] == [info["case"] for info in told]
    assert [row["scenario"] for row in rows] == [info["scenario"] for info in told]
    assert [row["trace"] for row in rows] == [0, 0]
    assert run.roads.num_rows > 0


def test_other_environments_and_folders_are_refused_in_one_line(road_trace, tmp_path):
    with pytest.raises(WorldError, match="CartPole") as caught:
        vista_sim.RecordRun(gymnasium.make("CartPole-v1"), tmp_path / "a")
    assert "\n" not in str(caught.value)
    vector = gymnasium.make_vec(
        ID, num_envs=2, traces=[road_trace], vectorization_mode="vector_entry_point"
    )
    with pytest.raises(WorldError, match="each environment by itself"):
        vista_sim.RecordRun(vector, tmp_path / "a")
    vector.close()
    env = make(road_trace)
    for options in ({"views": ("front",)}, {"views": "camera"}, {"rate": 0.0}, {"saliency": 3}):
        with pytest.raises(RunError):
            vista_sim.RecordRun(env, tmp_path / "a", **options)
    for options in ({"every": 0}, {"max_steps": -1}, {"max_frames": 0}):
        with pytest.raises(WorldError, match="at least 1"):
            vista_sim.RecordRun(env, tmp_path / "a", **options)
    assert not (tmp_path / "a").exists()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.txt").touch()
    with pytest.raises(RunError, match="is there already"):
        vista_sim.RecordRun(env, tmp_path / "b")
    env.close()


def test_it_is_readable_after_a_kill(road_trace, tmp_path):
    out = tmp_path / "run"
    script = f"""
        import gymnasium, numpy as np, vista_sim
        env = gymnasium.make({ID!r}, traces=[{str(road_trace)!r}], size={SIZE})
        env = vista_sim.RecordRun(env, {str(out)!r}, views=("camera",))
        while True:
            env.reset(seed=5, options={START})
            over = False
            while not over:
                _, _, a, b, _ = env.step(np.zeros(1, np.float32))
                over = a or b
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)])
    try:
        deadline = time.monotonic() + 120
        while not all(list(out.glob(f"{name}.parquet/0*.parquet")) for name in ("steps", "frames")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    run = read_run(out)
    assert json.loads((out / "run.json").read_text())["status"] == "running"
    assert run.info["seed"] == 5
    assert run.steps.num_rows > 1
    assert run.frames.num_rows > 1
    assert (out / "views" / run.frames.column("file")[0].as_py()).stat().st_size > 0
