"""Scale and shift of a model's inverse depth, found among outliers and steady over time."""

import numpy as np
import pytest

from vista_sim.geometry.alignment import fit_scale_and_shift, smoothed

SIGMA = 0.002


def _points(count=300, scale=0.02, shift=-0.1, outliers=0.3, seed=0):
    """Values and a noisy reference, part of which is anything at all."""
    rng = np.random.default_rng(seed)
    true = rng.uniform(0.01, 0.3, count)
    reference = true + SIGMA * rng.standard_normal(count)
    wrong = rng.random(count) < outliers
    reference[wrong] = rng.uniform(0, 0.4, wrong.sum())
    return (true - shift) / scale, reference, np.full(count, SIGMA)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("scale", "shift"), [(0.02, -0.1), (3.0, 0.05), (1e-4, -0.4)])
def test_scale_and_shift_are_recovered_with_a_third_of_outliers(seed, scale, shift):
    fit = fit_scale_and_shift(*_points(scale=scale, shift=shift, seed=seed))
    assert fit.scale == pytest.approx(scale, rel=0.01)
    for true in (0.0, 0.1, 0.3):
        value = (true - shift) / scale
        assert fit.scale * value + fit.shift == pytest.approx(true, abs=0.001)
    assert fit.inliers == pytest.approx(0.72, abs=0.08)


def test_outliers_that_agree_with_each_other_do_not_win():
    values, reference, sigma = _points(outliers=0.0)
    reference[:90] = 0.6 * reference[:90] + 0.1  # a wall that moves, say
    fit = fit_scale_and_shift(values, reference, sigma)
    assert fit.scale == pytest.approx(0.02, rel=0.015)


def test_a_metric_model_gets_a_scale_alone():
    values, reference, sigma = _points(scale=0.8, shift=0.0)
    fit = fit_scale_and_shift(values, reference, sigma, shift=False)
    assert (fit.scale, fit.shift) == (pytest.approx(0.8, rel=0.01), 0.0)


def test_points_beside_an_edge_count_little():
    values, reference, sigma = _points(outliers=0.0)
    vague = np.zeros(len(values))
    vague[:140] = 8.0
    values[:140] += 8.0  # of the thing beside, always nearer
    assert fit_scale_and_shift(values, reference, sigma, vague).shift == pytest.approx(
        -0.1, abs=0.004
    )


@pytest.mark.parametrize(
    ("values", "reference"),
    [
        (np.linspace(0, 1, 8), np.linspace(0, 1, 8)),  # too few
        (np.full(100, 3.0), np.linspace(0.01, 0.3, 100)),  # no differences
        (np.linspace(0, 1, 100), np.linspace(0.3, 0.01, 100)),  # the wrong way round
        (np.random.default_rng(0).random(200), 0.3 * np.random.default_rng(1).random(200)),
    ],
)
def test_values_that_do_not_follow_the_reference_get_no_fit(values, reference):
    assert fit_scale_and_shift(values, reference, np.full(len(values), 1e-3)) is None


def test_smoothing_calms_noise_and_keeps_a_slow_change():
    rng = np.random.default_rng(0)
    times = np.arange(100) / 10
    true = np.exp(0.3 * np.sin(times))
    scales = true * np.exp(0.03 * rng.standard_normal(100))
    weights = np.full(100, 50.0)
    found = [smoothed(scales, 0 * times, weights, times, i, 0.3)[0] for i in range(100)]
    assert np.std(np.log(found / true)) < 0.6 * np.std(np.log(scales / true))
    flicker = np.std(np.diff(np.log(scales / true)))
    assert np.std(np.diff(np.log(found / true))) < 0.4 * flicker


def test_a_frame_without_a_fit_takes_the_nearest():
    times = np.arange(50) / 10
    weights = np.zeros(50)
    weights[[0, 49]] = 100.0
    scales = np.where(np.arange(50) < 25, 2.0, 4.0)
    shifts = np.where(np.arange(50) < 25, 0.1, 0.2)
    scale, shift = smoothed(scales, shifts, weights, times, 3, 0.3)
    assert scale == pytest.approx(2.0, rel=0.02)
    assert shift == pytest.approx(0.1, rel=0.02)
    assert smoothed(scales, shifts, 0 * weights, times, 3, 0.3) is None
