"""Make the tables of what is told to sinks outside: a delivery for each, and who wants no more."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "delivery",
        sa.Column("id", _SERIAL, primary_key=True, autoincrement=True),
        sa.Column("outbox_id", _SERIAL, sa.ForeignKey("outbox.id"), nullable=False),
        sa.Column("sink", sa.String(64), nullable=False),
        sa.Column("rid", sa.String(36), nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("next_ms", sa.BigInteger),
        sa.Column("dead_ms", sa.BigInteger),
        sa.Column("fault", sa.String(200)),
        sa.UniqueConstraint("outbox_id", "sink"),
    )
    op.create_index("ix_delivery_sink_next_ms", "delivery", ["sink", "next_ms"])
    op.create_index("ix_delivery_sink_rid", "delivery", ["sink", "rid"])
    op.create_index("ix_delivery_dead_ms", "delivery", ["dead_ms"])
    op.create_table(
        "stopped_sink",
        sa.Column("sink", sa.String(64), primary_key=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Take both away, with what was not delivered yet."""
    op.drop_table("delivery")
    op.drop_table("stopped_sink")
