"""Drives by any ONNX model that a JSON file beside it describes (format in ../README.md)."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.dynamics.action import Action
from vista_sim.errors import PolicyError, PolicyRaisedError
from vista_sim.files import one_line
from vista_sim.identity.files import content_digest
from vista_sim.onnx_session import open_session
from vista_sim.policies.onnx.camera import CameraInput
from vista_sim.policies.onnx.description import Input, check_model, read
from vista_sim.policies.onnx.files import description_path, read_description
from vista_sim.policies.onnx.numbers import ReadingInput, SpeedInput
from vista_sim.policies.onnx.tensors import tensor_infos
from vista_sim.sensors.spec import first_camera

if TYPE_CHECKING:
    from vista_sim.world import Car


class OnnxPolicy:
    """A policy in ONNX format; it remembers from one `act` to the next, and `reset` forgets.

    Args:
        path: of the model; NAME.json or NAME.onnx.json beside it describes it.

    Raises:
        PolicyError: a file cannot be read, or the description is wrong or does not fit the model.
        MissingDependencyError: ONNX Runtime is not installed.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.description_path = description_path(self.path)
        values = read_description(self.description_path)
        check_model(values, self.description_path, content_digest(self.path, PolicyError))
        self._session = open_session(self.path, "policies in ONNX format", PolicyError)
        self.description = read(
            values,
            self.description_path,
            tensor_infos(self._session.get_inputs()),
            tensor_infos(self._session.get_outputs()),
        )
        self.sensors = self.description.sensors
        self.camera = first_camera(self.sensors)
        states = self.description.states
        names = [*self.description.reader.names, *(state.output for state in states)]
        self._wanted = list(dict.fromkeys(names))
        self.reset()

    def reset(self) -> None:
        """Forget: the recurrent state is as at the start, and no frames have been seen."""
        self._state = {state.input: state.start for state in self.description.states}
        self._seen: list[deque[NDArray[Any]]] = [
            deque(maxlen=entry.history.length) for entry in self.description.inputs
        ]

    def act(self, observation: Mapping[str, Any], car: Car | None = None) -> Action:
        """What the model answers, as an action.

        Args:
            observation: of the sensors by name, "speed" and "command", as far as the model takes
                them.
            car: gives the vehicle, where the description does not, and the state vector.

        Raises:
            PolicyNotFiniteError: the model answers with NaN or infinity.
            PolicyRaisedError: the model does not run on its inputs.
            PolicyError: something that the model takes is not observed.
        """
        fed = {
            entry.tensor.name: self._input(entry, seen, observation, car)
            for entry, seen in zip(self.description.inputs, self._seen, strict=True)
        }
        try:
            found = self._session.run(self._wanted, {**fed, **self._state})
        except Exception as error:  # ONNX Runtime's own classes, without a common base
            raise PolicyRaisedError(
                f"{self.path}: does not run on its inputs ({one_line(error)})"
            ) from None
        answers = dict(zip(self._wanted, map(np.asarray, found), strict=True))
        for state in self.description.states:  # one that grows would take all memory in the end
            if answers[state.output].shape != state.start.shape:
                raise PolicyRaisedError(
                    f"{self.path}: output {state.output!r} has the shape "
                    f"{answers[state.output].shape}; the state that it goes on with has "
                    f"{state.start.shape}"
                )
        self._state = {state.input: answers[state.output] for state in self.description.states}
        speed = 0.0
        if self.description.reader.needs_speed:
            speed = float(np.asarray(self._observed(observation, "speed")).reshape(-1)[0])
        vehicle = None if car is None else car.vehicle
        return self.description.reader.action(answers, speed, vehicle)

    def _input(
        self,
        entry: Input,
        seen: deque[NDArray[Any]],
        observation: Mapping[str, Any],
        car: Car | None,
    ) -> NDArray[Any]:
        if isinstance(entry, CameraInput | ReadingInput):
            self._observed(observation, entry.sensor)
        elif isinstance(entry, SpeedInput):
            self._observed(observation, "speed")
        seen.append(entry.frame(observation, car))
        return entry.arrange(entry.history.choose(seen))

    def _observed(self, observation: Mapping[str, Any], name: str) -> Any:
        if name not in observation:
            raise PolicyError(
                f"{self.description_path}: the policy takes {name!r}, which is not observed"
            )
        return observation[name]
