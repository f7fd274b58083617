"""Note when what was told was done, so that it need not be kept for ever."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_NOW_MS = {
    "sqlite": "CAST(strftime('%s', 'now') AS INTEGER) * 1000",
    "postgresql": "CAST(extract(epoch FROM now()) AS BIGINT) * 1000",
}


def upgrade() -> None:
    """Add the moment; what was done before counts as done now."""
    now_ms = _NOW_MS[op.get_bind().dialect.name]
    owed = "SELECT outbox_id FROM delivery WHERE next_ms IS NOT NULL OR dead_ms IS NOT NULL"
    for table, done in (
        ("outbox", f"next_ms IS NULL AND id NOT IN ({owed})"),
        ("delivery", "next_ms IS NULL AND dead_ms IS NULL"),
    ):
        op.add_column(table, sa.Column("done_ms", sa.BigInteger))
        op.create_index(f"ix_{table}_done_ms", table, ["done_ms"])
        op.execute(f"UPDATE {table} SET done_ms = {now_ms} WHERE {done}")  # noqa: S608 - words of this file


def downgrade() -> None:
    """Take it away."""
    for table in ("outbox", "delivery"):
        op.drop_index(f"ix_{table}_done_ms", table)
        op.drop_column(table, "done_ms")
