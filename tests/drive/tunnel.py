"""A TCP forwarder that takes its time, as an SSH tunnel over a long way does."""

import asyncio
import contextlib
import threading


class Tunnel:
    """Forwards a port of its own to another of this machine; a context manager.

    Args:
        port: that it leads to.
        delay: s that everything takes, each way.
        rate: bytes a second that fit through, each way; None: any.

    Attributes:
        port: that it begins at.
    """

    def __init__(self, port, delay, rate=None):
        self._to, self._delay, self._rate = port, delay, rate
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._open = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    def cut(self):
        """Break every connection."""
        self._loop.call_soon_threadsafe(self._abort)

    def _abort(self):
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self):
        server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._over.wait()
        server.close()
        self._abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _forward(self, reader, writer):
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self._to)
        self._open |= {writer, other_writer}
        ways = (self._pipe(reader, other_writer), self._pipe(other_reader, writer))
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await asyncio.gather(*ways)
        for one in (writer, other_writer):
            one.close()

    async def _pipe(self, reader, writer):
        waiting = asyncio.Queue(64)  # full: whoever sends more has to wait, as with TCP

        async def read():
            while data := await reader.read(16384):
                await waiting.put((self._loop.time() + self._delay, data))
            await waiting.put((0.0, b""))

        async def write():
            while True:
                due, data = await waiting.get()
                if not data:
                    writer.close()
                    return
                await asyncio.sleep(max(0.0, due - self._loop.time()))
                if self._rate is not None:
                    await asyncio.sleep(len(data) / self._rate)
                writer.write(data)
                await writer.drain()

        await asyncio.gather(read(), write())
