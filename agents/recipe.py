"""What every way of learning to drive from traces is told on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from vista_sim.evaluation.readiness import make_ready, sources_of
from vista_sim.geometry.identity import identify_trace
from vista_sim.identity.sources import SIMULATOR, sources_digest
from vista_sim.policies import CameraSpec
from vista_sim.sensors.registry import spec_to_json
from vista_sim.sensors.spec import SensorSpec, check_sensors
from vista_sim.traces.trace import Trace
from vista_sim.transforms import camera_mount

from .imitation.drives import resolve_camera
from .networks.network import NetworkConfig
from .networks.registry import network_to_json
from .networks.sensors import check_fit, network_for_sensors, own_sensors
from .sensors_file import SENSORS_FILE


def decided_by(traces: Sequence[Trace]) -> dict[str, Any]:
    """What decides the weights beside a recipe's settings: recordings, what was baked from them,
    and the code that learns; hashes, as JSON.
    """
    found = [identify_trace(trace) for trace in traces]
    return {
        "recordings": [trace.recording for trace in found],
        "geometry": [trace.geometry for trace in found],
        "code": [sources_digest(SIMULATOR), sources_digest("vista_agents")],
    }


def check_seed(seed: int) -> None:
    """Raise ValueError for a seed that PyTorch or NumPy do not take."""
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed is {seed}; it must be from 0 to {2**63 - 1}")


def check_mount(x: float, height: float, pitch: float) -> None:
    """Raise ValueError for a place where no car carries a camera that sees the road."""
    if not (-5.0 <= x <= 10.0 and 0.2 <= height <= 5.0 and -0.5 <= pitch <= 1.0):
        raise ValueError(
            f"mount is {x} m, {height} m, {pitch} rad; it must be from -5 to 10 m before the rear "
            "axle, from 0.2 to 5 m above the road, and from -0.5 to 1 rad down"
        )


@dataclass(frozen=True)
class Recipe:
    """What is learned from, what is learned, and where it goes."""

    traces: Annotated[tuple[Path, ...], tyro.conf.arg(aliases=("--trace",))]
    """Trace folders to learn from, or names of samples such as proving-ground."""
    out: Annotated[Path, tyro.conf.arg(aliases=("-o",))]
    """Policy folder to write; checkpoints, curves and TensorBoard logs go below it."""
    section: str | None = None
    """Use this part of each trace alone: START:END in seconds, such as 0:7.2."""
    camera: str | None = None
    """Recorded camera to learn from; by default "front", "left" or the first."""
    fov: float | None = None
    """Horizontal field of view of the policy's camera, rad; by default that of the first trace's
    camera. It is written to policy.json, so that other rigs show the policy the same."""
    mount: tuple[float, float, float] | None = None
    """Where the policy's camera is on every car: metres before the rear axle, metres above the
    road, and how far it looks down, rad, such as 1.2 1.6 0.1; by default where each recording
    has its own. Roads that were recorded by different cars then look alike to the policy."""
    sensors: Annotated[Mapping[str, SensorSpec] | None, SENSORS_FILE] = None
    """TOML or JSON file of all that the policy observes, by name, in place of one camera or the
    state vector: a table of each sensor, such as [ranges] with kind = "range" and the fields of
    that kind. Cameras are seen as the architecture sees, each with its own size; other readings go
    through a perceptron."""
    seed: int = 0
    """Of everything that is drawn by chance."""
    resume: bool = False
    """Go on from the checkpoint in the folder, if there is one."""
    overwrite: bool = False
    """Start anew where the folder holds a training already."""
    bake: bool = False
    """First bake the geometry of traces that have none."""
    unbaked: bool = False
    """Take traces without baked geometry as they are: views show a flat world. (Or set
    VISTA_SIM_UNBAKED=1.)"""
    json: bool = False
    """Print the result as JSON."""
    network: NetworkConfig = field(default_factory=NetworkConfig)

    def __post_init__(self) -> None:
        if not self.traces:
            raise ValueError("traces is empty; give at least one trace folder")
        check_seed(self.seed)
        if self.fov is not None and not 0.02 <= self.fov <= 3.0:
            raise ValueError(f"fov is {self.fov} rad; it must be from 0.02 to 3")
        if self.mount is not None:
            check_mount(*self.mount)
        if self.sensors is not None:
            for name in ("fov", "mount"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} is given beside sensors; say it of a camera there")
            network = network_for_sensors(self.network, self.sensors)
            object.__setattr__(self, "network", network)
        check_fit(self.network, self.observed)

    @property
    def observed(self) -> dict[str, SensorSpec]:
        """What the policy observes, by name, as it was asked for."""
        if self.sensors is not None:
            return check_sensors(self.sensors)
        mount = None
        if self.mount is not None:
            x, height, pitch = self.mount
            mount = camera_mount(x, 0.0, height, pitch=pitch)
        return own_sensors(self.network, self.fov, mount)

    @property
    def as_recorded(self) -> bool:
        """Whether all that is seen, is seen by a camera where the recorded one is."""
        return all(
            isinstance(spec, CameraSpec) and spec.mount is None
            for spec in self.observed.values()
            if spec.cameras
        )

    def make_ready(self) -> None:
        """See to it that the views that are learned from come from baked geometry.

        Raises:
            TraceError: a trace cannot be opened.
            GeometryError: something is not baked; the message has the command to run.
        """
        if any(spec.cameras for spec in self.observed.values()):
            traces = [Trace.open(path) for path in self.traces]
            make_ready(sources_of(traces, self.camera), self.bake, self.unbaked)

    def policy_sensors(self, traces: Sequence[Trace]) -> dict[str, SensorSpec]:
        """What the policy observes, by name, with all fields of view of its cameras fixed."""
        return {
            name: resolve_camera(traces, spec, self.camera)
            if isinstance(spec, CameraSpec)
            else spec
            for name, spec in self.observed.items()
        }

    def settings(self) -> dict[str, Any]:
        """All its fields as plain values, by name; sensors if they were asked for."""
        values = {f.name: _plain(getattr(self, f.name)) for f in fields(self)}
        values["network"] = network_to_json(self.network)
        if values.pop("sensors") is not None:
            sensors = {name: spec_to_json(spec) for name, spec in self.observed.items()}
            values["sensors"] = sensors
        return values


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
