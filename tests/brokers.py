"""Kafka for tests: brokers that speak its protocol, and a reader of topics; both are librdkafka's, neither is ours."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from confluent_kafka import Consumer, Message, Producer

from waitroom.kernel.units import Address, address


@dataclass(frozen=True)
class Brokers:
    """A cluster that lives in this process and listens on loopback."""

    servers: tuple[Address, ...]

    async def records(self, topic: str, count: int) -> list[Message]:
        """Return the first `count` records of `topic`, in the order of their partitions."""
        return await asyncio.to_thread(self._records, topic, count)

    def _records(self, topic: str, count: int) -> list[Message]:
        servers = ",".join(map(str, self.servers))
        reader = Consumer({"bootstrap.servers": servers, "group.id": "erp", "auto.offset.reset": "earliest"})
        try:
            reader.subscribe([topic])
            found: Sequence[Message] = reader.consume(count, timeout=30)
        finally:
            reader.close()
        return list(found)


@asynccontextmanager
async def brokers() -> AsyncIterator[Brokers]:
    """Run three brokers while the block lasts; afterwards their ports refuse."""
    quiet = {"log_level": 2, "bootstrap.servers": "none:1", "test.mock.num.brokers": 3}
    cluster = Producer(quiet)
    try:
        found = await asyncio.to_thread(cluster.list_topics, timeout=10)
        yield Brokers(tuple(address(f"{one.host}:{one.port}") for one in found.brokers.values()))
    finally:
        del cluster
