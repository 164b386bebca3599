"""Make the README's pictures.

    make demo && python benchmarks/pictures.py runs/demo

- guided-unseen.gif: the demo's guided policy on the road it never saw, from the demo's video.
- offsets.png: the sample drive from 1 m left, on and 1 m right of the recorded path; above, the
  true render of the proving ground, below, the synthesized view.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image

import vista_sim
from vista_sim.geometry.bake import bake
from vista_sim.proving_ground.truth import GroundTruth

PICTURES = Path(__file__).resolve().parent.parent / "assets" / "pictures"
OFFSETS = (1.0, 0.0, -1.0)  # m to the left


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("demo", type=Path, help="folder that `make demo` wrote")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the GIF")
    parser.add_argument("--start", type=float, default=5.0, help="where it starts in the video, s")
    parser.add_argument("--width", type=int, default=560, help="of the GIF, px")
    parser.add_argument("--t", type=float, default=30.0, help="moment of the offsets picture, s")
    options = parser.parse_args()
    PICTURES.mkdir(parents=True, exist_ok=True)
    (video,) = options.demo.glob("**/guided-on-*unseen*/views/*.film.mp4")
    make_gif(video, options)
    make_offsets(options.t)


def make_gif(video: Path, options: argparse.Namespace) -> None:
    """Every second frame of a stretch of a video, smaller, 64 colours."""
    images = []
    with av.open(str(video)) as container:
        rate = float(container.streams.video[0].average_rate)
        first, last = options.start * rate, (options.start + options.seconds) * rate
        for i, frame in enumerate(container.decode(video=0)):
            if first <= i < last and i % 2 == 0:
                rgb = frame.to_ndarray(format="rgb24")
                height = round(rgb.shape[0] * options.width / rgb.shape[1])
                small = cv2.resize(rgb, (options.width, height), interpolation=cv2.INTER_AREA)
                images.append(Image.fromarray(small).quantize(64, dither=Image.Dither.NONE))
    path = PICTURES / "guided-unseen.gif"
    duration = round(2000 / rate)
    images[0].save(path, save_all=True, append_images=images[1:], duration=duration, loop=0)
    print(path, f"{path.stat().st_size / 1e6:.1f} MB")


def make_offsets(t: float) -> None:
    folder = vista_sim.sample_trace("proving-ground")
    bake(folder)
    trace = vista_sim.Trace.open(folder)
    camera = vista_sim.Camera(trace, "front")
    truth = GroundTruth(folder)
    columns = []
    for lateral in OFFSETS:
        offset = (0.0, lateral, 0.0)
        real = truth.view(t, offset, camera.lens, camera.T_vehicle_camera).image
        columns.append(np.vstack([real, camera.render(t, offset)[0]]))
    path = PICTURES / "offsets.png"
    cv2.imwrite(str(path), np.hstack(columns)[..., ::-1])
    print(path)


if __name__ == "__main__":
    main()
