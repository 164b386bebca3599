"""Rerun's own program: the files of its page, and its native window."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import IO

from vista_sim import children
from vista_sim.errors import MissingDependencyError, VistaError
from vista_sim.replay.viewer.page import LOOPBACK, Asset

PATIENCE = 60.0  # s for the program to start: a machine at work may take long
FILES = ("/", "/index.html", "/re_viewer.js", "/re_viewer_bg.wasm", "/favicon.ico", "/favicon.svg")
HEADERS = ("Content-Type", "Content-Encoding", "Rerun-Final-Length")
_POLL = 0.02  # s between two looks at what the program has said
_ANSI = re.compile(r"\x1b\[[0-9;]*m")  # colours of a terminal
_HOSTING = re.compile(rf"web-viewer at http://{re.escape(LOOPBACK)}:(\d+)")
_NOTHING = "http://127.0.0.1:9/none.rrd"  # of an address to show, no server of data is started


class Program:
    """Rerun as a child process, which ends when this one does.

    Args:
        arguments: of the program.
        stdin: of the program.

    Raises:
        MissingDependencyError: Rerun is not installed.
    """

    def __init__(self, arguments: list[str], stdin: int = subprocess.DEVNULL) -> None:
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        # CI: Rerun sends no usage figures where that is set.
        environment = {k: v for k, v in os.environ.items() if k != "RUST_LOG"} | {"CI": "1"}
        self.process = children.start(
            [_executable(), *arguments],
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            env=environment,
        )

    def said(self) -> str:
        """What it has said so far, without colours."""
        size = os.fstat(self._log.fileno()).st_size
        return _ANSI.sub("", os.pread(self._log.fileno(), size, 0).decode(errors="replace"))

    def last_words(self) -> str:
        """The last error that it told, in brackets; else its last line, or nothing."""
        lines = self.said().strip().splitlines()
        told = [line for line in lines if "rror" in line or "ERROR" in line] or lines
        return f" ({told[-1][:200]})" if told else ""

    def close(self) -> None:
        """End it."""
        children.end(self.process)
        self._log.close()


def page_files() -> dict[str, Asset]:
    """The files of Rerun's page by path, from its own server, which is gone afterwards.

    Raises:
        VistaError: the program does not start.
        MissingDependencyError: Rerun is not installed.
    """
    with _hosting() as port:
        connection = HTTPConnection(LOOPBACK, port, timeout=PATIENCE)
        try:
            return {path: _fetch(connection, path) for path in FILES}
        except (OSError, HTTPException) as error:
            raise VistaError(f"Rerun's page cannot be had ({error!r}); --save needs none") from None
        finally:
            connection.close()


def _fetch(connection: HTTPConnection, path: str) -> Asset:
    connection.request("GET", path)
    answer = connection.getresponse()
    content = answer.read()
    headers = {name: value for name in HEADERS if (value := answer.getheader(name))}
    return Asset(headers, content if answer.status == 200 else b"")


@contextmanager
def _hosting() -> Iterator[int]:
    """Port at which the program gives out its page, and nothing else; it chooses a free one."""
    program = Program(["--bind", LOOPBACK, "--serve-web", "--web-viewer-port", "0", _NOTHING])
    try:
        end = time.monotonic() + PATIENCE
        while (found := _HOSTING.search(program.said())) is None:
            if program.process.poll() is not None:
                raise VistaError(
                    f"Rerun's viewer cannot start{program.last_words()}; --save FILE.rrd needs none"
                )
            if time.monotonic() > end:
                raise VistaError(f"Rerun's viewer does not answer after {PATIENCE:.0f} s")
            time.sleep(_POLL)
        yield int(found[1])
    finally:
        program.close()


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
