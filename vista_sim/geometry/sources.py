"""Which sources a bake has, and how they are made."""

from __future__ import annotations

from contextlib import suppress

from vista_sim.errors import GeometryError
from vista_sim.geometry.settings import GeometryChoice, StereoMatching, file_hash
from vista_sim.geometry.source import BakeContext, Source
from vista_sim.traces.trace import Trace


def make_sources(context: BakeContext) -> list[Source]:
    """The sources of a bake, in the order of its settings.

    Raises:
        GeometryError: the trace lacks what a source needs.
    """
    sources: list[Source] = []
    for name in context.settings.sources:
        if name == "multiview":
            from vista_sim.geometry.multiview_source import MultiViewSource

            sources.append(MultiViewSource(context))
        elif name == "stereo":
            from vista_sim.geometry.pairs import find_pair
            from vista_sim.geometry.stereo import StereoSource

            pair = find_pair(context.trace, context.recorded.name, context.settings.stereo)
            sources.append(StereoSource(context, pair))
        elif name in ("learned", "onnx"):
            # `models.ModelSource` goes here; `Remembered(sources[0])` gives it its scale.
            raise GeometryError(f"geometry {name!r}: this installation cannot run depth models")
        else:
            raise GeometryError(f"geometry {name!r}: not implemented")
    return sources


def resolve(
    choice: GeometryChoice, trace: Trace, camera: str
) -> tuple[tuple[str, ...], dict[str, str]]:
    """The sources that a choice means for a camera, and hashes of what they read besides it.

    Raises:
        GeometryError: a model file cannot be read.
    """
    from vista_sim.geometry.pairs import find_pair, pair_hash

    names: list[str] = []
    for name in choice.names:
        found = available(trace, camera) if name == "auto" else [name]
        names += [n for n in found if n not in names]
    inputs: dict[str, str] = {}
    if choice.model is not None:
        inputs["onnx"] = file_hash(choice.model)
    if "stereo" in names:
        inputs["stereo"] = pair_hash(trace, find_pair(trace, camera, StereoMatching()))
    return tuple(names), inputs


def available(trace: Trace, camera: str) -> list[str]:
    """The sources that need nothing but the recording itself, for this camera."""
    from vista_sim.geometry.pairs import find_pair

    names = ["multiview"]
    with suppress(GeometryError):
        find_pair(trace, camera, StereoMatching())
        names.append("stereo")
    return names
