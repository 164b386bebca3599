"""The command `vista-sim` from its first moment on: Ctrl-C ends it in one line while it imports.

Importing anything of `vista_sim` imports Gymnasium and NumPy first, which takes a while; so this
module stands beside the package, and handles signals before it is imported.
"""

from __future__ import annotations

import os
import signal


def main() -> None:
    """Entry point of `vista-sim`; see `vista_sim.cli.main`."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end)
    from vista_sim.cli import main as run

    run()


def _end(number: int, frame: object) -> None:
    """End at once: nothing needs to be tidied up by now."""
    os.write(2, b"interrupted\n")
    os._exit(128 + number)
