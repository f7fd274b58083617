"""Send the money of an order back: `python -m inventory_backend refund -c FILE ORDER_ID --why TEXT`."""

import argparse
import asyncio
import getpass
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from inventory_backend.app import ledger_settings
from inventory_backend.config import Config, read
from inventory_backend.ledger import refunds
from inventory_backend.ledger.holds import Note
from inventory_backend.ledger.ledger import opened
from inventory_backend.ledger.refunds import Refunding
from waitroom.kernel.clock import Clock, SystemClock
from waitroom.kernel.errors import ConfigFault, StoreUnavailable

_LONGEST_WHY = 200
_LONGEST_NAME = 60
_TOLD = {
    Refunding.BEGUN: "the whole amount goes back; a till that runs sends it now, else the next that starts",
    Refunding.KNOWN: "was refunded before",
    Refunding.NOT_FOUND: "is no order",
    Refunding.NOT_PAID: "is not paid",
}


def main(arguments: Sequence[str]) -> int:
    """Begin a refund; 1 when there is nothing to refund, 2 when the ledger cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m inventory_backend refund", description=__doc__)
    parser.add_argument("-c", "--config", type=Path, required=True, metavar="FILE", help="see config/inventory.toml")
    parser.add_argument("order", metavar="ORDER_ID", help="as it stands on the receipt")
    parser.add_argument("--why", type=_sentence, required=True, metavar="TEXT", help="for the audit")
    parser.add_argument("--by", type=_name, metavar="NAME", help="who decided it; without it, who is signed in here")
    chosen = parser.parse_args(arguments)
    os.umask(0o077)
    try:
        config = read(chosen.config, os.environ)
        actor = f"ops:{chosen.by or getpass.getuser()}"
        return asyncio.run(_begun(config, chosen.order, actor, chosen.why, SystemClock()))
    except ConfigFault as refused:
        sys.stderr.writelines(f"{fault}\n" for fault in refused.faults)
    except StoreUnavailable as fault:
        sys.stderr.write(f"{fault}\n")
    return 2


async def _begun(config: Config, order: str, actor: str, why: str, clock: Clock) -> int:
    async with opened(ledger_settings(config), clock) as ledger:
        note = Note(actor, ledger.now_ms(), "refunded", why)
        word, _ = await ledger.write(partial(refunds.refund, order=order, note=note))
    is_done = word in {Refunding.BEGUN, Refunding.KNOWN}
    (sys.stdout if is_done else sys.stderr).write(f"{order}: {_TOLD[word]}\n")
    return 0 if is_done else 1


def _sentence(text: str) -> str:
    return _printable(text, _LONGEST_WHY)


def _name(text: str) -> str:
    return _printable(text, _LONGEST_NAME)


def _printable(text: str, most: int) -> str:
    text = text.strip()
    if not text or len(text) > most or not text.isprintable():
        raise argparse.ArgumentTypeError(f"must be 1 to {most} characters on one line")
    return text
