"""Where a recording goes: a file, a native window, or a page in the browser."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from vista_sim.atomic import whole_file, why_not
from vista_sim.errors import VistaError
from vista_sim.replay.viewer.flow import Flow, flowing
from vista_sim.replay.viewer.page import LOOPBACK, Page
from vista_sim.replay.viewer.program import Program, page_files


@contextmanager
def saving(stream: Any, path: Path, overwrite: bool = False) -> Iterator[Flow]:
    """Write what is logged in the block into an .rrd file, which appears when it is whole.

    Raises:
        VistaError: the file is there already or cannot be written.
    """
    if path.suffix != ".rrd":
        raise VistaError(f"{path}: a recording of Rerun has a name that ends in .rrd")
    if path.is_dir() or (path.exists() and not overwrite):
        raise VistaError(f"{path}: is there already; choose another name or give --overwrite")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            whole_file(path) as part,
            part.open("wb", buffering=0) as file,
            flowing(stream, file.write) as flow,
        ):
            yield flow
    except OSError as error:
        raise VistaError(f"{path}: {why_not(error)}") from None


def check_screen() -> None:
    """Raise VistaError where a native window cannot open."""
    has_screen = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    if sys.platform.startswith("linux") and not has_screen:
        raise VistaError(
            "there is no screen for a native window here; use --web for a page in the browser or "
            "--save FILE.rrd"
        )


class BrowserViewer:
    """Rerun's viewer as a page in the browser; a context manager that ends it.

    All is served by this process, so that nothing is left when it ends.

    Args:
        port: of the page; 0: any that is free.

    Raises:
        VistaError: Rerun does not start, or the port is taken.
        MissingDependencyError: Rerun is not installed.
    """

    def __init__(self, port: int = 0) -> None:
        self._page = Page(port)
        try:
            self._page.assets.update(page_files())
        except BaseException:
            self._page.close()
            raise
        self.url = self._page.url

    def __enter__(self) -> BrowserViewer:
        return self

    def __exit__(self, *_: object) -> None:
        self._page.close()

    @contextmanager
    def receiving(self, stream: Any) -> Iterator[Flow]:
        """Send what is logged in the block to who looks at the page. Raises VistaError."""
        recording = self._page.recording
        try:
            with flowing(stream, recording.write) as flow:
                yield flow
        except OSError as error:
            raise VistaError(f"the recording: {why_not(error)}") from None
        finally:
            recording.end()

    def wait(self) -> None:
        """Wait until a signal ends this process."""
        threading.Event().wait()


class WindowViewer:
    """Rerun's native viewer as a child process; a context manager that ends it.

    It gets the recording by its standard input. Its own server, which cannot be turned off,
    listens on the loopback interface and holds nothing.

    Raises:
        MissingDependencyError: Rerun is not installed.
    """

    url = ""  # of no page

    def __init__(self) -> None:
        arguments = ["--bind", LOOPBACK, "--port", "0", "--hide-welcome-screen"]
        self._program = Program([*arguments, "--expect-data-soon", "-"], stdin=subprocess.PIPE)

    def __enter__(self) -> WindowViewer:
        return self

    def __exit__(self, *_: object) -> None:
        self._program.close()

    @contextmanager
    def receiving(self, stream: Any) -> Iterator[Flow]:
        """Send what is logged in the block to the window; less where it is closed meanwhile.

        Raises:
            VistaError: the viewer broke.
        """
        stdin = self._program.process.stdin
        assert stdin is not None
        try:
            with flowing(stream, stdin.write) as flow:
                yield flow
            stdin.close()
        except BrokenPipeError:
            with suppress(OSError):
                stdin.close()
            self.wait()

    def wait(self) -> None:
        """Wait until the window is closed. Raises VistaError if it broke."""
        if self._program.process.wait() != 0:
            raise VistaError(
                f"Rerun's viewer cannot go on{self._program.last_words()}; use --web for a page in "
                "the browser or --save FILE.rrd"
            )


def opened(web: bool, port: int = 0) -> AbstractContextManager[BrowserViewer | WindowViewer]:
    """The viewer that is asked for. Raises VistaError, MissingDependencyError."""
    return BrowserViewer(port) if web else WindowViewer()
