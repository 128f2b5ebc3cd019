"""Secrets, keys that take turns, grants with their refresh tokens, opaque tokens, and what may be used once."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0003"
down_revision = "0002"


def upgrade(op: Operations) -> None:
    """Clients have no secrets, the keys that are there sign, and no token but signed ones is out."""
    op.add_column("clients", sa.Column("secrets", sa.Text, nullable=False, server_default="[]"))
    op.add_column("clients", sa.Column("registration", sa.Text, nullable=True))
    op.add_column("signing_keys", sa.Column("signs_from", sa.Double, nullable=False, server_default="0"))
    op.add_column("signing_keys", sa.Column("signs_until", sa.Double, nullable=True))
    op.add_column("signing_keys", sa.Column("published_until", sa.Double, nullable=True))
    op.add_column("revision", sa.Column("statuses", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("statuses", sa.Column("count", sa.Integer, nullable=False, server_default="1"))
    op.add_column("statuses", sa.Column("grant_id", sa.Text, nullable=False, server_default=""))
    op.create_index("statuses_by_grant", "statuses", ["grant_id"])
    op.add_column("statuses", sa.Column("revoked_in", sa.BigInteger, nullable=True))
    op.create_index("statuses_by_end", "statuses", ["ends_at"])
    revoked = sa.text("revoked_in IS NOT NULL")
    op.create_index(
        "statuses_by_revocation", "statuses", ["revoked_in"], sqlite_where=revoked, postgresql_where=revoked
    )
    op.add_column("statuses", sa.Column("sources", sa.Text, nullable=False, server_default=" "))
    obtained = sa.text("sources <> ' '")
    op.create_index("statuses_obtained", "statuses", ["idx"], sqlite_where=obtained, postgresql_where=obtained)
    op.create_table(
        "invalid_statuses",
        sa.Column("idx", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("ends_at", sa.Double, nullable=False),
        sa.Column("revoked_in", sa.BigInteger, nullable=False, server_default="0"),
    )
    op.create_index("invalid_statuses_by_end", "invalid_statuses", ["ends_at"])
    op.create_index("invalid_statuses_by_revocation", "invalid_statuses", ["revoked_in"])
    op.create_table(
        "grants",
        sa.Column("grant_id", sa.Text, primary_key=True),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("seed", sa.Text, nullable=False),
        sa.Column("thumbprint", sa.Text, nullable=False),
        sa.Column("authorities", sa.Text, nullable=False),
        sa.Column("twins", sa.Text, nullable=False),
        sa.Column("valid", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("ends_at", sa.Double, nullable=False),
        sa.Column("sources", sa.Text, nullable=False),
    )
    op.create_index("grants_by_client", "grants", ["client_id"])
    op.create_index("grants_by_end", "grants", ["ends_at"])
    op.create_index("grants_obtained", "grants", ["grant_id"], sqlite_where=obtained, postgresql_where=obtained)
    op.create_table(
        "refresh_tokens",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("grant_id", sa.Text, nullable=False),
        sa.Column("replaced_at", sa.Double, nullable=True),
        sa.Column("successor", sa.Text, nullable=True),
        sa.Column("ends_at", sa.Double, nullable=False),
    )
    op.create_index("refresh_tokens_by_grant", "refresh_tokens", ["grant_id"])
    op.create_index("refresh_tokens_by_end", "refresh_tokens", ["ends_at"])
    op.create_table(
        "access_tokens",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("claims", sa.Text, nullable=False),
        sa.Column("ends_at", sa.Double, nullable=False),
    )
    op.create_index("access_tokens_by_end", "access_tokens", ["ends_at"])
    op.create_table(
        "initial_tokens",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("uses", sa.Integer, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("ends_at", sa.Double, nullable=False),
    )
    op.create_index("initial_tokens_by_end", "initial_tokens", ["ends_at"])
    op.create_table(
        "used",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("ends_at", sa.Double, nullable=False),
    )
    op.create_index("used_by_end", "used", ["ends_at"])
    if op.get_context().dialect.name == "postgresql":
        for table in ("statuses", "invalid_statuses", "refresh_tokens", "access_tokens", "used"):
            op.execute(f"ALTER TABLE {table} SET ({_TURNS_OVER})")


# Autovacuum is to come after so many rows, not after a fifth of them; and not to rest while it works.
_TURNS_OVER = (
    "autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0"
)
