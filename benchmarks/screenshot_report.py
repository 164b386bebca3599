"""Pictures of a report's page, as a browser shows it.

    python benchmarks/screenshot_report.py REPORT.html PICTURE.png [--scheme dark] [--width 390]
        [--place "#run=0&episode=3&t=12.3"] [--whole]

Takes the Python package playwright (extra `dev`) and a Chromium: that of the system, or
playwright's own (`playwright install chromium`).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Literal

SYSTEM = Path("/usr/bin/chromium")
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")


def screenshot(
    report: Path,
    picture: Path,
    scheme: Literal["light", "dark"] = "light",
    size: tuple[int, int] = (1280, 1040),
    place: str = "",
    whole: bool = False,
) -> None:
    """Open a report, wait for its plots and videos, and take a picture.

    Args:
        report: the page.
        picture: PNG to write.
        scheme: of colours.
        size: (width, height) of the window, px.
        place: what is opened, such as "#run=0&episode=3&t=12.3"; "" shows the page's beginning.
        whole: take all of the page, not just the window.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        system = str(SYSTEM) if SYSTEM.exists() else None
        browser = playwright.chromium.launch(executable_path=system, args=list(ARGUMENTS))
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme
        )
        page = context.new_page()
        page.goto(report.absolute().as_uri() + place)
        page.wait_for_selector(".chart .plot svg")
        page.wait_for_timeout(1500)  # ms, for frames to be decoded
        page.screenshot(path=str(picture), full_page=whole)
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Take a picture of a report's page.")
    parser.add_argument("report", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--scheme", choices=("light", "dark"), default="light")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=1040)
    parser.add_argument("--place", default="")
    parser.add_argument("--whole", action="store_true")
    given = parser.parse_args()
    size = (given.width, given.height)
    screenshot(given.report, given.picture, given.scheme, size, given.place, given.whole)


if __name__ == "__main__":
    main()
