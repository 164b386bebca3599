"""The example of writing a trace, and what it is made of."""

import re
from pathlib import Path

import numpy as np
import pytest
from test_trace_writer import ABOUT, write_ego

import vista_sim
from vista_sim.errors import TraceError
from vista_sim.traces.trace import Trace
from vista_sim.traces.writer import TraceWriter


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """What the page's example writes, run as it stands."""
    page = (Path(vista_sim.__file__).parent / "traces" / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    folder = tmp_path_factory.mktemp("example")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        names = {}
        exec(compile(code, "README.md", "exec"), names)
    return Trace.open(folder / "my-trace"), names


def test_the_example_drives_the_bend_that_it_says(example):
    trace, names = example
    assert names["writer"].findings == ()
    assert trace.path.length == pytest.approx(8.0 * trace.duration, rel=1e-4)
    assert trace.path.curvature(trace.path.length / 2) == pytest.approx(1 / 40, rel=1e-3)
    assert trace.ego.speed == pytest.approx(8.0, rel=1e-3)
    assert trace.ego.yaw_rate == pytest.approx(0.2, rel=1e-3)
    assert trace.known["front"]["mount"] == "assumed"


def test_the_points_of_the_example_are_a_corner_of_its_other_car(example):
    trace, _ = example
    tracks, lidar = trace.tracks(), trace.lidars["top"]
    place = tracks["pose"][0]
    heading = 2 * np.arctan2(place[5], place[6])
    turn = np.array([[np.cos(heading), -np.sin(heading)], [np.sin(heading), np.cos(heading)]])
    corner = np.r_[place[:2] + turn @ [2.1, 0.9], place[2] + 0.7]
    for index in (0, 20, 49):
        seen = lidar.sweep(index)
        pose = trace.pose(seen.t) @ lidar.calibration.T_vehicle_lidar
        assert (pose @ np.r_[seen.points[0], 1.0])[:3] == pytest.approx(corner, abs=1e-3)


def test_all_that_is_said_to_be_there_is_there():
    import vista_sim.recordings as recordings

    for name in recordings.__all__:
        assert getattr(recordings, name).__doc__, name


LANES = {
    "s": [0.0, 0.0, 4.0, 4.0],
    "lane": [0, 1, 0, 1],
    "left": [1.5, 5.0, 1.6, 5.1],
    "right": [-1.5, 1.5, -1.4, 1.6],
    "direction": [1, -1, 1, -1],
}


def written(folder, **changes):
    with TraceWriter(folder, **ABOUT) as writer:
        write_ego(writer)
        writer.write_lanes(**{**LANES, **changes})
    return Trace.open(folder)


def test_lanes_are_read_back(tmp_path):
    lanes = written(tmp_path / "t").lanes
    for name, values in LANES.items():
        assert lanes[name].tolist() == values
    assert not lanes["left"].flags.writeable


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"s": [0.0, 4.0, 4.0, 0.0]}, "row 3: s is 0; it must not decrease"),
        ({"right": [1.6, 1.5, -1.4, 1.6]}, "row 0: left is 1.5; it must be greater than right"),
        ({"direction": [1, 2, 1, -1]}, "row 1: direction is 2; it must be 1, -1 or 0"),
        ({"lane": [0, 1, 0, 0]}, "row 2: lane 0 is there twice at 4 m"),
        ({"left": [1.5, 5e4, 1.6, 5.1]}, "left is 5e.04; it must be in m"),
        ({"left": [1.5, float("nan"), 1.6, 5.1]}, "left .*finite"),
    ],
)
def test_lanes_that_cannot_be_are_refused(tmp_path, changes, message):
    with pytest.raises(TraceError, match=rf"lanes\.parquet: .*{message}"):
        written(tmp_path / "t", **changes)
    assert list(tmp_path.iterdir()) == []
