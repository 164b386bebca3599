"""What the simulator knows of a policy, and how a policy folder is found a loader.

A policy folder holds `policy.json` and weights. Which package can read it stands in its
`loader` field: the name of an entry point in the group `vista_sim.policies`, a callable
`load(folder: Path) -> Policy`. A loader reads weights and configuration, never code.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import PolicyError, TraceError
from vista_sim.traces.calibration import Lens

if TYPE_CHECKING:
    from vista_sim.world import Car

POLICY_FORMAT = "vista-policy/1"
ENTRY_POINT_GROUP = "vista_sim.policies"

#: Key of a trace's labels that are navigation commands, and of what a car observes of them.
COMMAND = "command"


@dataclass(frozen=True)
class Action:
    """What a policy asks of the car, in physical units.

    Args:
        curvature: of the path to drive, 1/m, positive to the left.
        acceleration: m/s²; None: the speed of the recording.
    """

    curvature: float
    acceleration: float | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.curvature):
            raise ValueError(f"curvature is {self.curvature}; it must be finite")
        if self.acceleration is not None and not math.isfinite(self.acceleration):
            raise ValueError(f"acceleration is {self.acceleration}; it must be finite")


@dataclass(frozen=True)
class CameraSpec:
    """The camera a policy was made for; resolved to a recorded camera trace by trace.

    Args:
        size: (height, width), px.
        fov: horizontal, rad; None: that of the recorded camera, or of `lens`.
        mount: T_vehicle_camera; None: that of the recorded camera.
        lens: in place of `fov`, of a camera with distortion; resized to `size`.
    """

    size: tuple[int, int] = (66, 200)
    fov: float | None = None
    mount: NDArray[np.float64] | None = None
    lens: Lens | None = None

    def __post_init__(self) -> None:
        if self.fov is not None and not 0 < self.fov < math.pi:
            raise ValueError(f"fov is {self.fov} rad; it must be between 0 and pi")
        if self.lens is not None and self.fov is not None:
            raise ValueError("fov and lens are both given; a lens has its own field of view")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> CameraSpec:
        try:
            height, width = (int(v) for v in values["size"])
            fov = None if values.get("fov") is None else float(values["fov"])
            mount = values.get("mount")
            mount = None if mount is None else np.array(mount, dtype=np.float64).reshape(4, 4)
            lens = values.get("lens")
            if lens is not None:
                sides, bends = tuple(lens["size"]), tuple(lens["distortion"])
                lens = Lens(**{**lens, "size": sides, "distortion": bends})
            return cls((height, width), fov, mount, lens)
        except (KeyError, TypeError, ValueError, OverflowError, TraceError) as error:
            raise PolicyError(f"policy.json: field 'camera' is not usable ({error})") from None

    def to_json(self) -> dict[str, Any]:
        values: dict[str, Any] = {"size": list(self.size), "fov": self.fov}
        values["mount"] = None if self.mount is None else self.mount.tolist()
        if self.lens is not None:
            values["lens"] = dataclasses.asdict(self.lens)
        return values


@runtime_checkable
class Policy(Protocol):
    """Anything that can drive. `camera` is None for a privileged expert that needs no image."""

    camera: CameraSpec | None

    def reset(self) -> None:
        """Forget everything: a new episode begins."""

    def act(self, observation: Mapping[str, Any], car: Car | None = None) -> Action:
        """Choose an action.

        Args:
            observation: "camera": uint8 (height, width, 3); "speed": float32 (1,), m/s;
                "command": a navigation command, where the trace has labels with that key.
            car: for privileged experts alone.
        """


def read_policy_json(folder: Path | str) -> dict[str, Any]:
    """Read and check policy.json of a policy folder. Raises PolicyError."""
    path = Path(folder) / "policy.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise PolicyError(f"{path}: not found; a policy folder holds policy.json") from None
    except (OSError, ValueError, RecursionError) as error:
        raise PolicyError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(values, dict) or values.get("format") != POLICY_FORMAT:
        found = values.get("format") if isinstance(values, dict) else None
        raise PolicyError(f"{path}: format is {found!r}; this version reads {POLICY_FORMAT!r}")
    return values


def load_policy(folder: Path | str) -> Policy:
    """Load a policy folder with the loader that its policy.json names.

    Raises:
        PolicyError: the folder cannot be read, or no installed package has its loader.
    """
    folder = Path(folder)
    name = read_policy_json(folder).get("loader")
    found = {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}
    if not isinstance(name, str) or name not in found:
        known = ", ".join(sorted(found)) or "none"
        raise PolicyError(f"{folder / 'policy.json'}: loader {name!r} is unknown; known: {known}")
    policy: Policy = found[name].load()(folder)
    return policy
