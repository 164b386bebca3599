"""What is learned from: held-out road, balanced sampling, recorded and guided views."""

import dataclasses

import numpy as np
import pytest
import torch
from conftest import ROAD_SPEED
from tiny import write_tiny_trace
from vista_agents.actions import Scales
from vista_agents.imitation.behaviour_cloning import RecordedSource, ShiftConfig, way_back
from vista_agents.imitation.dagger import DaggerConfig, DaggerSource
from vista_agents.imitation.drives import command_at, open_drives, resolve_camera
from vista_agents.imitation.frames import Frames
from vista_agents.imitation.guided import GuidedConfig, GuidedSource, Places, StartConfig
from vista_agents.imitation.road import SplitConfig, balanced_weights, places_along, split_road
from vista_agents.imitation.setup import Setup
from vista_agents.networks.cnn import PilotNetConfig
from vista_agents.networks.heads import HeadConfig
from vista_agents.networks.network import NetworkConfig
from vista_agents.networks.recurrent import RecurrentConfig
from vista_agents.networks.registry import build_network

from vista_sim.errors import TraceError
from vista_sim.policies import CameraSpec
from vista_sim.sensors.camera import Camera
from vista_sim.traces.trace import Trace

VIEW = (24, 48)
SMALL_CNN = NetworkConfig(
    PilotNetConfig(VIEW, (8, 8), (5, 3), (2, 2), features=16), head=HeadConfig(hidden=(8,))
)
SMALL_LSTM = dataclasses.replace(SMALL_CNN, memory=RecurrentConfig("lstm", 8))
ROADS = [
    [(0.0, 900.0)],
    [(12.0, 60.0), (75.0, 300.0), (410.0, 422.0)],
    [(0.0, 60.0)],
    [(5.0, 9.0)],
]


def inside(s, intervals):
    return np.any([(start <= s) & (s <= end) for start, end in intervals], axis=0)


@pytest.mark.parametrize("sections", ROADS)
@pytest.mark.parametrize("seed", range(5))
def test_held_out_road_keeps_its_margin_to_the_training_road(sections, seed):
    config = SplitConfig()
    train, held = split_road(sections, config, np.random.default_rng(seed))
    s = np.arange(0.0, 1000.0, 0.01)
    assert not (inside(s, train) & inside(s, held)).any()
    total = sum(b - a for a, b in sections)
    stretches = max(1, round(total * config.validation_share / config.block))
    margin = min(config.margin, total * config.validation_share / stretches / 5)
    for a, b in held:
        for c, d in train:
            one_section = any(start <= min(a, c) and max(b, d) <= end for start, end in sections)
            if one_section:
                assert c - b >= margin - 0.01 or a - d >= margin - 0.01
    # Nothing lies outside the sections, and nearly all road is used.
    used = inside(s, train) | inside(s, held)
    assert not (used & ~inside(s, sections)).any()
    assert sum(b - a for a, b in held) == pytest.approx(config.validation_share * total, rel=1e-6)
    assert sum(b - a for a, b in train) > 0.7 * total


def test_held_out_stretches_are_spread_over_the_road():
    _, held = split_road([(0.0, 900.0)], SplitConfig(), np.random.default_rng(0))
    middles = [(a + b) / 2 for a, b in held]
    assert len(held) >= 4
    assert max(np.diff([0.0, *middles, 900.0])) < 2 * 900 / len(held)


def test_the_split_depends_on_the_seed_alone():
    first, again, other = (
        split_road([(0.0, 900.0)], SplitConfig(), np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_a_trace_without_road_to_drive_is_reported():
    with pytest.raises(TraceError, match="no section of the trace can be driven"):
        split_road([], SplitConfig(), np.random.default_rng(0))


def test_balanced_sampling_draws_rare_bends_as_often_as_straights():
    curvature = np.concatenate([np.zeros(800), np.full(120, 0.04), np.full(80, -0.04)])
    weights = balanced_weights(curvature)
    assert weights.sum() == pytest.approx(1.0)
    share = [weights[:800].sum(), weights[800:920].sum(), weights[920:].sum()]
    assert share == pytest.approx([1 / 3] * 3)
    drawn = np.random.default_rng(0).choice(curvature, 3000, p=weights)
    assert abs(np.mean(drawn)) < 0.003


def test_balanced_sampling_does_not_repeat_a_single_place_endlessly():
    curvature = np.concatenate([np.zeros(995), np.full(5, 0.1)])
    weights = balanced_weights(curvature, limit=20.0)
    assert weights.max() == pytest.approx(20.0 * weights.min())


def test_places_lie_evenly_within_their_intervals():
    places = places_along([(10.0, 20.0), (30.0, 31.0)], step=0.5)
    assert len(places) == 22
    assert np.diff(places[:20]) == pytest.approx(np.full(19, 0.5))
    assert places.min() > 10.0
    assert places.max() < 31.0
    assert not ((places > 20.0) & (places < 30.0)).any()


def test_starts_are_shared_by_length_of_road_or_evenly_by_drive(road_trace):
    drives = open_drives([Trace.open(road_trace)] * 2, {}, SplitConfig(), 0)
    roads = [[(0.0, 20.0)], [(0.0, 40.0), (60.0, 140.0)]]
    shares = {}
    for balance in (0.0, 1.0):
        places = Places(drives, roads, balance)
        assert places.weights.sum() == pytest.approx(1.0)
        shares[balance] = places.weights[places.drive == 0].sum()
    assert shares[0.0] < 0.2
    assert shares[1.0] == pytest.approx(0.5)


def test_a_camera_without_field_of_view_gets_that_of_the_recording(road_trace):
    spec = resolve_camera([Trace.open(road_trace)], CameraSpec((24, 48)), None)
    assert spec.fov == pytest.approx(1.2)
    fixed = resolve_camera([Trace.open(road_trace)], CameraSpec((24, 48), fov=0.9), None)
    assert fixed.fov == 0.9


def test_a_section_in_seconds_is_the_only_road_used(road_trace):
    trace = Trace.open(road_trace)
    (drive,) = open_drives([trace], {}, SplitConfig(), 0, section="5:15")
    ends = [s for interval in drive.train + drive.validation for s in interval]
    assert min(ends) == pytest.approx(5 * ROAD_SPEED, abs=1.0)
    assert max(ends) == pytest.approx(15 * ROAD_SPEED, abs=1.0)


@pytest.mark.parametrize("section", ["7.2", "a:b", "5:5", "-1:4", "60:90"])
def test_a_wrong_section_is_reported_in_one_line(road_trace, section):
    with pytest.raises(TraceError, match="--section") as caught:
        open_drives([Trace.open(road_trace)], {}, SplitConfig(), 0, None, section)
    assert "\n" not in str(caught.value)


def setup_for(trace, network=SMALL_CNN, length=1, seed=0):
    camera = resolve_camera([Trace.open(trace)], CameraSpec(VIEW), None)
    return Setup(
        traces=(trace,),
        sensors={"camera": camera},
        network=network,
        scales=Scales(),
        recorded=None,
        section=None,
        split=SplitConfig(),
        seed=seed,
        expert="pure-pursuit",
        length=length,
    )


def curvature_of(batch):
    """1/m, of the valid frames."""
    return batch.target[batch.mask][:, 0].numpy() * Scales().curvature_scale


def guided(trace, folder, *, lateral=1.5, heading=0.0, near=0.0, length=1, seed=0, **more):
    settings = {"frames": 64, "rounds": 1, "cars": 8} | more
    config = GuidedConfig(StartConfig(lateral, heading, near), **settings)
    network = SMALL_CNN if length == 1 else SMALL_LSTM
    return GuidedSource(setup_for(trace, network, length, seed), config, folder, background=False)


def test_recorded_views_are_the_frames_with_the_curvature_driven(road_trace):
    source = RecordedSource(setup_for(road_trace), ShiftConfig())
    batches = [source.batch(step, 64) for step in range(10)]
    train = np.concatenate([curvature_of(batch) for batch in batches])
    assert train.min() == pytest.approx(-1 / 45, rel=0.1)
    assert train.max() == pytest.approx(1 / 40, rel=0.1)
    # Balanced: bends to both sides and straights come about equally often.
    for part in (train > 0.015, np.abs(train) < 0.005, train < -0.015):
        assert 0.15 < part.mean() < 0.5
    images = {x.numpy().tobytes() for batch in batches for x in batch.inputs["camera"]}
    held_out = {x.numpy().tobytes() for x in source.validation().inputs["camera"]}
    assert len(source.validation()) == len(held_out) > 10
    assert not images & held_out
    trace = Trace.open(road_trace)
    camera = Camera(trace, "front", VIEW)
    recorded = {camera.render(t)[0].tobytes() for t in trace.cameras["front"].t.tolist()}
    assert images <= recorded


def test_a_shifted_view_is_labelled_with_the_way_back(road_trace):
    setup = setup_for(road_trace)
    plain = RecordedSource(setup, ShiftConfig()).validation()
    shifted = RecordedSource(setup, ShiftConfig((1.0,), time=2.0)).validation()
    assert len(shifted) == 2 * len(plain)
    extra = np.sort(curvature_of(shifted))
    # At 8 m/s two seconds are 16 m: a circle through a point 1 m to the side there, 2 y / L².
    back = 2 * 1.0 / (16.0**2 + 1.0**2)
    expected = np.sort(np.concatenate([curvature_of(plain), curvature_of(plain) - back]))
    assert extra == pytest.approx(expected, abs=3e-4)


@pytest.mark.parametrize(("lateral", "heading"), [(1.0, 0.0), (0.0, 0.2), (-1.5, 0.1), (1.0, -0.3)])
def test_the_way_back_ends_on_the_path(lateral, heading):
    ahead = 12.0
    curvature = way_back(lateral, heading, ahead)
    # Along the arc: its centre is 1 / curvature to the left of the car.
    centre = np.array([-np.sin(heading), lateral * curvature + np.cos(heading)]) / curvature
    away = np.hypot(*(np.array([ahead, 0.0]) - centre))
    assert away == pytest.approx(1 / abs(curvature), rel=1e-9)


def test_views_are_turned_at_every_shift(road_trace):
    shift = ShiftConfig((1.0, -1.0), heading=(0.1, -0.1), time=2.0)
    setup = setup_for(road_trace)
    plain = RecordedSource(setup, ShiftConfig()).validation()
    turned = RecordedSource(setup, shift).validation()
    assert len(turned) == 9 * len(plain)
    # The strongest label: 1 m to the left and turned further left, 16 m from the path's point.
    strongest = curvature_of(plain).min() - 2 * (np.sin(0.1) * 16 + np.cos(0.1)) / (16**2 + 1)
    assert curvature_of(turned).min() == pytest.approx(strongest, abs=3e-4)


def test_windows_of_recorded_frames_are_what_follows_each_other(road_trace):
    network = dataclasses.replace(SMALL_LSTM, head=HeadConfig("waypoints", hidden=(8,)))
    source = RecordedSource(setup_for(road_trace, network, 6), ShiftConfig())
    batch = source.batch(0, 16)
    assert batch.inputs["camera"].shape == (16, 6, *VIEW, 3)
    assert batch.mask.all()
    # The way ahead, 2 m on: where an arc of the road's curvature leads from the vehicle.
    first = batch.target[..., :2].reshape(-1, 2).numpy() * Scales().waypoint_scale
    assert first[:, 0] == pytest.approx(np.full(len(first), 2.0), abs=0.02)
    assert np.abs(first[:, 1]).max() == pytest.approx(2.0**2 / 2 / 40, rel=0.2)


def test_guided_views_on_the_path_have_the_curvature_of_the_road(road_trace, tmp_path):
    source = guided(road_trace, tmp_path, lateral=0.0, frames=256, speed=0.0)
    batch = source.batch(0, 200)
    speed = batch.inputs["speed"][batch.mask].numpy()
    assert speed == pytest.approx(np.full(200, ROAD_SPEED), rel=0.01)
    curvature = curvature_of(batch)
    assert curvature.min() == pytest.approx(-1 / 45, rel=0.1)
    assert curvature.max() == pytest.approx(1 / 40, rel=0.1)


def test_guided_views_off_the_path_steer_back_to_it(road_trace, tmp_path):
    curvature = curvature_of(guided(road_trace, tmp_path, frames=256).batch(0, 400))
    # 1.5 m to the side at 8 m/s: 2 y / L² of about 0.06 on top of the bends' 0.025.
    assert curvature.max() > 0.05
    assert curvature.min() < -0.05
    assert np.abs(curvature).max() < 0.12


def test_cameras_that_are_off_their_mount_see_another_road_with_the_same_way_back(
    road_trace, tmp_path
):
    plain = guided(road_trace, tmp_path / "a").batch(0, 64)
    turned = [guided(road_trace, tmp_path / name, mount_turn=0.02).batch(0, 64) for name in "bc"]
    assert torch.equal(turned[0].inputs["camera"], turned[1].inputs["camera"])
    views = [x.inputs["camera"].float() for x in (plain, turned[0])]
    moved = (views[0] - views[1]).abs().mean(dim=(1, 2, 3, 4))
    assert (moved > 1.0).float().mean() > 0.9
    assert torch.equal(turned[0].target, plain.target)  # the car is where it is
    with pytest.raises(ValueError, match="mount_turn 1 rad; they must be from 0 to 1 m"):
        GuidedConfig(mount_turn=1)


def test_along_a_guided_sequence_the_expert_brings_the_car_back(road_trace, tmp_path):
    source = guided(road_trace, tmp_path, lateral=1.2, length=24, frames=8 * 24 * 4, noise=0.0)
    batch = source.batch(0, 64)
    whole = batch.mask.all(dim=1)
    assert whole.any()
    size = (batch.target[whole][..., 0].abs() * Scales().curvature_scale).numpy()
    # 2.4 s of driving close most of the lateral error: what is left to steer is the road's bend.
    assert size[:, 0].max() > 0.04
    assert size[:, -1].max() < 0.04
    assert not torch.equal(batch.inputs["camera"][whole][:, 0], batch.inputs["camera"][whole][:, 9])


def test_a_batch_depends_on_seed_and_step_alone(road_trace, tmp_path):
    settings = {"frames": 16, "rounds": 2, "refresh_every": 3}
    walked, jumped, other = (
        guided(road_trace, tmp_path / str(i), seed=seed, **settings)
        for i, seed in enumerate((0, 0, 1))
    )
    network = build_network(SMALL_CNN)
    for step in range(8):
        walked.prepare(step, network)
        walked.batch(step, 8)
    batches = [source.batch(8, 8) for source in (walked, jumped, other)]
    assert torch.equal(batches[0].inputs["camera"], batches[1].inputs["camera"])
    assert torch.equal(batches[0].target, batches[1].target)
    assert not torch.equal(batches[0].inputs["camera"], batches[2].inputs["camera"])


def test_rounds_that_are_no_longer_drawn_from_leave_the_disk(road_trace, tmp_path):
    source = guided(road_trace, tmp_path, frames=16, rounds=2, refresh_every=3)
    network = build_network(SMALL_CNN)
    for step in range(13):
        source.prepare(step, network)
        source.batch(step, 2)
    assert len(list(tmp_path.glob("round-*.safetensors"))) == 2


def dagger(trace, folder, background=False, **more):
    settings = {"frames": 64, "cars": 8, "every": 4} | more
    setup = setup_for(trace, SMALL_LSTM, 8)
    return DaggerSource(setup, DaggerConfig(**settings), folder, background)


def steered_off(network, curvature):
    """The network, made to answer one curvature (1/m) everywhere."""
    torch.nn.init.zeros_(network.head.output.weight)
    torch.nn.init.constant_(network.head.output.bias, curvature / Scales().curvature_scale)
    return network


def test_dagger_asks_the_expert_what_is_right_where_the_policy_went(road_trace, tmp_path):
    on_path = StartConfig(lateral=0.0, heading=0.0, near=0.0)
    source = dagger(road_trace, tmp_path, starts=on_path, frames=8 * 24, beta=0.0)
    network = steered_off(build_network(SMALL_LSTM), 0.05)
    for step in range(5):
        source.prepare(step, network)
        source.batch(step, 2)
    by_expert = Frames.load(tmp_path / "round-00001.safetensors")
    by_policy = Frames.load(tmp_path / "round-00002.safetensors")
    # The expert keeps to the road's own bends; the policy leaves it to the left all the time,
    # and is told to steer right.
    assert np.abs(by_expert.curvature).max() < 1.3 / 40
    assert by_policy.curvature.min() < -0.05
    assert np.mean(by_policy.curvature) < np.mean(by_expert.curvature) - 0.02


def test_dagger_keeps_what_was_gathered_before_within_its_bound(road_trace, tmp_path):
    source = dagger(road_trace, tmp_path / "all")
    small = dagger(road_trace, tmp_path / "few", frames=8 * 32, keep_mib=1)
    network = build_network(SMALL_LSTM)
    for step in range(17):
        for one in (source, small):
            one.prepare(step, network)
            one.batch(step, 2)
    assert len(list((tmp_path / "all").glob("round-*"))) == 5
    # A round takes 8 x 32 frames of 24 x 48 x 3 bytes: one mebibyte holds one.
    assert [p.name for p in (tmp_path / "few").glob("round-*")] == ["round-00005.safetensors"]


def test_data_gathered_in_another_process_are_the_same(road_trace, tmp_path):
    network = steered_off(build_network(SMALL_LSTM), 0.02)
    batches = []
    for background in (False, True):
        source = dagger(road_trace, tmp_path / str(background), background)
        for step in range(5):
            source.prepare(step, network)
            last = source.batch(step, 16)
        source.close()
        batches.append(last)
    for name in ("camera", "speed"):
        assert torch.equal(batches[0].inputs[name], batches[1].inputs[name])
    assert torch.equal(batches[0].target, batches[1].target)


def test_navigation_commands_come_from_the_labels_of_the_trace(tmp_path):
    labelled = write_tiny_trace(tmp_path / "x", labels=[(0.0, 1.5, "command", "left")])
    trace = Trace.open(labelled)
    assert command_at(trace, 0.5) == 1
    assert command_at(trace, 2.0) == 0
    wrong = write_tiny_trace(tmp_path / "y", labels=[(0.0, 1.5, "command", "up")])
    with pytest.raises(TraceError, match=r"'up' at 0\.5 s; known commands: follow, left"):
        command_at(Trace.open(wrong), 0.5)
