import errno
import json
import shutil

import pytest
from test_kitti import COUNT, write_kitti
from tiny import SPEED, write_tiny_trace

from vista_sim import cli
from vista_sim.traces.trace import Trace
from vista_sim.traces.video import VideoWriter


def run(*arguments):
    """Exit status of the command line, 0 if it just returns."""
    try:
        cli.main([str(a) for a in arguments])
    except SystemExit as stop:
        return stop.code or 0
    return 0


def one_line(text):
    return text.count("\n") == 1 and "Traceback" not in text


def test_info_prints_numbers_as_json(tmp_path, capsys):
    labels = [(0.2, 1.0, "weather", "rain")]
    folder = write_tiny_trace(tmp_path / "t", labels=labels)
    assert run("info", folder, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["duration"] == pytest.approx(3.0)
    assert summary["length"] == pytest.approx(3.0 * SPEED, rel=1e-3)
    assert summary["frames"] == {"front": 31}
    assert summary["sensors"]["front"]["size"] == [47, 71]
    assert summary["sensors"]["front"]["fov"] == pytest.approx(1.2, abs=0.02)
    assert summary["speed"] == {"min": SPEED, "max": SPEED}
    assert summary["curvature"]["max"] == pytest.approx(1 / 40, rel=0.01)
    assert summary["gaps"] == []
    (section,) = summary["sections"]
    assert (section["start"], section["end"]) == pytest.approx((0.0, 3.0))
    assert summary["geometry"] == []
    assert summary["labels"][0]["value"] == "rain"


def test_info_prints_a_table(tiny_trace, capsys):
    assert run("info", tiny_trace) == 0
    out = capsys.readouterr().out
    for word in ("duration", "3.00 s", "length", "front", "31 frames", "curvature", "not baked"):
        assert word in out


def test_info_of_a_slow_drive_has_no_section(tiny_trace, capsys):
    assert run("info", tiny_trace, "--min-speed", "20", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["sections"] == []
    assert summary["curvature"] is None


def test_info_of_a_broken_trace_is_one_line(tiny_trace, tmp_path, capsys):
    folder = shutil.copytree(tiny_trace, tmp_path / "t")
    (folder / "front.mp4").unlink()
    for path in (folder, tmp_path / "nowhere"):
        assert run("info", path, "--json") == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert one_line(captured.err)
        assert str(path) in captured.err


def test_import_makes_a_trace(tmp_path, capsys):
    src = write_kitti(tmp_path / "kitti", cameras=(0, 1))
    assert run("import", "kitti-odometry", src, tmp_path / "t", "--sequence", "00") == 0
    assert str(tmp_path / "t") in capsys.readouterr().out
    trace = Trace.open(tmp_path / "t")
    assert {name: c.frame_count for name, c in trace.cameras.items()} == {
        "left": COUNT,
        "right": COUNT,
    }
    assert run("import", "kitti-odometry", src, tmp_path / "t") == 2
    assert one_line(capsys.readouterr().err)
    assert run("import", "kitti-odometry", src, tmp_path / "t", "--overwrite") == 0


def test_import_without_poses_stops_with_one_line(tmp_path, capsys):
    src = write_kitti(tmp_path / "kitti", cameras=(0,))
    (src / "poses" / "00.txt").unlink()
    assert run("import", "kitti-odometry", src, tmp_path / "t") == 2
    error = capsys.readouterr().err
    assert one_line(error)
    assert "poses" in error
    assert not (tmp_path / "t").exists()


def test_a_full_disk_during_an_import_is_one_line(tmp_path, capsys, monkeypatch):
    src = write_kitti(tmp_path / "kitti", cameras=(0,))

    def full(self, rgb):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(VideoWriter, "write", full)
    assert run("import", "kitti-odometry", src, tmp_path / "t") == 2
    error = capsys.readouterr().err
    assert one_line(error)
    assert "no space left" in error
    assert [p.name for p in tmp_path.iterdir()] == ["kitti"]


@pytest.fixture(scope="module")
def baked_trace(tiny_trace, tmp_path_factory):
    folder = shutil.copytree(tiny_trace, tmp_path_factory.mktemp("info") / "tiny")
    assert run("bake", folder) == 0
    return folder


def test_info_tells_what_a_bake_found_out(baked_trace, capsys):
    capsys.readouterr()
    assert run("info", baked_trace, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["geometry"] == ["front"]
    baked = summary["baked"]["front"]
    assert baked["sources"] == ["multiview"]
    assert baked["size"] == [47, 71]
    assert 0 <= baked["confident_share"] <= 1
    assert baked["motion"]["median_shift_m"] >= 0
    assert baked["ground"]["max_pitch_deg"] >= baked["ground"]["median_pitch_deg"]
    assert run("info", baked_trace) == 0
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for words in ("multiview, 47 x 71", "of the pixels confident", "poses moved", "ground"):
        assert words in out


def test_info_draws_image_inverse_depth_and_confidence(baked_trace, tmp_path, capsys, monkeypatch):
    import cv2

    capsys.readouterr()
    out = tmp_path / "pictures" / "seven.png"
    assert run("info", baked_trace, "--frame", "7", "--camera", "front", "--out", out) == 0
    assert capsys.readouterr().out == f"{out}\n"
    picture = cv2.imread(str(out))
    assert picture.shape[1] == 3 * 71
    image = Trace.open(baked_trace).cameras["front"].frame(7)[..., ::-1]
    assert abs(picture[-47:, :71].astype(int) - image).max() == 0
    monkeypatch.chdir(tmp_path)
    assert run("info", baked_trace, "--frame", "0", "--json") == 0
    assert json.loads(capsys.readouterr().out)["picture"] == "tiny-front-000000.png"
    assert (tmp_path / "tiny-front-000000.png").exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--frame", "31"], "no frame 31; it has frames 0 to 30"),
        (["--frame", "-1"], "no frame -1"),
        (["--frame", "3", "--camera", "rear"], "no camera 'rear'; cameras: front"),
        (["--frame", "3", "--out", "picture.jpg"], "must end in .png"),
        (["--frame", "3", "--out", "/proc/none/picture.png"], "cannot be written"),
        (["--out", "picture.png"], "--frame"),
        (["--camera", "front"], "--frame"),
    ],
)
def test_a_picture_that_cannot_be_drawn_is_one_line(baked_trace, capsys, arguments, text):
    capsys.readouterr()
    assert run("info", baked_trace, *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert one_line(captured.err)
    assert text in captured.err


def test_a_picture_of_a_trace_that_is_not_baked_is_one_line(tiny_trace, capsys):
    assert run("info", tiny_trace, "--frame", "3") == 2
    error = capsys.readouterr().err
    assert one_line(error)
    assert "vista-sim bake" in error
