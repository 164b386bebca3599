import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import av
import numpy as np
import pytest
from tiny import frame_of

from vista_sim.errors import TraceError
from vista_sim.traces.trace import Trace
from vista_sim.traces.video import VideoWriter
from vista_sim.traces.video_index import read_index

PURE = [
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 0),
    (255, 255, 255),
    (0, 0, 0),
    (128, 128, 128),
    (20, 200, 90),
]


def sequential(path):
    """Decode all frames one after the other, with FFmpeg's own conversion to RGB."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_any_order_gives_the_frames_of_the_sequence(tiny_trace):
    camera = Trace.open(tiny_trace).cameras["front"]
    wanted = sequential(tiny_trace / "front.mp4")
    assert len(wanted) == camera.frame_count
    for index in np.random.default_rng(0).permutation(camera.frame_count):
        image = camera.frame(int(index))
        assert image.shape == (47, 71, 3)
        assert image.dtype == np.uint8
        # Another chroma interpolation, gray content: rounding is all that may differ.
        np.testing.assert_allclose(image.astype(int), wanted[index][:47, :71], atol=2)
        np.testing.assert_allclose(image.astype(int), frame_of(index), atol=6)


def test_frames_do_not_depend_on_what_was_read_before(tiny_trace):
    trace = Trace.open(tiny_trace)
    first = [trace.cameras["front"].frame(i) for i in range(31)]
    for order in (range(30, -1, -1), [5, 5, 4, 5, 30, 0]):
        for index in order:
            np.testing.assert_array_equal(trace.cameras["front"].frame(index), first[index])


@pytest.mark.parametrize("index", [-1, 31, 10**9])
def test_a_frame_that_is_not_there_raises(tiny_trace, index):
    with pytest.raises(IndexError, match=r"front\.mp4: no frame"):
        Trace.open(tiny_trace).cameras["front"].frame(index)


def test_the_nearest_frame_in_time_is_found(tiny_trace):
    camera = Trace.open(tiny_trace).cameras["front"]
    for t, wanted in [(0.0, 0), (0.04, 0), (0.06, 1), (1.23, 12), (2.96, 30), (3.0, 30)]:
        assert camera.nearest(t) == wanted


def test_saturated_colours_come_back(tmp_path):
    image = np.repeat(np.repeat(np.array(PURE, np.uint8)[None], 32, axis=0), 16, axis=1)
    with VideoWriter(tmp_path / "c.mp4", (32, 128), 10.0) as video:
        video.write(image)
    with av.open(str(tmp_path / "c.mp4")) as container:
        frame = next(container.decode(video=0))
        y, cb, cr = (np.frombuffer(p, np.uint8).reshape(-1, p.line_size) for p in frame.planes)
    for i, (red, green, blue) in enumerate(PURE):
        # ITU-R BT.709, section 3 and 4: luma weights, 8-bit limited range.
        luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
        assert y[16, 16 * i + 8] == pytest.approx(16 + 219 * luma / 255, abs=1.5)
        assert cb[8, 8 * i + 4] == pytest.approx(128 + 224 * (blue - luma) / 1.8556 / 255, abs=1.5)
        assert cr[8, 8 * i + 4] == pytest.approx(128 + 224 * (red - luma) / 1.5748 / 255, abs=1.5)


def test_red_stays_red_through_a_trace(tmp_path):
    from tiny import START_NS, calibration, circle_motion

    from vista_sim.traces.calibration import Vehicle
    from vista_sim.traces.writer import TraceWriter

    image = np.repeat(np.repeat(np.array(PURE, np.uint8)[None], 33, axis=0), 16, axis=1)[:, :127]
    t = np.arange(0, 1.01, 0.1)
    position, quaternion, _ = circle_motion(t)
    ns = START_NS + np.round(t * 1e9).astype(np.int64)
    about = {"name": "t", "licence": "-", "source": "-", "vehicle": Vehicle()}
    with TraceWriter(tmp_path / "t", **about) as writer:
        writer.write_ego(ns, position, quaternion, np.full(11, 8.0), np.full(11, 0.2))
        camera = writer.add_camera("front", calibration((33, 127)), 10.0)
        for stamp in ns:
            camera.write(image, stamp)
    frame = Trace.open(tmp_path / "t").cameras["front"].frame(4)
    assert frame.shape == (33, 127, 3)
    np.testing.assert_allclose(frame[16, 8:120:16].astype(int), PURE[:7], atol=4)


def test_the_video_is_what_the_format_says(tiny_trace):
    with av.open(str(tiny_trace / "front.mp4")) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert context.name == "h264"
        assert context.pix_fmt == "yuv420p"
        assert (context.height, context.width) == (48, 72)
        bt709, limited = 1, 1
        assert context.colorspace == context.color_primaries == context.color_trc == bt709
        assert context.color_range == limited
        packets = [p for p in container.demux(stream) if p.size]
        assert all(p.is_keyframe for p in packets)
        assert all(p.pts == p.dts for p in packets)
    data = (tiny_trace / "front.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # so that a cut file can be judged


def test_a_busy_picture_is_visually_lossless(tmp_path):
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (12, 20, 3)).astype(np.float64)
    image = np.kron(coarse, np.ones((8, 8, 1))) + rng.normal(0, 4, (96, 160, 3))
    image = np.clip(image, 0, 255).astype(np.uint8)
    with VideoWriter(tmp_path / "x.mp4", (96, 160), 10.0) as video:
        video.write(image)
    (decoded,) = sequential(tmp_path / "x.mp4")
    luma = [0.2126, 0.7152, 0.0722]
    error = (decoded.astype(float) - image) @ luma
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 38


def test_many_threads_read_at_once(tiny_trace):
    camera = Trace.open(tiny_trace).cameras["front"]
    wanted = [camera.frame(i) for i in range(31)]
    order = np.random.default_rng(2).integers(0, 31, 200).tolist()
    barrier = threading.Barrier(4)

    def read(part):
        barrier.wait()
        return [(i, camera.frame(i)) for i in order[part::4]]

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(read, range(4)):
            for index, image in found:
                np.testing.assert_array_equal(image, wanted[index])


def _sums(camera, seed, results):
    order = np.random.default_rng(seed).permutation(31).tolist() * 2
    results.put({i: int(camera.frame(i).sum()) for i in order})


def test_forked_processes_read_at_once(tiny_trace):
    camera = Trace.open(tiny_trace).cameras["front"]
    wanted = {i: int(camera.frame(i).sum()) for i in range(31)}  # the parent's decoder is open
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    children = [context.Process(target=_sums, args=(camera, s, results)) for s in range(3)]
    for child in children:
        child.start()
    for index in range(31):  # while the children read
        assert int(camera.frame(index).sum()) == wanted[index]
    assert [results.get(timeout=60) for _ in children] == [wanted] * 3
    for child in children:
        child.join()


def test_memory_and_open_files_do_not_grow(tiny_trace):
    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    camera = Trace.open(tiny_trace).cameras["front"]
    for i in range(31):
        camera.frame(i)
    before, files = resident(), len(os.listdir("/proc/self/fd"))
    for i in range(1500):  # 15 MB of pictures
        camera.frame(i % 31)
    assert resident() - before < 3_000_000
    assert len(os.listdir("/proc/self/fd")) == files


def test_a_fragmented_video_is_readable_before_it_is_closed(tmp_path):
    video = VideoWriter(tmp_path / "x.mp4", (48, 64), 10.0, fragmented=True)
    for i in range(60):
        video.write(frame_of(i, (48, 64)))
    os.sync()
    assert len(sequential(tmp_path / "x.mp4")) > 20
    video.close()
    assert len(sequential(tmp_path / "x.mp4")) == 60
    assert len(read_index(tmp_path / "x.mp4", (48, 64))) == 60


@pytest.mark.parametrize(
    "image", [np.zeros((48, 64), np.uint8), np.zeros((48, 64, 3)), np.zeros((48, 65, 3), np.uint8)]
)
def test_a_frame_of_another_shape_is_refused(tmp_path, image):
    with (
        VideoWriter(tmp_path / "x.mp4", (48, 64), 10.0) as video,
        pytest.raises(TraceError, match=r"x\.mp4: frame 0 is .* must be uint8 \(48, 64, 3\)"),
    ):
        video.write(image)
