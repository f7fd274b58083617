"""The database itself refuses what no program may do."""

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, inspect, select, update
from sqlalchemy.exc import IntegrityError

from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.schema import metadata, shopper_qty, sku


async def test_every_table_of_the_protocol_is_there(ledger: Ledger) -> None:
    wanted = {"sale", "sku", "reservation", "line", "shopper_qty", "payment", "inbox", "outbox", "idempotency", "audit"}
    wanted |= {"delivery", "stopped_sink", "contact", "stock_change", "lease", "wish", "wish_line", "shop"}
    found = await ledger.read(lambda connection: set(inspect(connection).get_table_names()))

    assert wanted <= found
    assert wanted == set(metadata.tables)


def oversell(connection: Connection) -> None:
    connection.execute(update(sku).where(sku.c.sku == "sneaker").values(allocated=11))


def free_what_nobody_had(connection: Connection) -> None:
    connection.execute(update(sku).values(allocated=-1))


def exceed_the_limit(connection: Connection) -> None:
    connection.execute(shopper_qty.insert(), {"sale": "drop", "shopper": "alice", "qty": 3, "cap": 2})


@pytest.mark.parametrize("sin", [oversell, free_what_nobody_had, exceed_the_limit])
async def test_a_check_stands_behind_every_guard(ledger: Ledger, sin: Callable[[Connection], None]) -> None:
    with pytest.raises(IntegrityError):
        await ledger.write(sin)

    allocated = await ledger.read(lambda connection: connection.execute(select(sku.c.allocated)).scalars().all())
    assert list(allocated) == [0, 0]
