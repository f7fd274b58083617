"""Make the table of leases, and note on which server of Redis the life of a sale's stock was opened."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make both; no life is known to be open, so the next till begins a new one."""
    op.create_table(
        "lease",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("holder", sa.String(36), nullable=False),
        sa.Column("until_ms", sa.BigInteger, nullable=False),
    )
    op.add_column("sale", sa.Column("server", sa.String(160)))


def downgrade() -> None:
    """Take both away."""
    op.drop_table("lease")
    op.drop_column("sale", "server")
