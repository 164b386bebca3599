"""The check of a drive as a recording of Rerun: the drive, the drawn frames, the findings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vista_sim.checking.moments import Moment
from vista_sim.checking.report import CameraCheck
from vista_sim.console import progress_bar
from vista_sim.replay.viewer.serving import saving
from vista_sim.traces.trace import Trace

Image = NDArray[np.uint8]


def write_scene(
    path: Path,
    trace: Trace,
    report: CameraCheck,
    shown: list[tuple[Moment, Image]],
    overwrite: bool,
) -> None:
    """Write what `vista-sim replay` shows of a trace, with the frames and findings of its check.

    Raises:
        VistaError: the file is there already or cannot be written.
        MissingDependencyError: Rerun is not installed.
    """
    from vista_sim.replay.viewer.trace import TraceReplay

    replay = TraceReplay(trace.root)
    recording = replay.recording
    with (
        saving(recording.stream, path, overwrite) as flow,
        progress_bar("writing the recording") as progress,
    ):
        replay.log_first()
        for moment, picture in shown:
            image = recording.rr.Image(picture).compress(jpeg_quality=90)
            recording.log_at((moment.t, moment.frame), recording.path("check", "frames"), image)
        lines = [f"- **{f.name}** {f.line}" for f in report.findings] or ["nothing wrong was found"]
        lines += ["", *(f"- {m.line}" for m in report.measures.values())]
        document = recording.rr.TextDocument("\n".join(lines), media_type="text/markdown")
        recording.log(recording.path("check", "findings"), document)
        replay.log_rest(flow.checked(progress))
