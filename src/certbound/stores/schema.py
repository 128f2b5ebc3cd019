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
    text,
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
    # JSON: an array of hashed secrets; how the client registered itself, if it did.
    Column("secrets", Text, nullable=False, server_default="[]"),
    Column("registration", Text, nullable=True),
)

signing_keys = Table(
    "signing_keys",
    tables,
    Column("kid", Text, primary_key=True),
    Column("alg", Text, nullable=False),
    Column("private_key", LargeBinary, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("signs_from", Double, nullable=False, server_default="0"),
    Column("signs_until", Double, nullable=True),
    Column("published_until", Double, nullable=True),
)

revocations = Table(
    "revocations",
    tables,
    Column("kind", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("revoked_at", Double, nullable=False),
)

_IS_REVOKED = text("revoked_in IS NOT NULL")

IS_OBTAINED = text("sources <> ' '")

OF_A_PERSON = text("subject <> ''")

# `authorities` and `twins` are thumbprints with a space before, between and after them, and `sources` names of
# `descent`; `revoked_in` is what `revision.statuses` was when it became invalid.
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
    Column("count", Integer, nullable=False, server_default="1"),
    Column("grant_id", Text, nullable=False, server_default=""),
    Column("revoked_in", BigInteger, nullable=True),
    Column("sources", Text, nullable=False, server_default=" "),
    Index("statuses_by_client", "client_id", "thumbprint"),
    Index("statuses_by_grant", "grant_id"),
    Index("statuses_by_end", "ends_at"),
    Index("statuses_by_revocation", "revoked_in", sqlite_where=_IS_REVOKED, postgresql_where=_IS_REVOKED),
    Index("statuses_obtained", "idx", sqlite_where=IS_OBTAINED, postgresql_where=IS_OBTAINED),
)

# Single statuses that are not valid, of rows of `statuses` that are.
invalid_statuses = Table(
    "invalid_statuses",
    tables,
    Column("idx", BigInteger, primary_key=True, autoincrement=False),
    Column("ends_at", Double, nullable=False),
    Column("revoked_in", BigInteger, nullable=False, server_default="0"),
    Index("invalid_statuses_by_end", "ends_at"),
    Index("invalid_statuses_by_revocation", "revoked_in"),
)

# `content` is JSON: what was granted.
grants = Table(
    "grants",
    tables,
    Column("grant_id", Text, primary_key=True),
    Column("client_id", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("seed", Text, nullable=False),
    Column("thumbprint", Text, nullable=False),
    Column("authorities", Text, nullable=False),
    Column("twins", Text, nullable=False),
    Column("valid", Boolean, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("ends_at", Double, nullable=False),
    Column("sources", Text, nullable=False),
    Column("subject", Text, nullable=False, server_default=""),
    Index("grants_by_client", "client_id"),
    Index("grants_by_subject", "subject", sqlite_where=OF_A_PERSON, postgresql_where=OF_A_PERSON),
    Index("grants_by_end", "ends_at"),
    Index("grants_obtained", "grant_id", sqlite_where=IS_OBTAINED, postgresql_where=IS_OBTAINED),
)

# `digest` and `successor` are the SHA-256 of tokens, base64url.
refresh_tokens = Table(
    "refresh_tokens",
    tables,
    Column("digest", Text, primary_key=True),
    Column("grant_id", Text, nullable=False),
    Column("replaced_at", Double, nullable=True),
    Column("successor", Text, nullable=True),
    Column("ends_at", Double, nullable=False),
    Index("refresh_tokens_by_grant", "grant_id"),
    Index("refresh_tokens_by_end", "ends_at"),
)

access_tokens = Table(
    "access_tokens",
    tables,
    Column("digest", Text, primary_key=True),
    Column("claims", Text, nullable=False),
    Column("ends_at", Double, nullable=False),
    Index("access_tokens_by_end", "ends_at"),
)

# Initial access tokens of registration.
initial_tokens = Table(
    "initial_tokens",
    tables,
    Column("digest", Text, primary_key=True),
    Column("uses", Integer, nullable=False),
    Column("label", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("ends_at", Double, nullable=False),
    Index("initial_tokens_by_end", "ends_at"),
)

# Values that count once, such as the `jti` of an assertion.
used = Table(
    "used",
    tables,
    Column("digest", Text, primary_key=True),
    Column("ends_at", Double, nullable=False),
    Index("used_by_end", "ends_at"),
)

# `ticket` is the kind, a space, and the SHA-256 of what its holder shows, base64url; `content` is JSON.
tickets = Table(
    "tickets",
    tables,
    Column("ticket", Text, primary_key=True),
    Column("content", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("ends_at", Double, nullable=False),
    Column("taken_at", Double, nullable=True),
    Column("version", BigInteger, nullable=False),
    Index("tickets_by_end", "ends_at"),
)

accounts = Table(
    "accounts",
    tables,
    Column("subject", Text, primary_key=True),
    Column("username", Text, nullable=False),
    Column("password", Text, nullable=False),
    Column("claims", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("password_at", Double, nullable=False),
    Index("accounts_by_username", "username", unique=True),
)

sessions = Table(
    "sessions",
    tables,
    Column("digest", Text, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("sid", Text, nullable=False),
    Column("auth_time", Double, nullable=False),
    Column("acr", Text, nullable=False),
    Column("amr", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("ends_at", Double, nullable=False),
    Index("sessions_by_subject", "subject"),
    Index("sessions_by_end", "ends_at"),
)

# `scope`, `resources` and `amr` (above) are JSON arrays.
consents = Table(
    "consents",
    tables,
    Column("subject", Text, primary_key=True),
    Column("client_id", Text, primary_key=True),
    Column("scope", Text, nullable=False),
    Column("resources", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("used_at", Double, nullable=True),
    Column("certificate", Text, nullable=False),
    Index("consents_by_client", "client_id"),
)

pairwise_subjects = Table(
    "pairwise_subjects",
    tables,
    Column("pairwise", Text, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("sector", Text, nullable=False),
    Index("pairwise_subjects_by_subject", "subject", "sector", unique=True),
)

# One row.  Each change moves it first, in the same transaction, and so waits for every other change to end.
revision = Table(
    "revision",
    tables,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
    # Moves when a status, a grant or a token was revoked, which nobody needs to read all clients again for.
    Column("statuses", BigInteger, nullable=False, server_default="0"),
    CheckConstraint("id = 1", name="revision_has_one_row"),
)
