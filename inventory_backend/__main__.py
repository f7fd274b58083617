"""Start the till: `python -m inventory_backend -c FILE`; or do one of the things that are done beside it."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

import uvloop

from inventory_backend import books, dead_letters, reconcile, refund, stocktaking
from inventory_backend.app import ledger_settings, run
from inventory_backend.config import Config, read, upstream_signer
from inventory_backend.ledger.ledger import migrated
from waitroom.kernel import logs
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.errors import ConfigFault

_ACTS = {
    "books": books.main,
    "dead-letters": dead_letters.main,
    "reconcile": reconcile.main,
    "refund": refund.main,
    "stock": stocktaking.main,
}
"""What is done beside a till that runs; each reads its own arguments."""


def main() -> int:
    """Serve until SIGTERM; 2 when the configuration cannot be used."""
    if sys.argv[1:2] and (act := _ACTS.get(sys.argv[1])):
        return act(sys.argv[2:])
    parser = argparse.ArgumentParser(prog="python -m inventory_backend", description=__doc__)
    parser.add_argument("act", nargs="?", choices=["serve", "migrate"], default="serve", help="what to do")
    parser.add_argument("--to", default="head", metavar="STEP", help="migrate to this step, up or down (0001, 0002, …)")
    parser.add_argument("-c", "--config", type=Path, required=True, metavar="FILE", help="see config/inventory.toml")
    chosen = parser.parse_args()
    os.umask(0o077)  # the ledger says who bought what: its file is for our eyes only
    try:
        config = read(chosen.config, os.environ)
        logs.setup(config.logs.level, as_json=config.logs.as_json)
        if chosen.act == "migrate":
            return _migrate(config, chosen.to)
        signer = upstream_signer(config, os.environ)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(config, signer, SystemClock()))
    except ConfigFault as refused:
        for fault in refused.faults:
            sys.stderr.write(f"{fault}\n")
        return 2
    return 0


def _migrate(config: Config, to: str) -> int:
    if to == "base":
        raise ConfigFault(["--to base: would take away every order; drop the database by hand if you mean it"])
    reached = asyncio.run(migrated(ledger_settings(config), to))
    sys.stdout.write(f"the ledger stands at {reached}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
