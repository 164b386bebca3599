"""The whole of a description, checked against its model."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vista_sim.errors import PolicyError
from vista_sim.policies.onnx import camera as images
from vista_sim.policies.onnx import numbers
from vista_sim.policies.onnx.camera import CameraInput, read_camera_input
from vista_sim.policies.onnx.fields import Fields
from vista_sim.policies.onnx.history import History, read_history
from vista_sim.policies.onnx.outputs import ActionReader, read_outputs
from vista_sim.policies.onnx.tensors import (
    STATE_FIELDS,
    RecurrentState,
    TensorInfo,
    named_tensor,
    read_state,
)
from vista_sim.sensors.registry import read_camera, read_sensors
from vista_sim.sensors.spec import CameraSpec, SensorSpec, StateSpec, cameras_of

FIELDS = (
    "format",
    "name",
    "comment",
    "model",
    "camera",
    "sensors",
    "history",
    "inputs",
    "recurrent_state",
    "outputs",
    "vehicle",
    "checked",
)
INPUTS = {
    "camera": images.FIELDS,
    "speed": numbers.SPEED_FIELDS,
    "state_vector": numbers.STATE_VECTOR_FIELDS,
    "reading": numbers.READING_FIELDS,
    "command": numbers.COMMAND_FIELDS,
    "constant": numbers.CONSTANT_FIELDS,
}
Input = (
    CameraInput
    | numbers.SpeedInput
    | numbers.StateVectorInput
    | numbers.ReadingInput
    | numbers.CommandInput
    | numbers.ConstantInput
)


@dataclass(frozen=True)
class Description:
    """What a JSON file says of a model.

    Args:
        name: for tables.
        sensors: of the policy, by name.
        inputs: of the model, apart from what is recurrent.
        states: what is recurrent.
        reader: makes actions of the outputs.
    """

    name: str
    sensors: dict[str, SensorSpec]
    inputs: tuple[Input, ...]
    states: tuple[RecurrentState, ...]
    reader: ActionReader


def check_model(values: Any, file: Path, sha256: str) -> None:
    """Check that a description is of a model; to be called before that is opened.

    Args:
        values: of the JSON file.
        file: for messages.
        sha256: of the model's file.

    Raises:
        PolicyError: the description names another hash.
    """
    model = Fields(values, file, "", FIELDS).object("model", ("sha256", "opset"))
    if model is not None and model.given("sha256") and model.values["sha256"] != sha256:
        raise model.wrong("sha256", f"that of the model beside it, {sha256}; export both again")


def read(
    values: Any,
    file: Path,
    inputs: dict[str, TensorInfo],
    outputs: dict[str, TensorInfo],
) -> Description:
    """Check a description against its model.

    Args:
        values: of the JSON file.
        file: for messages.
        inputs, outputs: of the model.

    Raises:
        PolicyError: a field is missing, unknown or wrong, or does not fit the model.
    """
    fields = Fields(values, file, "", FIELDS)
    sensors = _read_sensors(fields)
    history = read_history(fields, History())
    listed = fields.listed("inputs", "a list of objects, one for each input of the model", True)
    described = tuple(_read_input(fields, *entry, inputs, sensors, history) for entry in listed)
    recurrent = fields.listed("recurrent_state", "a list of objects", True, [])
    states = tuple(
        read_state(Fields(entry, file, path, STATE_FIELDS), inputs, outputs)
        for entry, path in recurrent
    )
    _check_complete(file, inputs, [i.tensor.name for i in described] + [s.input for s in states])
    _check_used(fields, sensors, described)
    return Description(
        name=fields.text("name", default=file.stem),
        sensors={name: _with_used(name, spec, described) for name, spec in sensors.items()},
        inputs=described,
        states=states,
        reader=read_outputs(fields, outputs),
    )


def _read_input(
    fields: Fields,
    values: Any,
    path: str,
    tensors: dict[str, TensorInfo],
    sensors: Mapping[str, SensorSpec],
    history: History,
) -> Input:
    every = tuple(dict.fromkeys(name for names in INPUTS.values() for name in names))
    what = Fields(values, fields.file, path, every).choice("what", tuple(INPUTS))
    entry = Fields(values, fields.file, path, INPUTS[what])
    tensor = named_tensor(entry, "name", tensors, "input")
    if what == "camera":
        return read_camera_input(entry, tensor, cameras_of(sensors), history)
    if what == "speed":
        return numbers.read_speed_input(entry, tensor, history)
    if what == "state_vector":
        return numbers.read_state_input(entry, tensor, history)
    if what == "reading":
        return numbers.read_reading_input(entry, tensor, sensors, history)
    if what == "command":
        return numbers.read_command_input(entry, tensor, history)
    return numbers.read_constant_input(entry, tensor)


def _read_sensors(fields: Fields) -> dict[str, SensorSpec]:
    """Those of `sensors` by name, or of `camera` the one."""
    if "sensors" not in fields.values:
        camera = _read_camera(fields)
        return {} if camera is None else {CameraSpec.kind: camera}
    if "camera" in fields.values:
        raise fields.wrong("camera", "left out where there is a field sensors")
    sensors = read_sensors(fields.values["sensors"], fields.place("sensors"), PolicyError)
    for name, spec in sensors.items():
        if isinstance(spec, CameraSpec):
            _check_mount(spec, fields.place(f"sensors.{name}"))
    return sensors


def _check_mount(spec: CameraSpec, place: str) -> None:
    from vista_sim.sensors.camera import check_mount

    if spec.mount is not None:
        try:
            check_mount(spec.mount)
        except ValueError as error:
            raise PolicyError(f"{place}.mount: {error}") from None


def _read_camera(fields: Fields) -> CameraSpec | None:
    if "camera" not in fields.values:
        raise fields.wrong("camera", 'an object such as {"size": [66, 200]}, or null for none')
    camera = fields.object("camera", ("size", "fov", "mount", "lens"))
    if camera is None:
        return None
    wanted = f"[height, width] in pixels, each from 1 to {images.MAX_SIDE}"
    size = camera.sizes("size", wanted, images.MAX_SIDE)
    if size is None or len(size) != 2:
        raise camera.wrong("size", wanted)
    if camera.given("fov"):
        camera.number("fov", wanted="the horizontal field of view in rad")
    spec = read_camera(camera.values, f"{fields.file}: field 'camera'", PolicyError)
    _check_mount(spec, fields.place("camera"))
    return spec


def _with_used(name: str, camera: SensorSpec, inputs: Sequence[Input]) -> SensorSpec:
    """A camera with the smallest box around what the inputs keep of its image."""
    kept = [entry for entry in inputs if isinstance(entry, CameraInput) and entry.sensor == name]
    if not kept or not isinstance(camera, CameraSpec):
        return camera
    rows, columns = [entry.rows for entry in kept], [entry.columns for entry in kept]
    box = (
        min(span.start for span in rows),
        max(span.stop for span in rows),
        min(span.start for span in columns),
        max(span.stop for span in columns),
    )
    if box == (0, camera.size[0], 0, camera.size[1]):
        return camera
    return dataclasses.replace(camera, used=box)


def _check_used(fields: Fields, sensors: Mapping[str, SensorSpec], inputs: Sequence[Input]) -> None:
    """Every sensor but cameras is what some input is made from."""
    used = {entry.sensor for entry in inputs if isinstance(entry, numbers.ReadingInput)}
    if any(isinstance(entry, numbers.StateVectorInput) for entry in inputs):
        used.add(StateSpec.kind)
    for name, spec in sensors.items():
        if name not in used and not isinstance(spec, CameraSpec):
            raise PolicyError(f"{fields.place(f'sensors.{name}')} is read by no input")


def _check_complete(file: Path, inputs: dict[str, TensorInfo], described: Sequence[str]) -> None:
    """Every input of the model is described, once."""
    for name in inputs:
        if name not in described:
            raise PolicyError(
                f"{file}: input {name!r} of the model is not described; add it to inputs, or to "
                "recurrent_state"
            )
    name, times = Counter(described).most_common(1)[0] if described else ("", 0)
    if times > 1:
        raise PolicyError(f"{file}: input {name!r} of the model is described twice")
