import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("cv2", "numba", "pyarrow", "av", "torch", "pybullet", "scipy", "pygame", "matplotlib")


def run(code, **options):
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, **options
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_importing_the_package_loads_nothing_heavy():
    loaded = run(
        "import gymnasium, sys; before = set(sys.modules); import vista_sim; "
        f"print([m for m in {HEAVY} if m in sys.modules and m not in before])"
    )
    assert loaded == "[]"


def test_importing_the_package_registers_its_environments():
    known = run(
        "import gymnasium, vista_sim; print('VistaSim/LaneFollowing-v0' in gymnasium.registry)"
    )
    assert known == "True"


def test_every_public_name_is_found():
    import vista_sim

    for name in vista_sim.__all__:
        assert getattr(vista_sim, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Foo'"):
        _ = vista_sim.Foo


def test_every_folder_of_code_is_packaged():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folders = settings["tool"]["setuptools"]
    there = {
        ".".join((name, *init.parent.relative_to(ROOT / folders["package-dir"][name]).parts))
        for name in ("vista_sim", "vista_agents", "vista_scenarios")
        for init in (ROOT / folders["package-dir"][name]).rglob("__init__.py")
    }
    assert there == set(folders["packages"]) - {"vista_sim.assets"}


@pytest.mark.slow
def test_the_built_wheel_works_alone(tmp_path):
    source = tmp_path / "source"
    keep = ("pyproject.toml", "README.md", "LICENSE", "vista_command.py")
    keep += ("vista_sim", "agents", "scenarios", "assets")
    for name in keep:
        path = ROOT / name
        ignored = shutil.ignore_patterns("__pycache__", "geometry" if name == "assets" else "-")
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=ignored)
        else:
            source.mkdir(exist_ok=True)
            shutil.copy(path, source)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)]
    subprocess.run([*build, str(source)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    report = json.loads(
        run(
            "import json, gymnasium, vista_sim, vista_agents, vista_scenarios; "
            "from importlib.metadata import entry_points; "
            "trace = vista_sim.Trace.open(vista_sim.sample_trace('proving-ground')); "
            "from vista_sim.scenarios import load_suite; "
            "print(json.dumps({'cases': len(load_suite('smoke').cases()), "
            "'files': [m.__file__ for m in "
            "(vista_sim, vista_agents, vista_scenarios)], 'trace': str(trace.root), "
            "'duration': trace.duration, 'env': 'VistaSim/LaneFollowing-v0' in gymnasium.registry, "
            "'typed': __import__('pathlib').Path(vista_sim.__file__)"
            ".with_name('py.typed').exists()}))",
            env={**os.environ, "PYTHONPATH": str(site)},
            cwd=tmp_path,
        )
    )
    assert all(file.startswith(str(site)) for file in report["files"])
    assert report["trace"].startswith(str(site))
    assert report["duration"] >= 60
    assert report["env"]
    assert report["cases"] == 2  # a scenario of the wheel, on its traces
    assert report["typed"]
