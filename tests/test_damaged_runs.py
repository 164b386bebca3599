"""Whatever is wrong with a run, who reads it says so in one line, or shows what is right."""

import os
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from damaged_runs import damage
from made_up_runs import Drive, Start, write

from vista_sim.cli import main
from vista_sim.errors import RunError
from vista_sim.evaluation.judging import JudgingSettings, judge
from vista_sim.runs import videos
from vista_sim.runs.run import FRAME_FIELDS, ROAD_FIELDS, columns, read_run
from vista_sim.traces.video import VideoWriter

THINGS = [
    Drive(("off_road", "end_of_trace"), scenario="s", case="a", validity=0.5),
    Drive(("time_limit",), scenario="s", case="b"),
    Start(5.0, scenario="r", case="c"),
]
CASES = 10  # of each reader


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = write(tmp_path_factory.mktemp("runs") / "sound", THINGS, policy={"name": "p"})
    s = np.arange(0.0, 100.0, 5.0)
    road = {name: np.zeros(len(s)) for name in ROAD_FIELDS} | {"s": s, "x": s, "t": s / 8}
    schema = pa.schema(list(ROAD_FIELDS.items()))
    pq.write_table(pa.table(road).cast(schema), folder / "roads.parquet")
    frames = [
        {"episode": 0, "step": k, "view": "scene", "file": "0.mp4", "frame": k} for k in range(3)
    ]
    schema = pa.schema(list(FRAME_FIELDS.items()))
    pq.write_table(pa.Table.from_pylist(frames, schema=schema), folder / "frames.parquet")
    (folder / "views").mkdir()
    with VideoWriter(folder / "views" / "0.mp4", (32, 48), 10.0) as writer:
        for k in range(3):
            writer.write(np.full((32, 48, 3), 60 * k, np.uint8))
    return folder


@pytest.fixture
def run(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "run")


def call(capsys, *arguments):
    """Exit status and what was said on stderr."""
    try:
        main([str(a) for a in arguments])
        code = 0
    except SystemExit as exit_:
        code = exit_.code or 0
    return code, capsys.readouterr().err


def readers(sound, folder, out):
    return (
        ("metrics", folder, "--draws", 20),
        ("compare", sound, folder, "--draws", 20),
        ("report", sound, folder, "-o", out / "r.html", "--overwrite", "--draws", 20),
        ("replay", folder, "--save", out / "r.rrd", "--overwrite", "--no-points"),
    )


@pytest.mark.parametrize("reader", range(4), ids=["metrics", "compare", "report", "replay"])
def test_runs_damaged_by_chance_are_one_line_or_shown(sound, tmp_path, capsys, reader):
    refused = 0
    for seed in range(CASES * reader, CASES * (reader + 1)):
        folder = shutil.copytree(sound, tmp_path / str(seed) / "run")
        what = damage(folder, np.random.default_rng(seed))
        code, said = call(capsys, *readers(sound, folder, tmp_path)[reader])
        assert code in (0, 2), what
        assert code == 0 or said.count("\n") == 1, (what, said)
        assert code == 0 or said.startswith("error: "), (what, said)
        refused += code == 2
    assert 0 < refused < CASES


def rewritten(folder, name, **changed):
    path = folder / f"{name}.parquet"
    table = pq.read_table(path)
    for column, values in changed.items():
        place = table.schema.get_field_index(column)
        array = values if isinstance(values, pa.Array) else pa.array(values(table.num_rows))
        table = table.set_column(place, column, array)
    pq.write_table(table, path)


@pytest.mark.parametrize(
    ("name", "column", "values", "said"),
    [
        ("steps", "s", lambda n: ["a"] * n, "s: is string; it must be double"),
        ("steps", "step", lambda n: [0.5] * n, "step: is no int32"),
        ("steps", "step", lambda n: [2**40] * n, "step: is no int32"),
        ("steps", "step", lambda n: [3] * n, "step 3 of episode 0 is there twice"),
        ("steps", "t", lambda n: [0.0] * n, "step 1 of episode 0 is not later than"),
        ("steps", "t", lambda n: [1e300] * n, "t: holds values that are no finite numbers"),
        ("steps", "episode", lambda n: [None] * n, "values are missing"),
        ("episodes", "episode", lambda n: [1] * n, "a number is there twice"),
        ("episodes", "trace", lambda n: [-1] * n, "trace: holds values"),
        ("episodes", "failure", lambda n: ["x" * 5000] * n, "a text of 5000 bytes"),
        ("episodes", "ending", lambda n: [["off_road"]] * n, "ending: is list"),
        ("episodes", "recovered", lambda n: [1] * n, "recovered: is int64; it must be bool"),
    ],
)
def test_tables_that_cannot_be_are_refused_when_they_are_read(run, name, column, values, said):
    rewritten(run, name, **{column: values})
    with pytest.raises(RunError, match=rf"{name}\.parquet: .*{said}"):
        read_run(run)


def test_values_that_cannot_be_are_left_out_and_told(run, capsys):
    before = judge(run, JudgingSettings(draws=5)).overall.metrics["max_cross_track_error_m"].value
    lateral = columns(read_run(run).steps)["lateral"].copy()
    assert before == np.abs(lateral[: 12 * 3]).max()
    lateral[int(np.argmax(np.abs(lateral[:36])))] = 1e300
    rewritten(run, "steps", lateral=pa.array(lateral))
    after = judge(run, JudgingSettings(draws=5)).overall.metrics["max_cross_track_error_m"].value
    assert after == np.sort(np.abs(lateral[:36]))[-2]  # the largest that can be
    code, said = call(capsys, "metrics", run, "--draws", 5)
    assert code == 0
    assert "steps.parquet: 1 values are no finite, possible numbers; they are left out" in said


def test_rows_that_are_declared_for_nothing_are_refused(run):
    path = run / "episodes.parquet"
    row = pq.read_table(path).slice(0, 1)
    pq.write_table(row.take(pa.array(np.zeros(100_000, np.int64))), path)
    with pytest.raises(RunError, match="declares 100000 rows in"):
        read_run(run)


def test_steps_of_very_many_unknown_episodes_are_refused(run):
    rewritten(run, "episodes", episode=lambda n: [10**6 + i for i in range(n)])
    n = 20_000
    steps = {"episode": np.arange(n), "step": np.zeros(n, int), "t": np.zeros(n)}
    pq.write_table(pa.table(steps), run / "steps.parquet")
    with pytest.raises(RunError, match="20000 episodes are not in"):
        read_run(run)


def test_fields_of_run_json_of_another_kind_are_left_out(run, capsys):
    (run / "run.json").write_text(
        '{"format": "vista-run/1", "status": ["complete"], "versions": null, "traces": {"a": 1}}'
    )
    found = read_run(run)
    assert set(found.info) == {"format"}
    assert any("traces: is {'a': 1}; it must be a list" in note for note in found.notes)
    code, said = call(capsys, "metrics", run, "--draws", 5)
    assert code == 0
    assert "warning: " in said


def test_no_video_is_read_from_elsewhere_or_waited_for(run, tmp_path):
    found = read_run(run)
    assert found.video("0.mp4").is_file()
    (run / "views" / "0.mp4").unlink()
    os.mkfifo(run / "views" / "0.mp4")
    with pytest.raises(RunError, match="is a pipe"):
        found.video("0.mp4")
    shutil.move(run / "views", tmp_path / "elsewhere")
    (run / "views").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="views: is a link"):
        found.video("0.mp4")


def test_videos_of_absurd_size_and_playlists_are_refused(run, tmp_path, monkeypatch):
    path = run / "views" / "0.mp4"
    with videos.open_video(path) as (container, stream):
        assert (stream.height, stream.width) == (32, 48)
        assert sum(1 for _ in container.decode(stream)) == 3
    monkeypatch.setattr(videos, "MAX_PIXELS", 32 * 48 - 1)
    with pytest.raises(RunError, match="declares pictures of 48 x 32"), videos.open_video(path):
        pass
    path.write_text(f"#EXTM3U\n#EXTINF:1,\n{tmp_path / 'other.ts'}\n#EXT-X-ENDLIST\n")
    with pytest.raises(RunError, match="cannot be read as a video"), videos.open_video(path):
        pass
