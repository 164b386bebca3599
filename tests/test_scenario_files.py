"""Scenario and suite files: what they may say, and what wrong ones are told."""

import math

import pytest
import range_sensor  # noqa: F401  # a kind of sensors

from vista_sim.errors import ScenarioError
from vista_sim.scenarios import load_suite
from vista_sim.scenarios.fields import FieldError, Number
from vista_sim.scenarios.ranges import read_range

HEAD = 'format = "vista-scenario/1"\nname = "one"\n'
TRACE = 'traces = "TRACE"\n'


@pytest.fixture
def write(tmp_path, road_trace):
    """Writes a file; TRACE in it is the folder of a trace."""

    def write(text, name="one.toml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(text, str):
            text = text.replace("TRACE", str(road_trace)).encode()
        path.write_bytes(text)
        return path

    return write


def problems(path):
    """What is wrong with a file, without the path of its folder."""
    with pytest.raises(ScenarioError) as caught:
        load_suite(path).cases()
    for problem in caught.value.problems:
        assert "\n" not in problem
    return [p.replace(f"{path.parent}/", "") for p in caught.value.problems]


# Text after the head (of two lines) and the trace (the third), and what is said of it.
WRONG = {
    "unknown key": ("spede = 1\n", "one.toml:4: spede: is an unknown key; did you mean"),
    "unknown key of a table": (
        "[start]\nlatral = 1.0\n",
        'one.toml:5: start.latral: is an unknown key; did you mean "lateral"? known: s, fraction',
    ),
    "key of another table": (
        "lateral = 1.0\n",
        "one.toml:4: lateral: is unknown here; it belongs into [start] or [task.rewards]",
    ),
    "key of the top below a table": (
        "[start]\ns = 1.0\n\nseeds = 3\n",
        "one.toml:7: start.seeds: is unknown here; it belongs above the first [table]",
    ),
    "wrong type": (
        "[start]\nlateral = true\n",
        "one.toml:5: start.lateral: is True; it must be a number from -20 to 20 m",
    ),
    "no table": ("start = 3\n", "one.toml:4: start: is 3; it must be a table, [start]"),
    "wrong unit": (
        '[start]\nheading = "5 km/h"\n',
        "one.toml:5: start.heading: is '5 km/h': its unit must be rad or deg",
    ),
    "degrees without saying so": (
        "[start]\nheading = 10\n",
        "one.toml:5: start.heading: is 10 rad; it must be a number from -1.5 to 1.5 rad "
        '(degrees are written "10 deg")',
    ),
    "out of range": (
        "[vehicle]\nactuation_delay = -0.1\n",
        "one.toml:5: vehicle.actuation_delay: is -0.1 s; it must be a number from 0 to 5 s",
    ),
    "nan": ("dt = nan\n", "one.toml:4: dt: is nan s; it must be a number from 0.001 to 1 s"),
    "inf": ("time_limit = inf\n", "one.toml:4: time_limit: is inf s; it must be a number from"),
    "nan in a range": (
        "[image]\nblur = { values = [1.0, nan] }\n",
        "one.toml:5: image.blur: is nan; it must be a number from 0 to 10",
    ),
    "unknown name": (
        'mode = "drive"\n',
        "one.toml:4: mode: is 'drive'; known are episode, restart, recovery",
    ),
    "empty sweep": (
        "[image]\nnoise = { values = [] }\n",
        "one.toml:5: image.noise: has values []; it must be a list of at least one number",
    ),
    "sweep without steps": (
        "[image]\nnoise = { from = 0, to = 1, steps = 0 }\n",
        "one.toml:5: image.noise: is an empty range: steps is 0; it must be at least 1",
    ),
    "sweep of nothing": (
        "[image]\nnoise = { from = 2, to = 2, steps = 3 }\n",
        "one.toml:5: image.noise: is an empty range: from 2 to 2 in 3 steps; give two ends",
    ),
    "sweep that lacks an end": (
        "[image]\nnoise = { from = 2, steps = 3 }\n",
        "one.toml:5: image.noise: has no 'to'; a range is { from, to, steps }",
    ),
    "sweep with a value twice": (
        "[image]\nnoise = { values = [1, 2.0, 1.0] }\n",
        "one.toml:5: image.noise: has 1 twice among its values",
    ),
    "sweep out of range": (
        "[image]\nnoise = { from = 0, to = 65, steps = 3 }\n",
        "one.toml:5: image.noise: to is 65; it must be a number from 0 to 64",
    ),
    "huge range": (
        "[image]\nnoise = { from = 0, to = 64, steps = 1000000000000 }\n",
        "one.toml:5: image.noise: has steps 1000000000000; at most 100000 are swept",
    ),
    "huge sweep": (
        "seeds = 1000\n[image]\nnoise = { from = 0, to = 64, steps = 101 }\n",
        "one.toml:6: image.noise: all ranges and seeds make 101000 cases; at most 100000",
    ),
    "huge number of starts": (
        "seeds = 10000\n[start]\nplaces = 4\n",
        "one.toml:5: start: 12 starts of 10000 combinations each are more than 100000 cases",
    ),
    "range where there is none": (
        "[start]\nplaces = { from = 1, to = 2, steps = 2 }\n",
        "one.toml:5: start.places: is a table; it must be a whole number from 1 to 10000",
    ),
    "section outside the trace": (
        "[section]\ntime = [30.0, 40.0]\n",
        "one.toml:5: section.time: begins at 30 s, outside the trace 'road', which ends at 22.",
    ),
    "section beyond the path": (
        "[section]\ndistance = [500.0, 600.0]\n",
        "one.toml:5: section.distance: begins at 500 m, outside the trace 'road', which ends at",
    ),
    "section that ends before it begins": (
        "[section]\ntime = [9.0, 4.0]\n",
        "one.toml:5: section.time: is [9, 4]; the first must be less than the second",
    ),
    "nothing left to drive": (
        "[section]\ncurvature = [0.5, 0.6]\n",
        "one.toml:4: section: nothing is left to drive of ",
    ),
    "label that is not there": (
        '[section]\nlabel = "weather=rain"\n',
        "one.toml:5: section.label: is nowhere in the trace 'road'; its labels: none",
    ),
    "start outside the section": (
        "[section]\ntime = [0.0, 5.0]\n[start]\ns = 90.0\n",
        "one.toml:7: start.s: is 90 m; what can be driven of the trace 'road' is (m): 0.0 to 40.0",
    ),
    "start at the end": (
        "[start]\nfraction = 1.0\n",
        "one.toml:5: start.fraction: is the end of the section, at ",
    ),
    "two ways to start": (
        "[start]\ns = 3.0\nfraction = 0.5\n",
        "one.toml:6: start.fraction: is given beside s; give one of the two",
    ),
    "start outside the limits": (
        "[start]\nlateral = { from = 0.0, to = 2.5, steps = 6 }\n",
        "one.toml:5: start.lateral: is 2 m; it must be within endings.max_lateral, 2 m",
    ),
    "start off the road": (
        '[start]\nlateral = -1.7\n[endings]\nmax_lateral = "road"\n',
        "one.toml:5: start.lateral: is -1.7 m, off the road: at s = 0.0 m of 'road' its",
    ),
    "camera that is not there": (
        '[sensors]\nrecorded_camera = "rear"\n',
        "one.toml:5: sensors.recorded_camera: is 'rear'; the cameras of ",
    ),
    "sensor without a kind": (
        '[sensors.rear]\nfov = "60 deg"\n',
        'one.toml:4: sensors.rear: has no kind; write kind = "camera" (known are camera,',
    ),
    "sensor of an unknown kind": (
        '[sensors.rear]\nkind = "sonar"\n',
        "one.toml:5: sensors.rear.kind: is 'sonar'; known are camera,",
    ),
    "unknown key of a sensor": (
        '[sensors.rear]\nkind = "camera"\nfow = 1.0\n',
        "one.toml:6: sensors.rear.fow: is an unknown key of 'camera'; did you mean \"fov\"? known:",
    ),
    "unknown key of a mount": (
        '[sensors.rear]\nkind = "camera"\nmount = { x = 0, y = 0, z = 1, jaw = 0 }\n',
        "one.toml:6: sensors.rear.mount.jaw: is an unknown key of 'mount'; did you mean \"yaw\"?",
    ),
    "wrong unit of a sensor": (
        '[sensors.rear]\nkind = "camera"\nfov = "60 m"\n',
        "one.toml:6: sensors.rear.fov: is '60 m': its unit must be rad or deg",
    ),
    "wrong unit of a mount": (
        '[sensors.rear]\nkind = "camera"\n[sensors.rear.mount]\nx = 0\ny = 0\nz = "1 deg"\n',
        "one.toml:9: sensors.rear.mount.z: is '1 deg': its unit must be m or cm or km",
    ),
    "mount that is not whole": (
        '[sensors.rear]\nkind = "camera"\nsize = [20, 30]\nmount = { x = 0.0, y = 0.0 }\n',
        "one.toml:7: sensors.rear.mount: is not usable (mount has no z; give x, y and z in m",
    ),
    "field of view that cannot be": (
        '[sensors.rear]\nkind = "camera"\nsize = [20, 30]\nfov = 60\n',
        "one.toml:7: sensors.rear.fov: is not usable (fov is 60.0 rad; it must be between 0 and",
    ),
    "camera without a size": (
        '[sensors.rear]\nkind = "camera"\n',
        "one.toml:4: sensors.rear: is not usable (size is missing; give [height, width] in pixels)",
    ),
    "sensor with a size that cannot be": (
        '[sensors.rear]\nkind = "camera"\nsize = [20, 0]\n',
        "one.toml:4: sensors.rear: is not usable (size is 0; it must be a whole number, 1 to 8192)",
    ),
    "wrong type of a sensor's field": (
        '[sensors.ahead]\nkind = "range"\nrays = "three"\n',
        "one.toml:6: sensors.ahead.rays: is not usable (rays is 'three'; it must be of type int)",
    ),
    "swept sensor": (
        '[sensors.rear]\nkind = "camera"\nfov = { values = [1.0, 1.2] }\n',
        "one.toml:6: sensors.rear.fov: is a range; a sensor is not swept, give it one value",
    ),
    "name that no sensor has": (
        '[sensors."to the rear"]\nkind = "camera"\nsize = [20, 30]\n',
        "one.toml:4: sensors.to the rear: cannot be: sensor name is 'to the rear'; it must be",
    ),
    "name that is taken": (
        '[sensors.speed]\nkind = "camera"\nsize = [20, 30]\n',
        "one.toml:4: sensors.speed: cannot be: there is an observation 'speed' already; choose",
    ),
    "sensor under the name of a fault": (
        '[sensors.mount_x]\nkind = "camera"\n',
        "one.toml:4: sensors.mount_x: is a table; it must be a number from -1 to 1 m, or a range",
    ),
    "misspelt fault that is swept": (
        "[sensors]\nmount_yow = { values = [0.0, 0.1] }\n",
        'one.toml:5: sensors.mount_yow: is an unknown key; did you mean "mount_yaw"?',
    ),
    "sensor that no view can be made for": (
        '[sensors.rear]\nkind = "camera"\nsize = [20, 30]\n'
        "mount = [[2, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]\n",
        "one.toml:4: sensors.rear: cannot be: ",
    ),
    "recovery that cannot be": (
        "[recovery]\nheld = 6.0\n",
        "one.toml:5: recovery.held: is 6 s; it must be less than within_time, 5 s",
    ),
    "factor of a free speed": (
        '[speed]\nmode = "free"\nfactor = 0.5\n',
        'one.toml:6: speed.factor: scales the recorded speed; mode is "free"',
    ),
    "other road users": (
        "[[actors]]\nkind = 'car'\n",
        "one.toml:4: actors: other road users come with a later version",
    ),
    "seeds": ("seeds = [1, -2]\n", "one.toml:4: seeds: holds -2; seeds are whole numbers"),
    "seeds twice": ("seeds = [1, 2, 1]\n", "one.toml:4: seeds: holds 1 twice"),
    "criterion": (
        "pass = { crashes = 0 }\n",
        "one.toml:4: pass.crashes: is 0; it must be a table with min, max, or both",
    ),
    "criterion that nothing passes": (
        "pass = { crashes = { min = 2, max = 1 } }\n",
        "one.toml:4: pass.crashes: has min 2 above max 1",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_field_is_named_with_its_file_and_line(write, name):
    text, expected = WRONG[name]
    said = problems(write(HEAD + TRACE + text))
    assert len(said) == 1
    assert said[0].startswith(expected)


def test_all_that_is_wrong_is_said(write):
    path = write(HEAD + TRACE + "spede = 1\ndt = 7\n[start]\nlateral = 'far'\n")
    assert [p.split(": ")[0] for p in problems(path)] == ["one.toml:4", "one.toml:5", "one.toml:7"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'format = "vista-scenario/1"\nname = = 3\n', "one.toml:2: file: is not TOML (Invalid"),
        (b'format = "vista-scenario/1"\nname = "x\n', "one.toml:2: file: is not TOML ("),
        (b"a = 1\na = 2\n", "one.toml:2: file: is not TOML (Cannot overwrite a value"),
        (b"\x89PNG\r\n\x1a\n\x00\xff\xfe", "one.toml:1: file: is not text but binary (byte 0 is"),
        (b"ok = 1\n\xff\n", "one.toml:2: file: is not text but binary"),
        (b"x = 1\x00\n", "one.toml:1: file: is not TOML ("),
        (b"a = " + b"[" * 100_000, "one.toml:1: file: is not TOML ("),
        (b"a = " + b"9" * 5000, "one.toml:1: file: is not TOML (Exceeds the limit"),
        (b"#" * (5 * 2**20), "one.toml: is larger than 1048576 bytes; is it a scenario?"),
        (b"", 'one.toml:1: format: is missing; it must be "vista-scenario/1" or "vista-suite/1"'),
        (b'format = "vista-trace/1"\n', "one.toml:1: format: is 'vista-trace/1'; it must be"),
        (
            b'format = "vista-scenario/' + b"9" * 5000 + b'"\n',
            "one.toml:1: format: is 'vista-scenario/99",
        ),
        (
            b'format = "vista-scenario/2"\n',
            "one.toml:1: format: is 'vista-scenario/2'; it is newer than this version reads",
        ),
    ],
)
def test_what_is_no_scenario_is_refused(write, content, expected):
    assert problems(write(content))[0].startswith(expected)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ScenarioError, match=r"gone\.toml: no such file; installed scenarios: "):
        load_suite(tmp_path / "gone.toml")
    with pytest.raises(ScenarioError, match="is a folder"):
        load_suite(tmp_path)


@pytest.mark.parametrize(
    ("traces", "expected"),
    [
        ('traces = "gone"', "one.toml:3: traces: gone: no such trace ("),
        ('traces = ["TRACE",\n"gone"]', "one.toml:4: traces[1]: gone: no such trace ("),
        ('traces = "gone/*"', "one.toml:3: traces: gone/*: matches no trace (a folder with"),
        ('traces = "sample:nowhere"', "one.toml:3: traces: no sample trace is named 'nowhere'"),
        ("traces = []", "one.toml:3: traces: is []; it must be a text or a list of texts"),
        ("", "one.toml:1: traces: is missing; give trace folders, or"),
    ],
)
def test_a_missing_trace_is_named(write, traces, expected):
    assert problems(write(HEAD + traces + "\n"))[0].startswith(expected)


def test_a_name_is_needed_and_plain(write):
    text = 'format = "vista-scenario/1"\n' + TRACE
    assert problems(write(text)) == ['one.toml:1: name: is missing; write name = "..."']
    assert problems(write('name = "a/b"\n' + text))[0].startswith("one.toml:1: name: is 'a/b'; use")


def test_units_may_be_written(write):
    path = write(
        HEAD + TRACE + '[start]\nheading = "9 deg"\nlateral = "-50 cm"\n'
        '[speed]\nlimit = "36 km/h"\n[vehicle]\nactuation_delay = "150 ms"\n'
    )
    settings = load_suite(path).members[0].scenario.settings
    assert settings.start.heading == pytest.approx(math.pi / 20)
    assert settings.start.lateral == -0.5
    assert settings.speed.limit == pytest.approx(10.0)
    assert settings.vehicle.actuation_delay == pytest.approx(0.15)


def test_ranges_are_spaced_listed_or_drawn():
    metres = Number(-2.0, 2.0, "m")
    spaced = read_range(metres, {"from": -1.5, "to": 1.5, "steps": 7}, "x")
    assert spaced == (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
    assert read_range(metres, {"from": 1, "to": "-100 cm", "steps": 3}, "x") == (1.0, 0.0, -1.0)
    assert read_range(metres, {"values": [2, "5 cm"]}, "x") == (2.0, 0.05)
    wanted = {"low": -1.0, "high": 2.0, "samples": 2000}
    drawn = read_range(metres, wanted, "x")
    assert len(drawn) == 2000
    assert -1.0 <= min(drawn) < -0.98
    assert 1.98 < max(drawn) < 2.0
    assert sum(drawn) / 2000 == pytest.approx(0.5, abs=0.06)  # of 3/sqrt(12 n): three times
    assert read_range(metres, wanted, "x") == drawn
    assert read_range(metres, wanted | {"seed": 1}, "x") != drawn
    assert read_range(metres, wanted, "y") != drawn
    with pytest.raises(FieldError, match="seed"):
        read_range(metres, wanted | {"seed": -1}, "x")


def test_a_file_goes_over_the_one_it_includes(write, road_trace):
    write(
        'format = "vista-scenario/1"\nname = "base"\ntraces = "TRACE"\nseeds = 3\n'
        "[start]\ns = 10.0\nlateral = { from = -1, to = 1, steps = 3 }\n"
        "[image]\nnoise = 4.0\nblur = 1.0\n",
        "shared/base.toml",
    )
    top = 'format = "vista-scenario/1"\ninclude = "shared/base.toml"\nname = "top"\n'
    path = write(
        top + "[start]\nfraction = 0.25\nlateral = { values = [0.5] }\n[image]\nblur = 2\n"
    )
    scenario = load_suite(path).members[0].scenario
    assert scenario.name == "top"
    assert scenario.traces == (road_trace,)
    assert scenario.seeds == (0, 1, 2)
    assert (scenario.settings.image.noise, scenario.settings.image.blur) == (4.0, 2.0)
    assert (scenario.settings.start.s, scenario.settings.start.fraction) == (None, 0.25)
    assert [sweep.values for sweep in scenario.sweeps] == [(0.5,)]


def test_a_mistake_in_what_is_included_is_named_there(write):
    write('format = "vista-scenario/1"\n\n[image]\nblur = 99\n', "base.toml")
    path = write('include = "base.toml"\n' + HEAD + TRACE)
    assert problems(path)[0].startswith("base.toml:4: image.blur: is 99; it must be")


def test_paths_are_relative_to_the_file_that_names_them(write, tmp_path, road_trace):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "drive").symlink_to(road_trace)
    write('format = "vista-scenario/1"\ntraces = "driv*"\n', "shared/base.toml")
    path = write(HEAD + 'include = "shared/base.toml"\n')
    assert load_suite(path).members[0].scenario.traces == (tmp_path / "shared" / "drive",)


def test_includes_in_a_circle_are_refused(write):
    write('format = "vista-scenario/1"\ninclude = "c.toml"\n', "b.toml")
    write('format = "vista-scenario/1"\n\ninclude = "one.toml"\n', "c.toml")
    path = write(HEAD + TRACE + 'include = "b.toml"\n')
    assert problems(path) == [
        "c.toml:3: include: goes in a circle: one.toml includes b.toml includes c.toml "
        "includes one.toml"
    ]
    assert "one.toml includes one.toml" in problems(write(HEAD + 'include = "one.toml"\n'))[0]
    assert problems(write(HEAD + 'include = "x.toml"\n')) == [
        "one.toml:3: include: x.toml: no such file"
    ]


SUITE = 'format = "vista-suite/1"\nname = "all"\n'


def test_a_suite_has_weights_and_requirements(write):
    write(HEAD + TRACE + "pass = { crashes = { max = 1 }, distance_m = { min = 5 } }\n")
    write(
        SUITE.replace("all", "inner") + "pass = { crashes_per_km = { max = 2 } }\n"
        '[[scenarios]]\npath = "one.toml"\nname = "two"\nweight = 3\n',
        "inner.toml",
    )
    path = write(
        SUITE + "pass = { recovery_rate = { min = 0.5, max = 1 } }\n"
        '[[scenarios]]\npath = "one.toml"\nweight = 2\npass = { crashes = { max = 0 } }\n'
        '[[scenarios]]\npath = "inner.toml"\nweight = 0.5\n',
        "all.toml",
    )
    suite = load_suite(path)
    assert suite.weights == {"one": 2.0, "two": 1.5}
    assert [(r.of, r.scenarios, str(r.criterion)) for r in suite.requirements] == [
        ("one", ("one",), "crashes <= 0"),
        ("one", ("one",), "5 <= distance_m"),
        ("two", ("two",), "crashes <= 1"),
        ("two", ("two",), "5 <= distance_m"),
        ("inner", ("two",), "crashes_per_km <= 2"),
        ("all", ("one", "two"), "0.5 <= recovery_rate <= 1"),
    ]
    cases = suite.cases()
    assert [(c.scenario, c.weight) for c in cases] == [("one", 2.0), ("two", 1.5)]
    last = suite.requirements[-1].criterion
    assert [last.passes(v) for v in (0.5, 1.0, 0.49, 1.01, math.nan, None)] == [
        True, True, False, False, False, False,
    ]  # fmt: skip


def test_a_suite_may_set_fields_of_its_scenarios(write):
    write(HEAD + TRACE + "[image]\nnoise = 1.0\nblur = 1.0\n")
    path = write(
        SUITE
        + '[[scenarios]]\npath = "one.toml"\nname = "a"\nset.image.noise = { values = [2, 3] }\n'
        '[[scenarios]]\npath = "one.toml"\nname = "b"\n[scenarios.set]\nseeds = 2\n',
        "all.toml",
    )
    image = [(c.scenario, c.seed, c.settings.image.noise) for c in load_suite(path).cases()]
    assert image == [("a", 0, 2.0), ("a", 0, 3.0), ("b", 0, 1.0), ("b", 1, 1.0)]


WRONG_SUITES = {
    "unknown key": ("weights = 3\n", "all.toml:3: weights: is an unknown key; known: format"),
    "unknown key of an entry": (
        '[[scenarios]]\npath = "one.toml"\nwieght = 3\n',
        'all.toml:5: scenarios[0].wieght: is an unknown key; did you mean "weight"?',
    ),
    "wrong weight": (
        '[[scenarios]]\npath = "one.toml"\nweight = 0\n',
        "all.toml:5: scenarios[0].weight: is 0; it must be a number from 1e-06 to 1e+06",
    ),
    "missing file": (
        '[[scenarios]]\npath = "gone.toml"\n',
        "all.toml:4: scenarios[0].path: gone.toml: no such file",
    ),
    "no path": (
        "[[scenarios]]\nweight = 1\n",
        "all.toml:3: scenarios[0].path: is missing; it must be a scenario's or a suite's file",
    ),
    "nothing in it": ("", "all.toml:1: scenarios: is missing; list them as [[scenarios]]"),
    "duplicate name": (
        '[[scenarios]]\npath = "one.toml"\n[[scenarios]]\npath = "one.toml"\n',
        'all.toml:3: scenarios: the name "one" is there twice (of ',
    ),
    "circle": (
        '[[scenarios]]\npath = "all.toml"\n',
        "all.toml:4: scenarios[0].path: goes in a circle: all.toml includes all.toml",
    ),
    "mistake in what is set": (
        '[[scenarios]]\npath = "one.toml"\nset.image.noise = 99\n',
        "all.toml:5: image.noise: is 99; it must be a number from 0 to 64",
    ),
    "a suite is given a name": (
        '[[scenarios]]\npath = "inner.toml"\nname = "x"\n',
        "all.toml:5: scenarios[0].name: is given, but inner.toml is a suite",
    ),
}


@pytest.mark.parametrize("name", WRONG_SUITES)
def test_a_wrong_suite_is_told_so(write, name):
    write(HEAD + TRACE)
    write(SUITE.replace("all", "inner") + '[[scenarios]]\npath = "one.toml"\n', "inner.toml")
    text, expected = WRONG_SUITES[name]
    assert problems(write(SUITE + text, "all.toml"))[0].startswith(expected)


def test_suites_in_a_circle_are_refused(write):
    write(SUITE.replace("all", "b") + '[[scenarios]]\npath = "all.toml"\n', "b.toml")
    path = write(SUITE + '[[scenarios]]\npath = "b.toml"\n', "all.toml")
    assert problems(path) == [
        "b.toml:4: scenarios[0].path: goes in a circle: all.toml includes b.toml includes all.toml"
    ]


def test_mistakes_of_several_scenarios_are_all_told(write):
    write(HEAD + TRACE + "[section]\ntime = [90, 91]\n")
    write(HEAD.replace("one", "two") + TRACE + "[start]\ns = 900\n", "two.toml")
    path = write(
        SUITE + '[[scenarios]]\npath = "one.toml"\n[[scenarios]]\npath = "two.toml"\n', "all.toml"
    )
    assert [p.split(": ")[0] for p in problems(path)] == ["one.toml:5", "two.toml:5"]
