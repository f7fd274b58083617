"""Look at how many units there are, and change it while the till sells: `python -m inventory_backend stock`."""

import argparse
import asyncio
import getpass
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from inventory_backend.app import ledger_settings
from inventory_backend.config import Config, read
from inventory_backend.ledger import supply
from inventory_backend.ledger.ledger import opened
from inventory_backend.ledger.stock_changes import Change, Name, Origin
from inventory_backend.ledger.supply import Entry, Supply
from inventory_backend.sales import MOST_UNITS, SHARD
from waitroom.kernel.clock import Clock, SystemClock
from waitroom.kernel.errors import ConfigFault, StoreUnavailable
from waitroom.kernel.units import spell_instant

_LONGEST_WHY = 200
_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stands with one sku."""

    name: Name
    units: Supply
    held: int
    sold: int

    def __str__(self) -> str:
        """Return a line for ops."""
        counts = f"total {self.units.total}, free {self.units.free}, held {self.held}, sold {self.sold}"
        return f"{self.name[0]} {self.name[1]}: {counts}"


def main(arguments: Sequence[str]) -> int:
    """Show stock, or change it; 1 when it cannot be changed so, 2 when the ledger cannot be used."""
    chosen = _parsed(arguments)
    os.umask(0o077)
    try:
        config = read(chosen.config, os.environ)
        return asyncio.run(_carried_out(config, chosen, SystemClock()))
    except ConfigFault as refused:
        sys.stderr.writelines(f"{fault}\n" for fault in refused.faults)
    except StoreUnavailable as fault:
        sys.stderr.write(f"{fault}\n")
    return 2


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m inventory_backend stock", description=__doc__)
    parser.add_argument("-c", "--config", type=Path, required=True, metavar="FILE", help="see config/inventory.toml")
    parser.add_argument("sale", nargs="?", metavar="SALE", help="without it, all stock is shown")
    parser.add_argument("sku", nargs="?", metavar="SKU", help="shown with all its changes, or changed by one of these:")
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--add", type=_units, metavar="N", help="so many more; below 0, fewer")
    amount.add_argument("--set", type=_units, metavar="N", dest="total", help="so many in all, sold ones among them")
    parser.add_argument("--why", type=_text(_LONGEST_WHY), metavar="TEXT", help="goes on record with the change")
    parser.add_argument("--by", type=_text(_LONGEST_NAME), metavar="NAME", default=_somebody(), help="who you are")
    chosen = parser.parse_args(arguments)
    if chosen.sale is not None and chosen.sku is None:
        parser.error("name a SKU of this sale too")
    if (chosen.add is not None or chosen.total is not None) and (chosen.sku is None or not chosen.why):
        parser.error("to change stock, name SALE and SKU, and say --why")
    return chosen


async def _carried_out(config: Config, chosen: argparse.Namespace, clock: Clock) -> int:
    name = (chosen.sale, chosen.sku)
    async with opened(ledger_settings(config), clock) as ledger:
        known = await ledger.read(_standings)
        if chosen.sale is None:
            sys.stdout.writelines(f"{one}\n" for one in known.values())
            return 0
        if name not in known:
            sys.stderr.write(f"there is no {chosen.sku} in a sale {chosen.sale}\n")
            return 1
        if chosen.add is None and chosen.total is None:
            changes = await ledger.read(lambda connection: supply.entries(connection, name))
            sys.stdout.writelines((f"{known[name]}\n", *map(_line, changes)))
            return 0
        asked = Change(chosen.add or 0, Origin.OPS, chosen.by, chosen.why, ledger.now_ms())
        is_done, now = await ledger.write(lambda connection: _changed(connection, name, asked, chosen.total))
    if is_done:
        sys.stdout.write(f"{now}\n")
        return 0
    sys.stderr.write(f"refused: {now}; what is held or sold cannot be taken away, nor can there be over {MOST_UNITS}\n")
    return 1


def _changed(connection: Connection, name: Name, asked: Change, total: int | None) -> tuple[bool, Standing]:
    if total is None:
        is_done = supply.change(connection, name, asked)
    else:
        is_done = supply.set_total(connection, name, total, asked)
    return is_done, _standing(connection, name)


def _standings(connection: Connection) -> dict[Name, Standing]:
    return {name: _standing(connection, name) for name in supply.by_sku(supply.supplies(connection))}


def _standing(connection: Connection, name: Name) -> Standing:
    return Standing(name, supply.by_sku(supply.supplies(connection))[name], *supply.taken(connection, name))


def _line(one: Entry) -> str:
    where = f" on {one.shard}" if SHARD in one.shard else ""
    return f"  {spell_instant(one.at_ms)}  {one.delta:+}{where}  {one.origin} by {one.actor}: {one.why}\n"


def _units(text: str) -> int:
    found = int(text)
    if abs(found) > MOST_UNITS:
        raise argparse.ArgumentTypeError(f"at most {MOST_UNITS} units")
    return found


def _text(longest: int) -> Callable[[str], str]:
    def checked(text: str) -> str:
        if not 1 <= len(text) <= longest or not text.isprintable():
            raise argparse.ArgumentTypeError(f"1 to {longest} printable characters")
        return text

    return checked


def _somebody() -> str:
    try:
        return getpass.getuser()[:_LONGEST_NAME]
    except (KeyError, OSError):  # a container whose user has no name
        return f"uid {os.getuid()}"
