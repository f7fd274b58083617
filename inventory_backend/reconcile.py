"""Compare ledger, Redis and gateway: `python -m inventory_backend reconcile -c FILE [--dry-run] [--since 3d]`."""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from inventory_backend.app import ledger_settings
from inventory_backend.config import Config, read
from inventory_backend.differences import Difference, Repair
from inventory_backend.ledger.ledger import Ledger, opened
from inventory_backend.ledger.own_name import own_name
from inventory_backend.payments import opening
from inventory_backend.payments.reconciliation import WINDOW_MS, Account, Reconciliation
from inventory_backend.stock.comparison import compared
from inventory_backend.stock.stock import Stock
from waitroom.kernel.clock import Clock, SystemClock
from waitroom.kernel.embedded import EmbeddedServer
from waitroom.kernel.errors import ConfigFault, StoreUnavailable, WaitroomError
from waitroom.kernel.redis import RedisSettings, connected
from waitroom.kernel.units import duration_ms

_HEADS = ("WHAT", "WHICH", "LEDGER", "ELSEWHERE", "REPAIR")


def main(arguments: Sequence[str]) -> int:
    """Report every difference, repair what is safe; 1 when some are left, 2 when the books cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m inventory_backend reconcile", description=__doc__)
    parser.add_argument("-c", "--config", type=Path, required=True, metavar="FILE", help="see config/inventory.toml")
    parser.add_argument("--dry-run", action="store_true", help="change nothing")
    parser.add_argument("--since", type=duration_ms, default=WINDOW_MS, metavar="3d", help="how far back to look")
    chosen = parser.parse_args(arguments)
    os.umask(0o077)
    try:
        config = read(chosen.config, os.environ)
        return asyncio.run(_reconciled(config, chosen.since, SystemClock(), is_dry=chosen.dry_run))
    except ConfigFault as refused:
        sys.stderr.writelines(f"{fault}\n" for fault in refused.faults)
    except WaitroomError as fault:
        sys.stderr.write(f"{fault}\n")
    return 2


async def _reconciled(config: Config, since_ms: int, clock: Clock, *, is_dry: bool) -> int:
    async with opened(ledger_settings(config), clock) as ledger, aiohttp.ClientSession() as session:
        shop = await ledger.write(own_name)
        gateway = opening.gateway(config.payments, session, shop, clock)
        books = Reconciliation(ledger, Account(config.payments.provider, gateway, shop), lambda _pid: None)
        told = list[Difference]()
        async for found in books.differences(ledger.now_ms() - since_ms):
            told.append(found.difference)
            if not is_dry:
                await books.repair(found)
        is_whole = await _stock_too(config, ledger, told, is_dry=is_dry)
    sys.stdout.writelines(f"{line}\n" for line in _table(told))
    left = sum(is_dry or one.repair is Repair.LOOK for one in told)
    sys.stdout.write(f"{len(told)} differences, {len(told) - left} repaired\n" if told else "the books agree\n")
    return 2 if not is_whole else min(left, 1)


async def _stock_too(config: Config, ledger: Ledger, told: list[Difference], *, is_dry: bool) -> bool:
    """Add what differs in Redis to `told`; False when it cannot be asked."""
    sales = [one.as_rules() for one in config.sales]
    try:
        async with _stock(config) as stock:
            told += await compared(ledger, stock, sales, is_mended=not is_dry)
    except StoreUnavailable as fault:
        sys.stderr.write(f"the stock in Redis was not compared: {fault}\n")
        return False
    return True


@asynccontextmanager
async def _stock(config: Config) -> AsyncIterator[Stock]:
    """Give the stock of the till that runs; where it has a server of its own, that one, and none is started."""
    url = config.redis.url or EmbeddedServer(config.redis.folder or Path("inventory-data")).url
    async with connected(RedisSettings(url, config.redis.max_connections, config.redis.timeout_ms)) as scripts:
        yield Stock(scripts)


def _table(told: Sequence[Difference]) -> list[str]:
    """Return `told` in columns, the widest first word deciding; nothing where there is nothing."""
    if not told:
        return []
    rows = [_HEADS, *((one.kind, one.subject, one.ledger, one.other, one.repair) for one in told)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
