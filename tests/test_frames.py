"""Frames of drives on disk, and the windows that are cut out of them."""

import dataclasses

import numpy as np
import pytest
import torch
from vista_agents.actions import Scales
from vista_agents.imitation.frames import Batch, Frames, Windows
from vista_agents.networks.heads import HeadConfig

from vista_sim.errors import PolicyError

SCALES = Scales(curvature_scale=0.05, acceleration_scale=2.0, waypoint_scale=10.0)


def frames(*lengths, first=0):
    """Episodes of these lengths; everything of frame i says that it is i."""
    count = sum(lengths)
    i = np.arange(first, first + count)
    number = i.astype(np.float32)
    return Frames(
        episode=np.repeat(np.arange(len(lengths)), lengths),
        speed=number,
        command=i % 4,
        curvature=0.01 * number,
        acceleration=0.1 * number,
        waypoints=np.stack([number, -number], axis=1)[:, None, :].repeat(2, axis=1),
        readings={
            "camera": np.broadcast_to((i % 256)[:, None, None, None], (count, 4, 6, 3)).astype(
                np.uint8
            ),
            "state": number[:, None].repeat(3, axis=1),
        },
    )


def windows(length, head=None, inputs=("camera", "speed")):
    return Windows(head or HeadConfig(), SCALES, inputs, length)


def seen(batch):
    """Which frames stand in each window."""
    return [row[mask].tolist() for row, mask in zip(batch.inputs["speed"], batch.mask, strict=True)]


def cut(source, length, *starts, **more):
    start = np.array(starts, dtype=np.int64)
    return windows(length, **more).cut([source], np.zeros_like(start), start)


def test_a_window_ends_where_its_episode_does():
    batch = cut(frames(5, 3, 1), 4, 0, 3, 5, 8)
    assert seen(batch) == [[0, 1, 2, 3], [3, 4], [5, 6, 7], [8]]
    assert batch.mask.tolist() == [
        [True, True, True, True],
        [True, True, False, False],
        [True, True, True, False],
        [True, False, False, False],
    ]


def test_everything_in_a_window_is_of_the_same_frames():
    names = ("camera", "speed", "command", "state")
    batch = cut(frames(6, 6), 3, 2, 6, inputs=names)
    assert tuple(batch.inputs) == names
    for row, first in ((0, 2), (1, 6)):
        number = torch.arange(first, first + 3)
        assert torch.equal(batch.inputs["speed"][row], number.float())
        assert torch.equal(batch.inputs["command"][row], number % 4)
        assert torch.equal(batch.inputs["camera"][row, :, 0, 0, 0], number.to(torch.uint8))
        assert torch.equal(batch.inputs["state"][row, :, 1], number.float())
        assert torch.allclose(batch.target[row, :, 0], 0.01 * number / 0.05)
    assert batch.inputs["camera"].dtype == torch.uint8
    assert batch.inputs["command"].dtype == torch.int64
    assert batch.inputs["camera"].shape == (2, 3, 4, 6, 3)


@pytest.mark.parametrize(
    ("head", "wanted"),
    [
        (HeadConfig("curvature"), [0.06 / 0.05]),
        (HeadConfig("curvature+acceleration"), [0.06 / 0.05, 0.6 / 2.0]),
        (HeadConfig("waypoints", waypoints=(3.0, 6.0)), [0.6, -0.6, 0.6, -0.6]),
    ],
)
def test_targets_are_in_units_of_the_scales(head, wanted):
    batch = cut(frames(10), 1, 6, head=head)
    assert batch.target[0, 0].tolist() == pytest.approx(wanted)


def test_windows_come_from_the_part_that_is_asked_for():
    parts = [frames(4), frames(4, first=100)]
    batch = windows(2).cut(parts, np.array([1, 0, 1]), np.array([0, 1, 3]))
    assert seen(batch) == [[100, 101], [1, 2], [103]]


@pytest.mark.parametrize("lengths", [(5,), (5, 3, 1), (4, 8, 2, 2)])
@pytest.mark.parametrize("length", [1, 3, 4, 20])
def test_all_frames_come_once_and_windows_keep_to_their_episodes(lengths, length):
    batch = windows(length).of_all(frames(*lengths))
    shown = seen(batch)
    assert [i for row in shown for i in row] == list(range(sum(lengths)))
    episode = np.repeat(np.arange(len(lengths)), lengths)
    assert all(len({episode[int(i)] for i in row}) == 1 for row in shown)
    assert len(shown) == sum(-(-n // length) for n in lengths)


def test_episodes_with_any_numbers_are_told_apart():
    source = dataclasses.replace(frames(2, 2), episode=np.array([7, 7, -1, -1]))
    assert seen(windows(4).of_all(source)) == [[0, 1], [2, 3]]


def test_some_sequences_of_a_batch_can_be_taken():
    batch = cut(frames(5, 3), 4, 0, 3, 5)
    taken = batch.take(slice(1, 3))
    assert isinstance(taken, Batch)
    assert len(taken) == 2
    assert seen(taken) == [[3, 4], [5, 6, 7]]
    assert torch.equal(taken.target, batch.target[1:])


def test_episodes_stay_apart_when_parts_are_joined():
    joined = Frames.joined([frames(2, 3), frames(2, first=5), frames(1, 1, first=7)])
    assert len(joined) == 9
    assert seen(windows(9).of_all(joined)) == [[0, 1], [2, 3, 4], [5, 6], [7], [8]]


def test_frames_are_read_back_as_they_were_written(tmp_path):
    source = frames(3, 2)
    source.save(tmp_path / "data" / "part.safetensors")
    found = Frames.load(tmp_path / "data" / "part.safetensors")
    assert found.readings.keys() == source.readings.keys()
    names = [f.name for f in dataclasses.fields(Frames) if f.name != "readings"]
    names += source.readings
    for name in names:
        written, read = source.column(name), found.column(name)
        assert np.array_equal(written, read)
        assert written.dtype == read.dtype
    assert found.nbytes == source.nbytes == sum(source.column(name).nbytes for name in names)
    assert [p.name for p in (tmp_path / "data").iterdir()] == ["part.safetensors"]


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_file_cut_short_is_reported_in_one_line(tmp_path, keep):
    path = tmp_path / "part.safetensors"
    frames(3).save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(PolicyError, match="is not a file of frames") as caught:
        Frames.load(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_that_is_missing_or_holds_something_else_is_reported(tmp_path):
    from safetensors.numpy import save_file

    with pytest.raises(PolicyError, match="nothing: not found"):
        Frames.load(tmp_path / "nothing")
    save_file({"weights": np.zeros(3)}, tmp_path / "other")
    with pytest.raises(PolicyError, match="is not a file of frames"):
        Frames.load(tmp_path / "other")
