"""A server that speaks drand's JSON: it signs nothing, but its numbers hang together as a beacon's do."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from struct import pack
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

PUBLIC_KEY, GROUP_HASH, NAME = "ab" * 96, "cd" * 32, "testnet"


@dataclass
class Drand:
    """One chain. `now_round` bounds what is out; the rest is how it fails."""

    genesis_s: int = 1_600_000_000
    period_s: int = 3
    now_round: int = 1 << 40
    changes: dict[str, Any] = field(default_factory=dict)
    info_changes: dict[str, Any] = field(default_factory=dict)
    body: bytes | None = None
    status: int = 200
    hangs: bool = False
    asked: list[str] = field(default_factory=list)
    url: str = ""

    @property
    def chain_hash(self) -> str:
        told = pack(">Iq", self.period_s, self.genesis_s) + bytes.fromhex(PUBLIC_KEY + GROUP_HASH) + NAME.encode()
        return hashlib.sha256(told).hexdigest()

    def round(self, number: int) -> dict[str, Any]:
        signature = hashlib.sha256(f"{self.chain_hash} {number}".encode()).digest() + bytes(16)
        randomness = hashlib.sha256(signature).hexdigest()
        return {"round": number, "randomness": randomness, "signature": signature.hex()}

    def settings(self, **more: Any) -> dict[str, Any]:
        """Return the `[rooms.beacon]` that names this chain."""
        return {
            "kind": "drand",
            "urls": [self.url],
            "chain_hash": self.chain_hash,
            "genesis_ms": self.genesis_s * 1000,
            "period_ms": self.period_s * 1000,
            **more,
        }

    async def info(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        chain = {
            "public_key": PUBLIC_KEY,
            "period": self.period_s,
            "genesis_time": self.genesis_s,
            "hash": self.chain_hash,
            "groupHash": GROUP_HASH,
            "schemeID": "bls-unchained-g1-rfc9380",
            "metadata": {"beaconID": NAME},
        }
        return web.json_response(chain | self.info_changes)

    async def public(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        if self.hangs:
            await asyncio.Event().wait()
        number = int(request.match_info["round"])
        if number > self.now_round or request.match_info["chain"] != self.chain_hash:
            return web.json_response({"error": "no such round"}, status=404)
        if self.body is not None:
            return web.Response(body=self.body, status=self.status)
        return web.json_response(self.round(number) | self.changes, status=self.status)


@asynccontextmanager
async def drand_running(**how: Any) -> AsyncIterator[Drand]:
    drand = Drand(**how)

    async def info(request: web.Request) -> web.StreamResponse:
        return await drand.info(request)

    async def public(request: web.Request) -> web.StreamResponse:
        return await drand.public(request)

    app = web.Application()
    app.add_routes([web.get("/{chain}/info", info), web.get("/{chain}/public/{round}", public)])
    async with TestServer(app, host="127.0.0.1") as server:
        drand.url = str(server.make_url("/")).rstrip("/")
        yield drand
