"""Baking a trace: right, resumable, refused where wrong, and never half there."""

import dataclasses
import itertools
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from textured import LENS, MOUNT, STREET, straight, write_drive

from vista_sim.cli import main
from vista_sim.errors import GeometryError
from vista_sim.geometry.bake import bake, bake_camera
from vista_sim.geometry.doubts import doubts
from vista_sim.geometry.ground import ground_inverse_depth
from vista_sim.geometry.models import model_beside
from vista_sim.geometry.partial import Partial, bake_lock
from vista_sim.geometry.store import GeometryStore, folder_in_cache, folder_in_trace
from vista_sim.traces.calibration import Lens
from vista_sim.traces.trace import Trace
from vista_sim.transforms import pose_from_euler

FRAMES = 9


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    """A drive and the true depths of its frames."""
    folder = tmp_path_factory.mktemp("drive") / "street"
    return folder, write_drive(folder, STREET, straight(0.9 * np.arange(FRAMES)))


@pytest.fixture(scope="module")
def baked(drive, tmp_path_factory):
    """The same drive, baked."""
    folder = tmp_path_factory.mktemp("baked") / "street"
    shutil.copytree(drive[0], folder)
    bake(folder)
    return folder


@pytest.fixture
def fresh(drive, tmp_path):
    folder = tmp_path / "street"
    shutil.copytree(drive[0], folder)
    return folder


@pytest.fixture
def copy(baked, tmp_path):
    folder = tmp_path / "baked"
    shutil.copytree(baked, folder)
    return folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def _find(folder):
    with Trace.open(folder) as trace:
        return GeometryStore.find(trace, "front")


def _contents(folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def test_every_frame_gets_depth_that_is_better_than_flat_ground(drive, baked):
    store = _find(baked)
    flat = ground_inverse_depth(LENS, MOUNT)
    assert (store.size, store.frame_count, store.lens.size) == (LENS.size, FRAMES, LENS.size)
    for index, depth in enumerate(drive[1]):
        error = np.abs(store.metric(index) - 1 / depth)
        assert np.median(error) < 0.003
        assert error.mean() < 0.4 * np.abs(flat - 1 / depth).mean()


def test_what_is_confident_is_right(drive, baked):
    store = _find(baked)
    wrong = np.abs(np.array([store.metric(i) for i in range(FRAMES)]) - 1 / drive[1]) > 0.03
    sure = np.array(store.confidence) > 180
    assert sure.mean() > 0.5
    assert wrong[sure].mean() < 0.25 * wrong[~sure].mean()


def test_a_bake_that_is_done_is_kept_and_one_of_other_settings_is_made_anew(copy):
    before = _contents(copy / "geometry")
    bake(copy)
    assert _contents(copy / "geometry") == before
    path = bake(copy, "front", size=(48, 80))
    assert path == copy / "geometry" / "front"
    assert _find(copy).size == (48, 80)
    assert [p.name for p in path.parent.iterdir() if "lock" not in p.name] == ["front"]


def test_one_and_three_workers_make_the_same_bytes(copy):
    before = _contents(copy / "geometry" / "front")
    bake(copy, workers=3, force=True)
    assert _contents(copy / "geometry" / "front") == before
    bake(copy, workers=1, force=True)
    assert _contents(copy / "geometry" / "front") == before


@pytest.mark.parametrize("share", [0.3, 0.95])
def test_a_killed_bake_is_never_used_and_goes_on_to_the_same_bytes(baked, fresh, share):
    code = (
        "import os, signal, sys\n"
        "from vista_sim.geometry.bake import bake\n"
        "def progress(done, total):\n"
        f"    if done > {share} * total: os.kill(os.getpid(), signal.SIGKILL)\n"
        "bake(sys.argv[1], workers=1, progress=progress)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(fresh)]).returncode == -9
    assert _find(fresh) is None
    first = []
    bake(fresh, workers=1, progress=lambda done, total: first.append(done / total))
    assert first[0] > 0.8 * share  # what was done is not done again
    assert _contents(fresh / "geometry" / "front") == _contents(baked / "geometry" / "front")


def test_two_processes_that_bake_at_once_leave_one_whole_geometry(baked, fresh):
    code = "import sys; from vista_sim.geometry.bake import bake; bake(sys.argv[1])"
    runs = [subprocess.Popen([sys.executable, "-c", code, str(fresh)]) for _ in range(2)]
    assert [run.wait() for run in runs] == [0, 0]
    assert _contents(fresh / "geometry" / "front") == _contents(baked / "geometry" / "front")


def test_a_bake_waits_for_the_one_that_holds_the_lock(fresh):
    destination = fresh / "geometry" / "front"
    destination.parent.mkdir()
    code = "import sys; from vista_sim.geometry.bake import bake; bake(sys.argv[1])"
    with bake_lock(destination):
        run = subprocess.Popen([sys.executable, "-c", code, str(fresh)])
        with pytest.raises(subprocess.TimeoutExpired):
            run.wait(timeout=3)
        assert not destination.exists()
    assert run.wait() == 0
    assert _find(fresh) is not None


def test_what_a_killed_bake_began_anew_is_taken_back(copy):
    partial = copy / "geometry" / ".front.partial"
    (partial / "work").mkdir(parents=True)
    (partial / "confidence.npy").write_bytes(bytes(1000))
    with bake_lock(copy / "geometry" / "front"):  # somebody may still be at it
        bake(copy)
        assert partial.exists()
    bake(copy)
    assert not partial.exists()
    assert _find(copy) is not None


def test_a_trace_that_cannot_be_written_to_keeps_its_geometry_in_the_users_cache(fresh, baked):
    (fresh / "geometry").write_text("a file where the folder would go", encoding="utf-8")
    path = bake(fresh, "front")
    with Trace.open(fresh) as trace:
        assert path == folder_in_cache(trace, "front")
        assert str(path).startswith(os.environ["XDG_CACHE_HOME"])
        assert GeometryStore.find(trace, "front").path == path
    assert _contents(path) == _contents(baked / "geometry" / "front")


@pytest.mark.parametrize("cache", ["file/cache", 300 * "x"])  # the second: even looking there fails
def test_where_neither_trace_nor_cache_can_be_written_to_it_is_one_line(
    fresh, tmp_path, monkeypatch, capsys, cache
):
    (tmp_path / "file").touch()
    (fresh / "geometry").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / cache))
    with Trace.open(fresh) as trace:
        assert GeometryStore.find(trace, "front") is None
        with pytest.raises(GeometryError, match="no depth model was learned"):
            model_beside(trace)
    with pytest.raises(SystemExit) as end:
        main(["bake", str(fresh)])
    error = capsys.readouterr().err
    assert end.value.code == 2
    assert f"{fresh / 'geometry'} and {tmp_path / cache}" in error
    assert "or set XDG_CACHE_HOME to a folder that is" in error
    assert error.count("\n") == 1


def _shorten(path):
    path.write_bytes(path.read_bytes()[:-100])


def _rewrite(**changes):
    def apply(path):
        values = json.loads(path.read_text(encoding="utf-8")) | changes
        path.write_text(json.dumps(values), encoding="utf-8")

    return apply


def _declare(shape):
    """A .npy file whose header says that shape (NEP 1)."""

    def apply(path):
        header = f"{{'descr': '<u2', 'fortran_order': False, 'shape': {shape}, }}".encode()
        header += b" " * (118 - len(header) % 64) + b"\n"
        path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)

    return apply


def _in_place_of(make):
    def apply(path):
        path.unlink()
        make(path)

    return apply


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("geometry.json", _shorten),
        ("geometry.json", _rewrite(format="vista-geometry/9")),
        ("geometry.json", _rewrite(scale=None)),
        ("geometry.json", _rewrite(size=[10, 10])),
        ("inverse_depth.npy", _shorten),
        ("confidence.npy", lambda path: path.unlink()),
        ("poses.npy", lambda path: np.save(path, np.zeros((3, 4, 4)))),
        ("poses.npy", lambda path: np.save(path, np.zeros_like(np.load(path)))),
        ("poses.npy", lambda path: np.save(path, np.full_like(np.load(path), np.nan))),
        ("exposure.npy", lambda path: np.save(path, np.full_like(np.load(path), np.nan))),
        ("exposure.npy", lambda path: np.save(path, np.full_like(np.load(path), 800.0))),
        ("ground.npy", lambda path: np.save(path, np.full_like(np.load(path), np.inf))),
        ("geometry.json", _rewrite(scale=1e-300)),
        ("geometry.json", _rewrite(size=[10**400, 10])),
        ("geometry.json", _rewrite(report=[1])),
        ("geometry.json", _rewrite(report={"sources": [["multiview"]]})),
        ("geometry.json", _rewrite(report={"motion": {"median_shift_m": "far"}})),
        ("geometry.json", _rewrite(report={"ground": [1, 2]})),
        ("poses.npy", lambda path: np.save(path, np.load(path) * 1e200)),
        ("poses.npy", lambda path: np.save(path, np.array([None]), allow_pickle=True)),
        ("inverse_depth.npy", _declare("(99999999999999999999, 2)")),
        ("inverse_depth.npy", _declare("(-1, 2)")),
        ("inverse_depth.npy", _declare("(" * 60 + ")" * 60)),
        ("confidence.npy", _in_place_of(os.mkfifo)),
        ("confidence.npy", _in_place_of(os.mkdir)),
        ("geometry.json", _in_place_of(os.mkfifo)),
    ],
)
def test_damaged_geometry_is_refused_in_one_line_and_made_again(baked, copy, file, damage):
    path = copy / "geometry" / "front" / file
    damage(path)
    with pytest.raises(GeometryError) as refusal:
        _find(copy)
    message = str(refusal.value)
    assert "\n" not in message
    assert str(path.parent) in message
    assert "vista-sim bake" in message
    bake(copy)
    assert _contents(copy / "geometry" / "front") == _contents(baked / "geometry" / "front")


def test_no_geometry_is_finer_than_the_recording(copy):
    with pytest.raises(GeometryError, match="size is 4000x4000; camera 'front' recorded only"):
        bake(copy, size=(4000, 4000))


def test_geometry_of_another_drive_is_refused(copy, tmp_path):
    other = tmp_path / "other"
    write_drive(other, STREET, straight(0.8 * np.arange(FRAMES)))
    shutil.copytree(copy / "geometry", other / "geometry")
    with pytest.raises(GeometryError, match="other poses"):
        _find(other)


def test_a_pickled_store_reads_the_same(baked):
    import pickle

    store = _find(baked)
    again = pickle.loads(pickle.dumps(store))
    np.testing.assert_array_equal(again.inverse_depth[3], store.inverse_depth[3])


def test_flat_ground_on_request(copy):
    bake(copy, geometry="ground")
    store = _find(copy)
    assert store.inverse_depth.shape == (FRAMES, *LENS.size)
    np.testing.assert_allclose(
        store.metric(5), ground_inverse_depth(LENS, MOUNT), atol=1.01 * store.scale
    )
    assert not store.confidence.any()


def test_a_car_that_stands_gets_flat_ground_without_confidence(tmp_path):
    write_drive(tmp_path / "standing", STREET, straight(np.zeros(5)))
    bake(tmp_path / "standing")
    store = _find(tmp_path / "standing")
    assert store.report["frames_without_neighbours"] == 5
    assert not store.confidence.any()
    np.testing.assert_allclose(
        store.metric(2), ground_inverse_depth(LENS, MOUNT), atol=1.01 * store.scale
    )


def test_a_single_frame_gets_flat_ground(tmp_path):
    write_drive(tmp_path / "single", STREET, straight([0.0]))
    bake(tmp_path / "single")
    store = _find(tmp_path / "single")
    assert store.frame_count == 1
    assert not store.confidence.any()


def test_frames_are_not_compared_across_a_gap(tmp_path):
    t = np.array([0, 0.1, 0.2, 0.3, 5.0, 5.1, 5.2, 5.3])
    vehicles = straight(9 * np.array([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]))
    recorded = vehicles.copy()
    recorded[4:, 1, 3] += 3.0  # the pose jumps while nothing is recorded
    depths = write_drive(tmp_path / "gap", STREET, vehicles, t=t, recorded=recorded)
    bake(tmp_path / "gap")
    store = _find(tmp_path / "gap")
    for index in (3, 4):
        assert np.median(np.abs(store.metric(index) - 1 / depths[index])) < 0.004


@pytest.mark.parametrize(
    "lens",
    [
        Lens("fisheye", 70.0, 70.0, 79.5, 47.5, (96, 160), (0.02, -0.01, 0.0, 0.0)),
        dataclasses.replace(LENS, distortion=(-0.25, 0.06, 0.001, -0.0005, 0.0)),
    ],
)
def test_depth_behind_a_bent_lens_is_far_better_than_flat_ground(tmp_path, lens):
    depths = write_drive(tmp_path / "bent", STREET, straight(0.9 * np.arange(5)), lens=lens)
    bake(tmp_path / "bent")
    store = _find(tmp_path / "bent")
    assert store.lens.distortion == lens.distortion
    flat = ground_inverse_depth(lens, MOUNT)
    front = lens.rays()[..., 2] > 0.45  # beyond, the geometry is the ground
    error = np.abs(store.metric(2) - 1 / depths[2])[front]
    assert np.median(error) < 0.003
    assert error.mean() < 0.4 * np.abs(flat - 1 / depths[2])[front].mean()


def test_recorded_poses_that_shake_do_not_ruin_depth(drive, tmp_path):
    rng = np.random.default_rng(5)
    vehicles = straight(0.9 * np.arange(FRAMES))
    shaken = vehicles @ np.array(
        [
            pose_from_euler(*rng.normal(0, 0.015, 3), *np.radians(rng.normal(0, 0.12, 3)))
            for _ in vehicles
        ]
    )
    write_drive(tmp_path / "shaken", STREET, vehicles, recorded=shaken)
    bake(tmp_path / "shaken")
    store = _find(tmp_path / "shaken")
    assert store.report["motion"]["median_turn_deg"] > 0.1
    error = np.array([np.abs(store.metric(i) - 1 / drive[1][i]) for i in range(2, 7)])
    assert np.median(error) < 0.006

    def turn_errors(poses):
        relative = [np.linalg.inv(a) @ b for a, b in itertools.pairwise(poses)]
        true = [np.linalg.inv(a) @ b for a, b in itertools.pairwise(vehicles)]
        back = [MOUNT @ r @ np.linalg.inv(MOUNT) for r in relative]
        cosine = [
            (np.trace(r[:3, :3] @ t[:3, :3].T) - 1) / 2 for r, t in zip(back, true, strict=True)
        ]
        return np.degrees(np.arccos(np.clip(cosine, -1, 1)))

    assert turn_errors(store.poses).mean() < 0.5 * turn_errors(shaken @ MOUNT).mean()


def test_the_command_bakes_all_cameras_and_prints_json(fresh, capsys):
    with pytest.raises(SystemExit) as end:
        main(["bake", str(fresh), "--size", "48x80", "--json"])
    assert end.value.code == 0
    values = json.loads(capsys.readouterr().out)
    (camera,) = values["cameras"]
    assert camera["camera"] == "front"
    assert camera["frames"] == FRAMES
    assert camera["frames_per_second"] > 0
    assert _find(fresh).size == (48, 80)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--camera", "rear"], "no camera 'rear'"),
        (["--size", "big"], "HEIGHTxWIDTH"),
        (["--size", "2x2"], "8 to 4096"),
        (["--geometry", "magic"], "auto, ground, multiview"),
        (["--workers", "0"], "at least 1"),
    ],
)
def test_wrong_options_are_one_line_and_status_2(fresh, capsys, arguments, text):
    with pytest.raises(SystemExit) as end:
        main(["bake", str(fresh), *arguments])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert text in error
    assert error.count("\n") == 1
    assert not (fresh / "geometry" / "front").exists()


def test_a_full_disk_is_one_line_and_the_bake_goes_on_later(fresh, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(GeometryError, match="no space left"):
            bake(fresh)
    assert _find(fresh) is None
    bake(fresh)
    assert _find(fresh) is not None


def test_work_of_another_plan_is_not_taken_up(tmp_path):
    partial = Partial(tmp_path / "front", {"a": 1})
    partial.array("x.npy", (3,), np.uint8)[:] = 7
    assert (Partial(tmp_path / "front", {"a": 1}).array("x.npy", (3,), np.uint8) == 7).all()
    assert (Partial(tmp_path / "front", {"a": 2}).array("x.npy", (3,), np.uint8) == 0).all()


def test_depth_of_the_proving_ground_is_far_better_than_flat_ground(tmp_path):
    pytest.importorskip("pybullet")
    from vista_sim.proving_ground.record import Recording, build_scene, record
    from vista_sim.proving_ground.truth import GroundTruth

    recording = Recording(seed=31, seconds=1.6, size=(120, 192))
    scene = build_scene(recording)
    folder = record(tmp_path / "short", recording, scene=scene)
    done = bake_camera(Trace.open(folder), "front")
    assert done.path == folder_in_trace(Trace.open(folder), "front")
    store = _find(folder)
    mount = Trace.open(folder).cameras["front"].calibration.T_vehicle_camera
    ours, flat = [], []
    with GroundTruth(folder, scene) as truth:
        for index in (5, 8, 11):
            true = 1 / truth.depth("front", index)
            ground = ground_inverse_depth(store.lens, mount)
            ours.append(np.abs(store.metric(index) - true).mean())
            flat.append(np.abs(ground - true).mean())
    assert np.mean(ours) < 0.5 * np.mean(flat)


def _miscalibrate(folder, change):
    path = folder / "trace.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values["sensors"]["front"])
    path.write_text(json.dumps(values), encoding="utf-8")


def _raw_distortion(camera):
    camera["distortion"] = [-0.37, 0.2, 0.0, 0.0, -0.06]  # as of KITTI's unrectified images


def _too_high(camera):
    camera["T_vehicle_camera"][2][3] += 0.4


def _wrong_focal_length(camera):
    camera["K"][0][0] *= 0.8
    camera["K"][1][1] *= 0.8


@pytest.mark.parametrize("change", [_raw_distortion, _too_high, _wrong_focal_length])
def test_a_bake_that_contradicts_its_calibration_is_doubted(fresh, change, caplog, capsys):
    _miscalibrate(fresh, change)
    with Trace.open(fresh) as trace:
        first = bake_camera(trace, "front", workers=2)
    assert any("cm from where the mount says" in doubt for doubt in first.doubts)
    assert any("is the lens right" in doubt for doubt in first.doubts)
    assert [r.getMessage().partition(": ")[2] for r in caplog.records] == list(first.doubts)
    with pytest.raises(SystemExit) as main_exits:
        main(["info", str(fresh), "--json"])
    assert main_exits.value.code in (None, 0)
    told = json.loads(capsys.readouterr().out)
    assert told["baked"]["front"]["doubts"] == list(first.doubts)


def test_a_bake_of_a_right_calibration_is_not_doubted(baked):
    with Trace.open(baked) as trace:
        assert bake_camera(trace, "front").doubts == ()


def test_what_poses_and_road_have_to_do_is_doubted_from_twice_the_usual_on():
    motion = {"median_shift_m": 0.02, "median_turn_deg": 0.1}
    ground = {"frames_fitted": 9, "median_height_m": 0.05}
    ground |= {"median_pitch_deg": 0.5, "median_roll_deg": 1.5}
    assert doubts({"motion": motion, "ground": ground}, 1.65) == []
    assert doubts({"sources": ["ground"]}, 1.65) == []
    moved = doubts({"motion": motion | {"median_shift_m": 0.17}, "ground": ground}, 1.65)
    assert len(moved) == 1
    assert "17 cm" in moved[0]
    sunk = doubts({"motion": motion, "ground": ground | {"median_height_m": 0.36}}, 1.65)
    assert len(sunk) == 1
    assert "36 cm" in sunk[0]
    tilted = doubts({"motion": motion, "ground": ground | {"median_roll_deg": 4.0}}, 1.65)
    assert len(tilted) == 1
    assert "4.0 degrees" in tilted[0]
    unseen = {"frames_fitted": 0, "median_height_m": 9.0}
    assert (
        doubts({"ground": unseen | {"median_pitch_deg": 9.0, "median_roll_deg": 0.0}}, 1.65) == []
    )
