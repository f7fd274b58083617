"""The tables of the ledger, the truth about holds, orders and money.

CHECK constraints stand behind every guard: whatever a program forgets, the database refuses.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from inventory_backend.ledger.append_only import append_only

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
    }
)

_Serial = BigInteger().with_variant(Integer(), "sqlite")  # SQLite counts up by itself in INTEGER keys only

shop = Table(
    "shop",
    metadata,
    Column("serial", Integer, primary_key=True, autoincrement=False),
    Column("name", String(36), nullable=False),  # who this ledger is at a gateway
)

sale = Table(
    "sale",
    metadata,
    Column("sale", String(64), primary_key=True),
    Column("epoch", BigInteger, nullable=False),  # the life of this sale's stock in Redis
    Column("server", String(160)),  # where that life is open; NULL while it is being loaded
)

sku = Table(
    "sku",
    metadata,
    Column("sale", ForeignKey("sale.sale"), primary_key=True),
    Column("sku", String(64), primary_key=True),  # a shard of it: "sneaker", "sneaker#1"; so in line and stock_change
    Column("total", BigInteger, nullable=False),
    Column("allocated", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    CheckConstraint("allocated >= 0 AND allocated <= total", name="guard"),
)

reservation = Table(
    "reservation",
    metadata,
    Column("rid", String(36), primary_key=True),
    Column("sale", ForeignKey("sale.sale"), nullable=False),
    Column("shopper", String(128), nullable=False),
    Column("state", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("held_until_ms", BigInteger, nullable=False),  # what the shopper was promised; it never changes
    Column("expires_ms", BigInteger, nullable=False),  # later than that only while money moves
    Column("order_id", String(36), unique=True),
    Column("placed_ms", BigInteger),
    Column("paid_ms", BigInteger),
    Column("reason", String(64)),
    Column(
        "identity", String(80)
    ),  # who the store said the shopper is, hashed; it counts in shopper_qty like a shopper
    CheckConstraint("amount >= 0", name="amount"),
)
Index(None, reservation.c.state, reservation.c.expires_ms)

line = Table(
    "line",
    metadata,
    Column("rid", ForeignKey("reservation.rid"), primary_key=True),
    Column("sku", String(64), primary_key=True),
    Column("qty", Integer, nullable=False),
    Column("unit_amount", BigInteger, nullable=False),
    CheckConstraint("qty >= 1", name="qty"),
)

shopper_qty = Table(
    "shopper_qty",
    metadata,
    Column("sale", ForeignKey("sale.sale"), primary_key=True),
    Column("shopper", String(128), primary_key=True),
    Column("qty", Integer, nullable=False),
    Column("cap", Integer, nullable=False),
    CheckConstraint("qty >= 0 AND qty <= cap", name="limit"),
)

wish = Table(
    "wish",
    metadata,
    Column("seq", _Serial, primary_key=True, autoincrement=True),  # the place: who comes later stands behind
    Column("sale", ForeignKey("sale.sale"), nullable=False),
    Column("shopper", String(128), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("cap", Integer, nullable=False),  # units of this sale that the shopper may have
    Column("identity", String(80)),  # who the store said the shopper is, hashed
    Column("identity_cap", Integer),  # units of this sale that this account may have
    Column("offer_ms", BigInteger, nullable=False),  # how long an offer stands, and units are gathered for one
    Column("ends_ms", BigInteger),  # of the sale
    Column("joined_ms", BigInteger, nullable=False),
    Column("since_ms", BigInteger),  # when the first unit was set aside
    Column("rid", ForeignKey("reservation.rid"), unique=True),  # the hold that was offered; NULL while waiting
)
Index(None, wish.c.sale, wish.c.shopper)
Index(
    "ix_wish_waiting",
    wish.c.sale,
    wish.c.shopper,
    unique=True,  # one place a shopper
    sqlite_where=wish.c.rid.is_(None),
    postgresql_where=wish.c.rid.is_(None),
)

wish_line = Table(
    "wish_line",
    metadata,
    Column("seq", ForeignKey("wish.seq"), primary_key=True),
    Column("sku", String(64), primary_key=True),  # the whole sku; what is gathered lies on its first shard
    Column("qty", Integer, nullable=False),
    Column("unit_amount", BigInteger, nullable=False),
    Column("gathered", Integer, nullable=False),  # allocated and in no hold: set aside until there are qty
    CheckConstraint("qty >= 1", name="qty"),
    CheckConstraint("gathered >= 0 AND gathered <= qty", name="gathered"),
)

payment = Table(
    "payment",
    metadata,
    Column("pid", String(36), primary_key=True),
    Column("rid", ForeignKey("reservation.rid"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("provider", String(32), nullable=False),
    Column("method", String(64), nullable=False),
    Column("provider_ref", String(128), unique=True),
    Column("provider_key", String(255), nullable=False, unique=True),
    Column("amount", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("state", String(16), nullable=False),
    Column("deadline_ms", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next_ms", BigInteger),  # when the saga goes on; NULL once the payment is settled
    Column("action_url", Text),  # where the shopper has to go before it goes on
    Column("created_ms", BigInteger, nullable=False),
    Column("claimed_by", String(36)),  # the till that carries it; NULL while none does
    Column("claimed_until_ms", BigInteger),  # when others may take it over: that till died
    UniqueConstraint("rid", "attempt"),
)
Index(None, payment.c.next_ms)

inbox = Table(
    "inbox",
    metadata,
    Column("provider", String(32), primary_key=True),
    Column("event_id", String(128), primary_key=True),
    Column("rid", String(36)),
    Column("body", Text, nullable=False),
    Column("received_ms", BigInteger, nullable=False, index=True),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("kind", String(32), nullable=False),
    Column("rid", ForeignKey("reservation.rid"), nullable=False),
    Column("version", Integer, nullable=False),  # of the reservation: the same thing may have to be told twice
    Column("payload", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next_ms", BigInteger),  # NULL once it is done
    Column("done_ms", BigInteger),  # when every sink had it too: some time later it goes
    UniqueConstraint("kind", "rid", "version"),
)
Index(None, outbox.c.next_ms)
Index(None, outbox.c.done_ms)

delivery = Table(
    "delivery",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("outbox_id", ForeignKey("outbox.id"), nullable=False),
    Column("sink", String(64), nullable=False),
    Column("rid", String(36), nullable=False),  # what is told of one reservation is told in its order
    Column("tries", Integer, nullable=False),
    Column("next_ms", BigInteger),  # NULL once it is done, or dead
    Column("dead_ms", BigInteger),  # when it was given up
    Column("fault", String(200)),  # why it did not go the last time
    Column("done_ms", BigInteger),  # when the sink took it: some time later it goes
    UniqueConstraint("outbox_id", "sink"),
)
Index(None, delivery.c.sink, delivery.c.next_ms)
Index(None, delivery.c.sink, delivery.c.rid)
Index(None, delivery.c.dead_ms)
Index(None, delivery.c.done_ms)

stopped_sink = Table(
    "stopped_sink",
    metadata,
    Column("sink", String(64), primary_key=True),
    Column("at_ms", BigInteger, nullable=False),  # the receiver said that it is gone for good
)

contact = Table(
    "contact",
    metadata,
    Column("rid", ForeignKey("reservation.rid"), primary_key=True),
    Column("email", String(254), nullable=False),
    Column("at_ms", BigInteger, nullable=False, index=True),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("scope", String(192), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False, index=True),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", _Serial, primary_key=True, autoincrement=True),
    Column("rid", String(36), nullable=False, index=True),
    Column("from_state", String(16)),
    Column("to_state", String(16), nullable=False),
    Column("delta", Integer, nullable=False),  # units: +n when they became allocated, -n when they were given back
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", String(64), nullable=False),
    Column("why", String(200)),
)

lease = Table(
    "lease",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("holder", String(36), nullable=False),
    Column("until_ms", BigInteger, nullable=False),
)

stock_change = Table(
    "stock_change",
    metadata,
    Column("seq", _Serial, primary_key=True, autoincrement=True),
    Column("sale", String(64), nullable=False),
    Column("sku", String(64), nullable=False),
    Column("delta", BigInteger, nullable=False),  # all those of a sku together are its total
    Column("origin", String(16), nullable=False),
    Column("wave_ms", BigInteger),  # which wave it is: each arrives once
    Column("actor", String(64), nullable=False),
    Column("why", String(200), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    ForeignKeyConstraint(["sale", "sku"], ["sku.sale", "sku.sku"]),
    UniqueConstraint("sale", "sku", "wave_ms"),
)

append_only(audit, "the audit is append-only")
append_only(stock_change, "the changes of stock are append-only")
