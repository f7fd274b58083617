"""Make the tables of the first release."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_REFUSAL = "the audit is append-only"


def upgrade() -> None:
    """Make every table, index and trigger."""
    _make_stock()
    _make_reservations()
    _make_payments()
    _make_messages()
    _make_audit()


def downgrade() -> None:
    """Take everything away, with all that was sold: for tests only, the command refuses it."""
    tables = ("audit", "idempotency", "outbox", "inbox", "payment", "shopper_qty", "line", "reservation", "sku", "sale")
    for table in tables:
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_is_append_only()")


def _make_stock() -> None:
    op.create_table(
        "sale",
        sa.Column("sale", sa.String(64), primary_key=True),
        sa.Column("epoch", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "sku",
        sa.Column("sale", sa.String(64), sa.ForeignKey("sale.sale"), primary_key=True),
        sa.Column("sku", sa.String(64), primary_key=True),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("allocated", sa.BigInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.CheckConstraint("allocated >= 0 AND allocated <= total", name="guard"),
    )


def _make_reservations() -> None:
    op.create_table(
        "reservation",
        sa.Column("rid", sa.String(36), primary_key=True),
        sa.Column("sale", sa.String(64), sa.ForeignKey("sale.sale"), nullable=False),
        sa.Column("shopper", sa.String(128), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("held_until_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_ms", sa.BigInteger, nullable=False),
        sa.Column("order_id", sa.String(36), unique=True),
        sa.Column("placed_ms", sa.BigInteger),
        sa.Column("paid_ms", sa.BigInteger),
        sa.Column("reason", sa.String(64)),
        sa.CheckConstraint("amount >= 0", name="amount"),
    )
    op.create_index("ix_reservation_state_expires_ms", "reservation", ["state", "expires_ms"])
    op.create_table(
        "line",
        sa.Column("rid", sa.String(36), sa.ForeignKey("reservation.rid"), primary_key=True),
        sa.Column("sku", sa.String(64), primary_key=True),
        sa.Column("qty", sa.Integer, nullable=False),
        sa.Column("unit_amount", sa.BigInteger, nullable=False),
        sa.CheckConstraint("qty >= 1", name="qty"),
    )
    op.create_table(
        "shopper_qty",
        sa.Column("sale", sa.String(64), sa.ForeignKey("sale.sale"), primary_key=True),
        sa.Column("shopper", sa.String(128), primary_key=True),
        sa.Column("qty", sa.Integer, nullable=False),
        sa.Column("cap", sa.Integer, nullable=False),
        sa.CheckConstraint("qty >= 0 AND qty <= cap", name="limit"),
    )


def _make_payments() -> None:
    op.create_table(
        "payment",
        sa.Column("pid", sa.String(36), primary_key=True),
        sa.Column("rid", sa.String(36), sa.ForeignKey("reservation.rid"), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("method", sa.String(64), nullable=False),
        sa.Column("provider_ref", sa.String(128), unique=True),
        sa.Column("provider_key", sa.String(255), nullable=False, unique=True),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("deadline_ms", sa.BigInteger, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("next_ms", sa.BigInteger),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("rid", "attempt"),
    )
    op.create_index("ix_payment_next_ms", "payment", ["next_ms"])


def _make_messages() -> None:
    op.create_table(
        "inbox",
        sa.Column("provider", sa.String(32), primary_key=True),
        sa.Column("event_id", sa.String(128), primary_key=True),
        sa.Column("rid", sa.String(36)),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("received_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "outbox",
        sa.Column("id", _SERIAL, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("rid", sa.String(36), sa.ForeignKey("reservation.rid"), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("next_ms", sa.BigInteger),
        sa.UniqueConstraint("kind", "rid", "version"),
    )
    op.create_index("ix_outbox_next_ms", "outbox", ["next_ms"])
    op.create_table(
        "idempotency",
        sa.Column("scope", sa.String(192), primary_key=True),
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_idempotency_created_ms", "idempotency", ["created_ms"])


def _make_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", _SERIAL, primary_key=True, autoincrement=True),
        sa.Column("rid", sa.String(36), nullable=False),
        sa.Column("from_state", sa.String(16)),
        sa.Column("to_state", sa.String(16), nullable=False),
        sa.Column("delta", sa.Integer, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
    )
    op.create_index("ix_audit_rid", "audit", ["rid"])
    if op.get_bind().dialect.name == "postgresql":
        raising = f"BEGIN RAISE integrity_constraint_violation USING MESSAGE = '{_REFUSAL}'; END"
        op.execute(f"CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $${raising}$$")
        op.execute(
            "CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()"
        )
        return
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER audit_no_{verb.lower()} BEFORE {verb} ON audit "
            f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
        )
