"""Attacks on the admin listener: guessed tokens, other sites, odd requests, and what it lets out."""

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from tests.fakes import FakeClock
from tests.wire import Reply, faults_of, request, send
from waitroom.console.door import Console
from waitroom.console.guard import Guard
from waitroom.console.sign_ins import Role, SignIns
from waitroom.console.throttle import Throttle
from waitroom.kernel.errors import Refused
from waitroom.kernel.pages import Pages
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tasks import running
from waitroom.kernel.tokens import Keys
from waitroom.rules.rooms import RoomRules
from waitroom.store.audit import Audit
from waitroom.store.rooms import Rooms

Client = TestClient[web.Request, web.Application]
OPERATOR, VIEWER = "the-operator-token", "the-viewer-token"
FORM = "Content-Type: application/x-www-form-urlencoded"
JSON = "Content-Type: application/json"
OWN = "Sec-Fetch-Site: same-origin"
EVIL = '"><script>alert(1)</script>'
CHANGES = {
    "rate": {"per_minute": 1},
    "cap": {"total_active_users": 1},
    "message": {"text": "x"},
    "pause": {},
    "resume": {},
    "end": {},
}


@pytest.fixture
async def ops(redis: ScriptRunner, keys: Keys, clock: FakeClock) -> AsyncIterator[Client]:
    """Give the admin listener of one room."""
    rooms = Rooms(redis, [RoomRules("drop")], keys, clock)
    guard = Guard({Role.OPERATOR: OPERATOR, Role.VIEWER: VIEWER}, keys, clock)
    console = Console(rooms, Audit(redis), guard, Pages(), clock)
    async with (
        running(*console.loops(), clock=clock),
        TestClient(TestServer(console.application(), host="127.0.0.1")) as client,
    ):
        yield client


async def sent(ops: Client, data: bytes) -> Reply:
    assert ops.port is not None
    reply = await send(ops.port, data)
    assert faults_of(reply) == []
    return reply


def bearer(token: str) -> str:
    return f"Authorization: Bearer {token}"


async def signed_in(ops: Client, token: str = OPERATOR, name: str = "Ada") -> str:
    """Return the Cookie header of a browser that is signed in."""
    body = f"token={token}&name={name}".encode()
    reply = await sent(ops, request("POST /login", FORM, OWN, body=body))
    assert reply.status == 303
    return f"Cookie: {reply.headers['Set-Cookie'].partition(';')[0]}"


async def audit(ops: Client) -> list[dict[str, Any]]:
    reply = await sent(ops, request("GET /api/rooms/drop/audit", bearer(VIEWER)))
    return list(reply.json()["entries"])


def change(what: str, *headers: str) -> bytes:
    return request(f"POST /api/rooms/drop/{what}", JSON, *headers, body=json.dumps(CHANGES[what]).encode())


# Strangers


@pytest.mark.parametrize(
    "way",
    [
        "X: nothing",
        "Authorization: Bearer ",
        "Authorization: Bearer wrong",
        "Authorization: Bearer \xff",
        f"Authorization: Basic {OPERATOR}",
        f"Authorization: {OPERATOR}",
        f"Authorization: Bearer {OPERATOR[:-1]}",
        f"Authorization: Bearer {OPERATOR}x",
        f"Authorization: Bearer {OPERATOR.upper()}",
        f"X-Waitroom-Token: {OPERATOR}",
        f"Cookie: wr_console={OPERATOR}",
        "Cookie: wr_console=\xff.x",
        "Cookie: wr_console=WyJvcGVyYXRvciIsIkFkYSIsOTk5OTk5OTk5OTk5OTksImEiLCJiIl0.AAAA",
    ],
)
async def test_a_stranger_sees_and_changes_nothing(ops: Client, way: str) -> None:
    for line in ("/api/rooms", "/api/rooms/drop", "/api/rooms/drop/audit", "/api/events", "/api/rooms/nowhere"):
        assert (await sent(ops, request(f"GET {line}", way))).status == 401
    assert (await sent(ops, request("GET /", way))).headers["Location"] == "/login"
    for what in CHANGES:
        assert (await sent(ops, change(what, way))).status in {401, 429}
    assert (await sent(ops, request("GET /metrics", way, host="rebound.example"))).status in {401, 429}
    assert await audit(ops) == []


async def test_a_token_in_the_address_opens_nothing(ops: Client) -> None:
    for query in (f"token={OPERATOR}", f"access_token={OPERATOR}"):
        assert (await sent(ops, request(f"GET /api/rooms?{query}"))).status == 401


async def test_a_viewer_changes_nothing(ops: Client) -> None:
    cookie = await signed_in(ops, VIEWER)
    for what in CHANGES:
        for way in ((bearer(VIEWER),), (cookie, OWN, "X-Waitroom-Console: 1")):
            reply = await sent(ops, change(what, *way))

            assert (reply.status, reply.kind) == (403, "only-operators")
    assert await audit(ops) == []


async def test_a_sign_in_of_another_secret_or_another_token_opens_nothing(
    ops: Client, keys: Keys, clock: FakeClock
) -> None:
    stranger = Keys([b"another-secret-of-32-bytes-or-more!!"])
    for signer in (
        SignIns({Role.OPERATOR: OPERATOR}, stranger, clock),
        SignIns({Role.OPERATOR: "the-token-of-yesterday"}, keys, clock),
    ):
        cookie = f"Cookie: wr_console={signer.sign(Role.OPERATOR, 'Eve')}"

        assert (await sent(ops, request("GET /api/rooms", cookie))).status == 401


# Other sites (CSRF)


ELSEWHERE: list[tuple[str, ...]] = [
    ("Origin: https://evil.example",),
    ("Origin: null",),
    ("Origin: http://[",),
    ("Origin: http://shop.example:8080",),
    ("Sec-Fetch-Site: cross-site",),
    ("Sec-Fetch-Site: same-site",),
    ("Sec-Fetch-Site: same-site", "Origin: http://shop.example"),
    ("Sec-Fetch-Site: none",),
    (),
]


@pytest.mark.parametrize("says", ELSEWHERE)
async def test_no_other_site_and_no_other_port_changes_a_room(ops: Client, says: tuple[str, ...]) -> None:
    cookie = await signed_in(ops)
    for what in CHANGES:
        reply = await sent(ops, change(what, cookie, "X-Waitroom-Console: 1", *says))

        assert (reply.status, reply.kind) == (403, "foreign-page")
    assert (await sent(ops, change("pause", cookie, OWN))).status == 403, "a form cannot send the header of our page"
    assert await audit(ops) == []


@pytest.mark.parametrize("says", ELSEWHERE)
async def test_no_other_site_signs_anybody_in_or_out(ops: Client, says: tuple[str, ...]) -> None:
    cookie = await signed_in(ops)
    login = await sent(ops, request("POST /login", FORM, *says, body=f"token={OPERATOR}".encode()))
    logout = await sent(ops, request("POST /logout", cookie, *says, body=b""))

    assert (login.status, logout.status) == (403, 403)
    assert "Set-Cookie" not in login.headers
    assert (await sent(ops, request("GET /api/rooms", cookie))).status == 200


# Guessing


async def test_who_guesses_is_not_heard_for_a_while(ops: Client, clock: FakeClock) -> None:
    guess = request("POST /login", FORM, OWN, "X-Forwarded-For: 203.0.113.1", body=b"token=wrong")
    statuses = [(await sent(ops, guess)).status for _ in range(7)]
    right = request("POST /login", FORM, OWN, "X-Forwarded-For: 203.0.113.2", body=f"token={OPERATOR}".encode())
    barred = await sent(ops, right)
    await clock.advance(61)
    later = await sent(ops, right)

    assert statuses == [403] * 5 + [429] * 2
    assert (barred.status, later.status) == (429, 303)
    assert int(barred.headers["Retry-After"]) >= 1


def tries_heard(throttle: Throttle, addresses: list[str]) -> int:
    heard = 0
    for address in addresses:
        try:
            throttle.check(address)
        except Refused:
            continue
        heard += 1
        throttle.note(address)
    return heard


def test_all_addresses_of_one_ipv6_site_guess_as_one(clock: FakeClock) -> None:
    throttle = Throttle(clock, limit=5, window_s=60)

    assert tries_heard(throttle, [f"2001:db8:0:1::{n:x}" for n in range(1, 100)]) == 5
    assert tries_heard(throttle, ["::ffff:203.0.113.9"] * 9 + ["203.0.113.9"] * 9) == 5


def test_a_throttle_that_was_filled_up_still_counts(clock: FakeClock) -> None:
    throttle = Throttle(clock, limit=5, window_s=60)
    for n in range(10_000):
        throttle.note(f"10.{n // 65536}.{n // 256 % 256}.{n % 256}")

    assert tries_heard(throttle, ["203.0.113.9"] * 20) == 5


# Odd requests


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("rate", b'{"per_minute": NaN}'),
        ("rate", b'{"per_minute": Infinity}'),
        ("rate", b'{"per_minute": 1e400}'),
        ("rate", b'{"per_minute": 0}'),
        ("rate", b'{"per_minute": -1}'),
        ("rate", b'{"per_minute": true}'),
        ("rate", b'{"per_minute": "600"}'),
        ("rate", b'{"per_minute": ' + b"9" * 5000 + b"}"),
        ("rate", b'{"per_minute": 1, "who": "eve"}'),
        ("cap", b'{"total_active_users": 1.0}'),
        ("cap", b'{"total_active_users": true}'),
        ("cap", b'{"total_active_users": 1e3}'),
        ("cap", b'{"total_active_users": ' + b"9" * 5000 + b"}"),
        ("message", b'{"text": "' + b"a" * 300 + b'"}'),
        ("message", b'{"text": "\\ud800"}'),
        ("message", b'{"text": null}'),
        ("pause", b'{"why": "' + b"a" * 400 + b'"}'),
        ("pause", b"[" * 10_000),
        ("pause", b"null"),
        ("pause", b"\xff"),
        ("nothing", b"{}"),
    ],
)
async def test_an_odd_change_changes_nothing(ops: Client, what: str, body: bytes) -> None:
    reply = await sent(ops, request(f"POST /api/rooms/drop/{what}", JSON, bearer(OPERATOR), body=body))

    assert reply.status in {400, 404, 413, 422}
    assert await audit(ops) == []


@pytest.mark.parametrize("count", ["0", "-1", "1.5", "501", "9" * 5000, "%D9%A3", "1%00", "x", "1e1", "+1", "%ff"])
async def test_an_odd_count_is_refused(ops: Client, count: str) -> None:
    reply = await sent(ops, request(f"GET /api/rooms/drop/audit?count={count}", bearer(VIEWER)))

    assert (reply.status, reply.kind) == (422, "invalid-count")


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        (FORM, b"token=\xff\xfe", 403),
        (f"{FORM}; charset=nope", b"token=x", 403),
        (FORM, b"a" * 10_000, 413),
        ("Content-Type: multipart/form-data", b"x", 415),
        (JSON, b"{}", 415),
        (FORM, b"", 403),
    ],
)
async def test_an_odd_sign_in_is_refused(ops: Client, content_type: str, body: bytes, status: int) -> None:
    reply = await sent(ops, request("POST /login", content_type, OWN, body=body))

    assert reply.status == status
    assert "Set-Cookie" not in reply.headers


# What it lets out


async def test_what_anybody_wrote_stays_text(ops: Client) -> None:
    cookie = await signed_in(ops, name="%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
    told = {"text": EVIL, "why": "</script><!--"}
    head = (JSON, bearer(OPERATOR), f"X-Waitroom-Operator: {EVIL}")
    await sent(ops, request("POST /api/rooms/drop/message", *head, body=json.dumps(told).encode()))
    page = await sent(ops, request("GET /", cookie))
    form = await sent(ops, request("POST /login", FORM, OWN, body=b"token=x&name=%22%3E%3Cscript%3Ealert(1)"))

    assert page.status == 200
    assert b"<script>alert" not in page.body
    assert b"<script>alert" not in form.body
    assert (await audit(ops))[0]["who"].startswith('"><script>')


async def test_a_name_is_one_line_in_the_audit(ops: Client) -> None:
    head = (JSON, bearer(OPERATOR), "X-Waitroom-Operator: \xff\xe2\x80\xae Eve" + "x" * 100)
    await sent(ops, request("POST /api/rooms/drop/pause", *head, body=b'{"why":"a\\nb\\u202e\\u0000c"}'))
    (entry,) = await audit(ops)

    assert entry["who"].isprintable()
    assert entry["why"].isprintable()


async def test_every_answer_is_closed_to_other_sites(ops: Client) -> None:
    cookie = await signed_in(ops)
    replies = [
        await sent(ops, request("GET /", cookie)),
        await sent(ops, request("GET /login")),
        await sent(ops, request("GET /api/rooms", cookie)),
        await sent(ops, request("GET /api/rooms")),
        await sent(ops, request("GET /metrics", host="127.0.0.1")),
        await sent(ops, request("GET /nothing")),
        await sent(ops, request("POST /login", FORM, body=b"")),
        await sent(ops, request("PUT /api/rooms", cookie)),
    ]

    for reply in replies:
        assert reply.headers["X-Frame-Options"] == "DENY"
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert reply.headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in reply.headers
    assert b"frame-ancestors 'none'" in replies[0].headers["Content-Security-Policy"].encode()


async def test_metrics_are_for_this_machine_and_for_who_has_a_token(ops: Client) -> None:
    async def status(host: str, *headers: str) -> int:
        return (await sent(ops, request("GET /metrics", *headers, host=host))).status

    assert await status("127.0.0.1:8081") == 200
    assert await status("rebound.example:8081") == 401
    assert await status("127.0.0.1", "X-Forwarded-For: 127.0.0.1") == 401
    assert await status("127.0.0.1", "Via: 1.1 proxy") == 401
    assert await status("ops.example", bearer(VIEWER)) == 200


async def test_no_log_line_holds_a_token_a_cookie_or_an_address(ops: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    cookie = await signed_in(ops)
    await sent(ops, request("POST /login", FORM, OWN, body=b"token=a-secret-guess-of-somebody"))
    await sent(ops, request("GET /api/rooms", bearer("a-secret-guess-of-somebody")))
    await sent(ops, request("GET /api/rooms", bearer(OPERATOR)))
    await sent(ops, change("pause", cookie, OWN, "X-Waitroom-Console: 1"))
    ours = [record for record in caplog.records if record.name != "aiohttp.access"]  # which only tests switch on
    lines = " ".join(f"{record.getMessage()} {vars(record)}" for record in ours)

    assert "console sign-in" in lines
    for secret in (OPERATOR, "a-secret-guess-of-somebody", cookie.partition("=")[2], "127.0.0.1"):
        assert secret not in lines
