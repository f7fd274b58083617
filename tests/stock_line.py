"""The stock scripts on one stock line, for tests that look into Redis."""

import json
from typing import Any

from waitroom.kernel.redis import ScriptRunner

NOW_MS = 1_700_000_000_000
SOFT_MS = 10_000


class StockLine:
    """The stock scripts on one sku, with short names for their arguments."""

    def __init__(self, redis: ScriptRunner) -> None:
        self.redis = redis
        self.keys = {part: f"inv:{{drop:sneaker}}:{part}" for part in ("st", "h", "x", "u")}

    async def run(self, move: str, keys: str, *args: str | int) -> list[Any]:
        reply = await self.redis.run(f"stock/{move}", keys=[self.keys[key] for key in keys.split()], args=args)
        assert isinstance(reply, list)
        return reply

    async def load(
        self, stage: str, *, epoch: int = 1, avail: int = 10, total: int = 10, version: int = 1, holds: str = "[]"
    ) -> list[Any]:
        return await self.run("load", "st h x u", epoch, stage, avail, total, version, holds)

    async def hold(self, rid: str, *, shopper: str = "alice", qty: int = 1, epoch: int = 1) -> list[Any]:
        return await self.run("hold", "st h x u", epoch, rid, shopper, qty, 2, SOFT_MS, NOW_MS)

    async def confirm(self, *rids: str, epoch: int = 1) -> list[Any]:
        return await self.run("confirm", "st h x", epoch, json.dumps(rids))

    async def release(self, rid: str, *, kept: int = 0, epoch: int = 1) -> list[Any]:
        return await self.run("release", "st h x u", epoch, rid, kept)

    async def offer(self, rid: str, *, shopper: str = "bob", qty: int = 1, seen: int = 0, epoch: int = 1) -> list[Any]:
        return await self.run("offer", "st h u", epoch, rid, shopper, qty, seen)

    async def sweep(self, now_ms: int, *, most: int = 100, epoch: int = 1) -> list[Any]:
        return await self.run("sweep", "st h x u", epoch, most, now_ms)

    async def resize(self, total: int, *, version: int, epoch: int = 1) -> list[Any]:
        return await self.run("resize", "st", epoch, total, version)

    async def reconcile(self, seen: int, free: int, *, total: int = 10, version: int = 1, epoch: int = 1) -> list[Any]:
        return await self.run("reconcile", "st x", epoch, seen, free, total, version)

    async def everything(self) -> dict[str, Any]:
        """Return all that Redis holds of this stock, to see that nothing changed."""
        client = self.redis.client
        return {
            "st": await client.hgetall(self.keys["st"]),
            "h": await client.hgetall(self.keys["h"]),
            "x": await client.zrange(self.keys["x"], 0, -1, withscores=True),
            "u": await client.hgetall(self.keys["u"]),
        }

    async def avail(self) -> int:
        return int((await self.everything())["st"]["avail"])
