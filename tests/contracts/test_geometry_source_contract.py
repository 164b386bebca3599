"""What every source of geometry must be: each that is known by a name is put through this.

A new source that needs something else than the drives here is tested by what `_model` and `drive`
give it.
"""

import dataclasses
import json
import math
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from rig import FRONT, beside, write_rig
from textured import STREET, straight, write_drive

from vista_sim.errors import GeometryError
from vista_sim.geometry import job, registry
from vista_sim.geometry.bake import bake_camera
from vista_sim.geometry.partial import Partial
from vista_sim.geometry.registry import known_sources, register
from vista_sim.geometry.settings import BakeSettings
from vista_sim.geometry.source import Estimate, PreparedSource, ReportingSource, SourceKind
from vista_sim.geometry.sources import GeometryChoice, available, files_of, kind_of, resolve
from vista_sim.geometry.store import GeometryStore
from vista_sim.traces.trace import Trace

FRAMES = 3
SOURCES = known_sources()

pytestmark = [pytest.mark.filterwarnings("error"), pytest.mark.usefixtures("_unwarned")]


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    """A drive with all that sources take: a second camera, a lidar; and the first one's depth."""
    folder = tmp_path_factory.mktemp("drives") / "rig"
    cameras = FRONT | {"right": beside(-0.5)}
    depths = write_rig(folder, STREET, cameras, frames=FRAMES, lidar="timed")
    return folder, depths["front"]


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A drive with one camera and nothing else."""
    folder = tmp_path_factory.mktemp("drives") / "bare"
    write_drive(folder, STREET, straight([0.0, 0.9]))
    return folder


def _onnx(folder, depth):
    pytest.importorskip("onnxruntime")
    from onnx_models import write_map

    return write_map(folder / "depth.onnx", 40.0 / depth + 7.0)


def _learned(folder, depth):
    pytest.importorskip("torch")
    from vista_agents.depth.model import DepthModelSpec, save_depth_model
    from vista_agents.depth.network import DepthNet, DepthNetConfig

    config = DepthNetConfig(pixels=3840, channels=(8, 16, 24))
    spec = DepthModelSpec(config, (48, 80), 60.0)
    save_depth_model(folder / "model", spec, DepthNet(config).state_dict())
    return folder / "model"


#: Makes a model of a source that takes one, for the drive.
MODELS = {"onnx": _onnx, "learned": _learned}
UNTAUGHT = ("learned",)  # whose model in these tests answers with flat ground


@pytest.fixture(scope="module")
def written(drive, tmp_path_factory):
    """What a source is asked for as, by its name."""
    made = {}

    def of(name):
        if name not in made:
            made[name] = name
            if kind_of(name).model is not None:
                model = MODELS[name](tmp_path_factory.mktemp("models"), drive[1][0])
                made[name] = f"{name}:{model}"
        return made[name]

    return of


class EnoughError(Exception):
    """Raised in place of going on with a bake."""


@pytest.fixture(scope="module")
def baking(drive, written, tmp_path_factory):
    """The context of a bake by a source, as it is when sources are made."""
    made = {}

    def of(name):
        if name not in made:
            trace = Trace.open(drive[0])
            choice = GeometryChoice.parse(written(name))
            settings = BakeSettings((96, 160), *resolve(choice, trace, "front"))
            partial = Partial(tmp_path_factory.mktemp("bakes") / "front", {})
            begun = job.BakeJob(trace, trace.cameras["front"], settings, partial, 1, None)

            def kept(context):
                made[name] = context
                raise EnoughError

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(job, "make_sources", kept)
                with pytest.raises(EnoughError):
                    begun.run()
            for array in (made[name].ground, made[name].poses, made[name].mount):
                array.setflags(write=False)  # whoever writes into it raises
        return made[name]

    return of


@pytest.fixture(params=SOURCES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def sources(baking):
    """Sources by name, which have worked on all frames."""
    made = {}

    def of(name):
        if name not in made:
            source = made[name] = kind_of(name).make(baking(name))
            if isinstance(source, PreparedSource):
                for index in range(FRAMES):
                    source.prepare(index)
        return made[name]

    return of


@pytest.fixture
def source(name, sources):
    return sources(name)


def same(one, other):
    for ours, theirs in zip(one, other, strict=True):
        if ours is None or theirs is None:
            assert ours is theirs
        else:
            np.testing.assert_array_equal(ours, theirs)


def test_an_estimate_is_as_it_is_stated(name, source, baking):
    size = baking(name).settings.size
    assert source.name == name
    for index in range(FRAMES):
        found = source.estimate(index)
        assert isinstance(found, Estimate)
        for values in found[:2]:
            assert (values.shape, values.dtype) == (size, np.float32)
            assert np.isfinite(values).all()
            assert (values >= 0).all()
        assert (found.confidence <= 1).all()
        assert found.confidence.any()
        if found.moving is not None:
            assert (found.moving.shape, found.moving.dtype) == (size, np.bool_)


@pytest.mark.parametrize("name", [name for name in SOURCES if name not in UNTAUGHT])
def test_it_is_nearer_to_the_truth_than_flat_ground_where_it_is_sure(name, source, drive, baking):
    flat, true = baking(name).ground, 1 / drive[1]
    for index in range(FRAMES):
        values, sure, _ = source.estimate(index)
        where = (
            (sure >= np.quantile(sure[sure > 0], 0.5)) & (sure > 0) & np.isfinite(drive[1][index])
        )
        wrong = np.abs(values - true[index])[where].mean()
        assert wrong < np.abs(flat - true[index])[where].mean()


def test_an_estimate_is_the_same_at_each_call_and_from_several_threads(source):
    first = [source.estimate(index) for index in range(FRAMES)]
    kept = [copied(estimate) for estimate in first]
    order = [*reversed(range(FRAMES)), *range(FRAMES)] * 2
    with ThreadPoolExecutor(4) as pool:
        for index, found in zip(order, pool.map(source.estimate, order), strict=True):
            same(found, kept[index])
    for estimate, expected in zip(first, kept, strict=True):
        same(estimate, expected)  # nobody has written into it since


def test_what_is_done_to_an_estimate_changes_nothing_else(name, source, baking):
    context = baking(name)
    shared = [context.ground, context.poses, context.mount]
    shared += [part for i in range(FRAMES) for part in pictures(context, i)]
    before = [array.tobytes() for array in shared]
    for index in range(FRAMES):
        found = source.estimate(index)
        expected = copied(found)
        for part in found:
            if part is not None:
                assert not any(np.shares_memory(part, array) for array in shared)
                part[:] = 0
        same(source.estimate(index), expected)
    assert [array.tobytes() for array in shared] == before


def pictures(context, index):
    frame = context.frames[index]
    return frame.gray, frame.colours


def copied(estimate):
    return Estimate(*(None if part is None else part.copy() for part in estimate))


def test_what_was_prepared_is_kept_in_the_folder_of_the_bake(name, source, baking):
    again = kind_of(name).make(baking(name))  # as after a kill
    for index in range(FRAMES):
        same(again.estimate(index), source.estimate(index))


def test_it_reports_figures(source):
    if isinstance(source, ReportingSource):
        report = source.report()
        assert json.loads(json.dumps(report)) == report
        assert all(math.isfinite(value) for value in report.values())


def test_what_is_known_of_it_before_a_bake_fits(name, drive, written):
    kind = kind_of(name)
    assert 0 < kind.trust <= 1
    assert kind.model is not None or not kind.needs_model
    with Trace.open(drive[0]) as trace:
        choice = GeometryChoice.parse(written(name))
        found = resolve(choice, trace, "front")
        assert found == resolve(choice, trace, "front")
        names, inputs, models = found
        assert names == (name,)
        assert models.keys() == choice.models.keys()
        assert all(isinstance(one, str) and one for one in inputs.values())
        assert inputs.keys() >= models.keys()  # a model decides the outcome
        files = files_of(trace, "front", names)
        assert all(path.is_file() and trace.root in path.parents for path in files)
        assert (name in available(trace, "front")) == (kind.model is None)


def test_its_settings_are_told_with_the_outcome(name):
    plain = BakeSettings((96, 160), (name,)).to_json()
    assert plain["geometry"] == name
    assert json.loads(json.dumps(plain)) == plain
    own = getattr(BakeSettings((96, 160)), name, None)
    assert (name in plain) == (own is not None)
    if own is not None:
        assert plain[name].keys() == {field.name for field in dataclasses.fields(own)}


def test_what_a_trace_or_a_model_lacks_is_one_line(name, bare, tmp_path):
    kind = kind_of(name)
    text = name if kind.model is None else f"{name}:{tmp_path / 'missing'}"
    with Trace.open(bare) as trace:
        if kind.offered(trace, "front"):
            assert resolve(GeometryChoice.parse(text), trace, "front")[0] == (name,)
            return
        with pytest.raises(GeometryError) as caught:
            bake_camera(trace, "front", geometry=text)
        lacking = trace.root if kind.model is None else tmp_path / "missing"
        assert str(lacking) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert name not in available(trace, "front")
    assert not (bare / "geometry").exists()


def test_a_model_is_named_where_it_must_be_and_only_where_it_can_be(name):
    kind = kind_of(name)
    ways = {name: not kind.needs_model, f"{name}:": False, f"{name}:x/y": kind.model is not None}
    for text, can_be in ways.items():
        if can_be:
            models = GeometryChoice.parse(text).models
            assert {key: str(path) for key, path in models.items()} == (
                {name: "x/y"} if "x" in text else {}
            )
        else:
            with pytest.raises(GeometryError) as caught:
                GeometryChoice.parse(text)
            said = str(caught.value)
            assert said.startswith(f"geometry is {text!r}; it must be auto, ground, multiview, ")
            assert "\n" not in said


class Wall(SourceKind):
    """A source that the simulator does not know: all is as far away, of which it is quite sure."""

    model = "METRES"
    needs_model = True

    def inputs(self, trace, camera, model):
        return f"all at {model} m"

    def make(self, context):
        return WallSource(float(str(context.settings.models["wall"])), context.settings.size)


class WallSource:
    name = "wall"

    def __init__(self, metres, size):
        self._shape = np.full(size, 1 / metres, np.float32), np.ones(size, np.float32)

    def estimate(self, index):
        return Estimate(*(part.copy() for part in self._shape))


@pytest.fixture
def _others(monkeypatch):
    monkeypatch.setattr(registry, "_kinds", registry._kinds.copy())


@pytest.mark.usefixtures("_others")
def test_a_source_of_a_program_is_baked_from_and_baked_anew_where_it_differs(bare, tmp_path):
    register("wall", Wall())
    shutil.copytree(bare, tmp_path / "drive")
    with Trace.open(tmp_path / "drive") as trace:
        for metres in (8.0, 12.5):
            done = bake_camera(trace, "front", geometry=f"wall:{metres}")
            assert done.seconds > 0
            assert done.report["sources"] == ["wall"]
            found = GeometryStore.find(trace, "front")
            np.testing.assert_allclose(found.metric(0), 1 / metres, atol=2 * found.scale)
            assert (np.array(found.confidence[0]) == 255).all()
        assert bake_camera(trace, "front", geometry="wall:12.5").seconds == 0
        assert available(trace, "front") == ["multiview"]


@pytest.mark.usefixtures("_others")
def test_an_installed_package_brings_its_source_along(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "wall_source.py").write_text(
        "from vista_sim.geometry.source import SourceKind\n"
        "class Wall(SourceKind):\n"
        "    trust = 0.25\n"
        "WALL = Wall()\n"
    )
    about = tmp_path / "wall_source-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: wall-source\nVersion: 1.0\n")
    lines = "[vista_sim.geometry_sources]\nwall = wall_source:WALL\n"
    (about / "entry_points.txt").write_text(f"{lines}gone = wall_source:GONE\nwrong = json:loads\n")
    assert known_sources() == (*SOURCES, "gone", "wall", "wrong")
    assert GeometryChoice.parse("stereo+wall").names == ("stereo", "wall")
    assert kind_of("wall").trust == 0.25
    for name, said in (
        ("gone", r"the geometry source 'gone' \(wall_source:GONE\) cannot be loaded"),
        ("wrong", r"the geometry source 'wrong' is of type function; it must be an object of a cl"),
        ("wal", r"there is no geometry source 'wal'; did you mean 'wall'\?"),
    ):
        with pytest.raises(GeometryError, match=said):
            kind_of(name)
    with pytest.raises(GeometryError, match=r"learned:FOLDER, onnx:FILE or wall, or several"):
        GeometryChoice.parse("magic")


@pytest.mark.usefixtures("_others")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("stereo", "there is a geometry source 'stereo' already"),
        ("auto", "'auto' is no source"),
        ("a+b", r"name of a geometry source is 'a\+b'"),
        (3, "name of a geometry source is 3"),
    ],
)
def test_a_name_that_cannot_be_is_refused(name, said):
    with pytest.raises(GeometryError, match=said):
        register(name, Wall())
