"""How true boxes in views are: drawn by depth, against the proving ground's true render of them.

    python benchmarks/boxes.py [--json] [--quick] [--pictures FOLDER]

A country road and a city street are recorded at 400 x 640 and baked. A box of the size of a car is
put on the recorded path, 8 to 40 m ahead of the car, straight and turned, and beside it behind
parked cars, trunks and poles; it is seen from the path and from beside it. The score is the
intersection of the pixels that show the box by the union of them (IoU): those that the view has
against those of the true render. Boxes of which the true render shows less than 98 % of the
outline are counted as partly hidden. Distances are from the rear axle to the middle of the box.

Then what three boxes in sight cost a view (Numba, one thread): processor time of views without and
with them, taken in turns, medians.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from printing import print_measured
from strips import write_picture

from vista_sim.geometry.bake import bake
from vista_sim.proving_ground.deployment import RenderedCamera, RenderedWorlds
from vista_sim.proving_ground.record import Recording, record
from vista_sim.proving_ground.street import Street
from vista_sim.sensors.bodies import Bodies
from vista_sim.sensors.box_reference import cast
from vista_sim.sensors.camera import Camera
from vista_sim.sensors.rays import shared_rays
from vista_sim.sensors.spec import CameraSpec
from vista_sim.sensors.warp import BODY
from vista_sim.traces.trace import Trace
from vista_sim.transforms import inverse, planar_pose

SIZE = (400, 640)
BOX, COLOUR = (4.5, 1.8, 1.5), (200, 40, 200)  # m, RGB
DISTANCES = (8.0, 12.0, 20.0, 30.0, 40.0)  # m
POSES = ((0.0, 0.0), (1.0, 0.6))  # m to the left of the path, rad
OFFSETS = ((0.0, 0.0, 0.0), (0.0, 0.9, -0.06), (0.0, -0.9, 0.06))  # of the car: x, y, yaw
FREE = 0.98  # share of an outline that is seen, from which on a box stands in free sight
LITTLE = 0.1  # share below which it is left out
COST_SIZES = ((66, 200), (200, 320), (400, 640))
THREE = (8.0, 12.0, 20.0)  # m ahead, side by side
TURNS = 300
SHOWN = 7  # columns of a picture
#: In the street: what stands before the box, from where (m of the path), and where it stands.
HIDDEN = (
    ("parked car", 15.0, 42.0, -2.7, 0.0),
    ("parked car", 22.0, 44.0, -2.9, 0.4),
    ("parked car", 28.0, 42.0, -2.7, 0.0),
    ("trunk", 30.0, 53.0, -6.0, 0.0),
    ("trunk", 40.0, 52.5, -5.4, 0.2),
    ("pole", 46.0, 60.0, -5.6, 0.0),
)

Mask = NDArray[np.bool_]


class Case(NamedTuple):
    """A box in a view: where it stands in a trace, and from where it is seen."""

    kind: str
    start: float  # m of the path, of the view
    s: float  # m of the path, of the box
    lateral: float
    yaw: float


class Seen(NamedTuple):
    """A case from one offset: pictures, and which pixels show the box."""

    case: Case
    image: NDArray[np.uint8]
    drawn: Mask
    true_image: NDArray[np.uint8]
    true: Mask
    outline: Mask

    @property
    def iou(self) -> float:
        return float((self.drawn & self.true).sum() / (self.drawn | self.true).sum())

    @property
    def share(self) -> float:
        """Of the outline, that the true render shows."""
        return float(self.true.sum() / max(1, self.outline.sum()))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quick", action="store_true", help="few views: not to be quoted")
    parser.add_argument("--pictures", type=Path, help="folder for true render, view, difference")
    parser.add_argument("--country", type=Path, help="the country road, recorded and baked before")
    parser.add_argument("--street", type=Path, help="the city street, recorded and baked before")
    parser.add_argument(
        "--supersample", type=int, default=1, help="of true renders; 1: what pixels' centres show"
    )
    print_measured(parser.parse_args(), measure, as_text)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """{"free": [...], "hidden": [...]}, an entry a distance, or a thing that hides the box."""
    country = options.country or made(folder / "country", Recording(101, 8.0, SIZE))
    street = options.street or made(folder / "street", Recording(102, 8.0, SIZE, street=Street()))
    starts = (5.0,) if options.quick else (5.0, 20.0)
    offsets = OFFSETS[1:2] if options.quick else OFFSETS
    seen: list[Seen] = []
    with RenderedWorlds(options.supersample) as worlds:
        for path in (country, street):
            trace = Trace.open(path)
            cases = list(ahead(trace, starts))
            if path == street:
                cases += [Case(*row) for row in HIDDEN]
            camera = Camera(trace, "front", size=SIZE)
            true = worlds.cameras([trace]).camera(0, CameraSpec(SIZE))
            seen += [look(camera, true, case, offset) for case in cases for offset in offsets]
    if options.pictures:
        options.pictures.mkdir(parents=True, exist_ok=True)
        for name, some in (("free", free(seen)), ("hidden", hidden(seen))):
            picked = some[:: max(1, -(-len(some) // SHOWN))]
            write_picture(options.pictures / f"boxes-{name}.png", [column(one) for one in picked])
    return {
        "size": list(SIZE),
        "free": tabulate(free(seen)),
        "hidden": tabulate(hidden(seen)),
        "cost": [cost(Trace.open(country), size) for size in COST_SIZES],
    }


def made(folder: Path, recording: Recording) -> Path:
    record(folder, recording)
    bake(folder)
    return folder


def ahead(trace: Trace, starts: tuple[float, ...]) -> Iterator[Case]:
    """Boxes on the path ahead of the car."""
    for start in starts:
        for distance in DISTANCES:
            if start + distance < trace.path.length - 1:
                for lateral, yaw in POSES:
                    yield Case(f"{distance:g} m", start, start + distance, lateral, yaw)


def look(
    camera: Camera, true: RenderedCamera, case: Case, offset: tuple[float, float, float]
) -> Seen:
    """A case as it is drawn, and as it really looks."""
    trace = camera.trace
    t = trace.path.time(case.start)
    stands = trace.path.pose(case.s) @ planar_pose(0.0, case.lateral, case.yaw)
    pose = inverse(trace.pose(t)) @ stands
    bodies = Bodies(np.array([0, 1]), pose[None], np.array([BOX]), np.array([COLOUR], np.uint8))
    view, truth = camera.render_view(t, offset, bodies), true.view(t, offset, bodies)
    boxes = camera.plan([t], [offset], bodies).boxes
    assert boxes is not None
    outline, _ = cast(boxes.pose[0], boxes.size[0], shared_rays(camera.lens))
    return Seen(case, view.image, view.source == BODY, truth.image, truth.box == 0, outline > 0)


def cost(trace: Trace, size: tuple[int, int]) -> dict[str, Any]:
    """Median processor time of a view without and with three boxes, ms."""
    camera, t = Camera(trace, "front", size=size), trace.path.time(5.0)
    stands = [
        inverse(trace.pose(t)) @ trace.path.pose(5.0 + way) @ planar_pose(0.0, 2.2 * i - 2.2, 0.0)
        for i, way in enumerate(THREE)
    ]
    colours = np.array([COLOUR] * 3, np.uint8)
    bodies = Bodies(np.array([0, 3]), np.array(stands), np.array([BOX] * 3), colours)
    shown = camera.render_view(t, bodies=bodies).source == BODY
    times: list[list[float]] = [[], []]
    for _ in range(TURNS):
        for some, given in zip(times, (None, bodies), strict=True):
            start = time.thread_time()
            camera.render(t, bodies=given)
            some.append(1e3 * (time.thread_time() - start))
    without, with_three = (float(np.median(some)) for some in times)
    name = f"{size[0]}x{size[1]}"
    return {
        "size": name,
        "without_ms": without,
        "with_three_ms": with_three,
        "pixels": int(shown.sum()),
    }


def free(seen: list[Seen]) -> list[Seen]:
    """Those in free sight."""
    return [one for one in seen if one.share >= FREE]


def hidden(seen: list[Seen]) -> list[Seen]:
    """Those that are partly hidden, but not almost all of them."""
    return [one for one in seen if LITTLE <= one.share < FREE]


def tabulate(seen: list[Seen]) -> list[dict[str, Any]]:
    """Scores by kind of case."""
    rows = []
    for kind in dict.fromkeys(one.case.kind for one in seen):
        some = [one for one in seen if one.case.kind == kind]
        scores = [one.iou for one in some]
        rows.append(
            {
                "kind": kind,
                "views": len(some),
                "mean_iou": float(np.mean(scores)),
                "least_iou": min(scores),
                "seen": float(np.mean([one.share for one in some])),
                "pixels": float(np.mean([one.true.sum() for one in some])),
            }
        )
    return rows


def column(seen: Seen) -> NDArray[np.uint8]:
    """True render, view, and where they differ (red: drawn alone, green: true alone), close by."""
    rows, columns = np.flatnonzero(seen.outline.any(1)), np.flatnonzero(seen.outline.any(0))
    around = (
        slice(max(0, rows[0] - 30), rows[-1] + 30),
        slice(max(0, columns[0] - 50), columns[-1] + 50),
    )
    marks = np.zeros_like(seen.image)
    marks[seen.drawn & seen.true] = 200
    marks[seen.drawn & ~seen.true] = (255, 0, 0)
    marks[~seen.drawn & seen.true] = (0, 255, 0)
    parts = [
        cv2.resize(np.ascontiguousarray(picture[around]), (320, 220))
        for picture in (seen.true_image, seen.image, marks)
    ]
    return np.vstack(parts).astype(np.uint8)


def as_text(result: dict[str, Any]) -> str:
    """Tables for people."""
    lines = [f"boxes in views of {result['size'][0]} x {result['size'][1]}: outline IoU"]
    for part, title in (("free", "in free sight"), ("hidden", "partly hidden by, or at")):
        lines += ["", f"{title:<24} views   mean  least  seen %  pixels"]
        lines += [
            f"{row['kind']:<24} {row['views']:5d}  {row['mean_iou']:.3f}  {row['least_iou']:.3f}"
            f"  {100 * row['seen']:6.1f}  {row['pixels']:6.0f}"
            for row in result[part]
        ]
    lines += ["", "three boxes in a view     without   with    ms; pixels that show them"]
    lines += [
        f"{row['size']:<24}  {row['without_ms']:7.3f} {row['with_three_ms']:6.3f}"
        f"  {row['pixels']:8d}"
        for row in result["cost"]
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
