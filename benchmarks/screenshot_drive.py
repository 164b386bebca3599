"""Takes the README's picture of the drive page, with headless Chromium.

python benchmarks/screenshot_drive.py assets/pictures/drive.png
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from time import monotonic, sleep

from drive import CHROMIUM, CHROMIUM_ARGUMENTS, Drive, hold, key_for

AT = 12.0  # s of the drive


def shoot(picture: Path, trace: str, policy: str | None, viewport: tuple[int, int]) -> None:
    """Drive for some seconds by keys, and take a picture on the way."""
    from playwright.sync_api import sync_playwright

    if not CHROMIUM.exists():
        raise SystemExit(f"{CHROMIUM}: not found")
    arguments = [trace] if policy is None else [trace, "--policy", policy]
    with (
        tempfile.TemporaryDirectory() as folder,
        Drive(arguments, Path(folder) / "run") as drive,
        sync_playwright() as playwright,
    ):
        chromium = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=list(CHROMIUM_ARGUMENTS)
        )
        page = chromium.new_page(viewport={"width": viewport[0], "height": viewport[1]})
        page.goto(drive.url)
        while not page.evaluate("window.driveWatch?.frames > 0"):
            sleep(0.1)
        page.keyboard.press("Space")
        began, held = monotonic(), None
        while True:
            state = page.evaluate("driveWatch.state")
            good = state["phase"] == "driving" and abs(state["lateral"]) > 0.2
            if (state["t"] > AT and good) or monotonic() - began > 60:
                break
            held = hold(page, held, key_for(state))
            sleep(0.02)
        page.screenshot(path=str(picture))
        page.keyboard.press("q")
        page.get_by_text("The drive is over").wait_for(timeout=20_000)
        chromium.close()
    print(picture)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("picture", type=Path, help=".png to write")
    parser.add_argument("--trace", default="proving-ground")
    parser.add_argument("--policy", help="that the page offers to hand over to")
    parser.add_argument("--viewport", type=int, nargs=2, default=(1100, 720))
    given = parser.parse_args()
    shoot(given.picture, given.trace, given.policy, tuple(given.viewport))


if __name__ == "__main__":
    main()
