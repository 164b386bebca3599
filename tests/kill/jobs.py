"""The commands that are killed: what they are given, what they leave, and what must be the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import vista_sim
from vista_sim.runs.run import read_run

NETWORK = (
    *("--network.encoder.size", "16", "32", "--network.encoder.features", "8"),
    *("--network.encoder.channels", "4", "4", "--network.encoder.kernels", "5", "3"),
    *("--network.encoder.strides", "2", "2", "--threads", "1"),
)
STEPS = ("--steps", "12", "--batch-size", "4", "--checkpoint-every", "2", "--evaluate-every", "4")
SMALL = ("--practice.num-envs", "2", "--practice.steps", "16")
TWO = ("--workers", "2", "--no-video")
PLAIN = ("--no-recovery", "--no-video")
SUITE = """format = "vista-scenario/1"
name = "kill"
traces = "{trace}"
mode = "restart"
time_limit = 2.0
seeds = 3
[start]
lateral = {{ from = -0.5, to = 0.5, steps = 2 }}
[image]
noise = 3.0
"""


class LostError(AssertionError):
    """Something that was whole is lost, half-written, left behind or different."""


@dataclass(frozen=True)
class Job:
    """A command, and what is to be true of what it writes.

    Args:
        name: of the job.
        program: "vista-sim" or "vista-train".
        arguments: without the destination's own; `{out}` and `{inputs}` stand for folders.
        again: further arguments with which it goes on after a kill.
        anew: further arguments with which it replaces what is there; None: it cannot.
        whole: raises unless what lies at a destination can be read; gets the destination.
        same: raises LostError unless two destinations hold the same.
        prepare: puts what the command works on into a destination's folder, if it needs that.
    """

    name: str
    program: str
    arguments: Sequence[str]
    again: Sequence[str]
    anew: Sequence[str] | None
    whole: Callable[[Path], object]
    same: Callable[[Path, Path], None]
    prepare: Callable[[Path, Path], None] = lambda inputs, out: None

    def command(self, inputs: Path, out: Path, *more: str) -> list[str]:
        """Program and arguments."""
        given = [part.format(inputs=inputs, out=out) for part in self.arguments]
        return [self.program, *given, *more]


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder; hidden ones are none of a result."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def same_files(found: Path, wanted: Path) -> None:
    """The same files with the same bytes."""
    a, b = contents(found), contents(wanted)
    different = [name for name in sorted({*a, *b}) if a.get(name) != b.get(name)]
    if different:
        raise LostError(f"{found}: {different[0]} differs from that of an undisturbed run")


def same_run(found: Path, wanted: Path) -> None:
    """The same tables, cell for cell, and the same results; times differ."""
    a, b = read_run(found), read_run(wanted)
    for name in ("steps", "episodes", "frames", "roads"):
        if not getattr(a, name).equals(getattr(b, name)):
            raise LostError(f"{found}: {name} differs from that of an undisturbed run")
    for name in ("status", "results"):
        if _timeless(a.info.get(name)) != _timeless(b.info.get(name)):
            raise LostError(f"{found}: {name} in run.json differs from that of an undisturbed run")


def _timeless(value: object) -> object:
    if not isinstance(value, dict):
        return value
    measured = ("_s", "_ms", "cost", "seconds", "_per_s", "real_time", "timings")
    return {k: _timeless(v) for k, v in value.items() if not any(m in k for m in measured)}


def same_policy(found: Path, wanted: Path) -> None:
    """The same weights and description."""
    for name in ("policy.json", "weights.safetensors"):
        if (found / name).read_bytes() != (wanted / name).read_bytes():
            raise LostError(f"{found}: {name} differs from that of an undisturbed training")


def whole_trace(out: Path) -> None:
    vista_sim.Trace.open(out).close()


def whole_policy(out: Path) -> None:
    """A policy can be loaded once its description is there."""
    if (out / "policy.json").exists():
        from vista_sim.policies import load_policy

        load_policy(out)


def whole_bake(out: Path) -> None:
    """Each geometry that is there opens, and the trace does."""
    from vista_sim.geometry.store import GeometryStore

    trace = vista_sim.Trace.open(out)
    for camera in trace.cameras:
        if (out / "geometry" / camera).exists() and GeometryStore.find(trace, camera) is None:
            raise LostError(f"{out}: geometry of {camera} is there and cannot be read")


def copy_trace(inputs: Path, out: Path) -> None:
    if not out.exists():
        shutil.copytree(inputs / "trace", out)


def write_suite(inputs: Path) -> None:
    """The scenario that is judged."""
    path = inputs / "suite.toml"
    path.write_text(SUITE.format(trace=json.dumps(str(inputs / "trace"))[1:-1]), encoding="utf-8")


def _training(name: str, *arguments: str) -> Job:
    given = ("--traces", "{inputs}/trace", "--out", "{out}", *NETWORK, *arguments)
    return Job(name, "vista-train", (name, *given), ("--resume",), None, whole_policy, same_policy)


def _judging(name: str, *arguments: str, again: str) -> Job:
    given = ("evaluate", "--policy", "expert", "--out", "{out}", *arguments)
    return Job(name, "vista-sim", given, (again,), ("--overwrite",), read_run, same_run)


JOBS = (
    Job(
        "import",
        "vista-sim",
        ("import", "kitti-odometry", "{inputs}/kitti", "{out}"),
        ("--overwrite",),
        ("--overwrite",),
        whole_trace,
        same_files,
    ),
    Job(
        "bake",
        "vista-sim",
        ("bake", "{out}", "--workers", "1"),
        (),
        ("--force",),
        whole_bake,
        same_files,
        copy_trace,
    ),
    _judging("suite", "--suite", "{inputs}/suite.toml", again="--resume"),
    _judging("workers", "--suite", "{inputs}/suite.toml", *TWO, again="--resume"),
    _judging("plain", "--traces", "{inputs}/trace", *PLAIN, again="--overwrite"),
    Job(
        "record",
        "vista-sim",
        ("record", "{out}", "--seconds", "2", "--size", "24x40", "--supersample", "1"),
        ("--overwrite",),
        ("--overwrite",),
        whole_trace,
        same_files,
    ),
    _training("bc", *STEPS),
    _training("dagger", *STEPS, "--dagger.every", "4", "--dagger.frames", "16"),
    _training("reinforce", "--iterations", "3", *SMALL),
    _training("ppo", "--iterations", "3", "--batch-size", "16", *SMALL),
)
