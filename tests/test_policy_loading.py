"""`load_policy`: everything it takes, and one line for everything it does not."""

import hashlib
import json
import sys

import pytest
from driving_models import MEAN, write_mean

from vista_sim.cli import main
from vista_sim.errors import PolicyError
from vista_sim.evaluation.evaluate import evaluate
from vista_sim.policies import OnnxPolicy, SocketPolicy, load_policy, policy_hash
from vista_sim.policies.reference import ReferenceDriver
from vista_sim.runs.run import read_run

MODULE = """
from vista_sim import Action, CameraSpec

class Bend:
    camera = None
    def __init__(self, curvature=0.01):
        self.curvature = curvature
    def reset(self):
        pass
    def act(self, observation, car=None):
        return Action(self.curvature)

class Inside:
    @staticmethod
    def make():
        return Bend(0.03)

def make():
    return Bend(0.02)

def fails():
    raise ZeroDivisionError("no\\nluck")

def camera():
    policy = Bend()
    policy.camera = (66, 200)
    return policy

def exits():
    raise SystemExit("no")

class Odd:
    def __getattr__(self, name):
        raise KeyError(name)
    def __repr__(self):
        return "x\\n" * 1000

odd = Odd()
nothing = 3
returns_a_class = lambda: Bend
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The name of a module in the current directory."""
    name = f"own_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    (tmp_path / f"{name}_broken.py").write_text("import nowhere_to_be_found\n")
    (tmp_path / f"{name}_ends.py").write_text("raise SystemExit('at import')\n")
    (tmp_path / f"{name}_syntax.py").write_text("def f(:\n")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    yield name
    sys.path[:] = before
    for loaded in [m for m in sys.modules if m.startswith(name)]:
        del sys.modules[loaded]


def refuse(what, message):
    with pytest.raises(PolicyError, match=message) as caught:
        load_policy(what)
    assert "\n" not in str(caught.value)


def test_a_factory_of_the_current_directory_is_called(module):
    for factory, curvature in (("make", 0.02), ("Bend", 0.01), ("Inside.make", 0.03)):
        assert load_policy(f"{module}:{factory}").act({}).curvature == curvature


# From Python 3.12 on, a look for methods does not ask the object itself.
ODD = (
    "what the factory returned raised KeyError"
    if sys.version_info < (3, 12)
    else r"returned x .*\.\.\., which is no policy: it needs reset"
)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("{}_other:make", "there is no module 'own_.*_other', neither in .* nor installed"),
        ("{}.part:make", "there is no module 'own_.*part'"),
        ("{}:missing", "has no 'missing'"),
        ("{}:nothing", "is a int; name a callable without arguments that returns a policy"),
        ("{}:fails", r"the factory raised ZeroDivisionError: no luck at .*own_.*\.py:2\d"),
        ("{}:exits", "the factory raised SystemExit: no"),
        ("{}:odd.make", "'make' raised KeyError"),
        ("{}:Odd", ODD),
        ("{}_ends:make", "import of .* raised SystemExit: at import"),
        ("{}_ends.part:make", "import of .* raised SystemExit: at import"),
        ("x" * 5000, "no such policy; give a folder"),
        ("a\0b", "no such policy; give a folder"),
        ("socket:127.0.0.1:" + "9" * 5000, "socket address is '127"),
        ("{}:camera", "a policy whose camera is .66, 200.; it must be a vista_sim.CameraSpec"),
        ("{}:returns_a_class", "returned <class .*, which is no policy: it needs reset"),
        ("{}:dict", "has no 'dict'"),
        ("{}_broken:make", "import of .* raised ModuleNotFoundError: No module named 'nowhere_"),
        ("{}_syntax:make", "import of .* raised SyntaxError"),
        ("nowhere", "no such policy; give a folder with policy.json, an .onnx file, module:fac"),
        ("nowhere.onnx", "nowhere.onnx: no such file"),
        ("socket:", "socket address is ''; give HOST:PORT on this machine"),
        (".", "policy.json: not found"),
    ],
)
def test_what_is_no_policy_is_told_in_one_line(module, what, message):
    refuse(what.format(module), message)


def test_a_factory_is_found_though_the_working_directory_is_gone(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    refuse(
        "nowhere_to_be_found:make",
        r"no module 'nowhere_to_be_found', neither in the working folder \(it is gone\) nor",
    )


def test_every_other_kind_is_found(tmp_path, serving):
    path = write_mean(tmp_path / "model.onnx")
    for found in (load_policy(path), load_policy(str(path))):
        assert isinstance(found, OnnxPolicy)
    assert isinstance(load_policy("expert"), ReferenceDriver)
    there = load_policy(str(serving(ReferenceDriver())))
    assert isinstance(there, SocketPolicy)
    there.close()


def test_the_hash_of_an_onnx_policy_changes_with_its_files(tmp_path):
    path = write_mean(tmp_path / "model.onnx")
    parts = [path.read_bytes(), path.with_suffix(".json").read_bytes()]
    wanted = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()
    assert policy_hash(path) == policy_hash(str(path)) == wanted
    path.with_suffix(".json").write_text(json.dumps({**MEAN, "name": "x"}))
    assert policy_hash(path) != wanted
    for other in ("expert", "socket:127.0.0.1:1", "my_package.module:make", ReferenceDriver()):
        assert policy_hash(other) is None


def test_a_run_of_a_factory_says_which(module, road_trace, tmp_path):
    name = f"{module}:make"
    evaluate(name, road_trace, tmp_path / "run", recovery=False, video=False, section=(0, 2))
    policy = read_run(tmp_path / "run").info["policy"]
    assert policy.pop("name") == name
    assert len(policy.pop("sha256")) == 64  # of the module's file
    assert policy == {"unknown": f"what {name} reads beside the files of its module"}


def test_the_command_takes_a_factory_and_reports_its_mistakes(module, road_trace, capsys):
    arguments = ["--traces", str(road_trace), "--section", "0:2", "--no-recovery", "--json"]
    with pytest.raises(SystemExit) as end:
        main(["evaluate", "--policy", f"{module}:make", *arguments])
    assert end.value.code == 0
    assert json.loads(capsys.readouterr().out)["policy"] == f"{module}:make"
    with pytest.raises(SystemExit) as end:
        main(["evaluate", "--policy", f"{module}:fails", *arguments])
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "raised ZeroDivisionError: no luck" in line
