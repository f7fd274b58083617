"""Hold ledger, Redis and gateway against each other, to the unit and the cent: `python -m inventory_backend books`."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from inventory_backend.app import ledger_settings
from inventory_backend.balance import Sheet, Sum, compared
from inventory_backend.config import GATEWAY_VARIABLE, Config, read
from inventory_backend.ledger.ledger import opened
from inventory_backend.ledger.own_name import own_name
from inventory_backend.ledger.stock_changes import Name
from inventory_backend.ledger.tallies import Tallies, tally
from inventory_backend.payments import opening
from inventory_backend.payments.payments import GatewayUnavailable
from inventory_backend.prices import price_text
from inventory_backend.stock.glance import Glance, glance
from inventory_backend.stock.stock import StockKey
from waitroom.kernel.clock import Clock, SystemClock
from waitroom.kernel.errors import ConfigFault, StoreUnavailable
from waitroom.kernel.redis import RedisSettings, connected

_LOOK_BACK_MS = 60_000
"""The gateway's clock may be behind ours by so much."""


@dataclass(frozen=True, slots=True)
class Books:
    """All of it: the ledger, what Redis has (nothing where it cannot be looked at), and what does not agree."""

    tallies: Tallies
    free: Mapping[Name, Glance]
    sheet: Sheet

    def as_json(self) -> dict[str, object]:
        """Return the books for machines; money in minor units."""
        return {
            "balanced": self.sheet.is_balanced,
            "skus": [
                {
                    "sale": name[0],
                    "sku": name[1],
                    "total": one.total,
                    "allocated": one.allocated,
                    "sold": one.sold,
                    "held": one.held,
                    "aside": one.aside,
                    "free": one.free,
                    "free_in_redis": self.free[name].free if name in self.free else None,
                }
                for name, one in self.tallies.units.items()
            ],
            "money": [
                {"currency": currency} | {book: _sum(sums, currency) for book, sums in self._sums().items()}
                for currency in self._currencies()
            ],
            "payments_under_way": self.sheet.under_way,
            "payments_elsewhere": self.sheet.elsewhere,
            "differences": list(self.sheet.differences),
        }

    def as_tables(self) -> RenderableType:
        """Return the books for people."""
        units = Table("sale", "sku", box=None, pad_edge=False, header_style="bold")
        for head in ("total", "allocated", "sold", "held", "aside", "free", "free in redis"):
            units.add_column(head, justify="right")
        for name, one in self.tallies.units.items():
            in_redis = f"{self.free[name].free:,}" if name in self.free else "-"
            counts = (one.total, one.allocated, one.sold, one.held, one.aside, one.free)
            units.add_row(*map(Text, name), *(f"{count:,}" for count in counts), in_redis)
        money = Table("money", "book", box=None, pad_edge=False, header_style="bold")
        for head in ("captured", "refunded", "kept"):
            money.add_column(head, justify="right")
        for currency in self._currencies():
            for book, sums in self._sums().items():
                money.add_row(currency, book, *_prices(sums.get(currency, Sum()), currency))
        said = [Text(f"does not balance: {told}", style="red") for told in self.sheet.differences]
        verdict = said or [Text("the books balance", style="green")]
        moving = [Text(f"payments under way, not compared: {self.sheet.under_way}")] if self.sheet.under_way else []
        others = [Text(f"payments elsewhere, not compared: {self.sheet.elsewhere}")] if self.sheet.elsewhere else []
        return Group(units, "", money, "", *moving, *others, *verdict)

    def _sums(self) -> Mapping[str, Mapping[str, Sum]]:
        return {"ledger": self.sheet.ledger, "gateway": self.sheet.gateway}

    def _currencies(self) -> list[str]:
        return sorted(self.sheet.ledger.keys() | self.sheet.gateway.keys())


def main(arguments: Sequence[str]) -> int:
    """Print the books; 1 when something does not balance, 2 when ledger or gateway cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m inventory_backend books", description=__doc__)
    parser.add_argument("-c", "--config", type=Path, required=True, metavar="FILE", help="see config/inventory.toml")
    parser.add_argument("--json", action="store_true", dest="is_json", help="for machines; money in minor units")
    chosen = parser.parse_args(arguments)
    os.umask(0o077)
    try:
        found = asyncio.run(_looked_up(read(chosen.config, os.environ), SystemClock()))
    except ConfigFault as refused:
        sys.stderr.writelines(f"{fault}\n" for fault in refused.faults)
        return 2
    except (StoreUnavailable, GatewayUnavailable) as fault:
        sys.stderr.write(f"{fault}\n")
        return 2
    if chosen.is_json:
        sys.stdout.write(f"{json.dumps(found.as_json(), indent=2)}\n")
    else:
        Console(highlight=False, soft_wrap=True).print(found.as_tables())
    return 0 if found.sheet.is_balanced else 1


async def _looked_up(config: Config, clock: Clock) -> Books:
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(opened(ledger_settings(config), clock))
        session = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
        before = await ledger.read(tally)
        since_ms = min((one.created_ms for one in before.payments.values()), default=ledger.now_ms()) - _LOOK_BACK_MS
        shop = await ledger.write(own_name)
        gateway = opening.gateway(config.payments, session, shop, clock)
        try:
            charges = [one async for one in gateway.listed(since_ms) if one.shop in {"", shop}]
        except GatewayUnavailable as fault:
            raise GatewayUnavailable(f"{fault}{_where(config)}") from fault
        free = await _in_redis(config, before)
        after = await ledger.read(tally)
    return Books(after, free, compared(before, {config.payments.provider: charges}, free, after))


def _where(config: Config) -> str:
    """Return where the gateway was looked for; that of `waitroom serve` or `demo` has an address of its own."""
    if config.payments.provider != "simulated":
        return ""
    told = "says where it is in its log (simulated gateway listens)"
    return f"\nasked at {config.payments.url}; `waitroom serve` or `demo` {told}: set {GATEWAY_VARIABLE} to that"


async def _in_redis(config: Config, tallies: Tallies) -> Mapping[Name, Glance]:
    """Return the stock in Redis; nothing where it is away, as no promise stands on it."""
    url = config.redis.url
    if not url:
        socket = (config.redis.folder or Path("inventory-data")).absolute() / "valkey.sock"
        if not socket.exists():
            return {}
        url = f"unix://{socket}"
    keys = [StockKey(sale, sku, tallies.epochs[sale]) for sale, sku in tallies.units]
    try:
        async with connected(RedisSettings(url, 1, config.redis.timeout_ms)) as scripts:
            return await glance(scripts, keys)
    except StoreUnavailable:
        return {}


def _sum(sums: Mapping[str, Sum], currency: str) -> dict[str, int]:
    one = sums.get(currency, Sum())
    return {"captured": one.captured, "refunded": one.refunded, "kept": one.kept}


def _prices(one: Sum, currency: str) -> list[str]:
    return [price_text({"amount": amount, "currency": currency}) for amount in (one.captured, one.refunded, one.kept)]
