"""A target: valid inputs, what of them is damaged, and the commands that read them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import resource
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import (  # noqa: F401
    format_operators,
    log_operators,
    message_operators,
    pickle_operators,
    sensor_operators,
    table_operators,
    text_operators,
)
from .operators import NotApplicableError, Operator, fitting, is_damageable
from .verdict import REFUSED, Rules

UNREADABLE = 70  # exit status of a case that made what another command then refused
FULL_DISK = "full disk"
FULL = "full"  # folder on a disk that is full
FULL_SIZE = 96 * 1024  # bytes
SECOND_DAMAGE = 0.15  # of the cases have a second one


@dataclass(frozen=True)
class Command:
    """A command of the project, run in the folder of a case.

    Args:
        argv: of vista-sim, or of vista-train where that is the program.
        weight: how often it is drawn.
        reads: patterns of files that it is sure to read.
        touches: patterns of files that are damaged for it; none: all of the target's.
        then: run after it has ended well, and has to end well too.
        warm: whether it is run in the process that forks the cases.
    """

    argv: tuple[str, ...]
    weight: float = 1
    reads: tuple[str, ...] = ()
    touches: tuple[str, ...] = ()
    rules: Rules = field(default_factory=Rules)
    program: str = "vista-sim"
    then: tuple[str, ...] = ()
    warm: bool = True

    @property
    def on_full_disk(self) -> bool:
        """Whether it writes to a full disk; its input is left as it is then."""
        return any(word.startswith(FULL + "/") for word in self.argv)

    def __str__(self) -> str:
        return " ".join((self.program, *self.argv))


def command(
    line: str, weight: float = 1, reads: Sequence[str] = (), touches: str = "", **more
) -> Command:
    """A command from its line; options of `Rules` are taken too."""
    names = Rules.__dataclass_fields__
    rules = Rules(**{name: more.pop(name) for name in list(more) if name in names})
    then = tuple(more.pop("then", "").split())
    touched = tuple(touches.split())
    return Command(tuple(line.split()), weight, tuple(reads), touched, rules, then=then, **more)


@dataclass(frozen=True)
class Plan:
    """What a case does: the damage that was done, and the command that follows."""

    operators: tuple[str, ...]
    command: Command
    refused: bool


@dataclass(frozen=True)
class Target:
    """Inputs of one kind.

    Args:
        make: writes valid inputs into a folder.
        damaged: patterns of files, and how often each is drawn.
        commands: that read them.
        run: runs a command in the folder of a case; returns its exit status.
        load: imports what the commands need, where running them does not.
        suits: whether an operator is used for the target.
    """

    name: str
    make: Callable[[Path], None]
    damaged: tuple[tuple[str, int], ...]
    commands: tuple[Command, ...]
    load: Callable[[], None] = lambda: None
    run: Callable[[Command, Path], int | None] | None = None
    suits: Callable[[Operator], bool] = lambda operator: True

    def plan(self, rng: random.Random, folder: Path, only: str | None = None) -> Plan:
        """Damage the inputs in a folder, by one operator alone where it is named."""
        commands = self.commands
        if only is not None:
            commands = tuple(c for c in commands if c.on_full_disk == (only == FULL_DISK))
        for _ in range(50):  # not every operator fits what each command reads
            chosen = rng.choices(commands, [c.weight for c in commands])[0]
            if chosen.on_full_disk:
                return Plan((FULL_DISK,), chosen, False)
            first = self._damage(rng, folder, chosen.touches, only)
            if first is not None:
                break
        else:
            raise AssertionError(f"{self.name}: nothing can be damaged by {only}")
        twice = only is None and rng.random() < SECOND_DAMAGE
        second = self._damage(rng, folder, chosen.touches, None, again=True) if twice else None
        done = [damage for damage in (first, second) if damage is not None]
        _, file, says = first
        refused = says == "refused" and any(Path(file).match(p) for p in chosen.reads)
        told = tuple(f"{name} ({file})" for name, file, _ in done)
        return Plan(told, chosen, refused and len(done) == 1)

    def _damage(
        self,
        rng: random.Random,
        folder: Path,
        touches: Sequence[str],
        only: str | None,
        again: bool = False,
    ) -> tuple[str, str, str | None] | None:
        """Damage one file: the operator, the file, and what it says; None: there is none left."""
        # What is damaged already may have nothing left of what an operator takes for granted.
        unfit = Exception if again else (NotApplicableError, UnicodeDecodeError, OverflowError)
        for _ in range(200):
            pattern = rng.choices([p for p, _ in self.damaged], [w for _, w in self.damaged])[0]
            files = [p for p in sorted(folder.glob(pattern)) if is_damageable(p)]
            if touches:
                files = [p for p in files if any(p.match(touched) for touched in touches)]
            if not files:
                continue
            path = rng.choice(files)
            fit = [o for o in fitting(path) if self.suits(o) and only in (None, o.name)]
            if not fit:
                continue
            chosen = rng.choice(fit)
            aside = path.read_bytes()
            try:
                with contextlib.chdir(folder):
                    says = chosen.apply(rng, path)
            except unfit:
                path.unlink(missing_ok=True)
                path.write_bytes(aside)
                continue
            return chosen.name, str(path.relative_to(folder)), says
        return None

    def warm(self, seeds: Path, scratch: Path) -> None:
        """Load and compile what cases need, in this process."""
        self.load()
        for one in self.commands:
            if one.warm and not one.on_full_disk:
                shutil.rmtree(scratch, ignore_errors=True)
                shutil.copytree(seeds, scratch)
                with contextlib.chdir(scratch), _silent(scratch.with_name("said")) as said:
                    status = self.case(one, scratch)
                assert status in (0, None, *one.rules.statuses), f"{one}: {said.read_text()}"

    def case(self, chosen: Command, folder: Path) -> int | None:
        """Run a command in the folder of a case, in this process."""
        if chosen.on_full_disk:
            fill_disk(folder / FULL)
        return (self.run or run_command)(chosen, folder)


def run_command(chosen: Command, folder: Path) -> int:
    """The exit status of a command line of the project, run in this process."""
    if chosen.program == "vista-train":
        from vista_agents.cli import main as run
    else:
        from vista_sim.cli import main as run
    status = _status(run, list(chosen.argv))
    if status == 0 and chosen.then:
        status = UNREADABLE if _status(run, list(chosen.then)) == REFUSED else status
    return status


def _status(run: Callable[[list[str]], None], argv: list[str]) -> int:
    before, sys.argv = sys.argv, ["vista", *argv]
    try:
        run(argv)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.argv = before
    return 0


def fill_disk(folder: Path) -> None:
    """Make a folder that holds `FULL_SIZE`: a file system of its own, for this process alone.

    Where the machine does not allow that, no file may get larger than that instead.
    """
    folder.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    new_namespace, private = 0x00020000, 1 << 18 | 1 << 14
    alone = libc.unshare(new_namespace) == 0 and libc.mount(b"", b"/", None, private, None) == 0
    options = f"size={FULL_SIZE},mode=0777".encode()
    if not alone or libc.mount(b"full", os.fsencode(folder), b"tmpfs", 0, options) != 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (FULL_SIZE, FULL_SIZE))


@contextlib.contextmanager
def _silent(into: Path) -> Iterator[Path]:
    """What is printed in the block goes into a file."""
    sys.stdout.flush(), sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    nowhere = os.open(into, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        yield into
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        for number, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, number)
            os.close(copy)
        os.close(nowhere)
