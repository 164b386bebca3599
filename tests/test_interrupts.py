"""Ctrl-C and SIGTERM: one line, the shell's status, and nothing left at work or half-written."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_kitti import write_kitti

from vista_sim.interrupts import SIGNALS, going_on, interruptible, uninterrupted

ROOT = Path(__file__).resolve().parent.parent
#: 128 + number, as POSIX shells tell it.
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}

#: A command that gets a signal when it begins to import a module.
COMMAND = """
import os, signal, sys

class Bell:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), int(number))

package, module, number, *arguments = sys.argv[1:]
sys.meta_path.insert(0, Bell())
if __name__ == "__main__":
    if package == "vista_sim":
        from vista_sim.cli import main
    else:
        from vista_agents.cli import main
    main(arguments)
"""


@pytest.fixture
def start(tmp_path):
    """Starts a command: its package, the module, the signal, its arguments."""
    script = tmp_path / "command.py"
    script.write_text(COMMAND)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    started = []

    def start(*arguments):
        command = [sys.executable, script, *map(str, arguments)]
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize(
    ("package", "module", "command"),
    [
        ("vista_agents", "gymnasium", "bc"),
        ("vista_agents", "torch", "bc"),
        ("vista_agents", "vista_agents.networks.attention", "networks"),
        ("vista_sim", "pyarrow", "info"),
        ("vista_sim", "numba", "bake"),
    ],
)
def test_a_command_that_is_still_importing_ends_in_one_line(
    start, road_trace, package, module, command, number
):
    arguments = [road_trace] if package == "vista_sim" else []
    process = start(package, module, int(number), command, *arguments)
    said = process.communicate(timeout=240)[1]
    assert process.returncode == STATUS[number], said
    assert said.splitlines()[0].endswith("interrupted")
    assert len(said.splitlines()) == 1


#: What the installed `vista-sim` runs, with a signal when the import of a module begins.
FIRST_IMPORTS = """
import os, sys
sys.path.insert(0, {root!r})

class Bell:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), {number})

sys.meta_path.insert(0, Bell())
from vista_command import main
main()
"""


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize(
    "module", ["vista_sim", "gymnasium", "numpy", "vista_sim.cli", "typer", "vista_sim.interrupts"]
)
def test_the_command_ends_in_one_line_from_its_first_import_on(module, number):
    program = FIRST_IMPORTS.format(root=str(ROOT), module=module, number=int(number))
    ended = subprocess.run(
        [sys.executable, "-c", program, "info"], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (STATUS[number], "interrupted\n")
    assert ended.stdout == ""


SMALL = [
    *("--threads", "1", "--network.encoder.size", "24", "48", "--network.encoder.features", "16"),
    *("--network.encoder.channels", "8", "8", "--network.encoder.kernels", "5", "3"),
    *("--network.encoder.strides", "2", "2"),
]
ENDLESS = {
    "guided": ["--steps", "100000", "--batch-size", "4", "--guided.frames", "16"],
    "reinforce": ["--iterations", "100000", "--practice.num-envs", "4", "--practice.steps", "32"],
}


@pytest.mark.parametrize(
    ("command", "number", "sign", "whole_group"),
    [
        ("guided", signal.SIGINT, "rounds/round-00002.safetensors", True),
        ("reinforce", signal.SIGTERM, "checkpoint/checkpoint.json", False),
    ],
)
def test_a_training_ends_with_all_that_works_for_it(
    start, road_trace, tmp_path, command, number, sign, whole_group
):
    out = tmp_path / "x"
    where = ["--traces", road_trace, "--out", out]
    process = start("vista_agents", "", 0, command, *where, *SMALL, *ENDLESS[command])
    deadline = time.monotonic() + 240
    while not (out / sign).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert bool(children) == (command == "guided")
    for one in [process.pid, *children] if whole_group else [process.pid]:
        os.kill(int(one), number)
    said = process.communicate(timeout=240)[1]
    assert process.returncode == STATUS[number], said
    *before, line = [x for x in said.splitlines() if "has no baked geometry" not in x]
    # Where it is slow, lines of progress came before.
    assert all(re.search(r": .* after \d+ (s|min)", x) for x in before)
    assert "interrupted; a training goes on from its last checkpoint with --resume" in line
    while any(map(is_running, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, children))
    left = {path.name for path in out.rglob("*")}
    assert not [name for name in left if name.endswith((".tmp", ".lock"))]


def is_running(process):
    stat = Path(f"/proc/{process}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture
def _handlers():
    before = {number: signal.getsignal(number) for number in SIGNALS}, sys.unraisablehook
    yield
    for number, handler in before[0].items():
        signal.signal(number, handler)
    sys.unraisablehook = before[1]


@pytest.mark.usefixtures("_handlers")
def test_an_interruption_that_a_library_turns_into_its_own_error_is_still_one(capsys):
    def load():
        try:
            signal.raise_signal(signal.SIGTERM)
        except BaseException:
            raise ImportError("the extension could not be loaded") from None

    with pytest.raises(SystemExit) as stop, interruptible("interrupted"):
        load()
    assert stop.value.code == 143
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.usefixtures("_handlers")
def test_how_to_go_on_is_told_where_the_command_can(capsys):
    with (
        pytest.raises(SystemExit) as stop,
        interruptible("interrupted"),
        going_on("; go on with --resume"),
    ):
        signal.raise_signal(signal.SIGINT)
    assert stop.value.code == 130
    assert capsys.readouterr().err == "interrupted; go on with --resume\n"


@pytest.mark.usefixtures("_handlers")
def test_an_interruption_where_nothing_can_be_raised_is_not_lost(capsys):
    class Dying:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    def work():
        dying = Dying()
        del dying
        time.sleep(5)
        raise AssertionError("it went on")

    with pytest.raises(SystemExit) as stop, interruptible("interrupted"):
        work()
    assert stop.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.usefixtures("_handlers")
def test_signals_are_as_they_were_after_a_command_that_ended_by_itself():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    before = [signal.getsignal(number) for number in SIGNALS]
    with interruptible("interrupted"):
        signal.raise_signal(signal.SIGTERM)  # ignored it was, ignored it is
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.usefixtures("_handlers")
def test_what_belongs_together_is_written_before_a_signal_is_handled():
    seen = []
    signal.signal(signal.SIGTERM, lambda number, frame: seen.append("handled"))
    with uninterrupted():
        signal.raise_signal(signal.SIGTERM)
        seen.append("written")
    assert seen == ["written", "handled"]


#: A command that gets a signal when all images of a trace are written.
WRITING = """
import os, sys
from vista_sim.traces.video import VideoWriter
VideoWriter.close = lambda self: os.kill(os.getpid(), int(sys.argv[1]))
from vista_sim.cli import main
main(sys.argv[2:])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_import_that_is_ended_leaves_nothing(tmp_path, number):
    write_kitti(tmp_path / "kitti")
    (tmp_path / "out").mkdir()
    given = ["import", tmp_path / "kitti", tmp_path / "out" / "t"]
    ended = subprocess.run(
        [sys.executable, "-c", WRITING, str(int(number)), *map(str, given)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == STATUS[number], ended.stderr
    assert ended.stderr.splitlines()[-1].endswith("interrupted")
    assert list((tmp_path / "out").iterdir()) == []
