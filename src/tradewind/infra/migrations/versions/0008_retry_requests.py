"""Retry requests (after 0004)."""

import sqlalchemy as sa
from alembic import op

from tradewind.infra.db import UtcTime

revision = "0008"
down_revision = "0004"


def upgrade() -> None:
    """Bring the schema forward."""
    op.create_table(
        "retry_requests",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("signal_id", sa.String(length=36), nullable=False),
        sa.Column("max_age_s", sa.Integer(), nullable=True),
        sa.Column("accounts", sa.Text(), nullable=False),
        sa.Column("asked_at", UtcTime(), nullable=False),
        sa.Column("done_at", UtcTime(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_retry_requests")),
    )
    with op.batch_alter_table("retry_requests", schema=None) as batch_op:
        batch_op.create_index("ix_retry_requests_done_at", ["done_at"], unique=False)
