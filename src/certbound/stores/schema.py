"""The one schema of every store.

Rules kept here:
- what the tables are today; `migrations` says how a database gets there, and a test compares the two;
- column types that mean the same in SQLite and PostgreSQL;
- metadata is text, not a JSON column: the database never reads it, so it cannot refuse it either.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

tables = MetaData()

clients = Table(
    "clients",
    tables,
    Column("client_id", Text, primary_key=True),
    Column("metadata", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("created_at", Double, nullable=False),
)

signing_keys = Table(
    "signing_keys",
    tables,
    Column("kid", Text, primary_key=True),
    Column("alg", Text, nullable=False),
    Column("private_key", LargeBinary, nullable=False),
    Column("created_at", Double, nullable=False),
)

revocations = Table(
    "revocations",
    tables,
    Column("kind", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("revoked_at", Double, nullable=False),
)

# `authorities` and `twins` are thumbprints with a space before, between and after them.
statuses = Table(
    "statuses",
    tables,
    Column("idx", BigInteger, primary_key=True, autoincrement=False),
    Column("client_id", Text, nullable=False),
    Column("thumbprint", Text, nullable=False),
    Column("authorities", Text, nullable=False),
    Column("twins", Text, nullable=False),
    Column("valid", Boolean, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("ends_at", Double, nullable=False),
    Index("statuses_by_client", "client_id", "thumbprint"),
)

# One row.  Each change moves it first, in the same transaction, and so waits for every other change to end.
revision = Table(
    "revision",
    tables,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="revision_has_one_row"),
)
