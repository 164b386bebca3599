"""`vista-sim drive` as a process: started, driven, ended, interrupted and killed."""

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest

from vista_sim.cli import main
from vista_sim.drive.protocol import unpack_frame
from vista_sim.runs.run import read_run
from vista_sim.traces.trace import Trace

PROGRAM = str(Path(sys.executable).with_name("vista-sim"))


@contextmanager
def started(*arguments):
    """A drive as a process, and the address of its page."""
    command = [PROGRAM, "drive", *map(str, arguments), "--port", "0", "--no-open"]
    process = subprocess.Popen(
        [*command, "--size", "64x128"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    killer = threading.Timer(120, process.kill)
    killer.start()
    try:
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, line + process.stderr.read()
        yield process, found[0]
    finally:
        killer.cancel()
        if process.poll() is None:
            process.kill()
        process.communicate()


async def drive(url, seconds, then=None):
    """Drive by hand for so many seconds of the drive; returns (hello, place, end)."""
    base, _, query = url.partition("?")
    base = base.rstrip("/")
    told = {}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{base}/socket?{query}", origin=base) as page,
    ):
        await page.send_json({"type": "command", "name": "go"})
        async for message in page:
            if message.type == aiohttp.WSMsgType.TEXT:
                values = message.json()
                told[values["type"]] = values
                continue
            header, _ = unpack_frame(message.data)
            await page.send_json({"type": "ack", "frame": header["n"]})
            if header["steps"] >= seconds * 20 and then is not None:
                await then(page)
                then = None
    return told


def hands(url, seconds, then=None):
    return asyncio.run(asyncio.wait_for(drive(url, seconds, then), 90))


async def end(page):
    await page.send_json({"type": "command", "name": "end"})


def test_a_drive_is_a_run_and_a_demonstration(road_trace, tmp_path):
    out, demos = tmp_path / "my run", tmp_path / "demos"
    with started(road_trace, "--out", out, "--demonstrations", demos) as (process, url):
        hint = process.stdout.readline()
        assert re.search(r"ssh -N -L \d+:127\.0\.0\.1:\d+ ", hint)
        told = hands(url, 3.0, end)
        assert process.wait(120) == 0
    assert told["hello"]["target"] == "road"
    assert f"vista-sim replay '{out}' --web" in told["end"]["commands"]
    run = read_run(out)
    assert run.info["status"] == "complete"
    assert run.info["results"]["drivers"]["human"]["distance_m"] > 20
    assert run.steps.num_rows > 60
    assert run.roads.num_rows > 300
    assert {f["view"] for f in run.frames.to_pylist()} >= {"camera", "scene"}
    (folder,) = demos.iterdir()
    assert Trace.open(folder).duration >= 3.0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_drive_and_the_run_is_complete(road_trace, tmp_path, number):
    async def interrupt(page):
        process.send_signal(number)

    with started(road_trace, "--out", tmp_path / "run") as (process, url):
        told = hands(url, 1.0, interrupt)
        assert process.wait(120) == 0
        said = process.stderr.read()
        assert "interrupted" not in said
        assert said.count("no baked geometry") == 1  # though it is filmed too
        assert "Traceback" not in said
    assert told["end"]["title"] == "The drive is over"
    run = read_run(tmp_path / "run")
    assert run.info["status"] == "complete"
    assert run.episodes["ending"].to_pylist() == ["stopped"]


def test_a_drive_that_is_killed_leaves_what_was_driven(road_trace, tmp_path):
    async def kill(page):
        process.kill()

    with started(road_trace, "--out", tmp_path / "run") as (process, url):
        hands(url, 5.0, kill)
        process.wait(120)
    run = read_run(tmp_path / "run")
    assert run.info["status"] == "running"
    assert run.steps.num_rows >= 40  # all but the last seconds


def test_a_drive_that_nobody_drove_leaves_nothing(road_trace, tmp_path):
    with started(road_trace, "--out", tmp_path / "runs" / "mine") as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
        assert "nothing was driven" in process.stdout.read()
    assert not (tmp_path / "runs" / "mine").exists()


def test_a_run_is_replaced_when_somebody_drives_and_not_before(road_trace, tmp_path):
    out = tmp_path / "run"
    with started(road_trace, "--out", out) as (process, url):
        hands(url, 0.3, end)
        process.wait(120)
    before = (out / "run.json").read_bytes()
    with started(road_trace, "--out", out, "--overwrite", "--seed", "7") as (process, url):
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
    assert (out / "run.json").read_bytes() == before
    with started(road_trace, "--out", out, "--overwrite", "--seed", "7") as (process, url):
        hands(url, 0.3, end)
        process.wait(120)
    assert read_run(out).info["seed"] == 7


def test_a_run_that_cannot_be_written_is_told_to_the_driver(road_trace, tmp_path):
    out = tmp_path / "run"
    with started(road_trace, "--out", out) as (process, url):
        out.write_text("in the way")
        told = hands(url, 5.0)
        assert process.wait(120) == 2
        said = process.stderr.read()
        assert "Traceback" not in said
        assert said.count("no baked geometry") == 1  # however many cameras show it
        assert said.strip().split("\n")[-1] == f"error: {out}: is there already and is no folder"
    assert f"{out}: is there already" in told["end"]["text"]
    assert out.read_text() == "in the way"


def test_a_token_is_in_the_address_and_in_no_file(road_trace, tmp_path):
    with started(road_trace, "--token", "auto", "--out", tmp_path / "run") as (process, url):
        token = url.partition("token=")[2]
        assert len(token) >= 20
        hands(url, 0.3, end)
        process.wait(120)
    for file in (tmp_path / "run").rglob("*"):
        assert not file.is_file() or token.encode() not in file.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["no-such-trace"], "no-such-trace"),
        (["ROAD", "--size", "1x"], "HEIGHTxWIDTH"),
        (["ROAD", "--size", "8000x8000"], "pixels"),
        (["ROAD", "--speed", "fast"], "recorded or free"),
        (["ROAD", "--rate", "1000"], "--rate is 1000"),
        (["ROAD", "--rate", "nan"], "--rate is nan"),
        (["ROAD", "--port", "70000"], "--port is 70000"),
        (["ROAD", "--host", "0.0.0.0"], "--token auto"),
        (["ROAD", "--host", "no.such.host.invalid", "--token", "auto"], "--host"),
        (["ROAD", "--policy", "/no/policy"], "/no/policy"),
        (["ROAD", "--demonstrations", "FILE"], "name a folder"),
        (["ROAD", "--out", "FOLDER"], "is there already"),
        (["ROAD", "--out", "FILE/run"], "is no folder"),
        (["ROAD", "--out", "mine", "--demonstrations", "FOLDER"], "mine-003: is there already"),
    ],
)
@pytest.mark.usefixtures("_unwarned")
def test_mistakes_are_one_line(road_trace, tmp_path, capsys, arguments, says):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "own.txt").write_text("kept")
    (tmp_path / "folder" / "mine-003").mkdir()
    names = {
        "ROAD": str(road_trace),
        "FILE": str(tmp_path / "file"),
        "FOLDER": str(tmp_path / "folder"),
        "FILE/run": str(tmp_path / "file" / "run"),
    }
    given = [names.get(one, one) for one in arguments]
    given += [] if "--port" in given else ["--port", "0"]
    given += [] if "--out" in given else ["--out", str(tmp_path / "run")]
    with pytest.raises(SystemExit) as caught:
        main(["drive", *given, "--no-open"])
    assert caught.value.code == 2
    said = capsys.readouterr().err.strip()
    assert said.count("\n") == 0
    assert says in said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.usefixtures("_unwarned")
def test_a_port_in_use_is_said(road_trace, tmp_path, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with pytest.raises(SystemExit):
            main(["drive", str(road_trace), "--port", port, "--out", str(tmp_path / "run")])
    assert f"127.0.0.1:{port} cannot be listened at" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_what_is_sent_is_json_that_browsers_read(road_trace, tmp_path):
    with started(road_trace, "--out", tmp_path / "run") as (_, url):
        told = hands(url, 0.2, end)
    road = told["place"]["road"]
    assert {len(values) for values in road.values()} == {len(road["s"])}
    assert json.loads(json.dumps(told, allow_nan=False)) == told
