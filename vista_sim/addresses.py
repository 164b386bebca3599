"""What an address says of who can reach it: only this machine does, at a loopback address."""

from __future__ import annotations

import ipaddress


def ip_number(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a number stands for, with or without []; None: it is a name."""
    try:
        return ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there; a name other than localhost may not."""
    number = ip_number(host)
    return host.lower() == "localhost" or (number is not None and number.is_loopback)
