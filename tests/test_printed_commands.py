"""Every command that a document, a help text, a message or a page prints is one that works."""

import contextlib
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
from made_up_runs import Drive, write
from printed_commands import (
    LINE,
    PROSE,
    QUOTED,
    ROOT,
    Printed,
    check,
    of_comments,
    of_document,
    of_lines,
    of_notebook,
    of_source,
    of_text,
)
from vista_agents import demo

from vista_sim.cli import main
from vista_sim.drive import drive

DOCUMENTS = (
    *("README.md", "CONTRIBUTING.md", "agents/README.md", "scenarios/README.md"),
    *("vista_sim/policies/README.md", "benchmarks/NOTES.md", "examples/README.md"),
)
SOURCES = ("vista_sim", "agents", "benchmarks", "scenarios")


def found():
    for name in DOCUMENTS:
        yield from of_document(ROOT / name)
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield from of_source(path)
        for path in sorted((ROOT / folder).rglob("*.toml")):
            yield from of_comments(path)
    for path in sorted((ROOT / "examples").glob("*.ipynb")):
        yield from of_notebook(path)


FOUND = list(dict.fromkeys(found()))


@pytest.mark.parametrize(
    "file", sorted({one.where for one in FOUND}), ids=lambda file: file.replace("/", ".")
)
def test_every_command_of_a_file_is_one_that_the_programs_take(file):
    wrong = []
    for printed in FOUND:
        if printed.where == file:
            try:
                check(printed)
            except Exception as error:
                wrong.append(f"{printed.text!r}: {error}")
    assert not wrong, "\n".join(wrong)


def test_the_commands_of_the_documents_are_found():
    texts = {(one.where, one.text, one.how) for one in FOUND}
    assert ("README.md", "make demo", LINE) in texts
    assert ("README.md", "vista-sim scenario list", LINE) in texts
    assert ("README.md", 'vista-sim bake "$d"', QUOTED) in texts
    assert ("agents/README.md", "vista-train export --policy runs/guided", LINE) in texts
    assert ("vista_sim/geometry/picture.py", "vista-sim bake", QUOTED) in texts


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("vista-sim bale X", LINE),
        ("vista-sim bake", LINE),
        ("vista-sim bake X --frce", LINE),
        ("vista-sim bake --frce", QUOTED),
        ("vista-sim scenario draw", QUOTED),
        ("vista-sim evaluate --film shows it", PROSE),
        ("vista-sim replay", LINE),
        ("vista-train guded --traces X --out Y", LINE),
        ("vista-train guided --out Y", LINE),
        ("vista-train guided --tracks", QUOTED),
        ("vista-train ppo --traces X --out Y --minutes -1", LINE),
        ("python benchmarks/recipes.py --sedes 3", LINE),
        ("python benchmarks/gone.py", QUOTED),
        ("make coffee", LINE),
        ("pip install 'vista-sim[trian]'", LINE),
        ("pytest tests/test_training.py -k of_no_such_name", QUOTED),
        ("torchrun --nproc-per-node 2 --no-python vista-train guded", LINE),
    ],
)
def test_a_command_that_does_not_work_would_be_noticed(text, how):
    with pytest.raises(Exception, match=r"\w"):
        check(Printed("here", text, how))


def test_commands_are_found_however_they_stand():
    said = "run: vista-sim bake X1   (or not)\n    vista-sim info X --json\nsee `vista-sim info X`"
    assert [(p.text, p.how) for p in of_text("here", said)] == [
        ("vista-sim info X --json", LINE),
        ("vista-sim info X", QUOTED),
        ("vista-sim bake X1", PROSE),
    ]
    loop = 'for d in a/*; do vista-sim bake "$d"; done; vista-train bc --traces a/* --out b'
    assert [p.text for p in of_lines("here", loop)] == [
        'vista-sim bake "$d"',
        "vista-train bc --traces a/* --out b",
    ]


def closing_commands(tmp_path, with_demonstrations):
    options = drive.DriveOptions("road", demonstrations=tmp_path / "my demos")
    log = SimpleNamespace(seconds=12.0, distance=80.0, episodes=1)
    written = (SimpleNamespace(),) if with_demonstrations else ()
    return drive._farewell(tmp_path / "my run", log, options, written)["commands"]


def test_what_the_drive_page_ends_with_works(tmp_path):
    commands = list(of_lines("drive page", "\n".join(closing_commands(tmp_path, True))))
    assert [one.text.split()[1] for one in commands] == ["replay", "report", "bake", "bc"]
    for printed in commands:
        check(printed)


def test_what_the_demo_ends_with_works(tmp_path, capsys):
    row = demo.Row("bc", "road", 0, 0.0, 1.0, 0.1, 0.2, 1.0, 1.0, "", "runs/demo/runs/bc-on-road")
    pages = [Path("runs/demo/report-road.html")]
    demo._print_table([row], pages, (Path("road"), Path("other")), 60.0, demo.Demo())
    commands = list(of_lines("demo", capsys.readouterr().out))
    assert [one.text.split()[1] for one in commands] == ["replay", "drive"]
    for printed in commands:
        check(printed)


def test_the_closing_commands_of_a_drive_run(tmp_path, monkeypatch, capsys):
    write(tmp_path / "my run", [Drive()], what="drive by hand", policy={"name": "human"})
    shown = []
    monkeypatch.setattr("vista_sim.replay.viewer.serving.opened", _NoViewer)
    monkeypatch.setattr("vista_sim.replay.viewer.commands._open", lambda *_: _Shown(shown))
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for command in closing_commands(tmp_path, False):
        with pytest.raises(SystemExit) as stop:
            main(shlex.split(command)[1:])
        assert stop.value.code == 0, capsys.readouterr().err
    assert shown == ["first", "rest"]
    assert (tmp_path / "my run-report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE")


class _NoViewer:
    """In the place of Rerun's."""

    url = "http://127.0.0.1:1/"

    def __init__(self, web, port):
        assert web

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def receiving(self, stream):
        return contextlib.nullcontext(SimpleNamespace(checked=lambda report: report))

    def wait(self):
        pass


class _Shown:
    """In the place of what a replay shows."""

    recording = SimpleNamespace(stream=None, notes=())

    def __init__(self, shown):
        self.log_first = lambda: shown.append("first")
        self.log_rest = lambda report: shown.append("rest")
