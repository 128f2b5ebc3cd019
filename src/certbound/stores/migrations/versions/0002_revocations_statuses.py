"""What was revoked, and the statuses of the tokens that are out."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0002"
down_revision = "0001"


def upgrade(op: Operations) -> None:
    """Nothing is revoked, and no token has a status."""
    op.create_table(
        "revocations",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, primary_key=True),
        sa.Column("revoked_at", sa.Double, nullable=False),
    )
    op.create_table(
        "statuses",
        sa.Column("idx", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("thumbprint", sa.Text, nullable=False),
        sa.Column("authorities", sa.Text, nullable=False),
        sa.Column("twins", sa.Text, nullable=False),
        sa.Column("valid", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("ends_at", sa.Double, nullable=False),
    )
    op.create_index("statuses_by_client", "statuses", ["client_id", "thumbprint"])
