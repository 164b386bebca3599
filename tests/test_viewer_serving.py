"""The viewer's page: on the loopback interface alone, asking nobody else, gone when it ends."""

import http.client
import os
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from filmed_runs import write_run
from headless import chromium, needs_chromium

from vista_sim.errors import VistaError
from vista_sim.replay.viewer.page import Page

pytest.importorskip("rerun")
pytestmark = pytest.mark.skipif(
    not Path("/proc/net/tcp").exists(), reason="open sockets are read from /proc"
)

COMMAND = [sys.executable, "-c", "from vista_sim.cli import main; main()", "replay", "--web"]
LOOPBACK = ("0100007F", "00000000000000000000000001000000")  # as /proc writes addresses


@contextmanager
def served(*arguments):
    """The process and the address of its page, when everything has been sent."""
    with started(*arguments) as (child, url):
        yield child, url
        child.send_signal(signal.SIGTERM)
        assert child.wait(timeout=120) == 128 + signal.SIGTERM


@contextmanager
def started(*arguments):
    """As `served`, but it is for the block to end the process."""
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
        child.kill()
        child.wait()
        child.stdout.close()


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
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("served") / "run")


@pytest.fixture(scope="module")
def page(run):
    with served(run) as one:
        yield one


def test_all_servers_listen_on_loopback_alone(page):
    child, url = page
    sockets = listening(family(child.pid))
    assert len(sockets) >= 1
    assert {address for address, _ in sockets} <= set(LOOPBACK)
    parts = urlsplit(url)
    assert parts.hostname == "127.0.0.1"
    ports = {int(port, 16) for _, port in sockets}
    (data,) = parse_qs(parts.query)["url"]
    assert {parts.port, urlsplit(data).port} <= ports


def asked(port, path, **headers):
    """Status and content that a server of this machine answers with."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=240)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_no_open_port_answers_a_name_that_was_pointed_to_this_machine(page):
    """DNS rebinding: whatever listens sees another Host, or the Origin of a page elsewhere."""
    child, _ = page
    ports = {int(port, 16) for _, port in listening(family(child.pid))}
    paths = ("/", "/recording.rrd", "/rerun.sdk_comms.v1alpha1.MessageProxyService/ReadMessages")
    for port in ports:
        own = f"127.0.0.1:{port}"
        for path in paths:
            for headers in (
                {"Host": f"evil.example:{port}"},
                {"Host": "evil.example"},
                {"Host": own, "Origin": "http://evil.example"},
                {"Host": own, "Origin": "null"},
            ):
                assert asked(port, path, **headers)[0] == 403, (port, path, headers)


def test_the_page_gets_the_whole_recording(page):
    _, url = page
    port = urlsplit(url).port
    (data,) = parse_qs(urlsplit(url).query)["url"]
    own = f"127.0.0.1:{port}"
    status, content = asked(port, urlsplit(data).path, Host=own, Origin=f"http://{own}")
    assert status == 200
    assert content[:4] == b"RRF2"
    assert b"RRF2" in content[-64:]  # of the footer that ends a recording


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_nothing_serves_the_recording_any_more_when_the_command_is_ended(run, number):
    with started(run) as (child, url):
        assert family(child.pid) == [child.pid]  # all is served by the command itself
        child.send_signal(number)
        assert child.wait(timeout=120) in (-number, 128 + number)
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", urlsplit(url).port), 1):  # noqa: PT011
        pass


def test_a_child_ends_with_a_process_that_is_killed():
    """As Rerun's window does: the kernel ends what a killed process cannot."""
    program = (
        "import sys, time; from vista_sim import children\n"
        "child = children.start([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    descriptor = os.pidfd_open(pid)
    try:
        parent.kill()
        parent.wait()
        assert select.select([descriptor], [], [], 20)[0]  # readable when the process has ended
    finally:
        os.close(descriptor)


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
        ("/", "evil.example:80", 403),
    ):
        request = urllib.request.Request(f"http://{address}{path}", headers={"Host": host})
        try:
            with urllib.request.urlopen(request) as answer:
                found = answer.status
        except urllib.error.HTTPError as error:
            found = error.code
        assert found == status, path


def test_a_port_that_is_taken_is_one_line(tmp_path):
    folder = write_run(tmp_path / "run", views=())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        given = ["--port", str(port), str(folder)]
        ended = subprocess.run([*COMMAND, *given], capture_output=True, text=True, timeout=240)
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
        end = time.monotonic() + 240
        while time.monotonic() < end and not any(p.path == "/recording.rrd" for p in answered):
            tab.wait_for_timeout(250)
    assert any("App started" in text for text in told)
    assert any(part.path == "/recording.rrd" for part in answered)
    assert {part.hostname for part in answered} == {"127.0.0.1"}


def test_a_window_that_cannot_open_is_one_line(tmp_path):
    folder = write_run(tmp_path / "run", views=())
    command = [part for part in COMMAND if part != "--web"]
    environment = os.environ | {"DISPLAY": ":4711", "WAYLAND_DISPLAY": ""}
    ended = subprocess.run(
        [*command, str(folder)], capture_output=True, text=True, env=environment, timeout=240
    )
    errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert ended.returncode == 2
    assert len(errors) == 1
    assert "--web" in errors[0]
    assert "Traceback" not in ended.stderr


def test_the_port_is_the_one_that_was_asked_for():
    """Bound by the page itself; another process may take a port that is only found free."""
    for _ in range(20):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with suppress(VistaError):  # taken meanwhile
            page = Page(port)
            break
    try:
        parts = urlsplit(page.url)
        assert parts.port == port
        assert urlsplit(parse_qs(parts.query)["url"][0]).netloc == parts.netloc
        assert asked(port, "/", Host=f"localhost:{port}")[0] == 404  # it has no files yet
    finally:
        page.close()


#: A command whose files may not grow beyond so many bytes, which is as a full disk is.
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
from vista_sim.cli import main
main()
"""


def test_a_recording_for_which_there_is_no_space_ends_in_one_line(run, tmp_path):
    out = tmp_path / "run.rrd"
    out.write_bytes(b"older")
    command = [sys.executable, "-c", LIMITED, "replay", "--save", str(out), "--overwrite", str(run)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert ended.returncode == 2
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert str(out) in line
    assert "no space left" in line
    assert [path.name for path in tmp_path.iterdir()] == ["run.rrd"]
    assert out.read_bytes() == b"older"
