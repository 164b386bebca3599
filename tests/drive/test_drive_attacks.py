"""The server of the drive page under attack: it stays, stays small, and gives nothing away."""

import asyncio
import contextlib
import json
import logging
import random
import socket
import time

import pytest
from test_drive_server import TOKEN, connected, frame, get, run, status_of, until

from vista_sim.drive.access import Access
from vista_sim.drive.connections import MOST
from vista_sim.drive.link import MAX_COMMANDS, Link
from vista_sim.drive.protocol import COMMANDS
from vista_sim.drive.server import MOST_MESSAGES, PAGE, DriveServer


@pytest.fixture
def link():
    return Link()


@pytest.fixture
def server(link, caplog):
    with DriveServer(link, {"target": "road"}, Access("127.0.0.1", None), 0, 1.0) as serving:
        yield serving
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


def say(server, data, more=False):
    """What comes back for raw bytes, after which nothing more comes unless `more` may."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=2.0) as raw:
        with contextlib.suppress(OSError):
            raw.sendall(data)
            if not more:
                raw.shutdown(socket.SHUT_WR)
        got = b""
        with contextlib.suppress(OSError):
            while part := raw.recv(65536):
                got += part
        return got


def head(server, first, *lines):
    host = f"Host: 127.0.0.1:{server.port}"
    return "\r\n".join([first, host, *lines, "", ""]).encode("latin-1")


def test_requests_that_are_none_are_refused_and_do_no_harm(server):
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    own = f"Origin: http://127.0.0.1:{server.port}"
    attacks = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),  # TLS
        b"\x00" * 5000,
        b"GET / HTTP/1.1\r\n\r\n",
        head(server, "GET / HTTP/9.9"),
        head(server, "GET /" + "a" * 100_000 + " HTTP/1.1"),
        head(server, "GET / HTTP/1.1", "X: " + "a" * 100_000),
        head(server, "GET / HTTP/1.1", *(f"X{i}: a" for i in range(40_000))),
        head(server, "GET / HTTP/1.1", "Host: evil.example"),
        head(server, "POST / HTTP/1.1", "Transfer-Encoding: chunked")
        + b"ffffffff\r\n"
        + b"x" * 9999,
        head(server, "POST / HTTP/1.1", "Content-Length: 99999999999") + b"x" * 9999,
        head(server, "POST / HTTP/1.1", "Content-Length: -1"),
        head(server, "GET /socket HTTP/1.1", *upgrade, own, "Sec-WebSocket-Key: x"),
        head(server, "GET /socket HTTP/1.1", *upgrade, own, "Sec-WebSocket-Key: \xff\xff"),
        head(server, "GET /socket HTTP/1.1", "Upgrade: \xed\xb3", *upgrade[::2], own),
        head(server, "GET /socket HTTP/1.1", *upgrade, own),
        head(server, "GET /socket HTTP/1.1", own),
        head(server, "CONNECT 127.0.0.1:22 HTTP/1.1"),
        head(server, "GET http://127.0.0.1:22/ HTTP/1.1"),
        head(server, "GET //evil.example/%2e%2e HTTP/1.1"),
    ]
    for attack in attacks:
        answer = say(server, attack)
        assert answer == b"" or answer.startswith(b"HTTP/1."), attack[:80]
        assert b"Traceback" not in answer
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "BREW"):
        answer = say(server, head(server, f"{method} / HTTP/1.1", "Connection: close"), True)
        assert answer.startswith((b"HTTP/1.0 40", b"HTTP/1.1 40")), (method, answer[:50])
    assert get(server, "/")[0] == 200


def test_no_path_leads_to_a_file(server):
    for path in (
        "/../server.py",
        "/..%2fserver.py",
        "/%2e%2e/%2e%2e/cli.py",
        "/....//server.py",
        "/static/index.html",
        "/drive.js/../../server.py",
        "/drive.js%00.css",
        "/\\..\\server.py",
        "//etc/passwd",
        "/etc/passwd",
        "/%c0%ae%c0%ae/server.py",
        "/.git/config",
        "/?file=/etc/passwd",
    ):
        status, _, body = get(server, path)
        assert status in (400, 403, 404) or body == get(server, "/")[2], path
    assert {status for status, _, _ in (get(server, path) for path in PAGE)} == {200}


@pytest.mark.parametrize(
    "token", ["%ed%a0%80", "%00", "%ff%fe", "a" * 5000, "open-sesame%00", "open-sesam%65x", "é"]
)
def test_odd_tokens_are_wrong(link, token, caplog):
    with DriveServer(link, {}, Access("127.0.0.1", TOKEN), 0) as server:
        request = head(server, f"GET /?token={token} HTTP/1.1", "Connection: close")
        assert say(server, request, True).startswith((b"HTTP/1.0 40", b"HTTP/1.1 40"))
        assert get(server, f"/?token={TOKEN}")[0] == 200
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


def test_connections_that_say_nothing_neither_pile_up_nor_keep_anybody_out(link):
    async def attack(server):
        async with connected(server) as driver:
            await driver.receive_json()
            idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(5 * MOST)]
            try:
                for slow in idle[::2]:
                    with contextlib.suppress(OSError):
                        slow.sendall(b"GET / HTTP/1.1\r\nX: ")
                assert await asyncio.to_thread(lambda: get(server, "/")[0]) == 200
                await until(lambda: sum(map(is_open, idle)) <= MOST)
                await driver.send_json({"type": "command", "name": "go"})
                await until(lambda: link.take_commands() == ["go"])
                assert link.connected
            finally:
                for one in idle:
                    one.close()

    with DriveServer(link, {}, Access("127.0.0.1", None), 0) as server:
        run(attack(server))


def is_open(connection):
    """Whether the other side has not ended a connection."""
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def nonsense(rng, depth=0):
    """A JSON value that nobody expects."""
    leaves = [None, True, -1, 0, 1, 2**53 + 1, 10**400, 1e308, float("nan"), float("-inf"), "", "x"]
    leaves += ["input", "command", "ack", "ping", *COMMANDS, "\ud800", "\x00", "x" * 300]
    if depth < 3 and rng.random() < 0.3:
        return [nonsense(rng, depth + 1) for _ in range(rng.randrange(4))]
    if depth < 3 and rng.random() < 0.3:
        return {str(nonsense(rng, 3)): nonsense(rng, depth + 1) for _ in range(rng.randrange(4))}
    return rng.choice(leaves)


def test_random_messages_are_taken_or_refused(server, link):
    rng = random.Random(4)
    names = ("type", "seq", "steer", "throttle", "brake", "keys", "name", "frame", "id")
    kinds = ("input", "command", "ack", "ping")

    async def fuzz():
        refused = 0
        for _ in range(30):
            async with connected(server) as page:
                await page.receive_json()
                with contextlib.suppress(ConnectionError):
                    for _ in range(20):
                        values = {name: nonsense(rng) for name in names if rng.random() < 0.7}
                        values["type"] = rng.choice(kinds) if rng.random() < 0.9 else nonsense(rng)
                        await page.send_str(json.dumps(values))
                await page.close()
                refused += page.close_code == 4003
            await until(lambda: not link.connected)
            assert len(link.take_commands()) <= MAX_COMMANDS
        return refused

    run(fuzz())
    assert run(status_of(server)) == 101


@pytest.mark.parametrize(
    "text", ["[" * 1000, '{"type":' * 120, '{"type": {"a": 1}}', "1e999", "{}"]
)
def test_deep_and_odd_json_is_refused(server, link, text):
    async def attack():
        async with connected(server) as page:
            await page.receive_json()
            await page.send_str(text)
            async for _ in page:
                pass
            assert page.close_code == 4003

    run(attack())


@pytest.mark.parametrize("kind", ["text", "ping"])
def test_a_flood_is_cut_off(server, link, kind):
    async def attack():
        async with connected(server) as page:
            await page.receive_json()
            with contextlib.suppress(ConnectionError):
                for number in range(4 * MOST_MESSAGES):
                    if kind == "ping":
                        await page.ping(b"x")
                    else:
                        await page.send_json({"type": "command", "name": COMMANDS[number % 8]})
            async for _ in page:
                pass
        await until(lambda: not link.connected)
        assert len(link.take_commands()) <= MAX_COMMANDS
        assert await status_of(server) == 101

    run(attack())


def test_the_protocols_own_ping_is_answered_and_does_not_count_as_silence(server, link):
    async def drive():
        async with connected(server) as page:
            await page.receive_json()
            for _ in range(12):  # far more often than a silence lasts, for longer than one does
                await page.ping(b"here")
                await asyncio.sleep(0.15)
            assert link.connected

    run(drive())


def test_who_does_not_read_holds_few_frames_and_then_goes(server, link):
    """Bytes on the way are bounded, though frames are said to be drawn that were never read."""

    async def attack():
        link.show(frame(1))
        async with connected(server) as page:
            await page.receive_json()
            reading = page._response.connection.transport
            reading.pause_reading()
            big = 1 << 20
            for number in range(2, 60):
                link.show(frame(number, number, big))
                await page.send_json({"type": "ack", "frame": number})
                await asyncio.sleep(0.02)
            transport = server._connections.kept
            assert transport.get_write_buffer_size() < 5 * big
            started = time.monotonic()
            await until(lambda: not link.connected)  # silent for a second
            assert time.monotonic() - started < 10
            reading.resume_reading()
        assert await status_of(server) == 101

    run(attack())


def test_a_name_server_is_asked_once(link, monkeypatch):
    asked = []
    monkeypatch.setattr(socket, "getfqdn", lambda: asked.append(1) or "box.example")
    access = Access("0.0.0.0", TOKEN)
    assert access.host_allowed("box.example:8700")
    for _ in range(5):
        assert not access.host_allowed("evil.example")
    assert len(asked) == 1
