"""Which sources a bake has, and how they are made."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from vista_sim.errors import GeometryError
from vista_sim.geometry.models import folder_hash, load_depth_model, model_beside, onnx_hash
from vista_sim.geometry.pairs import find_pair, pair_hash
from vista_sim.geometry.settings import GeometryChoice, StereoMatching
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
            from vista_sim.geometry.stereo import StereoSource

            pair = find_pair(context.trace, context.recorded.name, context.settings.stereo)
            sources.append(StereoSource(context, pair))
        elif name == "lidar":
            from vista_sim.geometry.lidar import LidarSource, find_lidars

            sources.append(LidarSource(context, find_lidars(context.trace)))
        elif name in ("learned", "onnx"):
            from vista_sim.geometry.model_source import ModelSource

            path = context.settings.models[name]
            model = load_depth_model(f"onnx:{path}" if name == "onnx" else path)
            sources.append(ModelSource(name, model, context))
        else:
            raise GeometryError(f"geometry {name!r}: not implemented")
    return sources


def resolve(
    choice: GeometryChoice, trace: Trace, camera: str
) -> tuple[tuple[str, ...], dict[str, str], dict[str, Path]]:
    """The sources that a choice means for a camera, hashes of what they read besides it, and
    the models among that.

    Raises:
        GeometryError: a model file cannot be read.
    """
    names: list[str] = []
    for name in choice.names:
        found = available(trace, camera) if name == "auto" else [name]
        names += [n for n in found if n not in names]
    inputs: dict[str, str] = {}
    models = dict(choice.models)
    if "learned" in names:
        if "learned" not in models:
            models["learned"] = model_beside(trace)
        inputs["learned"] = folder_hash(models["learned"])
    if "onnx" in names:
        inputs["onnx"] = onnx_hash(models["onnx"])
    if "stereo" in names:
        inputs["stereo"] = pair_hash(trace, find_pair(trace, camera, StereoMatching()))
    if "lidar" in names:
        from vista_sim.geometry.lidar import lidar_hash

        inputs["lidar"] = lidar_hash(trace)
    return tuple(names), inputs, models


def available(trace: Trace, camera: str) -> list[str]:
    """The sources that need nothing but the recording itself, for this camera."""
    names = ["multiview"]
    with suppress(GeometryError):
        find_pair(trace, camera, StereoMatching())
        names.append("stereo")
    if trace.lidars:
        names.append("lidar")
    return names
