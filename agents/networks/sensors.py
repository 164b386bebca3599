"""How a network takes what sensors read: by which encoder, and whether the two fit.

A camera is seen by a network for images, each by its own; the state vector goes through the
perceptron; any other reading that is an array of numbers goes through one, too, scaled by the
bounds of its space.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from vista_sim.errors import PolicyError
from vista_sim.sensors.spec import CameraSpec, SensorSpec, StateSpec, check_sensors
from vista_sim.sensors.state_vector import STATE_NAMES

from .cnn import PilotNetConfig
from .encoders import EncoderConfig, ImageEncoderConfig, reading_shape
from .mlp import ReadingMLPConfig, StateMLPConfig
from .network import NetworkConfig

UNBOUNDED = 1e6  # a bound beyond says nothing of how large readings are


def network_for_sensors(network: NetworkConfig, sensors: Mapping[str, SensorSpec]) -> NetworkConfig:
    """The network as it takes these sensors.

    Encoders that fit stay as they are. Cameras are seen by encoders as the network's own, if it
    sees images.

    Raises:
        WorldError: sensors that cannot be; see `check_sensors`.
        PolicyError: a sensor whose readings no network takes.
    """
    known, found = network.encoders, dict[str, EncoderConfig]()
    for name, spec in check_sensors(sensors).items():
        shape = _shape(name, spec)
        if name in known and reading_shape(known[name]) == shape:
            found[name] = known[name]
        else:
            found[name] = _encoder_for(name, spec, network.encoder)
    first = None
    for name in (CameraSpec.kind, StateSpec.kind):
        one = found.get(name)
        if first is None and not isinstance(one, ReadingMLPConfig | None):
            first = one
            del found[name]
    return dataclasses.replace(network, encoder=first, further=found)


def own_sensors(
    network: NetworkConfig, fov: float | None = None, mount: NDArray[np.float64] | None = None
) -> dict[str, SensorSpec]:
    """The camera or the state vector that a network takes where no other sensors are asked for.

    Args:
        network: that takes it.
        fov, mount: of the camera, see `CameraSpec`.
    """
    if network.camera_size is not None:
        return {CameraSpec.kind: CameraSpec(network.camera_size, fov, mount)}
    return {} if network.encoder is None else {StateSpec.kind: StateSpec()}


def check_fit(network: NetworkConfig, sensors: Mapping[str, SensorSpec]) -> None:
    """Raise PolicyError unless a network takes these sensors, and no others."""
    encoders = network.encoders
    if encoders.keys() != sensors.keys():
        raise PolicyError(
            f"the policy observes {_listed(sensors)}; the network takes {_listed(encoders)}"
        )
    for name, spec in sensors.items():
        found, wanted = _shape(name, spec), reading_shape(encoders[name])
        if found != wanted:
            raise PolicyError(
                f"sensor {name!r} reads {_sides(found)}; the network takes {_sides(wanted)}"
            )


def _shape(name: str, spec: SensorSpec) -> tuple[int, ...]:
    """Of a reading. Raises PolicyError."""
    if isinstance(spec, CameraSpec):  # without making its space, which is as large as the image
        return (*spec.size, 3)
    if isinstance(spec, StateSpec):
        return (len(STATE_NAMES),)
    return _box(name, spec).shape


def _box(name: str, spec: SensorSpec) -> spaces.Box:
    space = spec.space()
    if not isinstance(space, spaces.Box):
        raise PolicyError(
            f"sensor {name!r} reads a {type(space).__name__}; networks take arrays (Box) alone"
        )
    return space


def _encoder_for(
    name: str, spec: SensorSpec, main: ImageEncoderConfig | StateMLPConfig | None
) -> EncoderConfig:
    """The encoder of a sensor, in a network with `main`."""
    if isinstance(spec, CameraSpec):
        seeing = main if isinstance(main, ImageEncoderConfig) else PilotNetConfig()
        try:
            return dataclasses.replace(seeing, size=(spec.size[0], spec.size[1]))
        except ValueError as error:
            raise PolicyError(f"sensor {name!r}: no network takes it ({error})") from None
    if isinstance(spec, StateSpec):
        return main if isinstance(main, StateMLPConfig) else StateMLPConfig()
    space = _box(name, spec)
    low, high = (np.asarray(side, np.float64).reshape(-1) for side in (space.low, space.high))
    bounded = (np.abs(low) < UNBOUNDED) & (np.abs(high) < UNBOUNDED) & (high > low)
    middle = np.where(bounded, 0.5 * (low + high), 0.0)
    scale = np.where(bounded, 0.5 * (high - low), 1.0)
    return ReadingMLPConfig(space.shape, _numbers(middle, 0.0), _numbers(scale, 1.0))


def _numbers(values: NDArray[np.float64], default: float) -> tuple[float, ...]:
    """One for all where they are the same."""
    if len(values) == 0 or (values == values[0]).all():
        return (float(values[0]) if len(values) else default,)
    return tuple(values.tolist())


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _sides(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "one number"
