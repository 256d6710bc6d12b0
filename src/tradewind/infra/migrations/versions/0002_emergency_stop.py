"""Emergency stop (after 0005)."""

import sqlalchemy as sa
from alembic import op

from tradewind.infra.db import UtcTime

revision = "0002"
down_revision = "0005"


def upgrade() -> None:
    """Bring the schema forward."""
    op.create_table(
        "emergency_stops",
        sa.Column("scope", sa.String(length=8), nullable=False),
        sa.Column("subject", sa.String(length=36), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("is_stopped", sa.Boolean(), nullable=False),
        sa.Column("policy", sa.String(length=8), nullable=False),
        sa.Column("actor", sa.String(length=80), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("stopped_at", UtcTime(), nullable=False),
        sa.Column("resumed_by", sa.String(length=80), nullable=True),
        sa.Column("resumed_at", UtcTime(), nullable=True),
        sa.Column("is_settled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "subject", name=op.f("pk_emergency_stops")),
    )
    epochs = op.create_table(
        "epochs",
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_epochs")),
    )
    # A row that is not there cannot be locked, so these are there before anybody looks.
    op.bulk_insert(epochs, [{"name": name, "value": 0} for name in ("owner", "stop", "stop_seen")])
