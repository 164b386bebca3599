"""What a report finds in a run: worst moments, recovery by start, the road beside each step."""

import numpy as np
import pytest
from made_up_runs import Drive, Start
from report_runs import add_road, add_videos, run

from vista_sim.report.columns import changes
from vista_sim.report.encoding import safe_json
from vista_sim.report.heat import recovery_heat
from vista_sim.report.moments import worst_moments
from vista_sim.report.roads import roads_of, trace_of_each
from vista_sim.report.sheet import read_sheet
from vista_sim.report.videos import clips_of


def test_changes_add_up_to_the_values_and_skip_what_is_not_known():
    values = np.array([np.nan, 1.25, 1.25, np.nan, -3.0, 1e30])
    assert changes(values, 0.01) == [None, 125, 0, None, -425, None]
    assert changes(np.full(3, np.nan), 0.01) is None


def test_json_has_no_sign_that_ends_a_script_or_a_line():
    text = safe_json({"</script><!--": "\u2028&\udcff"})
    assert not set("<>&\u2028") & set(text)
    assert text.encode("utf-8")


def test_worst_moments_are_the_gravest_first(tmp_path):
    things = [
        Drive(lateral=0.2),
        Drive(("off_road", "end_of_trace"), lateral=1.5),
        Drive(lateral=0.4, failure="raised: ValueError"),
        Start(5.0, 0.5, recovered=False),
    ]
    moments = worst_moments([read_sheet(run(tmp_path / "run", things))])
    kinds = list(dict.fromkeys(moment.kind for moment in moments))
    assert kinds[:4] == ["policy broke", "crashed", "not recovered", "farthest off the path"]
    assert [m.episode for m in moments[:3]] == [3, 1, 5]
    assert moments[0].value == "raised: ValueError"
    assert moments[1].value == "off the road at 8.0 m/s"
    assert moments[1].t == pytest.approx(1.1)
    assert moments[1].link.endswith("&t=0.00")  # it is shown from 2 s before on
    lost = moments[2]
    assert lost.place == "recovery road 0 from s = 5 m, +0.5 m, 0°"
    farthest = [m for m in moments if m.kind == "farthest off the path"]
    assert [m.episode for m in farthest[:2]] in ([1, 2], [2, 1])  # of driving alone
    values = [float(m.value.split()[0]) for m in farthest]
    assert values == sorted(values, reverse=True)


def test_the_peak_is_where_the_steps_have_it(tmp_path):
    sheet = read_sheet(run(tmp_path / "run", [Drive(lateral=0.5)]))
    moment = next(m for m in worst_moments([sheet]) if m.kind == "farthest off the path")
    steps = sheet.run.steps.to_pydict()
    at = max(range(12), key=lambda i: abs(steps["lateral"][i]))
    assert (moment.t, moment.s) == (steps["t"][at], steps["s"][at])
    assert moment.link == f"#run=0&episode=0&t={steps['t'][at]:.2f}"


def test_recovery_by_start_counts_what_the_expert_comes_back_from(tmp_path):
    things = [
        Start(5.0, 0.5, recovered=True),
        Start(9.0, 0.5, recovered=False),
        Start(5.0, -1.0, recovered=False),
        Drive(),
    ]
    sheet = read_sheet(run(tmp_path / "run", things))
    heat = recovery_heat(sheet)
    assert heat.headings == ("0",)
    cells = {offset: cells[0] for offset, cells in heat.rows}
    assert list(cells) == ["+0.5", "-1"]  # left of the path above
    assert (cells["+0.5"].text, cells["+0.5"].share) == ("1/2", 0.5)
    assert (cells["-1"].text, cells["-1"].share) == ("0/1", 0.0)
    assert recovery_heat(read_sheet(run(tmp_path / "other", [Drive()]))) is None


def test_what_the_expert_does_not_come_back_from_is_gray_and_no_fault(tmp_path):
    folder = run(tmp_path / "run", [Start(5.0, 0.5, recovered=False)])
    sheet = read_sheet(folder)
    sheet.episodes["recovered"][:] = False
    sheet.episodes["ending"][:] = "not_recovered"
    cell = recovery_heat(sheet).rows[0][1][0]
    assert (cell.share, cell.text) == (None, "–")
    assert worst_moments([sheet]) == []


def test_the_road_of_an_episode_that_was_cut_off_is_found_by_where_the_car_was(tmp_path):
    folder = run(tmp_path / "run", [Drive(), Drive(), Drive()], filmed=False)
    add_road(folder, traces=3)  # beside each other, 50 m apart; the cars are on the first
    sheet = read_sheet(folder)
    sheet.episodes["trace"] = np.array([np.nan, np.nan, 2.0])
    sheet.steps["y"][12:24] += 500.0
    assert trace_of_each(sheet, roads_of(sheet)) == [0, -1, 2]


def test_the_film_is_taken_only_where_there_is_no_scene(tmp_path):
    folder = run(tmp_path / "run", [Drive(), Drive()], filmed=False)
    add_videos(
        folder,
        [
            (0, "film", "a.mp4", range(3)),
            (0, "scene", "b.mp4", range(3)),
            (1, "film", "c.mp4", [2]),
        ],
    )
    clips = {clip.file: clip for clip in clips_of(read_sheet(folder))}
    assert sorted(clips) == ["b.mp4", "c.mp4"]
    assert clips["b.mp4"].format == (pytest.approx(10.0), 64, 48)
    assert [list(v) for v in clips["c.mp4"].frames[1]] == [[2], [0]]
