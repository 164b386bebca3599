"""What Rerun logs, as bytes that this process writes on by itself.

Rerun's own sinks are not used: the one for files waits for ever on a full disk, and the one for
its servers puts the recording on a port that answers whoever asks. Here Rerun writes into a pipe,
a thread reads from it, and an error of writing is an error of Python.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

_AT_ONCE = 1 << 16  # bytes, the size of a pipe


class Flow:
    """What is logged to a stream, on its way to where it is written.

    Attributes:
        error: why nothing more is written; None: all is well.
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self.error: OSError | None = None

    def check(self) -> None:
        """Raise the OSError of writing, if there was one."""
        if self.error is not None:
            raise self.error

    def checked(self, report: Callable[..., None]) -> Callable[..., None]:
        """A progress report that ends the work when nothing more can be written."""

        def told(*arguments: Any) -> None:
            self.check()
            report(*arguments)

        return told

    def pump(self, source: int) -> None:
        """Write on all that comes from a file descriptor, and close it.

        After an error the rest is read and dropped, so that Rerun never waits.
        """
        try:
            while data := os.read(source, _AT_ONCE):
                if self.error is None:
                    try:
                        self._write(data)
                    except OSError as error:
                        self.error = error
        finally:
            os.close(source)


@contextmanager
def flowing(stream: Any, write: Callable[[bytes], object]) -> Iterator[Flow]:
    """Write what is logged in the block, as the content of an .rrd file.

    Args:
        stream: a recording of Rerun.
        write: takes all bytes that it is given, in another thread.

    Raises:
        OSError: of `write`, at the end of the block.
    """
    source, sink = os.pipe()
    flow = Flow(write)
    thread = threading.Thread(target=flow.pump, args=(source,), daemon=True)
    thread.start()
    try:
        stream.save(f"/dev/fd/{sink}")
        os.close(sink)
        sink = -1
        yield flow
        with suppress(RuntimeError):  # of Rerun: what there was to write is told by `check`
            stream.flush()
    finally:
        stream.disconnect()
        if sink >= 0:
            os.close(sink)
        thread.join()
    flow.check()
