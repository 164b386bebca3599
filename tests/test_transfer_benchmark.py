"""The study of transfer: degraded policies, results that are kept, what is concluded, all of it."""

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vista_sim.errors import VistaError
from vista_sim.policies import Action, CameraSpec
from vista_sim.scenarios.places import RecoveryTest
from vista_sim.transforms import camera_mount, planar_pose
from vista_sim.world import World

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))

import transfer  # noqa: E402
from transfer_study.degradations import Degradation, DegradedPolicy  # noqa: E402
from transfer_study.judging import Results, Trial, run_trials  # noqa: E402
from transfer_study.plan import FULL, QUICK, Candidate, Training, world_name  # noqa: E402
from transfer_study.preparing import train_policy, trained_as  # noqa: E402
from transfer_study.summary import summarize  # noqa: E402
from transfer_study.tables import as_markdown  # noqa: E402

MOUNT = camera_mount(1.5, 0.0, 1.4)


class Ramp:
    """Answers 0.01, 0.02, ... from each reset on."""

    camera = CameraSpec((33, 100), fov=1.2, mount=MOUNT)

    def reset(self):
        self.count = 0

    def act(self, observation, car=None):
        self.count += 1
        return Action(0.01 * self.count, acceleration=0.5)


def answers(degradation, car=None, steps=4, seed=0):
    policy = DegradedPolicy(Ramp(), degradation, Ramp.camera, seed)
    policy.reset()
    return [policy.act({}, car).curvature for _ in range(steps)]


def test_bias_gain_and_delay_change_the_curvature_as_they_say():
    assert answers(Degradation()) == pytest.approx([0.01, 0.02, 0.03, 0.04])
    assert answers(Degradation(bias=-0.1)) == pytest.approx([-0.09, -0.08, -0.07, -0.06])
    assert answers(Degradation(gain=0.5)) == pytest.approx([0.005, 0.01, 0.015, 0.02])
    assert answers(Degradation(delay=2)) == pytest.approx([0.0, 0.0, 0.01, 0.02])
    policy = DegradedPolicy(Ramp(), Degradation(delay=1), Ramp.camera, 0)
    for _ in range(2):  # a reset forgets what was on its way
        policy.reset()
        assert policy.act({}).curvature == 0.0
        assert policy.act({}).acceleration == 0.5


def test_noise_has_the_deviation_asked_for_and_drifts():
    noise = np.array(answers(Degradation(noise=0.1), steps=4000)) - 0.01 * np.arange(1, 4001)
    assert noise.std() == pytest.approx(0.1, rel=0.1)
    assert noise.mean() == pytest.approx(0.0, abs=0.02)
    assert np.corrcoef(noise[5:], noise[:-5])[0, 1] == pytest.approx(math.exp(-1), abs=0.08)


def test_noise_is_that_of_the_start_in_whatever_world_and_order(road_trace):
    def from_start(s, seed=0):
        car = World(road_trace).spawn_agent()
        car.reset(trace=0, s=s, lateral=-0.5, heading=0.1)
        return answers(Degradation(noise=0.1), car, seed=seed)

    first = from_start(20.0)
    assert from_start(20.0) == first
    assert from_start(21.0) != first
    assert from_start(20.0, seed=1) != first


def test_wrong_calibration_turns_and_narrows_the_camera():
    def camera(**how):
        return DegradedPolicy(Ramp(), Degradation(**how), Ramp.camera, 0).camera

    assert camera(bias=0.1) == Ramp.camera
    assert camera(fov=0.5).fov == pytest.approx(0.6)
    for yaw in (3.0, -8.0):
        ahead = camera(yaw=yaw).mount[:3, 2]
        assert math.degrees(math.atan2(ahead[1], ahead[0])) == pytest.approx(yaw)
        assert np.allclose(camera(yaw=yaw).mount[:3, 3], MOUNT[:3, 3])
    assert math.degrees(math.asin(-camera(pitch=4.0).mount[2, 2])) == pytest.approx(4.0)
    turned = planar_pose(0.0, 0.0, math.radians(7.0)) @ camera_mount(0.0, 0.0, 0.0)
    assert np.allclose(camera(yaw=7.0).mount[:3, :3], turned[:3, :3])


@pytest.mark.parametrize("how", [{"noise": -1.0}, {"delay": -1}, {"fov": 0.0}, {"bias": math.nan}])
def test_degradations_that_cannot_be_are_refused(how):
    with pytest.raises(ValueError, match=r"negative|finite|positive"):
        Degradation(**how)


@pytest.fixture
def trials(tiny_trace, tmp_path):
    """Four trials of a policy folder that no one loads."""
    folder = tmp_path / "policy"
    folder.mkdir()
    (folder / "policy.json").write_text('{"format": "vista-policy/1", "loader": "none"}')
    made = [Candidate("made-up", 0, Degradation(bias=0.01 * i)) for i in range(4)]
    return [
        Trial(candidate, folder, tiny_trace, "synthesized", RecoveryTest(), 0, 1.0)
        for candidate in made
    ]


def result(crashes=1.0, metres=500.0, error=0.2, both=3, expert=4):
    return {
        "metrics": {
            "crashes": crashes,
            "distance_m": metres,
            "mean_cross_track_error_m": error,
        },
        "recovery": {"rate": both / expert, "both": [[both, 0]], "expert": [[expert, 0]]},
        "seconds": 1.0,
    }


def test_an_interrupted_study_goes_on_where_it_was(trials, tmp_path):
    results, judged, said = Results(tmp_path / "results"), [], []

    def judging(trial):
        if len(judged) == 2:
            judged.append(None)
            raise KeyboardInterrupt
        judged.append(trial.name)
        return result(crashes=float(len(judged)))

    with pytest.raises(KeyboardInterrupt):
        run_trials(trials, results, 1, said.append, judging)
    kept = {p: p.read_bytes() for p in results.folder.iterdir()}
    assert len(kept) == 2
    run_trials([*trials, trials[0]], results, 1, said.append, judging)
    names = [name for name in judged if name]
    assert names == [trial.name for trial in trials]  # each once
    assert all(path.read_bytes() == data for path, data in kept.items())
    assert "2 of 4 trials are done already" in said
    assert [results.find(t)["metrics"]["crashes"] for t in trials] == [1.0, 2.0, 4.0, 5.0]


def test_a_result_counts_for_what_decided_it_alone(trials, tmp_path):
    results = Results(tmp_path / "results")
    trial = trials[0]
    results.keep(trial, result())
    for other in (
        trials[1],
        dataclasses.replace(trial, views="rendered"),
        dataclasses.replace(trial, seed=1),
        dataclasses.replace(trial, test=RecoveryTest(held=0.5)),
    ):
        assert results.find(other) is None
    assert results.find(dataclasses.replace(trial, seconds=9.0)) == result()
    (trial.policy / "policy.json").write_text('{"format": "vista-policy/1", "loader": "other"}')
    assert results.find(trial) is None


@pytest.mark.parametrize("text", ["", "{}", '{"key": "other", "result": {}}', "[1]"])
def test_a_damaged_result_is_named(trials, tmp_path, text):
    results = Results(tmp_path / "results")
    results.keep(trials[0], result())
    results.path(trials[0]).write_text(text)
    with pytest.raises(VistaError, match="no result of this study; delete it"):
        results.find(trials[0])


def test_what_is_concluded_adds_up_and_ranks():
    unseen = FULL.unseen[:2]
    bias = [Candidate("bc", 0, Degradation(bias=0.01 * i)) for i in range(1, 5)]
    plan = dataclasses.replace(
        FULL,
        unseen=unseen,
        trainings=(Training("bc", ("bc",), (0, 1), deployed=True),),
        candidates=tuple(bias),
    )
    worlds = [world_name(r) for r in unseen]
    found = {}
    for seed, crashes in ((0, 2.0), (1, 0.0)):
        found["bc-seed" + str(seed), worlds[0], "rendered"] = result(crashes, 500.0, 0.1)
        found["bc-seed" + str(seed), worlds[1], "rendered"] = result(0.0, 1500.0, 0.3, 1)
    for i, candidate in enumerate(bias):
        for world in worlds:
            found[candidate.name, world, "synthesized"] = result(i, both=4 - i)
            # Of the rendered world the first two are the other way round.
            found[candidate.name, world, "rendered"] = result([1, 0, 2, 3][i], both=4 - i)
    del found[bias[3].name, worlds[1], "rendered"]  # not judged yet

    summary = summarize(plan, found)
    (row,) = summary["deployment"]
    assert (row["seeds"], row["km"], row["crashes"], row["tried"]) == (2, 4.0, 2, 16)
    assert row["crashes_per_km"]["value"] == pytest.approx(2 / 4.0)
    assert row["crashes_per_km"]["low"] == 0.0
    assert row["crashes_per_km"]["high"] == pytest.approx(4.0)  # one seed and one road alone
    assert row["mean_cross_track_error_m"]["value"] == pytest.approx(0.1 * 0.25 + 0.3 * 0.75)
    assert row["recovery"]["value"] == pytest.approx((3 + 1 + 3 + 1) / 16)
    assert row["recovered"] == [[8, 0]]

    verdict = summary["verdict"]
    assert [p["policy"] for p in verdict["policies"]] == [c.name for c in bias[:3]]
    assert verdict["of"] == 4
    assert verdict["recovering_20_to_90_percent"] == 2  # 75 and 50 %, not 100 %
    assert verdict["policies"][1]["synthesized"]["crashes_per_km"] == pytest.approx(2.0)
    assert verdict["spearman"]["crashes_per_km"]["value"] == pytest.approx(0.5)
    assert verdict["spearman"]["recovery"]["value"] == pytest.approx(1.0)
    assert verdict["spearman"]["mean_cross_track_error_m"]["value"] is None  # all the same
    text = as_markdown(summary)
    assert "| bc | 2 | 4.0 | 0.5 (0.0 to 4.0) | 0.25 (" in text
    assert "| bc-seed0, bias 0.01 | 0.0 / 2.0 | 0.20 / 0.20 | 100 / 100 |" in text
    json.dumps(summary, allow_nan=False)


def test_without_a_crash_the_rule_of_three_stands():
    plan = dataclasses.replace(
        QUICK, trainings=(Training("bc", ("bc",), deployed=True),), candidates=()
    )
    found = {("bc-seed0", world_name(QUICK.unseen[0]), "rendered"): result(0.0, 3000.0)}
    (row,) = summarize(plan, found)["deployment"]
    assert row["crashes_per_km"] == {
        "value": 0.0,
        "low": 0.0,
        "high": pytest.approx(1.0, abs=0.01),
    }
    assert row["recovery"] == {"value": 0.75, "low": None, "high": None}
    assert summarize(plan, {})["deployment"] == []


def test_the_full_study_judges_twenty_policies_and_more():
    assert len(FULL.candidates) >= 20
    trained = {t.name for t in FULL.trainings}
    assert {"bc", "guided"} <= trained
    assert not {r.seed for r in FULL.learned} & {r.seed for r in FULL.unseen}
    part = FULL.only(("bc",))
    assert [t.name for t in part.trainings] == ["bc"]
    assert {c.training for c in part.candidates} == {"bc"}
    with pytest.raises(ValueError, match="not among what is trained"):
        dataclasses.replace(FULL, trainings=())
    with pytest.raises(ValueError, match="the same"):
        dataclasses.replace(FULL, candidates=FULL.candidates + FULL.candidates[:1])


def test_a_training_that_fails_says_why_and_is_not_taken_for_whole(tiny_trace, tmp_path):
    with pytest.raises(VistaError, match=r"training made-up-seed0: vista-train: .*nowhere"):
        train_policy(Training("made-up", ("nowhere",)), 0, [tiny_trace], tmp_path)
    assert trained_as(tmp_path / "made-up-seed0") is None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["fly"], "no stage is called 'fly'; stages: record, train, deploy, verdict, report"),
        (["--workers", "0"], "--workers is 0; it must be at least 1"),
        (["--only", "magic"], "no training is called 'magic'; known: bc, "),
        (["train", "--quick"], "world-301: is not there yet; run the stage 'record' first"),
        (["verdict", "--quick"], "world-311: is not there yet; run the stage 'record' first"),
        (["--out", str(BENCHMARKS / "transfer.py")], "transfer.py: is a file"),
    ],
)
def test_wrong_input_gets_one_line(arguments, says, tmp_path, monkeypatch, capsys):
    pytest.importorskip("pybullet")
    monkeypatch.setattr(sys, "argv", ["transfer.py", "--out", str(tmp_path), *arguments])
    with pytest.raises(SystemExit) as stop:
        transfer.main()
    assert stop.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    assert says in last


@pytest.mark.slow
def test_a_quick_study_does_everything_once(tmp_path):
    pytest.importorskip("pybullet")
    pytest.importorskip("torch")
    out = tmp_path / "study"
    command = [sys.executable, str(BENCHMARKS / "transfer.py"), "--quick", "--out", str(out)]
    command += ["--workers", "1"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    summary = json.loads(done.stdout)
    (row,) = summary["deployment"]
    assert row["training"] == "bc"
    assert row["tried"] >= 1
    judged = summary["verdict"]["policies"]
    assert [p["policy"] for p in judged] == [c.name for c in QUICK.candidates]
    # The strongly biased one leaves the road more often, in both worlds.
    for views in ("synthesized", "rendered"):
        assert judged[1][views]["crashes_per_km"] > judged[0][views]["crashes_per_km"]
    results = {p: p.stat().st_mtime_ns for p in (out / "results").iterdir()}
    assert len(results) == 6
    for name in ("deployment.png", "verdict.png"):
        assert (out / name).read_bytes()[:4] == b"\x89PNG"
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert {p: p.stat().st_mtime_ns for p in (out / "results").iterdir()} == results
    assert "6 of 6 trials are done already" in again.stderr
    assert again.stdout == (out / "transfer.md").read_text()
    assert json.loads((out / "transfer.json").read_text()) == summary
