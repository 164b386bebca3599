"""Listens, accepts connections, and keeps only so many."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

from vista_sim.errors import VistaError
from vista_sim.failures import summary

MOST = 32  # connections at a time; a browser holds up to 6 and a WebSocket
RETRY = 0.5  # s after accepting failed, such as for want of file descriptors

_log = logging.getLogger(__name__)


class Connections:
    """Accepts connections to a listening socket, a bounded number of them.

    Where there are too many, the oldest goes, save the one that is kept: so nobody who opens
    connections and says nothing keeps others out, or takes all file descriptors of the drive.

    Args:
        listener: listens, and is closed in the end.
        protocol: makes the protocol of a connection.
        most: how many there may be.

    Attributes:
        kept: the transport that does not go; None: any may.
    """

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        most: int = MOST,
    ) -> None:
        self._listener, self._protocol, self._most = listener, protocol, most
        self._open: list[asyncio.Transport] = []
        self.kept: asyncio.Transport | None = None

    async def accept(self) -> None:
        """Accept until it is cancelled."""
        loop = asyncio.get_running_loop()
        self._listener.setblocking(False)
        try:
            while True:
                try:
                    connection, _ = await loop.sock_accept(self._listener)
                except OSError:
                    await asyncio.sleep(RETRY)
                    continue
                self._make_room()
                try:
                    transport, _ = await loop.connect_accepted_socket(self._protocol, connection)
                except OSError:  # it is gone already
                    continue
                except Exception as error:  # others are to be accepted still
                    _log.warning("a connection cannot be served (%s)", summary(error))
                    connection.close()
                    continue
                self._open.append(transport)
        finally:
            self._listener.close()

    def _make_room(self) -> None:
        self._open = [transport for transport in self._open if not transport.is_closing()]
        others = [transport for transport in self._open if transport is not self.kept]
        for transport in others[: max(0, len(self._open) + 1 - self._most)]:
            transport.abort()


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0: at any free one. Raises VistaError."""
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise VistaError(f"--host {host}: is no address of this machine ({error})") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise VistaError(
            f"{host}:{port} cannot be listened at ({error.strerror}); give another --port, or 0 "
            "for any free one"
        ) from None
    return listener
