"""What the simulator knows of a policy: what it observes, and what it asks of the car."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vista_sim.dynamics.action import Action
from vista_sim.errors import PolicyError, WorldError
from vista_sim.files import shown
from vista_sim.sensors.spec import CameraSpec, SensorSpec, check_sensors, first_camera

if TYPE_CHECKING:
    from vista_sim.world import Car


@runtime_checkable
class Policy(Protocol):
    """Anything that can drive.

    It says what it observes as `sensors`, specs by name (see `sensors.spec.check_sensors`); or, if
    that is one camera or nothing, as `camera`: a CameraSpec, or None. See `policy_sensors`.
    """

    def reset(self) -> None:
        """Forget everything: a new episode begins."""

    def act(self, observation: Mapping[str, Any], car: Car | None = None) -> Action:
        """Choose an action.

        Args:
            observation: what each of its sensors read, such as "camera": uint8 (height, width,
                3); "speed": float32 (1,), m/s; "command": a navigation command, where the trace
                has labels with that key.
            car: for privileged experts alone.
        """


@runtime_checkable
class SalientPolicy(Policy, Protocol):
    """A policy that can say what it looked at."""

    def saliency(self) -> NDArray[np.float32] | None:
        """Where the answer of the last `act` came from; it changes none of those that follow.

        Returns:
            (height, width) of its camera, from 0 to 1; None where there is nothing to say.
        """


def check_policy(policy: Any, what: str) -> None:
    """Refuse what is no policy, in words that begin with `what`. Raises PolicyError."""
    told = hasattr(policy, "camera") or hasattr(policy, "sensors")
    if isinstance(policy, type) or not isinstance(policy, Policy) or not told:
        raise PolicyError(
            f"{what} {shown(policy)}, which is no policy: it needs reset(), act(observation, "
            "car) and camera, or sensors"
        )
    try:
        policy_sensors(policy)
    except PolicyError as error:
        raise PolicyError(f"{what} a policy whose {error}") from None


def policy_sensors(policy: Any) -> dict[str, SensorSpec]:
    """What a policy observes, by name: its `sensors`, or its `camera` alone.

    Raises:
        PolicyError: it does not say so as it must.
    """
    sensors = getattr(policy, "sensors", None)
    if sensors is None:
        camera = getattr(policy, "camera", None)
        if not (camera is None or isinstance(camera, CameraSpec)):
            raise PolicyError(
                f"camera is {shown(camera)}; it must be a vista_sim.CameraSpec or None"
            )
        return {} if camera is None else {CameraSpec.kind: camera}
    try:
        return check_sensors(sensors)
    except WorldError as error:
        raise PolicyError(f"sensors cannot be used: {error}") from None


def policy_camera(policy: Any) -> CameraSpec | None:
    """The first camera of a policy, None without one. Raises PolicyError as `policy_sensors`."""
    return first_camera(policy_sensors(policy))


def place_of_command(command: Any, known: Sequence[str], default: str) -> int:
    """Place of a navigation command among those that a policy knows.

    Args:
        command: its name or number, as observed; None: `default`.
        known: their names.

    Raises:
        PolicyError: there is no such command.
    """
    if command is None:
        command = default
    if isinstance(command, np.ndarray) and command.size == 1:
        command = command.item()
    if isinstance(command, str) and command in known:
        return known.index(command)
    if isinstance(command, int | np.integer) and 0 <= command < len(known):
        return int(command)
    raise PolicyError(f"command {command!r} is unknown; known: {', '.join(known)}")
