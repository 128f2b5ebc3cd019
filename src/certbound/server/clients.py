"""Use cases around registered clients: one validation and one log line, whoever asks.

Rule 1: what cannot stand is not stored, whether an endpoint or a command asks for it.
Rule 2: a secret is made here, shown once and kept as a hash; a new one and those before it count side by side for as
long as it is said, and at most `MOST_SECRETS` do.
Rule 3: the registration access token of a client that registered itself is made anew on request, and ends the one
before it at once: two would let whoever stole one go on.
Rule 4: with a client that is removed or disabled go its tokens, and its grants; enabled again, it begins anew.
"""

import contextlib
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from certbound.core.authentication import digest_of
from certbound.core.binding import Bind, is_bound
from certbound.core.certificate import Certificate
from certbound.core.clients import Allowed, Client, describe_client, read_client, require_allowed, require_method
from certbound.core.display import hash_name
from certbound.core.errors import InvalidClientMetadata
from certbound.core.members import given_members
from certbound.core.ports import (
    AlreadyExists,
    ClientRecord,
    NotFound,
    RegistrationRecord,
    RevocationRecord,
    RevokedKind,
    SecretRecord,
    Store,
)
from certbound.core.registration import REGISTRATION_TOKEN_PREFIX, SECRET_PREFIX, name_of
from certbound.server.audit import AUDIT, Decision
from certbound.server.directory import readable

MOST_SECRETS = 3
"""How many secrets of one client may count at once."""

_log = logging.getLogger("certbound.server")


@dataclass(frozen=True, slots=True)
class ClientRegistry:
    """Registers, changes and removes clients in `store`, as far as this deployment allows."""

    store: Store
    allowed: Allowed
    bind: Bind
    now: Callable[[], float]
    actor: str = ""
    """Who asks, for the audit; empty where the request is audited."""

    async def register(
        self,
        metadata: Mapping[str, Any],
        *,
        client_id: str | None = None,
        secrets_kept: tuple[SecretRecord, ...] = (),
        registration: RegistrationRecord | None = None,
    ) -> Client:
        """The new client, stored; without `client_id` the server makes one.

        `InvalidClientMetadata` (400) names the field that is wrong; nothing is stored then.
        """
        client_id = client_id or secrets.token_hex(16)  # typed by people: no "-" at its start
        self.check(client_id, metadata)
        record = ClientRecord(
            client_id=client_id,
            metadata=given_members(metadata),
            created_at=self.now(),
            secrets=secrets_kept,
            registration=registration,
        )
        try:
            stored = await self.store.clients.add(record)
        except AlreadyExists as error:
            raise InvalidClientMetadata("client_id", f"{client_id!r} is taken") from error
        self._tell("register client", client_id)
        return self.check(client_id, metadata, version=stored.version)

    async def update(self, client_id: str, changes: Mapping[str, Any], *, enabled: bool | None = None) -> Client | None:
        """The client with `changes` merged in, stored; `None` takes a member away.  None if there is no such client.

        Without `enabled` it stays as it is.  `InvalidClientMetadata` (400) if the result cannot stand; nothing is
        stored then.  Secrets go with the method that they were for.
        """
        record = await self.store.clients.find(client_id)
        if record is None:
            return None
        if changes:  # what is only switched off need not be readable
            metadata = given_members({**record.metadata, **changes})
            client = self.check(client_id, metadata)
            kept = record.secrets if client.method.has_secret else ()
            await self.put(replace(record, metadata=metadata, secrets=kept))
        if enabled is not None:
            await self._switch(client_id, enabled=enabled)
        stored = await self.store.clients.find(client_id)
        return None if stored is None else readable(stored)

    async def put(self, changed: ClientRecord) -> Client | None:
        """`changed` stands where that of its id and version stood.  `NotFound` if that has changed meanwhile."""
        stored = await self.store.clients.replace(changed)
        self._tell("change client", changed.client_id)
        return readable(stored)

    async def _switch(self, client_id: str, *, enabled: bool) -> None:
        revocations, clients = self.store.revocations, self.store.clients
        if not enabled:
            await revocations.add(RevocationRecord(kind=RevokedKind.CLIENT, value=client_id, revoked_at=self.now()))
        else:
            with contextlib.suppress(NotFound):
                await revocations.remove(RevokedKind.CLIENT, client_id)
            record = await clients.find(client_id)
            if record is not None and not record.enabled:  # a hand switched it off, and revoked nothing
                await clients.replace(replace(record, enabled=True))
        self._tell("enable client" if enabled else "disable client", client_id)

    async def remove(self, client_id: str) -> bool:
        """The client is gone, and no token of it is valid; False if it was not there."""
        try:
            await self.store.clients.remove(client_id)
        except NotFound:
            return False
        self._tell("remove client", client_id)
        return True

    async def add_secret(self, client_id: str, *, overlap: float) -> str | None:
        """A new secret, shown this once; those before it end in `overlap` seconds.  None if there is no such client.

        `InvalidClientMetadata` (400) if it authenticates otherwise, or too many would count at once.
        """
        record = await self.store.clients.find(client_id)
        if record is None:
            return None
        _require_secret_method(record)
        now = self.now()
        counting = counting_secrets(record, now)
        if overlap > 0 and len(counting) >= MOST_SECRETS:
            raise InvalidClientMetadata("client_secret", f"{len(counting)} count already; end one of them first")
        secret, new = make_secret(now)
        ending = tuple(_ending(each, now + overlap) for each in counting) if overlap > 0 else ()
        await self.store.clients.replace(replace(record, secrets=(*ending, new)))
        self._tell("add secret", client_id, _end_of_others(len(counting), overlap))
        return secret

    async def remove_secret(self, client_id: str, name: str) -> bool:
        """The secret of this name does not count any more.  False if there is none, or no such client."""
        record = await self.store.clients.find(client_id)
        if record is None:
            return False
        left = tuple(each for each in record.secrets if hash_name(each.digest) != name)
        if len(left) == len(record.secrets):
            return False
        await self.store.clients.replace(replace(record, secrets=left))
        self._tell("remove secret", client_id, f"{len(left)} are left")
        return True

    async def renew_registration_token(self, client_id: str, certificate: Certificate | None = None) -> str | None:
        """A new registration access token, shown this once; the one before it ends.  None if there is no such client.

        It is bound to the name in `certificate`, if one is given, instead of that for which somebody vouched before.
        `InvalidClientMetadata` (400) if the client did not register itself, or nobody vouched for any.
        """
        record = await self.store.clients.find(client_id)
        if record is None:
            return None
        if record.registration is None:
            raise InvalidClientMetadata("registration_access_token", f"{client_id!r} did not register itself")
        token = REGISTRATION_TOKEN_PREFIX + secrets.token_urlsafe(32)
        registration = replace(record.registration, digest=digest_of(token))
        if certificate is not None:
            if not registration.subject:
                raise InvalidClientMetadata("registration_access_token", "it is bound to the name in no certificate")
            registration = replace(registration, subject=name_of(certificate))
        await self.store.clients.replace(replace(record, registration=registration))
        self._tell("renew registration access token", client_id)
        return token

    async def find(self, client_id: str) -> ClientRecord | None:
        """The client as it is kept, readable or not."""
        return await self.store.clients.find(client_id)

    async def list(self) -> Sequence[ClientRecord]:
        """All clients as they are kept, by id."""
        return await self.store.clients.list()

    def describe(self, client: Client) -> dict[str, Any]:
        """Client metadata with the values in effect (RFC 7591 section 3.2.1)."""
        return describe_client(client, bound=is_bound(client, self.bind))

    def check(self, client_id: str, metadata: Mapping[str, Any], *, version: int = 0) -> Client:
        """The client that `metadata` describes, if this deployment allows it.  `InvalidClientMetadata` (400) else."""
        require_method(metadata, self.allowed)
        return require_allowed(read_client(client_id, metadata, version=version), self.allowed)

    def _tell(self, what: str, client_id: str, subject: str = "") -> None:
        _log.info("%s %r%s", what, client_id, subject and f": {subject}")
        if self.actor:
            decision = Decision(time=self.now(), what=what, actor=self.actor, client_id=client_id, subject=subject)
            AUDIT.record(decision, level=logging.WARNING)


def _require_secret_method(record: ClientRecord) -> None:
    method = read_client(record.client_id, record.metadata).method
    if not method.has_secret:
        raise InvalidClientMetadata("token_endpoint_auth_method", f"is {method}, which has no secret")


def make_secret(now: float) -> tuple[str, SecretRecord]:
    """A secret of 256 bits, and what is kept of it."""
    secret = SECRET_PREFIX + secrets.token_urlsafe(32)
    return secret, SecretRecord(digest=digest_of(secret), created_at=now)


def counting_secrets(record: ClientRecord, now: float) -> Sequence[SecretRecord]:
    """Those that have not ended."""
    return [each for each in record.secrets if each.ends_at is None or now < each.ends_at]


def _end_of_others(count: int, overlap: float) -> str:
    if not count:
        return ""
    return f"{count} others end in {overlap:.0f} seconds" if overlap > 0 else f"{count} others ended"


def _ending(secret: SecretRecord, at: float) -> SecretRecord:
    """It ends then, or before if it did."""
    return secret if secret.ends_at is not None and secret.ends_at <= at else replace(secret, ends_at=at)
