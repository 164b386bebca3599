"""Which road is learned from: the split into training and held-out road, and balanced sampling."""

import numpy as np
import pytest
from vista_agents.imitation.road import SplitConfig, balanced_weights, places_along, split_road

from vista_sim.errors import TraceError

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
