import gc
import multiprocessing
import os
import pickle
import signal
import tempfile
import threading
import time
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from vista_sim.errors import TraceError
from vista_sim.sensors import blocks
from vista_sim.sensors.blocks import FrameBudget
from vista_sim.sensors.frames import FrameCache
from vista_sim.sensors.prefetch import Prefetcher, prefetcher
from vista_sim.traces.trace import Trace
from vista_sim.world import World

SIZE = (24, 48)  # half of the recording's
MANY = 64 * 2**20


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where blocks lie in this test; no frame is decoded but on request."""
    monkeypatch.setenv("VISTA_SIM_FRAMES", str(tmp_path))
    monkeypatch.setenv("VISTA_SIM_PREFETCH", "0")
    gc.collect()
    blocks._registry.clear()  # what an earlier test still holds
    return tmp_path / f"vista_sim-{os.getuid()}"


def cache_of(trace, capacity=MANY, size=SIZE):
    return FrameCache(Trace.open(trace), "front", size, capacity)


def truth(trace, index, size=SIZE):
    """A frame shrunk by OpenCV."""
    image = Trace.open(trace).cameras["front"].frame(index)
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)


def count_decoding(cache):
    """A list that grows by the index of every frame the cache decodes."""
    decoded = []
    original = cache._decode

    def decode(index):
        decoded.append(index)
        return original(index)

    cache._decode = decode
    return decoded


def test_caches_of_a_process_have_each_frame_once(road_trace, folder):
    caches = [cache_of(road_trace) for _ in range(5)]
    frames = [[cache[i].image for i in range(0, 60, 7)] for cache in caches]
    for index, images in zip(range(0, 60, 7), zip(*frames, strict=True), strict=True):
        np.testing.assert_array_equal(images[0], truth(road_trace, index))
        assert all(image is images[0] for image in images)


def test_frames_cannot_be_written_to(road_trace, folder):
    frame = cache_of(road_trace)[3]
    for array in (frame.image, frame.codes, frame.coarse_codes):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 1


def test_sharing_changes_no_byte(road_trace, folder, monkeypatch):
    shared = cache_of(road_trace)
    images = [shared[i].image for i in range(0, 40, 3)]
    assert len(list(folder.iterdir())) == 1  # a block of 64 frames
    monkeypatch.setenv("VISTA_SIM_FRAMES", "private")
    alone = cache_of(road_trace, size=(24, 49))  # another size: nothing is there yet
    assert len(list(folder.iterdir())) == 1
    small = cache_of(road_trace, capacity=1)
    for k, index in enumerate(range(0, 40, 3)):
        np.testing.assert_array_equal(images[k], truth(road_trace, index))
        np.testing.assert_array_equal(small[index].image, images[k])
        np.testing.assert_array_equal(alone[index].image, truth(road_trace, index, (24, 49)))


def _work(trace, indices, results, ready, leave):
    blocks._registry.clear()  # a forked process has its parent's frames otherwise
    cache = cache_of(trace)
    decoded = count_decoding(cache)
    ready.wait(timeout=60)
    results.put(({i: zlib.crc32(cache[i].image.tobytes()) for i in indices}, len(decoded)))
    leave.wait(timeout=60)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_read_what_another_has_decoded(road_trace, folder, method):
    indices = list(range(0, 100, 9))
    cache = cache_of(road_trace)
    wanted = {i: zlib.crc32(cache[i].image.tobytes()) for i in indices}
    context = multiprocessing.get_context(method)
    results, ready, leave = context.SimpleQueue(), context.Event(), context.Event()
    ready.set()
    arguments = (road_trace, indices, results, ready, leave)
    children = [context.Process(target=_work, args=arguments) for _ in range(2)]
    for child in children:
        child.start()
    assert [results.get() for _ in children] == [(wanted, 0)] * 2
    leave.set()
    for child in children:
        child.join()
    assert len(list(folder.iterdir())) == 2  # still in use here


def test_processes_that_start_together_agree(road_trace, folder):
    indices = list(range(60))
    context = multiprocessing.get_context("fork")
    results, ready, leave = context.SimpleQueue(), context.Event(), context.Event()
    arguments = (road_trace, indices, results, ready, leave)
    children = [context.Process(target=_work, args=arguments) for _ in range(4)]
    for child in children:
        child.start()
    ready.set()
    found = [results.get()[0] for _ in children]
    leave.set()
    for child in children:
        child.join()
    assert found == [{i: zlib.crc32(truth(road_trace, i).tobytes()) for i in indices}] * 4
    assert list(folder.iterdir()) == []  # the last one has removed the files


def test_what_killed_processes_leave_is_removed_unread(road_trace, folder):
    context = multiprocessing.get_context("fork")
    results, ready, leave = context.SimpleQueue(), context.Event(), context.Event()
    ready.set()
    child = context.Process(target=_work, args=(road_trace, [5, 6], results, ready, leave))
    child.start()
    results.get()
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    (left,) = folder.iterdir()
    data = bytearray(left.read_bytes())
    data[5000:] = bytes(len(data) - 5000)  # black frames, still marked as whole
    left.write_bytes(data)
    cache = cache_of(road_trace)
    np.testing.assert_array_equal(cache[5].image, truth(road_trace, 5))


@pytest.mark.parametrize("damage", ["a byte", "cut off", "removed"])
def test_a_damaged_file_is_not_trusted(road_trace, folder, damage):
    cache = cache_of(road_trace)
    for i in range(8):
        cache[i]
    (path,) = folder.iterdir()
    if damage == "a byte":
        with path.open("r+b") as file:
            file.seek(4096 + 100)  # in the first frame
            value = file.read(1)[0]
            file.seek(4096 + 100)
            file.write(bytes([value ^ 1]))
    elif damage == "removed":
        path.unlink()
    else:
        os.truncate(path, path.stat().st_size - 4096)
    context = multiprocessing.get_context("fork")
    results, ready, leave = context.SimpleQueue(), context.Event(), context.Event()
    ready.set()
    leave.set()
    child = context.Process(target=_work, args=(road_trace, [0, 1, 2], results, ready, leave))
    child.start()
    sums, decoded = results.get()
    child.join()
    assert sums == {i: zlib.crc32(truth(road_trace, i).tobytes()) for i in range(3)}
    assert decoded == (1 if damage == "a byte" else 3)


def test_without_a_writable_folder_memory_is_private(road_trace, tmp_path, monkeypatch):
    monkeypatch.setenv("VISTA_SIM_FRAMES", str(tmp_path / "none" / "such"))
    cache = cache_of(road_trace, size=(20, 40))
    np.testing.assert_array_equal(cache[4].image, truth(road_trace, 4, (20, 40)))


def test_a_folder_that_others_may_write_to_is_not_used(road_trace, folder):
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    cache = cache_of(road_trace, size=(22, 44))
    np.testing.assert_array_equal(cache[4].image, truth(road_trace, 4, (22, 44)))
    assert list(folder.iterdir()) == []


def test_a_full_disk_does_no_harm(road_trace, folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(blocks.os, "pwritev", full)
    cache = cache_of(road_trace, size=(23, 46))
    np.testing.assert_array_equal(cache[4].image, truth(road_trace, 4, (23, 46)))


def test_a_cache_stays_within_its_bytes(road_trace, folder):
    frame = 24 * 48 * 5 + 12 * 24 * 2
    for frames in (1, 10, 100, 150):
        budget = FrameBudget(frames * frame)
        cache = cache_of(road_trace, budget)
        for i in np.random.default_rng(0).integers(0, cache.camera.frame_count, 300):
            cache[int(i)]
            assert budget.used <= max(frames, 1) * frame


def test_users_with_different_caches_keep_what_is_theirs(road_trace, folder):
    large, small = cache_of(road_trace), cache_of(road_trace, capacity=1)
    decoded = count_decoding(large)
    first = [large[i].image for i in range(20)]
    for _ in range(2):
        for i in range(20):
            np.testing.assert_array_equal(small[i].image, first[i])
            assert large[i].image is first[i]
    assert decoded == list(range(20))


def test_a_dropped_camera_lets_go_of_its_frames(road_trace, folder):
    cache = cache_of(road_trace)
    cache[0]
    assert len(list(folder.iterdir())) == 1
    del cache
    assert list(folder.iterdir()) == []


def test_a_trace_that_was_replaced_is_read_anew(tmp_path, folder):
    from tiny import write_tiny_trace

    trace = write_tiny_trace(tmp_path / "t")
    before = cache_of(trace)
    first = before[3].image.copy()
    other = write_tiny_trace(tmp_path / "other", frame_t=np.arange(0.0, 3.0, 0.2))
    for name in ("front.mp4", "front.parquet"):
        os.replace(other / name, trace / name)
    after = cache_of(trace)
    with pytest.raises(TraceError, match="has changed since the trace was opened"):
        before[8]
    np.testing.assert_array_equal(after[8].image, truth(trace, 8))
    np.testing.assert_array_equal(before[3].image, first)


def test_an_unchanged_trace_is_open_once(tmp_path):
    from tiny import write_tiny_trace

    folder = write_tiny_trace(tmp_path / "t")
    first = Trace.open(folder)
    assert Trace.open(str(folder)) is first
    text = (folder / "trace.json").read_text()
    (folder / "trace.json").write_text(text.replace('"tiny"', '"other"'))
    second = Trace.open(folder)
    assert (first.name, second.name) == ("tiny", "other")


def test_worlds_and_frame_caches_survive_pickling(road_trace):
    cache = cache_of(road_trace)
    again = pickle.loads(pickle.dumps(cache))
    np.testing.assert_array_equal(again[9].image, cache[9].image)
    world = World(road_trace)
    car = world.spawn_agent()
    car.spawn_camera(size=(24, 48))
    world.reset(seed=3)  # a camera is in use now
    pool = pickle.loads(pickle.dumps(world.cameras))
    assert pool.recorded_name(0) == "front"
    spec = car.specs["camera"]
    view = pool.camera(0, spec).render(car.scene_time, car.offset)[0]
    np.testing.assert_array_equal(view, car.observations["camera"])


def test_the_next_frames_are_decoded_ahead(road_trace, tmp_path, monkeypatch):
    monkeypatch.setenv("VISTA_SIM_FRAMES", str(tmp_path))
    cache = cache_of(road_trace, size=(21, 42))
    decoded = count_decoding(cache)
    for index in (10, 12, 14):  # every second frame, as a 5 Hz environment would
        frame = cache[index]
        np.testing.assert_array_equal(frame.image, truth(road_trace, index, (21, 42)))
        deadline = time.monotonic() + 120
        while not any(i > index for i in decoded) and time.monotonic() < deadline:
            time.sleep(0.005)
    assert 16 in decoded or decoded[-1] == 16
    assert len(decoded) == len(set(decoded))  # none twice


def test_a_process_may_be_forked_while_frames_are_decoded_ahead(road_trace, folder, monkeypatch):
    monkeypatch.setenv("VISTA_SIM_PREFETCH", "1")
    cache = cache_of(road_trace, size=(19, 38))
    context = multiprocessing.get_context("fork")
    for start in range(0, 40, 10):
        cache.prefetch(range(start, start + 10))
        results, ready, leave = context.SimpleQueue(), context.Event(), context.Event()
        ready.set()
        leave.set()
        child = context.Process(target=_work, args=(road_trace, [start], results, ready, leave))
        child.start()
        sums, _ = results.get()
        child.join(timeout=60)
        assert child.exitcode == 0
        assert sums == {start: zlib.crc32(truth(road_trace, start).tobytes())}


def test_the_background_thread_does_each_job_once_and_goes():
    done = []
    worker = Prefetcher()
    blocked = threading.Event()
    worker.request("first", blocked.wait)
    for key in ("a", "b", "a"):
        worker.request(key, lambda key=key: done.append(key))
    worker.claim("b")  # somebody does it himself
    blocked.set()
    worker.claim("first")
    worker.request("broken", lambda: 1 / 0)
    worker.request("last", lambda: done.append("last"))
    deadline = time.monotonic() + 120
    while "last" not in done and time.monotonic() < deadline:
        time.sleep(0.005)
    assert done == ["a", "last"]
    worker.stop()
    worker.request("late", lambda: done.append("late"))
    assert done == ["a", "last"]
    assert "vista_sim-prefetch" not in [
        t.name for t in threading.enumerate() if t is worker._thread
    ]


def test_decoding_ahead_can_be_turned_off(monkeypatch):
    monkeypatch.setenv("VISTA_SIM_PREFETCH", "0")
    assert prefetcher() is None


def test_hundreds_of_traces_hold_few_files_open(road_trace, tmp_path, monkeypatch):
    monkeypatch.setenv("VISTA_SIM_FRAMES", str(tmp_path / "blocks"))
    traces = []
    for number in range(30):
        copy = tmp_path / f"drive-{number}"
        copy.mkdir()
        for file in Path(road_trace).iterdir():
            (copy / file.name).symlink_to(file)
        traces.append(Trace.open(copy))
    world = World(traces, cameras_kept=4, cache_bytes=2 * 2**20)
    car = world.spawn_agent()
    car.spawn_camera(size=(24, 48))
    before = len(os.listdir("/proc/self/fd"))
    for number in range(30):
        car.reset(trace=number, s=20.0)
    assert len(os.listdir("/proc/self/fd")) - before < 15


def test_without_a_temporary_folder_frames_stay_in_the_process(road_trace, monkeypatch):
    def none():
        raise FileNotFoundError("No usable temporary directory found")

    expected = cache_of(road_trace, size=(19, 38))[4].image.copy()
    monkeypatch.delenv("VISTA_SIM_FRAMES", raising=False)
    monkeypatch.setattr(tempfile, "gettempdir", none)
    monkeypatch.setattr(blocks, "_checked", (-1, None, None))
    assert blocks._folder() is None
    cache = cache_of(road_trace, size=(19, 37))
    assert cache[4].image.shape == (19, 37, 3)
    np.testing.assert_array_equal(cache_of(road_trace, size=(19, 38))[4].image, expected)
