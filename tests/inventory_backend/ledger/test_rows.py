"""Rows go to the driver as they are, on both databases."""

from functools import partial

import pytest
from sqlalchemy import bindparam, select, update
from sqlalchemy.exc import IntegrityError

from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.rows import change_rows, write_rows
from inventory_backend.ledger.schema import audit, line, sku

AUDITED, LINED = audit.insert(), line.insert()
RAISED = update(sku).where(sku.c.sku == bindparam("named")).values(total=sku.c.total + bindparam("by"))
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


async def test_what_changes_is_counted_and_each_value_finds_its_place(ledger: Ledger) -> None:
    for named, count in (("laces", 1), ("socks", 0), ("laces", 1)):
        assert await ledger.write(partial(change_rows, statement=RAISED, values={"by": 5, "named": named})) == count

    found = await ledger.read(lambda c: c.execute(select(sku.c.sku, sku.c.total)).all())
    assert {tuple(row) for row in found} == {("laces", 20), ("sneaker", 10)}
