"""`vista-train demo`"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Demo:
    """Demo."""

    seed: int = 0
    """Seed."""


def run_demo(demo: Demo) -> None: ...
