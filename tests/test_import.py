"""`vista-sim import`: formats are found out, chosen and added; the options of all of them."""

import importlib.metadata
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from test_kitti import COUNT, write_kitti
from test_kitti_raw import write_raw

from vista_sim.cli import main
from vista_sim.errors import TraceError
from vista_sim.traces.calibration import CameraCalibration, Lens, Vehicle
from vista_sim.traces.importers import registry
from vista_sim.traces.importers.motion import motion_of_poses
from vista_sim.traces.importers.options import make_options, option
from vista_sim.traces.importers.recording import CameraStream, Recording, Tracks
from vista_sim.traces.importers.registry import detected, formats, importers
from vista_sim.traces.importers.selection import Selection, selected
from vista_sim.traces.importers.write import import_recording, write_recording
from vista_sim.traces.levelling import levelling
from vista_sim.traces.trace import Trace
from vista_sim.transforms import camera_mount, inverse, planar_pose, yaw_of


def run(*arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return stop.value.code or 0


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    write_kitti(folder / "odometry")
    write_raw(folder / "raw")
    (folder / "nothing").mkdir()
    return folder


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("odometry", "kitti-odometry"),
        ("raw", "kitti-raw"),
        ("raw/2011_09_26", "kitti-raw"),
        ("raw/2011_09_26/2011_09_26_drive_0002_sync", "kitti-raw"),
    ],
)
def test_the_format_is_found_out_and_said(places, tmp_path, capsys, place, name):
    assert run("import", places / place, tmp_path / "t") == 0
    output = capsys.readouterr()
    assert output.out == f"{tmp_path / 't'}\n"
    assert output.err.startswith(f"{places / place}: {name} (it has ")
    assert Trace.open(tmp_path / "t").name.startswith(name)


def test_what_is_of_no_format_is_refused(places, tmp_path, capsys):
    assert run("import", places / "nothing", tmp_path / "t") == 2
    said = capsys.readouterr().err
    assert re.search(r"nothing: is of no format that is known \(formats: kitti-odometry, ", said)
    assert run("import", places / "missing", tmp_path / "t") == 2
    assert "missing: no such file or folder" in capsys.readouterr().err
    assert run("import", "kiti-raw", places / "raw", tmp_path / "t") == 2
    said = capsys.readouterr().err
    assert "there is no format 'kiti-raw'; did you mean kitti-raw?" in said
    assert list(tmp_path.iterdir()) == []


def test_what_two_formats_claim_is_not_guessed(places, tmp_path):
    write_raw(tmp_path / "both")
    write_kitti(tmp_path / "both")
    with pytest.raises(TraceError, match=r"may be kitti-odometry \(.*\); kitti-raw \(.*\); name"):
        detected(tmp_path / "both")


def test_the_list_says_what_each_format_takes(capsys):
    assert run("import", "--list") == 0
    output = capsys.readouterr().out
    for name, importer in importers().items():
        assert name in output
        assert importer.name == name
        assert importer.takes.split(",")[0] in " ".join(output.split())


def test_the_help_says_what_an_option_may_be(capsys):
    assert run("import", "ros", "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Times of headers, or of recording (header or log)." in text
    assert text.count("(auto, yes or no).") == 2


def test_defaults_of_the_command_line_are_those_of_the_format(places, tmp_path):
    """Also of angles, which are shown in rounded degrees."""
    assert run("import", places / "odometry", tmp_path / "t") == 0
    import_recording(places / "odometry", tmp_path / "u")
    texts = [(tmp_path / name / "trace.json").read_text() for name in "tu"]
    assert texts[0] == texts[1]
    assert Trace.open(tmp_path / "t").known["left"]["mount"] == "assumed"


def test_options_of_the_command_line_arrive(places, tmp_path):
    options = ["--end", "1.0", "--rate", "5", "--size", "19x30", "--cameras", "left"]
    options += ["--height", "1.2", "--pitch", "2"]
    assert run("import", "kitti-odometry", places / "odometry", tmp_path / "t", *options) == 0
    trace = Trace.open(tmp_path / "t")
    assert trace.duration == pytest.approx(1.0)
    camera = trace.cameras["left"]
    assert (list(trace.cameras), camera.frame_count) == (["left"], 6)
    assert camera.calibration.lens.size == (19, 30)
    mount = camera.calibration.T_vehicle_camera
    assert mount[2, 3] == pytest.approx(1.2)
    assert mount[2, 2] == pytest.approx(-np.sin(np.radians(2)))
    assert trace.known["left"]["mount"] == "given"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--start", "5", "--end", "4"], "start is 5 s and end 4 s"),
        (["--start", "100"], "from 100 to "),
        (["--rate", "0"], "--rate is 0; it must be above 0"),
        (["--size", "0x30"], "size is '0x30'"),
        (["--cameras", "left,rear"], "there is no camera 'rear'; cameras: left, right"),
        (["--height", "99"], "--height is 99.0; it must be from 0.1 to 10"),
        (["--pitch", "90"], "--pitch is 90.0; it must be from -45 to 45"),
        (["--images", "x"], "--images is 'x'; it must be auto, gray or color"),
    ],
)
def test_a_wrong_option_is_one_line(places, tmp_path, capsys, options, said):
    assert run("import", "kitti-odometry", places / "odometry", tmp_path / "t", *options) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@dataclass(frozen=True)
class OwnOptions:
    length: float = option(20.0, "Length of the drive, m.", low=1.0, high=100.0)


class Own:
    """A format of another package: a drive straight ahead, its images as gray as their number."""

    name = "own"
    options = OwnOptions
    takes = "a file of one word"
    extra = ""
    held = 0

    def detect(self, src):
        return 1.0 if src.suffix == ".own" else 0.0

    def why(self, src):
        return "its name ends in .own"

    def open(self, src, options):
        t_ns = np.arange(0, int(options.length / 10 * 1e9) + 1, 50_000_000)
        poses = np.array([planar_pose(t * 1e-8, 0.0, 0.0) for t in t_ns])
        calibration = CameraCalibration(Lens.from_fov((16, 24), 1.2), camera_mount(1.0, 0.0, 1.5))

        def frames(numbers):
            for number in numbers:
                yield np.full((16, 24, 3), 5 * number, np.uint8)

        return Recording(
            name="own",
            source="computed",
            licence="unknown",
            vehicle=Vehicle(),
            motion=motion_of_poses(t_ns, poses),
            cameras={"eye": lambda: CameraStream(calibration, t_ns, frames)},
            usual=("eye",),
        )


class Turned(Own):
    """One whose camera looks at the sky, and whose headings are 90 degrees off where asked."""

    name = "turned"
    off = 0.0

    def open(self, src, options):
        recording = super().open(src, options)
        motion = recording.motion
        turned = Rotation.from_euler("z", self.off, degrees=True) * Rotation.from_quat(
            motion.quaternion
        )
        motion = replace(motion, quaternion=turned.as_quat())
        stream = recording.cameras["eye"]()
        up = replace(stream.calibration, T_vehicle_camera=camera_mount(1.0, 0.0, 1.5, pitch=-1.4))
        gray = np.full((16, 24, 3), 90, np.uint8)
        stream = replace(stream, calibration=up, frames=lambda rows: (gray for _ in rows))
        cameras = {"eye": lambda: stream}
        return replace(recording, motion=motion, cameras=cameras)


@pytest.mark.parametrize("off", [0.0, 90.0])
def test_what_contradicts_itself_is_told_of_the_recording(
    others, tmp_path, capsys, caplog, monkeypatch, off
):
    others(turned="Turned")
    monkeypatch.setattr(Turned, "off", off)
    src = tmp_path / "drive.own"
    src.touch()
    status = run("import", "turned", src, tmp_path / "t", "--length", "100")
    assert status == (2 if off else 0)
    said = capsys.readouterr().err + caplog.text
    assert "ego.parquet" not in said
    assert "trace.json" not in said
    assert f"{src}: headings" in said if off else f"{src}: 'eye' looks at" in said


class Slow(Own):
    """One that takes long to open, and knows its cameras before."""

    name = "slow"

    def camera_names(self, src, options):
        return ("eye",)

    def open(self, src, options):
        raise AssertionError("it was opened")


def test_a_camera_that_there_is_not_is_told_before_anything_long(
    others, tmp_path, capsys, monkeypatch
):
    others(slow="Slow")
    src = tmp_path / "drive.own"
    src.touch()
    assert run("import", "slow", src, tmp_path / "t", "--cameras", "eye,rear") == 2
    assert "there is no camera 'rear'; cameras: eye" in capsys.readouterr().err


def test_the_trace_says_which_format_it_came_in_by(places, tmp_path):
    import_recording(places / "raw", tmp_path / "t")
    assert Trace.open(tmp_path / "t").importer == "kitti-raw"


class Broken:
    def __init__(self):
        raise ImportError("no module named 'rare'")


@pytest.fixture
def others(monkeypatch):
    """Entry points of other packages."""

    def add(**classes):
        entries = [
            importlib.metadata.EntryPoint(name, f"{__name__}:{value}", registry.GROUP)
            for name, value in classes.items()
        ]
        monkeypatch.setattr("vista_sim.registry.entry_points", lambda group: entries)

    return add


def test_a_format_of_another_package_is_found_by_its_entry_point(others, tmp_path, capsys):
    others(own="Own")
    src = tmp_path / "drive.own"
    src.touch()
    assert list(formats()) == [*registry.OWN, "own"]
    assert run("import", src, tmp_path / "t", "--length", "10") == 0
    trace = Trace.open(tmp_path / "t")
    assert trace.path.length == pytest.approx(10.0)
    assert trace.ego.speed == pytest.approx(10.0)
    assert abs(int(trace.cameras["eye"].frame(20).mean()) - 100) <= 2
    assert run("import", src, tmp_path / "u", "--length", "1000") == 2
    assert "--length is 1000.0; it must be from 1 to 100" in capsys.readouterr().err


def test_a_format_that_cannot_be_loaded_is_named_and_keeps_nobody_from_the_others(
    others, places, tmp_path, caplog
):
    others(broken="Broken")
    message = r"'broken' \(test_import:Broken\) cannot be loaded \(no module"
    with pytest.raises(TraceError, match=message):
        import_recording(tmp_path, tmp_path / "t", "broken")
    assert detected(places / "raw").importer.name == "kitti-raw"
    assert re.search(message, caplog.text)


class Failing(Own):
    """A format that fails where an attribute of its class says."""

    where = ""
    error: Exception = RuntimeError("two\nlines")

    def detect(self, src):
        return self.fail("detect", super().detect(src))

    def why(self, src):
        return self.fail("why", "it fails")

    def fail(self, where, value):
        if self.where == where:
            raise self.error
        return value

    def open(self, src, options):
        recording = self.fail("open", super().open(src, options))
        stream = recording.cameras["eye"]()

        def frames(numbers):
            yield from list(stream.frames(numbers))[: -1 if self.where == "few" else None]
            self.fail("frames", None)
            if self.where == "many":
                yield np.zeros((16, 24, 3), np.uint8)

        if self.where == "nothing":
            return None
        return replace(recording, cameras={"eye": lambda: replace(stream, frames=frames)})


@pytest.mark.parametrize("where", ["detect", "why"])
def test_a_format_that_fails_to_find_itself_keeps_nobody_from_the_others(
    others, places, tmp_path, caplog, monkeypatch, where
):
    others(failing="Failing")
    monkeypatch.setattr(Failing, "where", where)
    monkeypatch.setattr(Own, "detect", lambda *_: 1.0)
    assert detected(places / "raw").importer.name == "kitti-raw"
    assert re.search(
        r"'failing' \(test_import:Failing\) failed \(RuntimeError: two lines at", caplog.text
    )


@pytest.mark.parametrize(
    ("where", "error", "said"),
    [
        ("open", RuntimeError("two\nlines"), r"failed \(RuntimeError: two lines at test_import"),
        ("open", FileNotFoundError(2, "No such file", "a"), r"failed \(FileNotFoundError: "),
        ("frames", OSError("rare"), r"failed \(OSError: rare at test_import"),
        ("nothing", None, r"failed \(TypeError: it gave a NoneType in place of a .*Recording"),
        ("few", None, "camera 'eye': images: 40 were given, and 41 times of them"),
        ("many", None, "camera 'eye': images: more were given than the 41 times"),
    ],
)
def test_what_fails_in_a_format_of_another_package_is_told_as_its_own(
    others, tmp_path, capsys, monkeypatch, where, error, said
):
    others(own="Failing")
    monkeypatch.setattr(Failing, "where", where)
    monkeypatch.setattr(Failing, "error", error)
    (tmp_path / "drive.own").touch()
    assert run("import", "own", tmp_path / "drive.own", tmp_path / "t") == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.search(said, told)
    assert "defect" not in told
    if "failed" in said:
        assert "the importer 'own' (test_import:Failing)" in told
    assert [path.name for path in tmp_path.iterdir()] == ["drive.own"]


@pytest.mark.parametrize("format", [[], ["kitti-raw"]])
def test_what_may_not_be_read_is_one_line(places, tmp_path, capsys, monkeypatch, format):
    monkeypatch.setattr("os.access", lambda *_args, **_named: False)
    assert run("import", *format, places / "raw", tmp_path / "t") == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"error: {places / 'raw'}: may not be read (permission denied)")


def test_a_folder_within_that_may_not_be_read_is_named(places, tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", "raw/oxts")

    monkeypatch.setattr("vista_sim.traces.importers.kitti_raw.KittiRaw.detect", refuse)
    with pytest.raises(TraceError, match=r"^raw/oxts: may not be read"):
        import_recording(places / "raw", tmp_path / "t")


@pytest.mark.parametrize(
    "options", [["--rate", "0"], ["--start", "5", "--end", "1"], ["--end", "nan"]]
)
def test_options_of_all_formats_are_looked_at_before_a_recording_is_opened(
    others, tmp_path, capsys, monkeypatch, options
):
    others(own="Failing")
    monkeypatch.setattr(Failing, "where", "open")
    (tmp_path / "drive.own").touch()
    assert run("import", tmp_path / "drive.own", tmp_path / "t", *options) == 2
    assert options[0].strip("-") + " is " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("size", "said"), [("24x16", "24 x 16, 0.44 times as wide"), ("8x12", ""), ("8x13", "")]
)
def test_a_size_the_wrong_way_round_is_told(others, tmp_path, caplog, size, said):
    others(own="Own")
    (tmp_path / "drive.own").touch()
    assert run("import", tmp_path / "drive.own", tmp_path / "t", "--size", size) == 0
    told = [x.getMessage() for x in caplog.records if "as wide" in x.getMessage()]
    assert len(told) == bool(said)
    assert all(said in line and "images of 16 x 24 (height x width)" in line for line in told)


def test_an_option_that_a_format_has_not_is_refused():
    with pytest.raises(TraceError, match="no option 'width'; options of this format: length"):
        make_options(OwnOptions, {"width": 1.0})
    with pytest.raises(TraceError, match="length is 'long'"):
        make_options(OwnOptions, {"length": "long"})


def test_images_are_read_one_by_one(tmp_path):
    """Never more than one is held: what comes of a frame is used up before the next is asked."""
    recording = Own().open(Path("x"), OwnOptions())
    part = selected(recording, Selection(start=0.5, rate=4.0))
    stream = part.cameras["eye"].frames(range(3))
    assert [int(next(stream)[0, 0, 0]) for _ in range(3)] == [50, 75, 100]
    assert (part.cameras["eye"].t_ns[:3] * 1e-9).tolist() == [0.5, 0.75, 1.0]


def test_progress_counts_images_and_sweeps(places, tmp_path):
    told = []
    import_recording(places / "raw", tmp_path / "t", progress=lambda *a: told.append(a))
    # The last image of each camera was taken after the last pose.
    assert told == [(i + 1, 2 * 19 + 3) for i in range(2 * 19 + 3)]
    told.clear()
    import_recording(places / "odometry", tmp_path / "u", progress=lambda *a: told.append(a))
    assert told[-1] == (2 * COUNT, 2 * COUNT)


def recording_of_tracks():
    """A bend of 20 m radius; a road user stands 7 m ahead of the pose of 0.5 s."""
    recording = Own().open(Path("x"), OwnOptions())
    t_ns = recording.motion.t_ns
    turned = 0.05 * np.linspace(0.0, 10.0, len(t_ns))
    poses = np.array([planar_pose(20 * np.sin(a), 20 - 20 * np.cos(a), a) for a in turned - 0.3])
    row = int(np.searchsorted(t_ns - t_ns[0], 5 * 10**8))
    ahead = levelling(poses[0]) @ poses[row] @ planar_pose(7.0, 0.0, 1.0)
    pose = np.r_[ahead[:3, 3], 0.0, 0.0, np.sin(yaw_of(ahead) / 2), np.cos(yaw_of(ahead) / 2)]
    n = len(t_ns)
    tracks = Tracks(t_ns, np.full(n, 4), ["car"] * n, np.tile(pose, (n, 1)), np.full((n, 3), 2.0))
    return replace(recording, motion=motion_of_poses(t_ns, poses), tracks=tracks)


@pytest.mark.parametrize("start", [0.0, 0.5])
def test_tracks_stay_where_they_are_seen_from_the_car(tmp_path, start):
    write_recording(recording_of_tracks(), tmp_path / "t", Selection(start=start))
    trace = Trace.open(tmp_path / "t")
    tracks = trace.tracks()
    row = int(np.flatnonzero(np.isclose(tracks["t"], 0.5 - start))[0])
    seen = inverse(trace.pose(0.5 - start)) @ np.r_[tracks["pose"][row, :3], 1.0]
    assert seen[:3] == pytest.approx([7.0, 0.0, 0.0], abs=1e-9)
    heading = 2 * np.arctan2(*tracks["pose"][row, 5:])
    assert heading - yaw_of(trace.pose(0.5 - start)) == pytest.approx(1.0)
    assert set(tracks["category"]) == {"car"}
    assert tracks["t"][[0, -1]] == pytest.approx([0.0, trace.duration])
