"""Look at the stock in Redis and touch nothing: what is free, and what is on its way into the ledger."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from redis.exceptions import RedisError

from inventory_backend.stock.stock import StockKey
from waitroom.kernel.errors import StoreUnavailable
from waitroom.kernel.redis import ScriptRunner


@dataclass(frozen=True, slots=True)
class Glance:
    """One sku in Redis: units that are free, and holds that the ledger has not confirmed yet."""

    free: int
    soft: int


async def glance(scripts: ScriptRunner, keys: Iterable[StockKey]) -> Mapping[tuple[str, str], Glance]:
    """Return the stock of `keys`; what is not loaded, or lives another life, is left out.

    Raises:
        StoreUnavailable: Redis does not answer.
    """
    found = {}
    try:
        for key in keys:
            state, soft = key.names("st", "x")
            epoch, word, free = await scripts.client.hmget(state, ["epoch", "state", "avail"])
            if (epoch, word) == (str(key.epoch), "open") and free is not None:
                found[key.sale, key.sku] = Glance(int(free), int(await scripts.client.zcard(soft)))
    except (RedisError, OSError, ValueError) as fault:
        raise StoreUnavailable(f"redis does not answer: {fault!r}") from fault
    return found
