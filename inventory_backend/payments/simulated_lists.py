"""List and search what the simulated gateway has, in Stripe's way: newest first, in pages.

Source: https://docs.stripe.com/api/pagination, https://docs.stripe.com/search#search-query-language
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from inventory_backend.payments.simulated_cards import PaymentIntent, whole

_MOST = 100
_USUAL = 10
_BOUNDS: Mapping[str, Callable[[int, int], bool]] = {
    "created": lambda found, bound: found == bound,
    "created[gt]": lambda found, bound: found > bound,
    "created[gte]": lambda found, bound: found >= bound,
    "created[lt]": lambda found, bound: found < bound,
    "created[lte]": lambda found, bound: found <= bound,
}
_CLAUSE = re.compile(r"""(?:metadata\[(['"])(\w+)\1\]|(status)):(['"])([^'"]*)\4""")

Shown = Mapping[str, object]


class Kept(Protocol):
    """What can be listed."""

    @property
    def ref(self) -> str:
        """Its name."""
        ...

    @property
    def created_ms(self) -> int:
        """When it was made."""
        ...


Row = TypeVar("Row", bound=Kept)


class BadQuery(ValueError):
    """A list or a search that cannot be understood; it names the parameter."""

    def __init__(self, param: str, told: str) -> None:
        """Keep which parameter it is."""
        super().__init__(told)
        self.param = param


def page(query: Mapping[str, str], found: Sequence[Row], show: Callable[[Row], Shown]) -> dict[str, object]:
    """Return one page of `found`, which comes oldest first.

    Raises:
        BadQuery: a parameter is odd.
    """
    bounds = [(holds, _seconds(query, name)) for name, holds in _BOUNDS.items() if name in query]
    rows = [one for one in reversed(found) if all(holds(one.created_ms // 1000, bound) for holds, bound in bounds)]
    start = 0
    if after := query.get("starting_after"):
        names = [one.ref for one in rows]
        if after not in names:
            raise BadQuery("starting_after", f"No such object: {after}")
        start = names.index(after) + 1
    shown = rows[start : start + _limit(query)]
    return {"object": "list", "data": [show(one) for one in shown], "has_more": start + len(shown) < len(rows)}


def searched(query: Mapping[str, str], found: Sequence[PaymentIntent], now_ms: int) -> list[PaymentIntent]:
    """Return what every clause of `query` fits, newest first; metadata and status are known, AND joins them.

    Raises:
        BadQuery: the query is not of that kind.
    """
    wanted = []
    for clause in re.split(r"\s+AND\s+", query.get("query", "")):
        fitting = _CLAUSE.fullmatch(clause.strip())
        if fitting is None:
            raise BadQuery("query", "Only metadata['name']:'value' and status:'value', joined by AND.")
        wanted.append((fitting[2], fitting[5]))
    return [
        one
        for one in reversed(found)
        if all((one.status(now_ms) if name is None else one.metadata.get(name)) == value for name, value in wanted)
    ][: _limit(query)]


def _seconds(query: Mapping[str, str], name: str) -> int:
    found = whole(query[name])
    if found is None:
        raise BadQuery(name, "must be seconds since 1970")
    return found


def _limit(query: Mapping[str, str]) -> int:
    limit = whole(query.get("limit", str(_USUAL)))
    if limit is None or not 1 <= limit <= _MOST:
        raise BadQuery("limit", f"must be 1 to {_MOST}")
    return limit
