"""Choosing sources, merging what they say, and the ground that is fitted to it."""

import math
import subprocess
import sys

import numpy as np
import pytest
from rig import FRONT, beside, write_rig
from textured import LENS, MOUNT, STREET, straight, write_drive

from vista_sim.errors import GeometryError
from vista_sim.geometry.bake import bake
from vista_sim.geometry.ground import ground_inverse_depth
from vista_sim.geometry.ground_fit import GroundFit, drift_report, smooth_over_time
from vista_sim.geometry.merge import merged
from vista_sim.geometry.models import onnx_hash
from vista_sim.geometry.settings import BakeSettings
from vista_sim.geometry.source import Estimate
from vista_sim.geometry.sources import GeometryChoice, kind_of
from vista_sim.geometry.store import GeometryStore
from vista_sim.traces.calibration import Lens
from vista_sim.traces.trace import Trace
from vista_sim.transforms import pose_from_euler


def _even(value, sure, shape=(6, 8)):
    return Estimate(np.full(shape, value, np.float32), np.full(shape, sure, np.float32))


@pytest.mark.parametrize(
    ("text", "names", "models"),
    [
        ("auto", ("auto",), {}),
        ("ground", ("ground",), {}),
        ("multiview+stereo", ("multiview", "stereo"), {}),
        ("onnx:nets/my+depth.onnx", ("onnx",), {"onnx": "nets/my+depth.onnx"}),
        ("auto+onnx:a:b.onnx", ("auto", "onnx"), {"onnx": "a:b.onnx"}),
        ("onnx:a.onnx+lidar", ("onnx", "lidar"), {"onnx": "a.onnx"}),
        ("auto+learned", ("auto", "learned"), {}),
        ("learned:nets/a+lidar", ("learned", "lidar"), {"learned": "nets/a"}),
    ],
)
def test_a_geometry_is_read_from_its_text(text, names, models):
    choice = GeometryChoice.parse(text)
    assert choice.names == names
    assert {name: str(path) for name, path in choice.models.items()} == models


@pytest.mark.parametrize(
    "text",
    [
        *("", "magic", "stereo+", "stereo+magic", "stereo+stereo", "onnx", "onnx:"),
        *("ground+stereo", "learned:", "lidar:top"),
    ],
)
def test_a_geometry_that_cannot_be_is_refused_with_its_text(text):
    with pytest.raises(GeometryError) as refusal:
        GeometryChoice.parse(text)
    assert repr(text) in str(refusal.value)


def test_a_model_is_known_by_its_content_not_its_name(tmp_path):
    # Field 1 of a model, its version: 3 and 4.
    for name, content in (
        ("a.onnx", b"\x08\x03"),
        ("b.onnx", b"\x08\x03"),
        ("c.onnx", b"\x08\x04"),
    ):
        (tmp_path / name).write_bytes(content)
    a, b, c = (onnx_hash(tmp_path / f"{name}.onnx") for name in "abc")
    assert a == b != c
    (tmp_path / "a.json").write_text("{}")
    assert onnx_hash(tmp_path / "a.onnx") != a
    with pytest.raises(GeometryError, match=r"none\.onnx"):
        onnx_hash(tmp_path / "none.onnx")
    settings = [
        BakeSettings((96, 160), ("onnx",), {"onnx": digest}, tmp_path / "x").to_json()
        for digest in (a, b, c)
    ]
    assert settings[0] == settings[1] != settings[2]


@pytest.mark.parametrize("name", ["learned", "onnx"])
def test_a_source_that_cannot_be_had_is_refused_by_name(tmp_path, name):
    write_drive(tmp_path / "drive", STREET, straight([0.0, 0.9]))
    (tmp_path / "model.onnx").write_bytes(b"no model")
    text = "learned" if name == "learned" else f"onnx:{tmp_path / 'model.onnx'}"
    with pytest.raises(GeometryError):
        bake(tmp_path / "drive", geometry=text)


def test_one_source_alone_is_left_as_it_is():
    alone = _even(0.1, 0.3)
    assert merged([alone]) is alone


def test_values_that_agree_are_averaged_by_confidence_and_back_each_other():
    value, sure, _ = merged([_even(0.100, 0.8), _even(0.104, 0.4)])
    np.testing.assert_allclose(value, (0.8 * 0.100 + 0.4 * 0.104) / 1.2, rtol=1e-5)
    np.testing.assert_allclose(sure, 1 - 0.2 * 0.6, rtol=1e-5)


def test_of_values_that_disagree_the_more_confident_wins_unmixed():
    value, sure, _ = merged([_even(0.05, 0.3), _even(0.2, 0.9)])
    np.testing.assert_array_equal(value, np.float32(0.2))
    assert (sure < 0.9).all()  # it was contradicted
    assert (sure > 0.7).all()


def test_two_that_agree_outvote_one_that_is_more_confident_than_each():
    value, *_ = merged([_even(0.2, 0.8), _even(0.05, 0.7), _even(0.052, 0.7)])
    np.testing.assert_allclose(value, 0.051, rtol=1e-4)


def test_trust_decides_between_values_and_leaves_the_confidence_of_the_winner():
    estimates = [_even(0.05, 0.95), _even(0.051, 0.9), _even(0.2, 0.9)]
    trust = [kind_of(name).trust for name in ("multiview", "stereo", "lidar")]
    assert merged(estimates)[0].max() < 0.06
    value, sure, _ = merged(estimates, trust)
    np.testing.assert_array_equal(value, np.float32(0.2))
    undisputed = merged([_even(0.2, 0.0), _even(0.2, 0.9)], trust[1:])[1]
    np.testing.assert_allclose(undisputed, 0.9, rtol=1e-5)
    assert (sure < undisputed).all()


def test_where_none_is_sure_the_first_counts_and_nothing_is_confident():
    value, sure, _ = merged([_even(0.02, 0.0), _even(0.3, 0.0)])
    np.testing.assert_array_equal(value, np.float32(0.02))
    assert not sure.any()


def test_merging_never_makes_a_depth_between_two_surfaces():
    rng = np.random.default_rng(1)
    u = np.arange(40)
    near, far = 0.25, 0.04
    sources = []
    for edge in (18, 20, 23):  # each sees the edge elsewhere
        value = np.repeat(np.where(u < edge, near, far)[None], 30, axis=0).astype(np.float32)
        value *= 1 + 0.01 * rng.standard_normal(value.shape).astype(np.float32)
        sources.append(Estimate(value, rng.uniform(0.2, 1.0, value.shape).astype(np.float32)))
    value, *_ = merged(sources)
    on_near, on_far = np.abs(value - near) < 0.05 * near, np.abs(value - far) < 0.05 * far
    assert (on_near | on_far).all()
    assert on_near[:, :17].all()
    assert on_far[:, 24:].all()


@pytest.mark.parametrize(
    "lens",
    [LENS, Lens("fisheye", 90.0, 90.0, 79.5, 47.5, (96, 160), (0.02, -0.01, 0.0, 0.0))],
    ids=["pinhole", "fisheye"],
)
def test_height_pitch_and_roll_are_found_behind_clutter(lens):
    rise, pitch, roll = 0.06, math.radians(-0.8), math.radians(1.1)
    moved = pose_from_euler(0, 0, rise, roll, pitch, 0) @ MOUNT
    seen = ground_inverse_depth(lens, moved)
    rng = np.random.default_rng(4)
    seen = seen * (1 + 0.01 * rng.standard_normal(seen.shape).astype(np.float32))
    seen[:, :50] = np.maximum(seen[:, :50], 0.12)  # a row of parked cars
    sure = np.ones(seen.shape, np.float32)
    sure[:, 140:] = 0
    seen[:, 140:] = 0.3
    found = GroundFit(lens, MOUNT).fit(seen, sure)
    np.testing.assert_allclose(found[0], moved[2, 3], atol=0.01)
    np.testing.assert_allclose(np.degrees(found[1:]), np.degrees([pitch, roll]), atol=0.1)
    again = GroundFit(lens, MOUNT).inverse_depth(found)
    np.testing.assert_allclose(
        again[60:, 60:130], ground_inverse_depth(lens, moved)[60:, 60:130], atol=0.004
    )


def test_what_shows_no_road_gives_no_ground():
    fit = GroundFit(LENS, MOUNT)
    wall = np.full(LENS.size, 0.25, np.float32)
    assert np.isnan(fit.fit(wall, np.ones(LENS.size, np.float32))).all()
    assert np.isnan(fit.fit(fit.inverse_depth(fit.calibrated), np.zeros(LENS.size))).all()


def test_outliers_and_gaps_are_bridged_over_time():
    true = np.stack([1.4 + 0.02 * np.sin(np.arange(40) / 6), np.zeros(40), np.zeros(40)], axis=1)
    fits = true.copy()
    fits[10] = [1.7, 0.06, -0.05]
    fits[20:24] = np.nan
    smooth = smooth_over_time(fits, np.array([1.4, 0, 0]))
    assert np.abs(smooth - true).max() < 0.01
    assert np.abs(smooth[10, 1:]).max() < 0.001
    none = smooth_over_time(np.full((3, 3), np.nan), np.array([1.4, 0, 0]))
    np.testing.assert_array_equal(none, [[1.4, 0, 0]] * 3)
    report = drift_report(smooth, fits, np.array([1.4, 0, 0]))
    assert report["frames_fitted"] == 36
    assert report["max_height_m"] == pytest.approx(0.02, abs=0.003)


def test_a_car_that_nods_is_seen_to_nod(tmp_path):
    """The road stays; the car pitches, as in braking, and its ego table says so."""
    pitch = np.radians(1.0) * np.sin(np.arange(11) / 2.2)
    nodding = straight(0.9 * np.arange(11)) @ np.array(
        [pose_from_euler(0, 0, 0, 0, p, 0) for p in pitch]
    )
    write_drive(tmp_path / "nod", STREET, nodding)
    bake(tmp_path / "nod")
    with Trace.open(tmp_path / "nod") as trace:
        store = GeometryStore.find(trace, "front")
    assert store.ground.shape == (11, 3)
    error = np.degrees(store.ground[:, 1] - pitch)
    assert np.abs(error).max() < 0.45
    assert np.corrcoef(store.ground[:, 1], pitch)[0, 1] > 0.95
    assert np.abs(np.degrees(store.ground[:, 2])).max() < 0.3
    assert store.report["ground"]["max_pitch_deg"] > 0.6
    assert np.abs(store.ground[:, 0] - 1.4).max() < 0.05


@pytest.mark.parametrize("share", [0.5, 0.97])
def test_a_killed_bake_of_several_sources_goes_on_to_the_same_bytes(tmp_path, share):
    for name in ("whole", "killed"):
        cameras = FRONT | {"right": beside(-0.5)}
        write_rig(tmp_path / name, STREET, cameras, frames=5, lidar="timed")
    code = (
        "import os, signal, sys\n"
        "from vista_sim.geometry.bake import bake\n"
        "def progress(done, total):\n"
        f"    if done > {share} * total: os.kill(os.getpid(), signal.SIGKILL)\n"
        "bake(sys.argv[1], 'front', workers=1, progress=progress)\n"
    )
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path / "killed")])
    assert run.returncode == -9
    bake(tmp_path / "killed", "front", workers=2)
    bake(tmp_path / "whole", "front", workers=1)
    one, other = (tmp_path / name / "geometry" / "front" for name in ("whole", "killed"))
    names = sorted(p.name for p in one.iterdir())
    assert "ground.npy" in names
    assert names == sorted(p.name for p in other.iterdir())
    for name in names:
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_what_one_source_finds_moving_moves_though_another_measures_it():
    moving = np.zeros((6, 8), dtype=bool)
    moving[2:4, 1:5] = True
    seen, measured = _even(0.1, 0.2)._replace(moving=moving), _even(0.3, 0.9)
    for estimates in ([seen, measured], [measured, seen]):
        out = merged(estimates, [0.6, 1.0])
        np.testing.assert_allclose(out.inverse_depth, 0.3, rtol=1e-6)
        np.testing.assert_array_equal(out.moving, moving)
    assert merged([measured, measured]).moving is None
