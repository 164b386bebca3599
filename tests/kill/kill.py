"""Kills commands at random moments, and looks whether anything was lost: `make kill`.

    python tests/kill/kill.py --count 200 --seed 0 --work runs/kill

Every kill takes one of the jobs of `jobs.py` (import, bake, train, evaluate, record), starts it,
half of the times over an older result, and ends its process by SIGKILL: at a random moment, or at a
random one of its file operations. Then

1. no process of it is left;
2. what was whole before is whole: the older result, or already the new one;
3. the command, gone on with or started again, ends well and leaves what an undisturbed run left,
   byte for byte or table for table;
4. nothing hidden lies beside the result.

It can be broken off and goes on where it was: `kills.jsonl` in the work folder holds a line for
each kill. Prints a line for each, and writes `summary.json`; exit status 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from jobs import JOBS, Job, LostError, write_suite  # noqa: E402

from vista_sim.identity.sources import sources_digest  # noqa: E402

PATIENCE = 60.0  # s until what a killed process started must be gone
LONGEST = 900.0  # s for a command on a machine at work
EARLIEST = 0.3  # of the time that a command takes: before, it imports
CODE = f"{sources_digest('vista_sim')}-{sources_digest('vista_agents')}"  # that made a result
MARK = "VISTA_SIM_KILL_MARK"  # in the environment of all processes of a kill


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("runs/kill"))
    parser.add_argument("--jobs", nargs="*", choices=[job.name for job in JOBS])
    options = parser.parse_args()
    jobs = [job for job in JOBS if not options.jobs or job.name in options.jobs]
    bench = Bench(options.work.resolve(), options.seed)
    results = bench.run(jobs, options.count)
    lost = [result for result in results if result["lost"]]
    summary = {
        "kills": len(results),
        "lost": len(lost),
        "seed": options.seed,
        "seconds": round(sum(result["seconds"] for result in results), 1),
        "by_job": {job.name: sum(r["job"] == job.name for r in results) for job in jobs},
        "failures": lost,
    }
    (bench.work / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    print(json.dumps(summary, indent=2))
    sys.exit(1 if lost else 0)


class Bench:
    """Inputs, undisturbed results, and the kills so far, in a folder.

    Args:
        work: the folder.
        seed: of what is killed when.
    """

    def __init__(self, work: Path, seed: int) -> None:
        self.work, self.seed = work, seed
        self.inputs = work / "inputs"
        self.log = work / "kills.jsonl"
        work.mkdir(parents=True, exist_ok=True)

    def run(self, jobs: list[Job], count: int) -> list[dict]:
        """Kill so many times, the jobs in turn; what was done before is not done again."""
        self._make_inputs()
        done = self._done()
        for number in range(count):
            job = jobs[number % len(jobs)]
            if number in done and done[number]["job"] == job.name:
                continue
            started = time.monotonic()
            result = self._kill(job, number)
            result["seconds"] = round(time.monotonic() - started, 1)
            done[number] = result
            with self.log.open("a") as file:
                file.write(json.dumps(result) + "\n")
            said = result["lost"] or "nothing lost"
            print(f"{number + 1}/{count} {job.name} {result['moment']}: {said}", flush=True)
        return [done[number] for number in range(count)]

    def _done(self) -> dict[int, dict]:
        """Kills of an earlier call with the same seed, by number; a torn last line is none."""
        found = {}
        if self.log.exists():
            for line in self.log.read_text().splitlines():
                try:
                    result = json.loads(line)
                except ValueError:
                    continue
                if result["seed"] == self.seed:
                    found[result["number"]] = result
        return found

    def _make_inputs(self) -> None:
        ready = self.inputs / "ready"
        if ready.exists():
            return
        shutil.rmtree(self.inputs, ignore_errors=True)
        self.inputs.mkdir()
        from test_kitti import write_kitti

        write_kitti(self.inputs / "kitti")
        size = ("--size", "32x64", "--supersample", "1", "--rate", "5")
        self._must("vista-sim", "record", str(self.inputs / "trace"), "--seconds", "8", *size)
        write_suite(self.inputs)
        ready.touch()

    def undisturbed(self, job: Job) -> tuple[Path, dict]:
        """The result of a job that nothing disturbed, with seconds and file operations it took."""
        folder = self.work / "undisturbed" / CODE / job.name
        facts = folder / "facts.json"
        if not facts.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            job.prepare(self.inputs, folder / "out")
            started = time.monotonic()
            self._must(*job.command(self.inputs, folder / "out"), counter=folder / "count")
            job.whole(folder / "out")
            took = time.monotonic() - started
            count = int((folder / "count").read_text())
            facts.write_text(json.dumps({"seconds": took, "operations": count}))
        return folder / "out", json.loads(facts.read_text())

    def _kill(self, job: Job, number: int) -> dict:
        chance = random.Random(f"{self.seed} {number}")
        wanted, facts = self.undisturbed(job)
        place = self.work / "place"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        out = place / "out"
        over = job.anew is not None and chance.random() < 0.5
        if over:
            shutil.copytree(wanted, out, symlinks=True)
        else:
            job.prepare(self.inputs, out)
        command = job.command(self.inputs, out, *(job.anew if over and job.anew else ()))
        moment, result = "", {"number": number, "job": job.name, "seed": self.seed, "over": over}
        try:
            by_time = chance.random() < 0.5
            share = chance.uniform(EARLIEST if by_time else 0.0, 1.0)
            while True:
                if by_time:
                    moment = f"after {share * facts['seconds']:.2f} s"
                    killed = self._killed(command, after=share * facts["seconds"])
                else:
                    operation = max(1, round(share * facts["operations"]))
                    moment = f"at file operation {operation}"
                    killed = self._killed(command, operation=operation)
                if killed:
                    break
                share *= 0.8  # it was faster this time; it is over then, and a result lies there
            self._check_processes(number)
            if over or (os.path.lexists(out) and any(out.iterdir())):
                job.whole(out)
            job.prepare(self.inputs, out)
            self._must(*job.command(self.inputs, out, *(job.again if out.exists() else ())))
            job.same(out, wanted)
            left = sorted(p.name for p in place.iterdir() if p != out)
            for kind in ("part", "old"):
                left += sorted(str(p.relative_to(out)) for p in out.rglob(f".*.{kind}-*"))
            if left:
                raise LostError(f"{place}: {left[0]} was left behind")
        except Exception as error:  # whatever it is, it is told, and the next kill follows
            lost = " ".join(f"{type(error).__name__}: {error}".split())
            kept = self.work / f"lost-{number:04d}"
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(place, kept, symlinks=True)
            return result | {"moment": moment, "lost": lost}
        return result | {"moment": moment, "lost": ""}

    def _killed(self, command: list[str], after: float | None = None, operation: int = 0) -> bool:
        """Run a command and end it; whether it was still running."""
        process = self._start(command, self.work / "count", operation)
        try:
            process.wait(timeout=LONGEST if after is None else after)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return process.returncode == -signal.SIGKILL

    def _must(self, *command: str, counter: Path | None = None) -> None:
        """Run a command to its end. Raises LostError where it fails."""
        process = self._start(list(command), counter or self.work / "count", 0)
        try:
            process.wait(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise LostError(f"{' '.join(command)}: takes more than {LONGEST:.0f} s") from None
        # 1: a suite that is not passed; the policy is no matter here
        if process.returncode not in ((0, 1) if "--suite" in command else (0,)):
            said = (self.work / "said").read_text(errors="replace").strip().splitlines()
            raise LostError(f"{' '.join(command)}: status {process.returncode}: {said[-1:]}")

    def _start(self, command: list[str], counter: Path, operation: int) -> subprocess.Popen:
        victim = [sys.executable, str(HERE / "victim.py"), str(counter), str(operation)]
        environment = {**os.environ, MARK: str(self.work), "CUDA_VISIBLE_DEVICES": ""}
        environment["VISTA_SIM_UNBAKED"] = "1"  # flat ground will do
        with (self.work / "said").open("wb") as said:
            return subprocess.Popen(
                [*victim, str(self.work), *command],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env=environment,
                cwd=self.work,
                start_new_session=True,
            )

    def _check_processes(self, number: int) -> None:
        """Raises LostError where a process of the killed command is still there after a while."""
        end = time.monotonic() + PATIENCE
        while left := marked(str(self.work)):
            if time.monotonic() > end:
                for pid in left:
                    os.kill(pid, signal.SIGKILL)
                raise LostError(f"kill {number}: {len(left)} processes were left behind")
            time.sleep(0.05)


def marked(value: str) -> list[int]:
    """Processes whose environment holds the mark with that value; ended ones are none."""
    wanted = f"{MARK}={value}".encode()
    found = []
    for entry in sorted(os.listdir("/proc")):
        if not entry.isdecimal() or int(entry) == os.getpid():
            continue
        try:
            environment = Path("/proc", entry, "environ").read_bytes()
        except OSError:
            continue
        if wanted in environment.split(b"\0"):
            found.append(int(entry))
    return found


if __name__ == "__main__":
    main()
