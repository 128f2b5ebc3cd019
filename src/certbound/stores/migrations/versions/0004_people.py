"""People: tickets, accounts, sessions, consents, pairwise subjects, and whom a grant is from."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0004"
down_revision = "0003"


def upgrade(op: Operations) -> None:
    """Nobody has an account, and the grants that are there are from nobody."""
    of_a_person = sa.text("subject <> ''")
    op.add_column("grants", sa.Column("subject", sa.Text, nullable=False, server_default=""))
    op.create_index("grants_by_subject", "grants", ["subject"], sqlite_where=of_a_person, postgresql_where=of_a_person)
    _create_tickets(op)
    _create_accounts(op)
    _create_consents(op)
    if op.get_context().dialect.name == "postgresql":
        for table in ("tickets", "sessions"):
            op.execute(f"ALTER TABLE {table} SET ({_TURNS_OVER})")


def _create_tickets(op: Operations) -> None:
    op.create_table(
        "tickets",
        sa.Column("ticket", sa.Text, primary_key=True),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("ends_at", sa.Double, nullable=False),
        sa.Column("taken_at", sa.Double, nullable=True),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    op.create_index("tickets_by_end", "tickets", ["ends_at"])


def _create_accounts(op: Operations) -> None:
    op.create_table(
        "accounts",
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("username", sa.Text, nullable=False),
        sa.Column("password", sa.Text, nullable=False),
        sa.Column("claims", sa.Text, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("password_at", sa.Double, nullable=False),
    )
    op.create_index("accounts_by_username", "accounts", ["username"], unique=True)
    op.create_table(
        "sessions",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("sid", sa.Text, nullable=False),
        sa.Column("auth_time", sa.Double, nullable=False),
        sa.Column("acr", sa.Text, nullable=False),
        sa.Column("amr", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("ends_at", sa.Double, nullable=False),
    )
    op.create_index("sessions_by_subject", "sessions", ["subject"])
    op.create_index("sessions_by_end", "sessions", ["ends_at"])


def _create_consents(op: Operations) -> None:
    op.create_table(
        "consents",
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("client_id", sa.Text, primary_key=True),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("resources", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("used_at", sa.Double, nullable=True),
        sa.Column("certificate", sa.Text, nullable=False),
    )
    op.create_index("consents_by_client", "consents", ["client_id"])
    op.create_table(
        "pairwise_subjects",
        sa.Column("pairwise", sa.Text, primary_key=True),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("sector", sa.Text, nullable=False),
    )
    op.create_index("pairwise_subjects_by_subject", "pairwise_subjects", ["subject", "sector"], unique=True)


# As in step 0003: autovacuum is to come after so many rows, not after a fifth of them; and not to rest while it works.
_TURNS_OVER = (
    "autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0"
)
