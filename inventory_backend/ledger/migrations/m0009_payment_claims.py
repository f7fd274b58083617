"""Note which till carries a payment, and until when nobody else does."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add both."""
    op.add_column("payment", sa.Column("claimed_by", sa.String(36)))
    op.add_column("payment", sa.Column("claimed_until_ms", sa.BigInteger))


def downgrade() -> None:
    """Take them away."""
    op.drop_column("payment", "claimed_until_ms")
    op.drop_column("payment", "claimed_by")
