"""A drive through a tunnel that takes 40 ms each way and ends at another port."""

import asyncio
import time
from contextlib import asynccontextmanager

import aiohttp
import pytest
from driving_hands import driving
from tunnel import Tunnel

from vista_sim.drive.access import Access
from vista_sim.drive.protocol import unpack_frame
from vista_sim.drive.server import DriveServer

DELAY = 0.04  # s each way

pytestmark = pytest.mark.usefixtures("_unwarned")


@asynccontextmanager
async def page(tunnel, name="localhost"):
    base = f"http://{name}:{tunnel.port}"
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{base}/drive.js") as answer,
        session.ws_connect(f"{base}/socket", origin=base) as socket,
    ):
        assert answer.status == 200
        yield socket


async def until(socket, what):
    """Draw frames until one is as wanted; its header is returned."""
    async for message in socket:
        if message.type == aiohttp.WSMsgType.BINARY:
            header, _ = unpack_frame(message.data)
            await socket.send_json({"type": "ack", "frame": header["n"]})
            if what(header):
                return header
    raise AssertionError(f"the connection ended ({socket.close_code})")


async def steer(socket, seq, steer):
    await socket.send_json({"type": "input", "seq": seq, "steer": steer, "keys": False})


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 60))


def test_a_drive_goes_through_a_tunnel(road_trace, tmp_path):
    async def drive(tunnel, hands):
        async with page(tunnel) as socket:
            sent = time.monotonic()
            await steer(socket, 1, 0.0)
            await socket.send_json({"type": "command", "name": "go"})
            await until(socket, lambda header: header["seq"] == 1)
            assert time.monotonic() - sent >= 2 * DELAY
            await steer(socket, 2, 0.4)
            await until(socket, lambda header: header["lateral"] > 0.3)
            await steer(socket, 3, 0.0)
            await until(socket, lambda header: header["seq"] == 3)
            await socket.send_json({"type": "command", "name": "pause"})
            await until(socket, lambda header: header["phase"] == "paused")

    with (
        driving(road_trace, tmp_path / "run") as hands,
        DriveServer(hands.link, {}, Access("127.0.0.1", None), 0) as server,
        Tunnel(server.port, DELAY) as tunnel,
    ):
        run(drive(tunnel, hands))
    assert max(hands.run.steps["lateral"].to_pylist()) > 0.3


def test_a_tunnel_that_breaks_pauses_the_drive_and_another_one_goes_on(road_trace, tmp_path):
    async def drive(tunnel, hands):
        async with page(tunnel) as socket:
            await socket.send_json({"type": "command", "name": "go"})
            await until(socket, lambda header: header["steps"] >= 5)
            tunnel.cut()
            async for _ in socket:
                pass
        end = time.monotonic() + 120
        while hands.sees["phase"] != "paused":
            assert time.monotonic() < end
            await asyncio.sleep(0.01)
        async with page(tunnel, "127.0.0.1") as socket:
            stood = await until(socket, lambda header: header["phase"] == "paused")
            await socket.send_json({"type": "command", "name": "go"})
            await until(socket, lambda header: header["s"] > stood["s"] + 1.0)

    with (
        driving(road_trace, tmp_path / "run") as hands,
        DriveServer(hands.link, {}, Access("127.0.0.1", None), 0) as server,
        Tunnel(server.port, DELAY) as tunnel,
    ):
        run(drive(tunnel, hands))
    (only,) = hands.run.episodes.to_pylist()
    assert only["ending"] == "stopped"
