"""The tables of the order journal. Rows of `order_events` are only ever added."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from tradewind.infra.db import Exact, UtcTime, metadata

_AUTO = BigInteger().with_variant(Integer(), "sqlite")

# What may still move or take a fill, in the very words of the queries that ask for it: a database uses a partial
# index only where it finds the index's condition in the question, values included. The states are core.order.ENDED.
UNSETTLED = (
    "(state NOT IN ('CANCELED', 'DENIED', 'EXPIRED', 'FILLED', 'NEVER_ARRIVED', 'REJECTED') OR executed <> booked)"
)
IS_ENTRY = "leg = 'entry'"
# Whether anything was executed at all; amounts are text at SQLite, where "0.0" is not "0".
EXECUTED = "CAST(executed AS DOUBLE PRECISION) <> 0"

decisions = Table(
    "decisions",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("signal_id", String(36), nullable=False),
    Column("source_id", String(36), nullable=False),
    Column("user_id", String(36), nullable=False),
    Column("account_id", String(36), nullable=False),
    Column("mandate_id", String(36), nullable=True),
    # The account's place in the signal's fan-out; fixed, so that a picture of it never moves.
    Column("cell", Integer, nullable=False),
    Column("plan", String(16), nullable=True),
    Column("verdict", String(8), nullable=False),
    Column("reason", String(40), nullable=True),
    Column("confidence_pct", Integer, nullable=False),
    Column("working", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    UniqueConstraint("signal_id", "account_id"),
    Index("ix_decisions_user_id_created_at", "user_id", "created_at"),
)

intents = Table(
    "intents",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("user_id", String(36), nullable=False),
    Column("account_id", String(36), nullable=False),
    Column("symbol", String(40), nullable=False),
    Column("signal_id", String(36), nullable=True),
    Column("decision_id", String(36), nullable=True),
    Column("source_id", String(36), nullable=True),
    Column("lot_id", String(36), nullable=True),
    Column("detail", Text, nullable=False, server_default="{}"),
    Column("is_done", Boolean, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    # The signal's place in the inbox; empty where no signal stands behind it.
    Column("signal_seq", BigInteger, nullable=True),
    Index("ix_intents_open", "is_done", "kind"),
    Index("ix_intents_lot_id", "lot_id"),
)

orders = Table(
    "orders",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("intent_id", String(36), ForeignKey("intents.id"), nullable=False),
    Column("intent_kind", String(16), nullable=False),
    Column("user_id", String(36), nullable=False),
    Column("account_id", String(36), nullable=False),
    Column("venue", String(24), nullable=False),
    Column("environment", String(8), nullable=False),
    Column("symbol", String(40), nullable=False),
    Column("base", String(24), nullable=False),
    Column("quote", String(24), nullable=False),
    Column("leg", String(8), nullable=False),
    Column("side", String(4), nullable=False),
    Column("type", String(16), nullable=False),
    Column("client_order_id", String(36), nullable=False),
    Column("list_client_id", String(36), nullable=True),
    Column("generation", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("signal_id", String(36), nullable=True),
    Column("source_id", String(36), nullable=True),
    Column("lot_id", String(36), nullable=True),
    Column("quantity", Exact, nullable=True),
    Column("spend", Exact, nullable=True),
    Column("limit_price", Exact, nullable=True),
    Column("stop_price", Exact, nullable=True),
    Column("state", String(20), nullable=False),
    Column("venue_order_id", String(40), nullable=True),
    Column("executed", Exact, nullable=False),
    Column("executed_quote", Exact, nullable=False),
    Column("booked", Exact, nullable=False),
    Column("owner_epoch", BigInteger, nullable=False),
    Column("send_by_ms", BigInteger, nullable=True),
    Column("signed_at_ms", BigInteger, nullable=True),
    Column("reason", String(200), nullable=True),
    Column("is_stand_in", Boolean, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("release_at", UtcTime, nullable=False),
    Column("sent_at", UtcTime, nullable=True),
    Column("acknowledged_at", UtcTime, nullable=True),
    Column("ended_at", UtcTime, nullable=True),
    Column("rev", Integer, nullable=False),
    UniqueConstraint("account_id", "client_order_id"),
    UniqueConstraint("intent_id", "leg", "generation"),
    # By state alone, and with the time of the end: ids are watched for a day after it.
    Index("ix_orders_state_ended_at", "state", "ended_at"),
    Index("ix_orders_account_id_symbol_state", "account_id", "symbol", "state"),
    Index("ix_orders_signal_id", "signal_id"),
    Index("ix_orders_lot_id", "lot_id"),
    Index("ix_orders_user_id_created_at", "user_id", "created_at"),
    # Few rows however long the history: an account's sells and entries that count against it now.
    Index(
        "ix_orders_unsettled",
        "account_id",
        "symbol",
        sqlite_where=text(UNSETTLED),
        postgresql_where=text(UNSETTLED),
    ),
    Index(
        "ix_orders_unsettled_entries",
        "account_id",
        sqlite_where=text(f"{IS_ENTRY} AND {UNSETTLED}"),
        postgresql_where=text(f"{IS_ENTRY} AND {UNSETTLED}"),
    ),
    # Counts an account's entries of a week without reading them.
    Index(
        "ix_orders_entries",
        "account_id",
        "created_at",
        "intent_kind",
        "state",
        sqlite_where=text(IS_ENTRY),
        postgresql_where=text(IS_ENTRY),
    ),
)

order_events = Table(
    "order_events",
    metadata,
    Column("seq", _AUTO, primary_key=True, autoincrement=True),
    Column("order_id", String(36), nullable=False),
    Column("user_id", String(36), nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("kind", String(24), nullable=False),
    Column("from_state", String(20), nullable=False),
    Column("to_state", String(20), nullable=False),
    Column("detail", Text, nullable=False),
    Index("ix_order_events_order_id_seq", "order_id", "seq"),
)

fills = Table(
    "fills",
    metadata,
    Column("seq", _AUTO, primary_key=True, autoincrement=True),
    Column("venue", String(24), nullable=False),
    Column("environment", String(8), nullable=False),
    Column("account_id", String(36), nullable=False),
    Column("user_id", String(36), nullable=False),
    Column("symbol", String(40), nullable=False),
    Column("venue_order_id", String(40), nullable=False),
    Column("fill_id", String(40), nullable=False),
    Column("order_id", String(36), nullable=False),
    Column("side", String(4), nullable=False),
    Column("quantity", Exact, nullable=False),
    Column("price", Exact, nullable=False),
    Column("quote_amount", Exact, nullable=False),
    Column("fee_amount", Exact, nullable=True),
    Column("fee_asset", String(24), nullable=True),
    Column("at", UtcTime, nullable=False),
    Column("booked_at", UtcTime, nullable=False),
    UniqueConstraint("venue", "account_id", "symbol", "venue_order_id", "fill_id"),
    Index("ix_fills_order_id", "order_id"),
)

# What the claim of a sell over several lots fixed: which lots it takes from, in order, and how much of each.
# A sell that names its lot needs no rows; one claimed by an earlier release has none.
sell_parts = Table(
    "sell_parts",
    metadata,
    Column("order_id", String(36), ForeignKey("orders.id"), primary_key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("lot_id", String(36), nullable=False),
    Column("quantity", Exact, nullable=False),
)

# One row an account: compared and bumped in every transaction that changes what the account is exposed to.
account_states = Table(
    "account_states",
    metadata,
    Column("account_id", String(36), primary_key=True),
    Column("exposure_version", BigInteger, nullable=False),
    Column("owner_epoch", BigInteger, nullable=False),
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("at", UtcTime, nullable=False),
    Column("user_id", String(36), nullable=False),
    Column("account_id", String(36), nullable=False),
    Column("order_id", String(36), nullable=True),
    Column("kind", String(40), nullable=False),
    Column("detail", Text, nullable=False),
    Index("ix_incidents_user_id_at", "user_id", "at"),
)

# Numbers that only grow, one row each, locked by whoever must not meet whom: `owner` is bumped by the process
# that takes the journal over, `stop` by every emergency stop and resume.
epochs = Table(
    "epochs",
    metadata,
    Column("name", String(16), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

# One row a scope that was ever stopped. `epoch` is the number of its last stop: what was decided before it is
# not sent, resumed or not. `is_settled`: what the policy asks for has been carried out.
emergency_stops = Table(
    "emergency_stops",
    metadata,
    Column("scope", String(8), primary_key=True),
    Column("subject", String(36), primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("is_stopped", Boolean, nullable=False),
    Column("policy", String(8), nullable=False),
    Column("actor", String(80), nullable=False),
    Column("reason", String(200), nullable=False),
    Column("stopped_at", UtcTime, nullable=False),
    Column("resumed_by", String(80), nullable=True),
    Column("resumed_at", UtcTime, nullable=True),
    Column("is_settled", Boolean, nullable=False),
)
