"""What is learned from and for: enough for another process to gather data by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vista_sim.sensors.spec import SensorSpec
from vista_sim.traces.trace import Trace

from ..actions import Scales
from ..experts import ExpertName
from ..networks.network import NetworkConfig
from .drives import SplitTrace, open_drives
from .frames import Windows
from .labels import Labeller
from .road import SplitConfig


@dataclass(frozen=True)
class Setup:
    """Traces, the policy's sensors and network, and the expert that labels.

    Args:
        traces: folders.
        sensors: of the policy, by name; fields of view are fixed.
        network, scales: of the policy.
        recorded: name of the recorded camera; None: each trace's own.
        section: "START:END" in s; None: all of each trace.
        split, seed: which road is held out.
        expert: name of the one that labels what it would do.
        length: frames of a window that the network is trained on.
    """

    traces: tuple[Path, ...]
    sensors: Mapping[str, SensorSpec]
    network: NetworkConfig
    scales: Scales
    recorded: str | None
    section: str | None
    split: SplitConfig
    seed: int
    expert: ExpertName
    length: int

    def open(self, opened: Sequence[Trace] | None = None) -> list[SplitTrace]:
        """The drives; of traces that are open already, if they are given.

        Raises TraceError, WorldError.
        """
        traces = [Trace.open(path) for path in self.traces] if opened is None else opened
        return open_drives(traces, self.sensors, self.split, self.seed, self.recorded, self.section)

    @property
    def labeller(self) -> Labeller:
        return Labeller(self.expert, self.network.head)

    @property
    def windows(self) -> Windows:
        return Windows(self.network.head, self.scales, self.network.inputs, self.length)
