"""What is learned from: held-out road, balanced sampling, recorded and guided views."""

import numpy as np
import pytest
from conftest import ROAD_PIECES, ROAD_SPEED
from vista_agents.experts import PurePursuit
from vista_agents.imitation.behaviour_cloning import RecordedViews
from vista_agents.imitation.drives import open_drives, resolve_camera
from vista_agents.imitation.guided import GuidedConfig, GuidedViews
from vista_agents.imitation.road import SplitConfig, balanced_weights, places_along, split_road

from vista_sim.errors import TraceError
from vista_sim.policies import CameraSpec
from vista_sim.traces.trace import Trace

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


@pytest.fixture(scope="module")
def drives(road_trace):
    trace = Trace.open(road_trace)
    spec = resolve_camera([trace], CameraSpec((24, 48)), None)
    return open_drives([trace], spec, SplitConfig(), seed=0)


def recorded_curvature(s):
    """Of the fixture's road, by construction."""
    end = 0.0
    for length, curvature in ROAD_PIECES:
        end += length
        if s < end:
            return curvature
    return 0.0


def test_a_camera_without_field_of_view_gets_that_of_the_recording(road_trace):
    spec = resolve_camera([Trace.open(road_trace)], CameraSpec((24, 48)), None)
    assert spec.fov == pytest.approx(1.2)
    fixed = resolve_camera([Trace.open(road_trace)], CameraSpec((24, 48), fov=0.9), None)
    assert fixed.fov == 0.9


def test_a_section_in_seconds_is_the_only_road_used(road_trace):
    trace = Trace.open(road_trace)
    (drive,) = open_drives([trace], CameraSpec((24, 48), 1.2), SplitConfig(), 0, section="5:15")
    ends = [s for interval in drive.train + drive.validation for s in interval]
    assert min(ends) == pytest.approx(5 * ROAD_SPEED, abs=1.0)
    assert max(ends) == pytest.approx(15 * ROAD_SPEED, abs=1.0)


@pytest.mark.parametrize("section", ["7.2", "a:b", "5:5", "-1:4", "60:90"])
def test_a_wrong_section_is_reported_in_one_line(road_trace, section):
    with pytest.raises(TraceError, match="--section") as caught:
        open_drives(
            [Trace.open(road_trace)], CameraSpec((24, 48), 1.2), SplitConfig(), 0, None, section
        )
    assert "\n" not in str(caught.value)


def test_recorded_views_are_the_frames_with_the_curvature_driven(drives):
    views = RecordedViews(drives, seed=0)
    labels = views.validation().curvature
    batches = [views.batch(step, 64).curvature for step in range(10)]
    train = np.concatenate(batches)
    assert train.min() == pytest.approx(-1 / 45, rel=0.1)
    assert train.max() == pytest.approx(1 / 40, rel=0.1)
    # Balanced: bends to both sides and straights come about equally often.
    for part in (train > 0.015, np.abs(train) < 0.005, train < -0.015):
        assert 0.15 < part.mean() < 0.5
    images = {view.tobytes() for step in range(10) for view in views.batch(step, 64).camera}
    held_out = {view.tobytes() for view in views.validation().camera}
    assert len(labels) == len(held_out) > 10
    assert not images & held_out


def test_guided_views_on_the_path_are_the_recorded_ones_with_its_curvature(drives):
    on_path = GuidedConfig(lateral=0.0, heading=0.0, near=0.0, chunk=40, chunks=1, speed=0.0)
    views = GuidedViews(drives, on_path, PurePursuit(), seed=0)
    batch = views.batch(0, 200)
    assert batch.speed == pytest.approx(np.full(200, ROAD_SPEED), rel=0.01)
    expected = [recorded_curvature(s) for s in np.arange(0.0, 180.0, 0.5)]
    assert batch.curvature.min() == pytest.approx(min(expected), rel=0.1)
    assert batch.curvature.max() == pytest.approx(max(expected), rel=0.1)


def test_guided_views_off_the_path_steer_back_to_it(drives):
    beside = GuidedConfig(lateral=1.5, heading=0.0, near=0.0, chunk=100, chunks=1)
    batch = GuidedViews(drives, beside, PurePursuit(), seed=0).batch(0, 400)
    # 1.5 m to the side at 8 m/s: 2 y / L² of about 0.06 on top of the bends' 0.025.
    assert batch.curvature.max() > 0.05
    assert batch.curvature.min() < -0.05
    assert np.abs(batch.curvature).max() < 0.12


def test_a_batch_depends_on_seed_and_step_alone(drives):
    config = GuidedConfig(chunk=20, chunks=2, refresh_every=3)
    walked, jumped, other = (GuidedViews(drives, config, PurePursuit(), seed) for seed in (0, 0, 1))
    for step in range(8):
        walked.batch(step, 8)
    batches = [views.batch(8, 8) for views in (walked, jumped, other)]
    assert np.array_equal(batches[0].camera, batches[1].camera)
    assert np.array_equal(batches[0].curvature, batches[1].curvature)
    assert not np.array_equal(batches[0].camera, batches[2].camera)
    assert len({view.tobytes() for view in walked.batch(0, 30).camera}) > 10
