"""The head that a store gets by the fast lane: byte for byte what the proxy's own rules make of the same request."""

from ipaddress import ip_network

import pytest

from waitroom.proxy.headers import identify, upstream_headers
from waitroom.rules.heads import plain_head
from waitroom.wire.onward_heads import OnwardHeads

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
PEERS = ["203.0.113.7", "10.1.2.3", "2001:db8::1", "fd00::7"]
LINES = [
    b"Accept: */*",
    b"x-a:  1  ",
    b"X-Empty:",
    b"Cookie: a=1; wr_drop_pass=x; b=2",
    b"Cookie: wr_drop_pass=x; __Host-wr_drop_ticket=y",
    b"cookie: a=1",
    b"Authorization: Basic eDp5",
    b"Connection: keep-alive",
    b"Keep-Alive: timeout=5",
    b"Proxy-Connection: x",
    b"Proxy-Authorization: Basic x",
    b"Proxy: http://evil",
    b"TE: trailers",
    b"Trailer: X-T",
    b"X-Forwarded-For: 6.6.6.6",
    b"X-Forwarded-For: 6.6.6.6, 10.9.9.9",
    b"X-Forwarded-For: unknown, 10.9.9.9",
    b"X-Forwarded-For: " + b"6.6.6.6, " * 100 + b"10.9.9.9",
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-Proto: gopher",
    b"X-Forwarded-Host: other.example",
    b"X-Forwarded-Host: a b",
    b"X-Forwarded-Prefix: /x",
    b"X_Forwarded_For: 6.6.6.6",
    b"X.Forwarded-For: 6.6.6.6",
    b"X-Real-IP: 6.6.6.6",
    b"Forwarded: for=6.6.6.6",
    b"CF-Connecting-IP: 6.6.6.6",
    b"X-Original-URL: /x",
    b"X-Client-IP: 6.6.6.6",
    b"Via: 1.1 x",
    b"User-Agent: x",
    b"X-Long: " + b"a" * 3000,
]


def asked(*lines: bytes, method: bytes = b"GET", host: bytes = b"shop.example:8080") -> bytes:
    return b"\r\n".join([method + b" /a%2fb?c=d HTTP/1.1", *lines, b"Host: " + host, b"", b""])


def by_the_rules(data: bytes, peer: str, scheme: str, shown: str | None) -> bytes:
    """Return the head as `proxy/` makes it."""
    first, *lines = data.removesuffix(b"\r\n\r\n").split(b"\r\n")
    raw = [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    identity = identify(peer, raw, TRUSTED, scheme=scheme, waitroom_pass=shown)
    return b"\r\n".join([first, *[b"%b: %b" % pair for pair in upstream_headers(raw, identity)], b"", b""])


@pytest.mark.parametrize("shown", [None, "signed.pass"])
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("peer", PEERS)
def test_each_line_becomes_what_the_proxys_rules_make_of_it(peer: str, scheme: str, shown: str | None) -> None:
    made = OnwardHeads(TRUSTED, scheme)
    for _ in range(2):  # and again, once the lines are known
        for line in LINES:
            data = asked(b"X: y", line, b"Z: y")
            head = plain_head(data)
            assert head is not None, line
            assert made.head(head, peer, shown) == by_the_rules(data, peer, scheme, shown), line


def test_many_lines_together_keep_their_order() -> None:
    made = OnwardHeads(TRUSTED, "http")
    lines = {line.partition(b":")[0].lower(): line for line in LINES}.values()
    for peer in PEERS:
        data = asked(*lines, method=b"HEAD", host=b"[::1]:80")
        head = plain_head(data)
        assert head is not None
        assert made.head(head, peer, "p") == by_the_rules(data, peer, "http", "p")


def test_the_next_request_of_a_connection_has_its_own_target_and_pass() -> None:
    made, data = OnwardHeads(TRUSTED, "http"), asked(b"Cookie: a=1")
    first = plain_head(data)
    assert first is not None
    assert made.head(first, PEERS[0], "one") == by_the_rules(data, PEERS[0], "http", "one")
    other = data.replace(b"GET /a%2fb?c=d", b"HEAD /other")
    second = plain_head(other, first.fields)
    assert second is not None
    assert second.fields is first.fields

    assert made.head(second, PEERS[0], None) == by_the_rules(other, PEERS[0], "http", None)


def test_what_is_remembered_is_bounded_and_nothing_about_one_visitor() -> None:
    made = OnwardHeads(TRUSTED, "http")
    for number in range(9000):
        head = plain_head(asked(b"X-%d: y" % number))
        assert head is not None
        made.head(head, PEERS[0], None)
    assert all(len(known) <= 4096 for known in made._known_lines)

    made = OnwardHeads(TRUSTED, "http")
    head = plain_head(asked(b"Cookie: a=1", b"Authorization: Basic x", b"X: " + b"a" * 600))
    assert head is not None
    made.head(head, PEERS[0], None)
    assert [set(known) for known in made._known_lines] == [{b"Host: shop.example:8080"}, set()]
