"""The viewer's page: Rerun's files and the recording, from one server that checks who asks.

Everything comes from one address on the loopback interface, so that one check of Host and Origin
stands before all of it: a page elsewhere could give its own name the address of this machine (DNS
rebinding), and would then read recordings through the user's browser.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, urlsplit

from vista_sim.errors import VistaError
from vista_sim.files import one_line

LOOPBACK = "127.0.0.1"
RECORDING = "/recording.rrd"
_AT_ONCE = 1 << 18  # bytes
_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; worker-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Asset:
    """A file of the page: its headers that are passed on, and its content."""

    headers: Mapping[str, str]
    content: bytes


class Growing:
    """A recording that is written while it is read; in a file without a name, which goes with the
    process.

    Raises:
        VistaError: there is no folder for temporary files.
    """

    def __init__(self) -> None:
        try:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        except OSError as error:
            raise VistaError(
                f"the recording needs a temporary file ({one_line(error)}); set TMPDIR to a "
                "folder that can be written to"
            ) from None
        self._grown = threading.Condition()
        self._size = 0
        self._open = True

    def write(self, data: bytes) -> None:
        """Add to it. Raises OSError."""
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        with self._grown:
            self._size += len(data)
            self._grown.notify_all()

    def end(self) -> None:
        """Nothing more comes."""
        with self._grown:
            self._open = False
            self._grown.notify_all()

    @property
    def whole_size(self) -> int | None:
        """Bytes of it all; None while more may come."""
        with self._grown:
            return None if self._open else self._size

    def parts(self) -> Iterator[bytes]:
        """All of it, from the first byte on; waits for what is not yet written."""
        at = 0
        while True:
            with self._grown:
                while self._size <= at and self._open:
                    self._grown.wait()
                end = self._size
            if at >= end:
                return
            while at < end:
                part = os.pread(self._file.fileno(), min(_AT_ONCE, end - at), at)
                if not part:
                    return
                at += len(part)
                yield part


class Page:
    """Serves the page in threads of this process, until it is closed.

    Args:
        port: to listen at; 0: any that is free.

    Attributes:
        assets: the page's files, by path; to be filled.
        recording: what the page shows; to be written to.

    Raises:
        VistaError: the port is taken.
    """

    def __init__(self, port: int) -> None:
        self.assets: dict[str, Asset] = {}
        self.recording = Growing()

        class Handler(_Handler):
            pass

        Handler.assets, Handler.recording = self.assets, self.recording
        try:
            self._server = ThreadingHTTPServer((LOOPBACK, port), Handler)
        except OSError as error:
            reason = error.strerror or one_line(error)
            raise VistaError(
                f"port {port} cannot be used ({reason}); give another --port"
            ) from None
        names = (LOOPBACK, "localhost")
        Handler.hosts = tuple(f"{name}:{self._server.server_address[1]}" for name in names)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Address of the page."""
        address = f"http://{LOOPBACK}:{self._server.server_address[1]}"
        recording = quote(address + RECORDING, safe="")
        return f"{address}/?url={recording}&hide_welcome_screen&persist=0&theme=dark"

    def close(self) -> None:
        """End the server; who is being sent the recording gets no more."""
        self.recording.end()
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Answers who asks by the page's own name, and tells the browser to keep to this machine."""

    assets: Mapping[str, Asset]
    recording: Growing
    hosts: tuple[str, ...]
    protocol_version = "HTTP/1.1"
    timeout = 60.0  # s in which a request must come: else idle connections would add up

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, body: bool) -> None:
        path = urlsplit(self.path).path
        if not self._is_own():
            self.send_error(403)
        elif path == RECORDING:
            self._send_recording(body)
        elif path in self.assets:
            asset = self.assets[path]
            self._head(asset.headers, len(asset.content))
            if body:
                self.wfile.write(asset.content)
        else:
            self.send_error(404)

    def _is_own(self) -> bool:
        """Whether the page itself asks, or its address was opened."""
        host, origin = self.headers.get("Host"), self.headers.get("Origin")
        return host in self.hosts and origin in (None, f"http://{host}")

    def _send_recording(self, body: bool) -> None:
        self._head({"Content-Type": "application/octet-stream"}, self.recording.whole_size)
        if not body:
            return
        try:
            for part in self.recording.parts():
                self.wfile.write(part)
        except OSError:  # the browser went away
            self.close_connection = True

    def _head(self, headers: Mapping[str, str], length: int | None) -> None:
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        if length is None:  # the end of the connection is that of the content
            self.send_header("Connection", "close")
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(length))
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Requests are not worth telling."""
