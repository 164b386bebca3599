"""Bodies of a scene that were not recorded: boxes, which views see where they stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class Bodies:
    """Boxes that n views may see, each of one view.

    The frame of a body is that of tracks (`tracks.parquet`): x forward, y left, z up, its origin
    on the ground below its middle. A car's own frame lies below its rear axle: see `scene.box.Box`.

    Args:
        starts: (n + 1,), view i may see the bodies from starts[i] up to, not with, starts[i + 1].
        pose: (k, 4, 4) T_recorded_body, m: in the frame of the recorded car at the moment of the
            view, as the view's own offset is.
        size: (k, 3) length, width and height, m.
        colour: uint8 (k, 3), RGB, in full light.

    Raises:
        ValueError: arrays of other shapes, or numbers that cannot be.
    """

    starts: NDArray[np.int64]
    pose: NDArray[np.float64]
    size: NDArray[np.float64]
    colour: NDArray[np.uint8]

    def __post_init__(self) -> None:
        # Whatever was given: compiled code is made for one kind of arrays.
        starts = self._keep("starts", self.starts, np.int64)
        pose = self._keep("pose", self.pose, np.float64)
        size = self._keep("size", self.size, np.float64)
        colour = self._keep("colour", self.colour, np.uint8)
        count = len(pose)
        shapes = {"pose": (count, 4, 4), "size": (count, 3), "colour": (count, 3)}
        for name, array in (("pose", pose), ("size", size), ("colour", colour)):
            if array.shape != shapes[name]:
                raise ValueError(
                    f"bodies: {name} has shape {array.shape}; it must be {shapes[name]}"
                )
        if starts.ndim != 1 or len(starts) == 0 or starts[0] != 0 or starts[-1] != count:
            raise ValueError(f"bodies: starts must begin with 0 and end with {count}, their number")
        if (starts[1:] < starts[:-1]).any():
            raise ValueError("bodies: starts must not fall from one view to the next")
        if not np.isfinite(pose).all():
            raise ValueError("bodies: pose has a value that is not finite")
        if not (np.isfinite(size).all() and (size > 0).all()):
            raise ValueError("bodies: size must be finite and above 0 m")

    def _keep(self, name: str, values: Any, kind: Any) -> NDArray[Any]:
        try:
            array = np.require(values, dtype=kind, requirements=("C", "W"))
        except (TypeError, ValueError):
            raise ValueError(f"bodies: {name} must be numbers, all of one kind") from None
        object.__setattr__(self, name, array)
        return array

    @classmethod
    def by_view(
        cls, view: ArrayLike, views: int, pose: ArrayLike, size: ArrayLike, colour: ArrayLike
    ) -> Self:
        """Of rows in any order, each with the number (k,), from 0, of its view among `views`.

        Bodies of one view keep their order.
        """
        of = np.asarray(view, dtype=np.int64).reshape(-1)
        if len(of) and not (of.min() >= 0 and of.max() < views):
            raise ValueError(f"bodies: view must be numbers from 0 up to less than {views}")
        starts = np.concatenate([[0], np.cumsum(np.bincount(of, minlength=views))])
        order = np.argsort(of, kind="stable")
        poses = np.asarray(pose, dtype=np.float64).reshape(-1, 4, 4)
        sizes = np.asarray(size, dtype=np.float64).reshape(-1, 3)
        colours = np.asarray(colour, dtype=np.uint8).reshape(-1, 3)
        return cls(starts, poses[order], sizes[order], colours[order])

    @property
    def views(self) -> int:
        """How many views they are of."""
        return len(self.starts) - 1

    def __len__(self) -> int:
        return len(self.pose)

    def check_views(self, n: int) -> None:
        """Raise ValueError unless they are of n views."""
        if self.views != n:
            raise ValueError(f"bodies are of {self.views} views, not of {n}")

    def of_view(self, i: int) -> slice:
        """Which rows view i may see."""
        return slice(int(self.starts[i]), int(self.starts[i + 1]))

    def only(self, which: ArrayLike) -> Bodies:
        """Those of some views (m,), in that order."""
        views = np.asarray(which, dtype=np.int64).reshape(-1)
        counts = np.diff(self.starts)[views]
        starts = np.concatenate([[0], np.cumsum(counts)])
        rows = np.repeat(self.starts[views] - starts[:-1], counts) + np.arange(starts[-1])
        return Bodies(starts, self.pose[rows], self.size[rows], self.colour[rows])


def joined(parts: Sequence[Bodies | None]) -> Bodies | None:
    """The bodies of views that are read together, each given with its own; None: there are none."""
    some = [part for part in parts if part is not None]
    if not some:
        return None
    counts = [0 if part is None else len(part) for part in parts]
    return Bodies(
        np.concatenate([[0], np.cumsum(counts)]),
        np.concatenate([part.pose for part in some]),
        np.concatenate([part.size for part in some]),
        np.concatenate([part.colour for part in some]),
    )
