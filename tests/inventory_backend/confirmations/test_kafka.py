"""Records reach a topic of real brokers; brokers that are gone, mute or mad cost a try, and never a sale."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from inventory_backend.confirmations.courier import Courier, Retries
from inventory_backend.confirmations.kafka import KafkaSink, Topic, opened
from inventory_backend.confirmations.sinks import SENT, Fate, Outcome
from inventory_backend.confirmations.webhooks import document
from inventory_backend.ledger import deliveries
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.news import News
from tests.brokers import brokers
from tests.certificate import made
from tests.fakes import FakeClock
from tests.inventory_backend.confirmations.test_webhooks import NOTICE
from tests.inventory_backend.ledger.test_deliveries import news
from tests.till import config, gateway, shop
from waitroom.kernel.units import Address

PLAIN = Topic((), "orders", frozenset(News), False, None, "SCRAM-SHA-512", "", "", timeout_ms=30_000)
Answering = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def says_nothing(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def says_http(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


async def says_zeros(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(4)
    writer.write(b"\0\0\0\x20" + bytes(32))


async def says_noise(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(4)
    writer.write(b"\0\0\0\x20" + b"\xff" * 32)


async def tried(topic: Topic, times: int = 1) -> list[Outcome]:
    async with opened(topic) as sink:
        return [await sink.send(NOTICE) for _ in range(times)]


async def tried_on(answering: Answering, topic: Topic = PLAIN, times: int = 2) -> list[Outcome]:
    """Try on a server that is no broker."""

    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answering(reader, writer)
        finally:
            writer.close()

    async with await asyncio.start_server(met, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        return await tried(replace(topic, servers=(Address("127.0.0.1", port),)), times)


async def test_a_record_has_its_reservation_as_key_and_its_id_in_the_headers() -> None:
    async with brokers() as cluster:
        assert await tried(replace(PLAIN, servers=cluster.servers), times=2) == [SENT, SENT]
        first, again = await cluster.records("orders", 2)

    assert (first.key(), first.value()) == (NOTICE.rid.encode(), document(NOTICE))
    assert first.headers() == [("message-id", b"msg_1"), ("type", b"order.paid")]
    assert (again.headers(), again.partition()) == (first.headers(), first.partition())


async def test_one_live_broker_of_several_is_enough_to_begin_with() -> None:
    async with brokers() as cluster:
        assert await tried(replace(PLAIN, servers=(Address("127.0.0.1", 1), cluster.servers[0]))) == [SENT]


async def test_who_comes_together_shares_one_connection() -> None:
    async with brokers() as cluster, opened(replace(PLAIN, servers=cluster.servers)) as sink:
        notices = [replace(NOTICE, rid=f"r{number}", message_id=f"msg_{number}") for number in range(32)]
        assert await asyncio.gather(*map(sink.send, notices)) == [SENT] * 32
        found = await cluster.records("orders", 32)

    assert {one.key() for one in found} == {one.rid.encode() for one in notices}


async def test_brokers_that_go_away_are_tried_again(unused_tcp_port: int) -> None:
    assert (
        await tried(replace(PLAIN, servers=(Address("127.0.0.1", unused_tcp_port),)), times=2)
        == [Outcome(Fate.LATER, "no broker: KafkaConnectionError")] * 2
    )
    async with brokers() as cluster:
        sink = KafkaSink(replace(PLAIN, servers=cluster.servers, timeout_ms=900))
        assert await sink.send(NOTICE) == SENT
    outcome = await sink.send(NOTICE)
    await sink.close()

    assert outcome.fate is Fate.LATER


@pytest.mark.parametrize("answering", [says_http, says_zeros, says_noise])
async def test_a_server_that_is_no_broker_is_tried_again(answering: Answering) -> None:
    assert (
        await tried_on(answering, replace(PLAIN, timeout_ms=900))
        == [Outcome(Fate.LATER, "no broker: KafkaConnectionError")] * 2
    )


async def test_a_broker_that_says_nothing_costs_the_time_of_one_try_and_no_more() -> None:
    outcomes = await tried_on(says_nothing, replace(PLAIN, timeout_ms=300))

    assert {one.fate for one in outcomes} == {Fate.LATER}


async def test_a_broker_that_nobody_vouches_for_hears_nothing(tmp_path: Path) -> None:
    heard = bytearray()

    async def listens(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.read())

    pair = made(tmp_path)
    encrypted = replace(PLAIN, is_encrypted=True, ca_file=pair.certificate, username="till", password="right-password")
    outcomes = await tried_on(listens, replace(encrypted, timeout_ms=900))

    assert {one.fate for one in outcomes} == {Fate.LATER}
    assert b"right-password" not in heard


async def test_what_no_broker_takes_ends_as_a_dead_letter_and_goes_out_when_ops_send_it_again(
    ledger: Ledger, clock: FakeClock, unused_tcp_port: int
) -> None:
    await news(ledger, News.PAID)
    async with opened(replace(PLAIN, servers=(Address("127.0.0.1", unused_tcp_port),))) as sink:
        courier = Courier(ledger, [sink], Retries(attempts=3, first_wait_ms=1000, longest_wait_ms=2000))
        for _ in range(4):
            await courier.spread()
            await courier.serve(sink)
            await clock.advance(3)
    (dead,) = await ledger.read(deliveries.dead_letters)
    assert (dead.sink, dead.tries, dead.fault) == ("kafka", 3, "no broker: KafkaConnectionError")

    async with brokers() as cluster, opened(replace(PLAIN, servers=cluster.servers)) as sink:
        await ledger.write(lambda connection: deliveries.retry(connection, dead.serial, clock.now_ms()))
        await Courier(ledger, [sink], Retries()).serve(sink)
        (record,) = await cluster.records("orders", 1)
    assert json.loads(record.value() or b"")["type"] == "order.paid"
    assert await ledger.read(deliveries.dead_letters) == []


async def test_the_till_sells_on_while_no_broker_is_there(tmp_path: Path, redis_url: str, unused_tcp_port: int) -> None:
    kafka = {"servers": [f"127.0.0.1:{unused_tcp_port}"], "security": "none"}
    async with gateway() as url, shop(config(tmp_path, redis_url, url, tables={"kafka": kafka})) as drop:
        alice = drop.shopper()
        order = (await alice.commit((await alice.reserve()).body["reservation_id"])).body["order_id"]
        assert (await alice.settled(order))["status"] == "paid"
        async with asyncio.timeout(20):
            while (await drop.till.jobs.ledger.read(lambda c: deliveries.counts(c, sink="kafka")))[0] != 1:
                await asyncio.sleep(0.02)
