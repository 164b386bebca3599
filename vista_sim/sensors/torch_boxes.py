"""Drawing boxes into views on the device: `box_reference.py` as PyTorch operations.

Single precision here, double there. The boxes and their bounds come from the host; nothing here
waits for the device or looks at a value of a tensor. Each operation rounds once: what it gives of a
ray does not depend on where in a list of rays that stands.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vista_sim.sensors.boxes import ALONG, GROUND, GROUND_SHARE, NEARER, NEARER_BY, Boxes
from vista_sim.sensors.torch_frames import send
from vista_sim.sensors.warp import BODY


class _Rays(NamedTuple):
    """Those within the bounds of a box, of one box a view: m rays, no two of one pixel."""

    pixel: Tensor  # int64 (m,), in all views of the chunk
    box: Tensor  # int64 (m,), which of the boxes
    direction: Tensor  # float32 (m, 3), in the frame of the box, of z = 1 in the camera's


class Painter:
    """Draws boxes into views of one camera.

    Args:
        rays: float32 (1, 2, H, W), of the views, on the device.
    """

    def __init__(self, rays: Tensor) -> None:
        self._rays = rays[0].flatten(1)  # (2, H * W)
        self._width = rays.shape[3]

    @torch.no_grad()
    def draw(
        self, boxes: Boxes, views: slice, image: Tensor, source: Tensor, depth: Tensor
    ) -> None:
        """Draw the boxes of some of the n views that `boxes` is of.

        Args:
            boxes: on the host.
            views: m of them, one after the other.
            image, source, depth: uint8 (m, H, W, 3), uint8 (m, H, W) and float32 (m, H, W),
                contiguous, changed in place.
        """
        starts = boxes.starts[views.start : views.stop + 1]
        if starts[0] == starts[-1]:
            return
        rows, starts = slice(starts[0], starts[-1]), starts - starts[0]
        pose = send(boxes.pose[rows].astype(np.float32), depth.device)
        size = send(boxes.size[rows].astype(np.float32), depth.device)
        paint = send(boxes.paint[rows], depth.device)
        image, source, depth = image.view(-1, 3), source.view(-1), depth.view(-1)
        nearest, owner = torch.zeros_like(depth), torch.zeros_like(depth, dtype=torch.int64)
        found = []
        for nth in range(int(np.diff(starts).max())):
            rays = self._rays_of(boxes.bounds[rows], starts, nth, pose)
            if rays is None:
                continue
            inverse, face = _cast(rays, pose, size)
            nearer = inverse > nearest[rays.pixel]
            nearest[rays.pixel] = torch.where(nearer, inverse, nearest[rays.pixel])
            owner[rays.pixel] = torch.where(nearer, rays.box, owner[rays.pixel])
            found.append((rays, inverse, face))
        for rays, inverse, face in found:
            pixel, scene = rays.pixel, depth[rays.pixel]
            seen = (inverse > 0) & (owner[pixel] == rays.box) & ~_hidden(rays, pose, inverse, scene)
            colour = paint.view(-1, 3)[6 * rays.box + face]
            image[pixel] = torch.where(seen[:, None], colour, image[pixel])
            source[pixel] = torch.where(seen, BODY, source[pixel])
            depth[pixel] = torch.where(seen, inverse, scene)

    def _rays_of(
        self, bounds: NDArray[np.int64], starts: NDArray[np.int64], nth: int, pose: Tensor
    ) -> _Rays | None:
        """Of the n-th box of every view that has so many; None if all of them are out of sight."""
        view = np.flatnonzero(np.diff(starts) > nth)
        box = starts[view] + nth
        top, bottom, left, right = bounds[box].T
        area = (bottom - top) * (right - left)
        total = int(area.sum())
        if total == 0:
            return None
        first = np.cumsum(area) - area
        table = np.stack([box, view, top, left, np.maximum(right - left, 1), first])
        numbers = send(table, pose.device)
        which = torch.repeat_interleave(
            torch.arange(len(box), device=pose.device),
            send(area, pose.device),
            output_size=total,
        )
        of, in_view, from_row, from_column, width, start = numbers[:, which]
        place = torch.arange(total, device=pose.device) - start
        row = from_row + torch.div(place, width, rounding_mode="floor")
        column = from_column + place % width
        there = row * self._width + column
        x, y = self._rays[:, there, None]
        turn = pose[of, :, :3]
        direction = turn[..., 0] * x + turn[..., 1] * y + turn[..., 2]
        return _Rays(in_view * self._rays.shape[1] + there, of, direction)


def _cast(rays: _Rays, pose: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """Inverse depth (m,), 0 where a ray does not meet its box, and the face, int64 (m,)."""
    half = 0.5 * size
    half_up = torch.stack([half[:, 0], half[:, 1], size[:, 2]], 1)
    half_down = torch.stack([-half[:, 0], -half[:, 1], torch.zeros_like(half[:, 0])], 1)
    eye = pose[..., 3]
    way = torch.where(rays.direction.abs() < ALONG, ALONG, rays.direction)
    to_low = (half_down - eye)[rays.box] / way
    to_high = (half_up - eye)[rays.box] / way
    enter, axis = torch.minimum(to_low, to_high).max(1)
    leave = torch.maximum(to_low, to_high).amin(1)
    face = 2 * axis + (way.gather(1, axis[:, None])[:, 0] > 0)
    # Comparisons with NaN, from rays that must not be used, are false.
    hit = (enter > 0) & (enter <= leave)
    return torch.where(hit, enter.reciprocal(), 0.0), face


def _hidden(rays: _Rays, pose: Tensor, inverse: Tensor, scene: Tensor) -> Tensor:
    """Whether (m,) what a view shows hides a box; see `box_reference.hidden`."""
    eye = pose[rays.box, 2, 3]
    height = eye * scene + rays.direction[:, 2]
    is_ground = (eye > GROUND) & (height < GROUND * scene + GROUND_SHARE)
    return (scene > inverse * (1.0 + NEARER) + NEARER_BY) & ~is_ground
