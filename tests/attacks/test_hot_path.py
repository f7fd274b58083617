"""Whatever is sent, and whatever the store answers: with the hot path and without it the same comes of it."""

import asyncio
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.doors import Doors
from tests.hot import HEALTHZ, NAVIGATION, Site, get, site
from tests.matrix.wire import Fields, _head, read_body
from tests.origin import Script, Seen, Writer
from tests.wire import settle, until_quiet
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys

ROUNDS = int(os.environ.get("FUZZ_ROUNDS", "120"))
"""How many talks each test draws, the same each time; `make soak` draws more."""
_REFUSED = frozenset({b"HTTP/1.0 400 Bad Request", b"HTTP/1.0 431 Request Header Fields Too Large"})
_NONCE = re.compile(rb"(nonce[-=]\"?)[\w-]{16}")
_TRIES_AGAIN = re.compile(
    rb'(<meta http-equiv="refresh" content=")(\d+)(">.*This page tries again by itself in )\2( seconds)',
    re.DOTALL,
)
_SOONEST_S, _LATER_S = 5, 5
"""When a page may try again, and how much later it does so at most, by chance."""

Told = tuple[bytes, Fields, bytes, bool, bool]
"""An answer: the first line, headers but for the date, the body; whether it was whole, whether in chunks."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of some bytes: the answers without their date, how the connection ended, what the stores got.

    `ended` are the sessions that a store revoked.
    """

    answers: list[Told]
    is_closed: bool
    seen: list[tuple[bytes, bytes]]
    ended: list[str]


async def outcome(doors: Doors, site: Site, pieces: Sequence[bytes], *, pause: int = 4) -> Outcome:
    """Send `pieces` one by one; wait until the connection ends, or nothing more can come. Then nobody is revoked."""
    client = await doors.open()
    for piece in pieces:
        client.send(piece)
        await settle(pause)
    raw, is_closed = await until_quiet(client.reader, lambda: waits(doors))
    client.close()
    methods = [seen.split(b" ")[0] for seen in b"".join(pieces).split(b"\r\n\r\n")]
    seen = [(one.head, one.body) for one in site.seen()]
    revoked = site.edge.sessions._revoked
    ended = [f"{room} {id_}" for room, sessions in revoked.items() for id_ in sessions]
    revoked.clear()
    return Outcome(list(told(raw, methods)), is_closed, seen, ended)


def waits(doors: Doors) -> int:
    """A connection that waits for a request says nothing more; any other may take its time on a busy machine."""
    guests = [seat.guest for seat in doors.connections._seats]
    return 3 if all(guest is not None and guest.is_idle for guest in guests) else 1


def told(raw: bytes, methods: list[bytes]) -> Iterator[Told]:
    """Take answers apart, each to one of `methods`."""
    raw = _NONCE.sub(rb"\1" + b"x" * 16, raw)
    while raw.startswith(b"HTTP/1.") and b"\r\n\r\n" in raw:
        message = _head(raw)
        status = int(message.first.split(b" ")[1])
        is_refused = message.first.startswith(b"HTTP/1.0")  # whole, whatever was asked
        is_bodyless = status < 200 or status in {204, 304} or (methods[:1] == [b"HEAD"] and not is_refused)
        if status >= 200 and methods:
            methods.pop(0)
        if is_bodyless:
            raw, message.rest = message.rest, b""
        else:
            message = read_body(message, ends_with_connection=True, is_clean=True)
            raw = message.rest
        fields = [(name, value) for name, value in message.fields if name != b"Date"]
        fields, body = steady(fields, message.body)
        yield message.first, fields, body, message.is_whole, message.is_chunked
    if raw:
        yield raw, [], b"", False, False


def steady(fields: Fields, body: bytes) -> tuple[Fields, bytes]:
    """Return an answer as if its page tried again as soon as it may; it does so later by chance, within a bound."""
    found, said = _TRIES_AGAIN.search(body), dict(fields)
    if found is None or said.get(b"Content-Length") != b"%d" % len(body):
        return fields, body
    soonest_s = max(_SOONEST_S, int(said.get(b"Retry-After", b"0")))
    if not soonest_s <= int(found[2]) <= soonest_s + _LATER_S:
        return fields, body
    body = _TRIES_AGAIN.sub(rb"\g<1>%d\g<3>%d\g<4>" % (soonest_s, soonest_s), body)
    return [(name, b"%d" % len(body) if name == b"Content-Length" else value) for name, value in fields], body


def same(hot: Outcome, cold: Outcome) -> bool:
    """Whether it came to the same.

    aiohttp parses all that came in one piece before it answers any of it, and what it refuses then, it refuses whole.
    Then we may have answered what came before.
    """
    if hot == cold:
        return True
    before, ours = [[one for one in found.answers if one[0] not in _REFUSED] for found in (cold, hot)]
    has_refused = len(before) < len(cold.answers)
    is_more = ours[: len(before)] == before and hot.seen[: len(cold.seen)] == cold.seen
    return has_refused and cold.is_closed and hot.is_closed and is_more and hot.ended == cold.ended


TARGETS = [
    b"/",
    b"/x?y=z",
    b"/drop/",
    b"/drop/a",
    b"/DROP/a",
    b"/drop",
    b"/drop/feed",
    b"/drop/feed/x",
    b"/open/",
    b"/shut/",
    b"/full/x",
    b"/away/",
    b"/.waitroom/drop/pulse",
    b"/.waitroom/nowhere/pulse",
    b"/.waitroom/drop/pulse?x",
    b"/.waitroom/drop/wait",
    b"/.waitroom/drop/proof",
    b"/.waitroom/drop/pulse/",
    b"/.waitroom",
    b"/.waitroom/",
    b"/.waitroom/auth/nginx",
    b"/.waitroom/auth/redirect",
    b"/.waitroom/auth/nginx?x",
    b"/.waitroom/auth/",
    b"/.waitroom/authx",
    b"//drop/a",
    b"//.waitroom/drop/pulse",
    b"/%2ewaitroom/drop/pulse",
    b"/.WAITROOM/drop/pulse",
    b"/x/../drop/a",
    b"/./drop/a",
    b"/drop;x/a",
    b"/%64rop/a",
    b"/drop/%2e%2e/x",
    b"/drop/feed/../a",
    b"/?/drop/",
    b"/x?a=%zz&b[]=^`{|}",
    b"/drop/a?invite=abc",
    b"/\\drop\\a",
    b"/drop//a",
    b"/a:80/b",
    b"/[::1",
    b"//[::1",
    b"/x?#",
    b"*",
    b"x",
    b"http://shop.example/drop/",
]
LINES = [
    b"Accept: text/html",
    b"accept: */*",
    b"Accept-Encoding: br, gzip",
    b"Accept-Encoding: zstd, br;q=0.1",
    b"Accept-Encoding:",
    b"Sec-Fetch-Mode: navigate",
    b"Sec-Fetch-Mode: cors",
    b"User-Agent: x",
    b"User-Agent: y",
    b"Cookie: a=1; b=2",
    b"Cookie: wr_drop_ticket=x; a=1",
    b"Cookie: wr_drop_pass=.x.y",
    b"Cookie: __Host-wr_x=1",
    b'If-None-Match: "x", *',
    b"If-None-Match: *",
    b"Authorization: Basic eDp5",
    b"Authorization: Waitroom x.y",
    b"Connection: keep-alive",
    b"Connection: Keep-Alive, X-A",
    b"Connection: close",
    b"X-A: 1",
    b"X-A:   2  ",
    b"X-Empty:",
    b"x_forwarded_for: 6.6.6.6",
    b"X-Forwarded-For: 6.6.6.6, 1.1.1.1",
    b"X-Forwarded-For: unknown",
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-Proto: https, ftp",
    b"X-Forwarded-Host: evil.example",
    b"X-Forwarded-Host: a b",
    b"X-Real-IP: 6.6.6.6",
    b"Forwarded: for=6.6.6.6",
    b"X.Real.IP: 6.6.6.6",
    b"X-Original-URL: /drop",
    b"X-Forwarded-Uri: /drop/a",
    b"X-Forwarded-Uri: /x",
    b"X-Forwarded-Method: GET",
    b"X-Forwarded-Method: HEAD",
    b"X-Original-URI: /drop/b",
    b"CF-Connecting-IP: 6.6.6.6",
    b"TE: trailers",
    b"TE: gzip",
    b"Trailer: X",
    b"Keep-Alive: timeout=5",
    b"Proxy-Connection: close",
    b"Proxy: http://x",
    b"Proxy-Authorization: x",
    b"Upgrade: websocket",
    b"Upgrade: h2c",
    b"HTTP2-Settings: AA",
    b"Expect: 100-continue",
    b"Expect: x",
    b"Content-Length: 0",
    b"Content-Length: +0",
    b"Content-Type: a/b",
    b"Transfer-Encoding: identity",
    b"Waitroom-Pass: x",
    b"waitroom_command: x",
    b"Waitroomx: y",
    b"Host: shop.example",
    b"Host: other.example",
    b"X: caf\xe9",
    b"X: \xc3\xa9",
    b"X: a\tb",
    b"X: a\x00b",
    b"X: a\x0bb",
    b"X: a\x7fb",
    b"X: a\rb",
    b"X: a\nb",
    b" folded",
    b"X : a",
    b"nothing",
    b": x",
    b"X Y: z",
    b"Range: bytes=0-1",
    b"ETag: x",
    b"Server: x",
    b"Max-Forwards: 1",
    b"Via: x",
    b"X: " + b"a" * 9000,
    b"Set-Cookie: a",
    b"X: GET /drop/a HTTP/1.1",
]
HOSTS = [b"shop.example"] * 6 + [b"away.example", b"SHOP.example:80", b"[::1]:80", b"", b"a b", b"x" * 300]
METHODS = [b"GET"] * 8 + [b"HEAD"] * 3 + [b"POST", b"PURGE", b"get", b"OPTIONS", b"TRACE"]


@st.composite
def one_request(draw: st.DrawFn, holders: Sequence[bytes]) -> bytes:
    """Draw a request: mostly plain, sometimes with one thing that is not."""
    lines = draw(st.lists(st.sampled_from(LINES), max_size=5))
    method, target, host = draw(st.sampled_from(METHODS)), draw(st.sampled_from(TARGETS)), draw(st.sampled_from(HOSTS))
    who = draw(st.sampled_from(holders))
    if who:
        lines.insert(draw(st.integers(0, len(lines))), who)
    kind = draw(st.integers(0, 20))
    if kind == 0:
        lines += [b"Content-Length: 3"]
        return get(target, *lines, method=method, host=host) + b"abc"
    if kind == 1:
        lines += [b"Transfer-Encoding: chunked"]
        return get(target, *lines, method=method, host=host) + b"3\r\nabc\r\n0\r\n\r\n"
    whole = get(target, *lines, method=method, host=host)
    if kind == 2:
        return whole.replace(
            b"HTTP/1.1", draw(st.sampled_from([b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"http/1.1"])), 1
        )
    if kind == 3:
        place = draw(st.integers(0, len(whole)))
        return (
            whole[:place]
            + draw(st.sampled_from([b"\r", b"\n", b"\r\n", b"\x00", b" ", b"\t", b"\r\n\r\n", b"\xff"]))
            + whole[place:]
        )
    return whole


@st.composite
def talks(draw: st.DrawFn, holders: Sequence[bytes]) -> list[bytes]:
    """Draw one to five requests on one connection, and where the bytes are cut."""
    data = b"".join(draw(st.lists(one_request(holders), min_size=1, max_size=4))) + HEALTHZ
    cuts = sorted(set(draw(st.lists(st.integers(1, len(data) - 1), max_size=4))))
    return [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def drawn(strategy: "st.SearchStrategy[list[bytes]]") -> list[list[bytes]]:
    """Draw examples; the same each time."""
    found: list[list[bytes]] = []

    @settings(  # as few phases as will do: nothing is looked for here, only drawn
        max_examples=ROUNDS,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def draw(example: list[bytes]) -> None:
        found.append(example)

    draw()
    return found


async def test_whatever_is_sent_the_same_comes_of_it_by_both_ways(redis: ScriptRunner, keys: Keys) -> None:
    async with site(redis, keys, trusted=("127.0.0.0/8",)) as shop:
        holders = [
            *(b"", b"", *NAVIGATION),
            *(shop.pass_cookie(), shop.pass_cookie(expires_in_s=100, session="r"), shop.pass_cookie("full")),
            shop.ticket_cookie(),
        ]
        different = []
        for number, pieces in enumerate(drawn(talks(holders))):
            hot, cold = [await outcome(doors, shop, pieces) for doors in shop.both]
            if not same(hot, cold):
                different.append((pieces, hot, cold))
            if number % 5 == 0:
                await shop.forget()

    assert different == []


SAYS_LATER = b'<meta http-equiv="refresh" content="%d">This page tries again by itself in %d seconds'


def page(first_s: int, second_s: int, *fields: tuple[bytes, bytes]) -> tuple[Fields, bytes]:
    """Return an answer whose page says twice when it tries again."""
    body = SAYS_LATER % (first_s, second_s)
    return [(b"Content-Length", b"%d" % len(body)), *fields], body


def test_pages_that_try_again_at_another_moment_are_the_same() -> None:
    assert steady(*page(8, 8)) == steady(*page(10, 10)) == page(5, 5)
    assert steady(*page(19, 19, (b"Retry-After", b"15"))) == page(15, 15, (b"Retry-After", b"15"))


@pytest.mark.parametrize(
    "odd",
    [page(4, 4), page(11, 11), page(9, 8), page(9, 9, (b"Retry-After", b"10")), ([], SAYS_LATER % (9, 9))],
    ids=["too soon", "too late", "two moments", "sooner than told", "of no length"],
)
def test_a_page_that_tries_again_when_it_must_not_stays_as_it_is(odd: tuple[Fields, bytes]) -> None:
    assert steady(*odd) == odd


async def test_what_came_before_a_reset_is_heard() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(b"an answer")
    reader.set_exception(ConnectionResetError())

    assert await until_quiet(reader, lambda: 1) == (b"an answer", True)


def as_good(hot: Outcome, cold: Outcome) -> bool:
    """Whether an answer came to the same.

    An answer whose body broke in one piece with its head is none by aiohttp: then we may have told more of it, and cut
    it off.
    A connection that had rested may have been closed: then a request arrives twice.
    """
    if not cold.is_closed:  # it waits for the end of a body whose framing is broken, until it has waited long enough
        return hot.is_closed and hot.answers == cold.answers and not hot.answers[-1][3] and hot.ended == cold.ended
    if cold.answers and any(one[0] == b"HTTP/1.1 502 Bad Gateway" for one in cold.answers):
        final = [one for one in hot.answers if not one[0].startswith(b"HTTP/1.1 1")]
        if not final or not final[0][3]:
            return hot.is_closed and not final[1:]
        cold_final = [one for one in cold.answers if not one[0].startswith(b"HTTP/1.1 1")]
        return (final, once(hot.seen), hot.ended) == (cold_final, once(cold.seen), cold.ended)
    alike = [(one.answers, one.is_closed, once(one.seen), one.ended) for one in (hot, cold)]
    return alike[0] == alike[1]


def once(seen: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return requests, but for those that are the same as the one before."""
    return [one for number, one in enumerate(seen) if not number or one != seen[number - 1]]


FIRSTS = [b"HTTP/1.1 200 OK"] * 8 + [
    b"HTTP/1.1 404 Not Found",
    b"HTTP/1.1 204 No Content",
    b"HTTP/1.1 304 Not Modified",
    b"HTTP/1.1 205 Reset",
    b"HTTP/1.0 200 OK",
    b"HTTP/1.1 200",
    b"HTTP/1.1 200 ",
    b"HTTP/1.1 299 Very  Odd",
    b"HTTP/1.1 999 x",
    b"HTTP/1.1 302 Found",
    b"HTTP/1.1 404 caf\xe9",
    b"HTTP/1.1 200 a\tb",
    b"HTTP/1.1 20 OK",
    b"HTTP/1.1 2000 OK",
    b"HTTP/1.1 abc OK",
    b"HTTP/2.0 200 OK",
    b"HTTP/1.2 200 OK",
    b"http/1.1 200 OK",
    b"HTTP/1.1  200 OK",
    b"SSH-2.0-x",
    b"HTTP/1.1 101 Switching Protocols",
    b"HTTP/1.1 500 a\x01b",
    b"HTTP/1.1 700 x",
    b"HTTP/1.1 600 x",
]
ANSWER_LINES = [
    b"Content-Type: text/html",
    b"content-type: text/event-stream",
    b"Date: then",
    b"Server: S/1",
    b"Set-Cookie: a=1",
    b"Set-Cookie: b=2; Path=/",
    b"Set-Cookie: wr_drop_pass=x",
    b"set-cookie:  __Host-wr_x=1",
    b"Cache-Control: public",
    b"CDN-Cache-Control: max-age=9",
    b"X-Accel-Expires: 9",
    b"Vary: *",
    b'ETag: "x"',
    b"Connection: keep-alive",
    b"Connection: close",
    b"Connection: X-A",
    b"Connection: Set-Cookie, Keep-Alive",
    b"X-A: 1",
    b"X-A:  2 ",
    b"X-Empty:",
    b"Keep-Alive: timeout=5",
    b"Keep-Alive: timeout=1",
    b"Proxy-Connection: x",
    b"Upgrade: h2c",
    b"Trailer: X-T",
    b"TE: x",
    b"Waitroom-Command: revoke",
    b"Waitroom-Command: x",
    b"waitroom-pass: x",
    b"Waitroom_Pass: x",
    b"HTTP2-Settings: x",
    b"Content-Encoding: gzip",
    b"Location: //x",
    b"X: caf\xe9",
    b"X: \xc3\xa9",
    b"X: a\tb",
    b"X: a\x00b",
    b"X: a\x0bb",
    b"X: a\x7fb",
    b"X: a\rb",
    b"X: a\nb",
    b" folded",
    b"\tfolded",
    b"X : a",
    b"nothing",
    b": x",
    b"X Y: z",
    b"X: " + b"a" * 9000,
    b"Server: again",
    b"ETag: y",
    b"Content-Type: a/b",
    b"Content-Range: bytes 0-1/2",
    b"X: \x80",
    b"Link: </a>; rel=preload",
    b"X\xe9: a",
    b"X!#$%&'*+-.^_`|~9: 1",
    b"X:\t1\t",
]
INTERIM = [
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n",
    b"HTTP/1.1 102 P\r\n\r\n",
    b"HTTP/1.1 103 x\r\nConnection: Link\r\nLink: x\r\nWaitroom-X: y\r\nX: \xe9\r\n\r\n",
    b"HTTP/1.1 103 Early\r\nContent-Length: 3\r\n\r\n",
]


ODD_FRAMING = [
    [b"Content-Length: 2", b"Content-Length: 2"],
    [b"Content-Length: 2", b"Content-Length: 3"],
    [b"Content-Length: 2", b"Transfer-Encoding: chunked"],
    *[[b"Content-Length: " + one] for one in (b"2, 2", b"-2", b"+2", b"0x2", b"", b"0002", b"9" * 20, b"2\t", b"\t2")],
    [b"Content-Length : 2"],
    *[[b"Transfer-Encoding: " + one] for one in (b"gzip", b"gzip, chunked", b"xchunked", b"Chunked", b"identity")],
    [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"],
]
ODD_CHUNKS = [
    b"3\r\nabc\r\n",
    b"ff\r\nabc",
    b"zz\r\nabc\r\n0\r\n\r\n",
    b"0x3\r\nabc\r\n0\r\n\r\n",
    b"3\nabc\r\n0\r\n\r\n",
    b"3\r\nabcd\r\n0\r\n\r\n",
    b"-3\r\nabc\r\n0\r\n\r\n",
    b"fffffffffffffffff\r\nabc",
    b"3\r\nabc\r\n0\r\n",
    b"3\r\nabc\n0\r\n\r\n",
    b"\r\n3\r\nabc\r\n0\r\n\r\n",
]
BODIES = [b"", b"ok", b"abc" * 50, b"x" * 40_000]


@st.composite
def in_chunks(draw: st.DrawFn) -> bytes:
    """Draw a chunked body: with extensions and trailers, sometimes broken."""
    if draw(st.integers(0, 4)) == 0:
        return draw(st.sampled_from(ODD_CHUNKS))
    body = draw(st.sampled_from(BODIES))
    extension = draw(st.sampled_from([b"", b"", b";a=b", b" ", b';a="b"', b" ;x"]))
    pieces = [b"%x%b\r\n%b\r\n" % (len(one), extension, one) for one in (body[:7], body[7:]) if one]
    last = draw(st.sampled_from([b"0", b"0", b"000", b"0;x"]))
    trailer = draw(st.sampled_from([b"", b"", b"X-T: 1\r\n", b"Content-Length: 5\r\n", b"bad\r\n"]))
    return b"".join([*pieces, last, b"\r\n", trailer, b"\r\n"])


@st.composite
def framed(draw: st.DrawFn) -> tuple[list[bytes], bytes, bool]:
    """Draw a body, the headers that say how long it is, and whether it ends with the connection."""
    kind, body = draw(st.integers(0, 15)), draw(st.sampled_from(BODIES))
    if kind < 7:
        return [b"Content-Length: %d" % len(body)], body, draw(st.booleans())
    if kind < 11:
        chunks = draw(in_chunks())
        return [b"Transfer-Encoding: chunked"], chunks, chunks in ODD_CHUNKS or draw(st.booleans())
    if kind < 13:
        return draw(st.sampled_from(ODD_FRAMING)), body, True
    if kind == 13:
        return [b"Content-Length: %d" % (len(body) + 5)], body, True
    return [], body, True


@st.composite
def spoilt(draw: st.DrawFn, data: bytes) -> tuple[bytes, bool]:
    """Draw whether something is wrong with the bytes themselves; True where it is."""
    kind, place = draw(st.integers(0, 25)), draw(st.integers(0, len(data)))
    if kind == 0:
        return data[:place], True
    if kind == 1:
        return data[:place] + draw(st.sampled_from([b"\r", b"\n", b"\x00", b" "])) + data[place:], True
    if kind == 2:
        return data.replace(b"\r\n", b"\n"), True
    return (b"\r\n" + data, False) if kind == 3 else (data, False)


@st.composite
def one_answer(draw: st.DrawFn) -> list[bytes]:
    """Draw an answer: pieces; the last is b"" where the store then hangs up."""
    lines, (framing, body, hangs_up) = draw(st.lists(st.sampled_from(ANSWER_LINES), max_size=5)), draw(framed())
    place = draw(st.integers(0, len(lines)))
    lines[place:place] = framing
    interim = draw(st.lists(st.sampled_from(INTERIM), max_size=2))
    data = b"".join([*interim, b"\r\n".join([draw(st.sampled_from(FIRSTS)), *lines, b"", body])])
    data, is_spoilt = draw(spoilt(data))
    cuts = sorted({cut for cut in draw(st.lists(st.integers(1, 300), max_size=3)) if cut < len(data)})
    pieces = [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    tail = draw(st.sampled_from([b""] * 6 + [b"x", b"\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nz"]))
    pieces += [tail] if tail else []
    return [*pieces, b""] if hangs_up or is_spoilt else pieces


async def test_whatever_the_store_answers_the_same_comes_of_it_by_both_ways(redis: ScriptRunner, keys: Keys) -> None:
    async with site(redis, keys) as shop:
        inside, old = shop.pass_cookie(), shop.pass_cookie(expires_in_s=100)
        asks = [get(b"/a", inside, method=b"HEAD"), get(b"/drop/a", old), get(b"/drop/a", inside), get(b"/a")]
        different = []
        for number, answer in enumerate(drawn(one_answer())):
            ask = asks[number % len(asks)]
            shop.store.scripts = dict.fromkeys((b"/drop/a", b"/a"), saying(answer))
            talk = [ask, get(b"/after") + HEALTHZ]  # what one answer leaves on a connection is not for the next one
            hot, cold = [await outcome(doors, shop, talk, pause=40) for doors in shop.both]
            if not as_good(hot, cold):
                different.append((ask, answer, hot, cold))

    assert different == []


def saying(pieces: list[bytes]) -> Script:
    """Return a script that says `pieces` one by one, and hangs up after an empty one."""

    async def script(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        for piece in pieces:
            writer.write(piece)
            await settle()
        if not pieces[-1]:
            writer.close()

    return script
