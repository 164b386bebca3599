"""A full disk ends every command that writes in one line, and keeps what was there."""

import subprocess
import sys

import pytest
import suite_files
from test_kitti import write_kitti

#: A command whose files may not grow beyond so many bytes, which is as a full disk is.
LIMITED = """
import resource, sys
size = int(sys.argv.pop(1))
program = sys.argv.pop(1)
if program == "vista-train":
    from vista_agents.cli import main
else:
    from vista_sim.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
main(sys.argv[1:])
"""

SMALL = [
    *("--threads", "1", "--network.encoder.size", "24", "48", "--network.encoder.features", "16"),
    *("--network.encoder.channels", "8", "8", "--network.encoder.kernels", "5", "3"),
    *("--network.encoder.strides", "2", "2"),
]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, road_trace):
    folder = tmp_path_factory.mktemp("inputs")
    write_kitti(folder / "kitti")
    suite_files.scenario(folder, road_trace, "suite", top=["time_limit = 1.0"])
    return folder


def commands(inputs, road, out):
    """Size to which files may grow, and a command, by name."""
    return {
        "import": (900, "vista-sim", "import", "kitti-odometry", inputs / "kitti", out),
        "evaluate": (300, "vista-sim", "evaluate", "--policy", "expert", "--no-video",
                     "--workers", "0", "--suite", inputs / "suite.toml", "--out", out),
        "render": (300, "vista-sim", "render", road, "--t", "1", "--out", out / "view.png"),
        "train": (300, "vista-train", "bc", "--traces", road, "--out", out, "--steps", "2",
                  "--batch-size", "2", *SMALL),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["import", "evaluate", "render", "train"])
def test_a_command_without_space_ends_in_one_line(inputs, road_trace, tmp_path, name):
    out = tmp_path / "out"
    if name == "render":
        out.mkdir()
    command = commands(inputs, road_trace, out)[name]
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED, *map(str, command)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    told = [line for line in ended.stderr.splitlines() if "no space left on the device" in line]
    assert len(told) == 1, ended.stderr
    assert str(out) in told[0]
    assert ".part-" not in told[0]
    assert not list(tmp_path.rglob(".*.part-*"))
