"""Structured logs: a constant message, facts in `extra`, the request's id beside them."""

import ipaddress
import itertools
import json
import logging
import os
import secrets
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from waitroom.kernel.settings import Settings

request_id: ContextVar[str] = ContextVar("request_id", default="-")
_START, _numbers = secrets.token_hex(4), itertools.count(1)

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Logs(Settings):
    """What is written down about the running of the thing; it goes to standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")
    as_json: bool = Field(
        False, validation_alias="json", serialization_alias="json", description="A JSON object a line, for machines."
    )


def setup(level: str = "INFO", *, as_json: bool = False) -> None:
    """Send all logs to standard error, a line each: JSON for machines, else words for people."""
    channel = logging.StreamHandler(sys.stderr)
    channel.setFormatter(_JsonLines() if as_json else _Words())
    logging.basicConfig(level=level, handlers=[channel], force=True)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)  # it would write full addresses
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a line for each look for a broker; the courier tells


def new_request_id() -> str:
    """Return an id that no other request has; the system is asked for chance once, not for each."""
    return f"{_START}-{os.getpid():x}-{next(_numbers):x}"


def mask_address(address: str) -> str:
    """Return a network address that no longer names one person: its /24, or its /48 for IPv6."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    prefix = 24 if ip.version == 4 else 48
    return str(ipaddress.ip_network((ip, prefix), strict=False))


def _facts(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _PLAIN}


def _at(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            **_facts(record),  # first, so that no fact takes the place of what every line has
            "at": _at(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": request_id.get(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class _Words(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = {"request_id": request_id.get(), **_facts(record)}
        if facts["request_id"] == "-":
            del facts["request_id"]
        told = "".join(f" {key}={value}" for key, value in facts.items())
        line = f"{_at(record)} {record.levelname:<7} {record.name}: {_one_line(record.getMessage() + told)}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _one_line(text: str) -> str:
    """Return `text` with every unprintable character spelled out: a visitor's text must not forge or colour lines."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
