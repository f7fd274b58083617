"""`waitroom verify`: check a draw, and one's own place in it, from what was published."""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from aiohttp import ClientError, ClientSession, ClientTimeout
from itsdangerous import BadData, URLSafeSerializer
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from waitroom.cli import Commands
from waitroom.kernel.errors import ConfigFault
from waitroom.rules.verification import Check, Outcome, Proof, is_right, verify

_LIMIT_S = 15.0
_LIMIT_BYTES = 4 * 1024 * 1024
_NOT_OVER = 3
_MARKS = {Outcome.FITS: ("✓", "green"), Outcome.WRONG: ("✗", "bold red"), Outcome.OPEN: ("…", "yellow")}
_STATUSES = "exit status: 0 everything fits, 1 something does not, 2 nothing could be read, 3 not everything is out yet"


def add(commands: Commands) -> None:
    """Tell argparse what this command takes."""
    told = "check a draw, and your own place in it, without believing anybody"
    parser = commands.add_parser("verify", help=told, description=told, epilog=_STATUSES)
    parser.add_argument("--ticket", required=True, metavar="TICKET", help="a ticket id, or the ticket itself")
    where = "a file, a URL such as https://shop.example/.waitroom/drop/proof, or - for standard input"
    parser.add_argument("--proof", required=True, metavar="FILE|URL", help=where)
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    parser.set_defaults(run=run)


def run(asked: argparse.Namespace) -> int:
    """Print every check; return 0 where all fit, 1 where one does not, 3 where nothing is wrong but some are open."""
    ticket_id = ticket_id_of(asked.ticket)
    proof = _read(asked.proof, ticket_id)
    checks = verify(proof, ticket_id)
    if asked.json:
        print(json.dumps([{"check": c.name, "outcome": c.outcome, "told": c.told} for c in checks], indent=2))
    else:
        _print(proof, checks)
    if not is_right(checks):
        return 1
    return _NOT_OVER if any(check.outcome is Outcome.OPEN for check in checks) else 0


def ticket_id_of(text: str) -> str:
    """Return the id in `text`, which may be the signed ticket: whether that was signed by us does not matter here.

    Raises:
        ConfigFault: it is neither.
    """
    if "." not in text:
        if text and text.isascii() and text.isprintable():
            return text
        raise ConfigFault(["--ticket: give a ticket id, or the ticket itself"])
    try:
        fields = URLSafeSerializer("").loads_unsafe(text)[1]
    except (BadData, ValueError):
        fields = None
    if not isinstance(fields, list) or len(fields) < 4 or not isinstance(fields[3], str):
        raise ConfigFault(["--ticket: this is no ticket of a waiting room; it may be cut short"])
    return fields[3]


def _print(proof: Proof, checks: list[Check]) -> None:
    screen = Console(highlight=False, soft_wrap=True)
    screen.print(Text(f"the draw of {proof.room}, {proof.event}"))
    width = max(len(check.name) for check in checks)
    for check in checks:
        mark, style = _MARKS[check.outcome]
        screen.print(Text(f"{mark} {check.name.ljust(width)}  ", style), Text(check.told), sep="")
    if not is_right(checks):
        screen.print(Text("This draw was NOT what was promised.", "bold red"))
    elif any(check.outcome is Outcome.OPEN for check in checks):
        screen.print(Text("Nothing is wrong; not everything is out yet.", "yellow"))
    else:
        screen.print(Text("Everything fits.", "bold green"))


def _read(where: str, ticket_id: str) -> Proof:
    """Return the proof in a file, on standard input, or at a URL.

    Raises:
        ConfigFault: it cannot be read, or is no proof.
    """
    if where.startswith(("http://", "https://")):
        text = asyncio.run(_fetched(where, ticket_id))
    else:
        try:
            text = sys.stdin.read(_LIMIT_BYTES) if where == "-" else Path(where).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as fault:
            raise ConfigFault([f"--proof: {where} cannot be read: {fault}"]) from None
    try:
        return Proof.model_validate_json(text)
    except ValidationError as refused:
        faults = [f"--proof: {'.'.join(map(str, fault['loc'])) or where}: {fault['msg']}" for fault in refused.errors()]
        raise ConfigFault(faults[:10]) from None


async def _fetched(url: str, ticket_id: str) -> str:
    """Return the proof of the ticket; where there is none (yet), that of everybody."""
    parts = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    own = urlunsplit(parts._replace(query=urlencode(query | {"ticket_id": ticket_id})))
    async with ClientSession(timeout=ClientTimeout(total=_LIMIT_S)) as session:
        status, text = await _get(session, own)
        if status != 200:
            status, text = await _get(session, url)
    if status == 200:
        return text
    raise ConfigFault([f"--proof: {url} answered with status {status}"])


async def _get(session: ClientSession, url: str) -> tuple[int, str]:
    body = bytearray()
    try:
        async with session.get(url, headers={"Accept": "application/json"}) as answer:
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > _LIMIT_BYTES:
                    raise ConfigFault([f"--proof: {url} is larger than any proof"])
            return answer.status, body.decode("utf-8", "replace")
    except (ClientError, TimeoutError, OSError, ValueError) as fault:
        raise ConfigFault([f"--proof: {url} does not answer: {str(fault) or type(fault).__name__}"]) from None
