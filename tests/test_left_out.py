"""Benchmarks that leave out what they judge by: frames, and sweeps of a lidar."""

import json
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from textured import LENS, MOUNT, STREET, draw, straight, wall, write_drive

from vista_sim.errors import VistaError
from vista_sim.traces.calibration import LidarCalibration
from vista_sim.traces.tables import write_table
from vista_sim.traces.trace import Trace

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))

import left_out  # noqa: E402
import lidar_depth  # noqa: E402
from thinned import thinned  # noqa: E402

COUNT = 14
SCENE = (*STREET, wall(40))
SWEEPS = range(2, 11)  # frames at which the lidar turns


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    """A street at 8 m/s, with a lidar in the place of the camera that hits each sixth pixel."""
    folder = tmp_path_factory.mktemp("left-out") / "drive"
    poses = straight(0.8 * np.arange(COUNT))
    depths = write_drive(folder, SCENE, poses)
    rays = LENS.rays()[::2, ::3].reshape(-1, 3)
    rows = []
    for i in SWEEPS:
        points = rays * depths[i][::2, ::3].reshape(-1, 1)
        seen = points[np.isfinite(points).all(axis=1)]
        rows.append(np.column_stack([np.full(len(seen), i), seen]))
    table = np.concatenate(rows)
    t_ns = np.round(table[:, 0] * 1e8).astype(np.int64)
    columns = {"sweep": table[:, 0].astype(np.int64), "t_ns": t_ns, "intensity": table[:, 1] * 0}
    columns |= dict(zip("xyz", table[:, 1:].T, strict=True))
    write_table(folder / "top.parquet", columns)
    about = json.loads((folder / "trace.json").read_text())
    about["sensors"]["top"] = LidarCalibration(MOUNT).to_json()
    (folder / "trace.json").write_text(json.dumps(about))
    return Trace.open(folder)


def test_what_is_left_out_is_gone_and_the_rest_as_it_was(drive, tmp_path):
    part = thinned(drive, tmp_path / "part", {"front": [4, 9]}, {"top": [1]})
    kept = [i for i in range(COUNT) if i not in (4, 9)]
    np.testing.assert_array_equal(part.cameras["front"].t, drive.cameras["front"].t[kept])
    for new, old in enumerate(kept):
        assert (part.cameras["front"].frame(new) == drive.cameras["front"].frame(old)).all()
    np.testing.assert_allclose(part.lidars["top"].t, [0.2, *np.arange(4, 11) / 10])
    np.testing.assert_array_equal(
        part.lidars["top"].sweep(1).points, drive.lidars["top"].sweep(2).points
    )


def options(trace, **more):
    given = {"trace": trace.root, "camera": None, "size": "96x160", "geometry": "multiview"}
    given |= {"stretches": []}
    return Namespace(**given | {"speed": 1.0, "workers": 1, "pictures": None} | more)


def test_views_of_frames_that_were_left_out_beat_a_copy_and_flat_ground(drive, tmp_path):
    found = left_out.measure(options(drive, pictures=tmp_path / "shown"), tmp_path / "work")
    assert found["frames"] == 2
    assert found["view"]["psnr"] > found["copy"]["psnr"] + 3
    assert found["view"]["psnr"] > found["ground"]["psnr"] + 1
    truth = [draw(SCENE, straight([0.8 * i])[0] @ MOUNT, LENS)[0] for i in (4, 5, 9, 10)]
    mse = [np.mean((truth[i].astype(float) - truth[i + 1]) ** 2) for i in (0, 2)]
    by_hand = np.mean(10 * np.log10(255**2 / np.array(mse)))
    assert found["copy"]["psnr"] == pytest.approx(by_hand, abs=1.5)  # to a neighbour, either side
    assert len(list((tmp_path / "shown").glob("*.png"))) == 2
    text = left_out.as_text(found)
    assert "nearest frame, copied" in text


def test_a_stretch_is_judged_by_the_frames_in_it(drive, tmp_path):
    chosen = options(drive, size=None, geometry="ground", stretches=["0-0.6", "0.6-1.2"])
    found = left_out.measure(chosen, tmp_path / "work")
    assert found["size"] == (96, 160)  # as recorded, which is smaller than views are
    assert [part["frames"] for part in found["stretches"]] == [1, 1]
    parts = [part["view"]["psnr"] for part in found["stretches"]]
    assert found["view"]["psnr"] == pytest.approx(sum(parts) / 2, abs=1e-3)
    assert "0.6-1.2 s, 1 frames" in left_out.as_text(found)


def test_views_are_not_compared_with_distorted_pictures(drive, tmp_path):
    with pytest.raises(VistaError, match="--size is 160x160"):
        left_out.measure(options(drive, size="160x160"), tmp_path / "work")
    with pytest.raises(VistaError, match="--stretches 7-9"):
        left_out.measure(options(drive, stretches=["7-9"]), tmp_path / "work")


def test_a_drive_that_stands_has_nothing_to_judge(drive, tmp_path):
    with pytest.raises(VistaError, match="at none of the withheld frames the car is fast enough"):
        left_out.measure(options(drive, speed=50.0), tmp_path / "work")


def test_depth_is_judged_by_sweeps_that_the_bake_did_not_see(drive, tmp_path):
    chosen = options(drive, geometries=("ground", "lidar"))
    found = lidar_depth.measure(chosen, tmp_path / "work")
    assert found["sweeps"] == [2, 6]
    ground, lidar = found["geometries"]["ground"], found["geometries"]["lidar"]
    # Of what the lidar hits only the road is flat ground.
    points = np.concatenate([drive.lidars["top"].sweep(i).points for i in (2, 6)])
    height = (points @ MOUNT[:3, :3].T + MOUNT[:3, 3])[:, 2]
    near = (points[:, 2] > 3) & (points[:, 2] < 50)
    assert ground["off"] == pytest.approx((np.abs(height[near]) > 0.3).mean(), abs=0.1)
    assert lidar["off"] < 0.1
    assert lidar["pixels"] == pytest.approx(near.sum(), rel=0.05)
    assert "2 sweeps left out" in lidar_depth.as_text(found)
