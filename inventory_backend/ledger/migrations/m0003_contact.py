"""Make the table of the addresses that shoppers leave for their confirmation."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make it."""
    op.create_table(
        "contact",
        sa.Column("rid", sa.String(36), sa.ForeignKey("reservation.rid"), primary_key=True),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_contact_at_ms", "contact", ["at_ms"])


def downgrade() -> None:
    """Take it away, with the addresses."""
    op.drop_table("contact")
