"""Serves a policy to other processes of this machine."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import PolicyError, PolicyFailureError, TraceError
from vista_sim.identity.policies import declared_version, load_identified
from vista_sim.policies.guard import GuardedPolicy
from vista_sim.policies.policy import Policy
from vista_sim.policies.remote.address import Address
from vista_sim.policies.remote.wire import MAX_REQUEST, PROTOCOL, WireError, receive, send
from vista_sim.traces.calibration import Vehicle

if TYPE_CHECKING:
    from vista_sim.world import Car

HANDSHAKE_TIMEOUT = 10.0  # s
SEND_TIMEOUT = 30.0  # s
MAX_CONNECTIONS = 64

_log = logging.getLogger(__name__)


class PolicyServer:
    """Listens, and gives each connection a thread; a context manager.

    Args:
        policy: a policy, which one connection at a time can use, since it remembers its episode;
            or a callable that makes one for each connection.
        address: HOST:PORT of this machine (port 0: any free one), or the path of a Unix socket.
        name: told to who connects.
        version: told to who connects: a text that changes with all that decides how the policy
            drives; None: that which the policy itself declares as its `version`, if it does.

    Raises:
        PolicyError: the address cannot be used.
    """

    def __init__(
        self,
        policy: Policy | Callable[[], Policy],
        address: str,
        name: str | None = None,
        version: str | None = None,
    ) -> None:
        # A class has all that a policy has, but makes one.
        lone = isinstance(policy, Policy) and not isinstance(policy, type)
        self._lone = cast(Policy, policy) if lone else None
        self._make = cast(Callable[[], Policy], policy)
        self._in_use = threading.Lock()
        self._name = name or type(policy).__name__
        self._version = version
        wanted = Address.parse(address)
        self._listener = wanted.listen()
        where = self._listener.getsockname()
        self.address = Address(wanted.family, where if isinstance(where, str) else where[:2])
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def serve_forever(self) -> None:
        """Serve until `close` is called from another thread."""
        while not self._closed.is_set():
            try:
                connection = self.address.accept(self._listener)
            except OSError:
                if self._closed.is_set():
                    return
                raise
            with self._lock:
                many = len(self._connections) >= MAX_CONNECTIONS
                if not many:
                    self._connections.add(connection)
            if many:
                connection.close()
                continue
            threading.Thread(target=self._attend, args=(connection,), daemon=True).start()

    def close(self) -> None:
        """Stop listening, and close all connections."""
        self._closed.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes a waiting accept
        self._listener.close()
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        if isinstance(self.address.where, str):
            Path(self.address.where).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _attend(self, connection: socket.socket) -> None:
        """Serve one connection to its end."""
        taken = False
        try:
            self._greet(connection)
            if self._lone is not None:
                taken = self._in_use.acquire(blocking=False)
                if not taken:
                    raise _RefusedError(
                        "the policy is in use by another connection; serve a factory, or once more"
                    )
            policy, version = self._make_policy()
            camera = None if policy.camera is None else policy.camera.to_json()
            ready = {"type": "ready", "protocol": PROTOCOL, "name": self._name, "camera": camera}
            ready["version"] = self._version or version or None
            send(connection, ready, SEND_TIMEOUT)
            while True:
                request = receive(connection, MAX_REQUEST, None)
                send(connection, _answer(policy, request), SEND_TIMEOUT)
        except (_RefusedError, WireError) as error:
            message = f"the message {error}" if isinstance(error, WireError) else str(error)
            _say(connection, {"type": "error", "kind": "refused", "message": message})
        except OSError:
            pass  # the other side is gone
        finally:
            if taken:
                self._in_use.release()
            connection.close()
            with self._lock:
                self._connections.discard(connection)

    def _greet(self, connection: socket.socket) -> None:
        hello = receive(connection, MAX_REQUEST, HANDSHAKE_TIMEOUT)
        if hello["type"] != "hello" or hello.get("protocol") != PROTOCOL:
            raise _RefusedError(
                f"first message is {hello['type']!r:.40} of protocol "
                f"{hello.get('protocol')!r:.40}; it must be 'hello' of {PROTOCOL!r}"
            )

    def _make_policy(self) -> tuple[GuardedPolicy, str]:
        """A policy, and the version that is known of it."""
        try:
            if isinstance(self._make, Loader):
                policy, version = self._make.load()
                return GuardedPolicy(policy), version
            policy = self._make() if self._lone is None else self._lone
            return GuardedPolicy(policy), declared_version(policy)
        except Exception as error:
            _log.exception("the policy cannot be made")
            raise _RefusedError(f"the policy cannot be made ({error})") from None


def serve(
    policy: Policy | Callable[[], Policy] | str | Path,
    address: str,
    ready: Callable[[Address], None] | None = None,
    version: str | None = None,
) -> None:
    """Serve a policy to other processes of this machine until interrupted.

    Args:
        policy: see `PolicyServer`; or what `load_policy` takes, loaded for each connection.
        address: HOST:PORT of this machine (port 0: any free one), or the path of a Unix socket.
        ready: called with the address once somebody can connect.
        version: see `PolicyServer`; None: of a folder or an ONNX file, a hash of its files.

    Raises:
        PolicyError: the policy cannot be loaded, or the address cannot be used.
    """
    made = Loader(policy) if isinstance(policy, str | Path) else policy
    name = str(policy) if isinstance(policy, str | Path) else None
    with PolicyServer(made, address, name, version) as server:
        if ready is not None:
            ready(server.address)
        server.serve_forever()


class Loader:
    """Loads a policy at once, to know that it can be, and again for each further connection."""

    def __init__(self, what: str | Path) -> None:
        self.what = what
        self._lock = threading.Lock()
        self._first: tuple[Policy, str] | None = self._load()

    def __call__(self) -> Policy:
        return self.load()[0]

    def load(self) -> tuple[Policy, str]:
        """A policy, and what decides how it drives; "" where that cannot be known."""
        with self._lock:
            first, self._first = self._first, None
        return self._load() if first is None else first

    def _load(self) -> tuple[Policy, str]:
        policy, identity = load_identified(self.what)
        known = (identity.sha256, identity.code, identity.version)
        return policy, "" if identity.unknown else " ".join(part[:64] for part in known if part)


class _RefusedError(Exception):
    """Who connected cannot be served."""


class _RemoteCar:
    """What a policy can ask of a car that drives in another process."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        state, vehicle = values.get("state"), values.get("vehicle")
        if not isinstance(state, np.ndarray) or not isinstance(vehicle, Mapping):
            raise WireError("has a car without a state and a vehicle")
        self._state = state
        try:
            self.vehicle = Vehicle.from_json(vehicle)
        except TraceError as error:
            raise WireError(f"has a car that cannot be ({error})") from None

    def state_vector(self) -> NDArray[np.float32]:
        """See `Car.state_vector`."""
        return np.asarray(self._state, dtype=np.float32)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise PolicyError(
            f"the policy reads car.{name}; over a socket a car has vehicle and state_vector()"
        )


def _answer(policy: GuardedPolicy, request: Mapping[str, Any]) -> dict[str, Any]:
    """Do what a request asks."""
    try:
        if request["type"] == "reset":
            policy.reset()
            return {"type": "done"}
        if request["type"] != "act" or not isinstance(request.get("observation"), Mapping):
            raise WireError(f"is {request['type']!r:.40}; it must be 'reset', or 'act' with a map")
        values = request.get("car")
        car = _RemoteCar(values) if isinstance(values, Mapping) else None
        action = policy.act(request["observation"], cast("Car", car) if car else None)
    except PolicyFailureError as error:
        _log.warning("the policy failed: %s", error, exc_info=error.__cause__)
        return {"type": "error", "kind": error.kind, "message": error.args[0]}
    return {
        "type": "action",
        "step": request.get("step"),
        "curvature": float(action.curvature),
        "acceleration": None if action.acceleration is None else float(action.acceleration),
    }


def _say(connection: socket.socket, message: Mapping[str, Any]) -> None:
    with contextlib.suppress(OSError):
        send(connection, message, SEND_TIMEOUT)
