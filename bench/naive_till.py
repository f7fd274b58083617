"""The way a reserve is written first: a row lock, an insert and an update for each request, on PostgreSQL.

It reads the same request, checks the same pass and answers as much as ours. It keeps no limit a shopper, no audit and
no answer under an idempotency key: the peer does less.
"""

import json
import sys
import uuid
from collections.abc import AsyncIterator

import asyncpg
import uvloop
from aiohttp import web

from bench.parts import SECRET
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.tokens import Keys, UpstreamPassSigner

_TABLES = """
CREATE TABLE sku (sku text PRIMARY KEY, total bigint NOT NULL, allocated bigint NOT NULL);
CREATE TABLE reservation (rid uuid PRIMARY KEY, sku text NOT NULL, shopper text NOT NULL, qty int NOT NULL);
"""
_CONNECTIONS = 32


class NaiveTill:
    """One route."""

    def __init__(self, url: str, stock: int) -> None:
        """Sell `stock` sneakers out of the database at `url`."""
        self._url, self._stock = url, stock
        self._signer, self._clock = UpstreamPassSigner(Keys([SECRET.encode()])), SystemClock()

    async def opened(self, _app: web.Application) -> AsyncIterator[None]:
        async with asyncpg.create_pool(self._url, min_size=_CONNECTIONS, max_size=_CONNECTIONS) as self._pool:
            await self._pool.execute(_TABLES)
            await self._pool.execute("INSERT INTO sku VALUES ('sneaker', $1, 0)", self._stock)
            yield

    async def reserve(self, request: web.Request) -> web.Response:
        now_ms = self._clock.now_ms()
        shopper = self._signer.verify(request.headers["Waitroom-Pass"], room="drop", now_ms=now_ms)
        line, rid = json.loads(await request.read())["lines"][0], uuid.uuid4()
        async with self._pool.acquire() as connection, connection.transaction():
            stock = "SELECT total, allocated FROM sku WHERE sku = $1 FOR UPDATE"
            row = await connection.fetchrow(stock, line["sku"])
            if row["allocated"] + line["qty"] > row["total"]:
                return web.json_response({"type": "urn:waitroom:problem:sold-out"}, status=409)
            held = "INSERT INTO reservation VALUES ($1, $2, $3, $4)"
            await connection.execute(held, rid, line["sku"], shopper.session_id, line["qty"])
            counted = "UPDATE sku SET allocated = allocated + $2 WHERE sku = $1"
            await connection.execute(counted, line["sku"], line["qty"])
        told = {"reservation_id": str(rid), "sale": "drop", "lines": [line], "status": "held"}
        return web.json_response(told | {"total": {"amount": 100, "currency": "EUR"}}, status=201)

    async def ready(self, _request: web.Request) -> web.Response:
        return web.Response()


def main() -> None:
    """Serve until it is stopped: `python -m bench.naive_till PORT URL STOCK`."""
    port, url, stock = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    till, app = NaiveTill(url, stock), web.Application()
    app.cleanup_ctx.append(till.opened)
    app.router.add_post("/checkout/reserve", till.reserve)
    app.router.add_get("/readyz", till.ready)
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, backlog=2048, loop=uvloop.new_event_loop())


if __name__ == "__main__":
    main()
