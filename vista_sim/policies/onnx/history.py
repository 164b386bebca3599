"""Which of the last steps a model sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import PolicyError
from vista_sim.policies.onnx.fields import Fields

ORDERS = ("oldest-first", "newest-first")
PADDINGS = ("repeat", "zeros")
FIELDS = ("frames", "stride", "order", "padding")
MAX_FRAMES = 256
MAX_STRIDE = 1000
MAX_KEPT = 1 << 30  # bytes of the frames that one input keeps


@dataclass(frozen=True)
class History:
    """How the frames of one input come from the steps of an episode.

    Args:
        frames: how many.
        stride: steps from one to the next.
        order: along the axis on which they are stacked.
        padding: before the episode has as many steps: its first frame again, or zeros (after
            normalization).
    """

    frames: int = 1
    stride: int = 1
    order: str = "oldest-first"
    padding: str = "repeat"

    @property
    def length(self) -> int:
        """Steps that must be kept."""
        return (self.frames - 1) * self.stride + 1

    def choose(self, kept: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """The frames of a step.

        Args:
            kept: of the last `length` steps of the episode, or of all that it has; newest last.
        """
        now = len(kept) - 1
        places = [now - i * self.stride for i in reversed(range(self.frames))]
        blank = np.zeros_like(kept[0]) if self.padding == "zeros" else kept[0]
        frames = [kept[i] if i >= 0 else blank for i in places]
        return frames if self.order == "oldest-first" else frames[::-1]


def check_kept(fields: Fields, history: History, frame_bytes: int) -> None:
    """Refuse a history that would take unreasonable memory. Raises PolicyError."""
    kept = history.length * frame_bytes
    if kept > MAX_KEPT:
        raise PolicyError(
            f"{fields.where}: {history.frames} frames with a stride of {history.stride} keep "
            f"{kept / 2**20:.0f} MiB; at most {MAX_KEPT / 2**20:.0f} MiB can be"
        )


def read_history(fields: Fields, default: History) -> History:
    """Read the field `history`: a number of frames, or an object. Raises PolicyError."""
    if not fields.given("history"):
        return default
    if not isinstance(fields.values["history"], dict):
        return History(fields.whole("history", 1, MAX_FRAMES))
    inner = fields.object("history", FIELDS)
    assert inner is not None
    return History(
        frames=inner.whole("frames", 1, MAX_FRAMES),
        stride=inner.whole("stride", 1, MAX_STRIDE, 1),
        order=inner.choice("order", ORDERS, "oldest-first"),
        padding=inner.choice("padding", PADDINGS, "repeat"),
    )
