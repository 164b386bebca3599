"""Runs with roads and videos that were never driven, and a look at the pages made of them."""

import json
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from made_up_runs import write

from vista_sim.runs.run import FRAME_FIELDS, ROAD_FIELDS
from vista_sim.traces.video import VideoWriter

RATE = 10.0  # frames per second, as many as steps


def add_road(folder, traces=1):
    """Straight along x from 0 to 120 m, 3 m to the left edge and 2 m to the right one."""
    s = np.arange(0.0, 120.5, 0.5)
    rows = []
    for trace in range(traces):
        rows += [
            {
                "trace": trace,
                "section": 0,
                "s": at,
                "t": at / 8,
                "x": at,
                "y": 50.0 * trace,
                "z": 0.0,
                "yaw": 0.0,
                "curvature": 0.001 * at,
                "speed": 8.0 + 0.01 * at,
                "left": 3.0,
                "right": 2.0,
            }
            for at in s.tolist()
        ]
    schema = pa.schema(list(ROAD_FIELDS.items()))
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "roads.parquet")


def gray_of(frame):
    """Gray level of a frame of a made-up video: each is of another."""
    return 20 + 15 * frame


def add_videos(folder, shots, size=(48, 64), noise=False):
    """Videos of some episodes.

    Args:
        shots: (episode, view, file, steps) each; every step gets a frame.
    """
    (folder / "views").mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    rows, videos = [], {}
    for episode, view, file, steps in shots:
        frames = videos.setdefault(file, [])
        for step in steps:
            place = {"view": view, "file": file, "frame": len(frames)}
            rows.append({"episode": episode, "step": step, **place})
            frames.append(gray_of(len(frames)) % 256)
    for file, levels in videos.items():
        if "/" in file:
            continue
        with VideoWriter(folder / "views" / file, size, RATE) as writer:
            for level in levels:
                image = np.full((*size, 3), level, dtype=np.uint8)
                if noise:
                    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
                writer.write(image)
    schema = pa.schema(list(FRAME_FIELDS.items()))
    (folder / "frames.parquet").unlink(missing_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "frames.parquet")


def run(folder, things, finish=True, filmed=True, **info):
    """A made-up run with a road and, of its first two episodes, videos."""
    info = {"policy": {"name": "made up", "sha256": "0" * 64}, "what": "a made-up run"} | info
    write(folder, things, finish=finish, **info)
    if finish:
        add_road(folder)
        if filmed:
            shots = [
                (e, view, f"{e}.{view}.mp4", range(12))
                for e in (0, 1)
                for view in ("scene", "recorded")
            ]
            add_videos(folder, shots)
    return folder


def edit_info(folder, **values):
    """Change run.json."""
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


class Page(HTMLParser):
    """What a page holds, as a parser of HTML sees it."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.attributes, self.scripts, self.text = [], [], {}, []
        self._script = None
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag == "script":
            self._script = dict(attrs).get("id", f"script {len(self.scripts)}")
            self.scripts[self._script] = ""

    def handle_endtag(self, tag):
        if tag == "script":
            self._script = None

    def handle_data(self, data):
        if self._script is not None:
            self.scripts[self._script] += data
        else:
            self.text.append(data)

    @property
    def data(self):
        return json.loads(self.scripts["report-data"])

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())
