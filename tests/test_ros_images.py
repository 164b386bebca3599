"""Pictures in bags: encodings, compression, video."""

from fractions import Fraction
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
from ros_bags import SIZE, START, STEP, bag_file, opened, write_odometry

from vista_sim.errors import TraceError
from vista_sim.traces.importers.ros.images import rgb_of_image, used_bits

RNG = np.random.default_rng(3)
PICTURE = RNG.integers(0, 256, (*SIZE, 3), np.uint8)
GRAY = PICTURE[..., :1].copy()


def camera_of(tmp_path, write, **options):
    """The only camera of a bag, whose pictures `write` writes at a time, ns."""
    with bag_file(tmp_path / "drive", "mcap") as bag:
        write_odometry(bag)
        write(bag, START + 2 * STEP)
    options = {"mounts": "front=1,0,1.5", "camera_matrix": "30,31,15.5,11.5"} | options
    return opened(tmp_path / "drive", **options).cameras["front"]()


def image_of(data, encoding, size=SIZE, step=None, big=False):
    """An Image as RGB, with as many bits as it uses."""
    message = SimpleNamespace(
        height=size[0],
        width=size[1],
        encoding=encoding,
        is_bigendian=int(big),
        step=len(data) // size[0] if step is None else step,
        data=np.frombuffer(data, np.uint8),
    )
    rgb_of_image(message, 16, "bag: /image")
    return rgb_of_image(message, used_bits(message), "bag: /image")


def with_alpha(image):
    return np.concatenate([image, np.full((*SIZE, 1), 7, np.uint8)], axis=2)


@pytest.mark.parametrize(
    ("encoding", "data", "expected"),
    [
        ("rgb8", PICTURE, PICTURE),
        ("bgr8", PICTURE[..., ::-1], PICTURE),
        ("8UC3", PICTURE[..., ::-1], PICTURE),
        ("rgba8", with_alpha(PICTURE), PICTURE),
        ("bgra8", with_alpha(PICTURE[..., ::-1]), PICTURE),
        ("mono8", GRAY, GRAY.repeat(3, 2)),
        ("8UC1", GRAY, GRAY.repeat(3, 2)),
        ("mono16", GRAY.astype("<u2") << 8, GRAY.repeat(3, 2)),
    ],
)
def test_colours_are_in_their_channels(encoding, data, expected):
    image = image_of(np.ascontiguousarray(data).tobytes(), encoding)
    np.testing.assert_array_equal(image, expected)
    assert image.dtype == np.uint8


@pytest.mark.parametrize(("encoding", "order"), [("yuv422", "uyvy"), ("yuv422_yuy2", "yuyv")])
def test_two_pixels_of_yuv_share_their_colour(encoding, order):
    """Y 150, U 90, V 200 by ITU-R BT.601, limited range."""
    y, u, v = 150, 90, 200
    pair = {"u": u, "v": v, "y": y}
    row = np.array([pair[c] for c in order] * (SIZE[1] // 2), np.uint8)
    image = image_of(np.tile(row, SIZE[0]).tobytes(), encoding)
    scaled = 1.164 * (y - 16)
    red, blue = scaled + 1.596 * (v - 128), scaled + 2.018 * (u - 128)
    green = scaled - 0.813 * (v - 128) - 0.391 * (u - 128)
    expected = np.clip([red, green, blue], 0, 255)
    np.testing.assert_allclose(
        image.reshape(-1, 3), np.tile(expected, (SIZE[0] * SIZE[1], 1)), atol=2
    )


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_mosaic_of_one_colour_is_that_colour(pattern, bits):
    colour = dict(zip("rgb", (200, 120, 40), strict=True))
    mosaic = np.zeros(SIZE, np.uint8)
    for k, c in enumerate(pattern):
        mosaic[k // 2 :: 2, k % 2 :: 2] = colour[c]
    data = mosaic if bits == 8 else mosaic.astype("<u2") << 8
    image = image_of(data.tobytes(), f"bayer_{pattern}{bits}")
    np.testing.assert_array_equal(image[4:-4, 4:-4].reshape(-1, 3), [(200, 120, 40)] * 16 * 24)


def test_rows_may_be_longer_than_their_pixels():
    rows = np.full((SIZE[0], SIZE[1] * 3 + 20), 99, np.uint8)
    rows[:, : SIZE[1] * 3] = PICTURE.reshape(SIZE[0], -1)
    np.testing.assert_array_equal(image_of(rows.tobytes(), "rgb8"), PICTURE)


def test_the_last_row_may_end_with_its_pixels():
    rows = np.full((SIZE[0], SIZE[1] * 3 + 20), 99, np.uint8)
    rows[:, : SIZE[1] * 3] = PICTURE.reshape(SIZE[0], -1)
    data = rows.tobytes()[:-20]
    image = image_of(data, "rgb8", step=SIZE[1] * 3 + 20)
    np.testing.assert_array_equal(image, PICTURE)


def test_sixteen_bits_may_be_big_endian():
    data = (GRAY.astype(">u2") << 8).astype(">u2").tobytes()
    image = image_of(data, "mono16", big=True)
    np.testing.assert_array_equal(image, GRAY.repeat(3, 2))


def test_of_sixteen_bits_twelve_may_be_in_use():
    """Taken for 16 the picture would be a sixteenth as bright."""
    image = image_of((GRAY.astype("<u2") << 4).tobytes(), "mono16")
    np.testing.assert_array_equal(image, GRAY.repeat(3, 2))


@pytest.mark.parametrize(
    ("encoding", "pixel", "said"),
    [
        ("16UC1", 2, "encoding 16UC1 is that of depth; take a topic of pictures, --images"),
        ("32FC1", 4, "encoding 32FC1 is that of depth"),
        ("nv21", 1, "encoding 'nv21' is not read; known are rgb8, "),
        ("rgb8", 1, "768 bytes with a step of 32 hold no rgb8 image of"),
    ],
)
def test_what_is_no_picture_is_refused(encoding, pixel, said):
    with pytest.raises(TraceError, match=said):
        image_of(bytes(SIZE[0] * SIZE[1] * pixel), encoding)


def test_an_image_bomb_is_refused(tmp_path):
    with pytest.raises(TraceError, match=r"/image: image size is \(60000, 60000\)"):
        image_of(b"xyz", "mono8", (60000, 60000), 60000)

    def write_png(bag, ns):
        content = bytearray(cv2.imencode(".png", PICTURE)[1].tobytes())
        content[16:24] = (60000).to_bytes(4, "big") * 2
        bag.compressed("/front/image_raw/compressed", ns, bytes(content))

    with pytest.raises(TraceError, match=r"message 0: declares \(60000, 60000\) pixels"):
        camera_of(tmp_path / "png", write_png)


@pytest.mark.parametrize("format", ["png", "rgb8; png compressed bgr8", "bgr8; png compressed "])
def test_a_compressed_picture_has_its_own_colours_whatever_is_said(tmp_path, format):
    content = cv2.imencode(".png", PICTURE[..., ::-1])[1].tobytes()

    def write(bag, ns):
        bag.compressed("/front/image_raw/compressed", ns, content, format)

    image = next(camera_of(tmp_path, write).frames([0]))
    np.testing.assert_array_equal(image, PICTURE)


def test_compressed_depth_is_refused(tmp_path):
    def write(bag, ns):
        bag.compressed("/front/image_raw/compressed", ns, b"xxx", "16UC1; compressedDepth png")

    with pytest.raises(TraceError, match="compressedDepth png' is that of depth"):
        camera_of(tmp_path, write)


def test_a_mosaic_sent_as_jpeg_is_said_to_be_gray(tmp_path, caplog):
    caplog.set_level("INFO")
    content = cv2.imencode(".jpg", GRAY)[1].tobytes()

    def write(bag, ns):
        bag.compressed(
            "/front/image_raw/compressed", ns, content, "bayer_rggb8; jpeg compressed bayer_rggb8"
        )

    image = next(camera_of(tmp_path, write).frames([0]))
    assert (image == image[..., :1]).all()
    assert "is a Bayer mosaic (bayer_rggb8) sent as JPEG: its pictures are gray" in caplog.text


def test_pictures_of_a_bag_are_those_that_were_written(tmp_path):
    def write(bag, ns):
        for k, padding in enumerate((0, 5)):
            rows = np.pad(PICTURE.reshape(SIZE[0], -1), ((0, 0), (0, padding)))
            bag.image("/front/image_raw", ns + k * STEP, rows.tobytes(), SIZE, "bgr8")

    for image in camera_of(tmp_path, write).frames([0, 1]):
        np.testing.assert_array_equal(image, PICTURE[..., ::-1])


def test_pictures_of_another_size_are_refused(tmp_path):
    def write(bag, ns):
        for k, size in enumerate((SIZE, (12, 16))):
            data = bytes(size[0] * size[1])
            bag.image("/front/image_raw", ns + k * STEP, data, size, "mono8")

    stream = camera_of(tmp_path, write)
    with pytest.raises(TraceError, match=r"message 1: is \(12, 16\); the first picture is \(24"):
        list(stream.frames([0, 1]))


def video(codec, count, keys):
    """Packets of a video whose frames are each lighter than the one before."""
    context = av.CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt = 64, 48, "yuv420p"
    context.time_base, context.framerate = Fraction(1, 10), 10
    options = {"x264-params": f"keyint={keys}:bframes=0:annexb=1:scenecut=0"}
    if codec == "libx265":
        options = {
            "x265-params": f"keyint={keys}:bframes=0:annexb=1:repeat-headers=1:scenecut=0:"
            "log-level=none"
        }
    context.options = {"tune": "zerolatency", **options}
    packets = []
    for i in range(count):
        image = np.full((48, 64, 3), 20 + 15 * i, np.uint8)
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts = i
        packets += context.encode(frame)
    packets += context.encode(None)
    return [bytes(packet) for packet in packets]


@pytest.mark.parametrize(
    ("codec", "format"), [("libx264", "h264"), ("libx265", "h265"), ("libx265", "hevc")]
)
def test_a_video_is_decoded_from_the_last_key_frame_on(tmp_path, codec, format):
    packets = video(codec, 12, 5)

    def write(bag, ns):
        for i, packet in enumerate(packets[2:]):  # of the first group the key frame is lost
            bag.video("/front/video", ns + i * STEP, packet, format)

    stream = camera_of(tmp_path, write)
    assert (stream.t_ns[0] - START) / STEP == 2 + 3  # the next key frame is the sixth
    assert len(stream.t_ns) == 7
    for wanted in ([0, 1, 2, 3, 4, 5, 6], [3], [1, 6], [5, 6]):
        means = [image.mean() for image in stream.frames(wanted)]
        np.testing.assert_allclose(means, [20 + 15 * (5 + i) for i in wanted], atol=3)


def test_a_video_without_a_key_frame_or_of_another_codec_is_refused(tmp_path):
    packets = video("libx264", 4, 10)

    def headless(bag, ns):
        for i, packet in enumerate(packets[1:]):
            bag.video("/front/video", ns + i * STEP, packet)

    with pytest.raises(TraceError, match="has no key frame, from which it could be decoded"):
        camera_of(tmp_path / "a", headless)

    def other(bag, ns):
        bag.video("/front/video", ns, packets[0], "vp9")

    with pytest.raises(TraceError, match="video of 'vp9' is not read; h264, h265, hevc"):
        camera_of(tmp_path / "b", other)

    def damaged(bag, ns):
        for i, packet in enumerate(packets):
            bag.video("/front/video", ns + i * STEP, packet if i != 2 else b"\0\0\1\x41\xff" * 9)

    with pytest.raises(TraceError, match=r"video: .*(gives no picture|cannot be decoded)"):
        list(camera_of(tmp_path / "c", damaged).frames([0, 1, 2, 3]))
