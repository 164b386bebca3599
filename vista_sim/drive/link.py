"""What lies between the thread that drives and the one that serves: always the newest, no queue.

The server puts in what the driver does, the session takes it at its next step. The session puts
in what is to be seen; the server sends the newest of it when the page is ready for more. What
nobody took in time is replaced, so that nothing grows and nothing gets old.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

from vista_sim.drive.protocol import Frame, Input

MAX_COMMANDS = 16  # waiting; older ones are forgotten


class Link:
    """Shared by the two threads.

    Attributes:
        input: how the driver holds the controls, as last heard.
        connected: whether there is a driver.
        frame: the newest.
    """

    def __init__(self) -> None:
        self.input = Input()
        self.connected = False
        self.frame: Frame | None = None
        self._news = threading.Condition()
        self._commands: deque[str] = deque(maxlen=MAX_COMMANDS)
        self._told: dict[str, str] = {}
        self._wake: Callable[[], None] = lambda: None

    # The server's side

    def on_news(self, wake: Callable[[], None]) -> None:
        """Have `wake` called, from the other thread, when there is something to send."""
        self._wake = wake

    def connect(self) -> None:
        """A driver is there, with hands off the controls."""
        with self._news:
            self.connected, self.input = True, Input()
            self._commands.clear()
            self._news.notify()

    def disconnect(self) -> None:
        """The driver is gone."""
        with self._news:
            self.connected, self.input = False, Input()
            self._news.notify()

    def give(self, given: Input) -> None:
        """The driver holds the controls so."""
        self.input = given

    def command(self, name: str) -> None:
        """The driver wants something."""
        with self._news:
            self._commands.append(name)
            self._news.notify()

    def told(self) -> dict[str, str]:
        """The newest text of each type."""
        with self._news:
            return dict(self._told)

    # The session's side

    def take_commands(self) -> list[str]:
        """What the driver wanted since the last call."""
        with self._news:
            taken = list(self._commands)
            self._commands.clear()
        return taken

    def wait(self, until: float) -> None:
        """Until a moment of `monotonic`, or until a command or a change of drivers comes."""
        with self._news:
            left = until - monotonic()
            if left > 0 and not self._commands:
                self._news.wait(left)

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send a text; one of the same "type" that was not sent yet is forgotten."""
        text = json.dumps(message, ensure_ascii=False, allow_nan=False)
        with self._news:
            self._told[str(message["type"])] = text
        self._wake()

    def show(self, frame: Frame) -> None:
        """Send a frame; one that was not sent yet is forgotten."""
        self.frame = frame
        self._wake()
