"""What people let clients do, and what clients know them by, over any database that SQLAlchemy speaks to.

Rules kept here:
- what is withdrawn ends what was given by it, in one transaction behind the lock of all changes;
- of processes that make a pairwise subject at once, one does, and all are told that one.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import ConsentRecord
from certbound.stores.content import write_json
from certbound.stores.database import Database, can_be_kept, insert_into
from certbound.stores.grants import NothingThere, end_grants_from
from certbound.stores.prepared import Hands, Prepared
from certbound.stores.schema import consents, pairwise_subjects
from certbound.stores.standing import CONSENT_OF, IS_OF_PERSON, note_use, read_consent


class SqlConsents:
    """A row for each person and client."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, subject: str, client_id: str) -> ConsentRecord | None:
        """It, or None."""
        if not can_be_kept(subject, client_id):
            return None
        rows = await self._database.find(CONSENT_OF, {"person": subject, "client": client_id})
        return read_consent(rows[0]) if rows else None

    async def list(self, subject: str) -> Sequence[ConsentRecord]:
        """Those of a person, the latest first."""
        rows = await self._database.find(_OF_PERSON, {"person": subject}) if can_be_kept(subject) else ()
        found = [record for row in rows if (record := read_consent(row))]
        return sorted(found, key=lambda consent: (-consent.created_at, consent.client_id))

    async def put(self, record: ConsentRecord) -> None:
        """It stands, in the place of the one before; what that says of its use stays."""
        await self._put(record, lambda before: record)

    async def join(self, record: ConsentRecord) -> None:
        """As `put`, together with the scope and resources of the one before."""
        await self._put(record, lambda before: _joined(before, record))

    async def _put(self, record: ConsentRecord, instead: Callable[[ConsentRecord], ConsentRecord]) -> None:
        """`record` where there was none, else what stands `instead` of the one before."""
        if not can_be_kept(record.subject, record.client_id, record.certificate):
            raise StoreUnavailable("a consent is of ids and names, text without NUL")
        key = {"subject": record.subject, "client_id": record.client_id}
        use = {"used_at": record.used_at, "certificate": record.certificate}
        values = _agreed(record)
        there = _is(record.subject, record.client_id)

        async def steps(connection: AsyncConnection) -> None:
            first = insert_into(connection, consents).values({**key, **values, **use})
            if (await connection.execute(first.on_conflict_do_nothing())).rowcount == 1:
                return
            # SQLite needs no such words and gets none: there a transaction that writes is alone.
            row = (await connection.execute(select(consents).where(there).with_for_update())).first()
            before = None if row is None else read_consent(row)
            after = values if before is None else _agreed(instead(before))
            await connection.execute(update(consents).where(there).values(after))

        await self._database.write(steps)

    async def use(self, subject: str, client_id: str, *, certificate: str, now: float) -> None:
        """The client got a token by it now, if there is one."""
        if not can_be_kept(subject, client_id, certificate):
            return

        async def steps(hands: Hands) -> None:
            await note_use(hands, subject, client_id, certificate=certificate, now=now)

        await self._database.write_prepared(steps)

    async def withdraw(self, subject: str, client_id: str) -> bool:
        """It is gone, and the client's grants from this person are revoked."""
        if not (subject and can_be_kept(subject, client_id)):
            return False

        async def steps(connection: AsyncConnection) -> None:
            gone = await connection.execute(delete(consents).where(_is(subject, client_id)))
            ended = await end_grants_from(connection, subject, client_id)
            if not (gone.rowcount or ended):
                raise NothingThere

        try:
            await self._database.change_statuses(steps)
        except NothingThere:
            return False
        return True


class SqlSubjects:
    """A row for each person and sector."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def pairwise(self, subject: str, sector: str, *, proposed: str) -> str:
        """The person's subject in that sector: `proposed` if there was none."""
        if not can_be_kept(subject, sector, proposed):
            raise StoreUnavailable("a pairwise subject is of ids, text without NUL")
        both = {"person": subject, "where": sector}

        async def steps(connection: AsyncConnection) -> Any:
            values = {"pairwise": proposed, "subject": subject, "sector": sector}
            await connection.execute(insert_into(connection, pairwise_subjects).values(values).on_conflict_do_nothing())
            return await connection.scalar(_PAIRWISE.clause, both)

        rows = await self._database.find(_PAIRWISE, both)
        found = (rows[0][0] if rows else None) or await self._database.write(steps)
        if not isinstance(found, str):
            raise StoreUnavailable(f"the subject that was proposed for the sector {sector!r} is another's")
        return found

    async def reveal(self, pairwise: str) -> str | None:
        """The subject it stands for; None if it stands for none."""
        if not can_be_kept(pairwise):
            return None
        rows = await self._database.find(_REVEALED, {"known_by": pairwise})
        return rows[0][0] if rows and can_be_kept(rows[0][0]) else None


def _is(subject: str, client_id: str) -> ColumnElement[bool]:
    return (consents.c.subject == subject) & (consents.c.client_id == client_id)


def _agreed(record: ConsentRecord) -> dict[str, Any]:
    """The columns that say to what, and when."""
    return {
        "scope": write_json(record.scope, "the scope of a consent"),
        "resources": write_json(record.resources, "the resources of a consent"),
        "created_at": record.created_at,
    }


def _joined(before: ConsentRecord, record: ConsentRecord) -> ConsentRecord:
    scope, resources = {*before.scope, *record.scope}, dict.fromkeys((*before.resources, *record.resources))
    return replace(record, scope=tuple(sorted(scope)), resources=tuple(resources))


_OF_PERSON = Prepared(select(consents).where(IS_OF_PERSON))

_PAIRWISE = Prepared(
    select(pairwise_subjects.c.pairwise).where(
        pairwise_subjects.c.subject == bindparam("person"), pairwise_subjects.c.sector == bindparam("where")
    )
)
_REVEALED = Prepared(select(pairwise_subjects.c.subject).where(pairwise_subjects.c.pairwise == bindparam("known_by")))
