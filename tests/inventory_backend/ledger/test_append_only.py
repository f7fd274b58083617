"""What was once written stays, whoever opens the database."""

import pytest
from sqlalchemy import Table, delete, update
from sqlalchemy.exc import IntegrityError

from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.schema import audit, stock_change

ENTRY = {"rid": "r", "from_state": None, "to_state": "held", "delta": 1, "at_ms": 1, "actor": "shopper"}
WAVE = {"sale": "drop", "sku": "sneaker", "delta": 1, "origin": "ops", "actor": "ann", "why": "found", "at_ms": 1}


@pytest.mark.parametrize(("table", "row"), [(audit, ENTRY), (stock_change, WAVE)])
async def test_a_row_can_be_added_and_never_changed_or_deleted(
    ledger: Ledger, table: Table, row: dict[str, object]
) -> None:
    await ledger.write(lambda connection: connection.execute(table.insert(), row).rowcount)

    for sin in (update(table).values(delta=0), delete(table)):
        with pytest.raises(IntegrityError, match="append-only"):
            await ledger.write(lambda connection, sin=sin: connection.execute(sin).rowcount)  # type: ignore[misc]  # mypy cannot see a default in a lambda
