"""What is compiled is compiled anew when what went into it changes."""

import errno
import logging
import os
import subprocess
import sys
import tempfile

import pytest
from numba.core import caching

from vista_sim import compiled
from vista_sim.own_folder import temporary_folder


def test_a_constant_of_another_module_that_changes_is_compiled_in_anew(tmp_path):
    (tmp_path / "constants.py").write_text("VALUE = 1.5\n")
    (tmp_path / "kernel.py").write_text(
        "import constants\n"
        "from vista_sim.compiled import compiler\n"
        "@compiler(constants)\n"
        "def value():\n    return constants.VALUE\n"
        "print(value(), len(value.stats.cache_hits))\n"
    )

    def run():
        # No bytecode: a file that changes within a second keeps its time stamp.
        command = [sys.executable, "-B", "-c", "import kernel"]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        said = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        return said.stdout.split()

    assert run() == ["1.5", "0"]
    assert run() == ["1.5", "1"]
    (tmp_path / "constants.py").write_text("VALUE = 2.5\n")
    assert run() == ["2.5", "0"]


@pytest.fixture
def _nowhere(monkeypatch):
    """Neither beside the sources nor in the user's cache folder can anything be kept."""
    compiled._warn.cache_clear()
    for place in (caching.InTreeCacheLocator, caching.UserWideCacheLocator):
        monkeypatch.setattr(place, "from_function", lambda *_: None)


def doubled():
    @compiled.njit(cache=True)
    def double(x):
        return x + x

    return double


@pytest.mark.usefixtures("_nowhere")
def test_what_cannot_be_kept_beside_the_sources_is_kept_in_a_temporary_folder(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert doubled()(3) == 6
    own = tmp_path / f"vista_sim-{os.getuid()}"
    assert list((own / "numba").rglob("*.nbi"))
    assert own.stat().st_mode & 0o077 == 0
    assert not caplog.records


@pytest.mark.usefixtures("_nowhere")
@pytest.mark.parametrize("case", ["no folder", "another's", "a link"])
def test_without_a_folder_of_ones_own_nothing_is_kept_and_said_so_once(
    case, tmp_path, monkeypatch, caplog
):
    own = tmp_path / f"vista_sim-{os.getuid()}"
    if case == "no folder":
        monkeypatch.setattr(tempfile, "gettempdir", lambda: (_ for _ in ()).throw(OSError("none")))
    else:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        (tmp_path / "other").mkdir()
        if case == "a link":
            own.symlink_to(tmp_path / "other")
        else:
            own.mkdir()
            own.chmod(0o777)  # whoever writes into it has its code run here
    with caplog.at_level(logging.WARNING):
        assert doubled()(3) == doubled()(1.5) * 2 == 6
    assert [record.getMessage().count("NUMBA_CACHE_DIR") for record in caplog.records] == [1]
    assert temporary_folder() is None
    assert not list(tmp_path.rglob("*.nb*"))


def test_a_full_disk_does_not_stop_what_is_compiled(monkeypatch, caplog):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    compiled._warn.cache_clear()
    monkeypatch.setattr(caching.Cache, "save_overload", full)
    assert doubled()(21) == 42
    assert len(caplog.records) == 1


@pytest.mark.skipif(
    sys.version_info[:3] == (3, 13, 0), reason="Python 3.13.0 cannot import its own modules there"
)
def test_it_compiles_where_the_working_folder_is_gone(tmp_path):
    script = (
        "import os, sys; os.chdir(sys.argv[1]); os.rmdir(sys.argv[1])\n"
        "from vista_sim.compiled import njit\n"
        "@njit()\n"
        "def total(values):\n"
        "    out = 0\n"
        "    for value in values:\n"
        "        out += value\n"
        "    return out\n"
        "print(total((1, 2, 3)))\n"
    )
    (tmp_path / "gone").mkdir()
    command = [sys.executable, "-c", script, str(tmp_path / "gone")]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert said.stdout == "6\n"
