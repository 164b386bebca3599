"""Checks of what environments are given: one line names the argument and what it must be."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import ArrayLike, NDArray

from vista_sim.arguments import check_count, check_flag
from vista_sim.car import camera_spec
from vista_sim.errors import WorldError
from vista_sim.files import shown
from vista_sim.sensors.spec import CameraSpec, SensorSpec, StateSpec, check_sensors
from vista_sim.traces.calibration import Lens

MOST_WORKERS = 8  # beyond, threads wait for each other's Python more than they gain
CAMERA, STATE = CameraSpec.kind, StateSpec.kind
DEFAULT_SIZE = (66, 200)  # px; this very tuple says that no size is given
START_OPTIONS = ("trace", "s", "lateral", "heading")


def chosen_sensors(
    sensors: Mapping[str, SensorSpec] | None,
    observe: str | None,
    size: Sequence[int],
    fov: float | None,
    mount: ArrayLike | None,
    lens: Lens | None,
) -> dict[str, SensorSpec]:
    """What is observed: `sensors`, or what the short forms stand for: one camera, or the state."""
    given = {"observe": observe, "fov": fov, "mount": mount, "lens": lens}
    given |= {} if size is DEFAULT_SIZE else {"size": size}
    if sensors is not None:
        for name, value in given.items():
            if value is not None:
                raise WorldError(f"{name} is given beside sensors; say it in sensors alone")
        return check_sensors(sensors)
    if observe not in (None, CAMERA, STATE):
        raise WorldError(f"observe is {observe!r}; known are camera and state")
    if observe == STATE:
        for name in ("fov", "mount", "lens"):
            refuse_without_camera(name, given[name])
        return {STATE: StateSpec()}
    return {CAMERA: camera_spec(size, fov, mount, lens)}


def refuse_without_camera(name: str, value: Any) -> None:
    """Refuse an argument, which is of cameras, where there is none."""
    if value is not None:
        raise WorldError(f"{name} is given with observe='state', where no camera is observed")


def check_workers(workers: Any) -> int:
    """How many threads make views; None: as many as there are cores, at most MOST_WORKERS."""
    return available_workers() if workers is None else check_count("workers", workers)


def available_workers() -> int:
    """How many threads are used where none are asked for: a core each, at most MOST_WORKERS."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        cores = os.cpu_count() or 1
    return min(cores, MOST_WORKERS)


def tensor_device(tensors: Any, backend: Any, device: str) -> str | None:
    """The device that observations stay on, which their cameras are made on; None: none do."""
    if not check_flag("tensors", tensors):
        return None
    if backend != "torch":
        raise WorldError(f"tensors are asked for of backend {backend!r}; give backend 'torch'")
    return device


def check_pictures(render_mode: Any) -> str | None:
    """A render_mode of many environments."""
    if render_mode not in (None, "rgb_array"):
        raise WorldError(f"render_mode is {render_mode!r}; many environments know rgb_array")
    mode: str | None = render_mode
    return mode


def start_options(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Arguments of `Car.start` from the options of `reset`."""
    start: dict[str, Any] = {}
    for name, value in (options or {}).items():
        if name not in START_OPTIONS:
            raise WorldError(f"reset option {name!r} is unknown; known: {', '.join(START_OPTIONS)}")
        kind = int | np.integer if name == "trace" else int | float | np.integer | np.floating
        if isinstance(value, bool) or not isinstance(value, kind):
            expected = "a whole number" if name == "trace" else "a number"
            raise WorldError(f"reset option {name!r} is {value!r}; it must be {expected}")
        start[name] = int(value) if name == "trace" else float(value)
    return start


def autoreset_mode(mode: Any) -> AutoresetMode:
    """The mode of a name: as Gymnasium writes it ("NextStep"), or "next_step"."""
    if isinstance(mode, AutoresetMode):
        return mode
    plain = str(mode).replace("_", "").replace("-", "").lower()
    for known in AutoresetMode:
        if plain == known.value.lower():
            return known
    raise WorldError(f"autoreset_mode is {mode!r}; known are next_step, same_step and disabled")


def seeds_of(seed: int | Iterable[int | None] | None, count: int) -> list[int | None]:
    """A seed for each of `count` environments: seed + i, or as listed, or None."""
    if seed is None:
        return [None] * count
    if isinstance(seed, int | np.integer):
        return [int(seed) + i for i in range(count)]
    if not isinstance(seed, Iterable):
        raise WorldError(f"seed is {shown(seed)}; give a whole number, or one for each environment")
    seeds = [None if one is None else check_count("seed", one, least=0) for one in seed]
    if len(seeds) != count:
        raise WorldError(f"seed has {len(seeds)} values for {count} environments")
    return seeds


def check_mask(mask: Any, count: int) -> NDArray[np.bool_]:
    """A reset_mask of `count` environments that names at least one."""
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
        raise WorldError(f"reset_mask is {mask!r}; it must be a NumPy array of bool")
    if mask.shape != (count,) or not mask.any():
        raise WorldError(
            f"reset_mask is {mask.tolist()}; it must have shape ({count},) "
            "and name at least one environment"
        )
    return mask


def numbers(name: str, values: Any) -> NDArray[np.float64]:
    """An array of what an action is given as; None is NaN. Raises WorldError."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise WorldError(f"{name}: {shown(values)} cannot be read as numbers") from None


def check_actions(
    actions: Any, shape: tuple[int, ...] | None, rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Actions of the environments `rows`, clipped to [-1, 1]; `shape` is that of all actions."""
    values = numbers("actions", actions)
    if values.shape != shape:
        raise WorldError(f"actions have shape {values.shape}; they must be {shape}")
    values = values[rows]
    bad = np.isnan(values).any(axis=1)
    if bad.any():
        i = int(bad.argmax())
        raise WorldError(
            f"action of environment {rows[i]} is {values[i].tolist()}; "
            "it must hold numbers from -1 to 1"
        )
    return np.clip(values, -1.0, 1.0)
