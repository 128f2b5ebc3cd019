"""What was obtained from what: a token that was exchanged, or a grant that was opened so, ends with where it is from.

Rules kept here:
- a block of statuses, and a grant, names everything whose revocation would have ended the token that it was obtained
  from, and what that one was obtained from itself: whoever revokes looks for one name, however long the chain is;
- what has ended by time ended nothing: the names stay when the rows that they were made of are gone;
- a name is one word, whatever is named.  To a database's LIKE capitals are small letters, so what it finds is compared
  again;
- what was obtained from nothing, nearly everything, is in no index here and costs nothing.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from sqlalchemy import ColumnElement, Table, and_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from certbound.core.ports import Origin, RevokedKind, StatusRecord
from certbound.stores.content import read_list
from certbound.stores.schema import IS_OBTAINED, grants, statuses
from certbound.stores.statuses import ALL_STATUSES, chunks, invalidate_grant_statuses, invalidate_statuses, read_status

GRANT = "grant"
"""Beside those of `RevokedKind`, what a name may be of."""


def name_of(kind: str, value: str) -> str:
    """The word for it among the `sources` of what it ends."""
    return f"{kind}:{quote(value, safe='')}"


async def origin_at(connection: AsyncConnection, index: int) -> Origin | None:
    """As `core.ports.Revocations.origin`."""
    row = (await connection.execute(_BLOCKS.where(statuses.c.idx <= index))).first()
    if row is None:
        return None
    status = read_status(row[:-_OF_GRANT])
    if not (status.valid and index < status.index + status.count):
        return None
    # Of a grant that is gone there is the name: nothing that was revoked since would have ended its tokens.
    thumbprint, authorities, twins, sources = row[-_OF_GRANT:]
    listed = [*status.sources, *_names(status)]
    if thumbprint is not None:
        grant = StatusRecord(
            client_id=status.client_id,
            thumbprint=thumbprint,
            authorities=read_list(authorities),
            twins=read_list(twins),
        )
        listed += [*read_list(sources), *_names(grant)]
    return Origin(index=status.index, sources=tuple(dict.fromkeys(listed)))


def is_obtained(table: Table, name: str) -> ColumnElement[bool]:
    """Of a row, perhaps, that it was obtained from this: of statuses and of grants."""
    return and_(IS_OBTAINED, table.c.sources.contains(f" {name} ", autoescape=True))


async def end_obtained(connection: AsyncConnection, name: str) -> None:
    """The grants and statuses obtained from this do not count; part of a transaction that moves their number."""
    for grant_id in await _obtained(connection, grants.c.grant_id, grants, name):
        await connection.execute(update(grants).where(grants.c.grant_id == grant_id).values(valid=False))
        await invalidate_grant_statuses(connection, grant_id)
    for some in chunks(await _obtained(connection, statuses.c.idx, statuses, name)):
        await invalidate_statuses(connection, some)


async def _obtained(connection: AsyncConnection, key: ColumnElement[Any], table: Table, name: str) -> Sequence[Any]:
    question = select(key, table.c.sources).where(table.c.valid.is_(True), is_obtained(table, name))
    return [row[0] for row in (await connection.execute(question)).all() if name in read_list(row[1])]


def _names(held: StatusRecord) -> Sequence[str]:
    """Of all that would end it."""
    certificates = [each for each in (held.thumbprint, *held.twins) if each]
    return [
        name_of(RevokedKind.CLIENT, held.client_id),
        *(name_of(RevokedKind.CERTIFICATE, each) for each in certificates),
        *(name_of(RevokedKind.AUTHORITY, each) for each in held.authorities),
        *([name_of(GRANT, held.grant_id)] if held.grant_id else []),
    ]


_GRANT_COLUMNS = grants.c.thumbprint, grants.c.authorities, grants.c.twins, grants.c.sources
_OF_GRANT = len(_GRANT_COLUMNS)
_BLOCKS = (
    ALL_STATUSES.add_columns(*_GRANT_COLUMNS)
    .outerjoin_from(statuses, grants, (grants.c.grant_id == statuses.c.grant_id) & (statuses.c.grant_id != ""))
    .order_by(statuses.c.idx.desc())
    .limit(1)
)
