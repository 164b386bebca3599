"""Does it drive a real street that it has not seen? Policies judged on recordings of real roads.

    python benchmarks/real.py --data FOLDER [--out runs/real] [--workers 2] [STAGE ...]

FOLDER holds `kitti-odometry` (sequence 00), `pandaset` (a sequence) and `malaga` (drive.mp4 and
K.txt; its poses come from its frames alone, extra `sfm`). In order, each stage keeping what is
there already:

    streets  recordings become traces and are baked; drawn roads and streets are recorded and baked
    train    policies, by `vista-train`
    judge    whole judged roads are driven, and recovery from beside the path is tested
    report   what all results so far say; written after every other stage too

Judged are (a) the last 15 s of Málaga after its first 45 s and drawn worlds, (b) all of Málaga
after KITTI, PandaSet and drawn worlds, (c) KITTI after Málaga, PandaSet and drawn worlds; three
seeds each, beside plain behaviour cloning and the privileged expert. Interrupted, the same command
goes on where it was. The report is OUT/real.md, real.json and real.png: a map of each judged road
with the way that each policy drove, and where it was set back.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import multiprocessing
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from matplotlib.figure import Figure
from scipy import stats
from transfer_study.files import write_text
from transfer_study.going_on import study
from transfer_study.plan import Training, policy_name, world_name
from transfer_study.preparing import make_worlds, trace_hash, train_policy, trained_as

from vista_sim.errors import VistaError
from vista_sim.evaluation.evaluate import evaluate
from vista_sim.geometry.bake import bake
from vista_sim.identity.sources import SIMULATOR, sources_digest
from vista_sim.policies.identity import identify_policy
from vista_sim.proving_ground.record import Recording
from vista_sim.proving_ground.street import Street
from vista_sim.runs.run import read_run
from vista_sim.scenarios.places import ROADS, RecoveryTest
from vista_sim.tasks.endings import CRASH

STAGES = ("streets", "train", "judge", "report")
SEEDS = (0, 1, 2)
MALAGA_HEIGHT = 1.5  # m, chosen by the picture: the camera is on the roof of a small car
#: Cameras as they are on other cars: a policy must not learn one of them by heart.
CAMERAS: tuple[dict[str, Any], ...] = (
    {"fov": math.radians(82.0), "mount": (1.1, 0.0, 1.65), "pitch": 0.01},
    {"fov": math.radians(65.0), "mount": (1.6, 0.1, 1.4), "pitch": 0.03},
    {"fov": math.radians(75.0), "mount": (1.9, -0.1, 1.5), "pitch": 0.05},
    {"fov": math.radians(70.0), "mount": (1.3, 0.0, 1.8), "pitch": 0.07},
)
STREETS = (
    Street("one-way", "none", 2.8, (0.8, 0.7)),
    Street("one-way", "none", 3.2, (0.6, 0.9)),
    Street("right-lane", "centre", 3.2, (0.5, 0.8)),
    Street("two-way", "none", 2.9, (0.7, 0.8)),
    Street("right-lane", "all", 3.4, (0.0, 0.6)),
    Street("one-way", "none", 2.6, (0.9, 0.5)),
    Street("left-lane", "centre", 3.1, (0.7, 0.7)),
    Street("two-way", "centre", 3.0, (0.6, 0.9)),
    # Which lane a human chose cannot be seen: a policy must keep to the one that it is in.
    Street("left-lane", "all", 3.3, (0.0, 0.7)),
    Street("left-lane", "centre", 3.0, (0.0, 0.5)),
    Street("right-lane", "centre", 3.0, (0.0, 0.8)),
    Street("left-lane", "centre", 3.4, (0.4, 0.0)),
)
DRAWN = (
    *(Recording(seed=401 + i, seconds=30.0, **camera) for i, camera in enumerate(CAMERAS)),
    *(
        Recording(seed=411 + i, seconds=25.0, street=street, **CAMERAS[i % len(CAMERAS)])
        for i, street in enumerate(STREETS)
    ),
)
WORLDS = tuple(world_name(recording) for recording in DRAWN)
#: One camera, wherever the recording's was: all of these cameras see this field of view, and the
#: one in Málaga looks up by 7 degrees, so that the road filled a fifth of its view.
CAMERA = ("--fov", "0.9", "--mount", "1.2", "1.6", "0.105")


@dataclass(frozen=True)
class Part:
    """A road that is judged, and those that are learned from."""

    name: str
    title: str
    learned: tuple[str, ...]
    judged: str
    learned_section: str = ""
    judged_section: tuple[float, float] | None = None


PARTS = (
    Part("a", "Málaga's last 15 s", ("malaga", *WORLDS), "malaga", "0:45", (45.0, 60.0)),
    Part("b", "Málaga", ("kitti", "pandaset", *WORLDS), "malaga"),
    Part("c", "KITTI 00", ("malaga", "pandaset", *WORLDS), "kitti"),
)
SURFACES = ("--augment.texture", "0.5")
# Short real roads count beside long drawn ones; farther off, the next lane is as near.
STARTS = ("--guided.starts.balance", "0.5", "--guided.starts.lateral", "1.5")
TRAININGS = (
    Training("guided", ("guided", *CAMERA, *SURFACES, *STARTS), SEEDS),
    Training("bc", ("bc", *CAMERA, *SURFACES), SEEDS),
)
TEST = RecoveryTest(starts_per_kind=8)


def main() -> None:
    options = parse_options()
    with study():
        run(options)
    print((options.out / "real.md").read_text(encoding="utf-8"), end="")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stages", metavar="STAGE", nargs="*", help=", ".join(STAGES))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="recordings")
    parser.add_argument("--out", type=Path, default=Path("runs/real"), help="folder")
    parser.add_argument("--workers", type=int, default=2, help="processes at a time")
    parser.add_argument("--parts", default="a,b,c", help="of a, b, c, separated by commas")
    return parser.parse_args()


def run(options: argparse.Namespace) -> None:
    """Do the stages that are asked for. Raises VistaError."""
    stages = options.stages or STAGES
    for stage in stages:
        if stage not in STAGES:
            raise VistaError(f"no stage is called {stage!r}; stages: {', '.join(STAGES)}")
    parts = [part for part in PARTS if part.name in options.parts.split(",")]
    if not parts:
        raise VistaError(f"--parts is {options.parts!r}; it names some of a, b, c")
    out: Path = options.out
    traces = out / "traces"
    if "streets" in stages:
        make_streets(parts, options.data, traces, options.workers)
    if "train" in stages:
        train(parts, traces, out, options.workers)
    if "judge" in stages:
        judge(parts, traces, out, options.workers)
    report(parts, traces, out)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def make_streets(parts: Sequence[Part], data: Path, folder: Path, workers: int) -> None:
    """Traces of all roads of some parts, baked."""
    from vista_sim.traces.importers.selection import Selection
    from vista_sim.traces.importers.write import import_recording

    sources: dict[str, tuple[str, Path, Selection, dict[str, Any]]] = {
        "kitti": ("kitti-odometry", data / "kitti-odometry", Selection(cameras=("left",)), {}),
        "pandaset": (
            "pandaset",
            data / "pandaset",
            Selection(cameras=("front",), size=(540, 960)),
            {},
        ),
        "malaga": ("video", data / "malaga" / "drive.mp4", Selection(rate=10.0), {}),
    }
    named = {name for part in parts for name in (*part.learned, part.judged)}
    folder.mkdir(parents=True, exist_ok=True)
    for name in sorted(named & set(sources)):
        kind, source, selection, given = sources[name]
        if not (folder / name / "trace.json").exists():
            say(f"{name}: importing")
            if name == "malaga":
                K = np.loadtxt(data / "malaga" / "K.txt", delimiter=",", usecols=(0, 1, 2))
                matrix = (K[0, 0], K[1, 1], K[0, 2], K[1, 2])
                given = {"odometry": "visual", "height": MALAGA_HEIGHT}
                given["camera_matrix"] = ",".join(f"{value:.6f}" for value in matrix)
            import_recording(source, folder / name, kind, selection=selection, **given)
        say(f"{name}: baking")
        bake(folder / name)
    if named & set(WORLDS):
        make_worlds(DRAWN, folder, workers, say)


def learned_from(part: Part, traces: Path) -> list[Path]:
    return [traces / name for name in part.learned]


def trainings(part: Part) -> list[Training]:
    """Those of a part: of a section where it says so."""
    section = ("--section", part.learned_section) if part.learned_section else ()
    return [Training(t.name, (*t.arguments, *section), t.seeds) for t in TRAININGS]


def train(parts: Sequence[Part], traces: Path, out: Path, workers: int) -> None:
    """Train what is not trained yet, seed by seed, so that a first table comes early."""
    ordered = [(seed, part) for seed in SEEDS for part in parts]
    # What is compared with comes last.
    jobs = [
        (trainings(part)[which], seed, part)
        for which in range(len(TRAININGS))
        for seed, part in ordered
    ]
    for part in parts:
        (out / "policies" / part.name).mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(workers) as pool:
        waiting = [
            pool.submit(
                train_policy,
                training,
                seed,
                learned_from(part, traces),
                out / "policies" / part.name,
            )
            for training, seed, part in jobs
        ]
        for count, future in enumerate(as_completed(waiting), 1):
            say(f"policy {count} of {len(jobs)}: {future.result()}")


@dataclass(frozen=True)
class Trial:
    """A policy ("expert", or its folder) on the road of a part."""

    part: Part
    way: str
    seed: int
    policy: str
    trace: str

    def path(self, out: Path) -> Path:
        """Where its result is kept: named by all that decides it."""
        known = {
            "policy": identify_policy(self.policy).to_json(),
            "trace": trace_hash(Path(self.trace)),
            "section": self.part.judged_section,
            "code": sources_digest(SIMULATOR),
            "test": asdict(TEST),
        }
        key = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
        return out / "results" / f"{key[:24]}.json"


def run_beside(result: Path) -> Path:
    """The folder of a result's run: what was driven, step by step."""
    return result.with_suffix("")


def trials(parts: Sequence[Part], traces: Path, out: Path) -> list[Trial]:
    """The expert's, and those of all policies that are trained."""
    found = []
    for part in parts:
        judged = str(traces / part.judged)
        found.append(Trial(part, "expert", 0, "expert", judged))
        for training in trainings(part):
            for seed in training.seeds:
                folder = out / "policies" / part.name / policy_name(training.name, seed)
                if trained_as(folder) is not None:
                    found.append(Trial(part, training.name, seed, str(folder), judged))
    return found


def drive(trial: Trial, out: Path) -> dict[str, Any]:
    """Metrics and recovery of one trial, as JSON values; its run is written to `out`."""
    done = evaluate(
        trial.policy,
        trial.trace,
        out=out,
        recovery=TEST,
        video=False,
        section=trial.part.judged_section,
        overwrite=True,
    )
    values = done.to_json()
    return {"metrics": values["metrics"], "recovery": values["recovery"]}


def judge(parts: Sequence[Part], traces: Path, out: Path, workers: int) -> None:
    """Judge what has no result yet."""
    (out / "results").mkdir(parents=True, exist_ok=True)
    left = [(trial, trial.path(out)) for trial in trials(parts, traces, out)]
    left = [(trial, path) for trial, path in left if not path.exists()]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        waiting = {pool.submit(drive, t, run_beside(path)): (t, path) for t, path in left}
        for count, future in enumerate(as_completed(waiting), 1):
            (trial, path), result = waiting[future], future.result()
            write_text(path, json.dumps(result, indent=2) + "\n")
            say(f"trial {count} of {len(left)}: {trial.part.name}, {trial.way}, {told(result)}")


def told(result: dict[str, Any]) -> str:
    rate = result["recovery"]["rate"]
    recovered = "none to recover" if rate is None else f"{100 * rate:.0f} % recovered"
    return f"{result['metrics']['crashes']:.0f} crashes, {recovered}"


SHOWN = (
    ("crashes", "crashes", 1.0),
    ("recovered, of the expert's, %", "rate", 100.0),
    ("on straights, %", "straight", 100.0),
    ("from the path, m", "mean_cross_track_error_m", 1.0),
)


def report(parts: Sequence[Part], traces: Path, out: Path) -> None:
    """Write OUT/real.md, real.json and real.png: means over seeds, with 95 % intervals of these."""
    out.mkdir(parents=True, exist_ok=True)
    rows, driven = [], {}
    for part in parts:
        if not (traces / part.judged / "trace.json").exists():
            continue
        done = [(t.way, t.path(out)) for t in trials([part], traces, out)]
        done = [(way, path) for way, path in done if path.exists()]
        for way in ("expert", *(training.name for training in TRAININGS)):
            texts = [path.read_text(encoding="utf-8") for of, path in done if of == way]
            if texts:
                rows.append(row_of(part, way, [json.loads(text) for text in texts]))
        if done:
            driven[part.title] = [(way, run_beside(path)) for way, path in done]
    write_text(out / "real.json", json.dumps(rows, indent=2) + "\n")
    names = [name for name, _, _ in SHOWN]
    lines = ["| judged on | policy | seeds | " + " | ".join(names) + " |"]
    lines.append("|---|---|---" + "|---" * len(names) + "|")
    for row in rows:
        cells = [interval_text(row[name]) for name in names]
        lines.append(f"| {row['road']} | {row['way']} | {row['seeds']} | {' | '.join(cells)} |")
    write_text(out / "real.md", "\n".join(lines) + "\n")
    draw_map(driven, out / "real.png")


COLOURS = {"expert": "0.3", "guided": "tab:blue", "bc": "tab:orange"}


def draw_map(driven: Mapping[str, Sequence[tuple[str, Path]]], picture: Path) -> None:
    """The ways that were driven, one map a road; a cross where a car was set back to the path."""
    if not driven:
        return
    figure = Figure(figsize=(9.0, 3.2 * len(driven)), layout="constrained")
    panels = figure.subplots(len(driven), squeeze=False)[:, 0]
    for axes, (title, runs) in zip(panels, driven.items(), strict=True):
        axes.set_title(title, fontsize=10)
        axes.set_aspect("equal")
        axes.set_xlabel("m")
        names = set()
        for way, folder in runs:
            run = read_run(folder)
            episodes = run.episodes.filter(pc.equal(run.episodes["kind"], "closed_loop"))
            for row in episodes.select(["episode", "ending_kind"]).to_pylist():
                steps = run.steps.filter(pc.equal(run.steps["episode"], row["episode"]))
                x, y = steps["x"].to_numpy(), steps["y"].to_numpy()
                style = {"lw": 3.0, "alpha": 0.4} if way == "expert" else {"lw": 1.0}
                label = None if way in names else way
                names.add(way)
                axes.plot(x, y, color=COLOURS[way], label=label, **style)
                if row["ending_kind"] == CRASH:
                    axes.plot(x[-1:], y[-1:], "x", color=COLOURS[way], ms=6)
        axes.legend(fontsize=8)
    figure.savefig(picture, dpi=110)


def row_of(part: Part, way: str, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {"part": part.name, "road": part.title, "way": way}
    row["seeds"] = len(results)
    for name, key, factor in SHOWN:
        values = [found(result, key) for result in results]
        row[name] = interval([factor * v for v in values if v is not None])
    return row


def found(result: dict[str, Any], key: str) -> float | None:
    if key == "rate":
        value = result["recovery"].get(key)
    elif key in ROADS:
        value = result["recovery"]["roads"][key]["rate"]
    else:
        value = result["metrics"].get(key)
    return None if value is None else float(value)


def interval(values: Sequence[float]) -> tuple[float | None, float | None, float | None]:
    """Mean, and its 95 % interval by Student's t (none of fewer than two values)."""
    if not values:
        return None, None, None
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, None, None
    half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return mean, mean - half, mean + half


def interval_text(values: tuple[float | None, float | None, float | None]) -> str:
    mean, low, high = values
    if mean is None:
        return "-"
    if low is None or high is None:
        return f"{mean:.3g}"
    return f"{mean:.3g} ({low:.3g} to {high:.3g})"


if __name__ == "__main__":
    main()
