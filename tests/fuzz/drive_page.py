"""The server of the drive page, and what others than its page say to it."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import struct
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .message_operators import frame

if TYPE_CHECKING:
    from .plans import Command

PATIENCE = 12.0  # s that the server may take with what is said to it
PONG = 7_000_001
TOLD = {"target": "road"}


def run(chosen: Command, folder: Path) -> int:
    """`messages NAME...` over a WebSocket, `frames NAME`, or `requests NAME`."""
    from vista_sim.drive.access import Access
    from vista_sim.drive.link import Link
    from vista_sim.drive.server import DriveServer

    link = Link()
    with DriveServer(link, TOLD, Access("127.0.0.1", None), 0, silence=4.0) as server:
        kind, *names = chosen.argv
        contents = [_content(folder / name) for name in names]
        if kind == "requests":
            for content in contents:
                _talk(server.port, content.replace(b":8700", f":{server.port}".encode()))
        else:
            opened = _opening(server.port)
            said = contents if kind == "frames" else [frame(content) for content in contents]
            _talk(server.port, opened + b"".join(said) + frame(struct.pack(">H", 1000), 8))
        _check_input(link)
        _meet(server.port)
    assert not any(t.name == "drive-server" for t in threading.enumerate()), "the server goes on"
    return 0


def _opening(port: int) -> bytes:
    lines = (
        *("GET /socket HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Origin: http://127.0.0.1:{port}"),
        *("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
        *("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", ""),
    )
    return "\r\n".join(lines).encode()


def _talk(port: int, data: bytes) -> None:
    """Send bytes and read what comes, to the end or until nothing more comes."""
    with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", port)) as one:
        one.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            one.sendall(data)
            while one.recv(65536):
                pass


def _check_input(link) -> None:
    """What the driving thread takes up has to be usable, whatever was sent."""
    given = link.input
    assert -1 <= given.steer <= 1, given
    assert 0 <= given.throttle <= 1, given
    assert 0 <= given.brake <= 1, given
    assert len(link.take_commands()) <= 100


def _meet(port: int) -> None:
    """Be a page in order, with a ping over a WebSocket. Raises where it is not served."""
    until = time.monotonic() + PATIENCE
    while True:  # who was there before may be on its way out
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert answer.status == 200, answer.status
        assert len(answer.read()) > 100
        connection.close()
        if _pinged(port):
            return
        assert time.monotonic() < until, "a page in order gets no answer"
        time.sleep(0.05)


def _pinged(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port)) as one:
        one.settimeout(PATIENCE)
        ping = b'{"type":"ping","id":%d}' % PONG
        mask = os.urandom(4)
        masked = bytes(b ^ mask[i % 4] for i, b in enumerate(ping))
        one.sendall(_opening(port) + bytes([0x81, 0x80 | len(ping)]) + mask + masked)
        got, wanted = b"", str(PONG).encode()
        while wanted not in got and (part := one.recv(65536)):
            got += part
        return wanted in got


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""
