"""More people than units, all at once, through the whole product: exactly what there is is sold."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.http_shopper import Answer, HttpShopper
from tests.whole_site import RARE, WholeSite, until, whole_site

pytestmark = [pytest.mark.journey, pytest.mark.xdist_group("journey")]

BUYERS, LET_GO = 300, 10


def test_three_hundred_buyers_get_exactly_a_hundred_units() -> None:
    with whole_site() as site:
        site.ops("pause", {})
        buyers = [HttpShopper(site.url, timeout_s=60) for _ in range(BUYERS)]
        ready = Barrier(BUYERS)

        def come_in(buyer: HttpShopper) -> Answer:
            buyer.join()
            ready.wait(60)
            buyer.wait_for_turn(within_s=60)
            ready.wait(60)
            return buyer.reserve("rare")

        with ThreadPoolExecutor(BUYERS) as pool:
            coming = [pool.submit(come_in, buyer) for buyer in buyers]
            until(lambda: site.ops()["waiting"] == BUYERS, within_s=60)
            site.ops("resume", {})
            answers = [one.result() for one in coming]
            winners = [buyer for buyer, answer in zip(buyers, answers, strict=True) if answer.status == 201]
            losers = [buyer for buyer, answer in zip(buyers, answers, strict=True) if answer.status != 201]
            held = {answer.body["reservation_id"] for answer in answers if answer.status == 201}
            assert len(winners) == len(held) == RARE
            assert {answer.kind for answer in answers} - {""} == {"sold-out"}
            until(lambda: site.stock("rare") == 0)

            quitters = winners[:LET_GO]
            for buyer, answer in zip(buyers, answers, strict=True):
                if buyer in quitters:
                    told = buyer.post("/checkout/cancel", {"reservation_id": answer.body["reservation_id"]})
                    assert told.status == 200
            until(lambda: site.stock("rare") == LET_GO)
            second = list(pool.map(lambda buyer: buyer.reserve("rare"), losers))
            assert [answer.status for answer in second].count(201) == LET_GO

            paying = [
                (buyer, answer)
                for buyer, answer in [*zip(buyers, answers, strict=True), *zip(losers, second, strict=True)]
                if answer.status == 201 and buyer not in quitters
            ]
            orders = list(pool.map(lambda one: pay(*one), paying))
        assert orders == ["paid"] * RARE
        assert site.stock("rare") == 0
        assert allocated(site) == (RARE, RARE)
        for buyer in buyers:
            buyer.close()


def pay(buyer: HttpShopper, held: Answer) -> str:
    placed = buyer.commit(held.body["reservation_id"])
    assert placed.status == 202, placed
    return str(buyer.settled(placed.body["order_id"], within_s=60)["status"])


def allocated(site: WholeSite) -> tuple[int, int]:
    """Return what the ledger says is given away, and how much there was."""
    with sqlite3.connect(f"file:{site.folder / 'ledger.sqlite'}?mode=ro", uri=True) as ledger:
        found = ledger.execute("SELECT allocated, total FROM sku WHERE sku = 'rare'").fetchone()
    ledger.close()
    return int(found[0]), int(found[1])
