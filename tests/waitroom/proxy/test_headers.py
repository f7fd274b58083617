"""What is dropped, kept and set, in both directions."""

from ipaddress import ip_network

import pytest

from waitroom.kernel.errors import Refused, UpstreamUnavailable
from waitroom.proxy.headers import (
    UpstreamIdentity,
    client_headers,
    for_one_visitor,
    identify,
    upstream_headers,
    without_our_cookies,
)

STRANGER = UpstreamIdentity(("203.0.113.9",), "https", "shop.example", waitroom_pass="ours")  # no secret
PROXIED = UpstreamIdentity(("203.0.113.9", "10.0.0.1"), "https", "shop.example", is_peer_trusted=True)
TRUSTED = [ip_network("10.0.0.0/8")]
OURS = 6  # what we say about the visitor: five headers and the pass


def theirs(*pairs: tuple[bytes, bytes], identity: UpstreamIdentity = STRANGER) -> list[tuple[str, str]]:
    """Return what is left of the visitor's own headers."""
    ours = OURS if identity.waitroom_pass is not None else OURS - 1
    return sent(*pairs, identity=identity)[:-ours]


def sent(*pairs: tuple[bytes, bytes], identity: UpstreamIdentity = STRANGER) -> list[tuple[str, str]]:
    """Return all that the upstream is told."""
    return [(name.decode(), value.decode()) for name, value in upstream_headers(pairs, identity)]


def said(identity: UpstreamIdentity, name: str) -> list[str]:
    return [value for key, value in sent(identity=identity) if key == name]


def test_order_spelling_and_repetition_stay() -> None:
    pairs = [(b"B", b"1"), (b"a-A", b"2"), (b"B", b"  3"), (b"X", "ü".encode())]

    assert theirs(*pairs) == [("B", "1"), ("a-A", "2"), ("B", "  3"), ("X", "ü")]


@pytest.mark.parametrize(
    "name",
    [
        b"Connection",
        b"Keep-Alive",
        b"Proxy-Connection",
        b"Proxy-Authorization",
        b"TE",
        b"Trailer",
        b"Transfer-Encoding",
        b"Upgrade",
        b"HTTP2-Settings",
        b"Expect",
        b"Content-Length",
        b"Proxy",
    ],
)
def test_what_is_for_one_hop_stops_here(name: bytes) -> None:
    assert theirs((name, b"x"), (name.lower(), b"y")) == []


def test_what_connection_names_stops_here_but_never_the_host() -> None:
    pairs = [(b"Connection", b"close, X-Hop , host"), (b"connection", b"Other"), (b"X-Hop", b"1"), (b"OTHER", b"2")]

    assert theirs(*pairs, (b"Host", b"shop.example"), (b"Kept", b"3")) == [("Host", "shop.example"), ("Kept", "3")]


def test_connection_cannot_delete_what_we_say() -> None:
    pairs = [(b"Connection", b"Waitroom-Pass, X-Forwarded-For, X-Real-IP, Forwarded")]

    assert ("Waitroom-Pass", "ours") in sent(*pairs)
    assert ("X-Forwarded-For", "203.0.113.9") in sent(*pairs)


@pytest.mark.parametrize(
    "name",
    [
        b"Waitroom-Pass",
        b"waitroom_pass",
        b"WAITROOM-COMMAND",
        b"Waitroom_Anything",
        b"waitroom.pass",
        b"X-Forwarded-For",
        b"x_forwarded_for",
        b"X-Forwarded_For",
        b"X.Forwarded.For",
        b"x-forwarded-proto",
        b"X_Forwarded_Proto",
        b"X-Forwarded-Host",
        b"X-Forwarded-Uri",
        b"X-Forwarded-Prefix",
        b"X-Forwarded-Whatever",
        b"Forwarded",
        b"X-Real-IP",
        b"X_Real_IP",
        b"True-Client-IP",
        b"CF-Connecting-IP",
        b"X-Original-URL",
        b"X-Rewrite-URL",
        b"x!forwarded~for",
    ],
)
def test_a_stranger_cannot_speak_for_us_in_any_spelling(name: bytes) -> None:
    assert theirs((name, b"6.6.6.6")) == []


def test_a_trusted_proxy_may_speak_but_not_for_us() -> None:
    pairs = [
        (b"X-Forwarded-Prefix", b"/shop"),
        (b"CF-Connecting-IP", b"203.0.113.9"),
        (b"X_Forwarded_Prefix", b"/evil"),
        (b"X-Forwarded-For", b"203.0.113.9"),
        (b"Waitroom-Pass", b"forged"),
    ]

    kept = theirs(*pairs, identity=PROXIED)

    assert kept == [("X-Forwarded-Prefix", "/shop"), ("CF-Connecting-IP", "203.0.113.9")]


def test_we_say_who_the_visitor_is() -> None:
    assert said(PROXIED, "X-Forwarded-For") == ["203.0.113.9, 10.0.0.1"]
    assert said(PROXIED, "X-Real-IP") == ["203.0.113.9"]
    assert said(PROXIED, "X-Forwarded-Proto") == ["https"]
    assert said(PROXIED, "X-Forwarded-Host") == ["shop.example"]
    assert said(PROXIED, "Forwarded") == ['for=203.0.113.9;proto=https;host="shop.example", for=10.0.0.1']
    assert said(PROXIED, "Waitroom-Pass") == []
    assert said(STRANGER, "Waitroom-Pass") == ["ours"]


def test_ipv6_is_quoted_in_forwarded() -> None:
    identity = UpstreamIdentity(("2001:db8::1",), "http", "shop.example")

    assert said(identity, "Forwarded") == ['for="[2001:db8::1]";proto=http;host="shop.example"']


RAW = [
    (b"Host", b"shop.example"),
    (b"X-Forwarded-For", b"6.6.6.6, 203.0.113.9"),
    (b"X-Forwarded-Proto", b"https"),
    (b"X-Forwarded-Host", b"www.shop.example"),
]


def test_a_stranger_is_who_the_socket_says() -> None:
    identity = identify("198.51.100.7", RAW, TRUSTED, scheme="http")

    assert identity == UpstreamIdentity(("198.51.100.7",), "http", "shop.example")


def test_a_trusted_proxy_is_believed_about_address_scheme_and_host() -> None:
    identity = identify("10.0.0.1", RAW, TRUSTED, scheme="http", waitroom_pass="p")  # no secret

    assert identity == UpstreamIdentity(("203.0.113.9", "10.0.0.1"), "https", "www.shop.example", True, "p")


def test_nonsense_from_a_trusted_proxy_is_not_believed() -> None:
    raw = [(b"Host", b"shop.example"), (b"X-Forwarded-Proto", b"gopher"), (b"X-Forwarded-Host", b'"; for=6.6.6.6')]

    assert identify("10.0.0.1", raw, TRUSTED, scheme="http") == UpstreamIdentity(
        ("10.0.0.1",), "http", "shop.example", is_peer_trusted=True
    )


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (b"a=1; b=2", b"a=1; b=2"),
        (b"wr_drop_ticket=x; a=1", b"a=1"),
        (b"a=1; wr_drop_ticket=x", b"a=1"),
        (b"a=1;__Host-wr_drop_pass=x;b=2", b"a=1;b=2"),
        (b'a=1;  b=2;wr_x=1;  c="3" ; d', b'a=1;  b=2;  c="3" ; d'),
        (b"wr_drop_pass=x", b""),
        (b"wr_a=1; wr_b=2;", b""),
        (b"a=wr_x; xwr_y=1; Wr_z=2", b"a=wr_x; xwr_y=1; Wr_z=2"),
        (b"  a=1 ;", b"  a=1 ;"),
    ],
)
def test_our_cookies_stay_here_and_the_rest_stays_as_it_was(value: bytes, left: bytes) -> None:
    assert without_our_cookies(value) == left


def test_a_cookie_header_with_only_ours_is_left_out() -> None:
    pairs = [(b"Cookie", b"wr_drop_pass=x"), (b"Cookie", b"a=1; wr_drop_ticket=y")]

    assert theirs(*pairs) == [("Cookie", "a=1")]


def test_a_token_for_us_stays_here_and_other_authorization_passes() -> None:
    assert theirs((b"Authorization", b"waitroom token")) == []
    assert theirs((b"Authorization", b"Bearer token")) == [("Authorization", "Bearer token")]


@pytest.mark.parametrize("value", [b"a\x00b", b"a\x01b", b"a\nb", b"a\rb", b"a\x7f"])
def test_a_value_that_could_be_read_as_more_than_one_is_refused(value: bytes) -> None:
    with pytest.raises(Refused) as refused:
        upstream_headers([(b"X", value)], STRANGER)

    assert refused.value.status == 400


@pytest.mark.parametrize("value", [b"caf\xe9", b"\xff", b"\xed\xa0\x80", b"a\tb", b""])
def test_bytes_that_are_no_text_pass_as_they_are(value: bytes) -> None:
    assert (b"X", value) in upstream_headers([(b"X", value)], STRANGER)


def test_an_answer_keeps_order_spelling_repetition_and_bytes() -> None:
    pairs = [(b"Set-Cookie", b"a=1"), (b"x-B", b"caf\xe9"), (b"set-cookie", b"b=2"), (b"Set-Cookie", b"a=3")]

    assert client_headers(pairs).headers == pairs


def test_an_answers_hop_by_hop_headers_stop_here() -> None:
    pairs = [
        (b"Connection", b"close, X-Hop, Set-Cookie"),
        (b"X-Hop", b"1"),
        (b"Keep-Alive", b"timeout=5"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Trailer", b"X-Sum"),
        (b"Upgrade", b"h2c"),
        (b"Set-Cookie", b"a=1"),
    ]

    assert client_headers(pairs).headers == [(b"Set-Cookie", b"a=1")]


def test_the_upstreams_command_is_read_and_stripped() -> None:
    head = client_headers([(b"Waitroom-Command", b" Revoke "), (b"WAITROOM-Other", b"x"), (b"A", b"1")])

    assert head.command == "revoke"
    assert head.headers == [(b"A", b"1")]


def test_the_upstream_cannot_hand_out_our_cookies() -> None:
    pairs = [(b"Set-Cookie", b"wr_drop_pass=x"), (b"Set-Cookie", b"__Host-wr_drop_pass=x"), (b"Set-Cookie", b"a=1")]

    assert client_headers(pairs).headers == [(b"Set-Cookie", b"a=1")]


def test_a_length_is_a_number_said_once() -> None:
    assert client_headers([]).content_length is None
    assert client_headers([(b"Content-Length", b"007")]).content_length == 7


@pytest.mark.parametrize(
    "pairs",
    [
        [(b"Content-Length", b"1"), (b"content-length", b"2")],
        [(b"Content-Length", b"+1")],
        [(b"Content-Length", b"1, 1")],
        [(b"Content-Length", b"")],
        [(b"X", b"a\x00b")],
        [(b"X", b"a\rb")],
        [(b"Content-Length ", b"2")],
        [(b"Transfer-Encoding\t", b"chunked")],
    ],
)
def test_an_answer_that_has_two_readings_is_not_carried(pairs: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(UpstreamUnavailable):
        client_headers(pairs)


def test_beside_a_pass_of_ours_no_shared_cache_keeps_a_page() -> None:
    public = b"public, max-age=60"
    told = [(b"ETag", b"x"), (b"Cache-Control", public), (b"CDN-Cache-Control", public), (b"X-Accel-Expires", b"60")]

    assert for_one_visitor(told) == [(b"ETag", b"x"), (b"Cache-Control", public), (b"Cache-Control", b"private")]
