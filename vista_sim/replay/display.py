"""A window for pictures, by pygame; without a display, by SDL's dummy driver."""

from __future__ import annotations

import os
import sys

import numpy as np
from numpy.typing import NDArray

from vista_sim.errors import MissingDependencyError


class Display:
    """Shows pictures in a window at a rate of at most `rate` per second.

    Raises:
        MissingDependencyError: pygame is not installed.
    """

    def __init__(self, title: str, rate: float) -> None:
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        has_display = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
        if sys.platform.startswith("linux") and not has_display:
            os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
        try:
            import pygame
        except ImportError:
            raise MissingDependencyError(
                "a window needs pygame; install it: pip install 'vista-sim[replay]'"
            ) from None
        self._pygame = pygame
        self._rate = rate
        self._title = title
        self._window: pygame.Surface | None = None
        pygame.display.init()
        self._clock = pygame.time.Clock()

    def show(self, picture: NDArray[np.uint8]) -> None:
        """Show a picture, uint8 (height, width, 3) RGB, and wait for its time to come."""
        pygame = self._pygame
        height, width = picture.shape[:2]
        if self._window is None or self._window.get_size() != (width, height):
            self._window = pygame.display.set_mode((width, height))
            pygame.display.set_caption(self._title)
        surface = pygame.surfarray.make_surface(picture.swapaxes(0, 1))
        self._window.blit(surface, (0, 0))
        pygame.event.pump()  # a window that handles no events is taken for hung
        pygame.display.flip()
        self._clock.tick(self._rate)

    def close(self) -> None:
        self._pygame.display.quit()
