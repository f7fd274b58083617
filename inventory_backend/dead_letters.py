"""Look at confirmations that were given up, and send them again: `python -m inventory_backend dead-letters`."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from inventory_backend.app import ledger_settings
from inventory_backend.config import Config, read
from inventory_backend.ledger import deliveries
from inventory_backend.ledger.deliveries import DeadLetter
from inventory_backend.ledger.ledger import opened
from waitroom.kernel.clock import Clock, SystemClock
from waitroom.kernel.errors import ConfigFault, StoreUnavailable
from waitroom.kernel.units import spell_instant


def main(arguments: Sequence[str]) -> int:
    """List dead letters, or send one again; 1 when there is no such one, 2 when the ledger cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m inventory_backend dead-letters", description=__doc__)
    parser.add_argument("-c", "--config", type=Path, required=True, metavar="FILE", help="see config/inventory.toml")
    parser.add_argument("--retry", type=int, metavar="ID", help="send this one again; its receiver is live again")
    chosen = parser.parse_args(arguments)
    os.umask(0o077)
    try:
        config = read(chosen.config, os.environ)
        return asyncio.run(_carried_out(config, chosen.retry, SystemClock()))
    except ConfigFault as refused:
        sys.stderr.writelines(f"{fault}\n" for fault in refused.faults)
    except StoreUnavailable as fault:
        sys.stderr.write(f"{fault}\n")
    return 2


async def _carried_out(config: Config, serial: int | None, clock: Clock) -> int:
    async with opened(ledger_settings(config), clock) as ledger:
        if serial is None:
            found = await ledger.read(deliveries.dead_letters)
            sys.stdout.writelines(map(_line, found))
            return 0
        if await ledger.write(lambda connection: deliveries.retry(connection, serial, clock.now_ms())):
            sys.stdout.write(f"{serial} is sent again\n")
            return 0
    sys.stderr.write(f"{serial} is no dead letter\n")
    return 1


def _line(dead: DeadLetter) -> str:
    tries = f"{dead.tries} tries" if dead.tries != 1 else "1 try"
    return (
        f"{dead.serial}  {spell_instant(dead.dead_ms)}  {dead.sink}  {dead.kind}  {dead.rid}  {tries}  {dead.fault}\n"
    )
