"""On which line of a TOML text each key stands, which the parser of the standard library keeps
to itself.

The text was parsed by `tomllib` before, so it is known to be valid; what is left is to walk
over keys, tables and values (toml.io/en/v1.0.0) and to note where they begin.
"""

from __future__ import annotations

import re
import tomllib

Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRINGS = (
    re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}', re.DOTALL),
    re.compile(r"'''.*?'{3,5}", re.DOTALL),
    re.compile(r'"(?:[^"\\\n]|\\.)*"'),
    re.compile(r"'[^'\n]*'"),
)
_SCALAR = re.compile(r"[^,\]}#\n]*")  # numbers, booleans and dates hold none of these


def key_lines(source: str) -> dict[Path, int]:
    """Line (from 1) of each key, table and item of an array, by its path from the top.

    Args:
        source: valid TOML.
    """
    return _Walker(source).walk()


class _Walker:
    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0
        self._line, self._counted = 1, 0  # the line at the position that it was counted up to
        self._lines: dict[Path, int] = {}
        self._arrays: dict[Path, int] = {}  # [[tables]] and how many there are so far

    def walk(self) -> dict[Path, int]:
        table: Path = ()
        while self._skip_blank():
            if self._source.startswith("[", self._at):
                table = self._header()
            else:
                self._pair(table)
        return self._lines

    def _header(self) -> Path:
        line = self._current_line()
        many = self._source.startswith("[[", self._at)
        self._at += 1 + many
        parts = self._key()
        self._at += 1 + many
        path: Path = ()
        for i, part in enumerate(parts):
            path = (*path, part)
            self._lines.setdefault(path, line)
            if many and i == len(parts) - 1:
                self._arrays[path] = self._arrays.get(path, 0) + 1
            if path in self._arrays:
                path = (*path, self._arrays[path] - 1)
        self._lines.setdefault(path, line)
        return path

    def _pair(self, table: Path) -> None:
        line = self._current_line()
        path = table
        for part in self._key():
            path = (*path, part)
            self._lines.setdefault(path, line)
        self._at += 1  # the equals sign
        self._value(path)

    def _key(self) -> list[str]:
        """The parts of a dotted key; ends before what follows it."""
        parts = []
        while True:
            self._skip_blank()
            match = _BARE_KEY.match(self._source, self._at)
            if match is not None:
                parts.append(match[0])
            else:
                match = self._string()
                parts.append(next(iter(tomllib.loads(f"{match[0]} = 0"))))
            self._at = match.end()
            self._skip_blank()
            if not self._source.startswith(".", self._at):
                return parts
            self._at += 1

    def _value(self, path: Path) -> None:
        self._skip_blank()
        first = self._source[self._at]
        if first == "[":
            self._at += 1
            count = 0
            while self._goes_on("]"):
                self._lines[(*path, count)] = self._current_line()
                self._value((*path, count))
                count += 1
        elif first == "{":
            self._at += 1
            while self._goes_on("}"):
                self._pair(path)
        elif first in "\"'":
            self._at = self._string().end()
        else:
            match = _SCALAR.match(self._source, self._at)
            assert match is not None
            self._at = match.end()

    def _goes_on(self, end: str) -> bool:
        """Whether another item follows before the end of an array or an inline table."""
        self._skip_blank()
        if self._source.startswith(",", self._at):
            self._at += 1
            self._skip_blank()
        if self._source.startswith(end, self._at):
            self._at += 1
            return False
        return True

    def _string(self) -> re.Match[str]:
        for pattern in _STRINGS:
            match = pattern.match(self._source, self._at)
            if match is not None:
                return match
        raise ValueError(f"no TOML at line {self._current_line()}")

    def _skip_blank(self) -> bool:
        """Go on to what is no blank and no comment; whether there is any."""
        match = _BLANK.match(self._source, self._at)
        assert match is not None
        self._at = match.end()
        return self._at < len(self._source)

    def _current_line(self) -> int:
        self._line += self._source.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line
