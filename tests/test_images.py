"""Pictures from outside are believed only after a look at what they declare."""

import os
import struct
import zlib

import cv2
import numpy as np
import pytest

from vista_sim.errors import TraceError
from vista_sim.images import read_header, read_image, read_mask


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width, height):
    """A small PNG that declares many pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(10_000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def picture(size=(20, 31)):
    v, u = np.mgrid[0 : size[0], 0 : size[1]]
    return np.stack([10 * v % 256, 5 * u % 256, 0 * u + 90], axis=2).astype(np.uint8)


@pytest.mark.parametrize(("suffix", "most"), [("png", 0), ("jpg", 20)])
def test_png_and_jpeg_are_read_as_rgb(tmp_path, suffix, most):
    path = tmp_path / f"[a] b.{suffix}"
    path.write_bytes(cv2.imencode(f".{suffix}", picture()[..., ::-1])[1].tobytes())
    image = read_image(path, TraceError)
    assert image.shape == (20, 31, 3)
    assert np.abs(image.astype(int) - picture()).mean() <= most


@pytest.mark.parametrize("flags", [[], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]])
def test_the_header_of_a_jpeg_gives_its_size(flags):
    content = cv2.imencode(".jpg", picture((33, 47)), flags)[1].tobytes()
    header = read_header(content)
    assert (header.format, header.size, header.bits) == ("JPEG", (33, 47), 8)


def test_a_mark_of_the_orientation_does_not_turn_the_pixels(tmp_path):
    plain = cv2.imencode(".jpg", picture())[1].tobytes()
    exif = b"Exif\x00\x00MM\x00*\x00\x00\x00\x08" + struct.pack(">HHHIHHI", 1, 0x112, 3, 1, 6, 0, 0)
    mark = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    (tmp_path / "turned.jpg").write_bytes(plain[:2] + mark + plain[2:])
    assert read_image(tmp_path / "turned.jpg", TraceError).shape == (20, 31, 3)


@pytest.mark.parametrize("size", [(50_000, 50_000), (16_384, 16_384), (0, 10), (2**31, 1)])
def test_a_picture_that_declares_too_many_pixels_is_not_decoded(tmp_path, size, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", None)  # decoding would be a TypeError
    (tmp_path / "a.png").write_bytes(bomb(*size))
    with pytest.raises(TraceError, match=r"a\.png: declares .* pixels"):
        read_image(tmp_path / "a.png", TraceError)


def test_sixteen_bits_are_not_read_as_eight(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((8, 9), 4095, np.uint16))
    with pytest.raises(TraceError, match=r"a\.png: has 16 bits a channel; scale it to 8"):
        read_image(tmp_path / "a.png", TraceError)


def test_what_is_no_picture_is_refused_in_one_line(tmp_path):
    good = cv2.imencode(".png", picture())[1].tobytes()
    jpeg = cv2.imencode(".jpg", picture())[1].tobytes()
    for content in (
        b"",
        b"text",
        good[:20],
        good[:60],
        jpeg[:4],
        b"\xff\xd8" + b"\xff" * 50,
        b"BM",
    ):
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(TraceError, match=r"a\.png: cannot be read as an image") as caught:
            read_image(tmp_path / "a.png", TraceError)
        assert "\n" not in str(caught.value)


def test_a_pipe_in_place_of_a_picture_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(TraceError, match=r"a\.png: is a pipe"):
        read_image(tmp_path / "a.png", TraceError)


def test_a_mask_is_where_a_picture_is_not_black_and_of_the_cameras_size(tmp_path):
    wanted = np.zeros((8, 9), bool)
    wanted[5:, 2:7] = True
    cv2.imwrite(str(tmp_path / "mask.png"), wanted.astype(np.uint8))
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png", (8, 9), TraceError), wanted)
    with pytest.raises(TraceError, match=r"is \(8, 9\); the camera's pictures are \(8, 10\)"):
        read_mask(tmp_path / "mask.png", (8, 10), TraceError)
