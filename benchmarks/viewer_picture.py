"""Make the README's picture of the viewer, in headless Chromium.

    vista-sim evaluate --policy runs/guided --traces assets/proving-ground-unseen --out runs/a
    vista-sim evaluate --policy expert --traces assets/proving-ground-unseen --out runs/b
    python benchmarks/viewer_picture.py runs/a runs/b --at 0.53

Opens `vista-sim replay ... --web`, goes to a moment, and writes viewer.png. Prints JSON: the
picture, and the hosts that the page asked for something, which is this machine alone.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from chromium import chromium
from PIL import Image

PICTURES = Path(__file__).resolve().parent.parent / "assets" / "pictures"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("shown", type=Path, nargs="+", help="runs, or a trace")
    parser.add_argument("--out", type=Path, default=PICTURES / "viewer.png")
    parser.add_argument("--at", type=float, default=0.5, help="moment, as a share of the time line")
    parser.add_argument(
        "--settle", type=float, default=60.0, help="s that data and videos may take"
    )
    parser.add_argument("--size", default="1400x875", help="of the window, px")
    parser.add_argument("--load", type=float, default=60.0, help="s the page may take to start")
    options = parser.parse_args()
    width, height = (int(part) for part in options.size.split("x"))
    with serving([str(path) for path in options.shown]) as url:
        result = shoot(url, options.out, (width, height), options)
    print(json.dumps(result, indent=2))


@contextmanager
def serving(arguments: list[str]) -> Iterator[str]:
    """Address of the viewer's page, while it is served."""
    command = [sys.executable, "-c", "from vista_sim.cli import main; main()", "replay", "--web"]
    child = subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        line = child.stdout.readline()
        if not line.startswith("open "):
            raise SystemExit(f"the viewer did not start: {line.strip()}")
        yield line.split()[1]
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(timeout=20)


def shoot(
    url: str, out: Path, size: tuple[int, int], options: argparse.Namespace
) -> dict[str, Any]:
    """Load the page, pause it, go to a moment, and write a picture of it."""
    width, height = size
    hosts: set[str] = set()
    refused: set[str] = set()
    told: list[str] = []
    with chromium(webgl=True) as browser:
        page = browser.new_page(viewport={"width": width, "height": height})
        page.on("response", lambda answer: hosts.add(urlsplit(answer.url).netloc))
        page.on("requestfailed", lambda request: refused.add(urlsplit(request.url).netloc))
        page.on("console", lambda message: told.append(message.text))
        page.goto(f"{url}&renderer=webgl", timeout=1000 * options.load)
        end = time.monotonic() + options.load
        while not any("App started" in text for text in told) and time.monotonic() < end:
            page.wait_for_timeout(200)
        page.wait_for_timeout(500 * options.settle)
        page.keyboard.press("Space")
        # Where Rerun's collapsed time panel has its line.
        start, stop = 268, width - 208
        page.mouse.click(start + options.at * (stop - start), height - 14)
        page.mouse.move(0.3 * width, 12)
        page.wait_for_timeout(500 * options.settle)
        out.parent.mkdir(parents=True, exist_ok=True)
        session = page.context.new_cdp_session(page)
        answer = session.send("Page.captureScreenshot", {"format": "png"})
    picture = Image.open(io.BytesIO(base64.b64decode(answer["data"]))).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(out, optimize=True)
    return {"picture": str(out), "answered": sorted(hosts), "refused": sorted(refused - hosts)}


if __name__ == "__main__":
    main()
