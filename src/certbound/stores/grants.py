"""Grants and their refresh tokens, over any database that SQLAlchemy speaks to.

Rules kept here:
- a grant is opened behind the lock of all changes: a revocation that commits before it is seen, and one that comes
  after it finds the grant;
- a token is replaced behind the lock of its grant's row: where many replace one token at once, one does, and all others
  see what it did;
- a grant is revoked with the statuses of its access tokens in one transaction, also when a token is used again.  That
  takes the lock of all changes before the grant's row, as every revocation does, so that no two wait for each other.
  What was used again stays so, and need not be asked anew behind it.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Integer, and_, bindparam, insert, select, type_coerce, update
from sqlalchemy.ext.asyncio import AsyncConnection

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import (
    AlreadyTaken,
    GrantRecord,
    Opened,
    RefreshTokenRecord,
    RevokedMeanwhile,
    Rotation,
    StatusRecord,
    TicketKind,
)
from certbound.stores.content import read_list, read_object, write_json, write_list
from certbound.stores.database import Database, can_be_kept
from certbound.stores.descent import GRANT, end_obtained, name_of
from certbound.stores.prepared import Hands, InSteps, Prepared
from certbound.stores.schema import OF_A_PERSON, accounts, grants, refresh_tokens
from certbound.stores.standing import ACCOUNT, account_of, consent_of, note_use, read_account
from certbound.stores.statuses import Allotments, Wish, invalidate_grant_statuses, judge, require_places
from certbound.stores.tickets import take


class SqlGrants:
    """What clients hold refresh tokens for, a row each, and the tokens, a row each."""

    def __init__(self, database: Database, allotments: Allotments) -> None:
        self._database = database
        self._allotments = allotments

    async def open(
        self,
        grant: GrantRecord,
        digest: str | None,
        *,
        now: float,
        origin: int | None = None,
        ticket: tuple[TicketKind, str] | None = None,
        used_by: str | None = None,
        block: StatusRecord | None = None,
    ) -> Opened:
        """The grant is there, with its first refresh token if it has one, and `ticket` is taken for it."""
        values = _write(grant)
        if block is not None:
            require_places(block)
        if ticket is not None and not can_be_kept(ticket[1]):
            raise AlreadyTaken(ticket[0])

        async def steps(hands: Hands) -> Opened:
            if ticket is not None and not await take(hands, *ticket, now):
                raise AlreadyTaken(ticket[0])
            wish = Wish(_asked(grant), now, origin)
            refuse = await judge(hands, [wish])
            if (reason := refuse(wish)) is not None:
                raise RevokedMeanwhile(reason)
            await hands.run(_OPEN, values)
            if digest is not None:
                await _add(hands, digest, grant.grant_id, grant.ends_at)
            if used_by is not None and can_be_kept(used_by):
                await note_use(hands, grant.subject, grant.client_id, certificate=used_by, now=now)
            # Behind the lock: whoever withdraws or locks out after this finds the grant, and its tokens.
            return Opened(
                block=await self._allotments.place(hands, block) if block is not None else None,
                consent=await consent_of(hands, grant.subject, grant.client_id) if grant.subject else None,
                account=await account_of(hands, grant.subject) if grant.subject else None,
            )

        return await self._database.change_quietly(steps)

    async def find(self, digest: str, *, now: float) -> RefreshTokenRecord | None:
        """The refresh token and its grant, valid or not; None if there is none, or the grant has ended."""
        if not can_be_kept(digest):
            return None
        rows = await self._database.find(_LIVES, {"token": digest, "now": now})
        return _token(rows[0]) if rows else None

    async def rotate(self, digest: str, successor: str, *, now: float, grace: float) -> Rotation:
        """`successor` stands in the place of the token."""
        if not can_be_kept(digest, successor):
            return Rotation.GONE
        turn = _Turn(digest, successor, now, grace)
        rotation = await self._database.write_prepared(lambda hands: _replace(hands, turn))
        if rotation is not Rotation.REUSED:
            return rotation
        try:
            return await self._database.change_statuses(lambda connection: _punish(connection, turn))
        except NothingThere:  # somebody else revoked it meanwhile
            return Rotation.GONE

    async def revoke(self, grant_id: str, *, now: float) -> bool:
        """No refresh token of the grant counts, and the statuses of its access tokens are not valid.

        Also of a grant that has ended at `now`: that clock may be wrong.
        """
        if not can_be_kept(grant_id):
            return False
        try:
            await self._database.change_statuses(lambda connection: _revoke(connection, grant_id))
        except NothingThere:
            return False
        return True


async def end_grants_of(connection: AsyncConnection, client_id: str) -> None:
    """No refresh token of the client counts; one of the same id that comes later has none of them."""
    await connection.execute(update(grants).where(grants.c.client_id == client_id).values(valid=False))


async def end_grants_from(connection: AsyncConnection, subject: str, client_id: str | None = None) -> int:
    """How many grants of this person, to that client if one is named, count no more, nor what was given by them.

    A part of a transaction that moves the number of statuses.
    """
    # In the words of the index: with a parameter instead no database sees that it has these rows.
    theirs = and_(OF_A_PERSON, grants.c.subject == subject, grants.c.valid.is_(True))
    which = theirs if client_id is None else theirs & (grants.c.client_id == client_id)
    ended = (await connection.scalars(select(grants.c.grant_id).where(which))).all()
    for grant_id in ended:
        with suppress(NothingThere):  # it was obtained from another of them, and ended with that
            await _revoke(connection, grant_id)
    return len(ended)


class NothingThere(Exception):
    """Undoes a change that turned out to be none; it leaves no store."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """A refresh token that somebody presents, and what shall stand in its place."""

    digest: str
    successor: str
    now: float
    grace: float


async def _replace(hands: Hands, turn: _Turn) -> Rotation:
    """What became of it.  Where the token is used again nothing has changed yet."""
    grant = await _lock_grant(hands, turn)
    if grant is None:
        return Rotation.GONE
    replaced = await hands.run(_REPLACE, {"token": turn.digest, "now": turn.now, "next": turn.successor})
    if replaced.changed == 0:
        return await _judge_again(hands, turn)
    grant_id, ends_at = grant
    await _add(hands, turn.successor, grant_id, ends_at)
    return Rotation.REPLACED


async def _judge_again(hands: Hands, turn: _Turn) -> Rotation:
    """Whether a token that was replaced already is presented again in good faith."""
    # A statement after that of the lock: it sees what the transaction did that we waited for.
    rows = (await hands.run(_STANDS, {"token": turn.digest})).rows
    if not rows:
        return Rotation.GONE
    token = _token(rows[0])
    is_the_same = _Row(*rows[0][: -len(ACCOUNT)]).successor == turn.successor and not token.is_successor_used
    is_soon = token.replaced_at is not None and turn.now - token.replaced_at <= turn.grace
    return Rotation.REPEATED if is_the_same and is_soon else Rotation.REUSED


async def _punish(connection: AsyncConnection, turn: _Turn) -> Rotation:
    grant = await _lock_grant(InSteps(connection), turn)
    if grant is None:
        raise NothingThere
    await _revoke(connection, grant[0])
    return Rotation.REUSED


async def _lock_grant(hands: Hands, turn: _Turn) -> tuple[str, float] | None:
    """Id and end of the valid grant; until this transaction ends nobody else changes it, nor a token of it."""
    rows = (await hands.run(_LOCK, {"token": turn.digest, "now": turn.now})).rows
    return (rows[0][0], rows[0][1]) if rows else None


async def _revoke(connection: AsyncConnection, grant_id: str) -> None:
    """It is revoked with its statuses.  `NothingThere` if it was, or is not there."""
    valid = (grants.c.grant_id == grant_id) & grants.c.valid.is_(True)
    revoked = await connection.execute(update(grants).where(valid).values(valid=False))
    if revoked.rowcount == 0:
        raise NothingThere
    await invalidate_grant_statuses(connection, grant_id)
    await end_obtained(connection, name_of(GRANT, grant_id))


async def _add(hands: Hands, digest: str, grant_id: str, ends_at: float) -> None:
    await hands.run(_ADD, {"digest": digest, "grant_id": grant_id, "ends_at": ends_at})


def _token(found: Sequence[Any]) -> RefreshTokenRecord:
    """The record of a row of `_TOKENS`; of a revoked grant if a hand wrote what cannot be read."""
    row, account = _Row(*found[: -len(ACCOUNT)]), found[-len(ACCOUNT) :]
    is_replaced = row.replaced_at is not None or row.successor is not None
    return RefreshTokenRecord(
        digest=row.digest,
        grant=_grant(row),
        replaced_at=_time(row.replaced_at) if is_replaced else None,
        is_successor_used=is_replaced and (row.next_digest is None or row.next_replaced_at is not None),
        account=read_account(account) if account[0] is not None else None,
    )


def _grant(row: "_Row") -> GrantRecord:
    content = read_object(row.content)
    if content is None:
        _log.warning("the grant %r of client %r cannot be read; it counts as revoked", row.grant_id, row.client_id)
    return GrantRecord(
        grant_id=row.grant_id,
        client_id=row.client_id,
        content=content or {},
        seed=row.seed,
        thumbprint=row.thumbprint,
        authorities=read_list(row.authorities),
        twins=read_list(row.twins),
        sources=read_list(row.sources),
        subject=row.subject,
        valid=row.valid == 1 and content is not None,
        created_at=_time(row.created_at),
        ends_at=_time(row.ends_at),
    )


def _time(stored: Any) -> float:
    """What a hand wrote instead is long ago."""
    return stored if isinstance(stored, float) else 0.0


def _write(grant: GrantRecord) -> dict[str, Any]:
    if not can_be_kept(grant.grant_id, grant.client_id, grant.subject, *_listed(grant)):
        raise StoreUnavailable("a grant is of ids and thumbprints, text without NUL")
    return {
        "grant_id": grant.grant_id,
        "client_id": grant.client_id,
        "content": write_json(grant.content, f"the content of a grant of client {grant.client_id!r}"),
        "seed": grant.seed,
        "thumbprint": grant.thumbprint,
        "authorities": write_list(grant.authorities),
        "twins": write_list(grant.twins),
        "sources": write_list(grant.sources),
        "subject": grant.subject,
        "valid": grant.valid,
        "created_at": grant.created_at,
        "ends_at": grant.ends_at,
    }


def _listed(grant: GrantRecord) -> Sequence[str]:
    return (grant.thumbprint, *grant.authorities, *grant.twins, *grant.sources)


def _asked(grant: GrantRecord) -> StatusRecord:
    """A grant may be opened where a status would be given that belongs to no grant yet."""
    return StatusRecord(
        client_id=grant.client_id, thumbprint=grant.thumbprint, authorities=grant.authorities, twins=grant.twins
    )


_log = logging.getLogger(__name__)


class _Row(NamedTuple):
    """What `_TOKENS` finds before the account; perhaps a hand wrote it."""

    digest: str
    replaced_at: Any
    successor: Any
    next_digest: Any
    next_replaced_at: Any
    grant_id: str
    client_id: str
    content: Any
    seed: str
    thumbprint: str
    authorities: Any
    twins: Any
    sources: Any
    subject: str
    valid: Any
    created_at: Any
    ends_at: Any


_next = refresh_tokens.alias()

_TOKENS = (
    select(
        refresh_tokens.c.digest,
        refresh_tokens.c.replaced_at,
        refresh_tokens.c.successor,
        _next.c.digest.label("next_digest"),
        _next.c.replaced_at.label("next_replaced_at"),
        grants.c.grant_id,
        grants.c.client_id,
        grants.c.content,
        grants.c.seed,
        grants.c.thumbprint,
        grants.c.authorities,
        grants.c.twins,
        grants.c.sources,
        grants.c.subject,
        # As a number: a BOOLEAN of SQLite holds whatever a hand writes into it, and only 1 is true.
        type_coerce(grants.c.valid, Integer).label("valid"),
        grants.c.created_at,
        grants.c.ends_at,
        *ACCOUNT,
    )
    .join_from(refresh_tokens, grants, grants.c.grant_id == refresh_tokens.c.grant_id)
    .outerjoin(_next, _next.c.digest == refresh_tokens.c.successor)
    .outerjoin(accounts, accounts.c.subject == grants.c.subject)
)

_IS = refresh_tokens.c.digest == bindparam("token")
_STANDS = Prepared(_TOKENS.where(_IS))
_LIVES = Prepared(_TOKENS.where(_IS, grants.c.ends_at >= bindparam("now")))

_OPEN = Prepared(insert(grants), [column.name for column in grants.columns])
_ADD = Prepared(insert(refresh_tokens), ["digest", "grant_id", "ends_at"])

_ITS_GRANT = select(refresh_tokens.c.grant_id).where(_IS).scalar_subquery()
# SQLite needs no words for a lock and gets none: there a transaction that writes is alone.
_LOCK = Prepared(
    select(grants.c.grant_id, grants.c.ends_at)
    .where(grants.c.grant_id == _ITS_GRANT, grants.c.valid.is_(True), grants.c.ends_at >= bindparam("now"))
    .with_for_update()
)
_REPLACE = Prepared(
    update(refresh_tokens)
    .where(_IS, refresh_tokens.c.replaced_at.is_(None))
    .values(replaced_at=bindparam("now"), successor=bindparam("next"))
)
