"""The version that a policy declares: what decides how it drives and no file shows."""

from __future__ import annotations

from vista_sim.errors import PolicyError
from vista_sim.files import shown

MAX_VERSION = 200  # characters


def declared_version(policy: object) -> str:
    """The version that a policy declares: its text `version`; "" for none.

    Raises:
        PolicyError: it is no text of a line.
    """
    version = getattr(policy, "version", None)
    if version is None:
        return ""
    if not isinstance(version, str) or len(version) > MAX_VERSION or not version.isprintable():
        raise PolicyError(
            f"the policy's version is {shown(version)}; it must be a text of one line of at most "
            f"{MAX_VERSION} characters"
        )
    return version
