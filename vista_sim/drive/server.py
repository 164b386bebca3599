"""Serves the drive page and its WebSocket, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from vista_sim.drive.access import Access
from vista_sim.drive.connections import Connections, listen
from vista_sim.drive.driver import Driver
from vista_sim.drive.link import Link
from vista_sim.drive.protocol import (
    CLOSE_BUSY,
    CLOSE_MALFORMED,
    CLOSE_SILENT,
    MAX_MESSAGE,
    Ack,
    Command,
    Input,
    MessageError,
    Ping,
    parse_message,
)
from vista_sim.errors import MissingDependencyError

if TYPE_CHECKING:
    from aiohttp import web

SILENCE = 10.0  # s after which a driver who says nothing is dropped
WRONG_TOKEN_DELAY = 0.5  # s
LAST_WORDS = 3.0  # s that the end may take to reach the page
IDLE_CONNECTION = 15.0  # s that a connection may take to its first, or next, request
LINGERING = 3.0  # s after its end that a WebSocket is closed, whether or not its page reads
MOST_MESSAGES = 1000  # a second, of a driver; the page sends some 100

#: All that is served, by address.
PAGE = {
    "/": ("index.html", "text/html"),
    "/drive.css": ("drive.css", "text/css"),
    "/drive.js": ("drive.js", "text/javascript"),
    "/map.js": ("map.js", "text/javascript"),
    "/controls.js": ("controls.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

Handler = Callable[["web.Request"], Awaitable["web.StreamResponse"]]


class DriveServer:
    """Serves one drive; a context manager.

    Args:
        link: to the thread that drives.
        hello: what a page is told first.
        access: who may reach it.
        port: to listen at; 0: any free one.
        silence: s after which a driver who says nothing is dropped.

    Attributes:
        port: that is listened at.

    Raises:
        VistaError: it cannot be listened there.
        MissingDependencyError: aiohttp is not installed.
    """

    def __init__(
        self,
        link: Link,
        hello: Mapping[str, Any],
        access: Access,
        port: int,
        silence: float = SILENCE,
    ) -> None:
        try:
            import aiohttp  # noqa: F401
        except ImportError:
            raise MissingDependencyError(
                "the drive page needs aiohttp; install it: pip install 'vista-sim[drive]'"
            ) from None
        self._link, self._access, self._silence = link, access, silence
        self._hello = json.dumps({"type": "hello", **hello}, ensure_ascii=False)
        self._files = {
            address: ((files("vista_sim.drive") / "static" / name).read_bytes(), kind)
            for address, (name, kind) in PAGE.items()
        }
        self._socket = listen(access.host, port)
        self.port = int(self._socket.getsockname()[1])
        self._loop = asyncio.new_event_loop()
        self._driver: Driver | None = None
        self._connections: Connections
        self._started = threading.Event()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="drive-server", daemon=True)

    @property
    def url(self) -> str:
        """Address of the page, with the token."""
        host = self._access.host
        if host in ("0.0.0.0", "::"):
            host = socket.gethostname()
        named = f"[{host}]" if ":" in host else host
        token = "" if self._access.token is None else f"?token={self._access.token}"
        return f"http://{named}:{self.port}/{token}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(LAST_WORDS + 2.0)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._started.set()
            self._loop.close()

    async def _serve(self) -> None:
        from aiohttp import web

        async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not self._access.host_allowed(request.headers.get("Host")):
                return web.Response(status=403, text="This name does not lead to the drive.\n")
            return await handler(request)

        async def seal(request: web.Request, response: web.StreamResponse) -> None:
            response.headers.update(HEADERS)
            response.headers.pop("Server", None)

        app = web.Application(middlewares=[web.middleware(answer)], client_max_size=1024)
        app.on_response_prepare.append(seal)
        for address in self._files:
            app.router.add_get(address, self._page)
        app.router.add_get("/socket", self._socket_of)
        runner = web.AppRunner(
            app,
            access_log=None,
            logger=_logger(),
            shutdown_timeout=1.0,
            keepalive_timeout=IDLE_CONNECTION,
        )
        await runner.setup()
        assert runner.server is not None
        self._connections = Connections(self._socket, runner.server)
        accepting = asyncio.create_task(self._connections.accept())
        self._link.on_news(self._wake_soon)
        self._started.set()
        await self._closing.wait()
        self._link.on_news(lambda: None)
        accepting.cancel()
        if self._driver is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._driver.finish(), LAST_WORDS)
        await runner.cleanup()

    def _wake_soon(self) -> None:
        self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        if self._driver is not None:
            self._driver.news.set()

    async def _page(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        if request.path == "/" and not await self._token_right(request):
            text = "The drive's address has a token: open it whole, as the command printed it.\n"
            return web.Response(status=403, text=text)
        body, kind = self._files[request.path]
        return web.Response(body=body, content_type=kind, charset="utf-8")

    async def _token_right(self, request: web.Request) -> bool:
        if self._access.token_right(request.query.get("token")):
            return True
        await asyncio.sleep(WRONG_TOKEN_DELAY)
        return False

    async def _socket_of(self, request: web.Request) -> web.StreamResponse:
        """The WebSocket of a driver, to its end."""
        from aiohttp import web

        headers = request.headers
        if not self._access.origin_allowed(headers.get("Origin"), headers.get("Host")):
            return web.Response(status=403, text="Only the drive's own page may connect.\n")
        if not await self._token_right(request):
            return web.Response(status=403, text="The token is wrong.\n")
        transport = request.transport  # of which a request that is over no longer knows
        # JPEGs do not get smaller by another compression, which only costs time.
        connection = web.WebSocketResponse(
            max_msg_size=2 * MAX_MESSAGE, timeout=1.0, compress=False, autoping=False
        )
        try:
            await connection.prepare(request)
        except ValueError:  # of aiohttp, where a header is no text
            return web.Response(status=400, text="This is no WebSocket's greeting.\n")
        try:
            await self._serve_driver(connection, transport)
        finally:
            if transport is not None:
                self._loop.call_later(LINGERING, transport.abort)
        return connection

    async def _serve_driver(
        self, connection: web.WebSocketResponse, transport: asyncio.Transport | None
    ) -> None:
        if self._driver is not None or self._closing.is_set():
            reason = "somebody else drives already"
            await connection.send_json({"type": "refused", "reason": reason})
            await connection.close(code=CLOSE_BUSY, message=reason.encode())
            return
        driver = self._driver = Driver(connection, self._link)
        self._connections.kept = transport
        self._link.connect()
        sending = asyncio.create_task(driver.send(self._hello))
        try:
            await self._listen_to(driver)
        finally:
            self._driver = self._connections.kept = None
            self._link.disconnect()
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await sending

    async def _listen_to(self, driver: Driver) -> None:
        """Take in what a driver says until it ends, or has nothing more to say."""
        from aiohttp import WSMsgType

        connection = driver.connection
        second, messages = 0, 0
        while not connection.closed:
            try:
                message = await asyncio.wait_for(connection.receive(), self._silence)
            except TimeoutError:
                await driver.part(CLOSE_SILENT, f"silent for {self._silence:g} s")
                return
            now = int(self._loop.time())
            second, messages = now, messages + 1 if now == second else 1
            if messages > MOST_MESSAGES:
                await driver.part(CLOSE_MALFORMED, f"more than {MOST_MESSAGES} messages a second")
                return
            if message.type == WSMsgType.PING:
                driver.echo = message.data
                driver.news.set()
            elif message.type == WSMsgType.TEXT:
                try:
                    self._take(driver, message.data)
                except MessageError as error:
                    await driver.part(CLOSE_MALFORMED, str(error))
                    return
            elif message.type == WSMsgType.BINARY:
                await driver.part(CLOSE_MALFORMED, "a message is no text")
                return
            elif message.type != WSMsgType.PONG:
                return

    def _take(self, driver: Driver, text: str) -> None:
        message = parse_message(text)
        if isinstance(message, Input):
            self._link.give(message)
        elif isinstance(message, Command):
            self._link.command(message.name)
        elif isinstance(message, Ack):
            driver.acked = max(driver.acked, message.frame)
            driver.news.set()
        elif isinstance(message, Ping):
            driver.pong = message.id
            driver.news.set()


def _logger() -> logging.Logger:
    """Says what goes wrong here, and nothing of requests that are none: anybody can send those."""
    from aiohttp.http_exceptions import HttpProcessingError

    def ours(record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))

    logger = logging.getLogger(__name__)
    logger.addFilter(ours)
    return logger
