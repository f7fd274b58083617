"""Rows go to the driver as they are, on both databases."""

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.rows import write_rows
from inventory_backend.ledger.schema import audit, line

AUDITED, LINED = audit.insert(), line.insert()
COLUMNS = ("rid", "from_state", "to_state", "delta", "at_ms", "actor", "why")


async def test_every_row_is_written_in_its_order_whatever_its_texts(ledger: Ledger) -> None:
    rows = [("r1", None, "held", 1, 2**40, "%s ?", "$1 :at_ms 'x'"), ("r2", "held", "paid", -1, 0, "ä", None)]

    await ledger.write(lambda c: write_rows(c, AUDITED, COLUMNS, rows))

    found = await ledger.read(lambda c: c.execute(select(audit).order_by(audit.c.seq)).all())
    assert [tuple(row)[1:] for row in found] == rows


async def test_no_rows_are_no_statement(ledger: Ledger) -> None:
    await ledger.write(lambda c: write_rows(c, AUDITED, COLUMNS, []))

    assert await ledger.read(lambda c: c.execute(select(audit)).all()) == []


async def test_a_rule_of_the_schema_still_refuses(ledger: Ledger) -> None:
    with pytest.raises(IntegrityError):
        await ledger.write(lambda c: write_rows(c, LINED, ("rid", "sku", "qty", "unit_amount"), [("no", "x", 0, 1)]))
