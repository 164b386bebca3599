"""Drives by a policy that another process serves."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any

from vista_sim.dynamics.action import Action
from vista_sim.errors import (
    PolicyDiedError,
    PolicyError,
    PolicyFailureError,
    PolicyNotFiniteError,
    PolicyRaisedError,
    PolicyTimeoutError,
)
from vista_sim.files import one_line, shown
from vista_sim.policies.policy import policy_camera
from vista_sim.policies.remote.address import Address
from vista_sim.policies.remote.wire import (
    MAX_REPLY,
    PROTOCOL,
    ClosedError,
    WireError,
    receive,
    send,
)
from vista_sim.policies.version import MAX_VERSION
from vista_sim.sensors.registry import read_camera, read_sensors
from vista_sim.sensors.spec import CameraSpec, SensorSpec
from vista_sim.version import __version__

if TYPE_CHECKING:
    from vista_sim.world import Car

_FAILURES: dict[str, type[PolicyFailureError]] = {
    failure.kind: failure
    for failure in (PolicyRaisedError, PolicyTimeoutError, PolicyNotFiniteError, PolicyDiedError)
}
_RETRY = 0.05  # s


class SocketPolicy:
    """A policy at a loopback port or a Unix socket.

    After a failure that leaves the connection unusable the next `reset` connects anew.

    Args:
        address: HOST:PORT or PATH, with or without "socket:" before it.
        connect_timeout: s in which somebody must begin to listen there, and answer.
        step_timeout: s in which each answer must come.

    Raises:
        PolicyError: nobody listens there, or who does is no policy of this protocol.
        MissingDependencyError: msgpack is not installed.
    """

    def __init__(
        self, address: str, connect_timeout: float = 5.0, step_timeout: float = 60.0
    ) -> None:
        for name, value in (("connect", connect_timeout), ("step", step_timeout)):
            if not value > 0:
                raise PolicyError(f"{name}_timeout is {value} s; it must be positive")
        self.address = Address.parse(address)
        self.connect_timeout, self.step_timeout = connect_timeout, step_timeout
        self._connection: socket.socket | None = None
        self._step = 0
        self.name = ""
        self.sensors: dict[str, SensorSpec] = {}
        self.sensors, self.version = self._connect()
        self.camera = policy_camera(self)

    def reset(self) -> None:
        """A new episode begins. Raises as `act` does."""
        if self._connection is None:
            sensors, version = self._connect()
            if version != self.version:
                self.close()
                raise PolicyError(
                    f"{self.address}: another policy is there: its version was "
                    f"{self.version or 'not declared'}, is {version or 'not declared'}"
                )
            if sensors != self.sensors:
                self.close()
                raise PolicyError(f"{self.address}: another policy with other sensors is there")
        self._step = 0
        self._ask({"type": "reset"}, "done", self.step_timeout)

    def act(self, observation: Mapping[str, Any], car: Car | None = None) -> Action:
        """What the policy answers.

        Args:
            observation: numbers, text and arrays by name; all of it is sent.
            car: its vehicle and its state vector are sent.

        Raises:
            PolicyTimeoutError: no answer came in time.
            PolicyDiedError: the connection was closed.
            PolicyNotFiniteError: the action is not finite, or holds no numbers.
            PolicyRaisedError: the policy raised an error, or the answer is no message.
        """
        request: dict[str, Any] = {"type": "act", "step": self._step, "observation": observation}
        request["car"] = None
        if car is not None:
            request["car"] = {"state": car.state_vector(), "vehicle": car.vehicle.to_json()}
        reply = self._ask(request, "action", self.step_timeout)
        step = reply.get("step")
        if type(step) is not int or step != self._step:
            self.close()
            raise PolicyRaisedError(
                f"{self.address}: answered step {shown(step)} to step {self._step}"
            )
        self._step += 1
        curvature, acceleration = reply.get("curvature"), reply.get("acceleration")
        steering, braking = _number(curvature), _number(acceleration)
        if steering is None or (braking is None and acceleration is not None):
            raise PolicyNotFiniteError(
                f"{self.address}: answered curvature {shown(curvature)} and acceleration "
                f"{shown(acceleration)}; they must be numbers"
            )
        return Action(steering, braking)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> tuple[dict[str, SensorSpec], str]:
        """Connect and shake hands; the sensors that the policy wants, and its version."""
        until = monotonic() + self.connect_timeout
        while self._connection is None:
            left = until - monotonic()
            try:
                self._connection = self.address.connect(max(left, _RETRY))
            except OSError as error:
                if left > 0 and isinstance(error, ConnectionRefusedError | FileNotFoundError):
                    time.sleep(min(_RETRY, left))
                    continue
                raise PolicyError(
                    f"{self.address}: no policy is served there ({error.strerror or error}); "
                    "serve one with: vista-sim serve-policy POLICY --at ADDRESS"
                ) from None
        hello = {
            "type": "hello",
            "protocol": PROTOCOL,
            "client": f"vista-sim {__version__}",
        }
        ready = self._ask(hello, "ready", self.connect_timeout)
        try:
            protocol = ready.get("protocol")
            if not isinstance(protocol, str) or protocol != PROTOCOL:
                raise PolicyError(
                    f"protocol is {shown(protocol)}; this version speaks {PROTOCOL!r}"
                )
            sensors = _read_sensors(ready)
            version = _read_version(ready)
        except PolicyError as error:
            self.close()
            raise PolicyError(f"{self.address}: {error}") from None
        name = ready.get("name", "")
        self.name = name[:200] if isinstance(name, str) else ""
        return sensors, version

    def _ask(self, request: Mapping[str, Any], wanted: str, timeout: float) -> dict[str, Any]:
        """Send a request and receive its answer; what leaves the stream unsure closes it."""
        connection, what = self._connection, request["type"]
        if connection is None:
            raise PolicyDiedError(f"{self.address}: not connected; reset the policy first")
        until = monotonic() + timeout
        whole = False
        try:
            send(connection, request, timeout)
            reply = receive(connection, MAX_REPLY, max(1e-3, until - monotonic()))
            whole = reply["type"] in (wanted, "error")
        except WireError as error:
            raise PolicyRaisedError(f"{self.address}: at {what!r}: the message {error}") from None
        except TimeoutError:
            raise PolicyTimeoutError(
                f"{self.address}: no answer to {what!r} within {timeout:g} s"
            ) from None
        except ClosedError:
            raise PolicyDiedError(f"{self.address}: closed the connection at {what!r}") from None
        except OSError as error:
            raise PolicyDiedError(
                f"{self.address}: the connection broke at {what!r} ({error.strerror or error})"
            ) from None
        finally:
            if not whole:
                self.close()
        if reply["type"] == "error":
            raise self._error(reply)
        if not whole:
            raise PolicyRaisedError(
                f"{self.address}: answered {shown(reply['type'])} to {what!r}; it must be "
                f"{wanted!r} or 'error'"
            )
        return reply

    def _error(self, reply: Mapping[str, Any]) -> PolicyError:
        said, kind = reply.get("message"), reply.get("kind")
        told = said if isinstance(said, str) else "" if said is None else shown(said)
        message = one_line(told) if told else "no message"
        if not isinstance(kind, str):
            return PolicyRaisedError(message)
        if kind == "refused":
            self.close()
            return PolicyError(f"{self.address}: {message}")
        failure = _FAILURES.get(kind)
        return (failure or PolicyRaisedError)(message)


def _read_sensors(ready: Mapping[str, Any]) -> dict[str, SensorSpec]:
    """What the policy observes, by name; of a server that says only `camera`, that one."""
    values, camera = ready.get("sensors"), ready.get("camera")
    if values is None:
        if camera is None:
            return {}
        if not isinstance(camera, Mapping):
            raise PolicyError(f"camera is {shown(camera)}; it must be a map or nil")
        return {CameraSpec.kind: read_camera(camera, "field 'camera'", PolicyError)}
    return read_sensors(values, "field 'sensors'", PolicyError)


def _read_version(ready: Mapping[str, Any]) -> str:
    """What the server says decides how its policy drives; "" where it does not."""
    version = ready.get("version")
    if version is None:
        return ""
    if not isinstance(version, str) or len(version) > MAX_VERSION or not version.isprintable():
        raise PolicyError(
            f"version is {shown(version)}; it must be a text of one line of at most {MAX_VERSION} "
            "characters, or nil"
        )
    return version


def _number(value: Any) -> float | None:
    """A number, finite or not, as a float; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)  # an integer of MessagePack has at most 64 bits
