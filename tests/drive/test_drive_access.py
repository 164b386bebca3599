"""Who may reach a drive."""

import pytest

from vista_sim.drive.access import Access
from vista_sim.errors import VistaError


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8700", "localhost:8700", "LocalHost:9000", "[::1]:8700", "127.0.0.1", "127.8.0.1"],
)
def test_names_of_this_machine_lead_to_a_loopback_drive(host):
    assert Access("127.0.0.1", None).host_allowed(host)


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "evil.example",
        "evil.example:8700",
        "localhost.evil.example",
        "127.0.0.1.evil.example:8700",
        "192.168.1.5:8700",
        "127.0.0.1:8700:1",
        "127.0.0.1:8700@evil.example",
        "[::2]:8700",
        "user@localhost",
        "localhost\r\nX: y",
    ],
)
def test_other_names_do_not(host):
    assert not Access("127.0.0.1", None).host_allowed(host)


def test_a_drive_for_others_is_reached_by_number_but_by_no_foreign_name():
    access = Access("0.0.0.0", "a-long-token")
    assert access.host_allowed("192.168.1.5:8700")
    assert not access.host_allowed("evil.example:8700")
    assert Access("car.lan", "a-long-token").host_allowed("car.lan:8700")


def test_only_the_page_itself_opens_the_socket():
    access = Access("127.0.0.1", None)
    host = "localhost:8700"
    assert access.origin_allowed("http://localhost:8700", host)
    for origin in (
        None,
        "null",
        "http://evil.example",
        "http://localhost:9999",
        "http://127.0.0.1:8700",
        "http://localhost:8700.evil.example",
        "file://",
    ):
        assert not access.origin_allowed(origin, host)


def test_tokens():
    access = Access("127.0.0.1", "open-sesame")
    assert access.token_right("open-sesame")
    for wrong in (None, "", "open-sesam", "open-sesame ", "öffne-dich"):
        assert not access.token_right(wrong)
    assert Access("127.0.0.1", None).token_right(None)


def test_others_need_a_token():
    with pytest.raises(VistaError, match="--token"):
        Access.choose("0.0.0.0", None)
    with pytest.raises(VistaError, match="at least 8"):
        Access.choose("0.0.0.0", "short")
    with pytest.raises(VistaError, match="--token"):
        Access.choose("127.0.0.1", "a token&x=1")
    made = [Access.choose("0.0.0.0", "auto").token for _ in range(2)]
    assert made[0] != made[1]
    assert all(token is not None and len(token) >= 20 for token in made)
    assert Access.choose("127.0.0.1", None).token is None
