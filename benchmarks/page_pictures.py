"""Pictures of the pages that vista_sim makes, as headless Chromium shows them.

    python benchmarks/page_pictures.py report REPORT.html PICTURE.png [--scheme dark]
        [--viewport 390 800] [--place "#run=0&episode=3&t=12.3"] [--whole]
    python benchmarks/page_pictures.py drive assets/pictures/drive.png [--policy runs/guided]

`report` waits for plots and videos; `drive` drives some seconds by keys first. That of the viewer
is made by viewer_picture.py.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING

from chromium import chromium
from drive import Drive, hold, key_for

if TYPE_CHECKING:
    from playwright.sync_api import Page

SETTLE = 1500  # ms, for frames to be decoded
DRIVEN = 12.0  # s of the drive at which its picture is taken
PATIENCE = 60.0  # s that this may take


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    pages = parser.add_subparsers(dest="page", required=True)
    report = pages.add_parser("report", help="a report's page")
    report.add_argument("report", type=Path, help="page, .html")
    report.add_argument("--place", default="", help='such as "#run=0&episode=3&t=12.3"')
    report.add_argument("--whole", action="store_true", help="all of the page, not one window")
    drive = pages.add_parser("drive", help="the page to drive in")
    drive.add_argument("--trace", default="proving-ground")
    drive.add_argument("--policy", help="that the page offers to hand over to")
    for one, viewport in ((report, (1280, 1040)), (drive, (1100, 720))):
        one.add_argument("picture", type=Path, help=".png to write")
        one.add_argument("--scheme", choices=("light", "dark"), default="light")
        one.add_argument("--viewport", type=int, nargs=2, default=viewport, help="px")
    given = parser.parse_args()
    width, height = given.viewport
    with chromium() as browser:
        page = browser.new_page(
            viewport={"width": width, "height": height}, color_scheme=given.scheme
        )
        if given.page == "report":
            open_report(page, given.report, given.place)
            page.screenshot(path=str(given.picture), full_page=given.whole)
        else:
            picture_of_drive(page, given.picture, given.trace, given.policy)
    print(given.picture)


def open_report(page: Page, report: Path, place: str) -> None:
    """Open a report at a place ("" is its beginning), and wait for its plots and videos."""
    page.goto(report.absolute().as_uri() + place)
    page.wait_for_selector(".chart .plot svg")
    page.wait_for_timeout(SETTLE)


def picture_of_drive(page: Page, picture: Path, trace: str, policy: str | None) -> None:
    """Drive for some seconds by keys, and take a picture on the way."""
    arguments = [trace] if policy is None else [trace, "--policy", policy]
    with (
        tempfile.TemporaryDirectory() as folder,
        Drive(arguments, Path(folder) / "run") as drive,
    ):
        page.goto(drive.url)
        while not page.evaluate("window.driveWatch?.frames > 0"):
            sleep(0.1)
        page.keyboard.press("Space")
        began, held = monotonic(), None
        while True:
            state = page.evaluate("driveWatch.state")
            good = state["phase"] == "driving" and abs(state["lateral"]) > 0.2
            if (state["t"] > DRIVEN and good) or monotonic() - began > PATIENCE:
                break
            held = hold(page, held, key_for(state))
            sleep(0.02)
        page.screenshot(path=str(picture))
        page.keyboard.press("q")
        page.get_by_text("The drive is over").wait_for(timeout=20_000)


if __name__ == "__main__":
    main()
