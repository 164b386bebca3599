"""What decides the outcome of a bake: kept with the result, so that a change makes it anew."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vista_sim.errors import GeometryError
from vista_sim.geometry.registry import known_sources

#: Raised when the same settings give another result than they did before.
METHOD_VERSION = 6

#: A geometry has at most this many pixels unless its size is given.
MAX_PIXELS = 120_000


@dataclass(frozen=True)
class Matching:
    """How the inverse depth of a frame is found from its neighbours (see `multiview`)."""

    baselines: tuple[float, ...] = (0.85, 1.7, 2.6)  # m driven to the neighbours, on each side
    min_baseline: float = 0.25  # m; less shows no parallax
    max_baseline: float = 6.0  # m
    max_interval: float = 4.0  # s between a frame and its neighbour
    nearest: float = 2.8  # m; nothing nearer is looked for, except ground
    planes_per_pixel: float = 1.5  # planes per pixel that 0.5 m to the side moves the picture
    small_step_penalty: int = 5  # of semi-global matching; a mismatched census bit costs 4
    large_step_penalty: int = 200  # across an edge of the image less, by its contrast
    edge_contrast: int = 60  # gray levels at which the large penalty is halved
    prior_slope: float = 4.0  # per 16 planes away from the ground or the sky
    prior_limit: float = 8.0
    far_margin: int = 64  # summed cost that the best plane must save over infinity in the sky
    refinements: int = 2  # Gauss-Newton steps after matching
    agreement: tuple[float, float] = (0.006, 0.03)  # 1/m and share by which frames may differ
    ground_window: float = 0.06  # share of the image's width over which ground is locally flat

    def __post_init__(self) -> None:
        if not self.baselines or min(self.baselines) <= 0:
            raise ValueError(f"baselines are {self.baselines} m; each must be positive")
        if self.nearest <= 0:
            raise ValueError(f"nearest is {self.nearest} m; it must be positive")


@dataclass(frozen=True)
class MotionRefinement:
    """How much the recorded motion between neighbouring frames may be corrected."""

    features: int = 500  # corners followed from frame to frame
    keyframe_distance: float = 0.4  # m between frames whose motion is refined
    min_tracks: int = 40  # fewer, and the recorded motion stays
    # Corners err together (repeated texture, blur, compression): the covariance of what they
    # say is this many times that of independent ones. Measured in the proving ground.
    motion_inflation: float = 12.0
    length_inflation: float = 3.0
    # The recording is never trusted more than this.
    min_rotation_sigma: float = math.radians(0.005)  # rad
    min_translation_sigma: float = 0.002  # m
    min_length_sigma: float = 0.003  # share


@dataclass(frozen=True)
class StereoMatching:
    """Which cameras make a stereo pair, and how they are matched (see `pairs`, `stereo`)."""

    max_interval: float = 0.001  # s between the frames of a pair
    max_angle: float = math.radians(15.0)  # between their axes, and of the baseline from the side
    baseline: tuple[float, float] = (0.04, 3.0)  # m
    block: int = 5  # px, side of the window that is compared
    small_step_penalty: int = 8  # per pixel of the window, of a step by one pixel
    large_step_penalty: int = 32
    gradient_cap: int = 63  # gray levels at which the horizontal derivative is cut off
    uniqueness: int = 5  # percent by which the best match must be better than the next
    speckle: int = 60  # px; smaller patches that stand alone are not believed
    tolerance: float = 1.0  # px by which the match back may miss
    half_sure: float = 0.25  # px by which it misses where confidence is a half
    texture: float = 0.7  # gray levels a pixel along the row; less lowers the confidence
    refinements: int = 2  # Gauss-Newton steps after matching


@dataclass(frozen=True)
class LidarProjection:
    """How a lidar's points become geometry (see `lidar`, `completion`)."""

    sweeps: int = 1  # nearest in time that are used
    max_interval: float = 0.15  # s between a frame and a sweep
    box_margin: float = 0.15  # m around boxes of road users that move, which points move with
    reach: float = 60.0  # px, lengthened by contrast, from a measured pixel to the last it fills
    reach_above: float = 24.0  # px, the same above the horizon: beyond is the sky
    contrast_price: float = 0.2  # px that a gray level of contrast counts as
    sure_within: float = 8.0  # px from a measured pixel at which confidence is 1/e
    same: float = 0.04  # share by which measured pixels of one surface differ
    ground_window: float = 0.06  # share of the image's width over which ground is locally flat


@dataclass(frozen=True)
class BakeSettings:
    """All settings of a bake.

    Args:
        size: (height, width) of the geometry.
        sources: "ground" alone, or names of sources, see `registry`.
        inputs: content hashes of what the sources read besides the camera, by source.
        models: of sources that have one; what is in it decides the outcome, and its hash stands
            in `inputs`.
    """

    size: tuple[int, int]
    sources: tuple[str, ...] = ("multiview",)
    inputs: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, Path] = field(default_factory=dict)
    matching: Matching = field(default_factory=Matching)
    motion: MotionRefinement = field(default_factory=MotionRefinement)
    stereo: StereoMatching = field(default_factory=StereoMatching)
    lidar: LidarProjection = field(default_factory=LidarProjection)

    def __post_init__(self) -> None:
        known = ("ground", *known_sources())
        if not self.sources or any(name not in known for name in self.sources):
            raise GeometryError(
                f"geometry is {self.geometry!r}; it must be of sources that are known: "
                f"{', '.join(known)}"
            )
        height, width = self.size
        if not (8 <= height <= 4096 and 8 <= width <= 4096):
            raise GeometryError(
                f"geometry size is {height}x{width}; each side must be 8 to 4096 pixels"
            )

    @property
    def geometry(self) -> str:
        """The sources in one word."""
        return "+".join(self.sources)

    def to_json(self) -> dict[str, Any]:
        """Settings as plain JSON values."""
        values: dict[str, Any] = {"method_version": METHOD_VERSION, "geometry": self.geometry}
        values["size"] = list(self.size)
        if self.inputs:
            values["inputs"] = dict(sorted(self.inputs.items()))
        if self.sources != ("ground",):
            values["motion"] = _plain(dataclasses.asdict(self.motion))
            values["matching"] = _plain(dataclasses.asdict(self.matching))
        for own in dataclasses.fields(self):  # of a source, by its name
            if own.name in self.sources:
                values[own.name] = _plain(dataclasses.asdict(getattr(self, own.name)))
        return values


def default_size(recorded: tuple[int, int]) -> tuple[int, int]:
    """The recorded (height, width) divided by the smallest whole number that makes it small."""
    divisor = 1
    while recorded[0] // divisor * (recorded[1] // divisor) > MAX_PIXELS:
        divisor += 1
    return recorded[0] // divisor, recorded[1] // divisor


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
