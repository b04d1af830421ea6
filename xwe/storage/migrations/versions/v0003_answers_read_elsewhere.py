"""Answers that are read in another process than the one that makes them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add until when they are."""
    op.add_column("generation", sa.Column("read_until", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    """Forget it."""
    op.drop_column("generation", "read_until")
