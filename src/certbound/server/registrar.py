"""What registration needs beside the registry: the ways in, and what proves that somebody may take one.

Rule 1: open registration has a bound that all processes share, so that strangers cannot fill the store.
Rule 2: nothing is used up by a request that is refused for another reason.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from joserfc.jwk import KeySet

from certbound.core.authentication import digest_of
from certbound.core.certificate import Certificate
from certbound.core.clients import Client, ClientId, Method
from certbound.core.errors import RegistrationDenied, TemporarilyUnavailable, TooManyRegistrations, Untrusted
from certbound.core.ports import Store
from certbound.core.proofs import PublishedCertificates
from certbound.core.registration import (
    INITIAL_TOKEN_PREFIX,
    Need,
    StatementPolicy,
    Vouching,
    Way,
    bearer_token,
    read_statement,
    statement_issuer,
    statement_kid,
    verify_statement,
)
from certbound.core.revoked import Revoked
from certbound.server.call import Call
from certbound.server.clients import ClientRegistry

MINUTE = 60


class Quota:
    """So many registrations in a minute, in all processes on one store together."""

    def __init__(self, store: Store, per_minute: int) -> None:
        self._store = store
        self._most = per_minute
        self._minute = self._next = 0

    async def take(self, now: float) -> None:
        """One more.  `TooManyRegistrations` (429) if there were that many in this minute."""
        minute = int(now // MINUTE)
        if minute != self._minute:
            self._minute, self._next = minute, 0
        while self._minute == minute and self._next < self._most:
            place, self._next = self._next, self._next + 1
            # A place in the minute is a value that counts once, whichever process uses it.
            until = (minute + 2) * MINUTE
            if await self._store.tokens.use("open registration", f"{minute} {place}", until=until, now=now):
                return
        raise TooManyRegistrations(f"{self._most} clients registered in this minute")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a request shows, each of it good."""

    needs: frozenset[Need]
    initial_token: str = field(default="", repr=False)
    """Its digest."""
    stated: Mapping[str, Any] = field(default_factory=dict)
    """What a software statement says."""
    statement: str | None = None
    certificate: Certificate | None = None
    """The one that somebody vouches for who may certify registrants."""
    but: str = ""
    """Why the certificate on the connection is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registrar:
    """Who admits clients that register themselves."""

    registry: ClientRegistry
    ways: Callable[[], Sequence[Way]]
    quota: Quota
    statements: StatementPolicy = field(default_factory=StatementPolicy)
    vouching: Vouching | None = None
    published: PublishedCertificates | None = None

    def way(self, name: str) -> Way:
        """The way of this name.  `RegistrationDenied` (403) if the deployment has it no more."""
        for way in self.ways():
            if way.name == name:
                return way
        raise RegistrationDenied(f"the way {name!r}, by which the client came, is closed", status=403)

    async def read_shown(self, call: Call, body: Mapping[str, Any], revoked: Revoked) -> Shown:
        """What the request shows.

        `RegistrationDenied` (401), `InvalidStatement` or `UnapprovedStatement` (400) if the token or the statement in
        it is not good.
        """
        needs = set()
        token = bearer_token(call.authorization, INITIAL_TOKEN_PREFIX)
        digest = digest_of(token) if token is not None else ""
        if token is not None:
            if await self.registry.store.initial_tokens.find(digest, now=call.now) is None:
                raise RegistrationDenied("no such initial access token, or none that counts still")
            needs.add(Need.INITIAL_TOKEN)
        statement = read_statement(body) if self.statements.issuers else None
        stated = await self.verify(statement, call.now) if statement is not None else {}
        if statement is not None:
            needs.add(Need.SOFTWARE_STATEMENT)
        certificate, but = await self.vouched(call, revoked)
        if certificate is not None:
            needs.add(Need.MUTUAL_TLS)
        return Shown(
            needs=frozenset(needs),
            initial_token=digest,
            stated=stated,
            statement=statement,
            certificate=certificate,
            but=but,
        )

    async def verify(self, statement: str, now: float) -> Mapping[str, Any]:
        """What a software statement says of the client; raises what `verify_statement` raises."""
        issuer = statement_issuer(statement, self.statements)
        keys = await self._keys_of(issuer, statement_kid(statement, self.statements), now)
        return verify_statement(statement, issuer=issuer, keys=keys, policy=self.statements, now=now)

    async def vouched(self, call: Call, revoked: Revoked) -> tuple[Certificate | None, str]:
        """The certificate of the connection, if somebody vouches for it who may; else None, and why."""
        if self.vouching is None or call.peer is None:
            return None, "there is no certificate on the connection" if call.peer is None else ""
        try:
            return (await self.vouching.vouch(call.peer, revoked, call.now)).certificate, ""
        except Untrusted as error:
            return None, str(error)

    async def _keys_of(self, issuer: str, kid: str | None, now: float) -> KeySet:
        keys = self.statements.issuers[issuer]
        if isinstance(keys, KeySet):
            return keys
        if self.published is None:
            raise TemporarilyUnavailable(f"{keys} is fetched by nobody here")
        # Fetched and remembered as what clients publish is: the issuer is nobody's client.
        source = Client(client_id=ClientId(issuer), method=Method.PRIVATE_KEY_JWT, jwks_uri=keys)
        try:
            return await self.published.published_keys(source, kid, now)
        except Untrusted as error:
            raise TemporarilyUnavailable(f"the keys of {issuer} cannot be had: {error}") from error
