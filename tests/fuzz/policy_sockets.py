"""The sockets of policies: a server of hostile clients, and a client of hostile servers."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .plans import Command

ANSWER = 0.01  # 1/m; what the served policy answers
PATIENCE = 15.0  # s that a server may take with what is said to it
IDLE = 64  # connections that say nothing
#: What a client sends: which messages, of which the damaged one is among them.
CONVERSATIONS = ("hello", "hello reset", "hello act", "hello reset act act")


class Steady:
    """A policy that always answers alike, whatever it is shown."""

    camera = None

    def reset(self):
        pass

    def act(self, observation, car=None):
        from vista_sim.policies import Action

        return Action(ANSWER)


def run(chosen: Command, folder: Path) -> int:
    """`served MESSAGE...`: say so to a server; `evaluate ...`: drive by a hostile server."""
    if chosen.argv[0] == "served":
        return _serve(chosen.argv[1:], folder)
    return _drive(chosen, folder)


def _serve(messages: tuple[str, ...], folder: Path) -> int:
    """Serve a policy to who says the messages, then to a client in order."""
    from vista_sim.policies import PolicyServer

    server = PolicyServer(Steady, "127.0.0.1:0")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        where = server.address.where
        if messages == ("idle",):
            held = [socket.create_connection(where) for _ in range(IDLE)]
            time.sleep(0.3)
            _ask(server.address)
            for connection in held:
                connection.close()
        else:
            _say(where, [_content(folder / f"{name}.msg") for name in messages])
            _ask(server.address)
    finally:
        server.close()
        thread.join(5)
    return 0


def _say(where, messages: list[bytes]) -> None:
    """Send all, then read to the end. Raises TimeoutError where the server does not come to it."""
    with socket.create_connection(where) as connection:
        connection.settimeout(PATIENCE)
        try:
            for data in messages:
                connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
        except TimeoutError:
            raise
        except OSError:
            pass  # the server has closed the connection


def _ask(address) -> None:
    """Be a client in order. Raises where it is not served."""
    from vista_sim.policies import SocketPolicy

    policy = SocketPolicy(str(address), step_timeout=PATIENCE)
    policy.reset()
    answer = policy.act({"speed": 3.0})
    assert answer.curvature == ANSWER, answer
    policy.close()


def _drive(chosen: Command, folder: Path) -> int:
    """Drive by a server that answers the case's messages, one after another, and then goes."""
    from .plans import Command, run_command

    listener = socket.create_server(("127.0.0.1", 0))
    answers = [folder / f"{name}.msg" for name in ("ready", "done", "action")]
    if any(word == "error" for word in chosen.argv):
        answers[2] = folder / "error.msg"
    thread = threading.Thread(target=_play, args=(listener, [_content(a) for a in answers]))
    thread.start()
    try:
        address = f"socket:127.0.0.1:{listener.getsockname()[1]}"
        words = tuple(address if word in ("ADDRESS", "error") else word for word in chosen.argv)
        return run_command(Command(words), folder)
    finally:
        with contextlib.suppress(OSError):  # wakes an accept that still waits
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def _play(listener: socket.socket, answers: list[bytes]) -> None:
    with contextlib.suppress(OSError):
        listener.settimeout(PATIENCE)
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(PATIENCE)
            for answer in answers:
                head = connection.recv(4, socket.MSG_WAITALL)
                if len(head) < 4:
                    return
                connection.recv(struct.unpack(">I", head)[0], socket.MSG_WAITALL)
                connection.sendall(answer)


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""
