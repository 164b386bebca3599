"""Messages of the drive page, and what a driver's hands come to."""

import json
import struct
from itertools import pairwise

import pytest

from vista_sim.drive.protocol import (
    Ack,
    Command,
    Frame,
    Input,
    MessageError,
    Ping,
    parse_message,
    unpack_frame,
)
from vista_sim.drive.steering import Wheel, action, steers
from vista_sim.traces.calibration import Vehicle


def test_messages_are_read():
    given = '{"type": "input", "seq": 7, "steer": -0.5, "throttle": 1, "brake": 0.25}'
    assert parse_message(given) == Input(7, -0.5, 1.0, 0.25, keys=False)
    assert parse_message('{"type": "command", "name": "perturb"}') == Command("perturb")
    assert parse_message('{"type": "ack", "frame": 12}') == Ack(12)
    assert parse_message('{"type": "ping", "id": 0}') == Ping(0)


def test_controls_are_clipped():
    given = parse_message('{"type": "input", "seq": 1, "steer": 1e300, "brake": -4}')
    assert given == Input(1, 1.0, 0.0, 0.0, keys=False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "steer",
        "[1, 2]",
        "[" * 900,
        '{"type": "input", "seq": 1, "steer": NaN}',
        '{"type": "input", "seq": 1, "steer": 1e999}',
        '{"type": "input", "seq": 1, "steer": "left"}',
        '{"type": "input", "seq": 1, "steer": true}',
        '{"type": "input", "seq": -1, "steer": 0}',
        '{"type": "input", "seq": 1.5, "steer": 0}',
        '{"type": "input", "seq": 90071992547409930, "steer": 0}',
        '{"type": "input", "steer": 0}',
        '{"type": "command", "name": "__class__"}',
        '{"type": "command", "name": ["end"]}',
        '{"type": "exec", "code": "1"}',
        '{"type": {}}',
        '{"type": "ping", "id": 1, "more": "' + "x" * 2000 + '"}',
    ],
)
def test_what_is_no_message_is_refused_in_one_line(text):
    with pytest.raises(MessageError) as caught:
        parse_message(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_frame_is_a_length_a_header_and_a_picture():
    frame = Frame(3, {"seq": 9, "note": "a < b"}, 2, b"\xff\xd8picture")
    data = frame.pack()
    length = struct.unpack(">I", data[:4])[0]
    assert json.loads(data[4 : 4 + length]) == {"n": 3, "seq": 9, "note": "a < b"}
    assert data[4 + length :] == b"\xff\xd8picture"
    assert unpack_frame(data) == ({"n": 3, "seq": 9, "note": "a < b"}, b"\xff\xd8picture")
    assert unpack_frame(frame.pack(with_picture=False))[1] == b""


def test_a_key_turns_the_wheel_smoothly_and_let_go_it_centres():
    wheel = Wheel()
    held = [wheel.turn(Input(steer=1.0), 0.05) for _ in range(20)]
    steps = [b - a for a, b in pairwise(held)]
    assert held[0] == pytest.approx(1.5 * 0.05)
    assert max(steps) <= 1.5 * 0.05 + 1e-12
    assert held[-1] == 1.0  # two thirds of a second from the middle to the stop
    let_go = [wheel.turn(Input(), 0.05) for _ in range(10)]
    assert sorted(let_go, reverse=True) == let_go
    assert let_go[-1] == 0.0


def test_a_wheel_stands_as_the_road_bends_and_asks_for_that():
    wheel = Wheel()
    wheel.reset(-0.02, 10.0)
    assert wheel.angle < 0
    assert wheel.curvature(10.0) == pytest.approx(-0.02)


def test_the_wheel_asks_for_no_more_than_6_m_s2_sideways():
    wheel = Wheel()
    wheel.angle = 1.0
    assert wheel.curvature(12.0) * 12.0**2 == pytest.approx(6.0)
    assert wheel.curvature(0.0) == pytest.approx(0.15)


def test_pedals_count_where_the_speed_is_free():
    vehicle = Vehicle(max_acceleration=3.0, max_deceleration=8.0)
    wheel = Wheel()
    both = Input(throttle=1.0, brake=0.5)
    assert action(wheel, both, 9.0, vehicle, free=True).acceleration == -4.0
    half = Input(throttle=0.5)
    assert action(wheel, half, 9.0, vehicle, free=True).acceleration == 1.5
    assert action(wheel, both, 9.0, vehicle, free=False).acceleration is None


def test_what_counts_as_taking_back():
    assert not steers(Input(steer=0.05))
    assert steers(Input(steer=-0.5))
    assert steers(Input(brake=0.5))


def test_a_number_of_400_digits_is_no_message():
    with pytest.raises(MessageError, match="is no JSON"):
        parse_message('{"type": "input", "seq": 1, "steer": ' + "9" * 400 + "}")
