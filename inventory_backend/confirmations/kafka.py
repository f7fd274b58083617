"""Tell a topic of Kafka: for who reads what happened in their own time, and as often as they like.

A record that the brokers did not confirm in time is given up here, and tried again by the courier. The library's own
idempotence never gives one up, so that nothing could be postponed or buried, and knows nothing of a try after a
restart; the id in the headers is what a reader goes by, as with webhooks.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from inventory_backend.confirmations.sinks import SENT, Fate, Outcome
from inventory_backend.confirmations.webhooks import document
from inventory_backend.ledger.deliveries import Notice
from inventory_backend.ledger.news import News
from waitroom.kernel.errors import StoreUnavailable
from waitroom.kernel.tasks import Errands
from waitroom.kernel.units import Address

_STAGES = 3
"""What a try waits for, one after the other, each for as long as one request may take: the topic's brokers, the room in
a batch, the answer."""
_BETWEEN_LOOKS_MS = 500
_CLOSE_LIMIT_S = 2


@dataclass(frozen=True, slots=True)
class Topic:
    """Where records go; without a `username` nobody signs in."""

    servers: Sequence[Address]
    name: str
    kinds: frozenset[News]
    is_encrypted: bool
    ca_file: Path | None
    mechanism: str
    username: str
    password: str
    timeout_ms: int


class KafkaSink:
    """The way out to a topic."""

    name = "kafka"

    def __init__(self, topic: Topic) -> None:
        """Write to `topic`; its brokers are looked for when there is something to tell."""
        self._topic = topic
        self._tls = None
        if topic.is_encrypted:
            self._tls = ssl.create_default_context(cafile=str(topic.ca_file) if topic.ca_file else None)
        self._errands = Errands()
        self._producer: asyncio.Task[AIOKafkaProducer] | None = None

    @property
    def kinds(self) -> frozenset[News]:
        """What it wants to hear of."""
        return self._topic.kinds

    @property
    def timeout_ms(self) -> int:
        """How long one try may take."""
        return self._topic.timeout_ms

    async def send(self, notice: Notice) -> Outcome:
        """Append `notice`, confirmed by all replicas in sync; what is told of one reservation goes to one partition."""
        headers = [("message-id", notice.message_id.encode()), ("type", notice.kind.encode())]
        try:
            async with asyncio.timeout(self.timeout_ms / 1000):
                producer = await self._connected()
                await producer.send_and_wait(
                    self._topic.name, document(notice), key=notice.rid.encode(), headers=headers
                )
        except MessageSizeTooLargeError as fault:
            return Outcome(Fate.REFUSED, type(fault).__name__)
        except (KafkaError, StoreUnavailable, OSError) as fault:  # a TimeoutError is an OSError
            return Outcome(Fate.LATER, str(fault) if isinstance(fault, StoreUnavailable) else type(fault).__name__)
        return SENT

    async def close(self) -> None:
        """Let go of the brokers; what they have not confirmed by now is told again."""
        await self._errands.close(_CLOSE_LIMIT_S)
        if (task := self._producer) is not None and _is_up(task):
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_LIMIT_S):
                    await task.result().stop()

    async def _connected(self) -> AIOKafkaProducer:
        """Return the producer of all tries; whoever comes first connects it, for who comes meanwhile too."""
        if self._producer is None or (self._producer.done() and not _is_up(self._producer)):
            self._producer = self._errands.begin(self._connect(), name="connect to kafka")
        return await asyncio.shield(self._producer)

    async def _connect(self) -> AIOKafkaProducer:
        topic, producer, is_up = self._topic, self._made(), False
        try:
            async with asyncio.timeout(topic.timeout_ms / 1000):
                await producer.start()
            is_up = True
        except (KafkaError, OSError) as fault:
            raise StoreUnavailable(f"no broker: {type(fault).__name__}") from fault
        finally:
            if not is_up:
                await producer.stop()
        return producer

    def _made(self) -> AIOKafkaProducer:
        topic = self._topic
        protocol = "SSL" if topic.is_encrypted else "PLAINTEXT"
        return AIOKafkaProducer(
            bootstrap_servers=[str(one) for one in topic.servers],
            client_id="waitroom",
            acks="all",
            request_timeout_ms=topic.timeout_ms // _STAGES,
            retry_backoff_ms=_BETWEEN_LOOKS_MS,
            security_protocol=f"SASL_{protocol}" if topic.username else protocol,
            ssl_context=self._tls,
            sasl_mechanism=topic.mechanism,
            sasl_plain_username=topic.username or None,
            sasl_plain_password=topic.password or None,
        )


@asynccontextmanager
async def opened(topic: Topic) -> AsyncIterator[KafkaSink]:
    """Give the sink of `topic` while the block lasts."""
    sink = KafkaSink(topic)
    try:
        yield sink
    finally:
        await sink.close()


def _is_up(task: asyncio.Task[AIOKafkaProducer]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None
