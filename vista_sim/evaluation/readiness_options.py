"""Options of the commands that judge or drive on synthesized views."""

from __future__ import annotations

from typing import Annotated

import typer

Bake = Annotated[
    bool, typer.Option("--bake", help="First bake the geometry of traces that have none.")
]
Unbaked = Annotated[
    bool,
    typer.Option(
        "--unbaked",
        help="Take traces without baked geometry as they are: views show a flat world. (Or set "
        "VISTA_SIM_UNBAKED=1.)",
    ),
]
