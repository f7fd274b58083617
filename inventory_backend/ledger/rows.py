"""Write rows by statements that are compiled once: what they take goes to the driver as it is.

SQLAlchemy looks at every value of every row for what a type may have to say about it; the types of the ledger (texts
and whole numbers) have nothing to say.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Dialect, Insert, Update

Row = Sequence[str | int | None]


def write_rows(connection: Connection, statement: Insert, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
    """Execute `statement`, which lives as long as its module, for each of `rows`: values of `columns` in that order.

    Raises:
        IntegrityError: one of them breaks a rule of the schema.
    """
    if rows:
        text = _compiled(statement, columns, connection.dialect)
        connection.exec_driver_sql(text, [tuple(row) for row in rows])


def change_rows(connection: Connection, statement: Update, values: Mapping[str, str | int]) -> int:
    """Execute `statement`, which lives as long as its module, with `values`, and return how many rows it changed."""
    text, names = _compiled_update(statement, connection.dialect)
    return connection.exec_driver_sql(text, tuple(values[name] for name in names)).rowcount


@lru_cache(maxsize=64)
def _compiled_update(statement: Update, dialect: Dialect) -> tuple[str, tuple[str, ...]]:
    compiled: Any = statement.compile(dialect=dialect)
    return str(compiled), tuple(compiled.positiontup)


@lru_cache(maxsize=64)
def _compiled(statement: Insert, columns: tuple[str, ...], dialect: Dialect) -> str:
    compiled: Any = statement.inline().compile(dialect=dialect, column_keys=list(columns))
    assert tuple(compiled.positiontup) == columns, f"{compiled.positiontup} are not {columns}"
    return str(compiled)
