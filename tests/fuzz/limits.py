"""Runs a case in a process of its own, forked from a warm one, and watches its time and memory.

Forking spares each case the seconds that the packages take to load, so that ten thousand cases take
minutes. What a case may use:

- 20 s. A loaded machine is no hang: what counts is the processor's time, or the clock where the
  case waits for something (none of its threads wants to run), and twenty times the clock in all.
- 1 GiB of memory beyond what it had when it began. Its peak is what the kernel noted
  (`ru_maxrss`, with that of the case's own processes); meanwhile a watch looks at it 50 times a
  second and ends what is over. Neither RLIMIT_AS nor RLIMIT_DATA could be the limit: both count
  what is reserved, and mapped files, arenas and the stacks of threads reserve gigabytes that are
  never used. RLIMIT_DATA stands far above, so that what grows between two looks does not take
  the machine with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import logging
import os
import resource
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

SECONDS = 20.0
MEMORY = 2**30  # bytes
RESERVED = 6 * 2**30  # bytes, beyond what the warm process has reserved
_LOOK = 0.02  # s between two looks at the memory
_STILL = 4  # looks on end, half a second apart, at which nothing moves: it waits
_PATIENCE = 20  # times the limit by the clock, for a machine that has much else to do
_GRACE = 1.0  # s in which what a case started may end after it
_PAGE = os.sysconf("SC_PAGE_SIZE")
_OUTPUT = 200_000  # bytes of stdout and stderr that are looked at


@dataclass
class Outcome:
    """How a case ended.

    Args:
        status: of its exit; None where a signal ended it.
        signal: that ended it.
        over: "time" or "memory" where a limit did.
        stack: where it was then, or the traceback of what nobody had foreseen.
        left: processes that it left behind, which are ended.
    """

    status: int | None
    signal: int | None
    over: str | None
    seconds: float
    processor_seconds: float
    memory: int
    out: str
    err: str
    stack: str
    left: list[str] = field(default_factory=list)


def take_orphans(wanted: bool = True) -> None:
    """Of a process that forks cases: take over what they leave behind."""
    set_child_subreaper = 36
    ctypes.CDLL(None, use_errno=True).prctl(set_child_subreaper, int(wanted), 0, 0, 0)


def run_case(run: Callable[[Path], int | None], folder: Path, notes: Path) -> Outcome:
    """Run it in a forked process, in its folder.

    Args:
        run: returns the status to exit with, or raises SystemExit; what else it raises is a fault.
        notes: folder for its outputs.
    """
    names = {name: notes / name for name in ("out", "err", "stack")}
    for path in names.values():
        path.write_bytes(b"")
    known = _children()
    started = time.monotonic()
    told, telling = os.pipe()
    pid = os.fork()
    if pid == 0:
        # Its own, which is less than that of this process: mapped files are mapped anew.
        os.write(telling, str(_resident(os.getpid())).encode())
        os.close(telling)
        _be_the_case(run, folder, names)
    os.close(telling)
    before = int(os.read(told, 64))
    os.close(told)
    over = _watch(pid, started, before + MEMORY, names["stack"])
    _, how, usage = os.wait4(pid, 0)
    seconds = time.monotonic() - started
    memory = max(0, usage.ru_maxrss * 1024 - before)
    if over is None and memory > MEMORY:
        over = "memory"
    texts = {name: _read(path) for name, path in names.items()}
    return Outcome(
        status=os.WEXITSTATUS(how) if os.WIFEXITED(how) else None,
        signal=os.WTERMSIG(how) if os.WIFSIGNALED(how) else None,
        over=over,
        seconds=seconds,
        processor_seconds=usage.ru_utime + usage.ru_stime,
        memory=memory,
        left=_end_left(known),
        **texts,
    )


def _be_the_case(run: Callable[[Path], int | None], folder: Path, names: dict[str, Path]) -> None:
    status = 1
    try:
        os.setsid()
        stack = open(names["stack"], "a")  # noqa: SIM115
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(names[name], os.O_WRONLY | os.O_APPEND), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
        logging.root.handlers.clear()
        faulthandler.enable(stack)
        faulthandler.register(signal.SIGUSR1, stack, all_threads=True)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        reserved = _reserved() + RESERVED
        resource.setrlimit(resource.RLIMIT_DATA, (reserved, reserved))
        os.chdir(folder)
        status = _status_of(run, folder, stack)
    finally:
        with contextlib.suppress(BaseException):
            threading._shutdown()  # waits for threads, as the interpreter does at its end
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(status)


def _status_of(run: Callable[[Path], int | None], folder: Path, stack) -> int:
    """As the interpreter's own: of SystemExit its code, of other exceptions 1."""
    try:
        return run(folder) or 0
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 0xFF
        sys.stderr.write(f"{end.code}\n")
        return 1
    except BaseException:
        traceback.print_exc(file=stack)
        stack.flush()
        traceback.print_exc()
        return 1


def noting_the_unforeseen(stack_of: Callable[[], str]) -> None:
    """Have `vista-sim` write what its commands did not foresee to a file, before it tells it."""
    from vista_sim import cli
    from vista_sim.errors import VistaError

    build = cli.build_app

    def built(*args, **more):
        app = build(*args, **more)

        def noting(*given, **options):
            try:
                return app(*given, **options)
            except (VistaError, KeyboardInterrupt):
                raise
            except Exception:
                with open(stack_of(), "a") as file:
                    traceback.print_exc(file=file)
                raise

        return noting

    cli.build_app = built


def _watch(pid: int, started: float, most: int, stack: Path) -> str | None:
    """Wait for the end of a process; end it where it is over a limit, and say over which."""
    descriptor = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        used, still = 0.0, 0
        while not poll.poll(1000 * _LOOK):
            seconds = time.monotonic() - started
            over = None
            if _resident(pid) > most:
                over = "memory"
            elif seconds > SECONDS:
                before, used = used, _processor_seconds(pid)
                still = still + 1 if used == before and not _wants_to_run(pid) else 0
                if used > SECONDS or still > _STILL or seconds > _PATIENCE * SECONDS:
                    over = "time"
                else:
                    time.sleep(0.5)
            if over is not None:
                _end(pid, stack)
                return over
    finally:
        os.close(descriptor)
    return None


def _end(pid: int, stack: Path) -> None:
    """End a case and its processes, once it has said where it is."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGUSR1)
        until = time.monotonic() + 1.0
        while not stack.stat().st_size and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.05)
        os.killpg(pid, signal.SIGKILL)


def _end_left(known: set[int]) -> list[str]:
    """End the processes that came to this one when a case ended; their command lines."""
    until = time.monotonic() + _GRACE
    while (left := _children() - known) and time.monotonic() < until:
        _reap(left)
        time.sleep(0.02)
    told = []
    for pid in left:
        with contextlib.suppress(OSError):
            line = (
                Path(f"/proc/{pid}/cmdline")
                .read_bytes()
                .replace(b"\0", b" ")
                .decode(errors="replace")
            )
            told.append(line.strip()[:120])
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
    return told


def _reap(pids: set[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def _children() -> set[int]:
    found = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            found |= {int(pid) for pid in (task / "children").read_text().split()}
    return found


def _resident(pid: int) -> int:
    """Bytes of memory that a process has; 0 where it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def _reserved() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0


def _processor_seconds(pid: int) -> float:
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _wants_to_run(pid: int) -> bool:
    """Whether a thread of a process runs, or would if it were its turn, or reads from a disk."""
    for task in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):
            if task.read_text().rpartition(")")[2].split()[0] in "RD":
                return True
    return False


def _read(path: Path) -> str:
    """What was said; of too much of it the whole lines of its beginning."""
    with open(path, "rb") as file:
        said = file.read(_OUTPUT)
    whole = said if len(said) < _OUTPUT else said[: said.rfind(b"\n") + 1]
    return whole.decode(errors="replace")
