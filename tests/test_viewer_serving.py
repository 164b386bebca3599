"""The viewer's page: on the loopback interface alone, asking nobody else, gone when it ends."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from filmed_runs import write_run
from headless import chromium, needs_chromium

pytest.importorskip("rerun")
pytestmark = pytest.mark.skipif(
    not Path("/proc/net/tcp").exists(), reason="open sockets are read from /proc"
)

COMMAND = [sys.executable, "-c", "from vista_sim.cli import main; main()", "replay", "--web"]
LOOPBACK = ("0100007F", "00000000000000000000000001000000")  # as /proc writes addresses


@contextmanager
def served(*arguments):
    """The process and the address of its page, when everything has been sent."""
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    child = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        lines = []
        for line in child.stdout:
            lines.append(line)
            if line.startswith("Ctrl-C"):
                break
        yield child, lines[0].split()[1]
    finally:
        child.send_signal(signal.SIGTERM)
        assert child.wait(timeout=20) == 128 + signal.SIGTERM


def family(pid):
    """A process and those it started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(p for child in children for p in family(int(child)))]


def listening(pids):
    """(address, port) of each socket on which one of the processes listens, as /proc has them."""
    inodes = set()
    for pid in pids:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            target = os.readlink(entry)
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    found = []
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found.append(tuple(fields[1].split(":")))
    return found


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with served(write_run(tmp_path_factory.mktemp("served") / "run")) as one:
        yield one


def test_all_servers_listen_on_loopback_alone(page):
    child, url = page
    sockets = listening(family(child.pid))
    assert len(sockets) >= 2  # of the page and of the data
    assert {address for address, _ in sockets} <= set(LOOPBACK)
    parts = urlsplit(url)
    assert parts.hostname == "127.0.0.1"
    ports = {int(port, 16) for _, port in sockets}
    (data,) = parse_qs(parts.query)["url"]
    assert {parts.port, urlsplit(data).port} <= ports


def test_the_page_may_ask_only_this_machine(page):
    _, url = page
    with urllib.request.urlopen(url) as answer:
        policy = answer.headers["Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    for sources in rules.values():
        for source in sources.split():
            assert source.startswith(("'", "http://127.0.0.1:")) or source in ("data:", "blob:")


def test_the_page_answers_to_its_own_name_and_files_alone(page):
    _, url = page
    address = urlsplit(url).netloc
    for path, host, status in (
        ("/re_viewer.js", address, 200),
        ("/../etc/passwd", address, 404),
        ("/", "evil.example:80", 404),
    ):
        request = urllib.request.Request(f"http://{address}{path}", headers={"Host": host})
        try:
            with urllib.request.urlopen(request) as answer:
                found = answer.status
        except urllib.error.HTTPError as error:
            found = error.code
        assert found == status, path


def test_the_viewer_goes_when_the_command_ends(tmp_path):
    with served(write_run(tmp_path / "run", views=())) as (child, url):
        pids = family(child.pid)
        assert len(pids) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", urlsplit(url).port), 1):  # noqa: PT011
        pass


@pytest.mark.parametrize("before", [0, 1])  # the page's port, and the data's, which is the next
def test_a_port_that_is_taken_is_one_line(tmp_path, before):
    folder = write_run(tmp_path / "run", views=())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        given = ["--port", str(port - before), str(folder)]
        ended = subprocess.run([*COMMAND, *given], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert f"port {port} cannot be used" in ended.stderr


@pytest.mark.slow
@needs_chromium
def test_a_browser_shows_the_run(page):
    """It starts, fetches the data, draws something, and no other host answers it."""
    _, url = page
    answered = []
    with chromium(webgl=True) as browser:
        tab = browser.new_page(viewport={"width": 640, "height": 400})
        tab.on("response", lambda answer: answered.append(urlsplit(answer.url)))
        told = []
        tab.on("console", lambda message: told.append(message.text))
        tab.goto(f"{url}&renderer=webgl")
        end = time.monotonic() + 90
        while time.monotonic() < end and not any(p.path.endswith("ReadMessages") for p in answered):
            tab.wait_for_timeout(250)
    assert any("App started" in text for text in told)
    assert any(part.path.endswith("ReadMessages") for part in answered)
    assert {part.hostname for part in answered} == {"127.0.0.1"}


def test_a_window_that_cannot_open_is_one_line(tmp_path):
    folder = write_run(tmp_path / "run", views=())
    command = [part for part in COMMAND if part != "--web"]
    environment = os.environ | {"DISPLAY": ":4711", "WAYLAND_DISPLAY": ""}
    ended = subprocess.run(
        [*command, str(folder)], capture_output=True, text=True, env=environment, timeout=60
    )
    errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert ended.returncode == 2
    assert len(errors) == 1
    assert "--web" in errors[0]
    assert "Traceback" not in ended.stderr


def test_the_port_is_the_one_that_was_asked_for(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with served("--port", port, write_run(tmp_path / "run", views=())) as (_, url):
        parts = urlsplit(url)
        assert parts.port == port
        assert urlsplit(parse_qs(parts.query)["url"][0]).port == port + 1
