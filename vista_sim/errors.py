"""Errors a user can cause. Each message is one line: what is wrong, where, and what would be right.

The commands print the message on stderr and exit with status 2; what else may end them is in
`vista_sim.failures`.
"""

from __future__ import annotations


class VistaError(Exception):
    """Something the user gave cannot be used."""


class TraceError(VistaError, ValueError):
    """A trace, or a recording to be imported, is missing, malformed or inconsistent."""


class GeometryError(VistaError, ValueError):
    """Baked geometry is missing, malformed or does not fit its trace."""


class PolicyError(VistaError, ValueError):
    """A policy folder is missing, malformed or does not fit what it is used for."""


class PolicyFailureError(PolicyError):
    """A policy broke while it drove.

    Args:
        detail: what happened; put on one line.
    """

    kind = "failed"

    def __init__(self, detail: str) -> None:
        text = " ".join(detail.split())
        super().__init__(text if len(text) <= 300 else text[:297] + "...")

    @property
    def reason(self) -> str:
        """Why, in one line that begins with the kind of failure: "raised: ..."."""
        return f"{self.kind}: {self.args[0]}"

    def __str__(self) -> str:
        return self.reason


class PolicyRaisedError(PolicyFailureError):
    """A policy raised an error, or answered something that cannot be read."""

    kind = "raised"


class PolicyTimeoutError(PolicyFailureError):
    """A policy took longer than it may."""

    kind = "timed out"


class PolicyNotFiniteError(PolicyFailureError):
    """A policy answered with NaN, with infinity, or with something that is no action."""

    kind = "not finite"


class PolicyDiedError(PolicyFailureError):
    """The process of a policy ended."""

    kind = "died"


class RunError(VistaError, ValueError):
    """A run folder is missing, malformed or of an unknown format."""


class ScenarioError(VistaError, ValueError):
    """Scenario or suite files cannot be used.

    Attributes:
        problems: a line each, "FILE:LINE: field: what is wrong; what would be right". The
            message is the first of them.
    """

    def __init__(self, *problems: str) -> None:
        self.problems = problems or ("a scenario cannot be used",)
        more = len(self.problems) - 1
        super().__init__(self.problems[0] + (f" (and {more} more)" if more else ""))

    def __reduce__(self) -> tuple[type[ScenarioError], tuple[str, ...]]:
        return ScenarioError, self.problems


class WorldError(VistaError, ValueError):
    """A world, a task or an environment is set up, reset or stepped with unusable values."""


class OffPathError(VistaError, ValueError):
    """A pose is farther from the recorded path than the search reaches."""


class MissingDependencyError(VistaError, ImportError):
    """An optional package is needed and not installed."""
