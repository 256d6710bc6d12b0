"""Which of several accounts of a person trades: a preferred venue, and terms of mandates (after 0002)."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0002"


def upgrade() -> None:
    """Bring the schema forward."""
    op.add_column("users", sa.Column("preferred_venue", sa.String(length=24), nullable=True))
    for name in ("is_preferred", "trades_beside_preferred"):
        # Nobody has preferred anything yet: every account under mandate goes on trading.
        op.add_column("mandates", sa.Column(name, sa.Boolean(), server_default=sa.false(), nullable=False))
