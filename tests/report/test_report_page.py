"""The report's page as a file: what it holds, what it refuses, and what cannot break out of it."""

import base64
import gzip
import json
import re
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_up_runs import Drive, Start
from report_runs import Page, add_videos, edit_info, run

from vista_sim.cli import main
from vista_sim.errors import MissingDependencyError, RunError
from vista_sim.evaluation.judging import JudgingSettings
from vista_sim.report.page import write_report
from vista_sim.report.sheet import read_sheet
from vista_sim.report.videos import clips_of, embed

FAST = JudgingSettings(draws=50)
DRIVES = [
    Drive(("off_road", "end_of_trace")),
    Drive(lateral=0.3),
    Start(5.0),
    Start(9.0, -0.5, False),
]
HOSTILE = "</script><img src=x onerror=alert(1)>\u2028&\"'../../etc"


def call(capsys, *arguments):
    try:
        main([str(a) for a in arguments])
        code = 0
    except SystemExit as exit_:
        code = exit_.code or 0
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def page_of(tmp_path, runs, *arguments, **named):
    out = tmp_path / "report.html"
    notes = write_report(runs, out, *arguments, settings=FAST, overwrite=True, **named)
    return Page(out), notes


def unpacked(text):
    return gzip.decompress(base64.b64decode(text))


def test_the_command_writes_one_page_and_keeps_one_that_is_there(tmp_path, capsys):
    folder, out = run(tmp_path / "run", DRIVES), tmp_path / "report.html"
    code, printed, _ = call(capsys, "report", folder, "-o", out, "--draws", "50")
    assert code == 0
    assert str(out) in printed
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "run"]
    before = out.read_bytes()
    code, _, error = call(capsys, "report", folder, "-o", out)
    assert (code, error.count("\n")) == (2, 1)
    assert "is there already" in error
    assert out.read_bytes() == before
    code, _, _ = call(capsys, "report", folder, "-o", out, "--draws", "50", "--overwrite")
    assert code == 0


def test_all_episodes_are_in_the_table_with_how_they_went(tmp_path):
    page, notes = page_of(tmp_path, [run(tmp_path / "run", DRIVES)])
    assert notes == []
    data = page.data
    episodes = data["runs"][0]["episodes"]
    outcomes = [data["outcomes"][i] for i in episodes["outcome"]]
    assert outcomes == [
        "crashed",
        "clean",
        "clean",
        "recovered",
        "recovered",
        "recovered",
        "not recovered",
    ]
    assert episodes["driver"] == ["policy"] * 3 + ["expert", "policy"] * 2
    assert episodes["cell"][:4] == ["", "", "", "+0.5|0"]
    assert "crashes 1" in page.words


def test_steps_come_back_as_they_were(tmp_path):
    folder = run(tmp_path / "run", DRIVES)
    page, _ = page_of(tmp_path, [folder])
    data = json.loads(unpacked(page.scripts["steps-0"]))
    names = [name for name, _ in data["columns"]]
    steps = pq.read_table(folder / "steps.parquet").to_pydict()
    own = [i for i, episode in enumerate(steps["episode"]) if episode == 1]
    for name, tolerance in (("t", 0.0006), ("lateral", 0.0006), ("x", 0.006), ("speed", 0.006)):
        at = names.index(name)
        unit = data["columns"][at][1]
        shown = np.cumsum(data["episodes"]["1"][at]) * unit
        np.testing.assert_allclose(shown, [steps[name][i] for i in own], atol=tolerance)
    assert data["episodes"]["1"][names.index("validity")] is None  # no camera, so nothing is known
    # The road's curvature is a thousandth of its arc length.
    recorded = np.cumsum(data["episodes"]["1"][names.index("recorded_curvature")]) * 1e-5
    np.testing.assert_allclose(recorded, [0.001 * steps["s"][i] for i in own], atol=1e-5)


def test_the_map_has_the_edges_of_the_road(tmp_path):
    page, _ = page_of(tmp_path, [run(tmp_path / "run", DRIVES)])
    road = page.data["runs"][0]["maps"]["0"]
    assert set(road["left_y"]) == {300}  # cm; the road runs along x
    assert set(road["right_y"]) == {-200}
    assert (road["x"][0], road["x"][-1]) == (0, 12000)


def test_nothing_in_the_page_is_fetched(tmp_path):
    page, _ = page_of(tmp_path, [run(tmp_path / "run", DRIVES)])
    links = [
        value for _, name, value in page.attributes if name in ("src", "href", "action", "data")
    ]
    assert links
    assert all(link.startswith(("#", "data:")) for link in links)
    policy = next(
        value for _, name, value in page.attributes if name == "content" and "src" in value
    )
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    assert "connect-src" not in policy  # so none


def test_hostile_names_stay_text(tmp_path):
    things = [Drive(scenario=HOSTILE, case=HOSTILE, failure=HOSTILE), Drive(scenario="b", case="b")]
    folder = run(
        tmp_path / "run <b>&",
        things,
        policy={"name": HOSTILE, "sha256": None},
        traces=[{"name": HOSTILE, "path": HOSTILE}],
        what=HOSTILE,
    )
    plain, _ = page_of(
        tmp_path, [run(tmp_path / "plain", [Drive(scenario="a", case="a", failure="c"), things[1]])]
    )
    page, _ = page_of(tmp_path, [folder])
    assert page.tags.count("script") == plain.tags.count("script")
    assert page.tags.count("img") == 0
    assert page.data["runs"][0]["episodes"]["failure"][0] == HOSTILE
    raw = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<img" not in raw
    assert not re.search("[\u2028\u2029]", page.scripts["report-data"])
    assert HOSTILE.split("/")[0] in page.words


def test_a_video_whose_name_leads_elsewhere_is_refused(tmp_path, capsys):
    folder = run(tmp_path / "run", DRIVES, filmed=False)
    add_videos(folder, [(0, "scene", "../../secret.mp4", range(3))])
    out = tmp_path / "report.html"
    code, _, error = call(capsys, "report", folder, "-o", out)
    assert (code, error.count("\n")) == (2, 1)
    assert "no plain file name" in error
    assert not out.exists()


def test_missing_and_broken_videos_are_named(tmp_path):
    folder = run(tmp_path / "run", DRIVES)
    (folder / "views" / "0.scene.mp4").unlink()
    (folder / "views" / "1.scene.mp4").write_bytes(b"no video at all")
    page, notes = page_of(tmp_path, [folder])
    states = {clip["file"]: clip["state"] for clip in page.data["clips"]}
    assert states == {
        "0.scene.mp4": "missing",
        "1.scene.mp4": "cannot be played",
        "0.recorded.mp4": "embedded",
        "1.recorded.mp4": "embedded",
    }
    assert [note.split(":")[0] for note in notes] == ["1 of 4 videos", "1 of 4 videos"]
    assert all(note in page.words for note in notes)


def test_embedded_videos_are_the_files_of_the_run(tmp_path):
    folder = run(tmp_path / "run", DRIVES)
    page, _ = page_of(tmp_path, [folder])
    for number, clip in enumerate(page.data["clips"]):
        embedded = base64.b64decode(page.scripts[f"clip-{number}"])
        assert embedded == (folder / "views" / clip["file"]).read_bytes()


def test_films_of_a_run_without_frames_are_told_from_none(tmp_path):
    for emptied in (True, False):
        folder = run(tmp_path / f"run {emptied}", DRIVES)
        (folder / "frames.parquet").unlink()
        if emptied:
            for path in (folder / "views").iterdir():
                path.unlink()
        page, _ = page_of(tmp_path, [folder])
        own = page.data["runs"][0]
        assert (own["filmed"], own["films"]) == (False, not emptied)


def test_a_page_keeps_to_its_size_and_shows_the_worst_episodes(tmp_path):
    things = [
        Drive(lateral=0.1),
        Drive(("off_road",)),
        *(Drive(lateral=0.2 + 0.01 * i) for i in range(4)),
    ]
    folder = run(tmp_path / "run", things, filmed=False)
    shots = [(e, "scene", f"{e}.mp4", range(12)) for e in range(6)]
    add_videos(folder, shots, size=(480, 640), noise=True)
    page, _ = page_of(tmp_path, [folder], "none")
    base = (tmp_path / "report.html").stat().st_size
    page, notes = page_of(tmp_path, [folder], "embed", base / 1e6 + 1.0)
    assert (tmp_path / "report.html").stat().st_size <= base + 1_000_000
    states = [clip["state"] for clip in sorted(page.data["clips"], key=lambda clip: clip["file"])]
    assert states[1] == "made smaller"  # the crash
    assert states[0] == "left out"  # the closest to the path
    assert any("made smaller" in note for note in notes)
    assert any("left out" in note for note in notes)


def test_linked_videos_lie_beside_the_page(tmp_path, capsys):
    folder, out = run(tmp_path / "run", DRIVES), tmp_path / "report.html"
    arguments = ("report", folder, "-o", out, "--videos", "link", "--draws", "50")
    assert call(capsys, *arguments)[0] == 0
    clips = Page(out).data["clips"]
    assert len(clips) == 4
    for clip in clips:
        copied = out.parent / clip["href"]
        assert copied.read_bytes() == (folder / "views" / clip["file"]).read_bytes()
    assert call(capsys, *arguments, "--overwrite")[0] == 0
    (tmp_path / "report-videos" / "mine.txt").write_text("keep me")
    code, _, error = call(capsys, *arguments, "--overwrite")
    assert code == 2
    assert "holds more than a report's videos" in error
    assert (tmp_path / "report-videos" / "mine.txt").read_text() == "keep me"


def test_a_run_that_was_cut_off_is_shown_as_far_as_it_came(tmp_path):
    folder = run(tmp_path / "run", DRIVES, finish=False)
    episodes = pq.read_table(folder / "episodes.parquet")
    part = next((folder / "episodes.parquet").glob("*.parquet"))
    pq.write_table(episodes.slice(0, episodes.num_rows - 1), part)
    page, _ = page_of(tmp_path, [folder])
    outcomes = [page.data["outcomes"][i] for i in page.data["runs"][0]["episodes"]["outcome"]]
    assert outcomes.count("cut off") == 1
    assert "cut off" in page.words
    assert "the run did not end" in page.words
    # Not a single episode came to its end.
    pq.write_table(episodes.slice(0, 0), part)
    page, _ = page_of(tmp_path, [folder])
    assert len(page.data["runs"][0]["episodes"]["id"]) == 7
    assert "nothing to judge" in page.words


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: edit_info(folder, format="vista-run/2"), "format is 'vista-run/2'"),
        (lambda folder: (folder / "run.json").unlink(), "not found"),
        (lambda folder: (folder / "run.json").write_text("{"), "cannot be read as JSON"),
        (
            lambda folder: (folder / "steps.parquet").write_bytes(b"PAR1"),
            "cannot be read as Parquet",
        ),
        (lambda folder: _drop(folder / "steps.parquet", "t"), "t: the column is missing"),
        (lambda folder: _drop(folder / "frames.parquet", "frame"), "frame: the column is missing"),
        (
            lambda folder: _spoil(folder / "steps.parquet", "t"),
            "t: holds values that are no finite",
        ),
        (
            lambda folder: _spoil(folder / "roads.parquet", "x"),
            "x: holds values that are no finite",
        ),
    ],
)
def test_a_run_that_cannot_be_used_is_one_line_and_no_page(tmp_path, capsys, spoil, said):
    folder, out = run(tmp_path / "run", DRIVES), tmp_path / "report.html"
    spoil(folder)
    code, _, error = call(capsys, "report", folder, "-o", out)
    assert (code, error.count("\n")) == (2, 1)
    assert said in error
    assert str(folder) in error
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def _spoil(path, column):
    table = pq.read_table(path).to_pydict()
    table[column][1] = float("nan")
    pq.write_table(pa.table(table), path)


def _drop(path, column):
    pq.write_table(pq.read_table(path).drop_columns([column]), path)


def test_values_that_are_not_finite_are_left_out(tmp_path):
    folder = run(tmp_path / "run", DRIVES)
    table = pq.read_table(folder / "steps.parquet").to_pydict()
    table["lateral"][3], table["x"][4], table["speed"][5] = float("nan"), float("inf"), 1e300
    pq.write_table(pa.table(table), folder / "steps.parquet")
    page, _ = page_of(tmp_path, [folder])
    data = json.loads(unpacked(page.scripts["steps-0"]))
    names = [name for name, _ in data["columns"]]
    for name, row in (("lateral", 3), ("x", 4), ("speed", 5)):
        assert data["episodes"]["0"][names.index(name)][row] is None


def test_runs_are_compared_case_by_case(tmp_path):
    good = [Drive(scenario="s", case=f"case {i}") for i in range(8)]
    bad = [Drive(("off_road", "end_of_trace"), scenario="s", case=f"case {i}") for i in range(8)]
    folders = [run(tmp_path / "good", good), run(tmp_path / "bad", bad)]
    page, _ = page_of(tmp_path, folders)
    assert "both have 8 cases" in page.words
    assert "crashes 0 8 +8" in page.words
    assert "8 cases went worse in B" in page.words
    assert ("a", "href", "#run=1&episode=0") in page.attributes
    keys = [r["episodes"]["pair"] for r in page.data["runs"]]
    assert keys[0] == keys[1][::2]  # what followed a set-back has no partner in the other


def test_runs_without_a_common_case_are_shown_all_the_same(tmp_path):
    folders = [run(tmp_path / name, [Drive(scenario=name, case=name)]) for name in ("a", "b")]
    page, _ = page_of(tmp_path, folders)
    assert "no case in common" in page.words
    assert len(page.data["runs"]) == 2


def test_the_verdict_of_a_suite_and_its_criteria_are_shown(tmp_path):
    folder = run(tmp_path / "run", [Drive(scenario="s", case="c")])
    criterion = {
        "of": "s",
        "metric": "crashes",
        "min": None,
        "max": 0.0,
        "value": 1.0,
        "passed": False,
    }
    edit_info(
        folder, results={"passed": False, "criteria": [criterion], "cases": {"all": 1, "failed": 1}}
    )
    page, _ = page_of(tmp_path, [folder])
    assert "failed" in page.words
    assert "0 of 1 criteria met, 1 case, 1 not clean" in page.words
    assert "crashes: at most 0 s 1 not met" in page.words


def test_runs_that_say_odd_things_of_themselves_do_not_break_the_page(tmp_path):
    folder = run(tmp_path / "run", DRIVES)
    edit_info(
        folder,
        policy="a string",
        versions=[1],
        traces="x",
        suite=3,
        cost={"wall_s": None},
        results={"criteria": [None, {"metric": "crashes"}], "cases": 7},
    )
    page, _ = page_of(tmp_path, [folder])
    assert "run" in page.words


def test_without_the_packages_it_takes_the_user_is_told_what_to_install(tmp_path, monkeypatch):
    folder = run(tmp_path / "run", DRIVES)
    for name in ("jinja2", "plotly.offline"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            with pytest.raises(MissingDependencyError, match=r"pip install 'vista-sim\[report\]'"):
                write_report([folder], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    folder = run(tmp_path / "run", DRIVES)
    with pytest.raises(RunError, match="there is no folder"):
        write_report([folder], tmp_path / "nowhere" / "report.html")
    with pytest.raises(RunError, match="is a folder"):
        write_report([folder], folder, overwrite=True)


def test_the_first_screen_says_what_came_out(tmp_path):
    things = [Drive(("off_road", "end_of_trace"), lateral=1.0), Start(5.0), Start(9.0, 0.5, False)]
    page, _ = page_of(tmp_path, [run(tmp_path / "run", things)])
    steps = pq.read_table(tmp_path / "run" / "steps.parquet").to_pydict()
    lateral = np.array(steps["lateral"])
    most = np.abs(
        lateral[np.array(steps["episode"]) < 2]
    ).max()  # the drive, and on from a set-back
    start = page.words.index("1 crash in ")
    line = page.words[start : page.words.index("beside it", start)]
    assert f"{most:.2f} m at most" in line
    assert "from 50.0 % of 2 starts" in line
    assert ("a", "class", "watch") in page.attributes
    page, _ = page_of(tmp_path, [tmp_path / "run"], "none")
    assert ("a", "class", "watch") not in page.attributes


def test_a_run_in_which_nothing_was_driven_yet_is_a_page_that_says_so(tmp_path):
    folder = run(tmp_path / "run", [], finish=False)
    page, _ = page_of(tmp_path, [folder])
    assert page.words.count("Nothing was driven yet") == 2
    links = {value for tag, name, value in page.attributes if (tag, name) == ("a", "href")}
    targets = {f"#{value}" for _, name, value in page.attributes if name == "id"}
    assert links <= targets


def test_of_too_many_videos_the_gravest_stay_as_they_are(tmp_path):
    things = [Drive(lateral=0.1 + 0.1 * i) for i in range(6)]
    folder = run(tmp_path / "run", things, filmed=False)
    shots = [(e, "scene", f"{e}.mp4", range(12)) for e in range(6)]
    add_videos(folder, shots, size=(240, 320), noise=True)
    size = sum(path.stat().st_size for path in (folder / "views").iterdir())
    clips = clips_of(read_sheet(folder))
    embed(clips, int(0.8 * size * 4 / 3))
    states = [clip.state for clip in sorted(clips, key=lambda clip: clip.file)]
    whole = states.count("embedded")
    assert 1 <= whole <= 5
    assert states == ["made smaller"] * (6 - whole) + ["embedded"] * whole
    assert sum(len(clip.data) for clip in clips) <= 0.8 * size


def test_what_further_cameras_saw_is_in_the_page(tmp_path):
    folder = run(tmp_path / "run", DRIVES, filmed=False)
    views = ("scene", "camera", "camera.rear", "camera.left")
    shots = [(0, view, f"0.{view}.mp4", range(12)) for view in views]
    shots += [(0, view, "other.mp4", range(12)) for view in ("camera.<b>", "camera.", "lidar")]
    add_videos(folder, shots)
    page, notes = page_of(tmp_path, [folder])
    assert notes == []
    assert {clip["file"] for clip in page.data["clips"]} == {f"0.{view}.mp4" for view in views}
    frames = json.loads(unpacked(page.scripts["steps-0"]))["frames"]
    assert set(frames["0"]) == set(views)
