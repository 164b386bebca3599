"""Copies of a trace that lack some of its frames and sweeps: what is measured against them.

Frames of a trace's video are whole by themselves, so those that stay are copied as they are coded.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vista_sim.traces.trace import Trace


def thinned(
    trace: Trace,
    destination: Path,
    frames: Mapping[str, Collection[int]],
    sweeps: Mapping[str, Collection[int]],
) -> Trace:
    """A copy of a trace in a new folder, without its geometry.

    Args:
        frames: those left out, by camera. sweeps: those left out, by lidar.
    """
    destination.mkdir(parents=True)
    for path in trace.root.iterdir():
        if path.is_file():
            shutil.copy(path, destination)
    for name, dropped in frames.items():
        keep = [i for i in range(trace.cameras[name].frame_count) if i not in dropped]
        _copy_frames(trace.root / f"{name}.mp4", destination / f"{name}.mp4", dropped)
        t_ns = pq.read_table(trace.root / f"{name}.parquet")["t_ns"].to_numpy()[keep]
        table = pa.table({"frame": np.arange(len(keep)), "t_ns": t_ns})
        pq.write_table(table, destination / f"{name}.parquet")
    for name, dropped in sweeps.items():
        path = destination / f"{name}.parquet"
        table = pq.read_table(path)
        t_ns = table["t_ns"].to_numpy()
        gone = np.unique(t_ns)[sorted(dropped)]
        pq.write_table(table.filter(pa.array(~np.isin(t_ns, gone))), path)
    return Trace.open(destination)


def _copy_frames(source: Path, destination: Path, dropped: Collection[int]) -> None:
    """Copy a video without some of its frames, as they are coded."""
    with av.open(str(source)) as old, av.open(str(destination), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        packets = [packet for packet in old.demux(stream) if packet.size]
        packets.sort(key=lambda packet: packet.pts or 0)
        for number, packet in enumerate(packets):
            if number not in dropped:
                packet.stream = copy
                new.mux(packet)
