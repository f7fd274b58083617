"""The gateway beside `waitroom serve` tells the till by webhook what became of a payment; who is not told asks."""

import re
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from tests.http_shopper import HttpShopper
from tests.whole_site import WholeSite, processes, read, until, whole_site

pytestmark = [pytest.mark.journey, pytest.mark.xdist_group("journey-told")]


@pytest.fixture(scope="module")
def site() -> Iterator[WholeSite]:
    """Give an installation whose till asks a pending payment no sooner than after a minute."""
    with whole_site(poll="1m") as running:
        yield running


@pytest.fixture
def shopper(site: WholeSite) -> Iterator[HttpShopper]:
    somebody = HttpShopper(site.url)
    somebody.come_in()
    yield somebody
    somebody.close()


def paid(shopper: HttpShopper, card: str) -> str:
    """Buy with `card`, and return the order once it is paid."""
    order: str = shopper.commit(shopper.reserve().body["reservation_id"], card).body["order_id"]
    assert shopper.settled(order)["status"] == "paid"
    return order


def audited(site: WholeSite, order: str) -> list[Any]:
    """Return who moved the order to which state, as the ledger has it."""
    told = (
        "SELECT a.actor, a.to_state FROM audit a JOIN reservation r ON a.rid = r.rid WHERE r.order_id = ? ORDER BY seq"
    )
    return rows(site, told, order)


def heard(site: WholeSite, order: str) -> set[str]:
    """Return the kinds of news that the till has in its inbox about the order."""
    told = "SELECT body ->> '$.type' FROM inbox i JOIN reservation r ON i.rid = r.rid WHERE r.order_id = ?"
    return {kind for (kind,) in rows(site, told, order)}


def is_put_off(site: WholeSite, order: str) -> bool:
    """Tell whether the saga knows the charge, and looks at it again in a minute."""
    told = "SELECT p.provider_ref FROM payment p JOIN reservation r ON p.rid = r.rid WHERE r.order_id = ?"
    return rows(site, told, order) not in ([], [(None,)])


def rows(site: WholeSite, query: str, *values: str) -> list[Any]:
    ledger = sqlite3.connect(f"file:{site.folder}/ledger.sqlite?mode=ro", uri=True)
    try:
        return ledger.execute(query, values).fetchall()
    finally:
        ledger.close()


def gateway(site: WholeSite) -> str:
    (command,) = (line for line in processes(site.home).values() if "simulated_psp" in line)
    found = re.search(r"--listen (\S+)", command)
    assert found is not None
    return f"http://{found[1]}"


def test_a_payment_that_pauses_at_the_bank_is_settled_by_the_webhook(site: WholeSite, shopper: HttpShopper) -> None:
    order = paid(shopper, "card_3ds")

    assert ("gateway", "capturing") in audited(site, order), "not by the saga, which would have asked in a minute"
    assert "payment_intent.amount_capturable_updated" in heard(site, order)


def test_a_till_that_was_down_is_told_once_it_is_back(site: WholeSite, shopper: HttpShopper) -> None:
    rid = shopper.reserve().body["reservation_id"]
    order = shopper.commit(rid, "card_3ds").body["order_id"]
    until(lambda: is_put_off(site, order), every_s=0.02)

    dead = site.kill("inventory_backend -c")
    until(lambda: site.pids("inventory_backend -c") and dead not in site.pids("inventory_backend -c"))
    until(lambda: read(f"{site.url}/sales/drop"), within_s=20)

    assert shopper.settled(order)["status"] == "paid"
    assert ("gateway", "capturing") in audited(site, order)


def test_news_that_nobody_signed_with_the_secret_of_the_two_move_nothing(site: WholeSite, shopper: HttpShopper) -> None:
    for path in ("/webhooks/simulated", "/webhooks/stripe"):
        assert shopper.post(path, {"id": "evt_1", "type": "payment_intent.succeeded"}).status in {400, 404}
    assert site.ops()["phase"] == "open"
    assert gateway(site).startswith("http://127.0.0.1:"), "it listens to this machine only"
    assert not any("SECRET" in line for line in processes(site.home).values()), "no command line tells a secret"
