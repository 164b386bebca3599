"""`vista-train depth`: it learns, resumes, bakes, transfers, and says what cannot be."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from textured import LENS, STREET, write_drive
from vista_agents.cli import main as train_main
from vista_agents.depth.data import DepthDrive, DepthFrames
from vista_agents.depth.model import LearnedDepth, load
from vista_agents.depth.network import DepthNet, DepthNetConfig
from vista_agents.depth.recipe import Depth, learn_depth
from vista_agents.depth.train import DepthTrainingConfig

from vista_sim.cli import main
from vista_sim.errors import GeometryError
from vista_sim.geometry.bake import bake_camera
from vista_sim.geometry.ground import ground_inverse_depth
from vista_sim.geometry.store import GeometryStore
from vista_sim.traces.calibration import Lens
from vista_sim.traces.trace import Trace
from vista_sim.transforms import camera_mount, planar_pose

SMALL = DepthNetConfig(pixels=3840, channels=(8, 16, 24))
FAST = DepthTrainingConfig(
    steps=70, batch_size=2, learning_rate=4e-3, warmup=5, evaluate_every=35, checkpoint_every=10,
    held_out=4, threads=1, device="cpu", supervision=0.0,
)  # fmt: skip
FRAMES = 12
SIZE = (48, 80)


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    """A drive along a street, and the true depth (n, h, w) of its frames."""
    folder = tmp_path_factory.mktemp("drives") / "street"
    vehicles = np.array([planar_pose(0.8 * i, 0.0, 0.0) for i in range(FRAMES)])
    lens = LENS.resized(SIZE)
    return folder, write_drive(folder, STREET, vehicles, lens=lens)


@pytest.fixture
def drive(street, tmp_path):
    folder = tmp_path / "street"
    shutil.copytree(street[0], folder)
    return folder, street[1]


def _recipe(folder, out, training=FAST, **options):
    return Depth((folder,), out, training=training, network=SMALL, **options)


def _error(model, folder, depths):
    """Mean error of inverse depth of a model, and of flat ground, 1/m."""
    with Trace.open(folder) as trace:
        view = DepthDrive(trace, "front", SMALL, supervised=False)
    assert view.lens.size == SIZE
    found = [
        np.abs(model.predict(view.picture(i), view.lens, view.mount)[0] - 1 / depths[i]).mean()
        for i in range(0, FRAMES, 3)
    ]
    flat = ground_inverse_depth(view.lens, view.mount)
    return np.mean(found), np.mean([np.abs(flat - 1 / d).mean() for d in depths])


def test_pictures_and_motion_alone_teach_depth(drive, tmp_path):
    folder, depths = drive
    losses = []
    learned = learn_depth(
        _recipe(folder, tmp_path / "model"), report=lambda step, loss: losses.append(loss)
    )
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:10])
    assert learned.result.held_out_loss < 0.9 * learned.result.untrained_loss
    assert learned.supervised == ()
    error, flat = _error(load(tmp_path / "model"), folder, depths)
    assert error < 0.7 * flat
    assert (tmp_path / "model" / "held-out.png").stat().st_size > 0
    assert list((tmp_path / "model" / "tensorboard").glob("events.*"))


def test_baked_depth_teaches_too_and_the_model_is_found_beside_its_trace(drive):
    folder, depths = drive
    with Trace.open(folder) as trace:
        bake_camera(trace, "front", workers=1)
        training = dataclasses.replace(FAST, supervision=1.0, photometric=0.0)
        learned = learn_depth(_recipe(folder, None, training))
        assert learned.folder == folder / "geometry" / "depth-model"
        assert learned.supervised == ("drive",)
        error, flat = _error(load(learned.folder), folder, depths)
        assert error < 0.5 * flat
        done = bake_camera(trace, "front", geometry="learned", workers=1)
        assert done.report["sources"] == ["learned"]
        assert done.report["learned"]["median_scale"] == pytest.approx(1.0, abs=0.06)
        assert not DepthDrive(trace, "front", SMALL, True).supervised  # by itself
        store = GeometryStore.find(trace, "front")
        found = np.mean([np.abs(store.metric(i) - 1 / depths[i]).mean() for i in range(FRAMES)])
        assert found < 0.5 * flat
        assert 0 < np.asarray(store.confidence).max() < 200
        # The same model under another name is the same geometry; another model is not.
        moved = folder.parent / "moved"
        shutil.copytree(learned.folder, moved)
        again = bake_camera(trace, "front", geometry=f"learned:{moved}", workers=1)
        assert again.seconds == 0
        values = json.loads((moved / "depth.json").read_text())
        values["focal"] *= 2
        (moved / "depth.json").write_text(json.dumps(values))
        assert bake_camera(trace, "front", geometry=f"learned:{moved}", workers=1).seconds > 0


def test_a_killed_training_goes_on_to_the_same_weights(drive, tmp_path):
    training = dataclasses.replace(FAST, steps=16, checkpoint_every=4, evaluate_every=4)

    def kill(step, loss):
        if step == 10:
            raise KeyboardInterrupt

    learn_depth(_recipe(drive[0], tmp_path / "whole", training))
    with pytest.raises(KeyboardInterrupt):
        learn_depth(_recipe(drive[0], tmp_path / "killed", training), report=kill)
    steps = []
    learn_depth(
        _recipe(drive[0], tmp_path / "killed", training, resume=True),
        report=lambda step, loss: steps.append(step),
    )
    assert steps[0] == 9  # what was done is not done again
    whole, killed = (load_file(tmp_path / n / "weights.safetensors") for n in ("whole", "killed"))
    assert whole.keys() == killed.keys()
    assert all(torch.equal(whole[name], killed[name]) for name in whole)


def test_a_training_ends_when_its_minutes_are_over(drive, tmp_path):
    training = dataclasses.replace(FAST, steps=100_000, minutes=0.01)
    result = learn_depth(_recipe(drive[0], tmp_path / "model", training)).result
    assert 0 < result.steps < 1000
    assert result.best_step > 0


def test_the_untrained_network_answers_with_flat_ground():
    mount = camera_mount(1.5, 0.0, 1.4, pitch=0.06)
    model = LearnedDepth(_spec(), DepthNet(SMALL), "untrained")
    picture = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    lens = LENS.resized(SIZE)
    values, sure = model.predict(picture, lens, mount)
    flat = ground_inverse_depth(lens, mount)
    np.testing.assert_allclose(values, np.maximum(flat, SMALL.sky / lens.fx), rtol=1e-4)
    np.testing.assert_allclose(sure, 1.0, atol=1e-5)


def test_the_same_picture_by_twice_the_focal_length_is_twice_as_far():
    torch.manual_seed(0)
    network = DepthNet(SMALL)
    for head in network.heads:
        torch.nn.init.normal_(head.weight, std=0.1)
    model = LearnedDepth(_spec(), network, "random")
    picture = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    lens = Lens("pinhole", 60.0, 60.0, 39.5, 23.5, SIZE)
    longer = dataclasses.replace(lens, fx=120.0, fy=120.0)
    mount = camera_mount(1.5, 0.0, 1.4)
    near, far = (model.predict(picture, x, mount)[0] for x in (lens, longer))
    np.testing.assert_allclose(far, near / 2, rtol=1e-3)
    assert near.std() > 0.01


def _spec():
    from vista_agents.depth.model import DepthModelSpec

    return DepthModelSpec(SMALL, SIZE, 60.0)


def test_flat_ground_teaches_nothing(drive):
    with Trace.open(drive[0]) as trace:
        bake_camera(trace, "front", geometry="ground")
        assert not DepthDrive(trace, "front", SMALL, True).supervised


def test_held_out_frames_are_not_trained_on_and_batches_repeat(drive):
    with Trace.open(drive[0]) as trace:
        view = DepthDrive(trace, "front", SMALL, False)
        train, held_out = view.split(0)
        assert not set(train) & set(held_out)
        assert sorted(train + held_out) == view.usable
        first, again = (DepthFrames([view], 0, 2, 64).batch(7, 2) for _ in range(2))
    for name, tensor in vars(first).items():
        assert torch.equal(tensor, getattr(again, name)), name


def _refused(capsys, command, *args):
    with pytest.raises(SystemExit) as stop:
        command([str(arg) for arg in args])
    said = capsys.readouterr().err.strip().splitlines()
    assert stop.value.code == 2
    assert len(said) == 1, said
    return said[0]


def test_the_command_prints_its_result_and_keeps_to_its_folder(drive, tmp_path, capsys):
    small = [
        *("--steps", "2", "--batch-size", "2", "--held-out", "2", "--threads", "1"),
        *("--network.pixels", "1024", "--network.channels", "4", "4", "4", "--device", "cpu"),
    ]
    out = tmp_path / "model"
    args = ["depth", "--traces", str(drive[0]), "--out", str(out), *small]
    train_main([*args, "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert (printed["model"], printed["steps"]) == (str(out), 2)
    assert printed["untrained_loss"] > 0
    assert "--resume or --overwrite" in _refused(capsys, train_main, *args)
    assert "another seed (0, not 1)" in _refused(
        capsys, train_main, *args, "--seed", "1", "--resume"
    )
    train_main([*args, "--seed", "1", "--overwrite"])
    assert "held-out frames" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--steps", "0"], "steps is 0"),
        (["--minutes", "-1"], "minutes is -1.0"),
        (["--photometric", "0", "--supervision", "0"], "nothing would be learned"),
        (["--network.pixels", "10"], "pixels is 10"),
        (["--device", "tpu"], "--device"),
        (["--camera", "rear"], "no camera 'rear'; cameras: front"),
    ],
)
def test_what_cannot_be_trained_gets_one_line(drive, tmp_path, capsys, extra, message):
    args = ["depth", "--traces", drive[0], "--out", tmp_path / "model", *extra]
    assert message in _refused(capsys, train_main, *args)
    assert not (tmp_path / "model").exists()


def test_several_traces_need_a_folder_and_one_that_stands_teaches_nothing(drive, tmp_path, capsys):
    both = ["depth", "--traces", drive[0], drive[0]]
    assert "out is missing" in _refused(capsys, train_main, *both)
    write_drive(tmp_path / "still", STREET, np.array([np.eye(4)] * 3), lens=LENS.resized(SIZE))
    still = ["depth", "--traces", tmp_path / "still", "--out", tmp_path / "model"]
    assert "never moves far enough" in _refused(capsys, train_main, *still)


def test_a_model_that_is_not_there_or_of_an_unknown_format_is_refused(drive, tmp_path, capsys):
    folder = drive[0]
    said = _refused(capsys, main, "bake", folder, "--geometry", "learned")
    assert "no depth model was learned from this trace; run 'vista-train depth" in said
    said = _refused(capsys, main, "bake", folder, "--geometry", f"learned:{tmp_path / 'no'}")
    assert "depth.json: not found" in said
    model = tmp_path / "model"
    learn_depth(_recipe(folder, model, dataclasses.replace(FAST, steps=1)))
    written = json.loads((model / "depth.json").read_text())
    changes = [
        ({"format": "vista-depth/9"}, "format is 'vista-depth/9'"),
        ({"loader": "mine"}, "loader 'mine' is unknown; known: vista-agents"),
        ({"network": {"name": "dpt"}}, "network is 'dpt'"),
        ({"focal": -1}, "size, focal or network is not usable"),
        ({"network": written["network"] | {"config": {"channels": [4, 4, 4]}}}, "weights '"),
    ]
    for change, message in changes:
        (model / "depth.json").write_text(json.dumps(written | change))
        assert message in _refused(capsys, main, "bake", folder, "--geometry", f"learned:{model}")
    (model / "depth.json").write_text(json.dumps(written))
    (model / "weights.safetensors").write_bytes(b"pickle")
    with pytest.raises(GeometryError, match="does not match its checksum"):
        load(model)
    with Trace.open(folder) as trace:
        assert GeometryStore.find(trace, "front") is None
