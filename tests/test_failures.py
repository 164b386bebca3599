"""How commands end: one line each, whatever happens, in `vista-sim` and in `vista-train`."""

import errno
import logging
import os
import sys
import threading
from types import ModuleType

import pytest
import vista_agents.commands
from vista_agents.cli import main as train

from vista_sim import cli
from vista_sim.failures import DEBUG, OneLine, explained


def end_of(command, what, monkeypatch, capsys, *options):
    """Exit status and lines on stderr of a command that does `what`."""
    monkeypatch.setenv(DEBUG, "")
    if command == "vista-train":
        monkeypatch.setattr(vista_agents.commands, "run", lambda args: what())
        run = train
    else:
        module = ModuleType("odd_commands")
        module.register = lambda app: app.command("odd")(what)
        monkeypatch.setitem(sys.modules, "odd_commands", module)
        monkeypatch.setattr(cli, "COMMAND_MODULES", ("odd_commands", *cli.COMMAND_MODULES))
        run = cli.main
    with pytest.raises(SystemExit) as end:
        run(["odd", *options])
    return end.value.code, capsys.readouterr().err.splitlines()


def raising(error):
    def what():
        raise error

    return what


COMMANDS = pytest.mark.parametrize("command", ["vista-sim", "vista-train"])


@COMMANDS
def test_what_nobody_foresaw_is_one_line_with_its_kind_and_the_way_to_see_more(
    command, monkeypatch, capsys
):
    what = raising(ZeroDivisionError("a speed\nof zero"))
    status, lines = end_of(command, what, monkeypatch, capsys)
    assert status == 1
    assert len(lines) == 1
    assert "ZeroDivisionError: a speed of zero at test_failures.py:" in lines[0]
    assert "--debug" in lines[0]


@COMMANDS
def test_debug_shows_the_traceback_and_ends_the_same(command, monkeypatch, capsys):
    status, lines = end_of(command, raising(KeyError("x")), monkeypatch, capsys, "--debug")
    assert status == 1
    assert "Traceback (most recent call last):" in lines
    assert lines[-1].startswith(("error: KeyError", "vista-train: KeyError"))


@COMMANDS
@pytest.mark.parametrize(
    "number",
    [
        *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EMFILE),
        *(errno.EIO, errno.ENAMETOOLONG),
    ],
)
def test_a_machine_that_has_no_more_is_one_line_that_says_how_to_go_on(
    command, number, monkeypatch, capsys
):
    what = raising(OSError(number, os.strerror(number), "some/file"))
    status, lines = end_of(command, what, monkeypatch, capsys)
    assert status == 2
    assert len(lines) == 1
    full = number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    why = "no space left on the device" if full else os.strerror(number)
    assert f"some/file: {why}; " in lines[0]
    assert "kept" in lines[0]
    assert "--resume" in lines[0]


@COMMANDS
@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_a_permission_that_is_missing_is_no_matter_of_room(command, number, monkeypatch, capsys):
    what = raising(OSError(number, os.strerror(number), "some/file"))
    status, (line,) = end_of(command, what, monkeypatch, capsys)
    assert status == 2
    assert f"some/file: {os.strerror(number)}; give the right to read or write it" in line
    assert "room" not in line


@COMMANDS
def test_too_little_memory_is_one_line(command, monkeypatch, capsys):
    status, lines = end_of(command, raising(MemoryError()), monkeypatch, capsys)
    assert status == 2
    assert len(lines) == 1
    assert "not enough memory; " in lines[0]


@COMMANDS
def test_a_thread_that_fails_is_one_line(command, monkeypatch, capsys):
    def what():
        thread = threading.Thread(target=raising(ValueError("two\nlines")), name="idle")
        thread.start()
        thread.join()
        raise SystemExit(0)

    status, lines = end_of(command, what, monkeypatch, capsys)
    assert status == 0
    assert len(lines) == 1
    assert lines[0].startswith("error: in thread idle: ValueError: two lines at ")


def test_what_is_logged_with_an_error_is_one_line():
    try:
        raise ValueError("odd")
    except ValueError:
        record = logging.LogRecord("a", 30, "b", 1, "it\nfailed", (), sys.exc_info())
    line = OneLine("%(levelname)s: %(message)s").format(record)
    assert line.startswith("WARNING: it failed (ValueError: odd at test_failures.py:")
    assert "\n" not in line


def test_an_error_of_any_length_and_type_is_one_short_line():
    line, status = explained(RuntimeError("\n".join(["a" * 300] * 100)))
    assert status == 1
    assert "\n" not in line
    assert len(line) < 400
