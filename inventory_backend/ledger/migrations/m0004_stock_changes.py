"""Make the record of how many units there are: what the configuration, waves and ops add or take away."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_REFUSAL = "the changes of stock are append-only"
_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table; the totals that stand in the ledger came from the configuration."""
    op.create_table(
        "stock_change",
        sa.Column("seq", _SERIAL, primary_key=True, autoincrement=True),
        sa.Column("sale", sa.String(64), nullable=False),
        sa.Column("sku", sa.String(64), nullable=False),
        sa.Column("delta", sa.BigInteger, nullable=False),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("wave_ms", sa.BigInteger),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("why", sa.String(200), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["sale", "sku"], ["sku.sale", "sku.sku"]),
        sa.UniqueConstraint("sale", "sku", "wave_ms"),
    )
    op.execute(
        "INSERT INTO stock_change (sale, sku, delta, origin, actor, why, at_ms) "
        "SELECT sale, sku, total, 'configuration', 'migration', 'as it was', 0 FROM sku"
    )
    _make_append_only()


def downgrade() -> None:
    """Take the record away; the totals stay as they are."""
    op.drop_table("stock_change")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION stock_change_is_append_only()")


def _make_append_only() -> None:
    if op.get_bind().dialect.name == "postgresql":
        raising = f"BEGIN RAISE integrity_constraint_violation USING MESSAGE = '{_REFUSAL}'; END"
        op.execute(f"CREATE FUNCTION stock_change_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $${raising}$$")
        op.execute(
            "CREATE TRIGGER stock_change_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON stock_change "
            "FOR EACH STATEMENT EXECUTE FUNCTION stock_change_is_append_only()"
        )
        return
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER stock_change_no_{verb.lower()} BEFORE {verb} ON stock_change "
            f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
        )
