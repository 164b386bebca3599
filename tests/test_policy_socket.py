"""Policies over a socket: the protocol as README.md has it, and peers that do not keep to it."""

import contextlib
import math
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgpack
import numpy as np
import pytest

from vista_sim.cli import main
from vista_sim.errors import (
    PolicyDiedError,
    PolicyError,
    PolicyFailureError,
    PolicyNotFiniteError,
    PolicyRaisedError,
    PolicyTimeoutError,
)
from vista_sim.evaluation.evaluate import evaluate
from vista_sim.policies import Action, CameraSpec, Policy, PolicyServer, SocketPolicy
from vista_sim.policies.remote import server, wire
from vista_sim.policies.remote.address import Address
from vista_sim.policies.remote.items import check_items
from vista_sim.runs.run import read_run
from vista_sim.scenarios.places import RecoveryTest
from vista_sim.sensors.state_vector import STATE_NAMES
from vista_sim.traces.calibration import Lens, Vehicle

README = Path(__file__).parents[1] / "vista_sim" / "policies" / "README.md"
SPEC = CameraSpec((40, 100), fov=1.0)
OBSERVATION = {"camera": np.zeros((4, 6, 3), np.uint8), "speed": np.array([2.0], np.float32)}


class Balance:
    """Steers to the brighter side, and remembers where it steered."""

    camera = SPEC

    def reset(self):
        self.last = 0.0

    def act(self, observation, car=None):
        image = observation["camera"]
        half = image.shape[1] // 2
        self.last = 0.5 * self.last + 1e-3 * float(image[:, :half].mean() - image[:, half:].mean())
        return Action(self.last)


class Car:
    vehicle = Vehicle(wheelbase=3.1)

    def state_vector(self):
        return np.arange(len(STATE_NAMES), dtype=np.float32) / 7


def run_of(policy, trace, out):
    few = RecoveryTest(laterals=(-1.0,), headings=(0.1,), starts_per_kind=1)
    evaluate(policy, trace, out, recovery=few, video=False, section=(0.0, 7.0))
    return read_run(out)


def test_a_policy_in_another_process_drives_the_same_run(road_trace, tmp_path):
    (tmp_path / "balance.py").write_text(
        "import sys\nsys.path.insert(0, " + repr(str(Path(__file__).parent)) + ")\n"
        "from test_policy_socket import Balance\n"
    )
    code = "import sys; from vista_sim.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "serve-policy", "balance:Balance", "--at", "my.sock"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "serving balance:Balance at socket:my.sock\n"
        assert (tmp_path / "my.sock").stat().st_mode & 0o777 == 0o600
        found = run_of(f"socket:{tmp_path / 'my.sock'}", road_trace, tmp_path / "there")
    finally:
        process.kill()
        process.wait()
    wanted = run_of(Balance(), road_trace, tmp_path / "here")
    assert found.steps.equals(wanted.steps)
    assert found.episodes.equals(wanted.episodes)


def test_the_example_of_the_readme_serves(road_trace, tmp_path):
    (code,) = re.findall(r"```python\n(import socket.*?)```", README.read_text(), re.DOTALL)
    (tmp_path / "server.py").write_text(code)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "server.py", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        port = process.stdout.readline().split()[1]
        policy = SocketPolicy(f"127.0.0.1:{port}", connect_timeout=120.0)
        assert (policy.name, policy.camera) == ("example", SPEC)
        policy.reset()
        image = np.zeros((40, 100, 3), np.uint8)
        image[:, :50] = 20
        assert policy.act({"camera": image}).curvature == pytest.approx(0.02)
        policy.close()
        assert process.wait(timeout=120) == 0
    finally:
        process.kill()
        process.wait()


def test_numbers_and_cameras_travel_exactly(serving):
    seen = []

    class Noting:
        camera = CameraSpec(
            (40, 100), lens=Lens("fisheye", 30.0, 31.0, 49.5, 19.5, (40, 100), (0.1, 0, 0, 0))
        )

        def reset(self):
            seen.append("reset")

        def act(self, observation, car=None):
            seen.append((observation, car))
            return Action(1 / 3, -0.1)

    policy = SocketPolicy(str(serving(Noting())))
    assert isinstance(policy, Policy)
    assert policy.camera.to_json() == Noting.camera.to_json()
    policy.reset()
    given = {
        **OBSERVATION,
        "command": "left",
        "number": np.float32(0.1),
        "strided": np.arange(24).reshape(4, 6)[::2, ::-1],
        "list": [1, 2.5, None],
    }
    assert policy.act(given, Car()) == Action(1 / 3, -0.1)
    assert policy.act(OBSERVATION) == Action(1 / 3, -0.1)
    first, (observation, car), (_, none) = seen
    assert first == "reset"
    assert none is None
    for name in ("camera", "speed", "strided"):
        assert observation[name].dtype == given[name].dtype
        assert np.array_equal(observation[name], given[name])
    assert observation["number"] == float(np.float32(0.1))
    assert (observation["command"], observation["list"]) == ("left", [1, 2.5, None])
    assert np.array_equal(car.state_vector(), Car().state_vector())
    assert car.vehicle.to_json() == Car.vehicle.to_json()
    with pytest.raises(PolicyError, match=r"the policy reads car\.path; over a socket a car has v"):
        _ = car.path
    policy.close()


def test_each_connection_of_a_factory_has_a_policy_of_its_own(serving):
    address = str(serving(Balance))
    policies = [SocketPolicy(address) for _ in range(3)]
    bright = {"camera": np.repeat(np.array([[[200], [100]]], np.uint8), 3, axis=2)}
    for policy in policies:
        policy.reset()
    assert [policies[0].act(bright).curvature for _ in range(2)] == pytest.approx([0.1, 0.15])
    assert policies[1].act(bright).curvature == pytest.approx(0.1)
    for policy in policies:
        policy.close()


def test_a_lone_policy_serves_one_connection_at_a_time(serving):
    address = str(serving(Balance()))
    first = SocketPolicy(address)
    with pytest.raises(PolicyError, match="in use by another connection; serve a factory"):
        SocketPolicy(address)
    first.close()
    deadline = time.monotonic() + 120
    while True:
        try:
            SocketPolicy(address).close()
            break
        except PolicyError:
            assert time.monotonic() < deadline


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (ZeroDivisionError("no luck"), PolicyRaisedError, "raised: act: ZeroDivisionError: no lu"),
        (math.nan, PolicyNotFiniteError, "not finite: curvature is nan; it must be finite"),
    ],
)
def test_a_policy_that_fails_there_fails_here_and_goes_on(serving, answer, kind, reason):
    class Failing(Balance):
        def act(self, observation, car=None):
            if observation["fail"]:
                if isinstance(answer, Exception):
                    raise answer
                return Action(answer)
            return Action(0.5)

    policy = SocketPolicy(str(serving(Failing())))
    policy.reset()
    with pytest.raises(kind) as caught:
        policy.act({"fail": True})
    assert caught.value.reason.startswith(reason)
    policy.reset()
    assert policy.act({"fail": False}) == Action(0.5)
    policy.close()


def test_a_policy_that_is_late_is_connected_anew(serving):
    class Late(Balance):
        def act(self, observation, car=None):
            time.sleep(observation["seconds"])
            return Action(0.25)

    policy = SocketPolicy(str(serving(Late)), step_timeout=0.3)
    policy.reset()
    with pytest.raises(PolicyTimeoutError, match=r"no answer to 'act' within 0\.3 s"):
        policy.act({"seconds": 1.0})
    with pytest.raises(PolicyDiedError, match="not connected; reset the policy first"):
        policy.act({"seconds": 0.0})
    policy.step_timeout = 30.0
    policy.reset()
    assert policy.act({"seconds": 0.0}) == Action(0.25)
    policy.close()


READY = {"type": "ready", "protocol": wire.PROTOCOL, "name": "x", "camera": None}


EMPTY = {"dtype": "uint8", "shape": [0, 2**63], "bytes": b""}
ONE = {"dtype": "float32", "shape": [1], "bytes": struct.pack("<f", 1.0)}


def framed(message):
    data = msgpack.packb(message)
    return struct.pack(">I", len(data)) + data


@pytest.fixture
def peer():
    """Answers the given bytes, one after another; None closes the connection."""
    threads = []
    listener = socket.create_server(("127.0.0.1", 0))

    def play(*answers):
        def run():
            connection, _ = listener.accept()
            with connection:
                for answer in answers:
                    (length,) = struct.unpack(">I", connection.recv(4, socket.MSG_WAITALL))
                    connection.recv(length, socket.MSG_WAITALL)
                    if answer is None:
                        return
                    connection.sendall(answer)
                connection.settimeout(20)
                with contextlib.suppress(ConnectionError):
                    connection.recv(1)  # until the other side closes

        thread = threading.Thread(target=run)
        thread.start()
        threads.append(thread)
        return f"127.0.0.1:{listener.getsockname()[1]}"

    yield play
    for thread in threads:
        thread.join(timeout=60)
    listener.close()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (framed({**READY, "protocol": "vista-policy-socket/2"}), "protocol is 'vista-policy-socke"),
        (framed({**READY, "camera": 7}), "camera is 7; it must be a map or nil"),
        (
            framed({**READY, "camera": {"size": [0, 5]}}),
            "size is 0; it must be a whole number",
        ),
        (framed({**READY, "camera": {"size": "big"}}), "field 'camera' is not usable"),
        (framed({"type": "done"}), "answered 'done' to 'hello'; it must be 'ready' or 'error'"),
        (framed({"type": "error", "kind": "refused", "message": "go\naway"}), ": go away"),
        (framed([1, 2]), 'the message is no map with a "type"'),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the message says it has 1,213,486,160 bytes; at mo"),
        (struct.pack(">I", 3) + b"\xc1\xc1\xc1", "the message is no MessagePack"),
        (struct.pack(">I", 500) + b"\x91" * 500, "the message is no MessagePack"),
        (framed({**READY, "name": EMPTY}), "holds an array uint8 (0, 9223372036854775808) of 0"),
        (framed({**READY, "camera": {"size": [2**40, 9]}}), "size is 1099511627776; it must be"),
        (framed({**READY, "protocol": ONE}), "protocol is array([1.], dtype=float32); this"),
        (framed({**READY, "x": [{}] * 70_000}), "holds more than 65536 values"),
        (framed({**READY, "x": msgpack.ExtType(5, b"a")}), "holds an extension"),
        (None, "closed the connection at 'hello'"),
    ],
)
def test_who_is_no_policy_is_told_in_one_line(peer, answer, message):
    with pytest.raises(PolicyError) as caught:
        SocketPolicy(peer(answer))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


BOMB = {"dtype": "float64", "shape": [1 << 40], "bytes": b""}


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (None, PolicyDiedError, "died: socket:.*: closed the connection at 'act'"),
        (b"\0\0\1\0half", PolicyTimeoutError, r"no answer to 'act' within 0\.5 s"),
        (b"", PolicyTimeoutError, r"no answer to 'act' within 0\.5 s"),
        (b"\xff\xff\xff\xff", PolicyRaisedError, "the message says it has 4,294,967,295 bytes"),
        (framed({"type": "done"}), PolicyRaisedError, "answered 'done' to 'act'"),
        (framed({"type": "action", "step": 4}), PolicyRaisedError, "answered step 4 to step 0"),
        (framed({"type": "action", "step": 0}), PolicyNotFiniteError, "answered curvature None"),
        (
            framed({"type": "action", "step": 0, "curvature": True}),
            PolicyNotFiniteError,
            "answered curvature True",
        ),
        (
            framed({"type": "action", "step": 0, "curvature": math.inf}),
            PolicyNotFiniteError,
            "not finite: curvature is inf",
        ),
        (
            framed({"type": "action", "step": 0, "curvature": 0.0, "acceleration": "fast"}),
            PolicyNotFiniteError,
            "acceleration 'fast'; they must be numbers",
        ),
        (framed({"type": "action", "curvature": BOMB}), PolicyRaisedError, "holds an array float6"),
        (framed({"type": "error", "kind": ["x"], "message": 3}), PolicyRaisedError, "raised: 3"),
        (framed({"type": "error", "kind": "timed out"}), PolicyTimeoutError, "timed out: no mess"),
        (framed({"type": "error", "kind": ONE}), PolicyRaisedError, "raised: no message"),
        (framed({"type": "action", "step": ONE}), PolicyRaisedError, "answered step array"),
        (framed({"type": "done", "x": {**EMPTY, "dtype": ["u1"]}}), PolicyRaisedError, "array of"),
    ],
)
def test_garbage_in_place_of_an_action_is_told_in_one_line(peer, answer, kind, message):
    policy = SocketPolicy(peer(framed(READY), framed({"type": "done"}), answer), step_timeout=0.5)
    policy.reset()
    with pytest.raises(PolicyFailureError, match=message) as caught:
        policy.act(OBSERVATION)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    policy.close()


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        framed({"type": "hello", "protocol": "vista-policy-socket/0"}),
        framed({"type": "act"}),
        struct.pack(">I", 1) + b"\xc1",
        struct.pack(">I", 12_000_000),  # nobody who is not known yet has so much to say
        framed({"type": "hello", "protocol": ONE}),
        framed({"type": "hello", "protocol": wire.PROTOCOL, "client": EMPTY}),
        b"",
    ],
)
def test_a_server_survives_who_cannot_speak(serving, request_):
    address = serving(Balance)
    with address.connect(5.0) as stranger:
        stranger.sendall(request_)
        if request_:
            reply = wire.receive(stranger, wire.MAX_REPLY, 10.0)
            assert (reply["type"], reply["kind"]) == ("error", "refused")
            with contextlib.suppress(ConnectionResetError):  # bytes that were not read reset it
                assert stranger.recv(1) == b""
    with address.connect(5.0) as stranger:
        wire.send(stranger, {"type": "hello", "protocol": wire.PROTOCOL}, 5.0)
        assert wire.receive(stranger, wire.MAX_REPLY, 10.0)["type"] == "ready"
        wire.send(stranger, {"type": "act", "observation": {}, "car": {"vehicle": 3}}, 5.0)
        reply = wire.receive(stranger, wire.MAX_REPLY, 10.0)
        assert reply["message"] == "the message has a car without a state and a vehicle"
    policy = SocketPolicy(str(address))
    policy.reset()
    policy.close()


def test_who_connects_and_is_silent_keeps_nobody_out(serving):
    address = serving(Balance)
    with contextlib.ExitStack() as silent:
        for _ in range(server.MAX_CONNECTIONS):
            silent.enter_context(address.connect(5.0))
        policy = SocketPolicy(str(address))
        policy.reset()
        assert policy.act(OBSERVATION) == Action(0.0)
        policy.close()


def test_of_those_who_have_spoken_only_the_idle_make_room(monkeypatch):
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 2)
    monkeypatch.setattr(server, "monotonic", lambda: now)
    now = 100.0
    with PolicyServer(Balance, "127.0.0.1:0") as serves, contextlib.ExitStack() as ends:
        for greeted in (True, True):
            _, theirs = map(ends.enter_context, socket.socketpair())
            serves._guests[theirs] = guest = server._Guest()
            guest.greeted = greeted
        now = 100.0 + server.IDLE
        assert not serves._make_room()  # nobody is silent for longer
        now = 101.0 + server.IDLE
        guest.is_served()  # the second waits for an answer
        assert serves._make_room()
        assert list(serves._guests.values()) == [guest]


def test_a_server_that_fails_within_says_so_in_one_line(serving, caplog, monkeypatch):
    def fails(policy, request):
        raise ZeroDivisionError("within")

    monkeypatch.setattr(server, "_answer", fails)
    policy = SocketPolicy(str(serving(Balance)))
    with pytest.raises(PolicyError, match="ZeroDivisionError: within"):
        policy.reset()
    (record,) = caplog.records
    assert record.exc_info is None
    assert "\n" not in record.getMessage()


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"type": "x", "list": [1, -5, 1.5, None, True, "text", b"bytes"], "map": {"a": {}}},
        {"type": "x", "big": [2**63, -(2**63), 70_000, -70_000, 300, -300, "x" * 300]},
        {"bin": [b"x" * 300, b"x" * 70_000], "str": "x" * 70_000, "list": list(range(70_000))},
        {str(i): i for i in range(70_000)},
    ],
)
def test_what_msgpack_writes_is_counted(message):
    def count(value):
        if isinstance(value, dict):
            return 1 + sum(1 + count(v) for v in value.values())
        return 1 + sum(map(count, value)) if isinstance(value, list) else 1

    data = msgpack.packb(message)
    check_items(data, count(message))
    for wrong, most in ((data, count(message) - 1), (data[:-1], 10**6), (data + b"\0", 10**6)):
        with pytest.raises(ValueError, match=r"values|too soon|follows"):
            check_items(wrong, most)


def test_a_text_that_would_take_gigabytes_is_refused_by_its_head():
    for text in (b"\x80" * 12_000_000, b"\xdc\xff\xff" * 1000, b"\xdf\xff\xff\xff\xff"):
        with pytest.raises(ValueError, match=r"holds more than 100 values|follows"):
            check_items(text, 100)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10.0.0.1:5555", "give HOST:PORT on this machine"),
        ("example.org:80", "give HOST:PORT on this machine"),
        ("0.0.0.0:5555", "give HOST:PORT on this machine"),
        ("127.0.0.1:99999", "give HOST:PORT on this machine"),
        ("", "give HOST:PORT on this machine"),
        ("/tmp/" + "x" * 200, "of at most 107 bytes"),
    ],
)
def test_addresses_beyond_this_machine_are_refused(text, message):
    with pytest.raises(PolicyError, match=message):
        Address.parse(text)


def test_addresses_are_read():
    assert Address.parse("socket:localhost:80").where == ("127.0.0.1", 80)
    assert Address.parse("127.0.0.2:80").where == ("127.0.0.2", 80)
    assert str(Address.parse("[::1]:80")) == "socket:[::1]:80"
    assert Address.parse("socket:./my:name.sock").where == "./my:name.sock"
    assert str(Address.parse("/run/x.sock")) == "socket:/run/x.sock"


def test_where_nobody_listens_is_told(tmp_path):
    for address in (str(tmp_path / "no.sock"), "127.0.0.1:1"):
        with pytest.raises(PolicyError, match=r"no policy is served there .*serve-policy"):
            SocketPolicy(address, connect_timeout=0.1)


def test_a_socket_that_was_left_behind_is_replaced_and_one_in_use_is_kept(tmp_path, serving):
    path = tmp_path / "policy.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    address = serving(Balance, str(path))
    SocketPolicy(str(address)).close()
    with pytest.raises(PolicyError, match="another process listens there"):
        serving(Balance, str(path))
    (tmp_path / "file").write_text("precious")
    with pytest.raises(PolicyError, match="is there already and is no socket"):
        serving(Balance, str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "precious"


def test_a_socket_of_somebody_who_is_too_busy_to_answer_is_kept(tmp_path):
    path = tmp_path / "busy.sock"
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(path))
        busy.listen(0)
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(2)]
        for one in waiting:  # as many as the system lets wait; nobody takes them
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                one.connect(str(path))
        with pytest.raises(PolicyError, match="another process listens there"):
            PolicyServer(Balance, str(path))
        assert path.is_socket()
        for one in waiting:
            one.close()


def test_the_command_tells_mistakes_in_one_line(capsys):
    for arguments, message in (
        (["nowhere"], "no such policy"),
        (["expert", "--at", "10.0.0.1:5"], "give HOST:PORT on this machine"),
    ):
        with pytest.raises(SystemExit) as end:
            main(["serve-policy", *arguments])
        assert end.value.code == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert message in line


def test_what_cannot_be_sent_is_told_before_it_is(serving):
    policy = SocketPolicy(str(serving(Balance)))
    policy.reset()
    with pytest.raises(PolicyError, match=r"the message cannot be sent"):
        policy.act({"thing": object()})
    deep = []
    for _ in range(40):
        deep = [deep]
    with pytest.raises(wire.WireError, match="nested too deeply"):
        wire.pack({"type": "x", "deep": deep})
    policy.close()
