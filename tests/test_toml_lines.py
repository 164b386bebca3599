"""Lines of keys in TOML: against texts whose lines are plain to see, and against `tomllib`."""

import tomllib

from hypothesis import given, settings
from hypothesis import strategies as st

from vista_sim.scenarios.toml_lines import key_lines

TEXT = '''# a comment = 1
name = "a # no comment = 2"
"quoted key" = 1
a.b."c.d" = """
two = 2
lines \\""" = 3
"""

[start]  # "[x]"
lateral = { from = -1, to = 1, steps = [
  3, # x = 1
  { deep = \'\'\'
y = 1
\'\'\' },
] }
after = 1979-05-27T07:32:00Z

[[scenarios]]
path = 'one.toml'
[scenarios.set]
s = 1
[[scenarios]]
path = "two.toml"
set.image.noise = 2.0
'''


def test_keys_are_found_on_their_lines():
    lines = key_lines(TEXT)
    assert lines["name",] == 2
    assert lines["quoted key",] == 3
    assert lines["a",] == lines["a", "b"] == lines["a", "b", "c.d"] == 4
    assert lines["start",] == 9
    assert lines["start", "lateral"] == lines["start", "lateral", "from"] == 10
    assert lines["start", "lateral", "steps", 0] == 11
    assert lines["start", "lateral", "steps", 1, "deep"] == 12
    assert lines["start", "after"] == 16
    assert lines["scenarios", 0] == 18
    assert lines["scenarios", 0, "path"] == 19
    assert lines["scenarios", 0, "set", "s"] == 21
    assert lines["scenarios", 1, "path"] == 23
    assert lines["scenarios", 1, "set", "image", "noise"] == 24


KEYS = st.sampled_from(["a", "b-c", "d_1", '"e f"', '"g.h"', "'i'", '"\\u00e9"'])
SCALARS = st.sampled_from(
    ["1", "-2.5e3", "true", '"x"', '"# ] } = \\" \\\\"', "'\\'", '"""a\n"b" = 1\n"""', "'''\n]'''"]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda v: "[ # c ] }\n" + ",\n".join(v) + "\n]"),
        st.dictionaries(KEYS, inner, max_size=3).map(
            lambda d: "{ " + ", ".join(f"{k} = {v}" for k, v in d.items()) + " }"
        ),
    ),
    max_leaves=6,
)
TABLES = st.dictionaries(KEYS, VALUES, max_size=4)


def paths_of(value, path=()):
    """Every path of a parsed document."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from paths_of(inner, (*path, key))


@settings(max_examples=150, deadline=None)
@given(TABLES, st.lists(st.tuples(st.booleans(), TABLES), max_size=3))
def test_every_key_that_the_parser_finds_has_a_line(top, tables):
    text = "".join(f"{k} = {v}\n" for k, v in top.items())
    for i, (many, table) in enumerate(tables):
        header = f"[[many.{'x'}]]" if many else f"[t{i}.u]"
        text += f"\n{header} # [no] = 1\n" + "".join(f"{k} = {v}\n" for k, v in table.items())
    values = tomllib.loads(text)
    lines = key_lines(text)
    source = text.split("\n")
    for path in paths_of(values):
        assert path in lines
        if isinstance(path[-1], str):
            # The key as tomllib knows it stands on that line, in one way of writing it or another.
            key = path[-1].replace("é", "\\u00e9")
            assert key in source[lines[path] - 1], (path, text)
