"""Recovery (after 0007)."""

import sqlalchemy as sa
from alembic import op

from tradewind.infra.db import UtcTime

revision = "0003"
down_revision = "0007"


def upgrade() -> None:
    """Bring the schema forward."""
    op.create_table(
        "recovery_reports",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("account_id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("venue", sa.String(length=24), nullable=False),
        sa.Column("environment", sa.String(length=8), nullable=False),
        sa.Column("cause", sa.String(length=24), nullable=False),
        sa.Column("restore_id", sa.String(length=36), nullable=True),
        sa.Column("started_at", UtcTime(), nullable=False),
        sa.Column("green_at", UtcTime(), nullable=True),
        sa.Column("looks", sa.Integer(), nullable=False),
        sa.Column("orders", sa.Integer(), nullable=False),
        sa.Column("fills", sa.Integer(), nullable=False),
        sa.Column("positions", sa.Integer(), nullable=False),
        sa.Column("differences", sa.Integer(), nullable=False),
        sa.Column("not_ours", sa.Integer(), nullable=False),
        sa.Column("weight", sa.Integer(), nullable=False),
        sa.Column("waits_for", sa.String(length=80), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recovery_reports")),
    )
    with op.batch_alter_table("recovery_reports", schema=None) as batch_op:
        batch_op.create_index("ix_recovery_reports_account_id_started_at", ["account_id", "started_at"], unique=False)
        batch_op.create_index("ix_recovery_reports_started_at", ["started_at"], unique=False)

    op.create_table(
        "restores",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("since", UtcTime(), nullable=False),
        sa.Column("mark_seq", sa.BigInteger(), nullable=False),
        sa.Column("database_seq", sa.BigInteger(), nullable=False),
        sa.Column("is_done", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_restores")),
    )
    with op.batch_alter_table("orders", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_orders_state"))
        batch_op.create_index("ix_orders_state_ended_at", ["state", "ended_at"], unique=False)
