"""Whether the geometry of traces is baked before something is judged or learned on their views.

Unbaked, the ground is taken to be flat and all that stands on it lies in it: a drive there may be
passed, or taught, that nobody could drive. Commands refuse it and say what to run, unless they
are told to bake first, or that it is meant.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence

from vista_sim.console import progress_bar
from vista_sim.errors import GeometryError, VistaError
from vista_sim.geometry.store import GeometryStore
from vista_sim.scenarios.case import Case
from vista_sim.sensors.pool import CameraChoice
from vista_sim.traces.trace import Trace

VARIABLE = "VISTA_SIM_UNBAKED"  # set to 1, it stands for --unbaked everywhere

Source = tuple[Trace, str]  # a trace and the recorded camera that views come from


def sources_of(traces: Sequence[Trace], recorded: str | None = None) -> list[Source]:
    """What views of traces come from; nothing of a trace without a camera.

    Args:
        traces: open traces.
        recorded: name of the recorded camera; None: the one that is taken where none is named.
    """
    choice = CameraChoice(traces, recorded)
    return [
        (trace, choice.recorded_name(index)) for index, trace in enumerate(traces) if trace.cameras
    ]


def sources_of_cases(cases: Iterable[Case]) -> list[Source]:
    """What views of cases come from."""
    wanted = dict.fromkeys((case.trace, case.settings.sensors.recorded_camera) for case in cases)
    return [
        source for root, recorded in wanted for source in sources_of([Trace.open(root)], recorded)
    ]


def make_ready(sources: Iterable[Source], bake: bool, unbaked: bool) -> None:
    """See to it that views come from baked geometry.

    Args:
        sources: what views come from.
        bake: bake what is missing, or of another recording.
        unbaked: leave it as it is. So does the environment variable `VARIABLE`.

    Raises:
        GeometryError: something is not baked; the message has the command to run.
    """
    if bake and unbaked:
        raise VistaError("--bake and --unbaked are both given; choose one")
    if unbaked or (not bake and os.environ.get(VARIABLE, "") not in ("", "0")):
        return
    missing = [source for source in dict.fromkeys(sources) if not _is_baked(source, bake)]
    if not missing:
        return
    if not bake:
        raise GeometryError(_refusal([trace for trace, _ in missing], missing[0][1]))
    from vista_sim.geometry.bake import bake_camera

    for trace, camera in missing:
        with progress_bar(f"baking {camera} of {trace.name}", "frames") as report:
            bake_camera(trace, camera, progress=report)


def _is_baked(source: Source, replaced: bool) -> bool:
    """Whether there is geometry that fits; what is damaged is told, unless it is replaced."""
    try:
        return GeometryStore.find(*source) is not None
    except GeometryError:
        if replaced:
            return False
        raise


def _refusal(traces: list[Trace], camera: str) -> str:
    roots = list(dict.fromkeys(str(trace.root) for trace in traces))
    more = f" (nor are {len(roots) - 1} more traces)" if len(roots) > 1 else ""
    commands = " && ".join(f"vista-sim bake {shlex.quote(root)}" for root in roots[:3])
    commands += " ..." if len(roots) > 3 else ""
    return (
        f"{roots[0]}: camera {camera!r} is not baked{more}, so that its views would show a flat "
        f"world; run: {commands}   (or give --bake to bake now, --unbaked to take it as it is)"
    )
