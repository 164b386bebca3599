"""The server of the drive page, as browsers, tunnels and attackers meet it."""

import asyncio
import http.client
import time
from contextlib import asynccontextmanager

import aiohttp
import pytest

from vista_sim.drive.access import Access
from vista_sim.drive.link import Link
from vista_sim.drive.protocol import Frame, Input, unpack_frame
from vista_sim.drive.server import PAGE, DriveServer

TOKEN = "open-sesame"


@pytest.fixture
def link():
    return Link()


@pytest.fixture
def server(link):
    with DriveServer(link, {"target": "road"}, Access("127.0.0.1", None), 0, 1.0) as serving:
        yield serving


def get(server, path, **headers):
    """(status, headers, body) of a plain request, whose path is sent as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.putrequest("GET", path, skip_host=True)
        for name, value in {"Host": f"127.0.0.1:{server.port}", **headers}.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 20))


@asynccontextmanager
async def connected(server, origin=None, host=None, query=""):
    base = f"http://127.0.0.1:{server.port}"
    headers = {} if host is None else {"Host": host}
    if origin != "":
        headers["Origin"] = origin or base
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{base}/socket{query}", headers=headers) as socket,
    ):
        yield socket


async def status_of(server, **how):
    try:
        async with connected(server, **how):
            return 101
    except aiohttp.WSServerHandshakeError as error:
        return error.status


async def until(what, seconds=120):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


def frame(number, picture=None, size=100):
    return Frame(number, {"seq": number}, number if picture is None else picture, b"j" * size)


def test_the_page_and_its_files_are_served_and_load_nothing_from_elsewhere(server):
    for path in PAGE:
        status, headers, body = get(server, path)
        assert status == 200
        assert body
        assert b"http://" not in body.replace(b"http://www.w3.org/2000/svg", b"")
        assert b"https://" not in body
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "Server" not in headers


@pytest.mark.parametrize(
    "path",
    [
        "/../server.py",
        "/static/index.html",
        "/drive.js/../../server.py",
        "/%2e%2e/server.py",
        "/..%2f..%2fpyproject.toml",
        "//etc/passwd",
        "/etc/passwd",
        "/drive.js%00.css",
        "/index.html",
        "/drive.js/",
    ],
)
def test_nothing_else_is(server, path):
    status, _, body = get(server, path)
    assert status in (400, 404)
    assert b"import" not in body
    assert b"root:" not in body


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "", "10.0.0.1"])
def test_a_name_that_was_made_to_point_here_gets_nothing(server, host):
    for path in ("/", "/drive.js", "/socket"):
        status, _, body = get(server, path, Host=host)
        assert status == 403
        assert b"<html" not in body
    assert run(status_of(server, host=host or "x", origin=f"http://{host}")) == 403


def test_another_site_cannot_open_the_socket(server, link):
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1", ""):
        assert run(status_of(server, origin=origin)) == 403
    assert not link.connected
    assert run(status_of(server)) == 101


def test_a_tunnel_may_end_at_another_port(server):
    how = {"host": "localhost:9000", "origin": "http://localhost:9000"}
    assert run(status_of(server, **how)) == 101


def test_a_token_opens_page_and_socket_and_a_wrong_one_neither(link):
    with DriveServer(link, {}, Access("127.0.0.1", TOKEN), 0) as server:
        assert server.url.endswith(f"/?token={TOKEN}")
        assert get(server, f"/?token={TOKEN}")[0] == 200
        for query in ("", "?token=", "?token=open-sesam", f"?token={TOKEN}x", "?token=%ff"):
            status, _, body = get(server, f"/{query}")
            assert status == 403
            assert TOKEN.encode() not in body
            assert run(status_of(server, query=query)) == 403
        assert run(status_of(server, query=f"?token={TOKEN}")) == 101


def test_what_a_driver_does_arrives(server, link):
    async def drive():
        async with connected(server) as socket:
            hello = await socket.receive_json()
            assert hello == {"type": "hello", "target": "road"}
            await socket.send_json({"type": "input", "seq": 5, "steer": 0.5, "keys": True})
            await socket.send_json({"type": "command", "name": "go"})
            await socket.send_json({"type": "ping", "id": 3})
            assert await socket.receive_json() == {"type": "pong", "id": 3}
            assert link.connected
            assert link.input == Input(5, 0.5, keys=True)
            assert link.take_commands() == ["go"]
        await until(lambda: not link.connected)
        assert link.input == Input()  # hands off

    run(drive())


def test_one_driver_at_a_time(server, link):
    async def drive():
        async with connected(server) as first:
            await first.receive_json()
            async with connected(server) as second:
                refused = await second.receive_json()
                assert refused["type"] == "refused"
                assert "somebody else drives" in refused["reason"]
                assert (await second.receive()).type == aiohttp.WSMsgType.CLOSE
                assert second.close_code == 4001
            await first.send_json({"type": "command", "name": "pause"})
            await until(lambda: link.take_commands() == ["pause"])
            assert link.connected
        await until(lambda: not link.connected)
        async with connected(server) as third:
            assert (await third.receive_json())["type"] == "hello"

    run(drive())


def test_a_silent_driver_is_dropped(server, link):
    async def drive():
        async with connected(server) as socket:
            for _ in range(12):  # who says something is not
                await socket.send_json({"type": "ping", "id": 1})
                await asyncio.sleep(0.15)
                assert link.connected
            kinds = [message["type"] async for message in texts(socket)]
            assert kinds[-1] == "refused"
            assert socket.close_code == 4002
        await until(lambda: not link.connected)

    run(drive())


async def texts(socket):
    async for message in socket:
        if message.type == aiohttp.WSMsgType.TEXT:
            yield message.json()


@pytest.mark.parametrize(
    "text", ["nonsense", '{"type": "input", "seq": 0, "steer": NaN}', "x" * 1500]
)
def test_who_talks_nonsense_is_dropped_and_told_why(server, link, text):
    async def drive():
        async with connected(server) as socket:
            await socket.send_str(text)
            said = [message async for message in texts(socket)]
            assert said[-1]["type"] == "refused"
            assert "\n" not in said[-1]["reason"]
            assert socket.close_code == 4003
        await until(lambda: not link.connected)
        assert await status_of(server) == 101

    run(drive())


def test_a_message_that_is_far_too_long_is_not_even_read(server, link):
    async def drive():
        async with connected(server) as socket:
            await socket.send_str("x" * 1_000_000)
            async for _ in socket:
                pass
        await until(lambda: not link.connected)
        assert await status_of(server) == 101

    run(drive())


def test_a_page_that_does_not_say_it_drew_gets_three_frames_and_then_the_newest(server, link):
    async def drive():
        async with connected(server) as socket:
            await socket.receive_json()
            for number in range(1, 51):
                link.show(frame(number))
                await asyncio.sleep(0.005)
            got = [unpack_frame((await socket.receive()).data)[0]["n"] for _ in range(3)]
            assert got[2] < 50
            await socket.send_json({"type": "ping", "id": 1})
            assert await socket.receive_json() == {"type": "pong", "id": 1}  # and no fourth
            await socket.send_json({"type": "ack", "frame": got[2]})
            header, _ = unpack_frame((await socket.receive()).data)
            assert header["n"] == 50  # all between are forgotten

    run(drive())


def test_a_picture_is_sent_once(server, link):
    async def drive():
        async with connected(server) as socket:
            await socket.receive_json()
            sizes = []
            for number, picture in ((1, 1), (2, 1), (3, 2)):
                link.show(frame(number, picture))
                header, jpeg = unpack_frame((await socket.receive()).data)
                assert header["n"] == number
                sizes.append(len(jpeg))
                await socket.send_json({"type": "ack", "frame": number})
            assert sizes == [100, 0, 100]

    run(drive())


def test_a_new_driver_sees_where_the_drive_is(server, link):
    async def drive():
        for _ in range(2):
            async with connected(server) as socket:
                await socket.receive_json()
                link.tell({"type": "place", "trace": "<b>road</b>"})
                link.show(frame(7))
                assert (await socket.receive_json())["trace"] == "<b>road</b>"
                assert unpack_frame((await socket.receive()).data)[0]["n"] == 7
            await until(lambda: not link.connected)

    run(drive())


def test_last_words_arrive_before_the_server_goes(link):
    async def drive(server):
        async with connected(server) as socket:
            await socket.receive_json()
            link.tell({"type": "end", "title": "over"})
            leaving = asyncio.get_running_loop().run_in_executor(
                None, server.__exit__, None, None, None
            )
            assert (await socket.receive_json())["title"] == "over"
            async for _ in socket:
                pass
            assert socket.close_code == 4004
            await leaving

    server = DriveServer(link, {}, Access("127.0.0.1", None), 0)
    server.__enter__()
    run(drive(server))
