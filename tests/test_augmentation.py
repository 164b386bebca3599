"""Changes of training sequences, on made-up images and labels."""

import dataclasses

import numpy as np
import pytest
import torch
from made_up_road import CNN, SIZE, Bars, spec_of
from vista_agents.imitation.frames import Batch
from vista_agents.networks.heads import HeadConfig
from vista_agents.networks.mlp import StateMLPConfig
from vista_agents.networks.network import COMMANDS, NetworkConfig
from vista_agents.policy import PolicySpec
from vista_agents.training import AugmentConfig, TrainingError
from vista_agents.training.augment import Augmentation

from vista_sim.policies import CameraSpec
from vista_sim.sensors.spec import StateSpec
from vista_sim.traces.calibration import Lens
from vista_sim.transforms import camera_mount

CPU = torch.device("cpu")
OFF = AugmentConfig(contrast=0, brightness=0, colour=0, gray=0, noise=0, blur=0, shadow=0, shift=0)
MIRROR = dataclasses.replace(OFF, mirror=True)
EVERY = AugmentConfig(mirror=True, gray=1.0, blur=0.5, shadow=1.0, texture=0.5)


def changed(batch, config, spec=None, rows=slice(None), seed=0):
    chance = torch.Generator().manual_seed(seed)
    return Augmentation(config, spec or spec_of(CNN))(batch, rows, CPU, chance)


def still(count=24, length=5):
    """Sequences of one picture each, that stays."""
    rng = np.random.default_rng(0)
    picture = rng.integers(60, 190, (count, 1, *SIZE, 3), dtype=np.uint8)
    camera = torch.from_numpy(np.repeat(picture, length, axis=1))
    return Batch(
        {"camera": camera, "speed": torch.full((count, length), 8.0)},
        torch.ones(count, length, 1),
        torch.ones(count, length, dtype=torch.bool),
    )


def which_are_mirrored(batch, after):
    kept = (after.target == batch.target).flatten(1).all(dim=1)
    assert 0.2 < kept.float().mean() < 0.8
    return ~kept


def test_a_change_is_the_same_for_all_frames_of_a_sequence_but_not_for_all_sequences():
    batch = still()
    image = changed(batch, dataclasses.replace(EVERY, noise=0)).inputs["camera"]
    torch.testing.assert_close(image, image[:, :1].expand_as(image), atol=1e-3, rtol=0)
    brightness = image.mean(dim=(1, 2, 3, 4)) - batch.inputs["camera"].float().mean()
    assert brightness.std() > 10


def test_pixel_noise_differs_from_frame_to_frame_at_one_level_a_sequence():
    batch = still(count=40)
    noise = changed(batch, dataclasses.replace(OFF, noise=6.0)).inputs["camera"]
    noise = noise - batch.inputs["camera"]
    levels = noise.std(dim=(2, 3, 4))  # (n, T)
    assert levels.max() < 7
    assert levels[:, 0].std() > 1
    spread = (levels.std(dim=1) / levels.mean(dim=1)).mean()
    assert spread < 0.1
    loud = noise[levels.mean(dim=1) > 2]
    first, second = loud[:, 0].flatten(1), loud[:, 1].flatten(1)
    assert abs(np.corrcoef(first.flatten(), second.flatten())[0, 1]) < 0.05


def test_another_texture_keeps_shapes_and_the_spread_of_light():
    batch = still(count=12, length=2)
    height, width = SIZE
    camera = batch.inputs["camera"]
    camera[:] = 90
    camera[:, :, :, width // 2 :] = torch.tensor([120, 150, 105], dtype=torch.uint8)
    image = changed(batch, dataclasses.replace(OFF, texture=1.0)).inputs["camera"]
    for half in (image[..., : width // 2 - 2, :], image[..., width // 2 + 2 :, :]):
        assert (half - half[:, :, :1, :1]).abs().max() < 1e-3  # a plain surface stays plain
    change = (image - camera)[:, 0, height // 2, [1, -2]].flatten(1)
    assert torch.pdist(change).min() > 1  # and looks otherwise in each sequence
    assert (image.mean(dim=(1, 2, 3, 4)) - camera.float().mean()).abs().max() < 10


def test_rows_are_changed_alike_whichever_are_asked_for():
    batch = Bars(length=3).batch(0, 10)
    whole = changed(batch, EVERY)
    parts = [changed(batch, EVERY, rows=rows) for rows in (slice(0, 3), slice(3, 10))]
    assert torch.equal(whole.inputs["camera"], torch.cat([p.inputs["camera"] for p in parts]))
    assert torch.equal(whole.target, torch.cat([p.target for p in parts]))
    other = changed(batch, EVERY, seed=1)
    assert not torch.equal(whole.inputs["camera"], other.inputs["camera"])


def test_augmentation_keeps_the_range_and_leaves_the_input_alone():
    for kind in (torch.uint8, torch.float32):
        batch = still()
        batch.inputs["camera"] = batch.inputs["camera"].to(kind)
        before = {name: x.clone() for name, x in (*batch.inputs.items(), ("y", batch.target))}
        image = changed(batch, EVERY).inputs["camera"]
        for name, x in (*batch.inputs.items(), ("y", batch.target)):
            assert torch.equal(before[name], x)
        assert image.shape == before["camera"].shape
        assert image.min() >= 0
        assert image.max() <= 255
        assert (image - before["camera"].float()).abs().mean() > 5


def test_switched_off_nothing_is_changed():
    batch = Bars(length=3).batch(0, 6)
    for config in (OFF, AugmentConfig(augment=False, mirror=True)):
        after = changed(batch, config)
        torch.testing.assert_close(
            after.inputs["camera"].float(), batch.inputs["camera"].float(), atol=1e-3, rtol=0
        )
        assert torch.equal(after.target, batch.target)


def test_mirrored_images_come_with_mirrored_curvature():
    batch = Bars(length=3).batch(0, 20)
    batch.target[:] += 0.01  # none is straight ahead
    after = changed(batch, MIRROR)
    mirrored = which_are_mirrored(batch, after)
    assert torch.equal(after.target[mirrored], -batch.target[mirrored])
    for i in range(20):
        original = batch.inputs["camera"][i].numpy()
        expected = original[:, :, ::-1] if mirrored[i] else original
        assert np.allclose(after.inputs["camera"][i].numpy(), expected, atol=0.01)


def test_a_mirrored_bar_is_where_its_mirrored_label_says():
    batch = Bars().batch(0, 30)
    after = changed(batch, MIRROR)
    bright = (after.inputs["camera"][:, 0].mean(dim=(1, 3)) > 200).float()
    column = (bright * torch.arange(SIZE[1])).sum(dim=1) / bright.sum(dim=1) - 1.5
    expected = ((SIZE[1] - 4) / 2 - column) / SIZE[1] * 0.2 / 0.05
    torch.testing.assert_close(after.target[:, 0, 0], expected, atol=1e-4, rtol=0)


def test_mirroring_swaps_left_and_right_commands_and_the_sides_of_waypoints():
    network = dataclasses.replace(
        CNN, command="one-hot", head=HeadConfig("waypoints", waypoints=(2.0, 4.0))
    )
    batch = still(count=20, length=4)
    batch.inputs["command"] = torch.arange(4).repeat(20, 1)
    points = torch.tensor([0.2, 0.01, 0.4, 0.05])
    batch = Batch(batch.inputs, points.expand(20, 4, 4).clone(), batch.mask)
    after = changed(batch, MIRROR, spec_of(network))
    mirrored = which_are_mirrored(batch, after)
    assert torch.equal(after.target[mirrored][0, 0], torch.tensor([0.2, -0.01, 0.4, -0.05]))
    names = [[COMMANDS[c] for c in row] for row in after.inputs["command"].tolist()]
    for i in range(20):
        swapped = ["follow", "right", "left", "straight"]
        assert names[i] == (swapped if mirrored[i] else list(COMMANDS))


def test_a_mirrored_acceleration_stays():
    network = dataclasses.replace(CNN, head=HeadConfig("curvature+acceleration"))
    batch = still(count=20, length=1)
    batch = Batch(batch.inputs, torch.tensor([0.5, -2.0]).expand(20, 1, 2).clone(), batch.mask)
    after = changed(batch, MIRROR, spec_of(network))
    mirrored = which_are_mirrored(batch, after)
    assert torch.equal(after.target[mirrored][0, 0], torch.tensor([-0.5, -2.0]))


def test_a_mirrored_state_vector_changes_sides_but_not_speed():
    spec = PolicySpec({"state": StateSpec()}, NetworkConfig(StateMLPConfig()))
    state = torch.tensor([0.3, 0.1, 7.0, 0.02, 0.01, 0.02, 0.03, 0.04]).expand(20, 2, 8).clone()
    batch = Batch(
        {"state": state, "speed": torch.full((20, 2), 7.0)},
        torch.ones(20, 2, 1),
        torch.ones(20, 2, dtype=torch.bool),
    )
    after = changed(batch, MIRROR, spec)
    mirrored = which_are_mirrored(batch, after)
    expected = torch.tensor([-0.3, -0.1, 7.0, -0.02, -0.01, -0.02, -0.03, -0.04])
    assert torch.equal(after.inputs["state"][mirrored][0, 0], expected)
    assert torch.equal(after.inputs["state"][~mirrored], state[~mirrored])
    assert torch.equal(after.inputs["speed"], batch.inputs["speed"])


def test_mirroring_is_refused_where_the_mirror_image_could_not_be_met():
    aside = camera_mount(1.2, 0.3, 1.5)
    turned = camera_mount(1.2, 0.0, 1.5, yaw=0.2)
    lens = Lens("pinhole", 30.0, 30.0, 10.0, 8.0, SIZE)
    for camera in (
        CameraSpec(SIZE, 1.0, aside),
        CameraSpec(SIZE, 1.0, turned),
        CameraSpec(SIZE, lens=lens),
    ):
        with pytest.raises(TrainingError, match=r"mirror: the camera 'camera' does not sit"):
            Augmentation(MIRROR, PolicySpec({"camera": camera}, CNN))
        Augmentation(OFF, PolicySpec({"camera": camera}, CNN))
    down = camera_mount(1.2, 0.0, 1.5, pitch=0.3)
    Augmentation(MIRROR, PolicySpec({"camera": CameraSpec(SIZE, 1.0, down)}, CNN))


@pytest.mark.parametrize(("field", "value"), [("shift", -1), ("blur", 1.5), ("noise", -1.0)])
def test_changes_that_cannot_be_are_refused(field, value):
    with pytest.raises(ValueError, match=field):
        AugmentConfig(**{field: value})
