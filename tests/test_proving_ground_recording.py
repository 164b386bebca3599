"""A recorded drive: what is written, its truth, and the command."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from vista_sim.errors import TraceError, VistaError
from vista_sim.proving_ground.record import Recording, build_scene, record
from vista_sim.proving_ground.truth import GroundTruth
from vista_sim.traces.trace import Trace

pytest.importorskip("pybullet")

SMALL = Recording(
    seed=5,
    seconds=4.0,
    size=(60, 96),
    rate=5.0,
    stereo=0.5,
    distortion=(-0.1, 0.01, 0.0, 0.0, 0.0),
    supersample=1,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("proving-ground") / "drive", SMALL)


def test_a_recorded_trace_opens_with_all_it_promises(folder: Path) -> None:
    trace = Trace.open(folder)
    assert trace.duration == pytest.approx(4.0)
    assert {n: c.frame_count for n, c in trace.cameras.items()} == {"front": 21, "right": 21}
    assert trace.cameras["front"].frame(3).shape == (60, 96, 3)
    left, right = (trace.cameras[n].calibration.T_vehicle_camera for n in ("front", "right"))
    assert np.allclose(left[:3, 3] - right[:3, 3], (0.0, 0.5, 0.0))
    assert trace.cameras["front"].calibration.lens.distortion[0] == -0.1
    assert len(trace.sections) == 1
    assert np.allclose(trace.ego.position[0], 0.0)
    values = {(label.key, label.value) for label in trace.labels}
    assert ("maneuver", "straight") in values
    assert "weather" in {key for key, _ in values}


def test_ego_motion_is_the_truth_with_millimetres_of_noise(folder: Path) -> None:
    trace = Trace.open(folder)
    with GroundTruth(folder) as truth:
        exact = np.array([truth.pose(t) for t in trace.ego.t])
    error = trace.ego.position - exact[:, :3, 3]
    assert 0.0005 < error.std() < 0.006
    driven = np.linalg.norm(np.diff(exact[:, :3, 3], axis=0), axis=1).sum()
    assert np.trapezoid(trace.ego.speed, trace.ego.t) == pytest.approx(driven, abs=0.1)
    turned = np.unwrap(np.arctan2(exact[:, 1, 0], exact[:, 0, 0]))
    assert np.trapezoid(trace.ego.yaw_rate, trace.ego.t) == pytest.approx(
        turned[-1] - turned[0], abs=0.005
    )
    heading_error = np.degrees(trace.ego.yaw - turned)
    assert 0.005 < heading_error.std() < 0.05


def test_truth_draws_the_recorded_frames_again(folder: Path) -> None:
    trace = Trace.open(folder)
    with GroundTruth(folder) as truth:
        for camera in ("front", "right"):
            drawn = truth.image(camera, 12)
            recorded = trace.cameras[camera].frame(12)
            assert np.abs(drawn.astype(float) - recorded).mean() < 4.0  # compression only
        assert truth.depth("front", 12).shape == (60, 96)
        aside = truth.view(2.4, (0.0, 1.0, 0.0)).image
        assert np.abs(aside.astype(float) - truth.image("front", 12)).mean() > 6.0


def test_road_edges_fit_the_lane(folder: Path) -> None:
    import pyarrow.parquet as pq

    road = pq.read_table(folder / "road.parquet").to_pydict()
    with GroundTruth(folder) as truth:
        _, lateral, heading = truth.lane(0.0)
    assert road["left"][0] == pytest.approx(3.5 - lateral)
    assert np.allclose(np.add(road["left"], road["right"]), 7.0)
    assert road["right"][0] == pytest.approx(1.75, abs=0.25)
    assert abs(heading) < 0.02


def test_the_same_seed_gives_the_same_drive_and_pictures(folder: Path, tmp_path: Path) -> None:
    scene = build_scene(SMALL)
    again = record(tmp_path / "drive", SMALL, scene=scene)
    with GroundTruth(again, scene) as truth:
        assert truth.scene is scene
    for name in ("ego.parquet", "road.parquet", "labels.parquet", "front.mp4"):
        assert (again / name).read_bytes() == (folder / name).read_bytes(), name


def test_an_existing_trace_is_kept_unless_told_otherwise(folder: Path) -> None:
    before = (folder / "front.mp4").read_bytes()
    with pytest.raises(TraceError, match="already"):
        record(folder, SMALL)
    assert (folder / "front.mp4").read_bytes() == before


def test_truth_of_another_trace_is_refused(tmp_path: Path) -> None:
    (tmp_path / "trace.json").write_text(json.dumps({"format": "vista-trace/1"}))
    with pytest.raises(TraceError, match="proving ground"):
        GroundTruth(tmp_path)


@pytest.mark.parametrize(
    "wrong", [{"seconds": 0.0}, {"size": (4, 4)}, {"fov": math.pi}, {"supersample": 0}]
)
def test_a_wrong_setting_is_named(wrong: dict[str, object]) -> None:
    with pytest.raises(VistaError, match=next(iter(wrong))):
        Recording(**wrong)  # type: ignore[arg-type]
