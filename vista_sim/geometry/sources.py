"""Which sources a bake has, and how they are made."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from vista_sim.errors import GeometryError
from vista_sim.geometry.registry import find_kind, known_sources
from vista_sim.geometry.source import BakeContext, Source, SourceKind
from vista_sim.traces.trace import Trace


def kind_of(name: str) -> SourceKind:
    """What is known of a source by its name.

    Raises:
        GeometryError: nobody knows it, or what is known by that name is no source.
    """
    kind = find_kind(name)
    if not isinstance(kind, SourceKind):
        raise GeometryError(
            f"the geometry source {name!r} is of type {type(kind).__name__}; it must be an object "
            "of a class that is derived from vista_sim.geometry.source.SourceKind"
        )
    return kind


@dataclass(frozen=True)
class GeometryChoice:
    """What a user asked for.

    Args:
        names: "ground" alone; or any of `registry.known_sources` and "auto".
        models: by the source that they were named for.
    """

    names: tuple[str, ...]
    models: Mapping[str, Path] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> GeometryChoice:
        """Read the value of --geometry: names joined by +, models as onnx:FILE or learned:FOLDER.

        Raises:
            GeometryError: there is no such geometry.
        """
        names: list[str] = []
        models: dict[str, Path] = {}
        for part in _parts(text):
            name, colon, file = part.partition(":")
            if name in names or not _can_be(name, bool(colon), bool(file)):
                raise GeometryError(f"geometry is {text!r}; it must be {_choices()}")
            names.append(name)
            if file:
                models[name] = Path(file)
        if "ground" in names and len(names) > 1:
            raise GeometryError(f"geometry is {text!r}; flat ground stands alone")
        return cls(tuple(names), models)


def make_sources(context: BakeContext) -> list[Source]:
    """The sources of a bake, in the order of its settings.

    Raises:
        GeometryError: the trace lacks what a source needs.
    """
    return [kind_of(name).make(context) for name in context.settings.sources]


def resolve(
    choice: GeometryChoice, trace: Trace, camera: str
) -> tuple[tuple[str, ...], dict[str, str], dict[str, Path]]:
    """The sources that a choice means for a camera, hashes of what they read besides it, and
    the models among that.

    Raises:
        GeometryError: the trace lacks what a source needs, or a model cannot be read.
    """
    names: list[str] = []
    for name in choice.names:
        found = available(trace, camera) if name == "auto" else [name]
        names += [n for n in found if n not in names]
    inputs: dict[str, str] = {}
    models = dict(choice.models)
    for name, kind in _kinds(names):
        model = models.get(name) or kind.usual_model(trace)
        if model is not None:
            models[name] = model
        decisive = kind.inputs(trace, camera, model)
        if decisive is not None:
            inputs[name] = decisive
    return tuple(names), inputs, models


def available(trace: Trace, camera: str) -> list[str]:
    """The sources that need nothing but the recording itself, for this camera."""
    return [name for name, kind in _kinds(known_sources()) if kind.offered(trace, camera)]


def files_of(trace: Trace, camera: str, sources: Sequence[str]) -> list[Path]:
    """The files of a trace that sources read besides those of the camera."""
    return [path for _, kind in _kinds(sources) for path in kind.files(trace, camera)]


def _kinds(names: Sequence[str]) -> list[tuple[str, SourceKind]]:
    """Sources by name; flat ground is none."""
    return [(name, kind_of(name)) for name in names if name != "ground"]


def _parts(text: str) -> list[str]:
    """What is joined by +; one that is followed by no name is part of a file's name."""
    known = "|".join(map(re.escape, ("auto", "ground", *known_sources())))
    return re.split(rf"\+(?=(?:{known})(?:[+:]|$))", text)


def _can_be(name: str, colon: bool, file: bool) -> bool:
    """Whether a source can be written so: with a colon, and a file after it."""
    if name in ("auto", "ground"):
        return not colon
    if name not in known_sources():
        return False
    kind = kind_of(name)
    return colon == file and (file or not kind.needs_model) and (not file or bool(kind.model))


def _choices() -> str:
    """What --geometry may be."""
    ways = ["auto", "ground"]
    for name in known_sources():
        with suppress(GeometryError):  # what cannot be loaded cannot be chosen
            kind = kind_of(name)
            ways += [] if kind.needs_model else [name]
            ways += [] if kind.model is None else [f"{name}:{kind.model}"]
    return f"{', '.join(ways[:-1])} or {ways[-1]}, or several but ground joined by +"
