"""The simulated gateway keeps Stripe's rules, over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from inventory_backend.payments.simulated_cards import Behaviour
from tests.fakes import FakeClock
from tests.till import gateway

FORM = {
    "amount": "12900",
    "currency": "eur",
    "payment_method": "card_ok",
    "confirm": "true",
    "capture_method": "manual",
    "metadata[rid]": "r1",
}


class Client:
    """Speaks to the gateway as Stripe's library would."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session, self.url = session, url

    async def post(self, path: str, form: dict[str, str], key: str | None = None) -> tuple[int, dict[str, Any], bool]:
        headers = {"Idempotency-Key": key} if key else {}
        async with self.session.post(self.url + path, data=form, headers=headers) as answer:
            return answer.status, await answer.json(), answer.headers.get("Idempotent-Replayed") == "true"

    async def get(self, path: str) -> tuple[int, dict[str, Any]]:
        async with self.session.get(self.url + path) as answer:
            return answer.status, await answer.json()

    async def create(self, card: str = "card_ok", key: str | None = None) -> dict[str, Any]:
        return (await self.post("/v1/payment_intents", FORM | {"payment_method": card}, key))[1]


@pytest.fixture
async def psp(clock: FakeClock) -> AsyncIterator[Client]:
    async with gateway(clock, Behaviour(pause_ms=2000)) as url, aiohttp.ClientSession() as session:
        yield Client(session, url)


async def test_money_is_set_aside_then_taken_then_sent_back(psp: Client) -> None:
    made = await psp.create()
    path = f"/v1/payment_intents/{made['id']}"

    assert (made["status"], made["amount"], made["metadata"]) == ("requires_capture", 12900, {"rid": "r1"})
    assert (await psp.post(f"{path}/capture", {}))[1]["amount_received"] == 12900
    status, refund, _ = await psp.post("/v1/refunds", {"payment_intent": made["id"]})
    assert (status, refund["amount"], refund["status"]) == (200, 12900, "succeeded")
    assert (await psp.post("/v1/refunds", {"payment_intent": made["id"]}))[0] == 400


async def test_the_same_key_gets_the_same_charge(psp: Client) -> None:
    first = await psp.post("/v1/payment_intents", FORM, "k")
    second = await psp.post("/v1/payment_intents", FORM, "k")

    assert (first[1], first[2], second[2]) == (second[1], False, True)
    assert len((await psp.get("/v1/payment_intents"))[1]["data"]) == 1


async def test_the_same_key_for_something_else_is_an_idempotency_error(psp: Client) -> None:
    made = await psp.create(key="k")

    for path, form in (
        ("/v1/payment_intents", FORM | {"amount": "1"}),
        (f"/v1/payment_intents/{made['id']}/capture", FORM),
    ):
        status, body, _ = await psp.post(path, form, "k")
        assert (status, body["error"]["type"]) == (400, "idempotency_error")


async def test_a_key_in_use_is_a_conflict(psp: Client, clock: FakeClock) -> None:
    slow = asyncio.gather(psp.create("card_slow", key="k"))
    while not clock._sleepers:
        await asyncio.sleep(0.01)

    status, body, _ = await psp.post("/v1/payment_intents", FORM | {"payment_method": "card_slow"}, "k")
    await clock.advance(3)

    assert (status, body["error"]["code"]) == (409, "idempotency_key_in_use")
    assert (await slow)[0]["status"] == "requires_capture"


async def test_a_declined_card_says_so_again_under_its_key(psp: Client) -> None:
    form = FORM | {"payment_method": "card_declined"}
    first = await psp.post("/v1/payment_intents", form, "k")

    assert (first[0], first[1]["error"]["code"]) == (402, "card_declined")
    assert first[1]["error"]["payment_intent"]["status"] == "requires_payment_method"
    assert await psp.post("/v1/payment_intents", form, "k") == (*first[:2], True)


async def test_the_error_card_fails_first_and_works_under_the_same_key(psp: Client) -> None:
    form = FORM | {"payment_method": "card_error"}

    assert (await psp.post("/v1/payment_intents", form, "k"))[0] == 500
    assert (await psp.post("/v1/payment_intents", form, "k"))[0] == 200
    assert len((await psp.get("/v1/payment_intents"))[1]["data"]) == 1


async def test_3ds_is_authorised_after_its_pause(psp: Client, clock: FakeClock) -> None:
    made = await psp.create("card_3ds")
    assert made["status"] == "requires_action"

    await clock.advance(2)

    assert (await psp.get(f"/v1/payment_intents/{made['id']}"))[1]["status"] == "requires_capture"


async def test_what_cannot_be_done_says_how_the_charge_stands(psp: Client) -> None:
    made = await psp.create()
    path = f"/v1/payment_intents/{made['id']}"
    await psp.post(f"{path}/cancel", {})

    for verb in ("capture", "cancel"):
        status, body, _ = await psp.post(f"{path}/{verb}", {})
        assert (status, body["error"]["code"]) == (400, "payment_intent_unexpected_state")
        assert body["error"]["payment_intent"]["status"] == "canceled"


@pytest.mark.parametrize(
    "bad",
    [
        {"amount": "0"},
        {"amount": "-1"},
        {"amount": "x"},
        {"amount": "100000000"},
        {"amount": "\u0663"},
        {"currency": "euro"},
        {"payment_method": "card_gold"},
    ],
)
async def test_bad_parameters_are_named_and_not_kept(psp: Client, bad: dict[str, str]) -> None:
    status, body, _ = await psp.post("/v1/payment_intents", FORM | bad, "k")

    assert (status, body["error"]["type"], body["error"]["param"]) == (400, "invalid_request_error", next(iter(bad)))
    assert (await psp.post("/v1/payment_intents", FORM, "k"))[0] == 200


async def test_what_is_not_there_is_missing(psp: Client) -> None:
    assert (await psp.get("/v1/payment_intents/pi_no"))[0] == 404
    for path, form in (
        ("/v1/payment_intents/pi_no/capture", {}),
        ("/v1/payment_intents/pi_no/cancel", {}),
        ("/v1/refunds", {"payment_intent": "pi_no"}),
    ):
        assert (await psp.post(path, dict(form)))[0] == 404


async def test_a_list_comes_newest_first_in_pages(psp: Client) -> None:
    made = [(await psp.create())["id"] for _ in range(5)]

    first = (await psp.get("/v1/payment_intents?limit=3"))[1]
    rest = (await psp.get(f"/v1/payment_intents?limit=3&starting_after={first['data'][-1]['id']}"))[1]

    assert [one["id"] for one in first["data"] + rest["data"]] == made[::-1]
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert (await psp.get("/v1/refunds"))[1]["data"] == []


async def test_a_key_is_forgotten_after_a_day(psp: Client, clock: FakeClock) -> None:
    first = await psp.create(key="k")
    await clock.advance(24 * 3600 + 1)

    assert (await psp.create(key="k"))["id"] != first["id"]


async def test_what_is_not_confirmed_waits_and_is_confirmed_once(psp: Client) -> None:
    made = (await psp.post("/v1/payment_intents", FORM | {"confirm": "false"}))[1]
    path = f"/v1/payment_intents/{made['id']}"
    assert (made["status"], made["latest_charge"]) == ("requires_confirmation", None)
    assert (await psp.post(f"{path}/capture", {}))[0] == 400

    assert (await psp.post(f"{path}/confirm", {"payment_method": "card_declined"}))[0] == 402
    assert (await psp.post(f"{path}/confirm", {"payment_method": "card_ok"}))[1]["status"] == "requires_capture"
    assert (await psp.post(f"{path}/confirm", {}))[1]["error"]["code"] == "payment_intent_unexpected_state"
    assert (await psp.post("/v1/payment_intents/pi_no/confirm", {}))[0] == 404


async def test_without_manual_capture_the_money_is_taken_at_once(psp: Client) -> None:
    form = {name: value for name, value in FORM.items() if name != "capture_method"}
    made = (await psp.post("/v1/payment_intents", form))[1]

    assert (made["status"], made["amount_received"]) == ("succeeded", 12900)
    assert (await psp.post("/v1/refunds", {"payment_intent": made["id"]}))[0] == 200


async def test_the_charge_behind_an_intent_is_shown_to_who_asks(psp: Client) -> None:
    made = await psp.create()
    path = f"/v1/payment_intents/{made['id']}"
    await psp.post(f"{path}/capture", {})
    await psp.post("/v1/refunds", {"payment_intent": made["id"], "amount": "900"})

    shown = (await psp.get(f"{path}?expand[]=latest_charge"))[1]["latest_charge"]

    assert (await psp.get(path))[1]["latest_charge"] == shown["id"]
    assert (shown["amount_captured"], shown["amount_refunded"], shown["refunded"]) == (12900, 900, False)


async def test_refunds_and_events_are_listed_by_what_they_are_about(psp: Client, clock: FakeClock) -> None:
    first, second = await psp.create(), await psp.create("card_3ds")
    await psp.post(f"/v1/payment_intents/{first['id']}/capture", {})
    await psp.post("/v1/refunds", {"payment_intent": first["id"]})
    await clock.advance(2)

    listed = (await psp.get(f"/v1/refunds?payment_intent={first['id']}"))[1]["data"]
    assert [one["amount"] for one in listed] == [12900]
    assert (await psp.get(f"/v1/refunds?payment_intent={second['id']}"))[1]["data"] == []
    events = (await psp.get("/v1/events?type=payment_intent.amount_capturable_updated"))[1]["data"]
    assert [one["data"]["object"]["id"] for one in events] == [second["id"], first["id"]]
    assert (await psp.get("/v1/payment_intents/search?query=nonsense"))[0] == 400
