"""Write many rows of one shape: the statement is compiled once, and the rows go to the driver as they are.

SQLAlchemy looks at every value of every row for what a type may have to say about it; the types of the ledger (texts
and whole numbers) have nothing to say.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Dialect, Insert

Row = Sequence[str | int | None]


def write_rows(connection: Connection, statement: Insert, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
    """Execute `statement`, which lives as long as its module, for each of `rows`: values of `columns` in that order.

    Raises:
        IntegrityError: one of them breaks a rule of the schema.
    """
    if rows:
        text = _compiled(statement, columns, connection.dialect)
        connection.exec_driver_sql(text, [tuple(row) for row in rows])


@lru_cache(maxsize=64)
def _compiled(statement: Insert, columns: tuple[str, ...], dialect: Dialect) -> str:
    compiled: Any = statement.inline().compile(dialect=dialect, column_keys=list(columns))
    assert tuple(compiled.positiontup) == columns, f"{compiled.positiontup} are not {columns}"
    return str(compiled)
