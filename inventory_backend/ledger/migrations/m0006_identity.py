"""Note with each reservation who the store said the shopper is, where a sale asks for it."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column; nobody was asked before."""
    op.add_column("reservation", sa.Column("identity", sa.String(80)))


def downgrade() -> None:
    """Take it away."""
    op.drop_column("reservation", "identity")
