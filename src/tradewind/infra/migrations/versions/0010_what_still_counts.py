"""Indexes that hold only what still counts, and rows of the outbox that hold several notes (after 0009).

A row of the outbox that was not published yet holds one note, as before.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_UNSETTLED = (
    "(state NOT IN ('CANCELED', 'DENIED', 'EXPIRED', 'FILLED', 'NEVER_ARRIVED', 'REJECTED') OR executed <> booked)"
)
_ENTRY = "leg = 'entry'"
_INDEXES = (
    ("ix_orders_unsettled", "orders", ["account_id", "symbol"], _UNSETTLED, _UNSETTLED),
    (
        "ix_orders_unsettled_entries",
        "orders",
        ["account_id"],
        f"{_ENTRY} AND {_UNSETTLED}",
        f"{_ENTRY} AND {_UNSETTLED}",
    ),
    ("ix_orders_entries", "orders", ["account_id", "created_at", "intent_kind", "state"], _ENTRY, _ENTRY),
    ("ix_lots_open_of_source", "lots", ["source_id", "base"], "is_open IS 1", "is_open IS true"),
)


def upgrade() -> None:
    """Bring the schema forward."""
    for name, table, columns, at_sqlite, at_postgresql in _INDEXES:
        op.create_index(
            name,
            table,
            columns,
            unique=False,
            sqlite_where=sa.text(at_sqlite),
            postgresql_where=sa.text(at_postgresql),
        )
    op.drop_index("ix_lots_source_id_base", table_name="lots")
    op.add_column("outbox", sa.Column("notes", sa.Integer(), nullable=True))
