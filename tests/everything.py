"""All that the till keeps: each row of each table, and its stock in Redis, to hold what was against what is."""

from typing import Any

from sqlalchemy import Connection, select

from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.schema import metadata
from tests.till import Shop

Everything = dict[str, object]
_OF_ITS_OWN = {"lease"}
"""What changes while nobody asks for anything."""


async def everything(till: Shop) -> Everything:
    """Return the rows of every table, and every key of the stock."""
    return await all_of(till.till.jobs.ledger, till.till.jobs.rebuild._stock._scripts.client)


async def all_of(ledger: Ledger, client: Any) -> Everything:
    """Return the rows of every table of `ledger`, and every key of the stock that `client` finds."""
    return {**await ledger.read(_rows), **await _keys(client)}


def _rows(connection: Connection) -> Everything:
    tables = [one for one in metadata.sorted_tables if one.name not in _OF_ITS_OWN]
    return {one.name: sorted(map(str, connection.execute(select(one)).all())) for one in tables}


async def _keys(client: Any) -> Everything:
    """Return what each key holds, but for how often the stock was touched."""
    found: Everything = {}
    for name in sorted(await client.keys("inv:*")):
        is_sorted = await client.type(name) == "zset"
        kept = await (client.zrange(name, 0, -1, withscores=True) if is_sorted else client.hgetall(name))
        found[name] = kept if is_sorted else {field: value for field, value in kept.items() if field != "mut"}
    return found
