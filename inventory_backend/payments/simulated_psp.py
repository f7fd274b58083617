"""Start the simulated gateway: `python -m inventory_backend.payments.simulated_psp --listen 127.0.0.1:9100`.

With `--file` it remembers its charges when it is started again. Never expose it: it knows nobody and trusts everybody.
"""

import argparse
import logging
import os
import sqlite3
from pathlib import Path

from aiohttp import web

from inventory_backend.paying import SIMULATED_SECRET_VARIABLE
from inventory_backend.payments.simulated_books import Books
from inventory_backend.payments.simulated_cards import Behaviour
from inventory_backend.payments.simulated_events import Postman, hearing_till
from inventory_backend.payments.simulated_server import SimulatedGatewayServer
from waitroom.kernel import logs
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.ports import listening
from waitroom.kernel.settings import read_private
from waitroom.kernel.units import address, duration_ms

log = logging.getLogger(__name__)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m inventory_backend.payments.simulated_psp", description=__doc__)
    parser.add_argument("--listen", type=address, default=address("127.0.0.1:9100"), help="host:port; loopback only")
    parser.add_argument("--slow", type=duration_ms, default=3000, metavar="3s", help="how long card_slow takes")
    parser.add_argument("--pause", type=duration_ms, default=2000, metavar="2s", help="how long card_3ds takes")
    parser.add_argument("--late", type=duration_ms, default=2000, metavar="2s", help="how late card_late comes")
    parser.add_argument("--file", type=Path, help="where it keeps its charges; without it they end with the process")
    parser.add_argument("--webhook", default="", metavar="URL", help="whom it tells: http://…/webhooks/simulated")
    parser.add_argument("--webhook-secret-file", type=Path, help="a file (mode 0600) with the secret it signs with")
    told = f"instead: the settings of the till that it tells, signed with what is in {SIMULATED_SECRET_VARIABLE}"
    parser.add_argument("--till", type=Path, metavar="FILE", help=told)
    return parser


def _asked(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Return the arguments; ends the process where they do not go together."""
    chosen = parser.parse_args()
    if not chosen.listen.is_loopback:
        parser.error("--listen: it trusts everybody, so it listens on this machine only (127.0.0.1)")
    if bool(chosen.webhook) != bool(chosen.webhook_secret_file):
        parser.error("--webhook and --webhook-secret-file go together")
    if chosen.webhook and chosen.till:
        parser.error("--webhook and --till: it tells one")
    return chosen


def main() -> None:
    """Serve until SIGTERM."""
    parser = _arguments()
    chosen = _asked(parser)
    logs.setup()
    os.umask(0o077)
    clock = SystemClock()
    try:
        books = Books(chosen.file)
        secret = read_private(chosen.webhook_secret_file).encode() if chosen.webhook else b""
        url, secret = hearing_till(chosen.till, os.environ) if chosen.till else (chosen.webhook, secret)
    except (OSError, sqlite3.Error) as fault:
        parser.error(f"--file: {chosen.file}: {fault}")
    except ConfigFault as fault:
        parser.error(f"--{'till' if chosen.till else 'webhook-secret-file'}: {fault}")
    try:
        sockets = listening(chosen.listen, setting="--listen")
    except ConfigFault as fault:
        parser.error(str(fault))
    postman = Postman(url, secret, clock, books.note_event)
    server = SimulatedGatewayServer(clock, Behaviour(chosen.slow, chosen.pause, chosen.late), books, postman)
    app = server.app()
    if url:
        app.cleanup_ctx.insert(0, server.telling)
    log.info("simulated gateway listens; no real money moves", extra={"at": str(chosen.listen)})
    web.run_app(app, sock=sockets, print=None, access_log=None)


if __name__ == "__main__":
    main()
