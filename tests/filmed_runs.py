"""Runs with roads and videos that were never driven: a straight road, gray frames that count."""

import numpy as np
import pyarrow as pa

from vista_sim.runs.filming import CAMERA, RECORDED, SCENE, VALIDITY
from vista_sim.runs.run import ROAD_FIELDS
from vista_sim.runs.writer import RunWriter
from vista_sim.traces.video import VideoWriter

SIZE = (32, 64)
LENGTH = 40.0  # m
SPEED = 8.0  # m/s


def straight_road(trace=0):
    s = np.arange(0.0, LENGTH + 0.1, 0.5)
    values = {name: np.zeros(len(s)) for name in ROAD_FIELDS}
    values |= {"s": s, "x": s, "t": s / SPEED, "speed": np.full(len(s), SPEED)}
    values |= {"curvature": 0.001 * s, "left": np.full(len(s), 3.0), "right": np.full(len(s), 1.5)}
    values["trace"] = np.full(len(s), trace)
    schema = pa.schema(list(ROAD_FIELDS.items()))
    return pa.table({n: pa.array(values[n], t) for n, t in ROAD_FIELDS.items()}, schema=schema)


def write_run(
    folder,
    *,
    name="policy",
    trace={"name": "straight", "path": "/nowhere"},  # noqa: B006
    endings=("end_of_trace",),
    steps=12,
    lateral=0.5,
    terms=("progress",),
    views=(SCENE, CAMERA, RECORDED, VALIDITY),
    finish=True,
):
    """A run of one episode for each ending; None leaves that episode without a row."""
    info = {"what": "made up", "policy": {"name": name}, "traces": [trace]}
    writer = RunWriter(folder, info, terms, roads=straight_road())
    videos = {}
    for episode, ending in enumerate(endings):
        for k in range(steps):
            row = {"episode": episode, "step": k, "t": 0.1 * k, "scene_time": 0.1 * k}
            row |= {"s": 0.8 * k, "x": 0.8 * k, "y": lateral, "yaw": 0.0, "lateral": lateral}
            row |= {"speed": SPEED, "action_curvature": 0.01 if k else None, "reward": 1.0}
            writer.steps.append(row | {f"reward_{term}": 0.5 for term in terms})
            for view in views:
                if view not in videos:
                    (folder / "views").mkdir(exist_ok=True)
                    file = folder / "views" / f"drive.{view}.mp4"
                    videos[view] = VideoWriter(file, SIZE, 10.0, fragmented=True, key_every=10)
                video = videos[view]
                place = {"view": view, "file": video.path.name, "frame": video.frame_count}
                writer.frames.append({"episode": episode, "step": k, **place})
                video.write(np.full((*SIZE, 3), 16 * (k % 16), np.uint8))
        if ending is not None:
            about = {"episode": episode, "kind": "closed_loop", "driver": "policy", "trace": 0}
            writer.episodes.append(about | {"trace_name": "straight", "ending": ending})
    for video in videos.values():
        video.close()
    writer.flush()
    if finish:
        writer.finish({})
    return folder
