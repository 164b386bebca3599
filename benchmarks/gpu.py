"""Views per second of the PyTorch backend at 200 x 320, beside what the memory's bandwidth allows.

    python benchmarks/gpu.py [--json] [--device cuda|cpu] [--batches 1,4,16,64,256,1024,4096]

Without a GPU it says so; `--device cpu` measures small batches on the CPU instead, beside the
Numba backend making the same views in the same run.

Every view has a main frame and two others, 2 and 6 m behind it; the frames lie on the device
before the clock starts, and the images stay there. The poses lie there too, or come from plans
on the host. Views are from up to 1.5 m beside the path, turned by up to 0.1 rad.

The limit counts, for each step, the bytes that it must read and write if it is one pass over
memory, with P pixels of the view, S of a frame, and u the share that the main frame did not
see. Rays are the same for all views and stay in the cache:

    main frame   splat         read 6 S (code, slopes); clear 4 P; read and write 8 S of the target
                 close cracks  twice read 4 P, write 4 P
                 locate, read  read 4 P (depth) and 4 S (colours); write 8 P (3 colour, 1 source,
                               4 depth)
    each other   splat         a quarter of the above: 3.5 S + P
                 close cracks, gaps  a quarter of the above: 4 P, and 2 P
                 locate, read  read P (coarse depth), P (source), 4 u P (colours); write 8 u P
    inpaint                    read P (source); of the holes at most 8 u P read, 8 u P written

PyTorch runs a step as many operations, each of which reads and writes memory. `traffic` counts
these from the shapes of the tensors: the limit of the plain version, which only fusing
(`--compiled`) can lift.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import vista_sim
from vista_sim.geometry.bake import bake
from vista_sim.sensors.camera import Camera
from vista_sim.sensors.plan import Plans, Synthesis
from vista_sim.sensors.torch_backend import TorchRenderer
from vista_sim.traces.trace import Trace

SIZE = (200, 320)
OTHERS = len(Synthesis().other_frames)
SECONDS = 1.0  # how long a batch is repeated


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1 or cpu")
    parser.add_argument("--batches", help="sizes, comma between; default: 1 to 4096, CPU: to 16")
    parser.add_argument("--chunk", type=int, help="views made at once; default: the renderer's")
    parser.add_argument("--compiled", action="store_true", help="through torch.compile")
    parser.add_argument("--triton", action="store_true", help="splat by the Triton kernel")
    parser.add_argument("--trace", type=Path, help="a trace; default: the sample trace")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    cuda = options.device != "cpu"
    if not cuda:
        torch.set_num_threads(1)  # as Numba
    if cuda and not torch.cuda.is_available():
        print("no CUDA GPU on this machine; --device cpu measures small batches on the CPU")
        return
    default = "1,4,16,64,256,1024,4096" if cuda else "1,4,16"
    batches = [int(n) for n in (options.batches or default).split(",")]
    scene = Scene(options.trace or vista_sim.sample_trace("proving-ground"), options)
    result = scene.measure(batches)
    if not cuda:
        result["numba"] = scene.measure_numba()
    if options.json:
        print(json.dumps(result, indent=2))
        return
    print_result(result)


class Scene:
    """Random views along a trace, and a camera whose device holds its frames."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        bake(folder)
        self.trace = Trace.open(folder)
        self.name = next(iter(self.trace.cameras))
        self.camera = Camera(self.trace, self.name, SIZE, backend="torch", device=options.device)
        self.frames = self.camera._frames[0]
        self.device = torch.device(options.device)
        self.rng = np.random.default_rng(options.seed)
        self.renderer = TorchRenderer(
            self.camera._frames,
            self.camera.lens,
            self.device,
            resident_bytes=4 * 2**30,
            chunk=options.chunk,
            compiled=options.compiled,
            triton=options.triton,
        )
        self.renderer.upload(0, range(self.frames.first, self.frames.last + 1))

    def measure(self, batches: list[int]) -> dict[str, Any]:
        plans = self.camera.plan(*self.moments(max(batches)))
        result: dict[str, Any] = {"device": device_name(self.device), "size": list(SIZE)}
        bandwidth = measure_bandwidth(self.device)
        result["bandwidth_gb_s"] = bandwidth / 1e9
        some = first(plans, 16)
        unseen = float((self.renderer.render(some).source > 0).float().mean())
        least = sum(fused_bytes(self.frames.size, unseen).values())
        result["share_not_from_main"] = unseen
        result["bytes_per_view"] = {"one pass a step": least}
        result["limit_views_per_s"] = {"one pass a step": bandwidth / least}
        if not (self.renderer.compiled or self.renderer.triton):
            operations = traffic(lambda: self.renderer.render(some)) / len(some)
            result["bytes_per_view"]["operation by operation"] = operations
            result["limit_views_per_s"]["operation by operation"] = bandwidth / operations
        result["views_per_s"], result["views_per_s_from_plans"] = {}, {}
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            held = torch.cuda.memory_allocated(self.device)
        for n in batches:
            part = first(plans, n)
            arguments = self.tensors(part)
            seconds = self.time(partial(self.renderer.render_tensors, *arguments))
            result["views_per_s"][str(n)] = n / seconds
            seconds = self.time(partial(self.renderer.render, part))
            result["views_per_s_from_plans"][str(n)] = n / seconds
        if self.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(self.device) - held
            made = max(batches) * SIZE[0] * SIZE[1] * 8
            result["working_bytes_per_view"] = (peak - made) / min(
                self.renderer.chunk, max(batches)
            )
        return result

    def measure_numba(self, count: int = 64) -> dict[str, float]:
        """Views per second of the Numba backend, and how far it agrees with this one."""
        camera = Camera(self.trace, self.name, SIZE, cache_bytes=2**30)
        ts, offsets = self.moments(count)
        theirs = [camera.render_view(t, offset) for t, offset in zip(ts, offsets, strict=True)]
        seconds = self.time(partial(camera.render_batch, ts, offsets))
        ours = self.renderer.render(self.camera.plan(ts, offsets)).on_host()
        pairs = list(zip(ours, theirs, strict=True))
        off = [np.abs(a.image.astype(int) - b.image).max(axis=-1) for a, b in pairs]
        return {
            "views_per_s": count / seconds,
            "same_source": float(np.mean([a.source == b.source for a, b in pairs])),
            "within_one_gray_level": float(np.mean([o <= 1 for o in off])),
        }

    def moments(self, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Times (n,) within the trace, s, and offsets (n, 3)."""
        ts = self.rng.uniform(0.0, self.trace.duration, n)
        lateral, yaw = self.rng.uniform(-1.5, 1.5, n), self.rng.uniform(-0.1, 0.1, n)
        return ts, np.stack([0.0 * ts, lateral, yaw], axis=1)

    def tensors(self, plans: Plans) -> tuple[Tensor, ...]:
        """The arguments of `render_tensors` on the device."""
        frames = torch.from_numpy(plans.frames).to(self.device)
        poses = torch.from_numpy(plans.forth).to(self.device)
        return frames[:, 0], poses[:, 0], frames[:, 1:], poses[:, 1:]

    def time(self, function: Callable[[], Any]) -> float:
        """Seconds of one call, the median of several; the device is idle before and after."""
        function()
        times: list[float] = []
        while sum(times) < SECONDS or len(times) < 3:
            times.append(time_once(function, self.device))
        return float(np.median(times))


def first(plans: Plans, n: int) -> Plans:
    """The first n of some plans."""
    return Plans(*(getattr(plans, field.name)[:n] for field in dataclasses.fields(plans)))


def time_once(function: Callable[[], Any], device: torch.device) -> float:
    """Seconds of one call; on a GPU between two events of its stream."""
    if device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        torch.cuda.synchronize(device)
        start.record()
        function()
        end.record()
        torch.cuda.synchronize(device)
        return float(start.elapsed_time(end)) / 1e3
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def measure_bandwidth(device: torch.device) -> float:
    """Bytes a second, read and written, of a large copy on the device: the best of ten."""
    size = 2**31 if device.type == "cuda" else 2**27
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.ones_like(source)
    return 2 * size / min(time_once(lambda: target.copy_(source), device) for _ in range(10))


def fused_bytes(frame: tuple[int, int], unseen: float) -> dict[str, float]:
    """Bytes per view of every step in one pass; see the head of this file."""
    p, s, k = SIZE[0] * SIZE[1], frame[0] * frame[1], OTHERS
    return {
        "main: splat": 6 * s + 4 * p + 8 * s,
        "main: close cracks": 2 * (4 + 4) * p,
        "main: locate, read": 4 * p + 4 * s + 8 * p,
        "others: splat": k * (3.5 * s + p),
        "others: close cracks, gaps": k * 6 * p,
        "others: locate, read": k * (2 + 12 * unseen) * p,
        "inpaint": (1 + 16 * unseen) * p,
    }


def traffic(function: Callable[[], Any]) -> float:
    """Bytes that the PyTorch operations of a call read and write, from the shapes of tensors.

    What is repeated by a stride of 0 counts once; of a table that is looked up, what is found.
    """

    class Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
        total = 0

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            result = func(*args, **(kwargs or {}))
            if func.is_view or "empty" in str(func) or "_unsafe_view" in str(func):
                return result
            outputs = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
            inputs = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
            if "index_select" in str(func) or "gather" in str(func):
                inputs = [outputs[0], *inputs[1:]]
            self.total += sum(distinct_bytes(t) for t in (*inputs, *outputs))
            return result

    with Count() as count:  # type: ignore[no-untyped-call]
        function()
    return float(count.total)


def distinct_bytes(tensor: Tensor) -> int:
    sides = [n for n, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride]
    return int(np.prod(sides, dtype=np.int64)) * tensor.element_size()


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return "CPU, one thread"


def print_result(result: dict[str, Any]) -> None:
    print(f"{result['device']}, {result['bandwidth_gb_s']:.0f} GB/s read and written by a copy")
    for name, size in result["bytes_per_view"].items():
        limit = result["limit_views_per_s"][name]
        print(f"limit, {name}: {size / 1e6:.1f} MB a view, {limit:,.0f} views/s")
    print("batch   views/s   from plans on the host   share of the limit (one pass a step)")
    least = result["limit_views_per_s"]["one pass a step"]
    for n, rate in result["views_per_s"].items():
        plans = result["views_per_s_from_plans"][n]
        print(f"{n:>5} {rate:>9,.0f} {plans:>24,.0f} {100 * rate / least:>21.1f} %")
    if "working_bytes_per_view" in result:
        print(
            f"working memory: {result['working_bytes_per_view'] / 1e6:.1f} MB a view in the making"
        )
    if "numba" in result:
        numba = result["numba"]
        best = max(result["views_per_s"].values())
        print(
            f"Numba, one thread: {numba['views_per_s']:,.0f} views/s, "
            f"{numba['views_per_s'] / best:.1f} times this backend; same source on "
            f"{100 * numba['same_source']:.3f} % of pixels, within one gray level on "
            f"{100 * numba['within_one_gray_level']:.3f} %"
        )


if __name__ == "__main__":
    main()
