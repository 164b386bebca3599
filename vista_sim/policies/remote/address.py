"""Where a policy is served: a loopback port or a Unix socket, nothing that leaves the machine."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

from vista_sim.addresses import ip_number
from vista_sim.errors import PolicyError
from vista_sim.files import shown

_PORT = re.compile(r"(\[[^\]]*\]|[^/:]*):(\d{1,9})")
MAX_PATH = 107  # bytes; sockaddr_un of Linux
FORMS = "HOST:PORT on this machine, such as 127.0.0.1:5555, or the PATH of a Unix socket"


@dataclass(frozen=True)
class Address:
    """An address of a policy.

    Args:
        family: AF_INET, AF_INET6 or AF_UNIX.
        where: (host, port), or the path.
    """

    family: socket.AddressFamily
    where: tuple[str, int] | str

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read HOST:PORT or PATH, with or without "socket:". Raises PolicyError."""
        text = text.removeprefix("socket:")
        found = _PORT.fullmatch(text)
        if found is None:
            if not text or len(os.fsencode(text)) > MAX_PATH or "\0" in text:
                raise PolicyError(
                    f"socket address is {shown(text)}; give {FORMS} of at most {MAX_PATH} bytes"
                )
            return cls(socket.AF_UNIX, text)
        host, port = found[1].strip("[]"), int(found[2])
        address = ip_number("127.0.0.1" if host == "localhost" else host)
        if address is None or not address.is_loopback or port > 65535:
            raise PolicyError(f"socket address is {shown(text)}; give {FORMS}")
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        return cls(family, (str(address), port))

    def __str__(self) -> str:
        if isinstance(self.where, str):
            return f"socket:{self.where}"
        host, port = self.where
        return f"socket:[{host}]:{port}" if ":" in host else f"socket:{host}:{port}"

    def connect(self, timeout: float) -> socket.socket:
        """A connection. Raises OSError."""
        connection = socket.socket(self.family, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout)
            connection.connect(self.where)
            self._tune(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def listen(self) -> socket.socket:
        """A listening socket; a Unix socket is the user's alone.

        Raises:
            PolicyError: somebody listens there already, or nobody can.
        """
        listener = socket.socket(self.family, socket.SOCK_STREAM)
        try:
            if isinstance(self.where, str):
                self._remove_stale(self.where)
            else:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(self.where)
            if isinstance(self.where, str):
                Path(self.where).chmod(0o600)
            listener.listen(64)
        except OSError as error:
            listener.close()
            raise PolicyError(f"{self}: cannot be listened at ({error.strerror})") from None
        except PolicyError:
            listener.close()
            raise
        return listener

    def accept(self, listener: socket.socket) -> socket.socket:
        """The next connection. Raises OSError."""
        connection, _ = listener.accept()
        self._tune(connection)
        return connection

    def _tune(self, connection: socket.socket) -> None:
        if self.family != socket.AF_UNIX:  # a small message does not wait for the next
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _remove_stale(self, path: str) -> None:
        """Remove a socket that a process left behind when it was killed.

        Only one that refuses connections: whoever listens may also be slow, or another user.
        """
        file = Path(path)
        if not file.exists():
            return
        if not file.is_socket():
            raise PolicyError(f"{self}: is there already and is no socket; choose another path")
        try:
            self.connect(1.0).close()
        except ConnectionRefusedError:
            file.unlink()
            return
        except OSError:  # too slow, or not to be spoken to: somebody's it is
            pass
        raise PolicyError(f"{self}: another process listens there; choose another path")
