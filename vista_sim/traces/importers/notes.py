"""What an importer says of what it chose or found by itself: `vista-sim import` shows it."""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)


def note(line: str) -> None:
    """Say one line; of a library that is asked for nothing, the log keeps it at level INFO."""
    logger.info("%s", line)


def show_notes() -> None:
    """Let the log pass what is said so."""
    logger.setLevel(logging.INFO)
