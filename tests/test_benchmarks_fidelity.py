"""The fidelity benchmark: its scores against analytic answers, and a small run of all of it."""

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.signal import convolve2d
from tiny import SPEED

from vista_sim.sensors.warp import View
from vista_sim.traces.tables import write_table
from vista_sim.traces.trace import Trace

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))

import scores  # noqa: E402
import worlds  # noqa: E402
from smoothness import smoothness  # noqa: E402
from strips import strip  # noqa: E402


def photograph(size=(60, 81), seed=0):
    rng = np.random.default_rng(seed)
    return cv2.GaussianBlur(rng.integers(0, 256, (*size, 3), np.uint8), (0, 0), 1.5) * 2 % 255


def gmsd_as_published(a, b):
    """The authors' Matlab code, line by line, with SciPy's convolution in place of conv2."""
    dx = np.array([[1.0, 0, -1]] * 3) / 3
    maps = []
    for image in (a, b):
        averaged = convolve2d(image.astype(float), np.full((2, 2), 0.25), mode="full")[1:, 1:]
        half = averaged[:-1:2, :-1:2] if image.shape[1] % 2 == 0 else averaged[:-1:2, :-2:2]
        x, y = (convolve2d(half, k, mode="same") for k in (dx, dx.T))
        maps.append(np.sqrt(x**2 + y**2))
    quality = (2 * maps[0] * maps[1] + 170) / (maps[0] ** 2 + maps[1] ** 2 + 170)
    return np.std(quality, ddof=1)


@pytest.mark.parametrize("size", [(60, 80), (60, 81)])
def test_gmsd_is_that_of_its_authors(size) -> None:
    truth = cv2.cvtColor(photograph(size), cv2.COLOR_RGB2GRAY)
    other = cv2.GaussianBlur(truth, (0, 0), 1.0)
    assert scores.gmsd(other, truth) == pytest.approx(gmsd_as_published(other, truth), rel=1e-9)
    assert scores.gmsd(truth, truth) == 0.0
    assert scores.gmsd(cv2.GaussianBlur(truth, (0, 0), 3.0), truth) > scores.gmsd(other, truth)


def test_psnr_and_ssim_of_even_pictures_are_as_computed_by_hand() -> None:
    a, b = np.full((40, 50), 100, np.uint8), np.full((40, 50), 110, np.uint8)
    found = scores.compare(a, b)
    assert found["psnr"] == pytest.approx(20 * math.log10(255 / 10))
    c1 = (0.01 * 255) ** 2
    assert found["ssim"] == pytest.approx((2 * 100 * 110 + c1) / (100**2 + 110**2 + c1))
    assert found["gmsd"] == pytest.approx(0.0, abs=0.05)  # the pictures' ends differ a little


def test_scores_of_a_mask_and_of_the_middle_leave_out_the_rest() -> None:
    truth = photograph()
    image, mask = truth.copy(), np.zeros(truth.shape[:2], bool)
    mask[20:40, 20:60] = True
    image[~mask] = 0
    image[mask] = np.where(truth[mask] > 127, truth[mask] - 5, truth[mask] + 5)
    assert scores.compare(image, truth, mask)["psnr"] == pytest.approx(20 * math.log10(255 / 5))
    assert scores.compare(image, truth)["psnr"] < 15
    middle = scores.compare(image, truth, margin=0.35)
    assert middle["psnr"] == pytest.approx(20 * math.log10(255 / 5))
    few = np.zeros_like(mask)
    few[0, :5] = True
    assert all(math.isnan(v) for v in scores.compare(image, truth, few).values())


def test_depth_scores_count_what_is_near_and_wrong() -> None:
    depth = np.full((20, 20), 10.0)
    depth[:5] = np.inf
    depth[5:10] = 80.0
    inverse = 1.0 / np.where(depth > 50, 1.0, depth)
    inverse[10:15] *= 1.2
    found = scores.depth_scores(inverse, depth)
    assert found["depth_error"] == pytest.approx(0.1)
    assert found["depth_off"] == pytest.approx(0.5)
    assert math.isnan(scores.depth_scores(inverse, depth, depth < 0)["depth_off"])


def test_shares_add_up_to_one_and_means_leave_out_what_is_unknown() -> None:
    source = np.repeat(np.array([[0, 0, 1, 2]], np.uint8), 40, axis=0)
    view = View(np.zeros((40, 4, 3), np.uint8), source, np.zeros((40, 4), np.float32))
    assert scores.shares(view) == {"main": 0.5, "other": 0.25, "holes": 0.25}
    assert scores.mean([{"a": 1.0}, {"a": math.nan}, {"a": 2.0}]) == {"a": 1.5}
    assert math.isnan(scores.mean([{"a": math.nan}])["a"])
    assert scores.mean([]) == {}


def test_views_that_jump_at_every_third_step_are_told_from_smooth_ones() -> None:
    def series(steps):
        levels = 20 + np.concatenate([[0], np.cumsum(steps)])
        return [np.full((20, 20, 3), v, np.uint8) for v in levels]

    truth = series([4] * 9)
    perfect, jumping = smoothness(truth, truth), smoothness(series([2, 2, 8] * 3), truth)
    assert perfect["change_ratio"] == perfect["true_change_ratio"] == pytest.approx(1.0)
    assert perfect["jerk"] == perfect["jerk_elsewhere"] == 0.0
    assert jumping["change_ratio"] == pytest.approx(8 / 2)
    assert jumping["jerk"] == pytest.approx((8 - 4) / 4)
    assert jumping["jerk_elsewhere"] == pytest.approx((4 - 2) / 4)
    assert jumping["psnr_at_frames"] > 90  # equal there
    between = np.mean([20 * math.log10(255 / 2), 20 * math.log10(255 / 4)])
    assert jumping["psnr_between"] == pytest.approx(between)


def test_moments_with_a_car_near_are_found(tiny_trace: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(tiny_trace, folder)
    trace = Trace.open(folder)
    assert worlds.busy_moments(trace, 2) == ()
    there = np.append(trace.pose(1.0)[:3, 3] + 14 * trace.pose(1.0)[:3, 0], [0, 0, 0, 1])
    t = trace.start_ns + (np.arange(31) * 10**8)
    columns = {"t_ns": t, "track_id": np.zeros(31, int), "category": np.array(["car"] * 31, object)}
    columns |= {"pose": np.tile(there, (31, 1)), "size": np.tile([4.0, 1.8, 1.5], (31, 1))}
    write_table(folder / "tracks.parquet", columns)
    moments = worlds.busy_moments(Trace.open(folder), 2)
    assert len(moments) == 2
    for moment in moments:  # it stands still: 14 m ahead at 1 s, at 8 m/s
        assert 6.0 < 14.0 - 1.2 - SPEED * (moment - 1.0) < 26.0
    assert len(worlds.even_moments(trace, 3)) == 3


def test_the_strip_shows_truth_view_difference_and_depth() -> None:
    truth = photograph((50, 60))
    found = strip(truth, truth, np.full((50, 60), 0.1))
    assert found.shape == (200, 60, 3)
    assert np.array_equal(found[20:50], truth[20:])
    assert np.array_equal(found[70:100], truth[20:])
    assert (found[120:150] == 128).all()


def test_a_trace_that_is_not_there_is_named_in_one_line() -> None:
    pytest.importorskip("pybullet")
    arguments = [str(BENCHMARKS / "fidelity.py"), "--quick", "--traces", "nowhere"]
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_quick_run_prints_every_table(tmp_path: Path) -> None:
    pytest.importorskip("pybullet")
    arguments = ["--quick", "--json", "--pictures", str(tmp_path / "pictures")]
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "fidelity.py"), *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    result = json.loads(done.stdout)
    for name in ("proving_ground", "moving_cars"):
        table = result[name]
        assert [row["offset"] for row in table["offsets"]] == ["+1.0 m", "-1.0 m +10 deg"]
        assert table["gain_at_1_m_db"] > 1.0
        for row in table["offsets"]:
            view = row["whole"]["view"]
            assert view["main"] + view["other"] + view["holes"] == pytest.approx(1.0, abs=0.001)
            assert view["depth_error"] < row["whole"]["flat"]["depth_error"]
    assert result["moving_cars"]["offsets"][0]["cars"]["view"]["psnr"] > 5
    assert result["smoothness"]["view"]["true_change_ratio"] == pytest.approx(1.0, abs=0.2)
    assert cv2.imread(str(tmp_path / "pictures" / "seed-101+1.0m.png")).shape == (400, 160, 3)
