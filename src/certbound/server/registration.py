"""`POST /register` (RFC 7591), and `GET`, `PUT`, `DELETE /register/ID` (RFC 7592): clients that register themselves.

Rule 1: what is registered here passes the same validation as `certbound client add`, and no more of it is allowed than
the way in has for everybody.
Rule 2: a registration access token alone is enough for clients without certificates only.  Who authenticates by one
shows here what would authenticate it now, judged as at any endpoint; who was vouched for by one, and authenticates
otherwise, shows one of the same name for which somebody vouches still.  What was shown before counts for nothing: so a
renewed certificate locks nobody out, and a replaced or revoked one lets nobody in.
Rule 3: what `PUT` says is all there is (RFC 7592 section 2.2); of two at once one follows the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from certbound.core.authentication import Accepted, authenticate, digest_of
from certbound.core.certificate import Certificate
from certbound.core.client_information import STATEMENT
from certbound.core.clients import Client, Method
from certbound.core.credentials import Presented
from certbound.core.errors import InvalidClient, RegistrationDenied, TemporarilyUnavailable
from certbound.core.metadata import REGISTRATION
from certbound.core.ports import ClientRecord, NotFound, RegistrationRecord, SecretRecord
from certbound.core.registration import (
    REGISTRATION_TOKEN_PREFIX,
    Need,
    Owned,
    Way,
    bearer_token,
    choose_way,
    name_of,
    read_replacement,
    read_request,
    read_statement,
    require_own_name,
    require_token,
    stated_before,
)
from certbound.server.call import NO_STORE, Call, Reply, json_reply, read_json
from certbound.server.clients import ClientRegistry, counting_secrets, make_secret
from certbound.server.directory import readable
from certbound.server.registrar import Registrar, Shown
from certbound.server.service import Service

ATTEMPTS = 3
"""How often a replacement is tried that another one overtakes."""


async def register(call: Call, service: Service) -> Reply:
    """A new client (RFC 7591 section 3)."""
    registrar = _registrar(service)
    body = read_json(call.body)
    # (1) What the request shows is good.
    shown = await registrar.read_shown(call, body, service.clients.revoked)
    # (2) A way in takes it.
    way = choose_way(registrar.ways(), shown.needs, but=shown.but)
    call.notes.subject, call.notes.method = f"new, by way {way.name}", " ".join(sorted(way.needs))
    # (3) What it asks for can stand, and is no more than the way has.
    registry = replace(registrar.registry, allowed=way.allowed)
    metadata = _with(read_request(body, stated=shown.stated, way=way), shown.statement)
    client_id = call.notes.client_id = service.new_id()
    client = registry.check(client_id, metadata)
    require_own_name(way, client, shown.certificate, but=shown.but)
    # (4) What counts only so often is used up last.
    await _use_up(way, shown, registrar, call.now)
    # (5) The server makes what proves the client and its owner, and keeps hashes.
    token = REGISTRATION_TOKEN_PREFIX + service.new_secret()
    secret, kept = _secret_for(client, (), call.now)
    await registry.register(
        metadata,
        client_id=client_id,
        secrets_kept=kept,
        registration=_bind(RegistrationRecord(digest=digest_of(token), way=way.name), way, shown.certificate),
    )
    record = await _stored(registry, client_id)
    await service.clients.refresh()  # whoever has the answer may use it at once
    return _reply(201, record, client, registry, service, token=token, secret=secret)


async def read(call: Call, service: Service) -> Reply:
    """The client as it is registered (RFC 7592 section 2.1)."""
    owned, client = await _owned(call, service)
    call.notes.subject += ", read"
    return _reply(200, owned.record, client, _registrar(service).registry, service, token=owned.token)


async def put(call: Call, service: Service) -> Reply:
    """The client is what the request says (RFC 7592 section 2.2)."""
    registrar = _registrar(service)
    body = read_json(call.body)
    for _ in range(ATTEMPTS):
        # (1) Whoever asks owns the client.
        owned, before = await _owned(call, service)
        call.notes.subject += ", replaced"
        # (2) The way by which it came is open still, and what it asks for can stand and is no more than that has.
        way = registrar.way(owned.registration.way)
        registry = replace(registrar.registry, allowed=way.allowed)
        counting = counting_secrets(owned.record, call.now)
        given = read_replacement(body, client_id=call.rest, fits_secret=[each.digest for each in counting])
        metadata = await _restated(given, owned.record, registrar, way, call.now)
        client = registry.check(call.rest, metadata)
        certificate, but = await registrar.vouched(call, service.clients.revoked)
        if before.subject != client.subject:
            require_own_name(way, client, certificate, but=but)
        # (3) It stands, if nobody else was quicker.
        secret, kept = _secret_for(client, counting, call.now)
        registration = _bind(owned.registration, way, certificate)
        changed = replace(owned.record, metadata=metadata, secrets=kept, registration=registration)
        try:
            await registry.put(changed)
        except NotFound:
            continue
        await service.clients.refresh()
        return _reply(200, changed, client, registry, service, token=owned.token, secret=secret)
    raise TemporarilyUnavailable(f"client {call.rest!r} changes too often at the moment")


async def remove(call: Call, service: Service) -> Reply:
    """The client is gone, and no token of it is valid (RFC 7592 section 2.3)."""
    owned, _ = await _owned(call, service)
    call.notes.subject += ", removed"
    if not await _registrar(service).registry.remove(owned.record.client_id):
        raise RegistrationDenied("the client was removed a moment ago")
    await service.clients.refresh()
    return Reply(204, b"", NO_STORE)


async def _owned(call: Call, service: Service) -> tuple[Owned, Client]:
    """The client in the path, proven to be that of whoever asks.  `RegistrationDenied` (401) if it is not."""
    # (a) The token is this client's; looked up in the store, so that what was removed is gone at once.
    token = bearer_token(call.authorization, REGISTRATION_TOKEN_PREFIX)
    owned = require_token(await service.store.clients.find(call.rest), token)
    call.notes.client_id = owned.record.client_id
    call.notes.subject = f"by way {owned.registration.way}"
    client = readable(owned.record)
    if client is None:  # so nobody knows what else it must show
        raise TemporarilyUnavailable(f"stored client {call.rest!r} is unusable")
    if client.method.is_mutual_tls:
        # (b) The certificate authenticates the client as it is registered now, as it would for an access token.
        await _authenticate(client, call, service)
    elif owned.registration.subject:
        # (c) Where one was vouched for and does not authenticate, somebody vouches now for one of the same name.
        await _require_vouched(owned, call, service)
    call.notes.method = "registration_token"
    return owned, client


async def _authenticate(client: Client, call: Call, service: Service) -> None:
    accepted = Accepted(methods={each for each in Method if each.is_mutual_tls}, issuer=service.offer.issuer)
    try:
        await authenticate(
            client,
            Presented(client.client_id),
            call.peer,
            accepted=accepted,
            sources=service.sources,
            revoked=service.clients.revoked,
            now=call.now,
        )
    except InvalidClient as error:
        raise RegistrationDenied(f"it is not so that {error.step}: {error.reason}") from error


async def _require_vouched(owned: Owned, call: Call, service: Service) -> None:
    certificate, but = await _registrar(service).vouched(call, service.clients.revoked)
    if certificate is None:
        raise RegistrationDenied(f"nobody vouches for the certificate that the token is bound to: {but}")
    if name_of(certificate) != owned.registration.subject:
        raise RegistrationDenied(f"certificate {certificate.thumbprint} has another name than that of the registration")


async def _use_up(way: Way, shown: Shown, registrar: Registrar, now: float) -> None:
    if Need.INITIAL_TOKEN in way.needs:
        if not await registrar.registry.store.initial_tokens.take(shown.initial_token, now=now):
            raise RegistrationDenied("the initial access token was used up a moment ago")
    elif not way.needs:
        await registrar.quota.take(now)


async def _restated(
    given: Mapping[str, Any], record: ClientRecord, registrar: Registrar, way: Way, now: float
) -> dict[str, Any]:
    """What a replacement asks for; the software statement of before still counts, and a new one is verified."""
    before = record.metadata.get(STATEMENT)
    statement = read_statement(given) if registrar.statements.issuers else None
    if statement is None or statement == before:
        return _with(read_request(given, stated=stated_before(before), way=way), before)
    return _with(read_request(given, stated=await registrar.verify(statement, now), way=way), statement)


def _with(metadata: dict[str, Any], statement: str | None) -> dict[str, Any]:
    return {**metadata, STATEMENT: statement} if statement is not None else metadata


def _reply(
    status: int,
    record: ClientRecord,
    client: Client,
    registry: ClientRegistry,
    service: Service,
    *,
    token: str,
    secret: str | None = None,
) -> Reply:
    """Client information (RFC 7591 section 3.2.1, RFC 7592 section 3)."""
    document = {
        **registry.describe(client),
        # Sets of keys are told as they came: what else stands in them is the client's.
        **{name: record.metadata[name] for name in ("jwks", "jwks_uri") if name in record.metadata},
        "client_id_issued_at": int(record.created_at),
        "registration_client_uri": _uri(record, client, service),
        "registration_access_token": token,
    }
    if secret is not None:
        document |= {"client_secret": secret, "client_secret_expires_at": 0}
    return json_reply(status, document, NO_STORE)


def _uri(record: ClientRecord, client: Client, service: Service) -> str:
    """On the host where it works: the one that asks for certificates, if one must be shown."""
    bound = record.registration is not None and record.registration.subject
    base = service.offer.mtls_base if bound or client.method.is_mutual_tls else None
    return f"{base or service.offer.issuer}{service.offer.direct[REGISTRATION].path}/{record.client_id}"


def _bind(registration: RegistrationRecord, way: Way, vouched: Certificate | None) -> RegistrationRecord:
    """To the name for which somebody vouched, where the way needs that; not to one that merely was there."""
    if Need.MUTUAL_TLS not in way.needs:
        return replace(registration, subject="")
    return registration if vouched is None else replace(registration, subject=name_of(vouched))


def _secret_for(
    client: Client, there: Sequence[SecretRecord], now: float
) -> tuple[str | None, tuple[SecretRecord, ...]]:
    """A new secret if the client needs one and has none, and what is kept; none for other methods."""
    if not client.method.has_secret:
        return None, ()
    if there:
        return None, tuple(there)
    secret, record = make_secret(now)
    return secret, (record,)


def _registrar(service: Service) -> Registrar:
    if service.registrar is None:
        raise RegistrationDenied("registration is off")
    return service.registrar


async def _stored(registry: ClientRegistry, client_id: str) -> ClientRecord:
    record = await registry.find(client_id)
    if record is None:
        raise TemporarilyUnavailable(f"client {client_id!r} was removed while it registered")
    return record
