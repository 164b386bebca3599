"""Whatever text or bytes are given, what reads them answers or raises its own error alone."""

import contextlib
import json
import math

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vista_sim.drive.protocol import Ack, Command, Input, MessageError, Ping, parse_message
from vista_sim.errors import ScenarioError
from vista_sim.files import parse_json, shown
from vista_sim.policies.remote.wire import WireError, unpack
from vista_sim.scenarios.document import read_format

FEW = settings(max_examples=150, deadline=None, derandomize=True)
ATOMS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(max_size=20)
)
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def finite(value):
    """Whether there is neither NaN nor infinity in it."""
    if isinstance(value, dict | list):
        return all(map(finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or math.isfinite(value)


@FEW
@given(VALUES)
def test_json_that_was_written_is_read_as_it_was_if_its_numbers_are_finite(value):
    text = json.dumps(value)
    if finite(value):
        assert parse_json(text) == value
    else:
        with pytest.raises(ValueError, match="is no number of JSON"):
            parse_json(text)


@FEW
@given(st.text(alphabet='{}[]",:0123456789.eE+-ntrufalse \\u', max_size=60))
def test_any_text_is_json_as_the_standard_library_takes_it_or_a_value_error(text):
    try:
        value = parse_json(text)
    except ValueError:
        return
    assert value == json.loads(text)


@FEW
@given(st.one_of(VALUES, st.binary(max_size=400), st.integers(-(10**500), 10**500)))
def test_any_value_is_shown_on_a_short_line(value):
    text = shown(value)
    assert len(text) <= 80
    assert "\n" not in text


BYTES = st.one_of(
    st.binary(max_size=200),
    st.builds(msgpack.packb, VALUES),
    st.builds(
        lambda value, at, bit: bytes(
            b ^ (1 << bit if i == at % 40 else 0)
            for i, b in enumerate(msgpack.packb({"type": "act", "value": value}))
        ),
        VALUES,
        st.integers(0, 39),
        st.integers(0, 7),
    ),
)


@FEW
@given(BYTES)
def test_any_bytes_are_a_message_with_a_type_or_none(data):
    try:
        message = unpack(data)
    except WireError:
        return
    assert isinstance(message["type"], str)


SIZES = st.one_of(st.integers(0, 4), st.integers(0, 2**63), st.just(2**62), st.integers(-9, -1))


@FEW
@given(st.lists(SIZES, max_size=10), st.integers(0, 16), st.sampled_from(("uint8", "float64")))
def test_an_array_has_the_bytes_that_its_shape_says_or_is_refused(shape, size, kind):
    array = {"dtype": kind, "shape": shape, "bytes": bytes(size)}
    try:
        read = unpack(msgpack.packb({"type": "act", "array": array}))["array"]
    except WireError:
        return
    assert read.shape == tuple(shape)
    assert read.nbytes == size == math.prod(shape) * read.itemsize


@FEW
@given(st.one_of(st.text(max_size=80), st.builds(json.dumps, VALUES)))
def test_any_text_is_a_message_of_the_page_or_none(text):
    try:
        message = parse_message(text)
    except MessageError:
        return
    assert isinstance(message, Input | Command | Ack | Ping)


@settings(FEW, max_examples=80)
@given(st.text(alphabet="ab.= []{}\"'\n#0123456789:-T", max_size=60))
def test_any_text_is_toml_or_a_scenario_error(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(text, encoding="utf-8")
    with contextlib.suppress(ScenarioError):
        assert read_format(path) is None
