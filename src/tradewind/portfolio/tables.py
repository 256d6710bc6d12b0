"""The tables of the portfolio: lots, sales, balances."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, Text, UniqueConstraint, text

from tradewind.infra.db import Exact, UtcTime, metadata

# In the words of the queries, or the partial index is not found.
IS_OPEN = {"sqlite": "is_open IS 1", "postgresql": "is_open IS true"}
_AUTO = BigInteger().with_variant(Integer(), "sqlite")

lots = Table(
    "lots",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("user_id", String(36), nullable=False),
    Column("account_id", String(36), nullable=False),
    Column("venue", String(24), nullable=False),
    Column("environment", String(8), nullable=False),
    Column("symbol", String(40), nullable=False),
    Column("base", String(24), nullable=False),
    Column("quote", String(24), nullable=False),
    Column("source_id", String(36), nullable=True),
    Column("signal_id", String(36), nullable=True),
    Column("entry_order_id", String(36), nullable=False, unique=True),
    Column("opened_at", UtcTime, nullable=False),
    Column("quantity", Exact, nullable=False),
    Column("cost_quote", Exact, nullable=False),
    Column("bought_quantity", Exact, nullable=False),
    Column("bought_quote", Exact, nullable=False),
    Column("fees_other", Text, nullable=False),
    Column("stop", Exact, nullable=True),
    Column("target", Exact, nullable=True),
    Column("trailing_bps", Integer, nullable=True),
    Column("peak", Exact, nullable=True),
    Column("time_exit_at", UtcTime, nullable=True),
    Column("state", String(24), nullable=False),
    Column("state_reason", String(200), nullable=True),
    Column("is_open", Boolean, nullable=False),
    Column("closed_at", UtcTime, nullable=True),
    Column("rev", Integer, nullable=False),
    # The signal's place in the inbox; empty where no signal opened it.
    Column("signal_seq", BigInteger, nullable=True),
    # Since when it stands as it does; rows of the first release know only when they were opened.
    Column("state_since", UtcTime, nullable=True),
    Column("naked_ms", BigInteger, nullable=False, server_default="0"),
    Column("watched_ms", BigInteger, nullable=False, server_default="0"),
    Index("ix_lots_open", "is_open", "account_id", "symbol"),
    Index("ix_lots_user_id_opened_at", "user_id", "opened_at"),
    # Open ones only: a close asks for them, and what was sold long ago is most of the table.
    Index(
        "ix_lots_open_of_source",
        "source_id",
        "base",
        sqlite_where=text(IS_OPEN["sqlite"]),
        postgresql_where=text(IS_OPEN["postgresql"]),
    ),
)

sales = Table(
    "sales",
    metadata,
    Column("seq", _AUTO, primary_key=True, autoincrement=True),
    Column("lot_id", String(36), nullable=False),
    Column("user_id", String(36), nullable=False),
    Column("account_id", String(36), nullable=False),
    Column("order_id", String(36), nullable=False),
    Column("fill_id", String(40), nullable=False),
    Column("cause", String(16), nullable=False),
    Column("quantity", Exact, nullable=False),
    Column("price", Exact, nullable=False),
    Column("proceeds_quote", Exact, nullable=False),
    Column("cost_quote", Exact, nullable=False),
    Column("quote", String(24), nullable=False),
    Column("fees_other", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
    UniqueConstraint("lot_id", "order_id", "fill_id"),
    Index("ix_sales_user_id_at", "user_id", "at"),
)

balances = Table(
    "balances",
    metadata,
    Column("account_id", String(36), primary_key=True),
    Column("asset", String(24), primary_key=True),
    Column("user_id", String(36), nullable=False),
    Column("free", Exact, nullable=False),
    Column("locked", Exact, nullable=False),
    Column("at", UtcTime, nullable=False),
)
