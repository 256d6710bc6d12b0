"""The tables of recovery: what each reconcile of an account found, and restores of an older backup."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, Text

from tradewind.infra.db import UtcTime, metadata

# One row for every time an account was held, and for every look at an open one that found a difference.
recovery_reports = Table(
    "recovery_reports",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("account_id", String(36), nullable=False),
    Column("user_id", String(36), nullable=False),
    Column("venue", String(24), nullable=False),
    Column("environment", String(8), nullable=False),
    Column("cause", String(24), nullable=False),
    Column("restore_id", String(36), nullable=True),
    Column("started_at", UtcTime, nullable=False),
    # When the account was found in order; null while its entries wait.
    Column("green_at", UtcTime, nullable=True),
    Column("looks", Integer, nullable=False),
    Column("orders", Integer, nullable=False),
    Column("fills", Integer, nullable=False),
    Column("positions", Integer, nullable=False),
    Column("differences", Integer, nullable=False),
    Column("not_ours", Integer, nullable=False),
    Column("weight", Integer, nullable=False),
    # Why the account still waits, in a word; null when it does not.
    Column("waits_for", String(80), nullable=True),
    Column("detail", Text, nullable=False),
    Index("ix_recovery_reports_account_id_started_at", "account_id", "started_at"),
    Index("ix_recovery_reports_started_at", "started_at"),
)

# A database that was put back from a backup: from when on its journal knows nothing.
restores = Table(
    "restores",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("at", UtcTime, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("since", UtcTime, nullable=False),
    Column("mark_seq", BigInteger, nullable=False),
    Column("database_seq", BigInteger, nullable=False),
    # True once every account of that time has been reconciled.
    Column("is_done", Boolean, nullable=False),
)
