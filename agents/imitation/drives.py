"""Traces made ready to learn from: what is seen, the road in use, and its held-out part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vista_sim.errors import TraceError
from vista_sim.policies import COMMAND, CameraSpec
from vista_sim.sensors.camera import virtual_lens
from vista_sim.sensors.pool import CameraPool
from vista_sim.sensors.spec import SensorSpec
from vista_sim.traces.path import TracePath
from vista_sim.traces.trace import Trace

from ..networks.network import COMMANDS
from .road import Interval, SplitConfig, split_road


@dataclass(frozen=True)
class SplitTrace:
    """A trace, the recorded camera that it is seen by (None: it is not looked at), and the road to
    train and to validate on.
    """

    trace: Trace
    recorded: str | None
    train: tuple[Interval, ...]
    validation: tuple[Interval, ...]

    @property
    def path(self) -> TracePath:
        return self.trace.path


def command_at(trace: Trace, t: float) -> int:
    """Place in `COMMANDS` of the navigation command at t (s): the value of the label "command"
    there, "follow" where there is none. Raises TraceError for a command that is not known.
    """
    command = trace.label(COMMAND, t)
    if command is None:
        return 0
    if command not in COMMANDS:
        raise TraceError(
            f"{trace.root}: label {COMMAND!r} is {command!r} at {t:.1f} s; known commands: "
            f"{', '.join(COMMANDS)}"
        )
    return COMMANDS.index(command)


def parse_span(text: str | None) -> tuple[float, float] | None:
    """Seconds of "0:7.2", ":7.2", "5:" or None. Raises TraceError."""
    if text is None:
        return None
    start, colon, end = text.partition(":")
    try:
        if not colon:
            raise ValueError
        span = (float(start) if start else 0.0, float(end) if end else float("inf"))
    except ValueError:
        raise TraceError(f"--section {text!r} is not START:END in seconds, such as 0:7.2") from None
    if not 0 <= span[0] < span[1]:
        raise TraceError(
            f"--section {text!r}: the end must lie after the start, and neither below 0"
        )
    return span


def resolve_camera(traces: Sequence[Trace], spec: CameraSpec, name: str | None) -> CameraSpec:
    """The camera spec with its field of view, where open, fixed to that of the first trace's
    camera, so that a policy sees the same on every rig.
    """
    if spec.fov is not None or spec.lens is not None:
        return spec
    recorded = CameraPool(traces, name).recorded_name(0)
    lens = traces[0].cameras[recorded].calibration.lens
    return replace(spec, fov=virtual_lens(lens, spec.size, None).fov)


def open_drives(
    traces: Sequence[Trace],
    sensors: Mapping[str, SensorSpec],
    split: SplitConfig,
    seed: int,
    name: str | None = None,
    section: str | None = None,
) -> list[SplitTrace]:
    """Open traces and hold out part of their road.

    Args:
        traces: open traces.
        sensors: of the policy, by name.
        split: how much road is held out.
        seed: of the split.
        name: the recorded camera; None: the one that the world would use.
        section: "START:END" in s; only this part of each trace is used.

    Raises:
        TraceError: a trace has no road to drive.
        WorldError: a trace lacks the camera.
    """
    span = parse_span(section)
    pool = CameraPool(traces, name)
    sees = any(spec.cameras for spec in sensors.values())
    drives = []
    for i, trace in enumerate(traces):
        if span is not None and span[0] >= trace.duration:
            raise TraceError(
                f"{trace.root}: --section starts after its end at {trace.duration:.1f} s"
            )
        road = [(s.start_s, s.end_s) for s in trace.find_sections(span=span)]
        try:
            train, validation = split_road(road, split, np.random.default_rng([seed, i]))
        except TraceError as error:
            raise TraceError(f"{trace.root}: {error}") from None
        recorded = pool.recorded_name(i) if sees else None
        drives.append(SplitTrace(trace, recorded, tuple(train), tuple(validation)))
    return drives
