"""The till over HTTP: what it answers to good and to bad requests."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from yarl import URL

from tests.till import Shop, config, gateway, shop
from waitroom.kernel.redis import ScriptRunner


@pytest.fixture
async def drop(tmp_path: Path, redis_url: str) -> AsyncIterator[Shop]:
    async with gateway() as url, shop(config(tmp_path, redis_url, url)) as found:
        yield found


async def test_reserve_commit_paid(drop: Shop) -> None:
    alice = drop.shopper()

    held = await alice.reserve()
    placed = await alice.commit(held.body["reservation_id"])
    order = await alice.settled(placed.body["order_id"])

    assert (held.status, held.headers["Cache-Control"]) == (201, "no-store")
    assert {key: held.body[key] for key in ("sale", "status", "total")} == {
        "sale": "drop",
        "status": "held",
        "total": {"amount": 12900, "currency": "EUR"},
    }
    assert (placed.status, placed.body["status"]) == (202, "paying")
    assert placed.body["status_url"] == f"/checkout/orders/{order['order_id']}"
    assert (order["status"], order["reservation_id"]) == ("paid", held.body["reservation_id"])
    assert order["paid_at"] is not None
    assert await drop.available() == 9


async def test_the_same_answer_is_given_again(drop: Shop) -> None:
    alice = drop.shopper()
    held = await alice.reserve()
    placed = await alice.commit(held.body["reservation_id"])
    await alice.settled(placed.body["order_id"])

    for first, again in (
        (held, await alice.reserve()),
        (placed, await alice.commit(held.body["reservation_id"])),
    ):
        assert (again.status, again.body) == (first.status, first.body)
        assert ("Idempotent-Replayed" in first.headers, again.headers["Idempotent-Replayed"]) == (False, "true")
    assert await drop.available() == 9


async def test_another_body_under_the_key_changes_nothing(drop: Shop) -> None:
    alice = drop.shopper()
    await alice.reserve()

    refused = await alice.reserve(sku="laces")

    assert (refused.status, refused.kind) == (422, "idempotency-key-reused")
    assert await drop.available() == 9


async def test_without_a_key_nothing_is_done(drop: Shop) -> None:
    body = {"sale": "drop", "lines": [{"sku": "sneaker", "qty": 1}]}

    refused = await drop.shopper().post("/checkout/reserve", body)

    assert (refused.status, refused.kind) == (400, "idempotency-key-missing")
    assert await drop.available() == 10


@pytest.mark.parametrize(
    ("lines", "status", "kind"),
    [
        ([{"sku": "sneaker", "qty": 0}], 422, "invalid-body"),
        ([{"sku": "sneaker", "qty": -1}], 422, "invalid-body"),
        ([{"sku": "sneaker", "qty": 10**9}], 409, "limit-reached"),
        ([{"sku": "sneaker", "qty": 10**12}], 422, "invalid-body"),
        ([{"sku": "sneaker", "qty": 10**400}], 422, "invalid-body"),
        ([{"sku": "sneaker", "qty": "1"}], 422, "invalid-body"),
        ([{"sku": "sneaker", "qty": 1.5}], 422, "invalid-body"),
        ([{"sku": "sneaker", "qty": True}], 422, "invalid-body"),
        ([{"sku": "sneaker", "qty": None}], 422, "invalid-body"),
        ([{"sku": "sneaker"}], 422, "invalid-body"),
        ([{"sku": "sneaker", "qty": 1, "price": 1}], 422, "invalid-body"),
        ([{"sku": "", "qty": 1}], 422, "invalid-body"),
        ([{"sku": "x" * 65, "qty": 1}], 422, "invalid-body"),
        ([{"sku": "gold", "qty": 1}], 404, "unknown-sku"),
        ([{"sku": "sneaker}:st", "qty": 1}], 404, "unknown-sku"),
        ([{"sku": "sneaker", "qty": 2}, {"sku": "sneaker", "qty": 2}], 409, "limit-reached"),
        ([{"sku": "sneaker", "qty": 2}, {"sku": "laces", "qty": 1}], 409, "limit-reached"),
        ([{"sku": "sneaker", "qty": 1}] * 51, 422, "invalid-body"),
        ([], 422, "invalid-body"),
        ({}, 422, "invalid-body"),
        ("sneaker", 422, "invalid-body"),
    ],
)
async def test_bad_lines_are_refused_and_change_nothing(
    drop: Shop, redis: ScriptRunner, lines: object, status: int, kind: str
) -> None:
    refused = await drop.shopper().post("/checkout/reserve", {"sale": "drop", "lines": lines}, "k")

    assert (refused.status, refused.kind) == (status, kind)
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert await drop.available() == 10
    assert await redis.client.hget("inv:{drop:sneaker}:st", "mut") == "0"


async def test_equal_lines_are_summed(drop: Shop) -> None:
    lines = [{"sku": "sneaker", "qty": 1}, {"sku": "sneaker", "qty": 1}]

    held = await drop.shopper().post("/checkout/reserve", {"sale": "drop", "lines": lines}, "k")

    assert (held.status, held.body["lines"][0]["qty"], held.body["total"]["amount"]) == (201, 2, 25800)
    assert await drop.available() == 8


async def test_several_skus_are_held_together(drop: Shop) -> None:
    lines = [{"sku": "sneaker", "qty": 1}, {"sku": "laces", "qty": 1}]

    held = await drop.shopper().post("/checkout/reserve", {"sale": "drop", "lines": lines}, "k")

    assert (held.status, held.body["total"]["amount"]) == (201, 13400)


@pytest.mark.parametrize("sale", ["other", "DROP", "drop "])
async def test_an_unknown_sale_is_not_found(drop: Shop, sale: str) -> None:
    lines = [{"sku": "sneaker", "qty": 1}]

    assert (await drop.shopper().post("/checkout/reserve", {"sale": sale, "lines": lines}, "k")).kind == "unknown-sale"
    assert (await drop.shopper().get(f"/sales/{sale}")).kind == "unknown-sale"


@pytest.mark.parametrize("path", ["/checkout/reserve", "/checkout/commit", "/checkout/cancel"])
@pytest.mark.parametrize(
    ("data", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[]", "application/json", 422),
        (b"null", "application/json", 422),
        (b'{"sale":"drop"}', "application/json", 422),
        (b"[" * 10_000, "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"a=1", "application/x-www-form-urlencoded", 415),
        (b" " * 20_000, "application/json", 413),
    ],
)
async def test_a_bad_body_is_refused(drop: Shop, path: str, data: bytes, content_type: str, status: int) -> None:
    headers = drop.shopper().headers("k") | {"Content-Type": content_type}

    async with drop.session.post(drop.url + path, data=data, headers=headers) as answer:
        found = await answer.json(content_type="application/problem+json")

    assert (answer.status, found["status"]) == (status, status)
    assert await drop.available() == 10


async def test_nobody_comes_round_the_gate(drop: Shop, redis: ScriptRunner) -> None:
    before = await redis.client.info("commandstats")
    lines = {"sale": "drop", "lines": [{"sku": "sneaker", "qty": 1}]}
    for headers in ({}, {"Waitroom-Pass": "forged"}, {"Cookie": "wr_drop_pass=x"}):
        async with drop.session.post(f"{drop.url}/checkout/reserve", json=lines, headers=headers) as answer:
            assert (answer.status, (await answer.json(content_type=None))["type"]) == (
                403,
                "urn:waitroom:problem:no-pass",
            )
    after = await redis.client.info("commandstats")

    def holds(stats: dict[str, Any]) -> int:
        return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("hexists", "zadd"))

    assert holds(before) == holds(after)


async def test_the_limit_holds_over_requests_and_paid_orders(drop: Shop) -> None:
    alice = drop.shopper()
    held = await alice.reserve(2)
    await alice.settled((await alice.commit(held.body["reservation_id"])).body["order_id"])

    refused = await alice.reserve(key="again")

    assert (refused.status, refused.kind, refused.body["limit_per_shopper"]) == (409, "limit-reached", 2)
    assert (await drop.shopper("bob").reserve()).status == 201


async def test_sold_out_is_told_and_may_change(drop: Shop) -> None:
    taken = [await drop.shopper(f"s{n}").reserve(2) for n in range(5)]
    late = drop.shopper("late")

    refused = await late.reserve()
    assert (refused.status, refused.kind, await drop.available()) == (409, "sold-out", 0)
    assert (await drop.shopper("s4").cancel(taken[4].body["reservation_id"])).status == 200
    async with asyncio.timeout(60):
        while (await late.reserve()).status != 201:  # the same key may try again after a refusal
            await asyncio.sleep(0.02)


async def test_a_hold_is_let_go_once(drop: Shop) -> None:
    alice = drop.shopper()
    rid = (await alice.reserve()).body["reservation_id"]

    answers = [await alice.cancel(rid) for _ in range(2)]

    assert [(one.status, one.body["status"]) for one in answers] == [(200, "cancelled")] * 2
    assert await drop.available() == 10
    assert (await alice.commit(rid)).kind == "hold-expired"
    assert (await alice.commit(rid)).status == 410


async def test_other_peoples_things_do_not_exist(drop: Shop) -> None:
    alice, eve = drop.shopper("alice"), drop.shopper("eve")
    rid = (await alice.reserve()).body["reservation_id"]
    order = (await alice.commit(rid)).body["order_id"]
    await alice.settled(order)

    answers = [
        await eve.commit(rid),
        await eve.cancel(rid),
        await eve.get(f"/checkout/orders/{order}"),
        await eve.get(f"/checkout/reservations/{rid}"),
        await eve.get(f"/checkout/orders/{uuid4()}"),
        await eve.commit("' OR 1=1 --"),
    ]

    assert [(one.status, one.kind) for one in answers] == [(404, "not-found")] * 6


async def test_a_shopper_sees_the_own_hold(drop: Shop) -> None:
    alice = drop.shopper()
    held = await alice.reserve()
    rid = held.body["reservation_id"]

    found = await alice.get(f"/checkout/reservations/{rid}")

    assert (found.status, found.body["status"], found.body["order_id"]) == (200, "held", None)
    assert found.body["expires_at"] == held.body["expires_at"]


@pytest.mark.parametrize(
    ("payment", "status", "kind"),
    [
        ({"provider": "bank", "method": "card_ok"}, 422, "unknown-provider"),
        ({"provider": "simulated"}, 422, "invalid-body"),
        ({"provider": "simulated", "method": ""}, 422, "invalid-body"),
        ("card_ok", 422, "invalid-body"),
        (None, 422, "invalid-body"),
    ],
)
async def test_a_bad_payment_is_refused(drop: Shop, payment: object, status: int, kind: str) -> None:
    alice = drop.shopper()
    rid = (await alice.reserve()).body["reservation_id"]

    refused = await alice.post("/checkout/commit", {"reservation_id": rid, "payment": payment}, "k")

    assert (refused.status, refused.kind) == (status, kind)
    assert (await alice.get(f"/checkout/reservations/{rid}")).body["status"] == "held"


async def test_a_second_payment_of_a_hold_is_refused(drop: Shop) -> None:
    alice = drop.shopper()
    rid = (await alice.reserve()).body["reservation_id"]
    await alice.commit(rid, "card_3ds")

    assert (await alice.commit(rid, key="other")).kind == "payment-in-progress"
    assert (await alice.cancel(rid)).kind == "payment-in-progress"


async def test_a_declined_card_may_be_followed_by_a_good_one(drop: Shop) -> None:
    alice = drop.shopper()
    rid = (await alice.reserve()).body["reservation_id"]
    first = await alice.commit(rid, "card_declined")
    declined = await alice.settled(first.body["order_id"])
    second = await alice.commit(rid, "card_ok", key="second")
    paid = await alice.settled(second.body["order_id"], "paid")

    assert (declined["status"], declined["can_retry"]) == ("declined", True)
    assert (paid["attempts"], paid["order_id"]) == (2, declined["order_id"])


@pytest.mark.parametrize(("card", "status"), [("card_3ds", "paid"), ("card_slow", "paid"), ("card_error", "paid")])
async def test_difficult_cards_end_well(drop: Shop, card: str, status: str) -> None:
    alice = drop.shopper()
    rid = (await alice.reserve()).body["reservation_id"]

    assert (await alice.settled((await alice.commit(rid, card)).body["order_id"]))["status"] == status


async def test_an_unknown_card_never_charges_and_the_units_come_back(tmp_path: Path, redis_url: str) -> None:
    async with gateway() as url, shop(config(tmp_path, redis_url, url, hold="1s")) as drop:
        alice = drop.shopper()
        rid = (await alice.reserve()).body["reservation_id"]

        placed = await alice.commit(rid, "card_gold")

        assert (await alice.settled(placed.body["order_id"]))["status"] == "declined"


async def test_the_catalogue_is_open_and_cheap(drop: Shop) -> None:
    async with drop.session.get(f"{drop.url}/sales/drop") as answer:
        found, etag = json.loads(await answer.read()), answer.headers["ETag"]
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "public, max-age=1")
    assert (found["state"], len(found["skus"])) == ("ACTIVE", 2)

    async with drop.session.get(f"{drop.url}/sales/drop", headers={"If-None-Match": etag}) as answer:
        assert answer.status == 304


async def test_other_methods_and_paths_are_problems_too(drop: Shop) -> None:
    async with drop.session.get(f"{drop.url}/nothing") as answer:
        assert (answer.status, answer.content_type) == (404, "application/problem+json")
    async with drop.session.delete(f"{drop.url}/sales/drop") as answer:
        assert (answer.status, answer.content_type) == (405, "application/problem+json")


@pytest.mark.parametrize(
    "path", ["/checkout/orders/%ff", "/checkout/orders/%00", "/checkout/reservations/..%2f", "/sales/%ff"]
)
async def test_strange_names_are_not_found(drop: Shop, path: str) -> None:
    async with drop.session.get(URL(drop.url + path, encoded=True), headers=drop.shopper().headers()) as answer:
        assert answer.status == 404


@pytest.mark.parametrize(
    "path", ["/%63heckout/orders/1", "/checkout%2Forders/1", "//checkout/orders/1", "/./checkout/orders/1"]
)
async def test_no_spelling_of_the_path_comes_round_the_gate(drop: Shop, path: str) -> None:
    async with drop.session.get(URL(drop.url + path, encoded=True)) as answer:
        assert answer.status in {403, 404}


@pytest.mark.parametrize("text", ["\\ud800", "\\u0000", "caf\\u00e9"])
async def test_strange_text_in_a_body_is_refused(drop: Shop, text: str) -> None:
    headers = drop.shopper().headers("k") | {"Content-Type": "application/json"}
    for path, body in (
        ("commit", '{"reservation_id":"%s","payment":{"provider":"simulated","method":"card_ok"}}'),
        ("cancel", '{"reservation_id":"%s"}'),
        ("reserve", '{"sale":"%s","lines":[{"sku":"sneaker","qty":1}]}'),
        ("reserve", '{"sale":"drop","lines":[{"sku":"%s","qty":1}]}'),
    ):
        async with drop.session.post(f"{drop.url}/checkout/{path}", data=body % text, headers=headers) as answer:
            assert answer.status in {400, 404, 422}
            assert answer.content_type == "application/problem+json"


async def test_strange_bytes_in_headers_are_refused(drop: Shop) -> None:
    port = int(drop.url.rpartition(":")[2])
    good = drop.shopper().headers()["Waitroom-Pass"].encode()
    for shopper, key, status in ((b"\xff\xfe", b"k", b"403"), (good, b"\xff\xfe", b"400")):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = b'{"sale":"drop","lines":[{"sku":"sneaker","qty":1}]}'
        writer.write(
            b"POST /checkout/reserve HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
            b"Waitroom-Pass: %s\r\nIdempotency-Key: %s\r\nContent-Length: %d\r\n\r\n%s"
            % (shopper, key, len(body), body)
        )
        assert (await reader.read()).split(b" ")[1] == status
        writer.close()
        await writer.wait_closed()


# The waitlist


LIST = "/sales/drop/waitlist"


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"lines": []}, 422, "invalid-body"),
        ({"lines": [{"sku": "sneaker", "qty": 0}]}, 422, "invalid-body"),
        ({"lines": [{"sku": "sneaker", "qty": 3}]}, 409, "limit-reached"),
        ({"lines": [{"sku": "sneaker", "qty": 2}, {"sku": "sneaker", "qty": 2}]}, 409, "limit-reached"),
        ({"lines": [{"sku": "boots", "qty": 1}]}, 404, "unknown-sku"),
        ({"lines": [{"sku": "sneaker", "qty": 1}], "place": 1}, 422, "invalid-body"),
        ({"lines": [{"sku": "sneaker", "qty": 1}]}, 409, "not-sold-out"),
        ({}, 422, "invalid-body"),
    ],
)
async def test_who_asks_to_wait_wrongly_gets_no_place(drop: Shop, body: object, status: int, kind: str) -> None:
    refused = await drop.shopper().post(LIST, body)

    assert (refused.status, refused.kind) == (status, kind)
    assert (await drop.shopper().get(LIST)).body["status"] == "none"


async def test_there_is_a_waitlist_of_this_sale_only(drop: Shop) -> None:
    for refused in (
        await drop.shopper().post("/sales/other/waitlist", {"lines": [{"sku": "sneaker", "qty": 1}]}),
        await drop.shopper().get("/sales/other/waitlist"),
    ):
        assert (refused.status, refused.kind) == (404, "unknown-sale")


@pytest.mark.parametrize(
    ("terms", "kind"),
    [
        ({"max_waitlist": 0}, "no-waitlist"),
        ({"max_waitlist": 1}, "waitlist-full"),
        ({"ends_at": "2020-01-01T00:00:00Z"}, "sale-not-active"),
        ({"starts_at": "2099-01-01T00:00:00Z"}, "sale-not-active"),
    ],
)
async def test_a_list_that_takes_nobody_says_why(
    tmp_path: Path, redis_url: str, terms: dict[str, Any], kind: str
) -> None:
    async with shop(config(tmp_path, redis_url, total=1, **terms)) as till:
        await till.shopper("owner").reserve()
        await till.shopper("first").post(LIST, {"lines": [{"sku": "sneaker", "qty": 1}]})

        refused = await till.shopper().post(LIST, {"lines": [{"sku": "sneaker", "qty": 1}]})

        assert (refused.status, refused.kind) == (409, kind)
