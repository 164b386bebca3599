"""What `golden.py` has each checkout do: one file, run on the sources of either.

Only public calls are used. Where the two checkouts name something differently, this file is the
one place that knows both names (`_either`).
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from checkouts import check_sources

LANE_FOLLOWING, SCENARIO = "VistaSim/LaneFollowing-v0", "VistaSim/Scenario-v0"
SIZE = (40, 120)  # of cameras, px
CARS = 3  # of vector environments
BACKENDS = ("numpy", "numba", "torch")
TRACES = ("flat", "baked")
POLICIES = ("expert", "network", "onnx")

#: Values by where they are from ("step 3") and what they are ("observation.camera").
Told = Iterator[tuple[str, Any]]

#: What differs from run to run.
TIMED = frozenset({"timings"})


class Setup(NamedTuple):
    """What a form is driven with.

    Args:
        folder: that `--prepare` filled.
        scratch: a folder of its own.
        steps: of each environment.
        seed: of starts and actions.
    """

    folder: Path
    scratch: Path
    steps: int
    seed: int

    def trace(self, kind: str) -> Path:
        return self.folder / kind


Form = Callable[[Setup], Told]


def forms() -> dict[str, Form]:
    """What is driven, by name; a slash separates what it is, from general to special."""
    found: dict[str, Form] = {}
    for shape in ("single", "vector", "vector-same-step"):
        found[f"lane-following/state/{shape}"] = _lane_following(shape, "flat", observe="state")
        found[f"scenario/state/{shape}"] = _scenario(shape, observe="state")
    for backend in BACKENDS:
        for shape in ("single", "vector"):
            for trace in TRACES:
                found[f"lane-following/camera/{shape}/{backend}/{trace}"] = _lane_following(
                    shape, trace, world_options={"backend": backend}
                )
            found[f"scenario/camera/{shape}/{backend}"] = _scenario(shape, backend=backend)
        for trace in TRACES:
            found[f"world/{backend}/{trace}"] = _world(trace, backend)
    for shape in ("single", "vector", "vector-same-step"):
        found[f"lane-following/randomized/{shape}"] = _randomized(shape)
    found["lane-following/curved-starts/single"] = _lane_following(
        "single", "flat", observe="state", reset_mode="curvature", control_speed=True
    )
    found["lane-following/pictures/single"] = _pictures
    found["lane-following/sb3/vector"] = _sb3
    for what in ("lane-following", "scenario"):
        for observe in ("camera", "state"):
            found[f"recorded/{what}/{observe}"] = _recorded(what, observe)
    for policy in POLICIES:
        found[f"suite/{policy}"] = _judged(policy, "suite.toml")
        found[f"traces/{policy}"] = _judged(policy, "flat")
    return found


def _either(name: str, *modules: str) -> Any:
    """What has a name in the first of `vista_sim` and some modules that has it."""
    for module in ("vista_sim", *modules[:-1]):
        try:
            return getattr(import_module(module), name)
        except (ImportError, AttributeError):
            continue
    return getattr(import_module(modules[-1]), name)


# Environments


def _lane_following(shape: str, trace: str, **settings: Any) -> Form:
    def form(setup: Setup) -> Told:
        endings = _either("Endings", "vista_sim.tasks.lane_following")
        given = {
            "traces": [setup.trace(trace)],
            "size": SIZE,
            "perturb_lateral": 1.5,
            "perturb_heading": 0.1,
            "endings": endings(time_limit=2.5),  # so that episodes end in every way
        }
        return _driven(LANE_FOLLOWING, shape, setup, given | settings)

    return form


def _scenario(shape: str, **settings: Any) -> Form:
    def form(setup: Setup) -> Told:
        given = {"scenario": setup.folder / "suite.toml", "size": SIZE}
        return _driven(SCENARIO, shape, setup, given | settings)

    return form


def _randomized(shape: str) -> Form:
    def form(setup: Setup) -> Told:
        drawn = _either("Randomization", "vista_sim.sensors.randomization")(
            exposure=0.3, white_balance=0.2, blur=1.0, noise=3.0, mount_jitter=(0.1, 0.02)
        )
        return _lane_following(shape, "flat", randomization=drawn)(setup)

    return form


def _driven(name: str, shape: str, setup: Setup, settings: Mapping[str, Any]) -> Told:
    import gymnasium

    import vista_sim  # noqa: F401  # registers the environments

    if shape == "single":
        return _single(gymnasium.make(name, disable_env_checker=True, **settings), setup)
    mode = "same_step" if shape == "vector-same-step" else "next_step"
    envs = gymnasium.make_vec(
        name,
        num_envs=CARS,
        vectorization_mode="vector_entry_point",
        autoreset_mode=mode,
        workers=1,
        **settings,
    )
    return _vector(envs, setup)


def _single(env: Any, setup: Setup) -> Told:
    rng = np.random.default_rng(setup.seed)
    yield from told("start", ("observation", "info"), env.reset(seed=setup.seed))
    for step in range(setup.steps):
        found = env.step(_random(rng, env.action_space.shape))
        yield from told(f"step {step}", STEP, found)
        if found[2] or found[3]:
            yield from told(f"reset after step {step}", ("observation", "info"), env.reset())
    env.close()


STEP = ("observation", "reward", "terminated", "truncated", "info")


def _vector(envs: Any, setup: Setup) -> Told:
    rng = np.random.default_rng(setup.seed)
    yield from told("start", ("observation", "info"), envs.reset(seed=setup.seed))
    for step in range(setup.steps):
        yield from told(f"step {step}", STEP, envs.step(_random(rng, envs.action_space.shape)))
    envs.close()


def _random(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return (0.3 * rng.uniform(-1.0, 1.0, shape)).astype(np.float32)


def _pictures(setup: Setup) -> Told:
    import gymnasium

    import vista_sim  # noqa: F401  # registers the environments

    env: Any = gymnasium.make(
        LANE_FOLLOWING, traces=[setup.trace("flat")], size=SIZE, render_mode="rgb_array"
    )
    rng = np.random.default_rng(setup.seed)
    env.reset(seed=setup.seed)
    for step in range(min(setup.steps, 5)):
        env.step(_random(rng, env.action_space.shape))
        yield f"step {step}|picture", env.render()
    env.close()


def _sb3(setup: Setup) -> Told:
    import gymnasium

    from vista_sim.envs.sb3 import as_vec_env

    many: Any = gymnasium.make_vec(
        LANE_FOLLOWING,
        num_envs=CARS,
        vectorization_mode="vector_entry_point",
        traces=[setup.trace("flat")],
        size=SIZE,
        workers=1,
        perturb_lateral=1.5,
    )
    envs = as_vec_env(many)
    rng = np.random.default_rng(setup.seed)
    envs.seed(setup.seed)
    yield from told("start", ("observation",), (envs.reset(),))
    for step in range(setup.steps):
        found = envs.step(_random(rng, (CARS, 1)))
        yield from told(f"step {step}", ("observation", "reward", "done", "info"), found)
    envs.close()


# The world's own calls

_POSE = ("x", "y", "yaw", "speed", "tire_angle", "curvature", "s", "lateral", "heading_error")
_REST = ("progress", "t", "scene_time", "distance_to_recording", "validity", "valid", "ending")
_OF_CARS = (*_POSE, *_REST, "observations")


def _world(trace: str, backend: str) -> Form:
    def form(setup: Setup) -> Told:
        from vista_sim import Action, World

        starts = _either("Starts", "vista_sim.tasks.starts")(lateral=1.0, heading=0.1)
        world = World([setup.trace(trace)], starts=starts, backend=backend)
        cars = [world.spawn_agent(), world.spawn_agent()]
        cars[0].spawn_camera("camera", size=SIZE)
        cars[0].spawn_camera("wide", size=(40, 60), fov=1.6)
        cars[1].observes_state = True
        rng = np.random.default_rng(setup.seed)
        world.reset(setup.seed)
        for step in range(-1, setup.steps):
            if step >= 0:
                for car in cars:
                    if car.done:
                        car.reset()
                world.step({car: Action(0.05 * rng.uniform(-1, 1)) for car in cars})
            for i, car in enumerate(cars):
                seen = {name: getattr(car, name) for name in _OF_CARS}
                yield from told("start" if step < 0 else f"step {step}", (f"car {i}",), (seen,))

    return form


# Runs


def _recorded(what: str, observe: str) -> Form:
    def form(setup: Setup) -> Told:
        import gymnasium

        import vista_sim

        given: dict[str, Any] = {"scenario": setup.folder / "suite.toml"}
        name = SCENARIO
        if what == "lane-following":
            name, given = LANE_FOLLOWING, {"traces": [setup.trace("flat")], "perturb_lateral": 1.5}
        env: Any = gymnasium.make(name, size=SIZE, observe=observe, **given)
        env = vista_sim.RecordRun(env, setup.scratch / "run", views=())
        yield from _single(env, setup)
        yield from tables(setup.scratch / "run")

    return form


def _judged(policy: str, what: str) -> Form:
    def form(setup: Setup) -> Told:
        import vista_sim

        given = {"expert": "expert", "network": "network", "onnx": "model.onnx"}[policy]
        driver = given if policy == "expert" else setup.folder / given
        if isinstance(driver, Path) and not driver.exists():
            raise ImportError(f"{given} could not be made: a package is missing")
        out = setup.scratch / "run"
        only: dict[str, Any] = {"workers": 0}
        if what == "flat":
            # The recovery test takes long where somebody looks at pictures.
            recovery = policy == "expert"
            only = {"section": (4.0, 12.0), "seed": setup.seed, "recovery": recovery}
        report = vista_sim.evaluate(driver, setup.folder / what, out, video=False, **only)
        yield from told("report", ("metrics",), (report.metrics,))
        yield from tables(out)

    return form


def tables(run: Path) -> Told:
    """The columns of a run's tables."""
    import pyarrow.parquet as pq

    for path in sorted(run.rglob("*.parquet")):
        if path.stem not in TIMED:
            for name, column in pq.read_table(path).to_pydict().items():
                for what, array in _arrays(name, column):
                    yield f"{path.relative_to(run)}|{what}", array


def _arrays(name: str, column: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """A column as numbers and where it has none, or as texts."""
    if all(isinstance(value, bool | int | float) for value in column):
        yield name, np.asarray(column)
    elif all(value is None or isinstance(value, float) for value in column):
        yield name, np.array(column, dtype=np.float64)  # None: not a number
        yield f"{name} without", np.array([value is None for value in column])
    else:
        yield name, np.array([repr(value) for value in column], dtype=np.str_)


# What is told


def told(where: str, names: Sequence[str], values: Sequence[Any]) -> Told:
    """Arrays and texts of nested dicts and lists, each with its place and name."""
    for name, value in zip(names, values, strict=True):
        for path, leaf in _leaves(name, value):
            yield f"{where}|{path}", leaf


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, np.ndarray) and value.dtype == object:
        value = value.tolist()
    if isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield from _leaves(f"{path}.{key}", value[key])
    elif isinstance(value, list | tuple) and not _numbers(value):
        for i, each in enumerate(value):
            yield from _leaves(f"{path}.{i}", each)
    else:
        array = np.asarray(value)
        yield path, np.array(repr(value)) if array.dtype == object else array


def _numbers(values: Sequence[Any]) -> bool:
    return bool(values) and all(isinstance(value, bool | int | float) for value in values)


def drive(name: str, setup: Setup) -> dict[str, Any]:
    """What a form tells; where it raises, what it told until then and the error."""
    found: dict[str, Any] = {}
    try:
        for key, value in forms()[name](setup):
            assert key not in found, key
            found[key] = value
    except Exception as error:
        found[f"{type(error).__name__}|error"] = np.array(str(error))
    return found


# What both get

SUITE = """format = "vista-suite/1"
name = "golden"
[[scenarios]]
path = "restart.toml"
[[scenarios]]
path = "recovery.toml"
[[scenarios]]
path = "faults.toml"
"""
SCENARIOS = {
    "restart": """mode = "restart"
time_limit = 4.0
[section]
time = [4.0, 12.0]
[start]
lateral = { values = [0.0, 0.8] }
[vehicle]
actuation_delay = "150 ms"
""",
    "recovery": """mode = "recovery"
[start]
places = 1
lateral = { values = [-1.0, 1.0] }
heading = "5 deg"
[recovery]
within_time = 3.0
""",
    "faults": """mode = "episode"
time_limit = 3.0
seeds = 2
[section]
time = [6.0, 12.0]
[speed]
mode = "free"
[sensors]
mount_yaw = "1 deg"
dropped_frames = 0.3
late_frames = 0.1
[image]
noise = 4.0
exposure = 0.5
blur = 0.7
[pass]
crashes_per_km = { max = 1.0 }
""",
}


def prepare(folder: Path, sample: Path) -> None:
    """Write traces, scenarios and policies."""
    from vista_sim.geometry.bake import bake

    shutil.copytree(sample, folder / "flat", ignore=shutil.ignore_patterns("geometry"))
    shutil.copytree(sample, folder / "baked")
    bake(folder / "baked")
    for name, text in SCENARIOS.items():
        head = f'format = "vista-scenario/1"\nname = "{name}"\ntraces = "flat"\n'
        (folder / f"{name}.toml").write_text(head + text, encoding="utf-8")
    (folder / "suite.toml").write_text(SUITE, encoding="utf-8")
    # What drives by a policy that cannot be made is left out.
    if find_spec("torch") and find_spec("safetensors"):
        _write_network(folder / "network")
    if find_spec("onnx"):
        _write_onnx(folder / "model.onnx")


def _write_network(folder: Path) -> None:
    """A tiny network with drawn weights, which remembers."""
    import torch
    from vista_agents.networks.cnn import PilotNetConfig  # type: ignore[import-not-found]
    from vista_agents.networks.heads import HeadConfig  # type: ignore[import-not-found]
    from vista_agents.networks.network import NetworkConfig  # type: ignore[import-not-found]
    from vista_agents.networks.recurrent import RecurrentConfig  # type: ignore[import-not-found]
    from vista_agents.networks.registry import build_network  # type: ignore[import-not-found]
    from vista_agents.policy import NetworkPolicy, PolicySpec  # type: ignore[import-not-found]

    from vista_sim import CameraSpec

    torch.manual_seed(0)
    config = NetworkConfig(
        PilotNetConfig((24, 48), (8, 8), (5, 3), (2, 2), features=16),
        RecurrentConfig("gru", size=8),
        head=HeadConfig(hidden=(8,)),
    )
    network = build_network(config)
    for name, weights in network.named_parameters():
        if name.endswith("head.output.weight"):  # a fresh one has zeros
            torch.nn.init.normal_(weights, std=0.5)
    observed: Any = CameraSpec((24, 48), 1.1)
    if "sensors" in PolicySpec.__dataclass_fields__:  # earlier ones knew one camera alone
        observed = {"camera": observed}
    NetworkPolicy(PolicySpec(observed, config, name="tiny"), network).save(folder)


def _write_onnx(path: Path) -> None:
    """A model that steers to the brighter side."""
    from onnx import TensorProto, helper, numpy_helper

    side = np.linspace(0.02, -0.02, 100, dtype=np.float32).reshape(1, 1, 1, 100)
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["image", "side"], ["weighed"]),
            helper.make_node("ReduceMean", ["weighed"], ["curvature"], axes=[1, 2, 3], keepdims=0),
        ],
        "drive",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 40, 100])],
        [helper.make_tensor_value_info("curvature", TensorProto.FLOAT, [1])],
        [numpy_helper.from_array(side, "side")],
    )
    opset = [helper.make_opsetid("", 17)]
    path.write_bytes(
        helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()
    )
    described = {
        "format": "vista-onnx-policy/1",
        "camera": {"size": [40, 100], "fov": 1.0},
        "inputs": [{"name": "image", "what": "camera", "layout": "NCHW", "scale": 1.0}],
        "outputs": [{"name": "curvature", "what": "curvature", "unit": "1/m"}],
    }
    path.with_suffix(".json").write_text(json.dumps(described), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--prepare", type=Path, metavar="SAMPLE")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--forms", nargs="*", default=())
    options = parser.parse_args()
    check_sources()
    if options.prepare is not None:
        prepare(options.folder, options.prepare)
        return
    for k, name in enumerate(options.forms):
        began = perf_counter()
        setup = Setup(options.folder, options.out / f"scratch-{k}", options.steps, options.seed)
        np.savez(options.out / f"{k}.npz", **drive(name, setup))
        print(f"{name} in {perf_counter() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()
