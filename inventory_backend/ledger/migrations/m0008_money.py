"""Note who the ledger is at a gateway, where a shopper must go to pay, and why a person made a move."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add them."""
    op.create_table(
        "shop",
        sa.Column("serial", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(36), nullable=False),
    )
    op.add_column("payment", sa.Column("action_url", sa.Text))
    op.add_column("audit", sa.Column("why", sa.String(200)))
    op.create_index("ix_inbox_received_ms", "inbox", ["received_ms"])


def downgrade() -> None:
    """Take them away."""
    op.drop_index("ix_inbox_received_ms", "inbox")
    op.drop_column("audit", "why")
    op.drop_column("payment", "action_url")
    op.drop_table("shop")
