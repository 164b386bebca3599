"""Damage to what is text: JSON, TOML, and the numbers of plain text files."""

from __future__ import annotations

import json
import math
import random
import re
from pathlib import Path
from typing import Any

from .operators import NotApplicableError, extreme, operator

TEXTS = (".json", ".toml", ".txt", ".csv", ".gpx", ".nmea")
_MARK = "@@damage@@"
_NUMBER = re.compile(r"(?<![\w.@-])-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])")

#: Names that lead elsewhere, or nowhere.
NAMES = (
    *("../../../../etc/passwd", "/etc/passwd", "/dev/zero", "..", ".", "", "/", "~", "a\0b"),
    *("con", "-rf", "\n\nerror: a second line", "\x1b[2J\x1b[31mred", "\ud83d\ude97", "ü" * 130),
    *("x" * 300, "x" * 5000, "a/" * 3000, "{}%s%n$(id)`id`", "<script>alert(1)</script>", "nan"),
)


@operator("byte order mark", *TEXTS)
def byte_order_mark(rng, path):
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


@operator("other encoding", *TEXTS)
def other_encoding(rng, path):
    text = path.read_text()
    path.write_bytes(text.encode(rng.choice(("utf-16", "utf-32", "utf-7", "cp037"))))


@operator("other line ends", *TEXTS)
def other_line_ends(rng, path):
    path.write_bytes(path.read_bytes().replace(b"\n", rng.choice((b"\r\n", b"\r", b"\x0b", b""))))


@operator("strange characters", *TEXTS)
def strange_characters(rng, path):
    text = path.read_text()
    at = rng.randrange(len(text) + 1)
    strange = rng.choice(
        ("\0", "\x1b[2J", "\u202e", "\u2028", "\ufeff", "٣", "\x85", "\udcff", "é")
    )
    data = (text[:at] + strange + text[at:]).encode("utf-8", "surrogatepass")
    path.write_bytes(data)


@operator("long line", *TEXTS)
def long_line(rng, path):
    text = path.read_text()
    at = rng.randrange(len(text) + 1)
    path.write_text(text[:at] + rng.choice((" ", "x", "9", "[", "#")) * 300_000 + text[at:])


@operator("strange number", *TEXTS)
def strange_number(rng, path):
    text = path.read_text()
    found = list(_NUMBER.finditer(text))
    if not found:
        raise NotApplicableError
    number = rng.choice(found)
    path.write_text(text[: number.start()] + _strange(rng, number[0]) + text[number.end() :])


@operator("all numbers of a line", ".txt")
def all_numbers_of_a_line(rng, path):
    """Also makes singular matrices: all zero, or all the same."""
    lines = path.read_text().splitlines()
    at = rng.randrange(len(lines))
    value = rng.choice(("0", "1", "1e308", "-1e308", "1e-320", "1e20", "nan", "inf"))
    lines[at] = _NUMBER.sub(value, re.sub(r"[eE][+-]\d+", "", lines[at]))
    path.write_text("\n".join(lines) + "\n")


@operator("singular matrix", ".txt")
def singular_matrix(rng, path):
    """Zeroes, or repeats, some numbers of a line, or makes what follows a multiple."""
    lines = path.read_text().splitlines()
    at = rng.randrange(len(lines))
    words = lines[at].split()
    if len(words) < 12:
        raise NotApplicableError
    first = len(words) - 12
    rows = [words[first + 4 * i : first + 4 * i + 4] for i in range(3)]
    a, b = rng.sample(range(3), 2)
    change = rng.choice(("row", "column", "diagonal", "alike", "alike"))
    if change == "row":
        rows[a][:3] = rows[b][:3]
    elif change == "alike":  # in a calibration, with focal lengths that are positive
        rows[0] = rows[1] = [rng.choice(("100", "70.5")), "100", "50", "0"]
    elif change == "column":
        for row in rows:
            row[a] = row[b]
    else:
        rows[a][a] = rng.choice(("0", "1e-200", "1e-320", "1e200"))
    lines[at] = " ".join(words[:first] + [word for row in rows for word in row])
    path.write_text("\n".join(lines) + "\n")


@operator("numbers nearly alike", ".txt")
def numbers_nearly_alike(rng, path):
    """Rows of one number, such as times: closer than a nanosecond, or too far apart."""
    scale = rng.choice((1e-300, 1e-12, 1e-10, 1e-6, 1e3, 1e9, 1e300))
    try:
        values = [float(line) for line in path.read_text().splitlines()]
    except ValueError:
        raise NotApplicableError from None
    if rng.random() < 0.3:
        scale, values[-1] = 1.0, rng.choice((1e20, 1e300, 1e308))
    shift = rng.choice((0.0, 0.0, 1.3e9, 1e17))
    path.write_text("\n".join(repr(shift + scale * value) for value in values) + "\n")


@operator("lines changed", ".txt", ".toml")
def lines_changed(rng, path):
    lines = path.read_text().splitlines()
    at = rng.randrange(len(lines))
    change = rng.choice(("drop", "double", "swap", "words", "many"))
    if change == "drop":
        del lines[at]
    elif change == "double":
        lines.insert(at, lines[at])
    elif change == "swap":
        other = rng.randrange(len(lines))
        lines[at], lines[other] = lines[other], lines[at]
    elif change == "words":
        words = lines[at].split() or ["x"]
        rng.shuffle(words)
        lines[at] = " ".join(words[: rng.randint(1, len(words))])
    else:
        lines[at:at] = [lines[at]] * 100_000
    path.write_text("\n".join(lines) + "\n")


def _strange(rng: random.Random, number: str) -> str:
    """A strange number as text, or the same in another unit."""
    kind = rng.choice(("extreme", "long", "unit", "form"))
    if kind == "extreme":
        value = extreme(rng)
        named = {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
        return repr(value) if math.isfinite(value) or rng.random() < 0.5 else named
    if kind == "long":
        return rng.choice(
            ("9" * 400, "-" + "9" * 400, "0." + "3" * 5000, "1" + "0" * 5000, "9" * 20)
        )
    if kind == "unit":
        factor = rng.choice((1e-9, 1e-6, 1e-3, 3.6, 57.29577951308232, 1e3, 1e6, 1e9, -1.0))
        return repr(float(number) * factor)
    return rng.choice(
        ("0x1F", "1_000", "+5", "1e5000", "-0", "1e-5000", "٣", "1,5", "true", "1.5.2")
    )


# JSON


@operator("no object", ".json")
def no_object(rng, path):
    path.write_text(
        rng.choice(("[]", "null", "3", '"text"', "true", "{}", "[{}]", "", " ", "{", "[1,"))
    )
    return "refused"


@operator("value of another type", ".json")
def value_of_another_type(rng, path):
    values = (
        None,
        True,
        False,
        0,
        -1,
        1.5,
        "",
        "text",
        [],
        {},
        [[]],
        [None],
        {"a": 1},
        [1, 2],
        ["x"],
    )
    _replace(rng, path, json.dumps(rng.choice(values)))


@operator("strange value", ".json")
def strange_value(rng, path):
    _replace(rng, path, _strange(rng, str(rng.choice((1.0, 0.1, 10.0, 1000.0)))))


@operator("long integer", ".json")
def long_integer(rng, path):
    _replace(rng, path, rng.choice(("", "-")) + "9" * rng.choice((400, 400, 4000, 5000, 200_000)))
    return "refused"


@operator("number in another unit", ".json")
def number_in_another_unit(rng, path):
    values, places = _parse(path)
    numbers = [p for p in places if type(_at(values, p)) in (int, float)]
    if not numbers:
        raise NotApplicableError
    place = rng.choice(numbers)
    factor = rng.choice((-1, 0, 1e-9, 1e-3, 3.6, 57.3, 1e3, 1e6, 1e9, 1e18, 1e300))
    value = _at(values, place) * factor
    _set(values, place, rng.choice((value, int(value) if abs(value) < 1e40 else value)))
    path.write_text(json.dumps(values))


@operator("strange name", ".json")
def strange_name(rng, path):
    values, places = _parse(path)
    texts = [p for p in places if isinstance(_at(values, p), str)]
    _set(values, rng.choice(texts or places), rng.choice(NAMES))
    path.write_text(json.dumps(values, ensure_ascii=rng.random() < 0.8), errors="surrogatepass")


@operator("missing key", ".json")
def missing_key(rng, path):
    values, places = _parse(path)
    place = rng.choice(places)
    del _at(values, place[:-1])[place[-1]]
    path.write_text(json.dumps(values))


@operator("further key", ".json")
def further_key(rng, path):
    values, places = _parse(path)
    objects = [p for p in [(), *places] if isinstance(_at(values, p), dict)]
    _at(values, rng.choice(objects))[rng.choice(NAMES)] = rng.choice(("x" * 300, 10**400, None, {}))
    with_long = json.dumps(values, default=str)
    path.write_text(with_long)


@operator("key given twice", ".json")
def key_given_twice(rng, path):
    values, places = _parse(path)
    keys = [p for p in places if isinstance(p[-1], str)]
    if not keys:
        raise NotApplicableError
    place = rng.choice(keys)
    holder, key = _at(values, place[:-1]), place[-1]
    holder[_MARK] = holder[key]
    path.write_text(json.dumps(values).replace(json.dumps(_MARK), json.dumps(key)))
    return "refused"


@operator("deep nesting", ".json")
def deep_nesting(rng, path):
    deep = rng.choice((60, 200, 900, 3000, 100_000))
    opening, inner, closing = rng.choice((("[", "1", "]"), ('{"a":', "1", "}")))
    _replace(rng, path, opening * deep + inner + closing * deep)


@operator("long text", ".json")
def long_text(rng, path):
    _replace(rng, path, json.dumps(rng.choice("xé\0/.") * rng.choice((256, 300, 5000, 2_000_000))))


@operator("long list", ".json")
def long_list(rng, path):
    values, places = _parse(path)
    lists = [p for p in places if isinstance(_at(values, p), list)]
    if not lists:
        raise NotApplicableError
    place = rng.choice(lists)
    found = _at(values, place)
    rest = rng.choice(
        ((found or [0]) * 100_000, found[:-1], [*found, *found], found[::-1], [found])
    )
    _set(values, place, rest)
    path.write_text(json.dumps(values))


@operator("values exchanged", ".json")
def values_exchanged(rng, path):
    values, places = _parse(path)
    a, b = rng.choice(places), rng.choice(places)
    if a[: len(b)] == b or b[: len(a)] == a:
        raise NotApplicableError
    first, second = _at(values, a), _at(values, b)
    _set(values, a, second)
    _set(values, b, first)
    path.write_text(json.dumps(values))


@operator("strange lens", ".json")
def strange_lens(rng, path):
    """A lens that sees more than a pinhole can, or folds its picture over."""
    values, places = _parse(path)
    lenses = [p for p in places if isinstance(_at(values, p), dict) and "K" in _at(values, p)]
    if not lenses:
        raise NotApplicableError
    lens = _at(values, rng.choice(lenses))
    K, kind = lens["K"], rng.choice(("fisheye", "folding", "long", "centre", "any"))
    if kind == "fisheye":
        fov = math.radians(rng.choice((120, 179, 181, 190, 240, 359)))
        K[0][0] = K[1][1] = lens["size"][1] / fov
        lens |= {"model": "fisheye", "distortion": [0.0] * 4}
    elif kind == "folding":
        lens["distortion"] = [rng.choice((-3.0, -0.7, -0.3, 5.0, 1e6)), rng.uniform(-1, 1), 0, 0, 0]
    elif kind == "long":
        K[0][0], K[1][1] = (rng.choice((1e-3, 1.0, 1e5, 1e9)) for _ in range(2))
    elif kind == "centre":
        K[0][2], K[1][2] = (rng.choice((-1e4, 10.0, 1e5, 1e9)) for _ in range(2))
    else:
        lens["distortion"] = [rng.uniform(-2, 2) for _ in range(rng.choice((3, 4, 5, 8)))]
    path.write_text(json.dumps(values))


def _parse(path: Path) -> tuple[Any, list[tuple[Any, ...]]]:
    """The value of a JSON file and the places of all that is in it."""
    try:
        values = json.loads(path.read_text())
    except (ValueError, OSError, RecursionError):
        raise NotApplicableError from None
    places = list(_places(values, ()))
    if not places:
        raise NotApplicableError
    return values, places


def _places(value: Any, place: tuple[Any, ...]) -> Any:
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        yield (*place, key)
        yield from _places(value[key], (*place, key))


def _at(value: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        value = value[key]
    return value


def _set(values: Any, place: tuple[Any, ...], value: Any) -> None:
    _at(values, place[:-1])[place[-1]] = value


def _replace(rng: random.Random, path: Path, text: str) -> None:
    """Put a JSON text in the place of a value."""
    values, places = _parse(path)
    _set(values, rng.choice(places), _MARK)
    path.write_text(json.dumps(values).replace(json.dumps(_MARK), text))


# TOML


@operator("long dotted key", ".toml")
def long_dotted_key(rng, path):
    parts = rng.choice((200, 3000, 20_000))
    key = ".".join(["a"] * parts)
    line = rng.choice((f"{key} = 1", f"[{key}]", f"[[{key}]]", f"x = {{ {key} = 1 }}"))
    _insert_line(rng, path, line)


@operator("deep TOML", ".toml")
def deep_toml(rng, path):
    deep = rng.choice((50, 500, 20_000))
    text = rng.choice(("x = " + "[" * deep + "]" * deep, "x = " + "{a=" * deep + "1" + "}" * deep))
    _insert_line(rng, path, text)


@operator("strange TOML value", ".toml")
def strange_toml_value(rng, path):
    values = (
        *("nan", "inf", "-inf", "true", '""', "[]", "{}", "[[]]", "1979-05-27", "07:32:00", "-1"),
        *(
            '"nan"',
            '"1e400 m"',
            '"5 parsec"',
            '"-5 deg"',
            '"9e999 km/h"',
            '"' + "x" * 100_000 + '"',
        ),
        *("9" * 400, "0x" + "f" * 400, "1e400", "1e308", "-1e308", "5e-324", "1_0", '"""a\nb"""'),
        "{ from = 0, to = 1, steps = 1000000000 }",
        "{ from = 0, to = 1, steps = 1e9 }",
        "{ from = nan, to = inf, steps = 3 }",
        "{ from = -1e308, to = 1e308, steps = 3 }",
        "{ low = 0, high = 1, samples = 99999999999 }",
        "{ low = 1, high = 0, samples = 3 }",
        "{ low = 0.0, high = 1.0, samples = 99999, seed = -1 }",
        "{ values = [] }",
        "{ values = [nan, inf] }",
        "{ values = [" + "0," * 100_000 + "] }",
        "{ from = 0, to = 1, steps = 90000 }",
        "{ min = nan }",
        "{ max = inf }",
    )
    lines = path.read_text().splitlines()
    at = [i for i, line in enumerate(lines) if re.match(r"\s*[\w.]+\s*=", line)]
    if not at:
        raise NotApplicableError
    line = rng.choice(at)
    lines[line] = lines[line].split("=")[0] + "= " + rng.choice(values)
    path.write_text("\n".join(lines) + "\n")


@operator("TOML key twice", ".toml")
def toml_key_twice(rng, path):
    lines = path.read_text().splitlines()
    at = [i for i, line in enumerate(lines) if line.strip() and not line.startswith("#")]
    line = rng.choice(at)
    lines.insert(line, lines[line])
    path.write_text("\n".join(lines) + "\n")
    return None if lines[line].startswith("[[") else "refused"


@operator("unknown TOML", ".toml")
def unknown_toml(rng, path):
    name = json.dumps(rng.choice(NAMES).replace("\0", "")).replace("\\u001b", "\\u001B")
    _insert_line(
        rng, path, rng.choice((f"{name} = 1", f"[{name}]", f"[image.{name}]", f"x = {name}"))
    )


@operator("strange name in TOML", ".toml")
def strange_name_in_toml(rng, path):
    text = path.read_text()
    found = list(re.finditer(r'"[^"\n]*"', text))
    if not found:
        raise NotApplicableError
    place = rng.choice(found)
    name = json.dumps(
        rng.choice((*NAMES, "sample:", "sample:../..", "sample:nowhere", "*", "**/*", "["))
    )
    path.write_text(text[: place.start()] + name + text[place.end() :])


@operator("product of ranges", ".toml")
def product_of_ranges(rng, path):
    steps = rng.choice((40, 300, 99_999))
    range_ = f"{{ from = 0.0, to = 0.5, steps = {steps} }}"
    text = "\n".join(f"{name} = {range_}" for name in ("exposure", "red", "blue", "blur", "noise"))
    path.write_text(path.read_text() + f"\n[image]\n{text}\n")


@operator("many TOML keys", ".toml")
def many_toml_keys(rng, path):
    kind = rng.choice(("k{} = 1", "[t{}]", "[[scenarios]] # {}", "a.b{}.c = 1"))
    text = "\n".join(kind.format(i) for i in range(rng.choice((2000, 30_000))))
    path.write_text(path.read_text() + "\n" + text + "\n")


def _insert_line(rng: random.Random, path: Path, line: str) -> None:
    lines = path.read_text().splitlines()
    lines.insert(rng.choice((rng.randint(0, len(lines)), len(lines))), line)
    path.write_text("\n".join(lines) + "\n")
