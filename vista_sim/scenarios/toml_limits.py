"""How deep TOML goes, found before it is parsed.

`tomllib` keeps every part of a dotted key with all parts before it: a key of 20,000 parts, in
40 kB of text, takes it 26 s and 2 GB. No scenario goes deeper than a handful of tables.
"""

from __future__ import annotations

import re

MOST_PARTS = 16  # of a dotted key
DEEPEST = 16  # lists and inline tables within each other

_TOKEN = re.compile(
    r"""
    (?P<string> \"{3} (?:[^\\]|\\.)*? \"{3,5} | '{3} .*? '{3,5} )
  | (?P<unclosed> \"{3} | '{3} )
  | (?P<part> "(?:[^"\\\n]|\\.)*" | '[^'\n]*' | [A-Za-z0-9_-]+ )
  | (?P<dot> \. )
  | (?P<blank> [ \t]+ )
  | (?P<skipped> \#[^\n]* )
  | (?P<other> . | \n )
    """,
    re.VERBOSE | re.DOTALL,
)


def check_depth(source: str) -> None:
    """Raise ValueError, with the line as `tomllib` says it, for what is nested too deeply.

    Args:
        source: of any content; what is no TOML is left to the parser.
    """
    parts = depth = 0
    for token in _TOKEN.finditer(source):
        kind, text = token.lastgroup, token[0]
        if kind == "unclosed":  # the parser stops here too
            return
        if kind == "part":
            parts += 1
        elif kind not in ("dot", "blank"):
            parts = 0
        if kind == "other":
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(text, 0)
        if parts > MOST_PARTS:
            raise _too_deep(f"a key has more than {MOST_PARTS} parts", source, token.start())
        if depth > DEEPEST:
            raise _too_deep(f"nested more than {DEEPEST} deep", source, token.start())


def _too_deep(what: str, source: str, at: int) -> ValueError:
    line = source.count("\n", 0, at) + 1
    column = at - source.rfind("\n", 0, at)
    return ValueError(f"{what} (at line {line}, column {column})")
