"""What somebody wants to have set aside, or waits for: read and checked alike at every door of the till."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from inventory_backend.ledger.idempotency import fingerprint
from waitroom.kernel.answers import parsed

_MOST_LINES = 50
_LARGEST_QTY = 2**31 - 1
_REMEMBERED, _LONGEST_REMEMBERED = 1024, 256
"""A crowd wants the same few things, in the same bytes; with the word of the store on one shopper it is longer."""

Word = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[ -~]+$")]
"""Printable ASCII: what the ledger, Redis and the gateway take alike."""


class Body(BaseModel):
    """What is sent to the till: nothing but what is named, of the kind that is named."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class LineAsked(Body):
    """So many of one sku."""

    sku: Word
    qty: Annotated[int, Field(ge=1, le=_LARGEST_QTY)]


class ReserveAsked(Body):
    """What to set aside."""

    sale: Word
    lines: Annotated[list[LineAsked], Field(min_length=1, max_length=_MOST_LINES)]
    identity: Annotated[str, Field(max_length=2000)] | None = None


class WaitAsked(Body):
    """What to wait for."""

    lines: Annotated[list[LineAsked], Field(min_length=1, max_length=_MOST_LINES)]
    identity: Annotated[str, Field(max_length=2000)] | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """What to set aside, and by what the body that said so is told from others."""

    sale: str
    lines: tuple[tuple[str, int], ...]
    fingerprint: str
    identity: str | None


def wished(body: bytes) -> Wish:
    """Return what the JSON `body` of a reserve wishes for.

    Raises:
        Refused: 400 malformed, 422 with every fault and its path.
    """
    return _read_before(body) if len(body) <= _LONGEST_REMEMBERED else _read(body)


def _read(body: bytes) -> Wish:
    found = parsed(body, ReserveAsked)
    said = found.model_dump(exclude={"identity"})  # its dates change from one try to the next, what is wanted does not
    lines = tuple((line.sku, line.qty) for line in found.lines)
    return Wish(found.sale, lines, fingerprint(said), found.identity)


_read_before = lru_cache(_REMEMBERED)(_read)
