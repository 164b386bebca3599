"""What was followed, on disk: memory does not grow with a video; an interrupted one can go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from vista_sim.atomic import whole_file, write_whole
from vista_sim.traces.importers.visual.tracking import Followed

SEGMENT = 100  # frames of a file


class TrackStore:
    """Points of all frames, in files of `SEGMENT` frames each, and which frames are keyframes.

    Args:
        folder: a work folder; what is there is gone on from.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pending: list[Followed] = []
        self._loaded: dict[int, list[Followed]] = {}
        self._notes: dict[str, Any] = {"frames": 0, "next_id": 0, "keyframes": []}
        if (notes := folder / "tracks.json").is_file():
            self._notes = json.loads(notes.read_bytes())

    @property
    def count(self) -> int:
        """Frames on disk."""
        return int(self._notes["frames"])

    @property
    def keyframes(self) -> list[int]:
        """Their frames, increasing."""
        return list(self._notes["keyframes"])

    @property
    def next_id(self) -> int:
        """The number of the next new point after those on disk."""
        return int(self._notes["next_id"])

    def add(self, seen: Followed, next_id: int) -> None:
        """Add a frame; it is on disk once its file is full, or after `flush`."""
        self._pending.append(seen)
        if len(self._pending) == SEGMENT:
            self.flush(next_id)

    def flush(self, next_id: int) -> None:
        """Write what is pending; nothing may be added after a file that is not full."""
        if not self._pending:
            return
        number = self.count // SEGMENT
        with whole_file(self.folder / f"tracks-{number:06d}.npz") as part, part.open("wb") as file:
            np.savez(
                file,
                counts=np.array([len(seen.ids) for seen in self._pending]),
                ids=np.concatenate([seen.ids for seen in self._pending]),
                xy=np.concatenate([seen.xy for seen in self._pending]),
                key=np.array([seen.key for seen in self._pending]),
            )
        keys = [self.count + i for i, seen in enumerate(self._pending) if seen.key]
        self._notes = {
            "frames": self.count + len(self._pending),
            "next_id": next_id,
            "keyframes": self.keyframes + keys,
        }
        write_whole(self.folder / "tracks.json", json.dumps(self._notes).encode())
        self._pending = []

    def __getitem__(self, frame: int) -> Followed:
        number = frame // SEGMENT
        if number not in self._loaded:
            if len(self._loaded) > 3:
                del self._loaded[min(self._loaded, key=lambda other: -abs(other - number))]
            with np.load(self.folder / f"tracks-{number:06d}.npz", allow_pickle=False) as data:
                ends = np.cumsum(data["counts"])[:-1]
                self._loaded[number] = [
                    Followed(ids, xy, bool(key))
                    for ids, xy, key in zip(
                        np.split(data["ids"], ends),
                        np.split(data["xy"], ends),
                        data["key"],
                        strict=True,
                    )
                ]
        return self._loaded[number][frame % SEGMENT]
