"""Runs a command of the project, and may end itself by SIGKILL at one of its file operations.

    python victim.py COUNTER N FOLDER vista-sim|vista-train ARGUMENTS...

Of the operations below FOLDER (opening to write, making, renaming, removing) the N-th is the last
thing that the process comes to; N = 0: none is. COUNTER gets how many there were.
"""

import os
import signal
import sys
from pathlib import Path

CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.truncate"}


def main():
    counter, last, folder, package, *arguments = sys.argv[1:]
    count = 0

    def hook(event, details):
        nonlocal count
        if event == "open":
            path, mode, flags = details
            writes = mode is not None and set("wax+") & set(str(mode))
            if not writes and not (isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)):
                return
        elif event in CHANGES:
            path = details[0]
        else:
            return
        if not isinstance(path, str | bytes | os.PathLike):
            return
        if os.fsdecode(path).startswith(folder):
            count += 1
            if count == int(last):
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    if package == "vista-train":
        from vista_agents.cli import main as run
    else:
        from vista_sim.cli import main as run
    try:
        run(arguments)
    finally:
        Path(counter).write_text(str(count))


if __name__ == "__main__":
    main()
