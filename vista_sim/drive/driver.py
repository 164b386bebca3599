"""What is sent to a driver: the newest of everything, when their page is ready for it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vista_sim.drive.link import Link
from vista_sim.drive.protocol import CLOSE_ENDED

if TYPE_CHECKING:
    from aiohttp import web

FAREWELL = 2.0  # s that parting may take
WINDOW = 3  # frames under way that the page has not yet said it drew: enough for 20 Hz over 120 ms


@dataclass
class _Sent:
    """What of a link a driver has got."""

    texts: dict[str, str]
    frame: int = 0
    picture: int = 0


class Driver:
    """The connection of a driver: what was sent, and what is to be."""

    def __init__(self, connection: web.WebSocketResponse, link: Link) -> None:
        self.connection, self._link = connection, link
        self.news = asyncio.Event()
        self.acked = 0
        self.pong: int | None = None  # of the page
        self.echo: bytes | None = None  # of the protocol's own ping
        self._under_way: list[int] = []
        self._sent = _Sent({})

    async def send(self, hello: str) -> None:
        """Send the newest of everything whenever there is something new, to the end."""
        with contextlib.suppress(ConnectionError, RuntimeError):
            await self.connection.send_str(hello)
            self.news.set()
            while not self.connection.closed:
                await self.news.wait()
                self.news.clear()
                await self._send_news()

    async def _send_news(self) -> None:
        if self.echo is not None:
            echo, self.echo = self.echo, None
            await self.connection.pong(echo)
        if self.pong is not None:
            number, self.pong = self.pong, None
            await self.connection.send_str(json.dumps({"type": "pong", "id": number}))
        for kind, text in self._link.told().items():
            if self._sent.texts.get(kind) is not text:
                self._sent.texts[kind] = text
                await self.connection.send_str(text)
        frame = self._link.frame
        self._under_way = [n for n in self._under_way if n > self.acked]
        if frame is None or frame.number <= self._sent.frame or len(self._under_way) >= WINDOW:
            return
        self._sent.frame = frame.number
        self._under_way.append(frame.number)
        new_picture = frame.picture != self._sent.picture
        self._sent.picture = frame.picture
        await self.connection.send_bytes(frame.pack(new_picture))

    async def part(self, code: int, reason: str) -> None:
        """Say why, and close."""
        with contextlib.suppress(ConnectionError, RuntimeError, TimeoutError):
            async with asyncio.timeout(FAREWELL):  # who does not read may be waited for for ever
                await self.connection.send_json({"type": "refused", "reason": reason})
                await self.connection.close(code=code, message=reason.encode()[:120])

    async def finish(self) -> None:
        """Send what was told last, and close."""
        with contextlib.suppress(ConnectionError, RuntimeError):
            await self._send_news()
            await self.connection.close(code=CLOSE_ENDED, message=b"the drive is over")
