"""What decides a result: the bytes of recordings, geometry, policies and code."""

import contextlib
import hashlib
import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import suite_files
from onnx import TensorProto, helper, numpy_helper

from vista_sim.cli import main
from vista_sim.errors import GeometryError, PolicyError, RunError, TraceError
from vista_sim.evaluation.comparison import compare
from vista_sim.evaluation.comparison_report import heading
from vista_sim.evaluation.evaluate import evaluate
from vista_sim.evaluation.suites.driving import CaseDriver
from vista_sim.geometry.bake import bake
from vista_sim.geometry.identity import identify_trace
from vista_sim.geometry.store import GeometryStore
from vista_sim.identity import files as identity_files
from vista_sim.identity.files import content_digest
from vista_sim.identity.onnx_files import weight_files
from vista_sim.identity.sources import SHOWING, sources_digest
from vista_sim.policies import Action, CameraSpec, PolicyServer, load_policy, policy_hash
from vista_sim.policies.identity import identify_policy, module_files
from vista_sim.policies.remote.server import Loader
from vista_sim.runs.run import read_run
from vista_sim.traces.trace import Trace

AGAIN = "start anew with another --out, or with --overwrite"


@pytest.fixture
def drive(road_trace, tmp_path):
    """A recording of its own."""
    return Path(shutil.copytree(road_trace, tmp_path / "drive"))


def same_times(path, content):
    """Write other bytes of the same length into a file, with the time of change it had."""
    before = path.stat()
    assert len(content) == before.st_size
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def flip(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    same_times(path, bytes(data))


def test_a_digest_is_that_of_the_bytes_whatever_the_times_say(tmp_path, monkeypatch):
    monkeypatch.setattr(identity_files, "SETTLED_NS", -(10**12))  # all are remembered at once
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    assert content_digest(path, TraceError) == hashlib.sha256(b"one").hexdigest()
    same_times(path, b"two")
    assert content_digest(path, TraceError) == hashlib.sha256(b"two").hexdigest()
    other = tmp_path / "other"
    other.write_bytes(b"six")
    os.utime(other, ns=(0, path.stat().st_mtime_ns))
    other.replace(path)
    assert content_digest(path, TraceError) == hashlib.sha256(b"six").hexdigest()
    with pytest.raises(TraceError, match="nowhere: not found"):
        content_digest(tmp_path / "nowhere", TraceError)


def test_a_file_that_is_as_it_was_is_read_once_also_by_another_process(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(identity_files, "SETTLED_NS", -(10**12))
    monkeypatch.setattr(identity_files, "LARGE", 2)
    path = tmp_path / "video"
    path.write_bytes(b"bytes")
    wanted = content_digest(path, TraceError)

    def read_again(*_):
        raise AssertionError("the file is read again")

    monkeypatch.setattr(hashlib, "file_digest", read_again)
    assert content_digest(path, TraceError) == wanted
    identity_files._known.clear()  # as in another process
    assert content_digest(path, TraceError) == wanted
    # What the cache says of another file of that name is not believed.
    path.write_bytes(b"other")
    with pytest.raises(AssertionError, match="read again"):
        content_digest(path, TraceError)
    (tmp_path / "cache" / "vista_sim" / "digests.json").write_text("{")
    with pytest.raises(AssertionError, match="read again"):
        content_digest(path, TraceError)


@pytest.mark.parametrize("file", ["ego.parquet", "front.mp4", "front.parquet", "road.parquet"])
def test_a_recording_is_known_by_each_of_its_files(drive, file):
    before = identify_trace(Trace.open(drive))
    path = drive / file
    if path.suffix == ".parquet":  # the same values, stored otherwise
        pq.write_table(pq.read_table(path), path, compression="none")
    else:
        flip(path, path.stat().st_size // 2)
    now = identify_trace(Trace.open(drive))
    assert now.recording != before.recording
    assert now.geometry is before.geometry is None


def test_what_is_no_part_of_a_recording_does_not_matter(drive, tmp_path):
    before = identify_trace(Trace.open(drive))
    (drive / "notes.txt").write_text("sunny")
    (drive / ".hidden").write_text("x")
    assert identify_trace(Trace.open(drive)) == before
    moved = shutil.copytree(drive, tmp_path / "elsewhere")
    assert identify_trace(Trace.open(moved)) == before


def test_baked_geometry_is_known_by_its_bytes(drive):
    bake(drive, geometry="ground", size=(24, 48))
    trace = Trace.open(drive)
    before = identify_trace(trace)
    assert before.geometry is not None
    bake(drive, geometry="ground", size=(24, 48), force=True)
    assert identify_trace(trace) == before
    bake(drive, geometry="ground", size=(12, 24))
    now = identify_trace(trace)
    assert now.recording == before.recording
    assert now.geometry not in (None, before.geometry)
    flip(drive / "geometry" / "front" / "poses.npy", -1)
    assert identify_trace(trace).geometry != now.geometry


def test_geometry_of_another_video_of_the_same_size_and_ends_is_refused(drive):
    video = drive / "front.mp4"
    video.write_bytes(video.read_bytes() + bytes(200_000))  # longer than its ends
    bake(drive, geometry="ground", size=(24, 48))
    assert GeometryStore.find(Trace.open(drive), "front") is not None
    flip(video, video.stat().st_size // 2 + 50_000)
    with pytest.raises(GeometryError, match=r"was baked from another front\.mp4; run 'vista-sim"):
        GeometryStore.find(Trace.open(drive), "front")
    bake(drive, geometry="ground", size=(24, 48))
    assert GeometryStore.find(Trace.open(drive), "front") is not None


def test_a_trace_that_changed_behind_its_times_is_opened_anew(drive):
    trace = Trace.open(drive)
    assert Trace.open(drive) is trace
    table = pq.read_table(drive / "ego.parquet")
    y = pa.array(table["y"].to_numpy() + 0.25)
    found = (drive / "ego.parquet").stat()
    changed = table.set_column(table.schema.get_field_index("y"), "y", y)
    pq.write_table(changed, drive / "ego.parquet")
    os.utime(drive / "ego.parquet", ns=(found.st_atime_ns, found.st_mtime_ns))
    assert Trace.open(drive) is not trace


def write_model(folder, value, locations=("weights.bin",)):
    """policy.onnx that answers a curvature of `value`, its weights in files of these names."""
    names = [f"w{i}" for i in range(len(locations))]
    parts = [
        numpy_helper.from_array(np.full((1, 1), value / len(names), np.float32), name)
        for name in names
    ]
    folded = helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0])
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Constant", [], ["zeros"], value=folded),
        helper.make_node("Mul", ["mean", "zeros"], ["start"]),
        *(
            helper.make_node("Add", [f"sum{i}" if i else "start", name], [f"sum{i + 1}"])
            for i, name in enumerate(names)
        ),
        helper.make_node("Identity", [f"sum{len(names)}"], ["curvature"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 16])
    out = helper.make_tensor_value_info("curvature", TensorProto.FLOAT, [1, 1])
    graph = helper.make_graph(nodes, "g", [image], [out], parts)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    folder.mkdir(exist_ok=True)
    for tensor, location in zip(model.graph.initializer, locations, strict=True):
        (folder / location).parent.mkdir(exist_ok=True)
        (folder / location).write_bytes(tensor.raw_data)
        onnx.external_data_helper.set_external_data(tensor, location)
        tensor.ClearField("raw_data")
    (folder / "policy.onnx").write_bytes(model.SerializeToString())
    described = {
        "format": "vista-onnx-policy/1",
        "camera": {"size": [8, 16]},
        "inputs": [{"name": "image", "what": "camera", "layout": "NCHW"}],
        "outputs": [{"name": "curvature", "what": "curvature", "unit": "1/m"}],
    }
    (folder / "policy.json").write_text(json.dumps(described))
    return folder / "policy.onnx"


@pytest.mark.parametrize(
    "locations",
    [("weights.bin",), ("policy.onnx_data",), ("policy.onnx.data",), ("a", "sub/b", "c.weight")],
)
def test_an_onnx_policy_is_known_by_the_weights_in_files_of_any_name(tmp_path, locations):
    path = write_model(tmp_path / "model", 0.0, locations)
    assert weight_files(path, PolicyError) == [path.parent / name for name in sorted(locations)]
    before, model = policy_hash(path), path.read_bytes()
    write_model(tmp_path / "model", 0.02, locations)
    assert path.read_bytes() == model  # the weights alone are other ones
    assert policy_hash(path) != before
    seen = {"camera": np.zeros((8, 16, 3), np.uint8)}
    assert load_policy(path).act(seen).curvature == pytest.approx(0.02)


def test_weights_in_subgraphs_constants_and_sparse_tensors_are_found(tmp_path):
    def outside(name):
        tensor = numpy_helper.from_array(np.zeros((1, 1), np.float32), name)
        onnx.external_data_helper.set_external_data(tensor, f"{name}.bin")
        return tensor

    branch = helper.make_graph([], "branch", [], [], [outside("branch")])
    sparse = onnx.SparseTensorProto()
    sparse.values.CopyFrom(outside("sparse"))
    nodes = [
        helper.make_node("Constant", [], ["x"], value=outside("constant")),
        helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch),
    ]
    graph = helper.make_graph(nodes, "g", [], [], [outside("plain")], sparse_initializer=[sparse])
    function = helper.make_function(
        "own", "f", [], ["z"], [helper.make_node("Constant", [], ["z"], value=outside("function"))],
        [helper.make_opsetid("", 17)],
    )  # fmt: skip
    model = helper.make_model(graph, functions=[function])
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    names = [file.name for file in weight_files(path, PolicyError)]
    assert names == [f"{n}.bin" for n in ("branch", "constant", "function", "plain", "sparse")]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is not an ONNX model .it is empty"),
        (b"\x3a\x7f", "is not an ONNX model .it is cut off"),
        (b"\xff" * 12, "is not an ONNX model .it has a number of more than 64 bits"),
        (b"\x0b", "is not an ONNX model .it has a field of type 3"),
    ],
)
def test_what_is_no_model_is_told_in_one_line(tmp_path, data, message):
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(PolicyError, match=message):
        weight_files(path, PolicyError)


def test_weights_elsewhere_than_beside_the_model_are_refused(tmp_path):
    for location in ("../weights", "/etc/passwd"):
        path = write_model(tmp_path / "model", 0.0)
        model = onnx.load(path, load_external_data=False)
        model.graph.initializer[0].external_data[0].value = location
        path.write_bytes(model.SerializeToString())
        with pytest.raises(PolicyError, match="which does not lie in its folder"):
            policy_hash(path)


def test_a_factory_is_known_by_the_files_of_its_module_or_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "alone_of_test.py").write_text("x = 1\n")
    package = tmp_path / "package_of_test"
    (package / "deep").mkdir(parents=True)
    for name in ("__init__.py", "deep/__init__.py", "deep/module.py", "weights.bin"):
        (package / name).write_text("")
    loose = tmp_path / "loose_of_test"
    loose.mkdir()
    (loose / "module.py").write_text("")
    assert list(module_files("alone_of_test").values()) == [tmp_path / "alone_of_test.py"]
    found = module_files("package_of_test.deep.module")
    assert {path.name for path in found.values()} == {"__init__.py", "module.py", "weights.bin"}
    assert len(found) == 4
    assert list(module_files("loose_of_test.module").values()) == [loose / "module.py"]
    assert module_files("nowhere_of_test") == module_files("sys") == {}
    before = policy_hash("package_of_test.deep.module:make")
    (package / "weights.bin").write_text("other")
    assert policy_hash("package_of_test.deep.module:make") not in (None, before)


def test_what_only_shows_is_imported_by_nothing_that_decides():
    """So that it may be left out of the hash of what decides."""
    root = Path(identity_files.__file__).parents[1]
    allowed = {"cli.py", "driving.py"}  # registers the commands; opens a window for `render_mode`
    for path in root.rglob("*.py"):
        inside = path.relative_to(root).parts[0]
        if inside in SHOWING or path.name in allowed:
            continue
        text = path.read_text()
        for name in SHOWING:
            assert f"vista_sim.{name}." not in text, path
            assert f"from vista_sim.{name} import" not in text, path


def test_sources_are_known_by_every_file_of_a_package(tmp_path, monkeypatch):
    package = tmp_path / "sources_of_test"
    (package / "part").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "part" / "a.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = sources_digest("sources_of_test")
    (package / "part" / "a.py").write_text("x = 2\n")
    sources_digest.cache_clear()
    assert sources_digest("sources_of_test") not in (None, before)
    assert sources_digest("nowhere_of_test") is None


class Straight:
    """Drives ahead."""

    camera = None

    def __init__(self, version=None):
        self.version = version

    def reset(self):
        pass

    def act(self, observation, car=None):
        return Action(0.0)


def test_a_policy_may_declare_a_version():
    known = identify_policy(Straight("seven"))
    assert (known.version, known.unknown) == ("seven", "")
    assert identify_policy(Straight()).unknown == "what an object of Straight is made of"
    for wrong in (7, "two\nlines", "x" * 201):
        with pytest.raises(PolicyError, match=r"version is .*; it must be a text of one line"):
            identify_policy(Straight(wrong))


@pytest.fixture
def suite(drive, tmp_path):
    """A suite of two short cases on the recording, and how it is judged in this process."""
    path = suite_files.scenario(
        tmp_path,
        drive,
        "quick",
        top=["time_limit = 0.4"],
        start=["lateral = { values = [-0.5, 0.5] }"],
    )

    def judge(out, policy="expert", **options):
        return evaluate(policy, path, out, workers=0, video=False, **options)

    return judge


def refused(judge, message, *arguments, **options):
    with pytest.raises(RunError, match=rf"cannot be resumed: {message}.*; {AGAIN}") as caught:
        judge(*arguments, resume=True, **options)
    assert "\n" not in str(caught.value)


def weave(drive):
    """Record the drive anew under its name: 0.6 m to either side."""
    table = pq.read_table(drive / "ego.parquet")
    y = pa.array(table["y"].to_numpy() + 0.6 * np.sin(table["x"].to_numpy() / 4))
    table = table.set_column(table.schema.get_field_index("y"), "y", y)
    pq.write_table(table, drive / "ego.parquet")


def test_a_run_is_not_resumed_on_another_recording(suite, drive, tmp_path):
    suite(tmp_path / "run")
    weave(drive)
    refused(suite, f"the recording {drive} has changed since its cases", tmp_path / "run")
    suite(tmp_path / "anew")
    a, b = (read_run(tmp_path / name).info for name in ("run", "anew"))
    assert a["cases_sha256"] != b["cases_sha256"]
    found = compare(tmp_path / "run", tmp_path / "anew")
    assert found.same_cases is False
    assert f"the recording {drive} has changed from a to b" in found.warnings


def test_a_run_is_not_resumed_on_other_geometry(suite, drive, tmp_path):
    suite(tmp_path / "run")
    bake(drive, geometry="ground", size=(24, 48))
    refused(suite, f"the baked geometry of {drive} was made only afterwards", tmp_path / "run")
    suite(tmp_path / "baked")
    bake(drive, geometry="ground", size=(12, 24))
    refused(suite, f"the baked geometry of {drive} has been baked anew", tmp_path / "baked")
    shutil.rmtree(drive / "geometry")
    refused(suite, f"the baked geometry of {drive} is gone", tmp_path / "baked")


def test_a_recording_that_moved_is_the_same(suite, drive, tmp_path):
    suite(tmp_path / "run")
    drive.rename(tmp_path / "moved")
    (tmp_path / "drive").symlink_to("moved")
    assert suite(tmp_path / "run", resume=True).suite.resumed == 2


def test_a_recording_that_changes_under_way_ends_the_run(suite, drive, tmp_path, monkeypatch):
    whole = CaseDriver.drive

    def and_record_anew(self, job, sink, begun):
        whole(self, job, sink, begun)
        weave(drive)

    monkeypatch.setattr(CaseDriver, "drive", and_record_anew)
    with pytest.raises(TraceError, match="has changed while a suite was driven on it"):
        suite(tmp_path / "run")
    assert read_run(tmp_path / "run").episodes.num_rows == 0


def test_a_run_is_not_resumed_with_other_weights(suite, tmp_path):
    path = write_model(tmp_path / "model", 0.0)
    suite(tmp_path / "run", str(path))
    assert suite(tmp_path / "run", str(path), resume=True).suite.resumed == 2
    write_model(tmp_path / "model", 0.15)
    refused(suite, "the policy's hash was [0-9a-f]{64}, is", tmp_path / "run", str(path))


def write_folder(folder, seed):
    """A small network that drives, its weights drawn by `seed`."""
    from architectures import SMALL, build
    from vista_agents.policy import NetworkPolicy, PolicySpec

    config = SMALL["cnn"]
    spec = PolicySpec({"camera": CameraSpec(config.camera_size, 1.1)}, config, name="x")
    NetworkPolicy(spec, build(config, seed)).save(folder)
    return folder


@pytest.mark.parametrize("write", [write_model, write_folder])
def test_a_copy_of_a_policy_is_the_same_wherever_it_lies(suite, tmp_path, write):
    """Neither where its files are, nor their times and permissions decide how it drives."""
    original = write(tmp_path / "model", 0)
    suite(tmp_path / "run", str(original))
    copy = tmp_path / "elsewhere" / "copy"
    shutil.copytree(tmp_path / "model", copy)
    shutil.rmtree(tmp_path / "model")
    for path in (*copy.rglob("*"), copy):
        os.utime(path, ns=(1, 1))
        path.chmod(path.stat().st_mode & ~0o222)
    moved = str(copy / original.relative_to(tmp_path / "model"))
    assert suite(tmp_path / "run", moved, resume=True).suite.resumed == 2
    suite(tmp_path / "anew", moved)
    found = compare(tmp_path / "run", tmp_path / "anew")
    assert (found.same_cases, found.warnings) == (True, ())
    assert "SHA-256" in found.policies[0]
    assert found.policies[0].partition(", ")[2] == found.policies[1].partition(", ")[2]
    shutil.rmtree(copy)
    write(copy, 1)
    refused(suite, "the policy's hash was", tmp_path / "run", moved)


def test_a_run_is_not_resumed_by_other_code(suite, tmp_path):
    suite(tmp_path / "run")
    info = json.loads((tmp_path / "run" / "run.json").read_text())
    changed = info | {"sources": info["sources"] | {"simulator": "0" * 64}}
    (tmp_path / "run" / "run.json").write_text(json.dumps(changed))
    refused(suite, "the hash of the simulator's sources was 0{64}, is", tmp_path / "run")


def test_a_run_of_before_is_read_and_compared_but_not_resumed(suite, tmp_path):
    for name in ("old", "new"):
        suite(tmp_path / name)
    path = tmp_path / "old" / "run.json"
    info = json.loads(path.read_text())
    del info["sources"]
    for trace in info["traces"]:
        del trace["recording"], trace["geometry"]
    path.write_text(json.dumps(info))
    refused(suite, "it was written before runs said which", tmp_path / "old")
    lines = heading(compare(tmp_path / "old", tmp_path / "new"))
    assert "policy expert" in lines[0]
    assert lines[0].endswith("sources not known")
    assert "simulator " in lines[1]
    assert (
        lines[2]
        == "both have 2 cases of the same names; whether they are the same cases is not known"
    )
    found = compare(tmp_path / "old", tmp_path / "new")
    assert found.pairs == 2
    assert found.same_cases is None
    assert found.warnings[0].startswith("a was written before runs said which recordings")
    assert compare(tmp_path / "new", tmp_path / "new").same_cases is True


def test_cases_of_one_name_that_fix_other_things_are_not_the_same(suite, tmp_path):
    suite(tmp_path / "a")
    path = next(tmp_path.glob("*.toml"))
    path.write_text(path.read_text().replace("time_limit = 0.4", "time_limit = 0.3"))
    suite(tmp_path / "b")
    found = compare(tmp_path / "a", tmp_path / "b")
    assert found.same_cases is False
    assert found.warnings == (
        "2 cases fix other settings in b than in a, such as quick/road,lateral=-0.5,seed=0",
    )


def test_the_command_says_what_is_not_known_of_a_policy(suite, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name = f"told_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(FACTORY.format(version=""))
    (tmp_path / "weights.txt").write_text("0.0")
    file = next(tmp_path.glob("*.toml"))
    command = ["evaluate", "--suite", str(file), "--policy", f"{name}:Bend", "--no-video"]
    command += ["--out", str(tmp_path / "run"), "--workers", "0", "--json"]
    with pytest.raises(SystemExit) as end:
        main(command)
    assert end.value.code == 0
    said = capsys.readouterr().err
    assert f"not known: what {name}:Bend reads beside the files of its module" in said
    with pytest.raises(SystemExit) as end:
        main([*command, "--same-policy"])
    assert end.value.code == 2
    assert "--same-policy goes with --resume" in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        main([*command, "--resume", "--same-policy"])
    assert end.value.code == 0


FACTORY = """
from pathlib import Path
from vista_sim import Action

class Bend:
    camera = None
    {version}
    def reset(self):
        pass
    def act(self, observation, car=None):
        return Action(float((Path(__file__).parent / "weights.txt").read_text()))
"""


def test_what_a_factory_reads_elsewhere_is_not_taken_as_known(suite, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = f"elsewhere_{tmp_path.name}".replace("-", "_")
    module, weights = tmp_path / f"{name}.py", tmp_path / "weights.txt"
    module.write_text(FACTORY.format(version=""))
    weights.write_text("0.0")
    policy = f"{name}:Bend"
    suite(tmp_path / "run", policy)
    weights.write_text("0.15")
    refused(
        suite,
        f"it is not known whether what {policy} reads beside the files of its module is what it "
        r"was \(give the policy a text `version`",
        tmp_path / "run",
        policy,
    )
    assert suite(tmp_path / "run", policy, resume=True, same_policy=True).suite.resumed == 2
    module.write_text(FACTORY.format(version="version = 'first'"))
    refused(suite, "the policy's hash was", tmp_path / "run", policy, same_policy=True)


@contextlib.contextmanager
def served(policy, address):
    """Serve a policy; its address as `--policy` takes it."""
    with PolicyServer(policy, str(address)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield str(server.address)
    thread.join()


def test_a_policy_behind_a_socket_is_known_by_the_version_it_declares(suite, tmp_path):
    def judge_at(version, out, **options):
        with served(lambda: Straight(version), tmp_path / "policy.sock") as policy:
            return suite(tmp_path / out, policy, **options)

    judge_at("one", "run")
    assert read_run(tmp_path / "run").info["policy"]["version"] == "one"
    assert judge_at("one", "run", resume=True).suite.resumed == 2
    with pytest.raises(RunError, match="the policy's version was one, is two"):
        judge_at("two", "run", resume=True)
    judge_at(None, "silent")
    with pytest.raises(RunError, match=r"not known whether what is served at .*serve-policy"):
        judge_at(None, "silent", resume=True)


def test_files_that_are_served_are_declared_and_a_change_is_seen(tmp_path):
    path = write_model(tmp_path / "model", 0.0)
    with served(Loader(str(path)), tmp_path / "a.sock") as address:
        client = load_policy(address)
        assert client.version == policy_hash(path)
        client.close()
        # What is loaded for the next connection has other weights.
        write_model(tmp_path / "model", 0.1)
        with pytest.raises(PolicyError, match="another policy is there: its version was"):
            client.reset()
        other = load_policy(address)
        assert other.version == policy_hash(path) != client.version
        other.close()
