"""Where the status of a token stands, and the list that says what became of it.

Rule 1: a client's tokens with one certificate over one path share a status: nothing is written for a token, and the
second one costs a look into memory.
Rule 2: a status that was revoked is given to no token, once the directory knows; a token signed a moment before has one
that the list calls invalid.
Rule 3: the list is signed when something changed, and again when `REMADE` seconds have passed, not for a request; it is
compressed when other statuses became invalid, beside the loop that serves.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from certbound.core.authentication import AuthenticatedClient, TrustedChain
from certbound.core.certificate import Certificate
from certbound.core.errors import InvalidClient
from certbound.core.ports import RevokedMeanwhile, Statuses, StatusRecord, Store
from certbound.core.status import StatusReference, describe_list, encode_list, make_list
from certbound.core.tokens import SigningKey, sign_list
from certbound.server.directory import ClientDirectory

LEASE = 7 * 86400
"""Seconds a status stands, at most, after the last token for it; so often is one written that is in use.

Where the certificate expires before, as those do that live an hour, it stands no longer than their last token.
"""
MARGIN = 3600
"""Seconds a status stands longer than any token for it lives: by so much may the clocks of two servers differ."""
CAPACITY = 10_000
"""How many statuses are held in memory.  Where there are more, the store is asked for them one by one."""
REMADE = 10
"""Seconds after which a list is signed anew, although nothing changed: before it ends, and with room for growth."""

_Key = tuple[str, ...]


class StatusBook:
    """The statuses of tokens, as far as this process needs them.  For one event loop."""

    def __init__(self, store: Store, directory: ClientDirectory, uri: str) -> None:
        """`uri` is where the list is published."""
        self.uri = uri
        self._store = store
        self._directory = directory
        self._remembered: OrderedDict[_Key, tuple[StatusReference, float]] = OrderedDict()
        self._revision = -1
        self._said: Statuses | None = None
        self._encoded: Mapping[str, Any] = {}
        self._list = b""
        self._list_revision = -1
        self._list_made_at = float("-inf")
        self._making = asyncio.Lock()
        self._forgetting = asyncio.Lock()

    async def reference(self, authenticated: AuthenticatedClient, *, now: float, lifetime: int) -> StatusReference:
        """Where the status of this client's next token stands, which lives for `lifetime` seconds.

        `InvalidClient` (401) if it was revoked since it authenticated, `StoreUnavailable` if only the store could say.
        """
        if self._revision != self._directory.revision:
            await self._forget_invalid(now)
        key = _key(authenticated)
        until = now + lifetime + MARGIN
        remembered = self._remembered.get(key)
        if remembered is not None and remembered[1] >= until:
            return remembered[0]
        revision = self._revision
        client_id, thumbprint, *authorities = key
        record = StatusRecord(
            client_id=client_id,
            thumbprint=thumbprint,
            authorities=tuple(authorities),
            twins=tuple(sorted(authenticated.certificate.thumbprints - {thumbprint})),
            created_at=now,
            ends_at=_ends_at(authenticated.certificate, now, lifetime),
        )
        try:
            allotted = await self._store.revocations.allot(record, until=until, now=now)
        except RevokedMeanwhile as error:
            raise InvalidClient(str(error)) from error
        reference = StatusReference(allotted.index, self.uri)
        if revision == self._revision:  # else it may have been revoked before what we know now
            self._remember(key, reference, allotted.ends_at)
        return reference

    async def published(self, keys: Sequence[SigningKey], clock: Callable[[], float]) -> bytes:
        """The list as a signed JWT, at most as old as the directory.  `StoreUnavailable` if that cannot be said."""
        await self._directory.confirm()
        if self._is_due(clock()):
            async with self._making:
                if self._is_due(clock()):
                    await self._make(keys[0], clock())
        return self._list

    def _is_due(self, now: float) -> bool:
        return self._list_revision != self._directory.revision or not 0 <= now - self._list_made_at < REMADE

    async def _make(self, key: SigningKey, now: float) -> None:
        revision = self._directory.revision  # before the question: what is answered is of this revision or newer
        said = await self._store.revocations.statuses(now)
        if said != self._said:
            self._encoded = await asyncio.to_thread(lambda: encode_list(make_list(said.invalid, said.size)))
            self._said = said
        claims = describe_list(self._encoded, uri=self.uri, now=now)
        self._list = sign_list(claims, key).encode("ascii")
        self._list_revision, self._list_made_at = revision, now

    async def _forget_invalid(self, now: float) -> None:
        """Nothing is remembered that the store called invalid at the directory's revision, or later."""
        async with self._forgetting:
            revision = self._directory.revision
            if self._revision == revision:  # somebody else did it meanwhile
                return
            invalid = (await self._store.revocations.statuses(now)).invalid
            for key in [key for key, (reference, _) in self._remembered.items() if reference.index in invalid]:
                del self._remembered[key]
            self._revision = revision

    def _remember(self, key: _Key, reference: StatusReference, ends_at: float) -> None:
        self._remembered[key] = (reference, ends_at)
        if len(self._remembered) > CAPACITY:
            self._remembered.popitem(last=False)


def _ends_at(certificate: Certificate, now: float, lifetime: int) -> float:
    """Until when its status stands.  After the certificate expired there are tokens only if the client ignores that."""
    last_token = certificate.not_after if now <= certificate.not_after else now + LEASE
    return min(now + LEASE, last_token + lifetime + MARGIN)


def _key(authenticated: AuthenticatedClient) -> _Key:
    """Client, certificate, and the keys of the authorities on the path, if it is a path that proved it."""
    proof = authenticated.proof
    authorities = [each.key_thumbprint for each in proof.path[1:]] if isinstance(proof, TrustedChain) else ()
    return authenticated.client.client_id, authenticated.certificate.thumbprint, *authorities
