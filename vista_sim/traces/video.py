"""Camera streams of a trace: H.264 in MP4, every frame a key frame, reached in any order.

Colours are BT.709 limited range, converted with full chroma interpolation. Time lives in
the Parquet table beside the video; the container only counts frames.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from vista_sim.errors import TraceError
from vista_sim.traces.calibration import CameraCalibration
from vista_sim.traces.decoder import close_decoders, read_frame
from vista_sim.traces.video_index import VideoIndex, reason_of

Image = NDArray[np.uint8]

_BT709 = 1  # both SWS_CS_ITU709 and AVCOL_SPC/PRI/TRC_BT709
_LIMITED, _FULL = 1, 2  # AVCOL_RANGE_MPEG, AVCOL_RANGE_JPEG
_TO_YUV = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP


class VideoWriter:
    """Writes RGB frames to an MP4: H.264, yuv420p, BT.709.

    Args:
        path: the file.
        size: (height, width) of the frames; odd sizes are padded by repeating the edge.
        rate: nominal frames per second, for players.
        crf: H.264 constant rate factor; 18 is visually lossless, smaller is better.
        preset: of x264.
        fragmented: readable up to the last second if the program is killed, at a less
            handy file; without it the index stands at the front of the finished file.
        key_every: frames from one key frame to the next. A recording's frames are all key frames;
            what is only watched takes less than half the bytes with fewer.
    """

    def __init__(
        self,
        path: Path | str,
        size: tuple[int, int],
        rate: float,
        *,
        crf: float = 18.0,
        preset: str = "medium",
        fragmented: bool = False,
        key_every: int = 1,
    ) -> None:
        self.path = Path(path)
        self.size = (int(size[0]), int(size[1]))
        self.frame_count = 0
        if not 1e-3 <= rate <= 1e4:
            raise TraceError(f"{self.path}: rate is {rate}; it must be in frames per second")
        flags = "+empty_moov+default_base_moof" if fragmented else "+faststart"
        options = {"movflags": flags}
        if fragmented:
            options |= {"frag_duration": "1000000", "flush_packets": "1"}
        frame_rate = Fraction(float(rate)).limit_denominator(1000)
        self._container = av.open(str(self.path), "w", format="mp4", options=options)
        stream: Any = self._container.add_stream("libx264", rate=frame_rate)
        stream.height, stream.width = (n + n % 2 for n in self.size)
        stream.pix_fmt = "yuv420p"
        stream.gop_size = key_every
        context = stream.codec_context
        context.max_b_frames = 0
        context.thread_count = 1
        # Recorded frames are decoded over and over: half the time is worth a tenth more bytes.
        # What is written fragmented must not have frames held back by the encoder.
        tune = "zerolatency" if fragmented else "fastdecode"
        context.options = {"crf": f"{crf:g}", "preset": preset, "tune": tune}
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED
        self._stream = stream
        self._time_base = 1 / frame_rate
        self._reformatter = VideoReformatter()

    def write(self, rgb: Image) -> None:
        """Append a frame, uint8 (height, width, 3)."""
        height, width = self.size
        if rgb.shape != (height, width, 3) or rgb.dtype != np.uint8:
            raise TraceError(
                f"{self.path}: frame {self.frame_count} is {rgb.dtype} {rgb.shape}; "
                f"it must be uint8 {(height, width, 3)}"
            )
        if height % 2 or width % 2:
            rgb = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24"),
            format="yuv420p",
            dst_colorspace=_BT709,
            src_color_range=_FULL,
            dst_color_range=_LIMITED,
            interpolation=_TO_YUV,
            threads=1,
        )
        frame.pts = self.frame_count
        frame.time_base = self._time_base
        for packet in self._stream.encode(frame):
            self._container.mux(packet)
        self.frame_count += 1

    def close(self) -> None:
        """Flush and finish the file. Calling it again does nothing."""
        container, self._container = self._container, None
        if container is None:
            return
        try:
            if self.frame_count:
                for packet in self._stream.encode(None):
                    container.mux(packet)
        finally:
            container.close()

    def abort(self) -> None:
        """Let go of the file without caring for its content."""
        container, self._container = self._container, None
        if container is not None:
            try:
                container.close()
            except (OSError, ValueError):  # the reason is already on its way to the user
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


class RecordedCamera:
    """A camera stream of a trace.

    Frames are decoded on request, with the decoders of the calling thread, so an instance may
    be pickled, forked and shared. Nothing is cached, and no file stays open.

    Args:
        name: of the sensor.
        path: the MP4.
        calibration: lens, true size and mount.
        t: (n,) moment of each frame, s.
        index: where the n frames lie in the file.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        calibration: CameraCalibration,
        t: NDArray[np.float64],
        index: VideoIndex,
    ) -> None:
        self.name = name
        self.path = path
        self.calibration = calibration
        self.t = t
        self.frame_count = len(t)
        self._index = index

    def __repr__(self) -> str:
        return f"RecordedCamera({self.name!r}, {self.frame_count} frames, {self.path})"

    def frame(self, index: int) -> Image:
        """Decode one frame.

        Args:
            index: 0 to frame_count - 1.

        Returns:
            uint8 RGB (height, width, 3) of the true size.

        Raises:
            IndexError: no such frame.
            TraceError: the video cannot be decoded there.
        """
        if not 0 <= index < self.frame_count:
            raise IndexError(f"{self.path}: no frame {index}; it has {self.frame_count}")
        try:
            return read_frame(self.path, self._index, index, self.calibration.lens.size)
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = reason_of(error)
        raise TraceError(f"{self.path}: frame {index} cannot be decoded ({reason})")

    def nearest(self, t: float) -> int:
        """Index of the frame nearest in time to t (s)."""
        after = int(np.searchsorted(self.t, t))
        if after == 0:
            return 0
        if after == self.frame_count:
            return self.frame_count - 1
        return after if self.t[after] - t < t - self.t[after - 1] else after - 1

    def close(self) -> None:
        """Drop this thread's decoders; the next frame makes another."""
        close_decoders()
