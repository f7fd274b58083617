"""Attacks on the till: its JSON, its pages, its keys, other people's things, and the simulated gateway."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests import postgresql
from tests.identity import HEAD, signed
from tests.identity import SECRET as IDENTITY_SECRET
from tests.till import LEDGER_URL, SIGNER, Shop, Shopper, config, gateway, shop
from tests.wire import Reply, faults_of, request, send
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys, Pass, PassSigner, Ticket, TicketSigner, UpstreamPassSigner

FORM = "Content-Type: application/x-www-form-urlencoded"
JSON = "Content-Type: application/json"
GOOD = b'{"sale":"drop","lines":[{"sku":"sneaker","qty":1}]}'
EVIL = '"><script>alert(1)</script>'


@pytest.fixture
async def till(tmp_path: Path, redis: ScriptRunner, valkey_url: str) -> AsyncIterator[Shop]:
    async with gateway() as url, shop(config(tmp_path, f"{valkey_url}?db=1", url, title=f"Drop {EVIL}")) as found:
        yield found


async def sent(till: Shop, data: bytes) -> Reply:
    reply = await send(int(till.url.rpartition(":")[2]), data)
    assert faults_of(reply) == []
    return reply


def with_pass(shopper: Shopper) -> str:
    return f"Waitroom-Pass: {shopper.headers()['Waitroom-Pass']}"


async def reserve(till: Shop, body: bytes, *more: str | bytes, name: str = "eve") -> Reply:
    return await sent(till, request("POST /checkout/reserve", with_pass(till.shopper(name)), JSON, *more, body=body))


# Round the gate


@pytest.mark.parametrize(
    "line",
    [
        "POST /checkout/reserve",
        "POST /checkout/commit",
        "POST /checkout/cancel",
        "GET /checkout/orders/x",
        "GET /checkout/reservations/x",
        "GET /%63heckout/orders/x",
        "GET /checkout%2forders/x",
        "GET //checkout/orders/x",
        "GET /./checkout/orders/x",
        "GET /checkout/../checkout/orders/x",
        "POST /sales/drop/waitlist",
        "GET /sales/drop/waitlist",
        "DELETE /sales/drop/waitlist",
        "POST /sales/dr%6fp/w%61itlist",
        "GET /sales/drop/waitlist/",
        "POST /sales//waitlist",
        "GET /drop/",
        "POST /drop/reserve",
        "GET /drop/checkout/x",
        "POST /drop/checkout/x/pay",
        "POST /drop/checkout/x/cancel",
        "GET /drop/orders/x",
        "POST /drop/leave",
    ],
)
async def test_without_a_pass_of_the_gate_nothing_is_sold(till: Shop, redis: ScriptRunner, line: str) -> None:
    now_ms = till.clock.now_ms()
    keys = Keys([b"a-test-secret-that-is-32-bytes-long!"])
    stranger = UpstreamPassSigner(Keys([b"another-secret-of-32-bytes-or-more!!"]))
    before = await redis.client.dbsize()
    for text in (
        "",
        "x",
        "null",
        stranger.sign(Pass("drop", "eve", now_ms, now_ms + 60_000)),
        SIGNER.sign(Pass("other", "eve", now_ms, now_ms + 60_000)),
        SIGNER.sign(Pass("drop", "eve", now_ms - 60_000, now_ms - 1)),
        PassSigner(keys).sign(Pass("drop", "eve", now_ms, now_ms + 60_000)),
        TicketSigner(keys).sign(Ticket("drop", "opening", "main", "eve", now_ms, 0.0)),
    ):
        reply = await sent(till, request(line, f"Waitroom-Pass: {text}", f"Cookie: wr_drop_pass={text}", body=b""))

        assert reply.status in {403, 404}, text
        assert "Waitroom-Command" not in reply.headers
    assert (await till.available(), await redis.client.dbsize()) == (10, before)


# JSON that is no JSON, or too much of it


QUANTITIES = [
    "0",
    "-1",
    "1000000000",
    "9" * 15000,
    "1.0",
    "1e0",
    "1e400",
    "true",
    "NaN",
    "Infinity",
    "-0",
    '"1"',
    "[1]",
    "01",
    "+1",
]


@pytest.mark.parametrize("qty", QUANTITIES)
async def test_a_quantity_is_a_small_whole_number(till: Shop, qty: str) -> None:
    body = f'{{"sale":"drop","lines":[{{"sku":"sneaker","qty":{qty}}}]}}'.encode()

    reply = await reserve(till, body, "Idempotency-Key: k")

    assert reply.status in {400, 409, 422}
    assert await till.available() == 10


ODD_JSON = [
    (b"[" * 8_000 + b"]" * 8_000, 400),
    (b'{"a":' * 2_500 + b"1" + b"}" * 2_500, 400),
    (b'{"sale":"drop","lines":' + b"[" * 200 + b"]" * 200 + b"}", 422),
    (b'{"sale":"drop","lines":[{"sku":"\\ud800","qty":1}]}', 400),
    (b'{"sale":"drop","lines":[{"sku":"\\u0000","qty":1}]}', 422),
    ('{"sale":"drop","lines":[{"sku":"\uff53neaker","qty":1}]}'.encode(), 422),
    (b'{"sale":"drop","lines":[{"sku":"SNEAKER","qty":1}]}', 404),
    (b'{"sale":"drop","lines":[{"sku":"sneaker ","qty":1}]}', 404),
    (b'{"sale":["drop"],"lines":[{"sku":"sneaker","qty":1}]}', 422),
    (b'{"sale":{"$ne":""},"lines":[{"sku":"sneaker","qty":1}]}', 422),
    (b'{"sale":"drop","lines":[{"sku":"sneaker","qty":1,"price":0}]}', 422),
    (b'{"sale":"drop","__proto__":{},"lines":[{"sku":"sneaker","qty":1}]}', 422),
    (b'\xef\xbb\xbf{"sale":"drop"}', 400),
    ('{"sale":"drop"}'.encode("utf-16"), 400),
    (b"", 400),
]


@pytest.mark.parametrize(("body", "status"), ODD_JSON)
async def test_odd_json_buys_nothing(till: Shop, body: bytes, status: int) -> None:
    reply = await reserve(till, body, "Idempotency-Key: k")

    assert reply.status == status
    assert await till.available() == 10


async def test_of_two_members_of_one_name_the_last_is_checked_and_meant(till: Shop) -> None:
    small_last = b'{"sale":"drop","lines":[{"sku":"sneaker","qty":9,"qty":1}]}'
    large_last = b'{"sale":"drop","lines":[{"sku":"sneaker","qty":1,"qty":9}]}'

    assert (await reserve(till, large_last, "Idempotency-Key: k1")).kind == "limit-reached"
    held = await reserve(till, small_last, "Idempotency-Key: k2")
    assert (held.status, held.json()["lines"][0]["qty"], await till.available()) == (201, 1, 9)


ODD_KEYS = [b"", b"\xff\xfe", b"a\tb", b"k" * 256, b"\xc2\x85", b"\xe2\x80\xa8"]


@pytest.mark.parametrize("key", ODD_KEYS)
async def test_a_key_is_short_and_printable(till: Shop, key: bytes) -> None:
    body = b'{"sale":"drop","lines":[{"sku":"sneaker","qty":1}]}'

    reply = await reserve(till, body, b"Idempotency-Key: " + key)

    assert (reply.status, reply.kind, await till.available()) == (400, "idempotency-key-missing", 10)


@pytest.mark.parametrize("path", ["reserve", "commit", "cancel"])
@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_what_a_page_elsewhere_could_send_unasked_is_no_json(till: Shop, path: str, content_type: str) -> None:
    body = b'{"sale":"drop","lines":[{"sku":"sneaker","qty":1}]}'
    head = (with_pass(till.shopper()), f"Content-Type: {content_type}", "Idempotency-Key: k")

    assert (await sent(till, request(f"POST /checkout/{path}", *head, body=body))).status == 415


# Other people's things


async def test_one_key_of_two_shoppers_is_two_keys(till: Shop) -> None:
    alice, eve = till.shopper("alice"), till.shopper("eve")
    hers = await alice.reserve(key="same")
    other = await eve.reserve(key="same")

    assert (hers.status, other.status) == (201, 201)
    assert hers.body["reservation_id"] != other.body["reservation_id"]
    assert "Idempotent-Replayed" not in other.headers


async def test_a_cookie_that_names_another_shoppers_hold_shows_nothing_of_it(till: Shop) -> None:
    rid = (await till.shopper("alice").reserve()).body["reservation_id"]

    for name, is_hers in (("alice", True), ("eve", False)):
        for cookie in (rid, "0" * 36, "%00", EVIL.replace(" ", ""), "x" * 4000):
            product = await sent(
                till, request("GET /drop/", with_pass(till.shopper(name)), f"Cookie: shop_hold={cookie}")
            )
            assert product.status == 200
            assert (rid.encode() in product.body) == (is_hers and cookie == rid)
            assert b"<script>alert" not in product.body


async def test_another_shoppers_key_and_id_open_nothing(till: Shop) -> None:
    alice, eve = till.shopper("alice"), till.shopper("eve")
    rid = (await alice.reserve(key="same")).body["reservation_id"]
    order = (await alice.commit(rid, key="pay")).body["order_id"]
    told = [
        await eve.commit(rid, key="pay"),
        await eve.cancel(rid),
        await eve.get(f"/checkout/orders/{order}"),
        await eve.get(f"/checkout/reservations/{rid}"),
    ]
    unknown = [
        await eve.commit("0" * 36, key="pay2"),
        await eve.cancel("0" * 36),
        await eve.get("/checkout/orders/" + "0" * 36),
        await eve.get("/checkout/reservations/" + "0" * 36),
    ]
    pages = [
        await sent(till, request(f"{line}", with_pass(eve), FORM, body=b"method=card_ok&key=k"))
        for line in (
            f"GET /drop/checkout/{rid}",
            f"POST /drop/checkout/{rid}/pay",
            f"POST /drop/checkout/{rid}/cancel",
            f"GET /drop/orders/{order}",
        )
    ]

    assert [(one.status, one.body) for one in told] == [(one.status, one.body) for one in unknown]
    assert {page.status for page in pages} == {404}
    assert (await alice.settled(order))["status"] == "paid"


ODD_IDS = [
    "' OR '1'='1",
    "%27%20OR%201=1--",
    "../orders",
    "%00",
    "%ff",
    "a" * 4000,
    "%F0%9F%98%80",
    "*",
    "x%0d%0aX:y",
    "_%25",
]


@pytest.mark.parametrize("wanted", ODD_IDS)
async def test_no_id_is_more_than_an_id(till: Shop, wanted: str) -> None:
    alice = till.shopper("alice")
    await alice.commit((await alice.reserve()).body["reservation_id"])
    target = wanted.replace(" ", "+")

    for path in ("/checkout/orders/", "/checkout/reservations/", "/drop/orders/", "/drop/checkout/", "/sales/"):
        reply = await sent(till, request(f"GET {path}{target}", with_pass(alice)))

        assert reply.status in {404, 422}, path
        assert "X" not in reply.headers


async def test_what_sqlite_takes_for_text_and_postgresql_does_not_is_refused_before_either(
    tmp_path: Path, redis: ScriptRunner, valkey_url: str, postgresql_folder: Path
) -> None:
    """All that is odd, on one till: no 500, no 503 for those who share the transaction, nothing sold."""
    (tmp_path / LEDGER_URL).write_text(await postgresql.new_database(postgresql_folder))
    assert await redis.client.dbsize() == 0
    async with gateway() as url, shop(config(tmp_path, f"{valkey_url}?db=1", url)) as drop:
        bodies = [f'{{"sale":"drop","lines":[{{"sku":"sneaker","qty":{qty}}}]}}'.encode() for qty in QUANTITIES]
        for number, body in enumerate([*bodies, *(body for body, _ in ODD_JSON)]):
            assert (await reserve(drop, body, f"Idempotency-Key: k{number}")).status in {400, 404, 409, 422}, body
        for key in ODD_KEYS:
            assert (await reserve(drop, GOOD, b"Idempotency-Key: " + key)).kind == "idempotency-key-missing"
        for wanted in ODD_IDS:
            for path in ("/checkout/orders/", "/checkout/reservations/", "/drop/orders/", "/drop/checkout/"):
                line = f"GET {path}{wanted.replace(' ', '+')}"
                assert (await sent(drop, request(line, with_pass(drop.shopper("eve"))))).status in {404, 422}
        assert await drop.available() == 10
        held = await reserve(drop, GOOD, "Idempotency-Key: \xfcber \u20ac \U0001f600".encode())
        for method in ("card_ok\x00", "\ud800", "c" * 65, "", "card\u20ac", "card_none"):
            paid = await drop.shopper("eve").commit(held.json()["reservation_id"], method, key=f"pay {method[:1]!r}")
            assert paid.status in {202, 400, 422}, method
        assert (held.status, await drop.available()) == (201, 9)


# Forms


@pytest.mark.parametrize("path", ["/drop/reserve", "/drop/checkout/x/pay", "/drop/checkout/x/cancel", "/drop/leave"])
@pytest.mark.parametrize(
    "says",
    [
        "Origin: https://evil.example",
        "Origin: null",
        "Origin: http://[",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
    ],
)
async def test_a_form_of_another_site_does_nothing(till: Shop, path: str, says: str) -> None:
    form = b"sku=sneaker&key=k&method=card_ok"
    reply = await sent(till, request(f"POST {path}", with_pass(till.shopper()), FORM, says, body=form))

    assert reply.status == 403
    assert "Waitroom-Command" not in reply.headers
    assert await till.available() == 10


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM, b"sku=\xff&key=k"),
        (FORM, b"sku=%00&key=k"),
        (FORM, b"sku=sneaker&key=%00"),
        (FORM, b"sku=sneaker&key=" + b"k" * 300),
        (FORM, b"sku=sneaker"),
        (FORM, b"sku=%ed%a0%80&key=k"),
        (f"{FORM}; charset=nope", b"sku=x&key=k"),
        (FORM, b"a" * 20_000),
        (FORM, b"sku=<script>alert(1)</script>&key=k"),
        ("Content-Type: multipart/form-data", b"x"),
        ("Content-Type: multipart/form-data; boundary=x", b"--x\r\nfoo\r\n\r\n"),
        ("Content-Type: application/json", b"{}"),
    ],
)
async def test_an_odd_form_is_a_page_and_buys_nothing(till: Shop, content_type: str, body: bytes) -> None:
    for path in ("/drop/reserve", "/drop/checkout/x/pay"):
        reply = await sent(till, request(f"POST {path}", with_pass(till.shopper()), content_type, body=body))

        assert (400 <= reply.status < 500, reply.content_type) == (True, "text/html")
        assert b"<script>alert" not in reply.body
    assert await till.available() == 10


async def test_no_page_of_the_shop_is_framed_kept_or_runs_what_was_written(till: Shop) -> None:
    alice = till.shopper("alice")
    rid = (await alice.reserve()).body["reservation_id"]
    paths = ["/drop/", f"/drop/checkout/{rid}", "/drop/orders/<script>alert(1)"]
    found = [await sent(till, request(f"GET {path}", with_pass(alice))) for path in paths]
    order = (await alice.commit(rid)).body["order_id"]
    found.append(await sent(till, request(f"GET /drop/orders/{order}", with_pass(alice))))

    for page in found:
        rules = set(page.headers["Content-Security-Policy"].split("; "))
        assert {"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} <= rules
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["Referrer-Policy"] == "same-origin"
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert b"<script>alert" not in page.body
    assert len({page.headers["Content-Security-Policy"] for page in found}) == len(found)


async def test_what_everybody_may_see_holds_nothing_of_anybody(till: Shop) -> None:
    await till.shopper("alice-in-person").reserve()
    public = await sent(till, request("GET /sales/drop", with_pass(till.shopper("eve"))))

    assert public.headers["Cache-Control"] == "public, max-age=1"
    assert b"alice-in-person" not in public.body
    assert "Set-Cookie" not in public.headers


async def test_what_one_shopper_is_told_no_cache_keeps(till: Shop) -> None:
    alice = till.shopper("alice")
    held = await alice.reserve()
    rid = held.body["reservation_id"]
    placed = await alice.commit(rid)
    answers = [held, placed, await alice.get(f"/checkout/reservations/{rid}"), await alice.cancel(rid)]

    assert {answer.headers["Cache-Control"] for answer in answers} == {"no-store"}


async def test_who_holds_every_stream_keeps_no_buyer_out(tmp_path: Path, redis: ScriptRunner, valkey_url: str) -> None:
    chosen = config(tmp_path, f"{valkey_url}?db=1", tables={"server": {"max_streams": 5}})
    async with shop(chosen) as till:
        port = int(till.url.rpartition(":")[2])
        for _ in range(3):  # and each time all of them hang up, and come back at once
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
            statuses = []
            for reader, writer in held:
                writer.write(request("GET /sales/drop/events"))
                statuses.append((await reader.readline()).split()[1])
            assert sorted(statuses) == [b"200"] * 5 + [b"503"] * 15
            assert (await till.shopper().reserve()).status == 201
            for _, writer in held:
                writer.close()
                await writer.wait_closed()


async def test_holds_and_cancels_in_turn_gain_nothing(till: Shop) -> None:
    eve = till.shopper("eve")
    for number in range(5):
        async with asyncio.timeout(60):  # what was let go of is free again when Redis has heard of it
            while (held := await eve.reserve(2, key=f"k{number}")).status != 201:
                assert held.kind == "limit-reached"
                await asyncio.sleep(0.02)
        assert (await eve.reserve(1, key=f"m{number}")).kind == "limit-reached"
        assert (await eve.cancel(held.body["reservation_id"])).status == 200

    replayed = await eve.reserve(2, key="k0")
    assert replayed.headers["Idempotent-Replayed"] == "true"
    assert (await eve.commit(replayed.body["reservation_id"])).status == 410
    assert await till.available() == 10


# The gateway of the demo


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM, b"amount=\xff"),
        (f"{FORM}; charset=nope", b"amount=1"),
        (FORM, b"amount=" + b"9" * 5000),
        (FORM, b"amount=-1&currency=eur&payment_method=card_ok"),
        (FORM, b"amount=1&currency=\xc3\xa9uro&payment_method=card_ok"),
        ("Content-Type: multipart/form-data", b"x"),
        ("Content-Type: multipart/form-data; boundary=x", b"--x\r\nfoo\r\n\r\n"),
        (JSON, json.dumps({"amount": 1}).encode()),
    ],
)
async def test_the_simulated_gateway_refuses_what_is_odd(content_type: str, body: bytes) -> None:
    async with gateway() as url:
        port = int(url.rpartition(":")[2])
        for path in ("/v1/payment_intents", "/v1/refunds", "/v1/payment_intents/x/capture"):
            reply = await send(port, request(f"POST {path}", content_type, "Idempotency-Key: k", body=body))
            told: dict[str, Any] = reply.json()

            assert (400 <= reply.status < 500, "error" in told) == (True, True)


# Who buys

NONE = {"alg": "none", "typ": "JWT"}
CLAIMS = {"sub": "ada", "sid": "eve", "exp": 4_000_000_000}


@pytest.mark.parametrize(
    "token",
    [
        signed(NONE, CLAIMS),
        signed(NONE, CLAIMS).rpartition(".")[0] + ".",
        signed(HEAD | {"alg": "HS512"}, CLAIMS),
        signed(HEAD | {"alg": ["HS256"]}, CLAIMS),
        signed([], CLAIMS),
        signed(b"{", CLAIMS),
        signed(b"[" * 150, CLAIMS),
        signed(HEAD, CLAIMS, b""),
        signed(HEAD, CLAIMS, b"a-test-secret-that-is-32-bytes-long!"),
        signed(HEAD, CLAIMS | {"sid": "alice"}),
        signed(HEAD, CLAIMS | {"sid": None}),
        signed(HEAD, {"sub": "ada", "exp": 4e9}),
        signed(HEAD, CLAIMS | {"sub": ""}),
        signed(HEAD, CLAIMS | {"sub": 7}),
        signed(HEAD, CLAIMS | {"sub": "x" * 256}),
        signed(HEAD, CLAIMS | {"exp": "4000000000"}),
        signed(HEAD, CLAIMS | {"exp": True}),
        signed(HEAD, CLAIMS | {"exp": float("inf")}),
        signed(HEAD, CLAIMS | {"exp": float("nan")}),
        signed(HEAD, CLAIMS | {"exp": 10**300}),
        signed(HEAD, CLAIMS | {"exp": 1_000_000_000}),
        signed(HEAD, CLAIMS | {"nbf": 3_900_000_000}),
        signed(HEAD, CLAIMS | {"nbf": {}}),
        signed(HEAD, [CLAIMS]),
        signed(HEAD, CLAIMS) + "=",
        signed(HEAD, CLAIMS) + "\n",
        " " + signed(HEAD, CLAIMS),
        signed(HEAD, CLAIMS).replace(".", "..", 1),
        signed(HEAD, CLAIMS)[:-1] + "_",
        "",
        "..",
        "\ud800",
        "x" * 2000,
    ],
)
async def test_nobody_passes_for_an_account_of_the_store(
    tmp_path: Path, redis: ScriptRunner, valkey_url: str, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAITROOM_IDENTITY_SECRET", IDENTITY_SECRET.decode())
    async with shop(config(tmp_path, f"{valkey_url}?db=1", limit_per_identity=2), with_jobs=False) as till:
        wanted = {"sale": "drop", "lines": [{"sku": "sneaker", "qty": 1}]}
        reply = await reserve(till, json.dumps(wanted | {"identity": token}).encode(), "Idempotency-Key: k")
        assert reply.status in {403, 400, 422}
        assert await till.available() == 10
        sound = json.dumps(wanted | {"identity": signed(HEAD, CLAIMS)}).encode()
        assert (await reserve(till, sound, "Idempotency-Key: k")).status == 201
