"""The JSON file beside an exported policy: how each input is made, and what the outputs mean.

Format "vista-onnx-policy/1"; vista_sim/policies/README.md has all of it, for any model. Here:

    name             for tables
    model            sha256 of the ONNX file; its opset
    sensors          what the policy observes, by name, as in policy.json
    history          frames that an input holds; 1
    inputs           of each: name, dtype, shape, and `what` it is:
                     camera: name of the sensor, layout, colour; crop and resize before it
                         enters (null: neither); what pixels 0..255 are multiplied by (scale),
                         less mean, over std
                     reading: name of the sensor, of whose numbers it is made
                     speed: unit
                     state_vector: the simulator's, of the car; name and unit of its entries
                     command: the number of one of `values`
    recurrent_state  of each: input, output, dtype, shape, and the number that all of it is at
                     the start of an episode
    outputs          of each: name, shape, unit and `what` it is: curvature or acceleration, with
                     the scale that makes it physical and its limit; waypoints, at `distances`
                     along the way, which the curvature follows by the `controller` named
    checked          steps of random input in which it was compared with PyTorch, and the
                     largest difference, in units of the policy's scales
"""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor

from vista_sim.policies.onnx.files import FORMAT
from vista_sim.sensors.registry import spec_to_json
from vista_sim.sensors.spec import CameraSpec, StateSpec
from vista_sim.sensors.state_vector import STATE_NAMES, STATE_UNITS

from .actions import LOOKAHEAD, LOOKAHEAD_TIME
from .networks.inputs import random_inputs
from .networks.network import COMMANDS, DrivingNetwork
from .policy import PolicySpec

_PLAIN = ("camera", "state", "speed", "command")


def input_names(spec: PolicySpec) -> list[str]:
    """What the exported policy is given beside its state, in order."""
    names = list(spec.network.inputs)
    if spec.network.head.outputs == "waypoints" and "speed" not in names:
        names.append("speed")  # for the controller
    return names


def action_names(spec: PolicySpec) -> list[str]:
    """What the exported policy answers beside its state, in order."""
    outputs = spec.network.head.outputs
    further = {"curvature+acceleration": ["acceleration"], "waypoints": ["waypoints"]}
    return ["curvature", *further.get(outputs, [])]


def describe(spec: PolicySpec, network: DrivingNetwork, data: bytes, opset: int) -> dict[str, Any]:
    """What the JSON file says beside the model: how each input is made, what outputs mean."""
    frame = example_frame(spec, torch.Generator().manual_seed(0))
    return {
        "format": FORMAT,
        "name": spec.name,
        "model": {"sha256": hashlib.sha256(data).hexdigest(), "opset": opset},
        "sensors": {name: spec_to_json(one) for name, one in spec.sensors.items()},
        "history": 1,
        "inputs": [_input(name, frame[name], spec) for name in input_names(spec)],
        "recurrent_state": [
            {
                "input": f"state_{name}",
                "output": f"next_state_{name}",
                "dtype": "float32",
                "shape": list(tensor.shape),
                "initial": 0.0,
            }
            for name, tensor in network.initial_state(1).items()
        ],
        "outputs": [_output(name, spec) for name in action_names(spec)],
    }


def tensor_name(name: str) -> str:
    """What an input is called in the ONNX file, where outputs have names, too."""
    return name if name in _PLAIN else f"sensor_{name}"


def _input(name: str, example: Tensor, spec: PolicySpec) -> dict[str, Any]:
    dtype = str(example.dtype).removeprefix("torch.")
    shape = list(example.shape)
    return {"name": tensor_name(name), "dtype": dtype, "shape": shape, **_meaning(name, spec)}


def _meaning(name: str, spec: PolicySpec) -> dict[str, Any]:
    if name == "speed":
        return {"what": "speed", "unit": "m/s"}
    if name == "command":
        return {"what": "command", "values": list(COMMANDS)}
    if name == StateSpec.kind:
        entries = [
            {"name": entry, "unit": unit}
            for entry, unit in zip(STATE_NAMES, STATE_UNITS, strict=True)
        ]
        return {"what": "state_vector", "entries": entries}
    if not isinstance(spec.sensors[name], CameraSpec):
        return {"what": "reading", "sensor": name}
    # Pixels as the camera gives them: neither cropped nor resized nor normalized.
    return {
        "what": "camera",
        "sensor": name,
        "layout": "NHWC",
        "colour": "RGB",
        "crop": None,
        "resize": None,
        "scale": 1.0,
        "mean": 0.0,
        "std": 1.0,
    }


def _output(name: str, spec: PolicySpec) -> dict[str, Any]:
    scales, head = spec.scales, spec.network.head
    if name == "waypoints":
        return {
            "name": name,
            "what": "waypoints",
            "dtype": "float32",
            "shape": [1, len(head.waypoints), 2],
            "unit": "m",
            "frame": "vehicle: x forward, y left",
            "distances": list(head.waypoints),
            "controller": {
                "kind": "pure-pursuit",
                "lookahead": LOOKAHEAD,
                "lookahead_time": LOOKAHEAD_TIME,
            },
        }
    unit, limit = {
        "curvature": ("1/m", scales.curvature_limit),
        "acceleration": ("m/s²", scales.acceleration_limit),
    }[name]
    return {
        "name": name,
        "what": name,
        "dtype": "float32",
        "shape": [1],
        "unit": unit,
        "scale": 1.0,
        "limit": limit,
    }


def example_frame(spec: PolicySpec, generator: torch.Generator) -> dict[str, Tensor]:
    """Random inputs of one step, with the speed that a controller of waypoints needs."""
    values = random_inputs(spec.network, (1,), generator)
    values.setdefault("speed", 20.0 * torch.rand(1, generator=generator))
    return values
