"""What stands behind a grant from a person, as rows say it: their account, and what they let clients do.

Rule: what stands in the database was perhaps edited by hand: an account that cannot be read is a disabled one without a
password; one that nobody can name, and a consent that cannot be read, is none.
"""

import logging
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Integer, bindparam, select, type_coerce, update

from certbound.core.ports import AccountRecord, ConsentRecord
from certbound.stores.content import read_json, read_object, read_time
from certbound.stores.database import can_be_kept
from certbound.stores.prepared import Hands, Prepared
from certbound.stores.schema import accounts, consents


def read_account(row: Sequence[Any]) -> AccountRecord | None:
    """The record of a row of `ACCOUNT`."""
    subject, username, password, stored, enabled, version, created_at, password_at = row
    if not can_be_kept(subject, username):
        _log.warning("an account with the name %r cannot be read; it is left out", username)
        return None
    claims = read_object(stored)
    whole = claims is not None and can_be_kept(password) and isinstance(version, int) and isinstance(password_at, float)
    if not whole:
        _log.warning("the account %r cannot be read; it counts as disabled", username)
    return AccountRecord(
        subject=subject,
        username=username,
        password=password if whole else "",
        claims=claims or {},
        enabled=whole and enabled == 1,
        version=version if isinstance(version, int) else 0,
        created_at=read_time(created_at),
        password_at=read_time(password_at),
    )


def read_consent(row: Sequence[Any]) -> ConsentRecord | None:
    """The record of a row of `consents`."""
    subject, client_id, stored_scope, stored_resources, created_at, used_at, certificate = row
    scope, resources = read_json(stored_scope, tuple[str, ...]), read_json(stored_resources, tuple[str, ...])
    times = isinstance(created_at, float) and isinstance(used_at, float | None)
    if scope is None or resources is None or not times or not can_be_kept(subject, client_id, certificate):
        _log.warning("the consent of %r for client %r cannot be read; it counts for nothing", subject, client_id)
        return None
    return ConsentRecord(
        subject=subject,
        client_id=client_id,
        scope=scope,
        resources=resources,
        created_at=created_at,
        used_at=used_at,
        certificate=certificate,
    )


async def account_of(hands: Hands, subject: str) -> AccountRecord | None:
    """That of the person, as a part of a transaction."""
    rows = (await hands.run(ACCOUNT_OF, {"key": subject})).rows
    return read_account(rows[0]) if rows else None


async def consent_of(hands: Hands, subject: str, client_id: str) -> ConsentRecord | None:
    """What the person lets the client do, as a part of a transaction."""
    rows = (await hands.run(CONSENT_OF, {"person": subject, "client": client_id})).rows
    return read_consent(rows[0]) if rows else None


async def note_use(hands: Hands, subject: str, client_id: str, *, certificate: str, now: float) -> None:
    """The client got a token by the person's consent now, if there is one; a part of a transaction."""
    values = {"person": subject, "client": client_id, "with": certificate, "now": now}
    await hands.run(_NOTE_USE, values)


_log = logging.getLogger(__name__)

# As a number: a BOOLEAN of SQLite holds whatever a hand writes into it, and only 1 is true.
ACCOUNT = (
    accounts.c.subject,
    accounts.c.username,
    accounts.c.password,
    accounts.c.claims,
    type_coerce(accounts.c.enabled, Integer).label("enabled"),
    accounts.c.version,
    accounts.c.created_at,
    accounts.c.password_at,
)
ACCOUNT_OF = Prepared(select(*ACCOUNT).where(accounts.c.subject == bindparam("key")))

IS_OF_PERSON = consents.c.subject == bindparam("person")
_IS_OF_BOTH = IS_OF_PERSON & (consents.c.client_id == bindparam("client"))
CONSENT_OF = Prepared(select(consents).where(_IS_OF_BOTH))
_NOTE_USE = Prepared(
    update(consents).where(_IS_OF_BOTH).values(used_at=bindparam("now"), certificate=bindparam("with"))
)
