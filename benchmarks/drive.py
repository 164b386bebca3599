"""How fast `vista-sim drive` is: frames a second, and time from an input to the frame with it.

python benchmarks/drive.py                    # prints JSON
python benchmarks/drive.py --seconds 60 --size 320x640 --browser

The drive runs as a process of its own, as a user starts it. A client connects by WebSocket, steers
along the road, and now and then changes the controls: the time from sending to the arrival of the
first frame whose header names that input is `input_to_frame_ms`. With --browser, headless Chromium
does the same with keys, and the time is from the keydown to when that frame was drawn.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np
from chromium import SYSTEM, chromium

from vista_sim.drive.protocol import unpack_frame
from vista_sim.drive.steering import GENTLE, curvature_limit
from vista_sim.runs.run import read_run

WARM_UP = 2.0  # s
LOOK_AHEAD = 8.0  # m, of the steering


class Drive:
    """`vista-sim drive` as a process; a context manager.

    Args:
        arguments: of the command.
        out: run folder.
    """

    def __init__(self, arguments: list[str], out: Path) -> None:
        self.out = out
        program = str(Path(sys.executable).with_name("vista-sim"))
        options = ["--port", "0", "--no-open", "--bake", "--out", str(out)]
        command = [program, "drive", *arguments, *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"http://\S+", line)
        if found is None:
            raise SystemExit(f"the drive did not start: {line!r}")
        self.url = found[0]

    def __enter__(self) -> Drive:
        return self

    def __exit__(self, *_: object) -> None:
        try:  # its driver has ended it
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(30)


def steering(header: dict[str, Any]) -> float:
    """Steer for a point of the path ahead, from -1 to 1."""
    speed = max(header["speed"], 1.0)
    beside = -header["lateral"] - LOOK_AHEAD * np.sin(header["heading"])
    curvature = 2 * beside / LOOK_AHEAD**2
    share = min(1.0, abs(curvature) / curvature_limit(speed)) ** (1 / GENTLE)
    return float(np.copysign(share, curvature))


async def client(url: str, seconds: float, seed: int) -> dict[str, Any]:
    """Drive by WebSocket; times of frames, and of inputs."""
    import aiohttp

    rng = random.Random(seed)
    arrived: list[float] = []
    waits: list[float] = []
    sizes: list[int] = []
    seq, asked, next_ask = 0, {}, 0.0  # type: int, dict[int, float], float
    origin = url.rstrip("/")
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{origin}/socket", origin=origin, max_msg_size=0) as socket,
    ):
        began = monotonic()
        await socket.send_json({"type": "command", "name": "go"})
        async for message in socket:
            now = monotonic()
            if message.type != aiohttp.WSMsgType.BINARY:
                continue
            header, jpeg = unpack_frame(message.data)
            await socket.send_json({"type": "ack", "frame": header["n"]})
            if now - began > WARM_UP + seconds:
                break
            if header["phase"] != "driving":
                asked.clear()
                await socket.send_json({"type": "command", "name": "go"})
                continue
            if now - began > WARM_UP and jpeg:
                arrived.append(now)
                sizes.append(len(jpeg))
            for number in [n for n in asked if n <= header["seq"]]:
                waits.append(now - asked.pop(number))
            if now >= next_ask:
                # At any moment of a step, as a hand would.
                await asyncio.sleep(rng.uniform(0.0, 0.05))
                seq += 1
                if monotonic() - began > WARM_UP:
                    asked[seq] = monotonic()
                given = {"type": "input", "seq": seq, "steer": steering(header)}
                await socket.send_json(given)
                next_ask = monotonic() + 0.1
        await socket.send_json({"type": "command", "name": "end"})
        async for message in socket:
            if message.type == aiohttp.WSMsgType.TEXT and '"end"' in message.data:
                break
    gaps = np.diff(arrived)
    return {
        "frames": len(arrived),
        "frames_per_second": round((len(arrived) - 1) / (arrived[-1] - arrived[0]), 2),
        "frame_interval_ms": spread(gaps),
        "input_to_frame_ms": spread(np.array(waits)),
        "frame_kilobytes": round(float(np.median(sizes)) / 1000, 1),
    }


def browser(url: str, seconds: float) -> dict[str, Any] | None:
    """Drive by keys in headless Chromium; None if it is not there."""
    if not SYSTEM.exists():
        return None
    with chromium() as found:
        page = found.new_page(viewport={"width": 1200, "height": 860})
        page.goto(url)
        while not page.evaluate("window.driveWatch?.frames > 0"):
            sleep(0.1)
        page.keyboard.press("Space")
        sleep(WARM_UP)
        page.evaluate("driveWatch.shown.length = driveWatch.gaps.length = 0")
        began, held = monotonic(), None
        while monotonic() - began < seconds:
            state = page.evaluate("driveWatch.state")
            if state["phase"] in ("ready", "paused"):
                page.keyboard.press("Space")
            held = hold(page, held, key_for(state))
            sleep(0.02)
        hold(page, held, None)
        gaps = np.array(page.evaluate("driveWatch.gaps")) / 1000
        waits = np.array(page.evaluate("driveWatch.shown")) / 1000
        page.keyboard.press("q")
        page.get_by_text("The drive is over").wait_for(timeout=20_000)
    return {
        "frames_per_second": round(len(gaps) / float(gaps.sum()), 2),
        "frame_interval_ms": spread(gaps),
        "keydown_to_drawn_ms": spread(waits),
    }


def key_for(state: dict[str, Any]) -> str | None:
    """The key that turns the wheel to where it should be."""
    missing = steering(state) - state["wheel"]
    if abs(missing) < 0.1:
        return None
    return "ArrowLeft" if missing > 0 else "ArrowRight"


def hold(page: Any, held: str | None, key: str | None) -> str | None:
    """Hold one key in place of another; None: none."""
    if key != held:
        if held is not None:
            page.keyboard.up(held)
        if key is not None:
            page.keyboard.down(key)
    return key


def spread(seconds: np.ndarray[Any, Any]) -> dict[str, float]:
    """Median, 95th percentile and largest, ms, and how many."""
    ms = 1000 * seconds
    return {
        "median": round(float(np.median(ms)), 1),
        "p95": round(float(np.percentile(ms, 95)), 1),
        "max": round(float(ms.max()), 1),
        "count": len(ms),
    }


def of_run(out: Path) -> dict[str, Any]:
    """What the steps of the run cost."""
    run = read_run(out)
    view = np.array(run.timings["view_s"].to_pylist())
    per_moment = len(set(run.frames["view"].to_pylist())) or 1
    return {
        "steps": run.steps.num_rows,
        "view_ms": spread(view),
        "filmed_moments": run.frames.num_rows // per_moment,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trace", default="proving-ground")
    parser.add_argument("--seconds", type=float, default=30.0, help="of driving that are measured")
    parser.add_argument("--size", default="320x640")
    parser.add_argument("--rate", default="20")
    parser.add_argument("--browser", action="store_true", help="measure in Chromium too")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    arguments = [given.trace, "--size", given.size, "--rate", given.rate]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "by-socket"
        with Drive(arguments, out) as drive:
            by_socket = asyncio.run(client(drive.url, given.seconds, given.seed))
        result: dict[str, Any] = {
            "size": given.size,
            "rate": float(given.rate),
            "cores": os.cpu_count(),
            "load": round(os.getloadavg()[0], 1),
            "socket": by_socket | of_run(out),
        }
        if given.browser:
            with Drive(arguments, Path(folder) / "by-keys") as drive:
                result["browser"] = browser(drive.url, given.seconds)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
