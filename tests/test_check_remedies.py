"""What is advised after a check: options that the importer of the trace really has."""

import dataclasses
import math
import re

import numpy as np
import pytest
from textured import STREET, straight, write_drive
from tiny import write_tiny_trace
from typer.testing import CliRunner

from vista_sim.checking.check import check
from vista_sim.checking.directions import Directions
from vista_sim.checking.estimate import Estimate, unknown
from vista_sim.checking.findings import findings_of
from vista_sim.checking.frozen import Stills
from vista_sim.checking.report import UNITS, CameraCheck, Measure
from vista_sim.checking.sheet import panels
from vista_sim.cli import build_app
from vista_sim.traces.importers.registry import OWN
from vista_sim.traces.trace import Trace

HELD = Stills(((0.2, 0.6),), 0.0)
DOUBLED = Stills((), 0.4)


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    return Trace.open(write_tiny_trace(tmp_path_factory.mktemp("drive") / "drive"))


def findings(trace, importer, stills=HELD):
    """What is said of a drive in which everything is wrong."""
    none = unknown("nothing is known of it")
    trace = Trace(trace.root)
    trace.importer = importer
    measures = {name: Measure(name, name, Estimate(0.2, 0.001, 50), 0.01) for name in UNITS}
    ahead = Directions(none, none, none, none)
    return findings_of(trace, trace.find_camera(), measures, True, ahead, stills)


@pytest.mark.parametrize("importer", OWN)
def test_remedies_name_options_that_the_format_has(trace, importer):
    offered = CliRunner().invoke(build_app(), ["import", importer, "--help"]).output
    said = [
        finding.remedy
        for stills in (HELD, DOUBLED)
        for finding in findings(trace, importer, stills)
    ]
    options = {name for text in said for name in re.findall(r"--[a-z-]+", text)} - {"--fix"}
    assert {"--start", "--end", "--rate"} <= options
    for option in options:
        assert re.search(rf"{option}\b(?!-)", offered), option


@pytest.mark.parametrize(
    ("importer", "height", "pitch"),
    [
        ("video", "--height 1.", "--pitch"),
        ("kitti-raw", "--imu-height lowered by 0.20 m", "kitti-raw has no option for"),
        ("pandaset", "--frame-height lowered by 0.20 m", "pandaset has no option for"),
        ("ros", "--base-height lowered by 0.20 m", "in --mounts"),
    ],
)
def test_each_format_is_told_of_heights_and_pitches_by_its_own_options(
    trace, importer, height, pitch
):
    said = {finding.name: finding.remedy for finding in findings(trace, importer)}
    assert height in said["camera-height"]
    assert pitch in said["camera-pitch"]
    right = math.degrees(0.2) + math.degrees(
        -math.asin(trace.find_camera().calibration.T_vehicle_camera[2, 2])
    )
    assert f"{right:.2f}" in said["camera-pitch"]


@pytest.mark.parametrize("importer", ["", "of-another-package"])
def test_who_writes_traces_is_told_values_and_no_options(trace, importer):
    said = {finding.name: finding.remedy for finding in findings(trace, importer)}
    assert said["camera-pitch"].startswith("write it with the camera's pitch: ")
    options = {name for text in said.values() for name in re.findall(r"--[a-z-]+", text)}
    assert options == {"--fix"}


def test_a_recording_for_rerun_holds_the_drawn_frames_and_the_findings(tmp_path, monkeypatch):
    pytest.importorskip("rerun.chunk")
    from test_viewer import column, read

    write_drive(tmp_path / "drive", STREET, straight(0.8 * np.arange(30)))
    trace = Trace.open(tmp_path / "drive")
    report = dataclasses.replace(check(trace), findings=findings(trace, ""))
    assert isinstance(report, CameraCheck)
    monkeypatch.setattr("vista_sim.checking.check.check", lambda *_: report)
    out = tmp_path / "check.rrd"
    result = CliRunner().invoke(build_app(), ["check", str(tmp_path / "drive"), "--rrd", str(out)])
    assert result.exit_code == 1
    entities = read(out)
    camera = trace.find_camera()
    shown = panels(trace, camera)
    drawn = entities["/check/frames"]
    assert len(shown) > 1
    assert sum(batch.num_rows for batch in drawn) == len(shown)
    assert sorted(column(drawn, "step")) == sorted(moment.frame for moment, _ in shown)
    ((text,),) = column(entities["/check/findings"], "text")
    for finding in report.findings:
        assert f"**{finding.name}**" in text
    for measure in report.measures.values():
        assert measure.line in text
