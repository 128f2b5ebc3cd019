"""Use cases around revocation: what a compromise takes from somebody, by one transaction and with one audit line.

Rule 1: a revocation is whole when it is answered: authentication refuses within `directory.MAX_AGE` in every process,
and the status of every token that is out, or comes out until then, is not valid.
Rule 2: what was revoked stays so; lifting it lets the client authenticate again, and revives no token.
Rule 3: what nobody here has seen can be revoked all the same: a stolen certificate may turn up later.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from certbound.core.errors import ConfigurationError
from certbound.core.ports import NotFound, RevocationRecord, RevokedKind, StatusRecord, Store
from certbound.server.audit import AUDIT, Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """Whose tokens a revocation ends, or would end."""

    statuses: Sequence[StatusRecord]
    """One for each client, certificate and path whose tokens may still live: the first block of places of each."""
    since: float | None = None
    """Since when it was revoked before, in seconds since the epoch; None if it was not."""

    @property
    def clients(self) -> Sequence[str]:
        """By id."""
        return sorted({each.client_id for each in self.statuses})


@dataclass(frozen=True, slots=True)
class Revoker:
    """Revokes clients, certificates and authorities; `actor` is who asks."""

    store: Store
    actor: str
    now: Callable[[], float]

    async def impact(self, kind: RevokedKind, value: str) -> Impact:
        """What `revoke` would do; nothing is changed.  `ConfigurationError` if there is no such client."""
        if kind is RevokedKind.CLIENT and await self.store.clients.find(value) is None:
            raise _no_client(value)
        statuses = await self.store.revocations.affected(kind, value, now=self.now())
        return Impact(statuses=_first_blocks(statuses), since=await self._since(kind, value))

    async def revoke(self, kind: RevokedKind, value: str) -> Impact:
        """It is revoked, and what that ended.  A second time ends what came since, and nothing else changes.

        `ConfigurationError` if there is no such client.
        """
        since = await self._since(kind, value)
        try:
            ended = await self.store.revocations.add(RevocationRecord(kind=kind, value=value, revoked_at=self.now()))
        except NotFound as error:
            raise _no_client(value) from error
        impact = Impact(statuses=_first_blocks(ended), since=since)
        certificates = {each.thumbprint for each in ended if each.thumbprint}
        already = "" if since is None else " (it was already)"
        self._tell(
            "revoke", kind, value,
            f"{self.actor} revoked the {kind} {value!r}: {len(impact.clients)} clients, tokens of {len(certificates)} "
            f"certificates{already}",
        )  # fmt: skip
        return impact

    async def lift(self, kind: RevokedKind, value: str) -> None:
        """It is not revoked any more, and a client is enabled.  `ConfigurationError` if it was not revoked."""
        try:
            await self.store.revocations.remove(kind, value)
        except NotFound as error:
            raise ConfigurationError(
                f"the {kind} {value!r} is not revoked; certbound revoke --list shows what is"
            ) from error
        self._tell(
            "lift", kind, value,
            f"{self.actor} lifted the revocation of the {kind} {value!r}; tokens it ended stay so",
        )  # fmt: skip

    async def list(self) -> Sequence[RevocationRecord]:
        """What is revoked, the oldest first; a client that was enabled again, or removed, is not."""
        disabled = {each.client_id for each in await self.store.clients.list() if not each.enabled}
        records = await self.store.revocations.list()
        return [each for each in records if each.kind is not RevokedKind.CLIENT or each.value in disabled]

    def _tell(self, what: str, kind: RevokedKind, value: str, told: str) -> None:
        client_id, thumbprint = (
            value if kind is each else "" for each in (RevokedKind.CLIENT, RevokedKind.CERTIFICATE)
        )
        AUDIT.record(
            Decision(
                time=self.now(),
                what=f"{what} {kind}",
                actor=self.actor,
                client_id=client_id,
                thumbprint=thumbprint,
                subject=f"{kind} {value}",
                reason=told,
                told=told,
            ),
            level=logging.WARNING,
        )

    async def _since(self, kind: RevokedKind, value: str) -> float | None:
        return next((each.revoked_at for each in await self.list() if (each.kind, each.value) == (kind, value)), None)


def _first_blocks(statuses: Sequence[StatusRecord]) -> Sequence[StatusRecord]:
    """Of each client, certificate and path, the block of places that came first, in the order they are listed."""
    first: dict[object, StatusRecord] = {}
    for each in sorted(statuses, key=lambda each: each.created_at):
        first.setdefault((each.client_id, each.thumbprint, each.authorities), each)
    return sorted(first.values(), key=lambda each: (each.client_id, each.created_at, each.index))


def _no_client(client_id: str) -> ConfigurationError:
    return ConfigurationError(f"there is no client {client_id!r}; certbound client list shows those there are")
