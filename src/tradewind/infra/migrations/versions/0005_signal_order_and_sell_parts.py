"""The place of signals in the inbox on intents and lots, and the lots a sell was claimed for (after 0001)."""

import sqlalchemy as sa
from alembic import op

from tradewind.infra.db import Exact

revision = "0005"
down_revision = "0001"

# What a journal of an earlier release obeys is read from the inbox; a signal that is not in it has no place.
_FILL_IN = "UPDATE {table} SET signal_seq = (SELECT seq FROM inbox WHERE inbox.id = {table}.signal_id)"


def upgrade() -> None:
    """Bring the schema forward."""
    op.create_table(
        "sell_parts",
        sa.Column("order_id", sa.String(length=36), nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("lot_id", sa.String(length=36), nullable=False),
        sa.Column("quantity", Exact(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_sell_parts_order_id_orders")),
        sa.PrimaryKeyConstraint("order_id", "place", name=op.f("pk_sell_parts")),
    )
    for table in ("intents", "lots"):
        op.add_column(table, sa.Column("signal_seq", sa.BigInteger(), nullable=True))
        op.execute(sa.text(_FILL_IN.format(table=table)))
