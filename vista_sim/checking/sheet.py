"""The sheet of a check: frames with what is recorded drawn onto them, and what was found."""

from __future__ import annotations

import textwrap
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.checking.drawing import Overlay
from vista_sim.checking.moments import Moment, find_moments
from vista_sim.checking.report import CameraCheck
from vista_sim.errors import VistaError
from vista_sim.geometry.working import WorkingCamera
from vista_sim.images import write_png
from vista_sim.traces.trace import Trace
from vista_sim.traces.video import RecordedCamera

Image = NDArray[np.uint8]

COLUMNS = 2
PANEL = 800  # px, width of a frame on the sheet
_BAR, _LINE = 22, 17  # px
_DARK, _LIGHT, _ALARM, _CALM, _DIM = (
    (24, 24, 24),
    (230, 230, 230),
    (255, 130, 90),
    (130, 220, 130),
    (150, 150, 150),
)


def panels(trace: Trace, camera: RecordedCamera) -> list[tuple[Moment, Image]]:
    """Frames with all that is recorded drawn onto them, at most `PANEL` px wide or high."""
    lens = camera.calibration.lens
    scale = PANEL / lens.size[1]
    small = lens.resized((round(lens.size[0] * scale), PANEL))
    overlay = Overlay(trace, small, camera.calibration.T_vehicle_camera)
    colours = WorkingCamera(small).colours
    found = []
    for moment in find_moments(trace, camera):
        found.append((moment, overlay.draw(colours(camera.frame(moment.frame)), moment.t)))
    return found


def write_sheet(
    path: Path, trace: Trace, report: CameraCheck, shown: list[tuple[Moment, Image]]
) -> None:
    """Write the sheet as a PNG. Raises VistaError where the file cannot be written."""
    write_png(path, draw_sheet(trace, report, shown), VistaError)


def draw_sheet(trace: Trace, report: CameraCheck, shown: list[tuple[Moment, Image]]) -> Image:
    """The sheet, uint8 RGB: frames two by two, and below them what was found."""
    cells = [_titled(picture, _title(moment)) for moment, picture in shown]
    while len(cells) % COLUMNS:
        cells.append(np.full_like(cells[0], _DARK[0]))
    rows = [np.hstack(cells[i : i + COLUMNS]) for i in range(0, len(cells), COLUMNS)]
    return np.vstack([*rows, _text(trace, report, rows[0].shape[1])])


def _title(moment: Moment) -> str:
    return f"{moment.t:.1f} s  {moment.kind}  {moment.speed:.1f} m/s"


def _titled(picture: Image, title: str) -> Image:
    bar = np.full((_BAR, picture.shape[1], 3), _DARK[0], np.uint8)
    _write(bar, title, 15, _LIGHT)
    return np.vstack([bar, picture])


def _text(trace: Trace, report: CameraCheck, width: int) -> Image:
    lines: list[tuple[str, tuple[int, int, int]]] = []
    name = f"{trace.name}, camera {report.camera}: {report.pairs} pairs of frames. Green: the "
    lines.append(
        (
            f"{name}recorded path of the next 40 m, as wide as the car. Blue: 5 m on the "
            "ground. Yellow: horizon.",
            _LIGHT,
        )
    )
    for finding in report.findings:
        lines.append((f"{finding.name}: {finding.line}", _ALARM))
    if not report.findings:
        lines.append(("nothing wrong was found", _CALM))
    lines += [(m.line, _ALARM if m.wrong else _DIM) for m in report.measures.values()]
    if report.mirrored is None:
        lines.append((report.untold[-1], _DIM))
    per_line = width // 8
    wrapped = [(part, c) for text, c in lines for part in textwrap.wrap(text, per_line)]
    canvas = np.full((_LINE * len(wrapped) + 12, width, 3), _DARK[0], np.uint8)
    for row, (text, colour) in enumerate(wrapped):
        _write(canvas, text, _LINE * (row + 1), colour)
    return canvas


def _write(canvas: Image, text: str, y: int, colour: tuple[int, int, int]) -> None:
    plain = text.replace("±", "+-").encode("ascii", "replace").decode()
    cv2.putText(canvas, plain, (6, y), cv2.FONT_HERSHEY_SIMPLEX, 0.43, colour, 1, cv2.LINE_AA)
