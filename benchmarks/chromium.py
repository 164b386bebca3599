"""Headless Chromium for measuring pages and taking pictures of them.

Takes the Python package playwright (extra `dev`) and a Chromium: that of the system, or
playwright's own (`playwright install chromium`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SYSTEM = Path("/usr/bin/chromium")
#: The browser does nothing by itself.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WEBGL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")


@contextmanager
def chromium(webgl: bool = False) -> Iterator[Browser]:
    """A browser without a window; with `webgl`, it draws in 3D without a graphics card."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        system = str(SYSTEM) if SYSTEM.exists() else None
        arguments = [*ARGUMENTS, *(WEBGL if webgl else ("--disable-gpu",))]
        browser = playwright.chromium.launch(executable_path=system, args=arguments)
        try:
            yield browser
        finally:
            browser.close()
