"""`waitroom upstream-secret`: print what the store behind needs to check `Waitroom-Pass`, and nothing more.

It is derived from the secret of the room and leads nowhere back: who holds it can sign passes for that store, and say
what it has left, and nothing more.
"""

import argparse
import os
from pathlib import Path

from waitroom.cli import Commands
from waitroom.config import read
from waitroom.kernel.settings import read_secrets
from waitroom.kernel.tokens import UpstreamPassSigner


def add(commands: Commands) -> None:
    """Tell argparse what this command takes."""
    parser = commands.add_parser(
        "upstream-secret", help="print WAITROOM_UPSTREAM_SECRET, by which the store behind checks passes"
    )
    parser.add_argument("-c", "--config", type=Path, metavar="FILE", help="a waitroom.toml that names a secret file")
    parser.set_defaults(run=run)


def run(asked: argparse.Namespace) -> int:
    """Print the derived keys, newest last, with a comma between where two secrets live."""
    file = read(asked.config, os.environ).secrets.file if asked.config else None
    print(UpstreamPassSigner.upstream_secret(read_secrets(os.environ, file)))
    return 0
