"""A user's own depth model: fed as it wants, brought to metres, refused where it cannot be."""

import json
import shutil

import numpy as np
import pytest
from textured import LENS, MOUNT, STREET, write_drive

from vista_sim.cli import main
from vista_sim.errors import GeometryError
from vista_sim.geometry.bake import bake_camera
from vista_sim.geometry.ground import ground_inverse_depth
from vista_sim.geometry.models import load_depth_model
from vista_sim.geometry.store import GeometryStore
from vista_sim.traces.trace import Trace
from vista_sim.transforms import planar_pose

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
from onnx_models import write_map, write_weighted

FRAMES = 12


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    """A straight drive, in which the depth of all frames is the same, and that depth."""
    folder = tmp_path_factory.mktemp("drives") / "street"
    vehicles = np.array([planar_pose(0.9 * i, 0.0, 0.0) for i in range(FRAMES)])
    return folder, write_drive(folder, STREET, vehicles)[0]


@pytest.fixture
def drive(street, tmp_path):
    folder = tmp_path / "street"
    shutil.copytree(street[0], folder)
    return folder, street[1]


def _baked(folder, geometry):
    with Trace.open(folder) as trace:
        done = bake_camera(trace, "front", geometry=geometry)
        return GeometryStore.find(trace, "front"), done.report


def test_a_relative_model_is_brought_to_metres_by_what_the_motion_shows(drive, tmp_path):
    folder, depth = drive
    model = write_map(tmp_path / "depth.onnx", 40.0 / depth + 7.0)
    store, report = _baked(folder, f"onnx:{model}")
    assert report["sources"] == ["onnx"]
    assert report["onnx"]["frames_aligned_share"] == 1.0
    for index in range(FRAMES):
        # Corners are followed by windows that see several depths at once in so small a picture.
        error = np.abs(store.metric(index) - 1 / depth)
        assert np.median(error) < 0.005
        assert (error < 0.006 + 0.04 / depth).all()
    assert 0 < store.confidence.max() < 200  # one picture is never quite sure


@pytest.mark.parametrize("output", ["depth", "inverse_depth"])
def test_the_scale_of_a_metric_model_is_corrected_unless_that_is_unwanted(drive, tmp_path, output):
    folder, depth = drive
    depth = np.minimum(depth, 400.0)
    answer = depth * 1.3 if output == "depth" else 1 / depth / 1.3
    settings = {"kind": "metric", "output": output}
    model = write_map(tmp_path / "depth.onnx", answer, settings)
    store, _ = _baked(folder, f"onnx:{model}")
    np.testing.assert_allclose(store.metric(2), 1 / depth, atol=0.003, rtol=0.015)
    model = write_map(tmp_path / "depth.onnx", answer, settings | {"align": False})
    store, _ = _baked(folder, f"onnx:{model}")  # another JSON: it is baked anew
    np.testing.assert_allclose(store.metric(2), 1 / depth / 1.3, atol=2e-4, rtol=1e-3)


def test_flat_ground_gives_the_scale_where_the_car_never_moved(tmp_path):
    folder = tmp_path / "standing"
    depth = write_drive(folder, STREET, np.array([planar_pose(0, 0, 0)] * 3))[0]
    model = write_map(tmp_path / "depth.onnx", 40.0 / depth + 7.0)
    store, _ = _baked(folder, f"onnx:{model}")
    np.testing.assert_allclose(store.metric(1), 1 / depth, atol=0.004, rtol=0.02)
    assert 0 < store.confidence.max() < 100


def test_a_model_that_knows_nothing_of_depth_is_refused(drive, tmp_path):
    model = write_map(
        tmp_path / "depth.onnx", np.minimum(drive[1], 80)
    )  # depth, called inverse depth
    with pytest.raises(GeometryError, match=r"depth\.onnx: its answers follow neither"):
        _baked(drive[0], f"onnx:{model}")


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("colour", ["RGB", "BGR"])
def test_a_picture_is_fed_as_the_settings_say(tmp_path, layout, colour):
    settings = {"colour": colour, "scale": 0.5, "mean": [1, 2, 3], "std": [4, 5, 6]}
    path = write_weighted(tmp_path / "m.onnx", (1, 10, 100), (24, 32), layout, settings)
    model = load_depth_model(f"onnx:{path}")
    assert model.input_size((480, 640)) == (24, 32)
    picture = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    values, _ = model.predict(picture, LENS, MOUNT)
    channels = [picture[..., "RGB".index(c)] * 0.5 for c in colour]
    wanted = sum(
        w * (c - m) / s
        for w, c, m, s in zip((1, 10, 100), channels, (1, 2, 3), (4, 5, 6), strict=True)
    )
    np.testing.assert_allclose(values, wanted, rtol=1e-4)


def test_without_settings_pictures_are_normalized_as_for_imagenet(tmp_path):
    model = load_depth_model(f"onnx:{write_weighted(tmp_path / 'm.onnx', (1, 0, 0), (24, 32))}")
    values, _ = model.predict(np.full((24, 32, 3), 51, np.uint8), LENS, MOUNT)
    np.testing.assert_allclose(values, (0.2 - 0.485) / 0.229, rtol=1e-5)


def test_a_model_of_any_size_gets_the_recorded_one_in_multiples(tmp_path):
    path = write_weighted(tmp_path / "m.onnx", (1, 1, 1), ("h", "w"), settings={"multiple": 14})
    model = load_depth_model(f"onnx:{path}")
    assert model.input_size((200, 320)) == (196, 322)
    height, width = model.input_size((1200, 1920))
    assert height * width < 420_000
    assert (height % 14, width % 14) == (0, 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layout": "CHW"}, "field 'layout' is 'CHW'; it must be 'NCHW' or 'NHWC'"),
        ({"colour": "rgb"}, "field 'colour' is 'rgb'"),
        ({"colour": "gray"}, "has 3 channels"),
        ({"mean": [1, 2]}, "field 'mean' has 2 numbers"),
        ({"std": 0}, "field 'std' is 0"),
        ({"scale": "1/255"}, "field 'scale' is '1/255'"),
        ({"size": [24, 33]}, "field 'size' has width 33; the model takes 32"),
        ({"size": 24}, "field 'size' is 24"),
        ({"output": "disparity"}, "'inverse_depth' or 'depth'"),
        ({"kind": "absolute"}, "'relative' or 'metric'"),
        ({"align": "no"}, "field 'align' is 'no'"),
        ({"align": False}, "a relative model has no scale"),
        ({"normalise": True}, "field 'normalise' is unknown"),
        ({"input_name": "image"}, "field 'input_name' is 'image'; the model has picture"),
        ({"output_name": "depth"}, "field 'output_name' is 'depth'; the model has answer"),
        ([1], "must hold an object"),
    ],
)
def test_settings_that_cannot_be_are_named(tmp_path, settings, message):
    path = write_weighted(tmp_path / "m.onnx", (1, 1, 1), (24, 32), settings=settings)
    with pytest.raises(GeometryError) as refusal:
        load_depth_model(f"onnx:{path}")
    assert message in str(refusal.value)
    assert str(path.with_suffix(".json")) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_settings_that_are_no_json_are_named(tmp_path):
    path = write_weighted(tmp_path / "m.onnx", (1, 1, 1), (24, 32))
    path.with_suffix(".json").write_text("{", encoding="utf-8")
    with pytest.raises(GeometryError, match=r"m\.json: cannot be read as JSON"):
        load_depth_model(f"onnx:{path}")


def _refused(capsys, *args):
    with pytest.raises(SystemExit) as stop:
        main([str(arg) for arg in args])
    said = capsys.readouterr().err.strip().splitlines()
    assert stop.value.code == 2
    assert len(said) == 1, said
    return said[0]


def test_a_file_that_is_no_model_gets_one_line(drive, tmp_path, capsys):
    file = tmp_path / "depth.onnx"
    said = _refused(capsys, "bake", drive[0], "--geometry", f"onnx:{file}")
    assert f"{file}: cannot be read (No such file" in said
    file.write_bytes(b"not a model at all")
    said = _refused(capsys, "bake", drive[0], "--geometry", f"onnx:{file}")
    assert f"{file}: is not an ONNX model" in said
    with Trace.open(drive[0]) as trace:
        assert GeometryStore.find(trace, "front") is None


def test_values_that_are_not_finite_are_told_with_the_frame(drive, tmp_path, capsys):
    answer = 1 / drive[1]
    answer[3, 4] = np.nan
    model = write_map(tmp_path / "depth.onnx", answer)
    said = _refused(capsys, "bake", drive[0], "--geometry", f"onnx:{model}")
    assert "output 'answer' holds values that are not finite (frame " in said


def test_an_answer_of_the_wrong_shape_is_told(tmp_path):
    from onnx import helper
    from onnx_models import save

    node = helper.make_node("Identity", ["picture"], ["answer"])
    save(tmp_path / "m.onnx", [node], {}, [1, 3, 24, 32], [1, 3, 24, 32])
    model = load_depth_model(f"onnx:{tmp_path / 'm.onnx'}")
    with pytest.raises(GeometryError, match=r"shape \(1, 3, 24, 32\); it must be one number per"):
        model.predict(np.zeros((24, 32, 3), np.uint8), LENS, MOUNT)
    save(tmp_path / "m.onnx", [node], {}, [3, 24, 32], [3, 24, 32])
    with pytest.raises(GeometryError, match="it must be one picture"):
        load_depth_model(f"onnx:{tmp_path / 'm.onnx'}")


def test_a_model_joins_other_sources(drive, tmp_path):
    folder, depth = drive
    model = write_map(tmp_path / "depth.onnx", 40.0 / depth + 7.0)
    flat = np.abs(ground_inverse_depth(LENS, MOUNT) - 1 / depth).mean()
    store, report = _baked(folder, f"multiview+onnx:{model}")
    assert report["sources"] == ["multiview", "onnx"]
    assert np.abs(store.metric(2) - 1 / depth).mean() < 0.3 * flat


def test_the_settings_say_what_the_file_was(drive, tmp_path):
    model = write_map(tmp_path / "depth.onnx", 40.0 / drive[1] + 7.0)
    store, _ = _baked(drive[0], f"onnx:{model}")
    before = json.dumps(store.settings)
    model = model.rename(tmp_path / "renamed.onnx")
    assert bake_camera(Trace.open(drive[0]), "front", geometry=f"onnx:{model}").seconds == 0
    write_map(model, 41.0 / drive[1] + 7.0)
    store, _ = _baked(drive[0], f"onnx:{model}")
    assert json.dumps(store.settings) != before
