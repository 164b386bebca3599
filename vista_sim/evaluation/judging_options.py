"""Options of the commands that judge runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vista_sim.console import require_within

if TYPE_CHECKING:
    from vista_sim.evaluation.judging import JudgingSettings

Valid = Annotated[
    float, typer.Option(help="Share of recorded pixels below which a view is beyond validity.")
]
Draws = Annotated[int, typer.Option(help="Draws of the bootstrap.")]
Seed = Annotated[int, typer.Option(help="Of the bootstrap and the tests.")]


def settings_of(valid: float, draws: int, seed: int) -> JudgingSettings:
    """What the options come to.

    Raises:
        VistaError: one is out of its range.
    """
    from vista_sim.evaluation.judging import JudgingSettings

    require_within("--valid", valid, 0.0, 1.0)
    require_within("--draws", draws, 1, 1_000_000)
    require_within("--seed", seed, 0, 2**63 - 1)
    return JudgingSettings(valid=valid, draws=draws, seed=seed)
