"""Protection: since when a lot stands as it does, and how long it stood without protection."""

import sqlalchemy as sa
from alembic import op

from tradewind.infra.db import UtcTime

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Bring the schema forward."""
    with op.batch_alter_table("lots") as batch:
        batch.add_column(sa.Column("state_since", UtcTime(), nullable=True))
        batch.add_column(sa.Column("naked_ms", sa.BigInteger(), server_default="0", nullable=False))
        batch.add_column(sa.Column("watched_ms", sa.BigInteger(), server_default="0", nullable=False))
    op.create_index("ix_orders_lot_id", "orders", ["lot_id"], unique=False)
