from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import Interpolation, VideoReformatter

from vista_sim.sensors.rays import shared_rays
from vista_sim.sensors.shrink import shrink
from vista_sim.sensors.warp import normalized_rays
from vista_sim.traces.calibration import Lens
from vista_sim.traces.decoder import read_frame
from vista_sim.traces.video import VideoWriter
from vista_sim.traces.video_index import read_index

EXACT = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


def colourful(size, seed):
    """Saturated blotches and noise, uint8 (h, w, 3)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (size[0] // 8 + 1, size[1] // 8 + 1, 3)).astype(np.uint8)
    image = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC).astype(int)
    return np.clip(image + rng.integers(-20, 20, image.shape), 0, 255).astype(np.uint8)


def by_ffmpeg(path, size):
    """All frames in order, converted by libswscale."""
    reformatter = VideoReformatter()
    with av.open(str(path)) as container:
        return [
            reformatter.reformat(
                frame,
                format="rgb24",
                src_colorspace=1,
                src_color_range=frame.color_range,
                dst_color_range=2,
                interpolation=EXACT,
                threads=1,
            ).to_ndarray()[: size[0], : size[1]]
            for frame in container.decode(video=0)
        ]


@pytest.mark.parametrize("size", [(48, 64), (47, 71), (201, 318)])
def test_frames_are_what_ffmpeg_decodes_and_converts(tmp_path, size):
    path = tmp_path / "x.mp4"
    with VideoWriter(path, size, 10.0) as video:
        for seed in range(6):
            video.write(colourful(size, seed))
    index = read_index(path, size)
    wanted = by_ffmpeg(path, size)
    for number in (0, 1, 5, 2, 2, 4, 3, 0):
        np.testing.assert_array_equal(read_frame(path, index, number, size), wanted[number])


@pytest.mark.parametrize(
    ("pixels", "place", "value"),
    [("yuvj420p", 0, 2), ("yuv444p", 0, 1), ("yuv420p", 2, 1), ("yuv420p", 3, 1)],
)
def test_other_kinds_of_video_are_converted_as_ffmpeg_does(tmp_path, pixels, place, value):
    path, size = tmp_path / "x.mp4", (48, 64)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(10))
        stream.height, stream.width, stream.pix_fmt, stream.gop_size = 48, 64, pixels, 1
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = 1
        context.color_range = value
        # Where chroma samples lie: 2 is the centre, 3 the top left.
        context.options = {"x264-params": f"chromaloc={max(0, place - 1)}"}
        for seed in range(3):
            image = colourful(size, seed)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode(None))
    index = read_index(path, size)
    wanted = by_ffmpeg(path, size)
    for number in (0, 2, 1):
        np.testing.assert_array_equal(read_frame(path, index, number, size), wanted[number])


def test_shrinking_gives_the_bytes_of_opencv():
    rng = np.random.default_rng(0)
    for _ in range(30):
        height, width = (int(n) for n in rng.integers(4, 90, 2))
        size = (int(rng.integers(1, height + 1)), int(rng.integers(1, width + 1)))
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        wanted = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(shrink(image, size), wanted)


def test_equal_lenses_share_their_rays():
    lens = Lens("pinhole", 50.0, 51.0, 31.0, 22.0, (48, 64), (-0.2, 0.05, 0.001, 0.0, 0.0))
    equal = Lens("pinhole", 50.0, 51.0, 31.0, 22.0, (48, 64), (-0.2, 0.05, 0.001, 0.0, 0.0))
    assert shared_rays(lens) is shared_rays(equal)
    np.testing.assert_array_equal(shared_rays(lens), normalized_rays(lens))
    np.testing.assert_array_equal(shared_rays(lens, 2), normalized_rays(lens)[:, ::2, ::2])
    other = Lens("pinhole", 50.0, 51.0, 31.0, 22.5, (48, 64), (-0.2, 0.05, 0.001, 0.0, 0.0))
    assert not np.array_equal(shared_rays(other), shared_rays(lens))
