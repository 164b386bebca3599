"""Where a recording goes: a file, a native window, or a page in the browser.

Rerun's own viewer does the showing, as a child process. Its servers, and the page, listen on the
loopback interface alone, and the page may not fetch anything from elsewhere.
"""

from __future__ import annotations

import importlib.util
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlsplit

from vista_sim.errors import MissingDependencyError, VistaError
from vista_sim.files import one_line

LOOPBACK = "127.0.0.1"
PATIENCE = 20.0  # s for the viewer to start
MEMORY = "512MB"  # that the server of the data may take
FILES = ("/", "/index.html", "/re_viewer.js", "/re_viewer_bg.wasm", "/favicon.ico", "/favicon.svg")
_ANSI = re.compile(r"\x1b\[[0-9;]*m")  # colours of a terminal
HEADERS = ("content-type", "content-encoding", "rerun-final-length")


@contextmanager
def saving(stream: Any, path: Path, overwrite: bool = False) -> Iterator[None]:
    """Write what is logged in the block into an .rrd file, which appears when it is whole.

    Raises:
        VistaError: the file is there already or cannot be written.
    """
    if path.suffix != ".rrd":
        raise VistaError(f"{path}: a recording of Rerun has a name that ends in .rrd")
    if path.is_dir() or (path.exists() and not overwrite):
        raise VistaError(f"{path}: is there already; choose another name or give --overwrite")
    part = path.with_name(f".{path.name}.part-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
        stream.save(str(part))
        yield
        stream.flush()
        stream.disconnect()
        os.replace(part, path)
    except OSError as error:
        raise VistaError(f"{path}: cannot be written ({one_line(error)})") from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def check_screen() -> None:
    """Raise VistaError where a native window cannot open."""
    has_screen = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    if sys.platform.startswith("linux") and not has_screen:
        raise VistaError(
            "there is no screen for a native window here; use --web for a page in the browser or "
            "--save FILE.rrd"
        )


class Viewer:
    """Rerun's viewer as a child process; a context manager that ends it.

    Args:
        web: serve a page in place of opening a window.
        port: of the page, and the next one of the data; 0: any that are free.

    Raises:
        VistaError: it does not start, or the port is taken.
        MissingDependencyError: Rerun is not installed.
    """

    def __init__(self, web: bool, port: int = 0) -> None:
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._page: ThreadingHTTPServer | None = None
        data_port = _usable(port + 1) if port else _free_port()
        arguments = ["--bind", LOOPBACK, "--port", str(data_port)]
        if web:
            assets_port = _free_port()
            arguments += ["--serve-web", "--web-viewer-port", str(assets_port)]
            arguments += ["--server-memory-limit", MEMORY]
            self._page = _page_server(port, assets_port, data_port)
        else:
            arguments += ["--hide-welcome-screen", "--expect-data-soon"]
        self.data_url = f"rerun+http://{LOOPBACK}:{data_port}/proxy"
        # CI: Rerun sends no usage figures where that is set.
        self._child = subprocess.Popen(
            [_executable(), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            env={k: v for k, v in os.environ.items() if k != "RUST_LOG"} | {"CI": "1"},
            start_new_session=True,  # Ctrl-C is for this process, which then ends the viewer
        )
        try:
            self._await(data_port)
            if web:
                self._await(assets_port)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Address of the page; empty for a window."""
        if self._page is None:
            return ""
        address = f"http://{LOOPBACK}:{self._page.server_address[1]}/"
        query = f"url={quote(self.data_url, safe='')}&hide_welcome_screen&persist=0&theme=dark"
        return f"{address}?{query}"

    @contextmanager
    def receiving(self, stream: Any) -> Iterator[None]:
        """Send what is logged in the block to the viewer; less where it is closed meanwhile.

        Raises:
            VistaError: the viewer broke.
        """
        stream.connect_grpc(self.data_url)
        try:
            yield
        except RuntimeError:
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(timeout=2.0)
            if self._child.poll() is None:
                raise
        finally:
            stream.disconnect()  # before the viewer goes, which would be told as an error
        if self._child.poll() is not None:
            self.wait()

    def wait(self) -> None:
        """Wait until the viewer is closed. Raises VistaError if it broke."""
        if self._child.wait() != 0:
            other = "" if self.url else "; use --web for a page in the browser or --save FILE.rrd"
            raise VistaError(f"Rerun's viewer cannot go on{self._last_words()}{other}")

    def close(self) -> None:
        """End the viewer and the page."""
        if self._page is not None:
            self._page.shutdown()
            self._page.server_close()
            self._page = None
        if self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        self._log.close()

    def _await(self, port: int) -> None:
        """Wait until the viewer listens."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if self._child.poll() is not None:
                raise VistaError(
                    f"Rerun's viewer cannot start{self._last_words()}; --save FILE.rrd needs none"
                )
            with suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1.0):
                return
            time.sleep(0.02)
        raise VistaError(f"Rerun's viewer does not answer after {PATIENCE:.0f} s")

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        told = [line for line in lines if "rror" in line or "ERROR" in line] or lines
        return f" ({_ANSI.sub('', told[-1])[:200]})" if told else ""


class _Page(BaseHTTPRequestHandler):
    """Passes on the files of Rerun's page, and tells the browser to keep to this machine."""

    assets_port: int
    policy: str
    hosts: tuple[str, ...]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, body: bool) -> None:
        path = urlsplit(self.path).path
        # A page elsewhere could give its name the address of this machine.
        if self.headers.get("Host") not in self.hosts or path not in FILES:
            self.send_error(404)
            return
        upstream = HTTPConnection(LOOPBACK, self.assets_port, timeout=PATIENCE)
        try:
            upstream.request("GET", path)
            answer = upstream.getresponse()
            data = answer.read()
        except OSError:
            self.send_error(502)
            return
        finally:
            upstream.close()
        self.send_response(answer.status)
        for name in HEADERS:
            if value := answer.getheader(name):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Security-Policy", self.policy)
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Requests are not worth telling."""


def _page_server(port: int, assets_port: int, data_port: int) -> ThreadingHTTPServer:
    policy = (
        "default-src 'none'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; worker-src 'self' blob:; "
        f"connect-src 'self' http://{LOOPBACK}:{data_port}; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )

    class Page(_Page):
        pass

    Page.assets_port, Page.policy = assets_port, policy
    try:
        server = ThreadingHTTPServer((LOOPBACK, port), Page)
    except OSError as error:
        raise _taken(port, error) from None
    Page.hosts = tuple(f"{host}:{server.server_address[1]}" for host in (LOOPBACK, "localhost"))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def _usable(port: int) -> int:
    """The port of the data, which nothing else must listen on. Raises VistaError."""
    with socket.socket() as probe:
        # As servers do: what waits for its end after an earlier replay is no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise _taken(port, error) from None
    return port


def _taken(port: int, error: OSError) -> VistaError:
    reason = error.strerror or one_line(error)
    return VistaError(f"port {port} cannot be used ({reason}); give another --port")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _executable() -> str:
    """The program that comes with the package Rerun."""
    spec = importlib.util.find_spec("rerun_cli")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        for name in ("rerun", "rerun.exe"):
            if (Path(folder) / name).is_file():
                return str(Path(folder) / name)
    raise MissingDependencyError(
        "the viewer needs Rerun; install it: pip install 'vista-sim[replay]'"
    )
