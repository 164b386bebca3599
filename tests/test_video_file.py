"""Videos from outside: their times, their orientation, and what is wrong with them."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from vista_sim.errors import TraceError
from vista_sim.traces.importers.video_file import VideoFile

SIZE = (48, 64)
GOPRO = Path(__file__).resolve().parents[2] / "shared" / "data" / "samples" / "gopro"


def picture(number, size=SIZE):
    """Left half lighter than the right one, all the lighter the later."""
    image = np.zeros((*size, 3), np.uint8)
    image[:, : size[1] // 2] = min(60 + 12 * number, 255)
    image[:, size[1] // 2 :] = 20
    return image


def write_video(
    path,
    times=tuple(k / 10 for k in range(12)),
    codec="libx264",
    pixels="yuv420p",
    turned=0,
    aspect=None,
    size=SIZE,
    container=None,
    **options,
):
    with av.open(str(path), "w", options=container or {}) as container:
        stream = container.add_stream(
            codec, rate=1000, options={k: str(v) for k, v in options.items()}
        )
        stream.height, stream.width = size
        stream.pix_fmt = pixels
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        if aspect:
            stream.codec_context.sample_aspect_ratio = Fraction(aspect)
        if turned:
            stream.set_display_rotation(turned)
        for number, t in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(number, size), "rgb24")
            frame.pts, frame.time_base = round(1000 * t), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def lightness(image):
    return float(image[:, : image.shape[1] // 3].mean())


def test_frames_have_the_times_of_the_container_at_a_rate_that_varies(tmp_path):
    times = (0.0, 0.033, 0.066, 0.2, 0.21, 0.5, 0.9)
    video = VideoFile.open(write_video(tmp_path / "a.mp4", times))
    np.testing.assert_allclose(video.t_ns * 1e-9, times, atol=1e-6)
    assert video.size == SIZE


def test_frames_that_refer_to_later_ones_come_in_order(tmp_path):
    path = write_video(tmp_path / "a.mp4", bf=3, g=12, preset="medium")
    with av.open(str(path)) as container:
        stored = [packet.pts for packet in container.demux(video=0) if packet.pts is not None]
    assert stored != sorted(stored)  # there are B-frames
    video = VideoFile.open(path)
    np.testing.assert_allclose(np.diff(video.t_ns) * 1e-9, 0.1, atol=1e-6)
    light = [lightness(image) for image in video.frames(range(12))]
    np.testing.assert_allclose(np.diff(light), 12, atol=2)


def test_single_frames_are_those_of_the_whole(tmp_path):
    video = VideoFile.open(write_video(tmp_path / "a.mp4", bf=2, g=4))
    whole = list(video.frames(range(12)))
    for chosen in ([0], [11], [3, 4, 9], [6, 11]):
        for number, image in zip(chosen, video.frames(chosen), strict=True):
            np.testing.assert_array_equal(image, whole[number])
    assert list(video.frames([])) == []


@pytest.mark.parametrize("turned", [90, 180, 270])
def test_pictures_are_turned_upright_as_the_container_says(tmp_path, turned):
    """What a player shows: FFmpeg's own command turns them by its filters."""
    video = VideoFile.open(write_video(tmp_path / "a.mp4", turned=turned))
    assert video.size == (SIZE[::-1] if turned % 180 else SIZE)
    image = next(video.frames([11]))
    assert image.shape[:2] == video.size
    light = np.argwhere(image[..., 0] > 100).mean(axis=0) - np.array(video.size) / 2
    # The light half was to the left; turned counter-clockwise by 90 degrees it is below.
    wanted = {90: (1, 0), 180: (0, 1), 270: (-1, 0)}[turned]
    assert np.sign(np.round(light / 10)).tolist() == list(wanted)


def test_ten_bits_become_eight_as_ffmpeg_makes_them(tmp_path):
    video = VideoFile.open(write_video(tmp_path / "a.mp4", pixels="yuv420p10le"))
    assert lightness(next(video.frames([5]))) == pytest.approx(120, abs=3)


def test_hdr_is_said(tmp_path, caplog):
    options = {"x265-params": "transfer=smpte2084:log-level=none"}
    path = write_video(tmp_path / "a.mp4", codec="libx265", pixels="yuv420p10le", **options)
    VideoFile.open(path)
    assert r"is HDR (PQ); its pictures will look pale" in caplog.text


def test_other_containers_are_read(tmp_path):
    for suffix in (".mov", ".mkv", ".ts"):
        video = VideoFile.open(write_video(tmp_path / f"a{suffix}"))
        assert len(video.t_ns) == 12
        assert lightness(next(video.frames([5]))) == pytest.approx(120, abs=3)


@pytest.mark.skipif(not GOPRO.is_dir(), reason="the samples are not here")
def test_a_recorded_video_is_read_as_opencv_reads_it():
    path = GOPRO / "max-heromode.mp4"
    video = VideoFile.open(path)
    assert (video.size, len(video.t_ns)) == ((480, 848), 315)
    assert np.ptp(np.diff(video.t_ns)) <= 1  # ns; 29.97 Hz
    assert video.created.isoformat() == "2019-11-18T15:45:32+00:00"
    reader = cv2.VideoCapture(str(path))
    for number, image in enumerate(video.frames(range(0, 60, 30))):
        reader.set(cv2.CAP_PROP_POS_FRAMES, 30 * number)
        other = cv2.cvtColor(reader.read()[1], cv2.COLOR_BGR2RGB)
        assert np.abs(image.astype(int) - other).mean() < 3


def audio(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    return path


def front_index(path):
    """A video with its index at the front, so that what is cut off is frames."""
    return write_video(path, tuple(k / 10 for k in range(40)), container={"movflags": "faststart"})


def same_times(path):
    write_video(path)
    with av.open(str(path)) as source, av.open(str(path.with_suffix(".mkv")), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.pts = packet.dts = 0
                packet.stream = stream
                out.mux(packet)
    return path.with_suffix(".mkv")


def playlist(path):
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n")
    return path


WRONG = {
    "missing": (lambda p: p, r"not found"),
    "empty": (lambda p: (p.write_bytes(b""), p)[1], r"cannot be read as \.mp4"),
    "text": (lambda p: (p.write_text("hello"), p)[1], r"cannot be read as \.mp4"),
    "a playlist": (playlist, r"cannot be read as \.mp4"),
    "a folder": (lambda p: (p.mkdir(), p)[1], r"is a folder"),
    "audio alone": (audio, r"holds no moving pictures"),
    "without its index": (lambda p: cut(write_video(p), 0.5), r"is it cut off"),
    "cut off": (lambda p: cut(front_index(p), 0.8), r"is cut off: \d+ of 40 frames are there"),
    "one frame": (lambda p: write_video(p, (0.0,)), r"holds 1 frames; at least 2"),
    "the same times": (same_times, r"frames 0 and 1 have the same time; write it anew: ffmpeg"),
    "wide pixels": (lambda p: write_video(p, aspect="4/3"), r"pixels are 1\.33 times as wide"),
    "another name": (
        lambda p: write_video(p).rename(p.with_suffix(".xyz")),
        r"is no video by its name",
    ),
    "a bare stream": (
        lambda p: write_video(p.with_suffix(".h264")),
        r"a bare stream has no times; give it some: ffmpeg -framerate RATE -i a\.h264 -c copy",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_video_is_refused_in_one_line(tmp_path, case):
    make, message = WRONG[case]
    path = make(tmp_path / "a.mp4")
    with pytest.raises(TraceError, match=message) as caught:
        VideoFile.open(path)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)


def test_a_damaged_frame_is_named(tmp_path):
    video = VideoFile.open(front_index(tmp_path / "a.mp4"))
    data = bytearray(video.path.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    video.path.write_bytes(data)
    with pytest.raises(TraceError, match=r"a\.mp4: (frame \d+ cannot be|cannot be) decoded"):
        list(video.frames(range(40)))


def test_a_size_beyond_bounds_is_refused(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4")
    monkeypatch.setattr("vista_sim.traces.calibration.MAX_SIDE", 60)
    with pytest.raises(TraceError, match=r"a\.mp4: picture size is \(48, 64\); it must be"):
        VideoFile.open(path)
