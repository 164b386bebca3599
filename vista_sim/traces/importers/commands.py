"""The command `vista-sim import`: a recording of any known format becomes a trace."""

from __future__ import annotations

import inspect
import logging
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from vista_sim.console import parse_size, progress_bar
from vista_sim.errors import VistaError


def register(app: typer.Typer) -> None:
    """Add the commands of this part to the program."""
    formats = typer.Typer(
        cls=Formats,
        help="Turn a recording into a trace: import SRC DST finds out its format; "
        "import FORMAT SRC DST names it, and import FORMAT --help says its options.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    formats.callback(invoke_without_command=True)(import_group)
    app.add_typer(formats, name="import")


def import_group(
    list_formats: Annotated[
        bool, typer.Option("--list", help="Say which formats there are, and what each takes.")
    ] = False,
) -> None:
    """The options of `vista-sim import` itself."""
    if list_formats:
        _list()
        raise typer.Exit


def _list() -> None:
    from rich.console import Console
    from rich.table import Table

    from vista_sim.traces.importers.registry import importers

    table = Table("format", "takes", "needs the extra")
    for name, importer in importers().items():
        table.add_row(name, importer.takes, importer.extra or "-")
    Console().print(table)


class Formats(TyperGroup):
    """A command for each format; what is no format's name is a recording, whose format is found
    out.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        from vista_sim.traces.importers.registry import formats

        return list(formats())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        from vista_sim.traces.importers.registry import find_importer, formats

        return _command(find_importer(cmd_name)) if cmd_name in formats() else None

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        from vista_sim.traces.importers.registry import detected, find_importer, formats

        if not args or args[0].startswith("-") or args[0] in formats():
            return super().resolve_command(ctx, args)
        src = Path(args[0])
        if not os.path.lexists(src) and len(args) > 2 and not args[2].startswith("-"):
            find_importer(args[0])  # FORMAT SRC DST, and no such format
        guess = detected(src)
        typer.echo(f"{src}: {guess.importer.name} ({guess.why})", err=True)
        return guess.importer.name, _command(guess.importer), args


def _command(importer: Any) -> Any:
    """The command of one format: what all have in common, and the format's own options."""
    from vista_sim.traces.importers.options import about_options

    def run(
        src: Path,
        dst: Path | None,
        start: float,
        end: float | None,
        cameras: str,
        rate: float | None,
        size: str,
        origin: bool,
        overwrite: bool,
        **own: Any,
    ) -> None:
        from vista_sim.traces.importers.notes import show_notes
        from vista_sim.traces.importers.options import make_options
        from vista_sim.traces.importers.registry import require_readable, told_as_its_own
        from vista_sim.traces.importers.selection import Selection
        from vista_sim.traces.importers.write import import_recording

        show_notes()
        selection = Selection(
            start=start,
            end=end,
            cameras=tuple(name.strip() for name in cameras.split(",")) if cameras else None,
            rate=rate,
            size=parse_size(size) if size else None,
            origin=origin,
        )
        given = {
            name: math.radians(value) if about[name][1].degrees else value
            for name, value in own.items()
            if value != defaults[name]
        }
        if dst is None:
            options = _checked(lambda: make_options(importer.options, given), given)
            require_readable(src)
            with told_as_its_own(importer.name):
                listed = importer.listing(src, options)
            typer.echo(listed)
            return
        with _told(), progress_bar(f"importing {src.name}", "frames") as report:
            made = _checked(
                lambda: import_recording(
                    src,
                    dst,
                    importer.name,
                    selection=selection,
                    overwrite=overwrite,
                    progress=report,
                    **given,
                ),
                given,
            )
        typer.echo(str(made))

    about = about_options(importer.options)
    defaults = {
        name: _shown_default(field.default, known) for name, (field, known) in about.items()
    }
    parameters = [
        _COMMON[0],
        _LISTED if hasattr(importer, "listing") else _COMMON[1],
        *(
            _parameter(name, _kind(field.default), defaults[name], _help(known))
            for name, (field, known) in about.items()
        ),
        *_COMMON[2:],
    ]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    run.__doc__ = f"Import {importer.name}: {importer.takes}."
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(importer.name)(run)
    return typer.main.get_command(app)


def _kind(default: Any) -> Any:
    return float | None if default is None else type(default)


def _help(known: Any) -> str:
    """What an option means, and what it may be."""
    return f"{known.help.rstrip('.')} ({known.listed})." if known.choices else str(known.help)


def _shown_default(default: Any, known: Any) -> Any:
    """A default as it stands on the command line: an angle in degrees, to three digits."""
    return round(math.degrees(default), 3) if known.degrees and default is not None else default


def _checked(what: Callable[[], Any], options: dict[str, Any]) -> Any:
    """What a call gives; its errors name options as the command line does."""
    try:
        return what()
    except VistaError as error:
        raise _named(error, options) from None


def _named(error: VistaError, options: dict[str, Any]) -> VistaError:
    """The error of an option by the name that it has on the command line."""
    text = str(error)
    for name in (*options, "start", "rate", "size"):
        if text.startswith(f"{name} is "):
            return type(error)(f"--{name.replace('_', '-')} {text.removeprefix(name + ' ')}")
    return error


@contextmanager
def _told() -> Iterator[None]:
    """Let importers say what they find out about a recording."""
    teller = logging.getLogger(__package__)
    before = teller.level
    teller.setLevel(logging.INFO)
    try:
        yield
    finally:
        teller.setLevel(before)


def _parameter(name: str, kind: Any, default: Any, text: str, flag: str = "") -> inspect.Parameter:
    option = typer.Option(flag or f"--{name.replace('_', '-')}", help=text)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, option],
    )


def _place(name: str, text: str) -> inspect.Parameter:
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[Path, typer.Argument(help=text, readable=False)],
    )


_LISTED = inspect.Parameter(
    "dst",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[
        Path | None,
        typer.Argument(help="Trace folder to make; none: list what SRC holds.", readable=False),
    ],
)
_COMMON = [
    _place("src", "File or folder of the recording."),
    _place("dst", "Trace folder to make."),
    _parameter("start", float, 0.0, "Begin so many seconds after the first pose."),
    _parameter("end", float | None, None, "End so many seconds after the first pose."),
    _parameter("cameras", str, "", "Cameras by name, such as left,right; all usual ones else."),
    _parameter("rate", float | None, None, "At most so many images a second."),
    _parameter("size", str, "", "Images as HEIGHTxWIDTH; as recorded else."),
    _parameter(
        "origin", bool, True, "Whether the trace says where on earth it is.", "--origin/--no-origin"
    ),
    _parameter("overwrite", bool, False, "Replace a trace at DST.", "--overwrite"),
]
