"""Damage to position logs: columns of a CSV, points of a GPX, sentences of NMEA."""

from __future__ import annotations

import re

from .operators import NotApplicableError, operator

CSV, GPX, NMEA = ".csv", ".gpx", ".nmea"
LOGS = (CSV, GPX, NMEA)
FACTORS = (-1.0, 0.0, 1e-9, 0.01, 0.44704, 3.6, 57.29577951308232, 100.0, 1e6, 1e300)


def _table(path):
    """The rows of a CSV, its header first, as lists of words."""
    rows = [line.split(",") for line in path.read_text().splitlines()]
    if len(rows) < 2 or len({len(row) for row in rows}) != 1:
        raise NotApplicableError
    return rows


def _write(path, rows):
    path.write_text("\n".join(",".join(row) for row in rows) + "\n")


@operator("column in another unit", CSV)
def column_in_another_unit(rng, path):
    rows = _table(path)
    at, factor = rng.randrange(len(rows[0])), rng.choice(FACTORS)
    try:
        for row in rows[1:]:
            row[at] = repr(factor * float(row[at]))
    except ValueError:
        raise NotApplicableError from None
    _write(path, rows)


@operator("column titled otherwise", CSV)
def column_titled_otherwise(rng, path):
    """Also as another one, so that two have one title, or as one of another kind."""
    rows = _table(path)
    others = ("speed_kmh", "yaw_rad", "heading", "lat", "x", "time", "accuracy", "", '"', "ü" * 300)
    rows[0][rng.randrange(len(rows[0]))] = rng.choice((*rows[0], *others))
    _write(path, rows)


@operator("columns dropped or moved", CSV)
def columns_dropped_or_moved(rng, path):
    rows = _table(path)
    order = list(range(len(rows[0])))
    rng.shuffle(order)
    order = order[: rng.randint(1, len(order))]
    _write(path, [rows[0], *([row[k] for k in order] for row in rows[1:])])


@operator("column held, jumping or empty", CSV)
def column_held_jumping_or_empty(rng, path):
    rows = _table(path)
    at, start = rng.randrange(len(rows[0])), rng.randrange(1, len(rows))
    change = rng.choice(("held", "jump", "empty"))
    for row in rows[start:]:
        if change == "held":
            row[at] = rows[start][at]
        elif change == "empty":
            row[at] = ""
        else:
            row[at] = f"{row[at]}{rng.choice(('0', '00', 'e3'))}"
    _write(path, rows)


@operator("XML that unpacks to gigabytes", GPX)
def xml_that_unpacks_to_gigabytes(rng, path):
    entities = '<!ENTITY a0 "0000000000">' + "".join(
        f'<!ENTITY a{k} "{f"&a{k - 1};" * 10}">' for k in range(1, 10)
    )
    text = re.sub(r"<\?xml.*?\?>\s*", "", path.read_text())
    place = re.search(r"<ele>|<time>", text)
    if place is None:
        raise NotApplicableError
    text = f"{text[: place.end()]}&a9;{text[place.end() :]}"
    path.write_text(f"<!DOCTYPE gpx [{entities}]>\n{text}")


@operator("XML that reads another file", GPX)
def xml_that_reads_another_file(rng, path):
    text = re.sub(r"<\?xml.*?\?>\s*", "", path.read_text())
    entity = f'<!ENTITY other SYSTEM "{rng.choice(("/etc/passwd", "/dev/zero", "drive.csv"))}">'
    path.write_text(f"<!DOCTYPE gpx [{entity}]>\n{text.replace('<ele>', '<ele>&other;', 1)}")


@operator("element or attribute changed", GPX)
def element_or_attribute_changed(rng, path):
    text = path.read_text()
    found = list(re.finditer(r"</?\w+>|\b(?:lat|lon)=\"[^\"]*\"|[^<>\s]+(?=</)", text))
    if not found:
        raise NotApplicableError
    one = rng.choice(found)
    new = rng.choice(
        ("", "<trkpt>", "</gpx>", "nan", 'lat="91"', 'lon="1e400"', "9" * 400, "<a>" * 90)
    )
    path.write_text(text[: one.start()] + new + text[one.end() :])


@operator("sentence changed", NMEA)
def sentence_changed(rng, path):
    """With its checksum right again, more often than not."""
    lines = path.read_text().split("\r\n")
    at = rng.randrange(len(lines))
    words = lines[at].partition("*")[0].lstrip("$").split(",")
    words[rng.randrange(len(words))] = rng.choice(
        ("", "nan", "-1", "9999.99", "246060.99", "320199", "S", "V", "GPXXX", "1e308", "9" * 300)
    )
    body = ",".join(words[: rng.choice((len(words), len(words), 4))])
    check = 0
    for letter in body.encode():
        check ^= letter
    if rng.random() < 0.2:
        check ^= 1
    lines[at] = f"${body}*{check:02X}"
    path.write_text("\r\n".join(lines))


@operator("points or lines in another order", *LOGS)
def points_or_lines_in_another_order(rng, path):
    text = path.read_text()
    pattern = r"<trkpt.*?</trkpt>" if path.suffix == GPX else r"[^\r\n]+"
    parts = re.findall(pattern, text, flags=re.DOTALL)
    if len(parts) < 3:
        raise NotApplicableError
    a, b = sorted(rng.sample(range(1, len(parts)), 2))
    change = rng.choice(("swap", "double", "reverse", "few"))
    if change == "swap":
        moved = [*parts]
        moved[a], moved[b] = moved[b], moved[a]
    elif change == "double":
        moved = [*parts[:a], parts[a], *parts[a:]]
    elif change == "reverse":
        moved = [parts[0], *parts[:0:-1]]
    else:
        moved = parts[: rng.choice((1, 2, 3))]
    ends = (
        re.split(pattern, text, maxsplit=1, flags=re.DOTALL)[0],
        text[text.rfind(parts[-1]) + len(parts[-1]) :],
    )
    path.write_text(ends[0] + "\n".join(moved) + ends[1])
