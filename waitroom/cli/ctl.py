"""`waitroom ctl`: see how the rooms stand and turn them while a sale runs, from a terminal."""

import argparse
import asyncio
import getpass
import json
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.live import Live
from rich.text import Text

from waitroom.cli import Commands, ctl_tables
from waitroom.cli.ctl_client import OpsClient, reaching
from waitroom.cli.processes import CONSOLE_TOKEN_VARIABLE
from waitroom.cli.serve import console_at
from waitroom.config import Config, read
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.errors import ConfigFault, WaitroomError
from waitroom.kernel.settings import read_private
from waitroom.kernel.units import duration_ms

URL_VARIABLE = "WAITROOM_OPS_URL"
DEFAULT_URL = "http://127.0.0.1:8081"
DEMO = Path(".demo/waitroom.toml")
"""A demo started from this folder is found without being told."""
_WATCH_S = 1.0
_WIDE = 160
_CHANGES = {
    "rate": "set how many are admitted a minute",
    "cap": "set how many may be inside at the same time",
    "pause": "call nobody until resumed; nobody loses a place",
    "resume": "go on calling, after a pause or an end",
    "spin": "turn the draw by what was drawn before a witness: once, after the opening",
    "message": "tell everybody in line something; an empty text takes it away",
    "end": "end the event for everybody who waits",
    "sold-out": "say that all is sold: nobody is called until resumed; nobody loses a place",
    "close": "refuse everybody, also who is inside, until resumed",
    "open-all": "let everybody through for a while, whatever the limits say",
    "revoke-all": "end every session: who is inside waits again",
    "revoke": "end one session: its pass is worth nothing any more",
}


def add(commands: Commands) -> None:
    """Tell argparse what this command takes."""
    told = "see how the rooms stand, and turn them while a sale runs"
    parser = commands.add_parser("ctl", help=told, parents=[_shared(None)])
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    shared = _shared(argparse.SUPPRESS)  # given after the verb they hold, left out they keep what stood before it
    status = verbs.add_parser("status", parents=[shared], help="show all rooms, or one")
    status.add_argument("room", nargs="?", metavar="ROOM")
    status.add_argument("-w", "--watch", action="store_true", help="show it anew every second, until Ctrl-C")
    audit = verbs.add_parser("audit", parents=[shared], help="show who changed what, and why")
    audit.add_argument("room", metavar="ROOM")
    audit.add_argument("--count", type=int, default=20, metavar="N", help="how many of the newest (20)")
    invite = verbs.add_parser("invite", parents=[shared], help="make codes that let visitors stand in lane priority")
    invite.add_argument("room", metavar="ROOM")
    invite.add_argument("--event", required=True, metavar="EVENT", help='the event they are for, or "always"')
    invite.add_argument("--count", type=int, default=1, metavar="N", help="how many codes (1)")
    invite.add_argument("--uses", type=int, default=1, metavar="N", help="how often each; 0 is any number (1)")
    invite.add_argument("--until", type=_time, required=True, metavar="48h", help="how long they are good for")
    invite.add_argument("--why", default="", metavar="TEXT", help="goes into the audit")
    for verb, told in _CHANGES.items():
        change = verbs.add_parser(verb, parents=[shared], help=told)
        change.add_argument("room", metavar="ROOM")
        _add_value(change, verb)
        change.add_argument("--why", default="", metavar="TEXT", help="goes into the audit")
    parser.set_defaults(run=run)


def run(asked: argparse.Namespace) -> int:
    """Do what was asked; a refusal or silence of the listener is told in words."""
    config = _config(asked)
    url = _url(asked, config)
    try:
        asyncio.run(_speak(asked, url, _token(asked, config, url)))
        sys.stdout.flush()
    except BrokenPipeError:  # who read us has seen enough: `waitroom ctl audit drop | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


async def _speak(asked: argparse.Namespace, url: str, token: str) -> None:
    screen = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)
    async with reaching(url, token, asked.name or _login_name()) as client:
        match asked.verb:
            case "status" if asked.watch:
                await _watch(screen, client, asked.room)
            case "status":
                told = await _status(client, asked.room)
                _print(screen, asked, told, ctl_tables.rooms(told))
            case "audit":
                told = await client.audit(asked.room, asked.count)
                _print(screen, asked, told, ctl_tables.audit(told))
            case "invite":
                await _invite(client, asked)
            case _:
                await _change(screen, client, asked)


async def _status(client: OpsClient, name: str | None) -> dict[str, Any]:
    told = await client.rooms()
    if name is not None:
        found = [room for room in told["rooms"] if room["room"] == name]
        if not found:
            raise WaitroomError(f"there is no room {name}; there are: {', '.join(r['room'] for r in told['rooms'])}")
        told["rooms"] = found
    return told


async def _watch(screen: Console, client: OpsClient, name: str | None) -> None:
    clock = SystemClock()
    with Live(console=screen, auto_refresh=False) as live:
        while True:
            live.update(ctl_tables.rooms(await _status(client, name)), refresh=True)
            await clock.sleep(_WATCH_S)


async def _invite(client: OpsClient, asked: argparse.Namespace) -> None:
    """Print new codes, one a line."""
    body = {"event": asked.event, "count": asked.count, "uses": asked.uses, "for_s": asked.until / 1000}
    told = await client.change(asked.room, "invite", {**body, "why": asked.why})
    print(json.dumps(told, indent=2) if asked.json else "\n".join(told["codes"]))  # whole, however narrow the screen


async def _change(screen: Console, client: OpsClient, asked: argparse.Namespace) -> None:
    before = await client.room(asked.room)
    if asked.verb == "end" and not asked.yes and sys.stdin.isatty():
        _confirm(asked.room, before["waiting"])
    body: dict[str, Any] = {"why": asked.why}
    match asked.verb:
        case "rate":
            body["per_minute"] = asked.value
            body["force"] = asked.force
        case "open-all":
            body["for_s"] = asked.until / 1000
        case "cap":
            body["total_active_users"] = asked.value
        case "message":
            body["text"] = asked.value
        case "revoke":
            body["session"] = asked.value
        case "spin":
            body["value"] = asked.value
        case _:
            pass  # pause, resume and end need no value
    after = await client.change(asked.room, asked.verb, body)
    _print(screen, asked, after, Text(ctl_tables.outcome(asked.verb, before, after)))


def _confirm(room: str, waiting: int) -> None:
    """Ask a person back; a script that says `end` means it.

    Raises:
        WaitroomError: they think better of it.
    """
    print(f"{waiting:,} people who wait in {room} are told that it is over.")
    if input(f"Type {room} to end it: ").strip() != room:
        raise WaitroomError("nothing was changed")


def _print(screen: Console, asked: argparse.Namespace, told: dict[str, Any], table: Any) -> None:
    if asked.json:
        print(json.dumps(told, indent=2))
    else:
        screen.print(table)


def _shared(default: str | None) -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False, argument_default=default)
    shared.add_argument("--ops-url", metavar="URL", help=f"where the console listens ({URL_VARIABLE}, {DEFAULT_URL})")
    shared.add_argument("--token-file", type=Path, metavar="FILE", help=f"holds the token ({CONSOLE_TOKEN_VARIABLE})")
    shared.add_argument("-c", "--config", type=Path, metavar="FILE", help=f"a waitroom.toml that says both ({DEMO})")
    shared.add_argument("--name", metavar="NAME", help="who you are, for the audit (your login name)")
    shared.add_argument("--json", action="store_const", const=True, help="print JSON, for scripts")
    return shared


def _add_value(parser: argparse.ArgumentParser, verb: str) -> None:
    match verb:
        case "rate":
            parser.add_argument("value", type=float, metavar="PER_MINUTE")
            parser.add_argument("--force", action="store_true", help="also above new_users_per_minute_ceiling")
        case "open-all":
            parser.add_argument("--until", type=_time, required=True, metavar="10m", help="for how long")
        case "cap":
            parser.add_argument("value", type=int, metavar="SESSIONS")
        case "message":
            parser.add_argument("value", metavar="TEXT")
        case "revoke":
            parser.add_argument("value", metavar="SESSION", help="its id, as the verified Waitroom-Pass has it")
        case "spin":
            parser.add_argument("value", metavar="VALUE", help="published as it is: anybody computes the spin from it")
        case "end":
            parser.add_argument("-y", "--yes", action="store_true", help="do not ask back")
        case _:
            pass


def _time(text: str) -> int:
    try:
        return duration_ms(text)
    except ValueError as fault:
        raise argparse.ArgumentTypeError(str(fault)) from fault


def _config(asked: argparse.Namespace) -> Config | None:
    """Return the configuration that was named; a demo's only where nothing else says where to go."""
    if asked.config is not None:
        return read(asked.config, os.environ)
    is_told = asked.ops_url or os.environ.get(URL_VARIABLE)
    return read(DEMO, os.environ) if not is_told and DEMO.is_file() else None


def _url(asked: argparse.Namespace, config: Config | None) -> str:
    found = asked.ops_url or os.environ.get(URL_VARIABLE) or (console_at(config) if config else DEFAULT_URL)
    if not found.startswith(("http://", "https://")):
        raise ConfigFault([f"--ops-url: must begin with http:// or https://, and is {found}"])
    return str(found)


def _token(asked: argparse.Namespace, config: Config | None, url: str) -> str:
    """Return the token: of the file that was named, the environment, the configuration, or a demo on this machine."""
    if asked.token_file is not None:
        return read_private(asked.token_file)
    if given := os.environ.get(CONSOLE_TOKEN_VARIABLE, ""):
        return given
    is_here = urlsplit(url).hostname in {"127.0.0.1", "localhost", "::1"}
    file = config.secrets.console_token_file if config else DEMO.with_name("console-token") if is_here else None
    if file is not None and file.is_file():
        return read_private(file)
    raise ConfigFault(
        [f"console token: put it into {CONSOLE_TOKEN_VARIABLE}, or name its file with --token-file or a config with -c"]
    )


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
