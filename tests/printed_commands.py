"""Finds the commands that the project prints and documents, and asks the programs about them.

A command is found where it stands: as a line of its own (in a fenced block of a document, in a
help text, in what is printed), quoted ('...' or `...`), or in the midst of a sentence. The first
is taken whole; of the second, what must be given may be missing ("run 'vista-sim bake'"); of the
third, the command and the options it names must exist.
"""

import argparse
import ast
import contextlib
import functools
import importlib
import importlib.util
import io
import json
import re
import shlex
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import typer
import vista_agents.commands as training

from vista_sim.cli import build_app

ROOT = Path(__file__).resolve().parents[1]
LINE, QUOTED, PROSE = "line", "quoted", "prose"
PROGRAMS = r"(?:vista-sim|vista-train)(?![\w'’.-])(?!\[)"
_STARTS = re.compile(rf"^(?:\$ )?(?:{PROGRAMS}|make |python |torchrun |pip |pytest )")
_APART = re.compile(r"&&|;|\|\||(?<!\w)do(?!\w)")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
_PLACEHOLDER = "X1"  # in the place of what a message fills in


@dataclass(frozen=True)
class Printed:
    """A command, where it stands, and how."""

    where: str
    text: str
    how: str

    def __str__(self):
        return f"{self.where}: {self.text}"


def of_document(path):
    """Commands of a Markdown file."""
    where, text = str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
    for language, block in _FENCE.findall(text):
        if language in ("", "sh", "bash", "console"):
            yield from of_lines(where, block)
    yield from of_text(where, _FENCE.sub("", text))


def of_notebook(path):
    """Commands of the text and the shell lines of a notebook."""
    where = str(path.relative_to(ROOT))
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            yield from of_text(where, source)
        else:
            yield from of_lines(where, "\n".join(re.findall(r"^[!%](.*)", source, re.M)))


def of_source(path):
    """Commands of the texts of a Python file: messages, help texts and docstrings."""
    where = str(path.relative_to(ROOT))
    tree = ast.parse(path.read_text(encoding="utf-8"))
    formatted = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    inner = {id(part) for node in formatted for part in node.values}
    for node in formatted:
        parts = (
            part.value if isinstance(part, ast.Constant) else _PLACEHOLDER for part in node.values
        )
        yield from of_text(where, "".join(map(str, parts)))
    for node in ast.walk(tree):
        text = getattr(node, "value", None) if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and id(node) not in inner:
            yield from of_text(where, text.replace("%s", _PLACEHOLDER))


def of_comments(path):
    """Commands of the comments of a TOML file."""
    lines = re.findall(r"(?:^|\s)#\s?(.*)", path.read_text(encoding="utf-8"))
    yield from of_text(str(path.relative_to(ROOT)), "\n".join(lines))


def of_lines(where, text):
    """Commands that are lines of their own."""
    for line in text.replace("\\\n", " ").splitlines():
        line = re.sub(r"(^|\s)#.*", "", line).strip().removeprefix("$ ")
        line = re.sub(r"\s{2,}\(.*\)$", "", line)
        for part in filter(None, map(str.strip, _APART.split(line))):
            if _STARTS.match(part):
                yield Printed(where, part, LINE)


def of_text(where, text):
    """Commands in sentences and in lines between them."""
    lines = [line for line in text.splitlines() if _STARTS.match(line.strip())]
    own = [line for line in lines if line.startswith("    ") or " -" in line or " && " in line]
    own = [line for line in own if "`" not in line and "  " not in line.strip()]
    for line in own:
        text = text.replace(line, "")
    yield from of_lines(where, "\n".join(own))
    flat = " ".join(text.split())
    for quoted in re.findall(r"`([^`]+)`|(?<!\w)'([^']+)'(?!\w)", flat):
        span = quoted[0] or quoted[1]
        for part in filter(None, map(str.strip, _APART.split(span))):
            if _STARTS.match(part):
                yield Printed(where, part, QUOTED)
    rest = re.sub(r"`[^`]+`|(?<!\w)'[^']+'(?!\w)", " ", flat)
    for found in re.findall(rf"{PROGRAMS}[^;:()\"]*", rest):
        yield Printed(where, found.strip(), PROSE)


def check(printed):
    """Raise AssertionError unless the programs know what is printed."""
    text = re.sub(r"\[(-[^\]]*)\]", r"\1", printed.text)  # [--that may be left out]
    text = re.sub(r"\[[A-Z][\w .]*\]", "", text)
    text = re.sub(r"(\s-[\w-]+ \w+)(\|\w+)+", r"\1", text)  # --of this|that
    whole = text
    text = re.sub(r"\s*\.\.\.|\s*…", "", text)
    cut = text != whole
    how = QUOTED if cut and printed.how == LINE else printed.how
    words = shlex.split(text.replace("’", "") if how != PROSE else _plain(text))
    _CHECKS.get(words[0], lambda words, how: None)(words[1:], how)


def _plain(text):
    return re.sub(r"[^\w\s/.=|-]", " ", text)


def _check_sim(words, how):
    command, rest, path = click_command(), list(words), []
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        names = [part.rstrip(".,") for part in name.split("|")]
        known = command.list_commands(None)
        if how == PROSE and not path and names[0] not in known:
            return  # the program's name in a sentence
        if path == ["import"] and names[0] not in known:  # a recording, whose format is found out
            command, rest = command.get_command(None, known[0]), [name, *rest]
            break
        for one in names:
            assert one in known, f"vista-sim {' '.join(path)} has no command {one!r}"
        path.append(names[0])
        command = command.get_command(None, names[0])
    if how == PROSE or (hasattr(command, "commands") and not rest):
        known = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
        _check_options(rest, {*known, "--help"}, f"vista-sim {' '.join(path)}")
        return
    errors = click_errors()
    try:
        command.make_context("vista-sim", list(rest), resilient_parsing=False)
    except typer.Exit:  # --help
        return
    except errors.UsageError as error:
        # "run 'vista-sim bake'", "the option `vista-sim bake --geometry`"
        lacking = isinstance(error, errors.MissingParameter | errors.BadOptionUsage)
        if not (lacking and how == QUOTED and "does not take" not in error.message):
            said = error.format_message()
            raise AssertionError(f"vista-sim {' '.join(words)}: {said}") from None


def _check_train(words, how):
    if not words:
        return
    ways = {**training.IMITATION, **training.REINFORCEMENT, **training.OTHERS}
    names = words[0].rstrip(".,").split("|")
    if words[0] in ("--help", "--version"):
        return
    if how == PROSE and names[0] not in ways:
        return
    for name in names:
        assert name in ways, f"vista-train has no command {name!r}"
    if how == LINE or "--help" in words:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
            training.parse(words)
        return
    _check_options(words[1:], train_options(names[0]), f"vista-train {names[0]}")


def _check_options(words, known, command):
    for word in words:
        option = word.partition("=")[0].rstrip(".,")
        if option.startswith("-") and not re.fullmatch(r"-+|-\d.*", option):
            for one in option.split("|"):
                assert one in known, f"{command} has no option {one!r}"


@functools.cache
def click_command():
    return typer.main.get_command(build_app())


@functools.cache
def click_errors():
    """Click's errors; Typer brings a Click of its own along, or takes the installed one."""
    homes = (kind.__module__ for kind in type(click_command()).__mro__)
    core = next(home for home in homes if "click" in home)
    return importlib.import_module(core.removesuffix(".core") + ".exceptions")


@functools.cache
def train_options(way):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        training.parse([way, "--help"])
    found = set(re.findall(r"--[\w.-]+", said.getvalue()))
    return found | {"-o", "-h", training.ARCHITECTURE}


class _Parsed(Exception):  # noqa: N818
    """A script has read its arguments."""


def _check_python(words, how):
    script, *rest = words
    if script == "-m" or not script.endswith(".py"):
        return
    path = ROOT / script
    assert path.is_file(), f"there is no {script}"
    if "parse_args" in path.read_text(encoding="utf-8"):
        _parse_script(path, rest)
    else:
        assert not rest, f"{script} takes no arguments"


def _parse_script(path, arguments):
    """Run a script up to where it has read its arguments."""
    read = argparse.ArgumentParser.parse_args

    def parse(self, args=None, namespace=None):
        read(self, arguments, namespace)
        raise _Parsed

    before, known = list(sys.path), sys.modules.copy()
    argparse.ArgumentParser.parse_args = parse
    sys.path.insert(0, str(path.parent))
    try:
        spec = importlib.util.spec_from_file_location(f"printed_{path.stem}", path)
        module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.main()
        raise AssertionError(f"{path.name}: read no arguments")
    except _Parsed:
        pass
    except SystemExit as stop:
        raise AssertionError(f"{path.name} {' '.join(arguments)}: refused") from stop
    finally:
        argparse.ArgumentParser.parse_args = read
        sys.path[:] = before
        for name in set(sys.modules) - set(known):
            if getattr(sys.modules[name], "__file__", None) and str(path.parent) in str(
                sys.modules[name].__file__
            ):
                del sys.modules[name]


def _check_make(words, how):
    rules = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
    for word in words:
        assert word in rules, f"make has no target {word!r}"


def _check_pip(words, how):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extras in re.findall(r"(?:vista-sim|\.)\[([\w,-]+)\]", " ".join(words)):
        for extra in extras.split(","):
            assert extra in project["optional-dependencies"], f"there is no extra {extra!r}"


def _check_pytest(words, how):
    files = [word for word in words if word.startswith("tests")]
    for file in files:
        assert (ROOT / file).exists(), f"there is no {file}"
    if "-k" in words and files:
        name = words[words.index("-k") + 1]
        assert name in (ROOT / files[0]).read_text(), f"{files[0]} has no test {name!r}"


def _check_torchrun(words, how):
    assert "vista-train" in words
    _check_train(words[words.index("vista-train") + 1 :], QUOTED)


_CHECKS = {
    "vista-sim": _check_sim,
    "vista-train": _check_train,
    "python": _check_python,
    "make": _check_make,
    "pip": _check_pip,
    "pytest": _check_pytest,
    "torchrun": _check_torchrun,
}
