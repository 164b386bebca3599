"""In which direction the simulator's modules import each other; the contracts between its packages
are in pyproject.toml, for `lint-imports`.

Every import counts, also in functions, under TYPE_CHECKING, and by a name that `import_module` is
given later. To import `a.b.c` is to run the `__init__` of `a` and of `a.b` as well, so that these
are imported too; but not by modules of that same package, whose `__init__` has begun before them.
"""

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from vista_sim.cli import COMMAND_MODULES

PACKAGE = Path(__file__).resolve().parent.parent / "vista_sim"
#: What `import vista_sim` loads by itself, so that nothing is gained by loading it late.
LOADED = {"gymnasium", "numpy", *sys.stdlib_module_names}

AT_ONCE, LATE, TYPE, NAMED = "at once", "in a function", "for types", "by a name"


def module_files():
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports_of(path, known):
    """(kind, imported module, line) of each import in a file."""
    pending = [(ast.parse(path.read_text(encoding="utf-8")), AT_ONCE)]
    while pending:
        node, kind = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            kind = LATE
        elif isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            kind = TYPE
        elif isinstance(node, ast.Import):
            yield from ((kind, alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}, line {node.lineno}: imports are absolute"
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                yield kind, module if module in known else node.module, node.lineno
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            name = node.value.partition(":")[0]  # of a package: a group of entry points
            if name in known and known[name].name != "__init__.py":
                yield NAMED, name, node.lineno
        pending += [(child, kind) for child in ast.iter_child_nodes(node)]


@pytest.fixture(scope="module")
def imports():
    """(kind, imported module, line) of each import, by module."""
    known = dict(module_files())
    return {module: list(imports_of(path, known)) for module, path in known.items()}


def packages_of(module):
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def run_by(module, imported):
    """What an import runs: the module, and the `__init__` of each package that it enters."""
    inside = {module, *packages_of(module)}
    return {imported, *(package for package in packages_of(imported) if package not in inside)}


def test_no_module_imports_itself_in_a_circle(imports):
    graph = {
        module: {
            name
            for _, imported, _ in found
            if imported in imports
            for name in run_by(module, imported)
        }
        for module, found in imports.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("each is imported by the next: " + " -> ".join(error.args[1]))


def test_only_what_loads_something_heavy_is_imported_late(imports):
    """In functions, or for types alone: what loads a package that the module has not loaded before.

    But each command loads what it does when it is given, so that all others begin sooner, and a
    package that re-exports names loads them when they are asked for.
    """
    packages = {module for module, path in module_files() if path.name == "__init__.py"}

    def loads(module):
        seen, pending, heavy = set(), [module], set()
        while pending:
            name = pending.pop()
            if name not in imports:
                heavy |= {name.partition(".")[0]} - LOADED
            elif name not in seen:
                seen.add(name)
                pending += packages_of(name)
                pending += [imported for kind, imported, _ in imports[name] if kind == AT_ONCE]
        return heavy

    for_nothing = {
        f"{module}, line {line}: {imported}"
        for module, found in imports.items()
        for kind, imported, line in found
        if kind in (LATE, TYPE) and module not in packages.union(COMMAND_MODULES)
        if not loads(imported) - loads(module)
    }
    assert not for_nothing, "import this at the top of its file"
