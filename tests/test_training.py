"""Training on a made-up road: a bright bar whose place in the image says how to steer."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from vista_agents.imitation.augment import AugmentConfig, augment
from vista_agents.networks.pilotnet import PilotNetConfig
from vista_agents.policy import PolicySpec, load
from vista_agents.training import TrainingConfig, TrainingError, Views, train

from vista_sim.errors import PolicyError
from vista_sim.policies import CameraSpec

SIZE = (16, 32)
NETWORK = PilotNetConfig(
    size=SIZE, channels=(8, 8), kernels=(5, 3), strides=(2, 2), hidden=(16,), dropout=0.1
)
SPEC = PolicySpec(CameraSpec(SIZE, 1.0), NETWORK)
CONFIG = TrainingConfig(
    steps=60, batch_size=8, warmup=5, evaluate_every=10, checkpoint_every=20, threads=1
)
AUGMENT = AugmentConfig(shift=1)


class Bars:
    """Views with a bar at a place that is proportional to the curvature."""

    def __init__(self, broken_at=None, killed_at=None):
        self.broken_at, self.killed_at = broken_at, killed_at

    def batch(self, step, size):
        if step == self.killed_at:
            raise KeyboardInterrupt
        views = self._draw(np.random.default_rng([7, step]), size)
        if step == self.broken_at:
            views.curvature[0] = np.nan
        return views

    def validation(self):
        return self._draw(np.random.default_rng(1), 40)

    def _draw(self, rng, size):
        column = rng.integers(0, SIZE[1] - 4, size)
        camera = rng.integers(0, 60, (size, *SIZE, 3), dtype=np.uint8)
        for i, c in enumerate(column):
            camera[i, :, c : c + 4] = 250
        curvature = ((SIZE[1] - 4) / 2 - column) / SIZE[1] * 0.2
        return Views(camera, np.full(size, 8, np.float32), curvature.astype(np.float32))


def run(out, views=None, config=CONFIG, seed=0, **options):
    recipe = {"seed": seed, "training": dataclasses.asdict(config)}
    return train(SPEC, views or Bars(), config, AUGMENT, out, seed, recipe, **options)


def weights(out):
    return load_file(out / "weights.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_training_leaves_a_policy_that_steers_by_the_bar(tmp_path):
    losses = []
    config = dataclasses.replace(CONFIG, steps=300, learning_rate=3e-3)
    result = run(tmp_path, config=config, report=lambda step, loss: losses.append(loss))
    assert np.mean(losses[-10:]) < 0.3 * np.mean(losses[:10])
    assert result.validation_error < 0.02
    policy = load(tmp_path)
    views = Bars().validation()
    answers = [
        policy.act({"camera": image, "speed": np.array([8.0])}).curvature for image in views.camera
    ]
    assert np.corrcoef(answers, views.curvature)[0, 1] > 0.9
    assert list((tmp_path / "tensorboard").glob("events.*"))


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(tmp_path / name, seed=seed)
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


def test_a_killed_training_resumes_to_the_weights_of_one_that_was_not(tmp_path):
    run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", Bars(killed_at=47))
    checkpoint = json.loads((tmp_path / "killed/checkpoint/checkpoint.json").read_text())
    assert checkpoint["step"] == 40
    steps = []
    run(tmp_path / "killed", resume=True, report=lambda step, loss: steps.append(step))
    assert steps[0] == 41
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))
    files = [
        tmp_path / name / "checkpoint/step-0000060.safetensors" for name in ("whole", "killed")
    ]
    assert same(*map(load_file, files))


def test_resuming_a_finished_training_changes_nothing(tmp_path):
    first = run(tmp_path)
    before = weights(tmp_path)
    steps = []
    again = run(tmp_path, resume=True, report=lambda step, loss: steps.append(step))
    assert steps == []
    assert again == first
    assert same(before, weights(tmp_path))


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_best_policy(tmp_path):
    with pytest.raises(
        TrainingError, match="the loss is nan at step 36; the best policy"
    ) as caught:
        run(tmp_path, Bars(broken_at=35))
    assert "\n" not in str(caught.value)
    assert all(torch.isfinite(t).all() for t in weights(tmp_path).values())
    load(tmp_path)


def test_training_stops_early_when_the_held_out_road_gets_no_better(tmp_path):
    class Unlearnable(Bars):
        def validation(self):
            views = super().validation()
            return Views(views.camera, views.speed, -views.curvature)

    config = dataclasses.replace(CONFIG, steps=400, patience=3, learning_rate=3e-3)
    result = run(tmp_path, Unlearnable(), config)
    assert result.steps == result.best_step + 3 * config.evaluate_every
    assert result.steps < 400


@pytest.mark.parametrize("damage", ["truncate", "tamper", "remove", "json"])
def test_a_damaged_checkpoint_is_refused_in_one_line(tmp_path, damage):
    run(tmp_path)
    (path,) = (tmp_path / "checkpoint").glob("step-*.safetensors")
    data = path.read_bytes()
    if damage == "truncate":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "tamper":
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "remove":
        path.unlink()
    else:
        (tmp_path / "checkpoint/checkpoint.json").write_text('{"format": "vista-ch')
    with pytest.raises(PolicyError, match="checkpoint") as caught:
        run(tmp_path, resume=True)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_recipe_is_refused_naming_the_field(tmp_path):
    run(tmp_path)
    with pytest.raises(PolicyError, match=r"another batch_size \(8, not 4\)"):
        run(tmp_path, config=dataclasses.replace(CONFIG, batch_size=4), resume=True)


def test_one_checkpoint_is_kept_and_no_temporary_file(tmp_path):
    run(tmp_path)
    names = sorted(p.name for p in (tmp_path / "checkpoint").iterdir())
    assert names == ["checkpoint.json", "step-0000060.safetensors"]
    assert not list(tmp_path.rglob("*.tmp"))


def test_mirrored_images_come_with_mirrored_curvature():
    views = Bars().validation()
    only_mirror = AugmentConfig(
        mirror=True, contrast=0, brightness=0, colour=0, gray=0, noise=0, blur=0, shadow=0, shift=0
    )
    camera, target = augment(
        torch.from_numpy(views.camera),
        torch.from_numpy(views.curvature),
        only_mirror,
        torch.Generator().manual_seed(0),
    )
    same_sign = target == torch.from_numpy(views.curvature)
    assert 0.2 < same_sign.float().mean() < 0.8
    for image, original, kept in zip(camera, views.camera, same_sign, strict=True):
        expected = original if kept else original[:, ::-1]
        assert np.allclose(image.numpy(), expected, atol=0.01)


def test_augmentation_keeps_the_range_and_leaves_the_input_alone():
    camera = torch.from_numpy(Bars().validation().camera)
    before = camera.clone()
    generator = torch.Generator().manual_seed(0)
    changed, _ = augment(camera, torch.zeros(len(camera)), AugmentConfig(), generator)
    assert torch.equal(camera, before)
    assert changed.shape == camera.shape
    assert changed.min() >= 0
    assert changed.max() <= 255
    assert (changed - before).abs().mean() > 5


@pytest.mark.parametrize(
    ("field", "value"), [("steps", 0), ("learning_rate", -1.0), ("patience", -1), ("threads", 0)]
)
def test_a_training_that_cannot_be_is_refused(field, value):
    with pytest.raises(ValueError, match=field):
        TrainingConfig(**{field: value})
