"""Who may reach the drive: checks of Host, Origin and token.

The server drives a car of this machine's user and knows what is in their recordings, so no other
web site may reach it through the user's browser. Two ways are closed here:

- a page of another site opens a WebSocket to this address: a browser says so in Origin, which must
  be that of the drive page itself;
- another site's name is made to point to this address (DNS rebinding): a browser then sends that
  name as Host. Names that lead to a loopback server are numbers and "localhost"; any port, since
  a tunnel may end at another one.
"""

from __future__ import annotations

import hmac
import re
import secrets
import socket
from dataclasses import dataclass
from functools import cached_property

from vista_sim.addresses import ip_number, is_loopback
from vista_sim.errors import VistaError

AUTO = "auto"
SHORTEST_TOKEN = 8
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253})(:[0-9]{1,5})?")


@dataclass(frozen=True)
class Access:
    """Where the drive is served, and what opens it.

    Args:
        host: name or number that is listened at.
        token: that the page's address must hold; None: none is needed.
    """

    host: str
    token: str | None

    @classmethod
    def choose(cls, host: str, token: str | None) -> Access:
        """As the user wants it.

        Args:
            token: None, a token, or "auto" for a new one.

        Raises:
            VistaError: others could reach it without a token, or the token is too short.
        """
        if token == AUTO:
            token = secrets.token_urlsafe(18)
        if token is None and not is_loopback(host):
            raise VistaError(
                f"--host {host} can be reached from other machines; give --token auto too, or "
                "leave --host at 127.0.0.1 and use an SSH tunnel"
            )
        if token is not None and not re.fullmatch(rf"[\w.~-]{{{SHORTEST_TOKEN},200}}", token, re.A):
            raise VistaError(
                f"--token must have at least {SHORTEST_TOKEN} letters, digits, '-', '_', '.' or "
                "'~'; 'auto' makes one"
            )
        return cls(host, token)

    def host_allowed(self, host: str | None) -> bool:
        """Whether a request's Host header names this server and not a site that points to it."""
        found = _HOST.fullmatch(host or "")
        if found is None:
            return False
        name = found[1].strip("[]").lower()
        if name == "localhost" or name == self.host.lower():
            return True
        number = ip_number(name)
        if is_loopback(self.host):
            return number is not None and number.is_loopback
        return number is not None or name in self._own_names

    @cached_property
    def _own_names(self) -> tuple[str, ...]:
        """Names of this machine; asked for once, since a name server may take seconds."""
        return socket.gethostname().lower(), socket.getfqdn().lower()

    def origin_allowed(self, origin: str | None, host: str | None) -> bool:
        """Whether a WebSocket was opened by the page that this server itself gave out."""
        if origin is None or host is None:
            return False
        return origin.lower() in (f"http://{host}".lower(), f"https://{host}".lower())

    def token_right(self, token: str | None) -> bool:
        """Compares in a time that does not depend on where they differ."""
        if self.token is None:
            return True
        return hmac.compare_digest((token or "").encode(), self.token.encode())
