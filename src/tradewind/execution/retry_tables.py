"""The table of retries that were asked for at the command line: the running platform carries them out."""

from sqlalchemy import Column, Index, Integer, String, Table, Text

from tradewind.infra.db import UtcTime, metadata

retry_requests = Table(
    "retry_requests",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("signal_id", String(36), nullable=False),
    Column("max_age_s", Integer, nullable=True),
    # Account ids as a JSON list; empty for all.
    Column("accounts", Text, nullable=False),
    Column("asked_at", UtcTime, nullable=False),
    Column("done_at", UtcTime, nullable=True),
    # What was done for each account, or why nothing was, as JSON.
    Column("answer", Text, nullable=True),
    Index("ix_retry_requests_done_at", "done_at"),
)
