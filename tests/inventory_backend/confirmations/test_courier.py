"""From the ledger to a receiver: in order, at least once, again after a fault, given up in the end."""

import asyncio
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from inventory_backend.confirmations import webhooks
from inventory_backend.confirmations.courier import Courier, Retries
from inventory_backend.confirmations.webhooks import WebhookSink
from inventory_backend.ledger import deliveries
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.news import News
from tests.fakes import FakeClock
from tests.inventory_backend.confirmations.test_webhooks import KEY, NOTICE
from tests.inventory_backend.ledger.test_deliveries import news
from tests.inventory_backend.test_counters import value
from tests.inventory_backend.test_main import ready, settings, till
from tests.receivers import Receiver, listening, secret_file
from tests.till import Shopper
from waitroom.kernel.clock import SystemClock

QUICK = Retries(attempts=3, first_wait_ms=4_000, longest_wait_ms=10_000)


async def stepped(courier: Courier, sink: WebhookSink) -> None:
    await courier.spread()
    await courier.serve(sink)


def as_receiver(receiver: Receiver, timeout_ms: int = 30_000) -> webhooks.Receiver:
    return webhooks.Receiver("erp", receiver.url, [KEY], frozenset(News), timeout_ms, is_private_allowed=True)


def test_waits_double_up_to_the_longest_and_spread() -> None:
    waits = [Retries(9, 1000, 20_000).wait_ms(replace(NOTICE, tries=tries)) for tries in range(1, 9)]

    for found, plain in zip(waits, [1000, 2000, 4000, 8000, 16000, 20000, 20000, 20000], strict=True):
        assert plain * 3 / 4 <= found <= plain * 5 / 4
    assert len({QUICK.wait_ms(replace(NOTICE, message_id=f"m{n}")) for n in range(9)}) > 3
    assert Retries(50).wait_ms(replace(NOTICE, tries=50)) <= 6 * 3_600_000 * 5 // 4


async def test_a_failed_try_comes_again_under_its_id_and_what_follows_stays_behind_it(
    ledger: Ledger, clock: FakeClock
) -> None:
    await news(ledger, News.PAID, News.REFUNDED)
    receiver = Receiver(lambda count: web.Response(status=500 if count == 1 else 204))
    async with listening(receiver), webhooks.opened(as_receiver(receiver), SystemClock()) as sink:
        courier = Courier(ledger, [sink], QUICK)
        for _ in range(3):
            await stepped(courier, sink)
        assert receiver.kinds == ["order.paid"]
        await clock.advance(6)
        for _ in range(3):
            await stepped(courier, sink)
        await courier.close()

    assert receiver.kinds == ["order.paid", "order.paid", "order.refunded"]
    assert receiver.ids[0] == receiver.ids[1] != receiver.ids[2]


async def test_retry_after_is_longer_than_our_own_wait(ledger: Ledger, clock: FakeClock) -> None:
    await news(ledger, News.PAID)
    receiver = Receiver(lambda _count: web.Response(status=503, headers={"Retry-After": "60"}))
    async with listening(receiver), webhooks.opened(as_receiver(receiver), SystemClock()) as sink:
        courier = Courier(ledger, [sink], QUICK)
        await stepped(courier, sink)
        await clock.advance(59)
        await stepped(courier, sink)
        assert len(receiver.hits) == 1
        await clock.advance(1)
        await stepped(courier, sink)
    assert len(receiver.hits) == 2


async def test_after_the_last_try_it_is_a_dead_letter_that_ops_see(ledger: Ledger, clock: FakeClock) -> None:
    await news(ledger, News.PAID)
    receiver = Receiver(lambda _count: web.Response(status=500))
    async with listening(receiver), webhooks.opened(as_receiver(receiver), SystemClock()) as sink:
        courier = Courier(ledger, [sink], QUICK)
        for _ in range(5):
            await stepped(courier, sink)
            await clock.advance(20)
        await courier.count()

    assert len(receiver.hits) == 3
    assert [one.fault for one in await ledger.read(deliveries.dead_letters)] == ["status 500"]
    assert value("waitroom_till_dead_letters", sink="webhook:erp") == 1
    assert value("waitroom_till_deliveries_waiting", sink="webhook:erp") == 0


async def test_410_stops_the_sink(ledger: Ledger) -> None:
    await news(ledger, News.PAID)
    receiver = Receiver(lambda _count: web.Response(status=410))
    async with listening(receiver), webhooks.opened(as_receiver(receiver), SystemClock()) as sink:
        courier = Courier(ledger, [sink], QUICK)
        await stepped(courier, sink)
        await news(ledger, News.PAID, shopper="bob")
        await stepped(courier, sink)

    assert len(receiver.hits) == 1
    assert len(await ledger.read(deliveries.dead_letters)) == 1


@pytest.mark.journey
async def test_killed_between_send_and_mark_it_sends_again_under_the_same_id(
    short_folder: Path, unused_tcp_port: int
) -> None:
    receiver = Receiver(gate=asyncio.Event())
    file = settings(short_folder, unused_tcp_port, 9)
    url = f"http://127.0.0.1:{unused_tcp_port}"
    async with aiohttp.ClientSession() as session, listening(receiver):
        assert receiver.gate is not None
        hook = f'name = "erp"\nurl = "{receiver.url}"\nsecret_file = "{secret_file(short_folder)}"\ntimeout = "3s"'
        terms = f'hold = "1s"\n[[webhooks]]\nallow_private = true\n{hook}\n'
        file.write_text(file.read_text() + terms)
        async with till(file) as process:
            await ready(session, url)
            rid = (await Shopper(session, url, "alice", SystemClock()).reserve()).body["reservation_id"]
            await receiver.heard(1)  # it has the notice; we do not know that
            process.kill()
            await process.wait()
        receiver.gate.set()
        async with till(file):
            await receiver.heard(2)

    assert receiver.ids[0] == receiver.ids[1]
    assert receiver.kinds[:2] == ["reservation.expired"] * 2
    assert receiver.hits[0][1]["data"]["reservation_id"] == rid
