"""Cases of scenarios: how many, where, and under which names."""

import json
import pickle
from importlib.metadata import EntryPoint

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROAD_SPEED, write_road

import vista_sim
from vista_sim.scenarios import Case, library, load_suite
from vista_sim.scenarios.library import folders, installed
from vista_sim.scenarios.places import RecoveryTest, draw_places
from vista_sim.traces.trace import Trace
from vista_sim.world import World

HEAD = 'format = "vista-scenario/1"\nname = "one"\n'


@pytest.fixture
def cases(tmp_path, road_trace):
    """Makes the cases of a scenario on the road trace."""

    def cases(text, traces=None):
        path = tmp_path / "one.toml"
        listed = json.dumps([str(t) for t in traces or [road_trace]])
        path.write_text(f"{HEAD}traces = {listed}\n{text}")
        return load_suite(path).cases()

    return cases


def test_ranges_and_seeds_are_swept_as_a_product(cases):
    found = cases(
        "seeds = [3, 5]\n[start]\nlateral = { from = -1, to = 1, steps = 3 }\n"
        "[image]\nnoise = { values = [0, 8] }\n"
    )
    assert [(c.lateral, c.settings.image.noise, c.seed) for c in found] == [
        (lateral, noise, seed) for lateral in (-1, 0, 1) for noise in (0, 8) for seed in (3, 5)
    ]
    assert found[0].case == "one/road,lateral=-1,noise=0,seed=3"
    assert len({c.case for c in found}) == 12
    assert {c.settings.start.lateral for c in found} == {-1.0, 0.0, 1.0}


def test_fields_of_one_name_are_told_apart(cases):
    found = cases(
        "[start]\nlateral = { values = [1] }\n[task.rewards]\nlateral = { values = [2, 3] }\n"
    )
    assert found[1].case == "one/road,start.lateral=1,task.rewards.lateral=3,seed=0"


def test_values_that_a_name_does_not_tell_apart_have_names_of_their_own(cases):
    found = cases("[start]\nlateral = { values = [1.0, 1.00000001] }\n")
    assert len({c.case for c in found}) == 2


def test_cases_are_the_same_each_time_and_can_be_sent_and_written(cases):
    text = "[start]\nplaces = 2\nlateral = { low = -1, high = 1, samples = 3 }\n"
    first, second = cases(text), cases(text)
    assert first == second
    case = first[-1]
    assert pickle.loads(pickle.dumps(case)) == case
    assert Case.from_json(json.loads(json.dumps(case.to_json()))) == case


def test_sections_are_cut_by_time_and_distance(cases):
    (case,) = cases("[section]\ntime = [2.0, 9.0]\ndistance = [40.0, 60.0]\n")
    assert case.section == pytest.approx((40 / ROAD_SPEED, 60 / ROAD_SPEED), abs=1e-3)
    assert case.s == pytest.approx(40.0, abs=0.01)


def test_sections_are_cut_by_curvature(cases):
    """The road bends left (radius 40 m) from 40 to 80 m, and right (45 m) from 110 to 155 m."""
    (left,) = cases("[section]\ncurvature = [0.0125, 0.2]\n")
    assert np.multiply(left.section, ROAD_SPEED) == pytest.approx((40, 80), abs=1.0)
    assert left.road == "left"
    both = cases("[section]\nbend = [0.0115, 0.2]\n")
    assert np.multiply(both[1].section, ROAD_SPEED) == pytest.approx((110, 155), abs=1.0)
    assert [c.road for c in both] == ["left", "right"]
    assert [c.case for c in both] == [
        "one/road,section=0,seed=0",
        "one/road,section=1,seed=0",
    ]
    straights = cases("[section]\nbend = [0.0, 0.003]\nmin_length = 30.0\n")
    assert [round(c.section[0] * ROAD_SPEED) for c in straights] == [0]


def test_each_piece_starts_where_it_can_be_driven_to_the_last_bit(cases):
    # A piece is given by its times; from them its start is found anew when it is driven.
    folder = vista_sim.sample_trace("proving-ground")
    found = cases("[section]\npieces = 80\n", [folder])
    assert len(found) == 80
    path = Trace.open(folder).path
    assert [case.s for case in found] == [path.arc_length(case.section[0]) for case in found]


def test_stretches_are_cut_into_pieces_of_equal_length(cases):
    """At an even speed, equal in time too; each begins where the last ended."""
    found = cases("[section]\ntime = [2.0, 10.0]\npieces = 4\n")
    expected = [(2.0, 4.0), (4.0, 6.0), (6.0, 8.0), (8.0, 10.0)]
    for case, span in zip(found, expected, strict=True):
        assert case.section == pytest.approx(span, abs=0.01)
    starts = [case.s for case in found]
    assert np.diff(starts) == pytest.approx([2.0 * ROAD_SPEED] * 3, rel=0.01)
    assert len({case.case for case in found}) == 4


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """The road, with rain from 3 to 5 s and from 5 to 8 s, and a tunnel from 10 to 12 s."""
    folder = write_road(tmp_path_factory.mktemp("labelled") / "road")
    rows = [
        (3.0, 5.0, "weather", "rain"),
        (5.0, 8.0, "weather", "rain"),
        (10.0, 12.0, "tunnel", "yes"),
    ]
    starts, ends, keys, values = zip(*rows, strict=True)
    table = {
        "start_ns": [int(t * 1e9) for t in starts],
        "end_ns": [int(t * 1e9) for t in ends],
        "key": keys,
        "value": values,
    }
    pq.write_table(pa.table(table), folder / "labels.parquet")
    return folder


def test_sections_are_cut_by_label(cases, labelled):
    spans = [c.section for c in cases('[section]\nlabel = "weather=rain"\n', [labelled])]
    assert spans == [pytest.approx((3.0, 8.0))]
    spans = [c.section for c in cases('[section]\nlabel = ["weather", "tunnel"]\n', [labelled])]
    assert spans == [pytest.approx((3.0, 8.0)), pytest.approx((10.0, 12.0))]
    spans = [c.section for c in cases('[section]\nexclude_labels = "tunnel"\n', [labelled])]
    assert [round(v, 1) for span in spans for v in span] == [0.0, 10.0, 12.0, 22.5]


def test_a_start_is_a_fraction_of_its_section(cases):
    found = cases("[section]\ndistance = [40, 80]\n[start]\nfraction = { values = [0.25, 0.5] }\n")
    assert [c.s for c in found] == pytest.approx([50.0, 60.0], abs=0.02)


def test_places_are_those_of_the_recovery_test(cases, road_trace, tmp_path):
    second = tmp_path / "second"
    second.symlink_to(road_trace)
    found = cases('mode = "recovery"\n[start]\nplaces = 3\nplaces_seed = 7\n', [road_trace, second])
    drawn = draw_places(World([road_trace, second]), RecoveryTest(starts_per_kind=3), 7)
    roots = [road_trace, second]
    by_trace = sorted(drawn, key=lambda p: p.trace)
    expected = [(p.road, roots[p.trace], p.s) for p in by_trace]
    assert [(c.road, c.trace, c.s) for c in found] == expected
    assert len({c.case for c in found}) == 9
    assert any(c.case.startswith("one/road~2,place=") for c in found)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("smoke", 2),
        ("crash-and-restart", 2),
        ("recovery", 12 * 49),
        ("lane-following", 12 + 8 + 2 * 12 * 49),
        ("delay", 2 * 6 * 2),
        ("stress", 2 * (3 + 4 + 4 + 4 + 4 + 4 + 3 + 2 + 3 * 2 + 3)),
    ],
)
def test_the_installed_files_are_what_they_say(name, count):
    suite = load_suite(name)
    assert suite.name == name
    found = suite.cases()
    assert len(found) == count
    assert len({c.case for c in found}) == count
    traces = {c.trace for c in found}
    assert {Trace.open(t).name for t in traces} == {"proving-ground", "proving-ground-unseen"}
    assert suite.description


def test_every_file_that_is_shipped_is_tested_above():
    assert {file.stem for file in installed()} == {
        "smoke", "crash-and-restart", "recovery", "lane-following", "delay", "stress",
    }  # fmt: skip


def test_installed_files_are_found_by_name_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = folders()[0] / "recovery.toml"
    for name in ("recovery", "recovery.toml", "scenarios/recovery.toml"):
        assert load_suite(name).file == shipped
    own = tmp_path / "own.toml"
    own.write_text('format = "vista-scenario/1"\ninclude = "smoke"\nname = "own"\n')
    assert load_suite("own.toml").members[0].scenario.settings.time_limit == 5.0
    (tmp_path / "recovery").write_text(own.read_text())  # what is here goes first
    assert load_suite("recovery").name == "own"


def test_packages_offer_their_files_by_an_entry_point(tmp_path, monkeypatch):
    package = tmp_path / "their_scenarios"
    package.mkdir()
    (package / "__init__.py").write_text("raise AssertionError('it is not imported')\n")
    (package / "theirs.toml").write_text(
        'format = "vista-scenario/1"\ninclude = "smoke"\nname = "theirs"\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    entry = EntryPoint("theirs", "their_scenarios", library.ENTRY_POINT_GROUP)
    monkeypatch.setattr("vista_sim.registry.entry_points", lambda group: [entry])
    assert load_suite("theirs").file == package / "theirs.toml"
    assert package / "theirs.toml" in installed()


def test_lane_following_tries_the_starts_of_an_evaluation():
    """The demo's judge: `vista_sim.evaluate` on each sample trace with its own places."""
    cases = load_suite("lane-following").cases()
    for scenario, trace in (
        ("sample-recovery", "proving-ground"),
        ("unseen-recovery", "proving-ground-unseen"),
    ):
        own = [c for c in cases if c.scenario == scenario]
        test = RecoveryTest()
        world = World(own[0].trace)
        assert world.traces[0].name == trace
        expected = [
            (p.s, lateral, heading)
            for lateral in test.laterals
            for heading in test.headings
            for p in draw_places(world, test, seed=0)
        ]
        assert sorted((c.s, c.lateral, c.heading) for c in own) == sorted(expected)
        assert own[0].settings.recovery_rule() == test.rule
