"""Put every change of stock on record: the total of a shard is the sum of its changes."""

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection

from inventory_backend.ledger.schema import stock_change

Name = tuple[str, str]
"""Sale and sku, or sale and shard."""


class Origin(StrEnum):
    """Where a change of stock comes from; what shards give to each other adds up to nothing."""

    CONFIGURATION = "configuration"
    WAVE = "wave"
    OPS = "ops"
    SHARDS = "shards"


@dataclass(frozen=True, slots=True)
class Change:
    """So many units more, or fewer, on whose word, and why; `wave_ms` is the time of a wave."""

    delta: int
    origin: Origin
    actor: str
    why: str
    now_ms: int
    wave_ms: int | None = None


def write_down(connection: Connection, shard: Name, asked: Change) -> None:
    """Put a change on record."""
    row = {
        "sale": shard[0],
        "sku": shard[1],
        "delta": asked.delta,
        "origin": asked.origin,
        "wave_ms": asked.wave_ms,
        "actor": asked.actor,
        "why": asked.why,
        "at_ms": asked.now_ms,
    }
    connection.execute(stock_change.insert(), row)
