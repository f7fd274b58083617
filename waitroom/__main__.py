"""Start the `waitroom` command."""

import argparse
import sys
from collections.abc import Sequence

from waitroom import __version__
from waitroom.cli import check, crowd, ctl, demo, processes, serve, upstream_secret, verify
from waitroom.kernel.errors import ConfigFault, WaitroomError

COMMANDS = (demo, serve, ctl, check, verify, upstream_secret, processes, crowd)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 it failed, 2 the settings or the arguments are wrong."""
    asked = _parser().parse_args(arguments)
    try:
        return int(asked.run(asked))
    except ConfigFault as refused:
        for fault in refused.faults:
            print(fault, file=sys.stderr)  # noqa: T201 - a command speaks to a person
        return 2
    except WaitroomError as failed:
        print(f"waitroom {asked.command}: {failed}", file=sys.stderr)  # noqa: T201 - as above
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="waitroom", description="A waiting room that a shop puts in front of itself.")
    parser.add_argument("--version", action="version", version=f"waitroom {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
