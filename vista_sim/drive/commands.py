"""The commands `vista-sim drive` and `vista-sim demonstrations`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vista_sim.console import progress_bar, require_within
from vista_sim.errors import VistaError
from vista_sim.evaluation.readiness_options import Bake, Unbaked

MIN_VALIDITY, BEFORE_CRASH = 0.6, 2.0


def register(app: typer.Typer) -> None:
    """Add the commands of this part to the program."""
    app.command("drive")(drive)
    app.command("demonstrations")(demonstrations)


def drive(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TRACE|SCENARIO",
            help="Trace folder, scenario or suite file, or the name of one that is installed, such "
            "as proving-ground.",
        ),
    ],
    policy: Annotated[
        str | None,
        typer.Option(help="That can be handed over to: what 'vista-sim evaluate --policy' takes."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Run folder to write; by default runs/drive-DATE-TIME."),
    ] = None,
    demonstrations: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Also write what was driven by hand as traces into this folder, to learn from.",
        ),
    ] = None,
    speed: Annotated[
        str | None,
        typer.Option(
            help="recorded: as the recording; free: by throttle and brake. By default as the "
            "scenario says, and on a trace as recorded."
        ),
    ] = None,
    size: Annotated[
        str, typer.Option(help="HEIGHTxWIDTH of what the driver sees, px.")
    ] = "320x640",
    rate: Annotated[float, typer.Option(help="Steps and frames a second, from 5 to 50.")] = 20.0,
    quality: Annotated[int, typer.Option(help="Of the JPEG pictures, from 30 to 95.")] = 80,
    seed: Annotated[int, typer.Option(help="Draws the perturbations.")] = 0,
    host: Annotated[
        str,
        typer.Option(help="Address to listen at; one that others can reach needs --token."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at; 0: any free one.")] = 8700,
    token: Annotated[
        str | None,
        typer.Option(help="Word that the page's address must hold; auto: a new one."),
    ] = None,
    open_page: Annotated[
        bool | None,
        typer.Option(
            "--open/--no-open",
            help="Open the page in a browser here; by default where there is a screen.",
            show_default=False,
        ),
    ] = None,
    bake: Bake = False,
    unbaked: Unbaked = False,
    overwrite: Annotated[bool, typer.Option(help="Replace a run at OUT.")] = False,
) -> None:
    """Drive the recorded road yourself, in the browser.

    The command prints the address of a page; open it and follow the help on it. What you drive is
    a run: 'vista-sim replay' and 'vista-sim report' show it. On a machine without a screen, the
    command prints the SSH tunnel to set up. The page's End drive, or Ctrl-C here, ends the drive.
    """
    from vista_sim.drive.drive import DriveOptions
    from vista_sim.drive.drive import drive as run

    run(
        DriveOptions(
            target=target,
            policy=policy,
            out=out,
            demonstrations=demonstrations,
            speed=speed,
            size=size,
            rate=rate,
            quality=quality,
            seed=seed,
            host=host,
            port=port,
            token=token,
            open_page=open_page,
            bake=bake,
            unbaked=unbaked,
            overwrite=overwrite,
        )
    )


def demonstrations(
    run: Annotated[Path, typer.Argument(help="Run folder, as 'vista-sim drive' writes it.")],
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Gets a trace for each episode.")],
    driver: Annotated[
        str, typer.Option(help="Whose episodes are written: human or policy.")
    ] = "human",
    min_validity: Annotated[
        float,
        typer.Option(help="Share of a frame that must have been really seen, from 0 to 1."),
    ] = MIN_VALIDITY,
    before_crash: Annotated[
        float, typer.Option(help="Seconds before a crash that are left out.")
    ] = BEFORE_CRASH,
) -> None:
    """Write what was driven by hand as traces: demonstrations that can be learned from.

    vista-sim demonstrations runs/mine demos && vista-train bc --traces demos/* --out policies/mine
    """
    from vista_sim.drive.demonstrations import Rules, write_demonstrations

    if driver not in ("human", "policy"):
        raise VistaError(f"--driver is {driver!r}; choose human or policy")
    require_within("--min-validity", min_validity, 0.0, 1.0)
    require_within("--before-crash", before_crash, 0.0, 600.0)
    with progress_bar("writing demonstrations") as report:
        written = write_demonstrations(run, out, Rules(min_validity, before_crash, driver), report)
    if not written:
        raise VistaError(
            f"{run}: holds nothing to demonstrate: no episode of 2 s and 5 m that a {driver} "
            "drove and ended"
        )
    for one in written:
        typer.echo(one.line)
