"""Who a visitor is: only trusted proxies are believed."""

from ipaddress import ip_network

import pytest

from waitroom.rules.visitors import UNKNOWN, address_prefix, client_address, forwarded_chain, is_trusted, wide_prefix

PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


def test_without_trusted_proxies_the_socket_is_the_visitor() -> None:
    assert client_address("203.0.113.9", ["1.1.1.1"], []) == "203.0.113.9"


def test_a_stranger_cannot_speak_for_somebody_else() -> None:
    assert client_address("203.0.113.9", ["1.1.1.1", "10.0.0.1"], PROXIES) == "203.0.113.9"


def test_behind_a_trusted_proxy_the_right_most_stranger_is_the_visitor() -> None:
    assert client_address("10.0.0.1", ["6.6.6.6, 203.0.113.9, 10.0.0.2"], PROXIES) == "203.0.113.9"


def test_header_lines_count_as_one_list() -> None:
    assert client_address("10.0.0.1", ["6.6.6.6", "203.0.113.9", "10.0.0.2"], PROXIES) == "203.0.113.9"


def test_the_chain_leaves_out_what_the_visitor_wrote() -> None:
    chain = forwarded_chain("10.0.0.1", ["6.6.6.6, 203.0.113.9, 10.0.0.2"], PROXIES)

    assert chain == ("203.0.113.9", "10.0.0.2", "10.0.0.1")


def test_a_visitor_inside_the_trusted_network_is_the_left_most() -> None:
    assert client_address("10.0.0.1", ["10.9.9.9, 10.0.0.2"], PROXIES) == "10.9.9.9"


@pytest.mark.parametrize("hop", ["", "unknown", "_hidden", "1.2.3", "1.2.3.4:x", "1.2.3.4:99999", "[::1]x", "a,\x00"])
def test_a_hop_nobody_can_read_ends_the_chain_at_the_proxy_that_wrote_it(hop: str) -> None:
    assert client_address("10.0.0.1", [f"6.6.6.6, {hop}"], PROXIES) == "10.0.0.1"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("203.0.113.9:4711", "203.0.113.9"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ('"[2001:db8::1]:443"', "2001:db8::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("fe80::1%eth0", "fe80::1"),
        ("  203.0.113.9 ", "203.0.113.9"),
    ],
)
def test_an_address_has_one_spelling(written: str, read: str) -> None:
    assert client_address("10.0.0.1", [written], PROXIES) == read


def test_a_mapped_proxy_is_still_trusted() -> None:
    assert client_address("::ffff:10.0.0.1", ["203.0.113.9"], PROXIES) == "203.0.113.9"


def test_a_peer_without_an_address_is_unknown_and_not_believed() -> None:
    assert client_address("", ["203.0.113.9"], PROXIES) == UNKNOWN


def test_an_endless_chain_is_read_only_so_far() -> None:
    chain = forwarded_chain("10.0.0.1", ["6.6.6.6, " + ", ".join(["10.0.0.2"] * 5000)], PROXIES)

    assert len(chain) == 33


@pytest.mark.parametrize(
    ("address", "prefix"),
    [
        ("203.0.113.9", "203.0.113.9/32"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.9", "203.0.113.9/32"),
        (UNKNOWN, UNKNOWN),
        ("", UNKNOWN),
    ],
)
def test_limits_count_the_network_that_one_visitor_commands(address: str, prefix: str) -> None:
    assert address_prefix(address) == prefix


@pytest.mark.parametrize(
    ("address", "prefix"),
    [
        ("203.0.113.9", "203.0.113.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("::ffff:203.0.113.9", "203.0.113.0/24"),
        ("", UNKNOWN),
    ],
)
def test_a_wide_network_is_one_out_of_which_many_can_be_had(address: str, prefix: str) -> None:
    assert wide_prefix(address) == prefix


def test_trust_is_by_network() -> None:
    assert is_trusted("fd00::7", PROXIES)
    assert not is_trusted("11.0.0.1", PROXIES)
    assert not is_trusted("garbage", PROXIES)
