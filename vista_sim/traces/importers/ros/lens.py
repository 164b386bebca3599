"""The lens of a camera by its `sensor_msgs/CameraInfo`, whose message definition this follows.

K and D are of the raw image, P of the rectified one; all three of the whole image before binning
and region of interest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import cv2
import numpy as np

from vista_sim.errors import TraceError
from vista_sim.files import shown
from vista_sim.traces.calibration import Lens
from vista_sim.traces.importers.recording import Floats
from vista_sim.traces.importers.ros.frames import plain

MAX_MISFIT = 0.5  # px, of a lens that is put into the form that traces have
_BROWN = ("plumb_bob", "")
_RATIONAL = ("rational_polynomial",)
_FISHEYE = ("equidistant", "fisheye")
_GRID = 40  # points of a lens in each direction


@dataclass(frozen=True, eq=False)
class Info:
    """What of a CameraInfo is needed.

    Args:
        where: bag and topic, named in errors.
        frame: of its header. size: (height, width) of the whole image, px; 0: not said.
        model: of the distortion D. K (3, 3), P (3, 4), R (3, 3) as the message has them.
        binning: (rows, columns) that are one. roi: (y, x, height, width), px; 0 wide: the whole.
    """

    where: str
    frame: str
    size: tuple[int, int]
    model: str
    D: tuple[float, ...]
    K: Floats
    R: Floats
    P: Floats
    binning: tuple[int, int]
    roi: tuple[int, int, int, int]

    @classmethod
    def of(cls, message: Any, where: str) -> Self:
        """Of a message of ROS 1, whose fields are K, D, R and P, or ROS 2. Raises TraceError."""

        def numbers(name: str, shape: tuple[int, ...]) -> Floats:
            value = getattr(message, name, None)
            value = getattr(message, name.lower()) if value is None else value
            array = np.asarray(value, dtype=np.float64).reshape(shape)
            if not np.isfinite(array).all():
                raise TraceError(f"{where}: {name} must hold finite numbers")
            return array

        roi = message.roi
        return cls(
            where=where,
            frame=plain(message.header.frame_id),
            size=(int(message.height), int(message.width)),
            model=str(message.distortion_model),
            D=tuple(float(d) for d in numbers("D", (-1,))),
            K=numbers("K", (3, 3)),
            R=numbers("R", (3, 3)),
            P=numbers("P", (3, 4)),
            binning=(int(message.binning_y) or 1, int(message.binning_x) or 1),
            roi=(int(roi.y_offset), int(roi.x_offset), int(roi.height), int(roi.width)),
        )

    @property
    def calibrated(self) -> bool:
        """Whether it says anything of the lens: K is zero where it does not."""
        return bool(self.K[0, 0] != 0)

    def offset(self) -> Floats:
        """Where this camera is in the frame of the first one of its pair, (3,) m, by P."""
        if not self.P[0, 0] * self.P[1, 1]:
            return np.zeros(3)
        return np.asarray(-np.linalg.solve(self.P[:, :3], self.P[:, 3]))

    def lens(self, size: tuple[int, int], rectified: bool) -> tuple[Lens, str]:
        """The lens of images of a size (height, width), and what was done to get it ("": nothing).

        Raises TraceError: not calibrated, of another size, or of a lens that traces have not.
        """
        if not self.calibrated:
            raise TraceError(
                f"{self.where}: is not calibrated (K[0] is 0); give --camera-matrix FX,FY,CX,CY"
            )
        M = self.P if rectified else self.K
        if M[0, 0] <= 0 or M[1, 1] <= 0 or M[0, 1] != 0 or M[2, 2] != 1:
            name = "P" if rectified else "K"
            raise TraceError(f"{self.where}: {name} is no camera matrix fx 0 cx, 0 fy cy, 0 0 1")
        whole = self.size if min(self.size) > 0 else size
        parts = (float(M[0, 0]), float(M[1, 1]), float(M[0, 2]), float(M[1, 2]))
        lens, done = Lens("pinhole", *parts, whole), ""
        if not rectified:
            lens, done = self._distorted(lens)
        y, x, height, width = self.roi
        if not (height and width):
            y, x, height, width = 0, 0, *whole
        if self.roi[:2] != (0, 0) or (height, width) != whole:
            lens = replace(lens, cx=lens.cx - x, cy=lens.cy - y, size=(height, width))
        if self.binning != (1, 1):
            binned = height // self.binning[0], width // self.binning[1]
            lens = lens.resized((max(binned[0], 1), max(binned[1], 1)))
        if lens.size == size:
            return lens, done
        scale = size[0] / lens.size[0], size[1] / lens.size[1]
        if abs(scale[0] / scale[1] - 1) > 0.01:
            raise TraceError(
                f"{self.where}: is of images of {lens.size}, but they are {size} (height, width)"
            )
        return lens.resized(size), f"is of images of {lens.size}, scaled to {size}"

    def _distorted(self, ideal: Lens) -> tuple[Lens, str]:
        D = self.D
        if self.model in _FISHEYE and len(D) >= 4:
            return replace(ideal, model="fisheye", distortion=D[:4]), ""
        if not any(D):
            return ideal, ""
        if self.model in _BROWN and len(D) in (4, 5):
            return replace(ideal, distortion=(*D, 0.0)[:5]), ""
        if self.model in (*_RATIONAL, *_BROWN) and len(D) in (8, 12, 14):
            if not any(D[5:]):
                return replace(ideal, distortion=D[:5]), ""
            return refitted(ideal, D, self.where)
        raise TraceError(
            f"{self.where}: distortion of model {shown(self.model)} with {len(D)} numbers is not "
            "known (plumb_bob 5, rational_polynomial 8, equidistant 4); give rectified images"
        )


def refitted(ideal: Lens, D: Sequence[float], where: str) -> tuple[Lens, str]:
    """The lens with k1 k2 p1 p2 k3 nearest to one with 8, 12 or 14 coefficients of OpenCV.

    With fx, fy, cx, cy as they are, distorted positions are linear in the five. Raises TraceError:
    it is not near enough anywhere in the image.
    """
    height, width = ideal.size
    v, u = np.meshgrid(
        np.linspace(0, height - 1, _GRID), np.linspace(0, width - 1, _GRID), indexing="ij"
    )
    pixels = np.stack([u.ravel(), v.ravel()], axis=1)
    coefficients = np.array(D, dtype=np.float64)
    rays = cv2.undistortPoints(pixels[:, None], ideal.matrix, coefficients).reshape(-1, 2)
    points = np.column_stack([rays, np.ones(len(rays))])
    none = np.zeros(3)
    exact = cv2.projectPoints(points[:, None], none, none, ideal.matrix, coefficients)[0]
    exact = exact.reshape(-1, 2)
    inside = np.abs(exact - pixels).max(axis=1) < MAX_MISFIT  # elsewhere the image folds back
    x, y = rays[inside].T
    r2 = x * x + y * y
    across = np.stack([x * r2, x * r2**2, 2 * x * y, r2 + 2 * x * x, x * r2**3], axis=1)
    down = np.stack([y * r2, y * r2**2, r2 + 2 * y * y, 2 * x * y, y * r2**3], axis=1)
    wanted = (exact[inside] - [ideal.cx, ideal.cy]) / [ideal.fx, ideal.fy] - rays[inside]
    A = np.concatenate([across * ideal.fx, down * ideal.fy])
    b = np.concatenate([wanted[:, 0] * ideal.fx, wanted[:, 1] * ideal.fy])
    found = np.linalg.lstsq(A, b, rcond=None)[0]
    lens = replace(ideal, distortion=tuple(float(k) for k in found))
    misfit = np.linalg.norm(lens.project(points[inside]) - exact[inside], axis=1)
    worst = float(misfit.max(initial=np.inf if not inside.any() else 0.0))
    if not worst <= MAX_MISFIT or inside.mean() < 0.9:
        raise TraceError(
            f"{where}: its lens with {len(D)} coefficients is {worst:.2f} px from the nearest with "
            f"k1 k2 p1 p2 k3; at most {MAX_MISFIT:g} is taken; give rectified images (image_rect)"
        )
    return lens, f"has {len(D)} coefficients, put into five within {worst:.2f} px"
