"""TOML files of scenarios and suites, with where each value is from, and with what they include."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vista_sim.errors import ScenarioError
from vista_sim.files import open_file
from vista_sim.scenarios.fields import shown
from vista_sim.scenarios.library import find_beside
from vista_sim.scenarios.ranges import is_range
from vista_sim.scenarios.toml_limits import check_depth
from vista_sim.scenarios.toml_lines import key_lines

FieldPath = tuple[str | int, ...]

LARGEST = 2**20  # bytes of a file
LONGEST_CHAIN = 20  # files that include each other
INCLUDE = "include"
#: Of these keys a table has one: one that is given takes the place of another in what is included.
EXCLUSIVE: Mapping[FieldPath, tuple[str, ...]] = {("start",): ("s", "fraction", "places")}


@dataclass(frozen=True)
class Origin:
    """Where a value is from."""

    file: Path
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Document:
    """A file's values.

    Args:
        file: as it was named.
        values: as TOML has them, what is included put under them.
        origins: of the values by their path.
    """

    file: Path
    values: dict[str, Any]
    origins: dict[FieldPath, Origin] = field(default_factory=dict)

    def origin(self, path: FieldPath) -> Origin:
        """Of a value, or of the nearest table around it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
        return Origin(self.file, 1)

    def problem(self, path: FieldPath, message: str) -> str:
        """One line about a field."""
        return f"{self.origin(path)}: {field_name(path)}: {message}"

    def over(self, base: Document) -> Document:
        """The document's values in the place of another one's, and the rest of those."""
        kept = {
            path: origin
            for path, origin in base.origins.items()
            if _is_kept(path, base.values, self.values)
        }
        merged = _merge(base.values, self.values, ())
        return Document(self.file, merged, {**kept, **self.origins})


def field_name(path: FieldPath) -> str:
    """A path as a user writes it: "start.lateral", "scenarios[2].path"."""
    name = ""
    for part in path:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else part
    return name or "file"


def load_document(file: Path, kind: str, _including: tuple[Path, ...] = ()) -> Document:
    """Read a TOML file and what it includes.

    Args:
        file: its path.
        kind: the format that it must have, such as "vista-scenario".

    Raises:
        ScenarioError: it is missing, no TOML, of another format, or includes itself.
    """
    document = _parse(file)
    _check_format(document, kind)
    base = document.values.get(INCLUDE)
    if base is None:
        return document
    here: FieldPath = (INCLUDE,)
    if not isinstance(base, str) or not base:
        raise ScenarioError(document.problem(here, f"is {shown(base)}; it must be a file's path"))
    path = find_beside(base, file)
    if path is None:
        raise ScenarioError(document.problem(here, f"{base}: no such file"))
    chain = (*_including, file.resolve())
    if len(chain) > LONGEST_CHAIN:
        raise ScenarioError(
            document.problem(here, f"is one of more than {LONGEST_CHAIN} files; include fewer")
        )
    if path.resolve() in chain:
        names = " includes ".join(p.name for p in (*chain, path.resolve()))
        raise ScenarioError(document.problem(here, f"goes in a circle: {names}"))
    return document.over(load_document(path, kind, chain))


def _parse(file: Path) -> Document:
    with open_file(file, ScenarioError, "no such file") as opened:
        content = opened.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ScenarioError(f"{file}: is larger than {LARGEST} bytes; is it a scenario?")
    try:
        source = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ScenarioError(
            f"{file}:{line}: file: is not text but binary (byte {error.start} is no UTF-8); "
            "a scenario is a TOML file"
        ) from None
    source = source.replace("\r\n", "\n")
    try:
        check_depth(source)
        values = tomllib.loads(source)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "nested too deeply"
        found = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", reason)
        line = int(found[1]) if found is not None and found[1] else source.count("\n") + 1
        reason = reason if found is None else reason[: found.start()]
        raise ScenarioError(f"{file}:{line}: file: is not TOML ({shown_text(reason)})") from None
    origins = {path: Origin(file, line) for path, line in key_lines(source).items()}
    return Document(file, values, origins)


def shown_text(reason: str) -> str:
    """A reason on one line, short."""
    line = " ".join(reason.split())
    return line if len(line) <= 120 else line[:117] + "..."


def _check_format(document: Document, kind: str) -> None:
    found = document.values.get("format")
    expected = f"{kind}/1"
    if found == expected:
        return
    if found is None:
        raise ScenarioError(
            document.problem(("format",), f'is missing; write format = "{expected}"')
        )
    match = re.fullmatch(rf"{kind}/(\d{{1,9}})", found) if isinstance(found, str) else None
    newer = match is not None and int(match[1]) > 1
    what = (
        "is newer than this version reads; update vista_sim" if newer else f'must be "{expected}"'
    )
    raise ScenarioError(document.problem(("format",), f"is {shown(found)}; it {what}"))


def read_format(file: Path) -> str | None:
    """What a file says its format is; None if it says nothing. Raises ScenarioError."""
    found = _parse(file).values.get("format")
    return found if isinstance(found, str) else None


def _merge(low: Mapping[str, Any], high: Mapping[str, Any], path: FieldPath) -> dict[str, Any]:
    values: dict[str, Any] = {}
    replaced = _replaced(path, high)
    for name in [*low, *(name for name in high if name not in low)]:
        if name not in high:
            if name not in replaced:
                values[name] = low[name]
        elif name in low and _joins(low[name], high[name]):
            values[name] = _merge(low[name], high[name], (*path, name))
        else:
            values[name] = high[name]
    return values


def _replaced(path: FieldPath, high: Mapping[str, Any]) -> tuple[str, ...]:
    """Keys of a table that go because another that excludes them is given on top."""
    rivals = EXCLUSIVE.get(path, ())
    return rivals if any(name in high for name in rivals) else ()


def _is_kept(path: FieldPath, low: Any, high: Any) -> bool:
    """Whether the value at a path is that of the lower document, after `_merge`."""
    for place, name in enumerate(path):
        if name not in high:
            return name not in _replaced(path[:place], high)
        low, high = low[name], high[name]
        if not _joins(low, high):
            return False
    return True


def _joins(low: Any, high: Any) -> bool:
    """Whether a value is put key by key over the one below; else it takes that one's place."""
    tables = [isinstance(value, dict) and not is_range(value) for value in (low, high)]
    return all(tables) and high.get("kind", low.get("kind")) == low.get("kind")
