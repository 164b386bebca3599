"""Any policy folder as an ONNX file, and a JSON file beside it that says how to run it.

The file takes one frame of one car, with batch size 1, and answers in physical units:

    inputs    camera (1, H, W, 3) uint8 RGB; state (1, K); of other sensors sensor_NAME (1, ...);
              speed (1,) m/s; command (1,) int64; those that the policy takes, and its memory:
              state_NAME
    outputs   curvature (1,) 1/m; acceleration (1,) m/s² if the policy gives one; waypoints
              (1, P, 2) m if it gives those; and the memory after this frame: next_state_NAME

Everything that a policy does is inside: normalization of pixels, scales, limits, and the pure
pursuit controller that follows waypoints (its speed is an input then), so that the curvature
can be driven as it is. The memory is zero at the start of an episode.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from torch import Tensor, nn

from vista_sim.atomic import why_not, write_together
from vista_sim.errors import MissingDependencyError, PolicyError
from vista_sim.policies.foreign import advice

from .actions import in_units
from .networks.network import DrivingNetwork
from .onnx_description import action_names, describe, example_frame, input_names, tensor_name
from .policy import NetworkPolicy, PolicySpec, load
from .threads import one_thread

FILE = "policy.onnx"
TOLERANCE = 1e-4  # in units of the policy's scales; of the state, absolute and relative
_STEPS = 8  # of random input, in the check
OPSET = 18
_NEEDED = ("onnx", "onnxruntime", "onnxscript")


@dataclass(frozen=True)
class Export:
    """Write a policy as an ONNX file that runs without PyTorch, and check that it answers alike."""

    policy: Path
    """Policy folder."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=("-o",))] = None
    """ONNX file to write; a JSON file of the same name and .json describes it. By default
    policy.onnx in the policy folder."""
    overwrite: bool = False
    """Replace the file if it is there."""
    json: bool = False
    """Print the result as JSON."""

    @property
    def path(self) -> Path:
        return self.policy / FILE if self.out is None else self.out


@dataclass(frozen=True)
class Exported:
    """What was written, and how far it is from PyTorch."""

    path: Path
    description: Path
    largest_difference: float  # in units of the policy's scales
    steps: int  # that were compared


def export_policy(recipe: Export) -> Exported:
    """Write `recipe.path` and its description, each whole or not at all.

    Raises:
        PolicyError: the policy folder cannot be used, the file exists, cannot be written, or
            answers otherwise than the policy does.
        MissingDependencyError: a package of the extra `onnx` is not installed.
    """
    path = recipe.path
    description = path.with_name(path.name + ".json")
    if path.suffix != ".onnx":
        raise PolicyError(f"{path}: the name of an ONNX file must end in .onnx")
    for file in (path, description):
        if file.exists() and not recipe.overwrite:
            raise PolicyError(f"{file}: exists already; give --overwrite to replace it")
    _need_onnx()
    if recipe.policy.is_file():
        raise PolicyError(f"{recipe.policy}: {advice(recipe.policy)}")
    policy = load(recipe.policy)
    data = to_onnx(policy.network, policy.spec)
    difference = largest_difference(data, policy)
    if not difference <= TOLERANCE:  # NaN is not
        raise PolicyError(
            f"{recipe.policy}: its ONNX form answers otherwise, by {difference:.2g} of the scale "
            f"of its action; at most {TOLERANCE:g} can be; nothing was written"
        )
    values = describe(policy.spec, policy.network, data, OPSET)
    values["checked"] = {"steps": _STEPS, "largest_difference": difference}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(values, indent=2) + "\n"
        # The description first: it names the model's hash, so that where a kill parts the two,
        # it fits no model of before, and none is left to another description.
        write_together([(description, text.encode()), (path, data)])
    except OSError as error:
        raise PolicyError(f"{path}: {why_not(error)}") from None
    return Exported(path, description, difference, _STEPS)


class Drive(nn.Module):
    """One step of a policy as a function of tensors: inputs and state in, action and state out.

    Args:
        network, spec: of the policy.
    """

    def __init__(self, network: DrivingNetwork, spec: PolicySpec) -> None:
        super().__init__()
        self.network, self.spec = network, spec
        self.inputs = input_names(spec)
        self.memory = list(network.initial_state(1))

    @property
    def input_names(self) -> list[str]:
        inputs = [tensor_name(name) for name in self.inputs]
        return [*inputs, *(f"state_{name}" for name in self.memory)]

    @property
    def output_names(self) -> list[str]:
        return [*action_names(self.spec), *(f"next_state_{name}" for name in self.memory)]

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        """Tensors in the order of `input_names` to those of `output_names`."""
        inputs = dict(zip(self.inputs, values, strict=False))
        state = dict(zip(self.memory, values[len(self.inputs) :], strict=True))
        head, scales = self.spec.network.head, self.spec.scales
        numbers, state = self.network.step(inputs, state)
        speed = inputs["speed"] if "speed" in inputs else torch.zeros_like(numbers[:, 0])
        action = in_units(numbers, head, scales, speed)
        return (
            *(action[name] for name in action_names(self.spec)),
            *(state[name] for name in self.memory),
        )


def to_onnx(network: DrivingNetwork, spec: PolicySpec) -> bytes:
    """The ONNX file of a policy."""
    drive = Drive(network.eval(), spec).eval()
    values = example_frame(spec, torch.Generator().manual_seed(0))
    state = network.initial_state(1)
    arguments = (*(values[name] for name in drive.inputs), *state.values())
    with torch.inference_mode(mode=False), torch.no_grad(), _quiet():
        program = torch.onnx.export(
            drive,
            arguments,
            input_names=drive.input_names,
            output_names=drive.output_names,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
        )
    assert program is not None
    data: bytes = program.model_proto.SerializeToString()
    return data


def largest_difference(data: bytes, policy: NetworkPolicy, steps: int = _STEPS) -> float:
    """How far the ONNX file is from the policy over some steps of random input.

    Both carry their own state from zero. The action is compared in units of the policy's
    scales, the state absolutely up to 1 and relatively beyond.
    """
    session = open_session(data)
    drive = Drive(policy.network, policy.spec).eval()
    scales = policy.spec.scales
    units = {
        "curvature": scales.curvature_scale,
        "acceleration": scales.acceleration_scale,
        "waypoints": scales.waypoint_scale,
    }
    state = list(policy.network.initial_state(1).values())
    carried = [tensor.numpy() for tensor in state]
    generator = torch.Generator().manual_seed(1)
    actions = len(action_names(policy.spec))
    worst = 0.0
    for _ in range(steps):
        values = [example_frame(policy.spec, generator)[name] for name in drive.inputs]
        with torch.inference_mode(), one_thread():
            wanted = [tensor.numpy() for tensor in drive(*values, *state)]
        given = [tensor.numpy() for tensor in values] + carried
        found = session.run(None, dict(zip(drive.input_names, given, strict=True)))
        state, carried = [torch.from_numpy(array) for array in wanted[actions:]], found[actions:]
        for name, a, b in zip(drive.output_names, found, wanted, strict=True):
            unit = units.get(name) or np.maximum(1.0, np.abs(b))
            difference = float((np.abs(a - b) / unit).max(initial=0.0))
            worst = difference if not difference <= worst else worst  # NaN stays
    return worst


def open_session(model: bytes | Path) -> Any:
    """An ONNX Runtime session on one thread of the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def _need_onnx() -> None:
    for name in _NEEDED:
        if importlib.util.find_spec(name) is None:
            raise MissingDependencyError(
                f"{name} is not installed; export needs the extra: pip install 'vista-sim[onnx]'"
            )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells its progress, and what may be wrong with PyTorch's own code."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
