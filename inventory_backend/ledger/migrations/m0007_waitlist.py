"""Make the tables of who waits for units that others give back."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make both."""
    op.create_table(
        "wish",
        sa.Column("seq", _SERIAL, primary_key=True, autoincrement=True),
        sa.Column("sale", sa.String(64), sa.ForeignKey("sale.sale"), nullable=False),
        sa.Column("shopper", sa.String(128), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("cap", sa.Integer, nullable=False),
        sa.Column("identity", sa.String(80)),
        sa.Column("identity_cap", sa.Integer),
        sa.Column("offer_ms", sa.BigInteger, nullable=False),
        sa.Column("ends_ms", sa.BigInteger),
        sa.Column("joined_ms", sa.BigInteger, nullable=False),
        sa.Column("since_ms", sa.BigInteger),
        sa.Column("rid", sa.String(36), sa.ForeignKey("reservation.rid"), unique=True),
    )
    op.create_index("ix_wish_sale_shopper", "wish", ["sale", "shopper"])
    is_waiting = sa.text("rid IS NULL")
    op.create_index(
        "ix_wish_waiting",
        "wish",
        ["sale", "shopper"],
        unique=True,
        sqlite_where=is_waiting,
        postgresql_where=is_waiting,
    )
    op.create_table(
        "wish_line",
        sa.Column("seq", _SERIAL, sa.ForeignKey("wish.seq"), primary_key=True),
        sa.Column("sku", sa.String(64), primary_key=True),
        sa.Column("qty", sa.Integer, nullable=False),
        sa.Column("unit_amount", sa.BigInteger, nullable=False),
        sa.Column("gathered", sa.Integer, nullable=False),
        sa.CheckConstraint("qty >= 1", name="qty"),
        sa.CheckConstraint("gathered >= 0 AND gathered <= qty", name="gathered"),
    )


def downgrade() -> None:
    """Take both away: nobody waits any more. Units set aside for them are free again."""
    op.execute(
        "UPDATE sku SET allocated = allocated - coalesce((SELECT sum(wish_line.gathered) FROM wish_line JOIN wish "
        "ON wish.seq = wish_line.seq WHERE wish.sale = sku.sale AND wish_line.sku = sku.sku), 0)"
    )
    op.drop_table("wish_line")
    op.drop_table("wish")
