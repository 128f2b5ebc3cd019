"""Where everything meets: settings become a store, anchors, keys, an application and the ports it is served on."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlsplit

from joserfc.jwk import KeySet

from certbound import tls
from certbound.core.authentication import Accepted
from certbound.core.certificate import KeyThumbprint
from certbound.core.clients import Allowed, Method
from certbound.core.errors import ConfigurationError, InvalidClientMetadata
from certbound.core.grants import GRANT_TYPES, Policy
from certbound.core.jwks import read_keys
from certbound.core.limits import read_limit
from certbound.core.metadata import INTROSPECTION, REGISTRATION, REVOCATION, STATUS_LIST, TOKEN, Offer, describe_server
from certbound.core.ports import Store
from certbound.core.proofs import Sources
from certbound.core.registration import StatementPolicy, Way
from certbound.core.revoked import RevocationMode
from certbound.core.scope import Scope
from certbound.core.signing import PublicKey, SigningKey
from certbound.core.succession import DAY, Schedule
from certbound.core.tokens import Issuer
from certbound.server.admin import Admin
from certbound.server.asgi import Application
from certbound.server.clients import ClientRegistry
from certbound.server.directory import ClientDirectory
from certbound.server.expiry import ExpiryWatch
from certbound.server.key_keeper import KeyKeeper, password_hint, warn_of_open_keys
from certbound.server.keys import KeyRing
from certbound.server.metrics import Numbers
from certbound.server.openapi import Facts, describe_api
from certbound.server.purging import Purge
from certbound.server.registrar import Quota, Registrar
from certbound.server.revocation import Revoker
from certbound.server.service import Refresh, Service, directory, keep_fresh
from certbound.server.statuses import StatusBook
from certbound.server.throttle import Throttle
from certbound.server.vitals import Vitals, keep_sampling
from certbound.server.watch import ENDPOINTS, Watch
from certbound.settings import Settings
from certbound.stores import open_store
from certbound.tls import AnyPort, Limits, PlainPort, Port, VirtualHost
from certbound.tls.contexts import load_sites
from certbound.tls.hosts import is_loopback
from certbound.trust.anchors import Anchors
from certbound.trust.fetch import Fetcher
from certbound.trust.files import AnchorFiles
from certbound.trust.offline import Offline
from certbound.trust.published import PublishedByUri
from certbound.trust.sources import SourceStatus
from certbound.trust.verifier import Issuers

if TYPE_CHECKING:
    from certbound.trust.revocation import Revocation

TLSVersion = Literal["1.2", "1.3"]

ANCHOR_INTERVAL = 0.5
"""Seconds between two looks at the files of trust anchors."""


def serve(settings: Settings, *, on_ready: Callable[[list[tuple[str, int]]], None] | None = None) -> None:
    """Serves until SIGINT or SIGTERM.

    `ConfigurationError` if it cannot start; everything is tried before a port opens.
    """
    from certbound.log import configure_log  # noqa: PLC0415 - structlog takes 100 ms others need not spend

    configure_log(level=settings.log.level, form=settings.log.format, audit=settings.log.audit)
    asyncio.run(check(settings))
    server = settings.server
    # Made before the workers are, so that all of them count in one place.
    numbers = Numbers(ENDPOINTS, workers=server.workers)
    tls.serve(partial(make_ports, settings, numbers), workers=server.workers, grace=server.grace, on_ready=on_ready)


async def check(settings: Settings) -> None:
    """Everything that `settings` name is there and fits.  `ConfigurationError` otherwise.

    The store is made or brought up to date, and has a signing key.
    """
    describe_server(offer_of(settings, has_anchors=_may_have_anchors(settings, _anchor_files(settings))))
    fetcher = fetcher_of(settings)
    revocation_of(settings, fetcher)
    fetcher.close()
    AnchorFiles(settings.registration.anchors)
    statements_of(settings)
    async with opened_store(settings) as store:
        await signing_keys(settings, store)
        keys = await store.keys.list()
    for port in make_ports(settings):
        if isinstance(port, Port):
            load_sites(port)
    if settings.keys.file is None:
        warn_of_open_keys(keys, settings.keys.password)


def make_ports(settings: Settings, numbers: Numbers | None = None) -> Sequence[AnyPort]:
    """What is served where: the server itself, then what those who run it may ask, if they may.

    `numbers` are those that all workers count in; without them this process has its own.
    """
    numbers = numbers or Numbers(ENDPOINTS)
    throttle = Throttle(settings.authentication.failures_per_minute, time.monotonic)
    app = Application(partial(open_service, settings, numbers), Watch(numbers, throttle))
    return [*_server_ports(settings, app), *_admin_ports(settings, app, numbers)]


def _admin_ports(settings: Settings, app: Application, numbers: Numbers) -> Sequence[AnyPort]:
    admin = settings.admin
    if admin.port is None:
        return []
    answers = Admin(lambda: app.service.vitals if app.service is not None else None, numbers)
    if admin.tls:
        host = VirtualHost(certificate=settings.server.certificate, key=settings.server.key, app=answers)
        return [Port(host=admin.host, port=admin.port, virtual_hosts=(host,))]
    names = frozenset({"localhost", "127.0.0.1", "::1", admin.host}) if is_loopback(admin.host) else None
    return [PlainPort(host=admin.host, port=admin.port, app=answers, names=names)]


def _server_ports(settings: Settings, app: Application) -> Sequence[Port]:
    """RFC 8705 section 5: the issuer's host; mutual TLS on its own port, by SNI, or there."""
    server = settings.server
    limits = Limits(handshake_bytes=server.handshake_bytes)
    conventional = VirtualHost(
        certificate=server.certificate,
        key=server.key,
        app=app,
        asks_for_certificate=server.mtls_url is None,
        names=frozenset({_host(server.issuer)}),
    )
    # The protocol versions of a port are decided before SNI is read: where hosts share one, the stricter policy holds.
    shared: TLSVersion = "1.3" if "1.3" in {server.minimum_tls, server.mtls_minimum_tls} else "1.2"
    if server.mtls_url is None:
        return [
            Port(host=server.host, port=server.port, virtual_hosts=(conventional,), minimum_tls=shared, limits=limits)
        ]
    mtls = VirtualHost(
        certificate=server.mtls_certificate or server.certificate,
        key=server.mtls_key or server.key,
        app=app,
        asks_for_certificate=True,
        names=frozenset({_host(server.mtls_url)}),
    )
    if server.mtls_port is None:
        return [
            Port(
                host=server.host,
                port=server.port,
                virtual_hosts=(conventional, mtls),
                minimum_tls=shared,
                limits=limits,
            )
        ]
    return [
        Port(
            host=server.host,
            port=server.port,
            virtual_hosts=(conventional,),
            minimum_tls=server.minimum_tls,
            limits=limits,
        ),
        Port(
            host=server.host,
            port=server.mtls_port,
            virtual_hosts=(mtls,),
            minimum_tls=server.mtls_minimum_tls,
            limits=limits,
        ),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """What `core.authentication.authenticate` needs beside the request."""

    store: Store
    clients: ClientDirectory
    sources: Sources
    has_anchors: bool
    """Whether the server itself may trust anybody to certify clients."""
    anchors: Callable[[], Anchors]
    """Whom it trusts now."""
    revocation: Callable[[], Sequence[SourceStatus]]
    """How those who are asked about revocation are doing."""
    registrants: AnchorFiles
    """Who may certify those who register clients over mutual TLS."""
    allowed: Callable[[], Allowed]
    """What clients may be registered with now."""


@contextlib.asynccontextmanager
async def open_authentication(settings: Settings, *, offline: bool = False) -> AsyncIterator[Authentication]:
    """The registered clients and the sources of proof, kept fresh; the server has them, and `certbound explain`.

    Nothing is fetched if `offline`.
    """
    fetcher = Offline() if offline else fetcher_of(settings)
    revocation = revocation_of(settings, fetcher)
    anchors = _anchor_files(settings, revocation)
    registrants = AnchorFiles(settings.registration.anchors, issuers=revocation)
    published = PublishedByUri(fetcher)
    async with opened_store(settings) as store:
        clients = directory(store)
        tasks = [
            asyncio.create_task(keep_fresh(clients, store)),
            asyncio.create_task(anchors.watch(ANCHOR_INTERVAL)),
        ]
        if settings.registration.anchors:
            tasks.append(asyncio.create_task(registrants.watch(ANCHOR_INTERVAL)))
        if revocation is not None:
            tasks.append(asyncio.create_task(revocation.run()))
        try:
            yield Authentication(
                store=store,
                clients=clients,
                sources=Sources(chains=anchors.trust, published=published, uses=store.tokens),
                has_anchors=_may_have_anchors(settings, anchors),
                anchors=lambda: anchors.trust.anchors,
                revocation=revocation.statuses if revocation is not None else tuple,
                registrants=registrants,
                allowed=lambda: allowed(settings, anchors),
            )
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await published.close()
            fetcher.close()


@contextlib.asynccontextmanager
async def open_service(settings: Settings, numbers: Numbers | None = None) -> AsyncIterator[Service]:
    """The authorization server, without its endpoints; what is true of it now is kept among `numbers`."""
    async with (
        open_authentication(settings) as authentication,
        open_keys(settings, authentication.store) as keys,
    ):
        offer = offer_of(settings, has_anchors=authentication.has_anchors, signing=keys.signing_algorithms)
        store, tokens = authentication.store, settings.tokens
        expiry = ExpiryWatch(store, time.time)
        vitals = vitals_of(offer, authentication, keys, expiry)
        service = Service(
            offer=offer,
            policy=Policy(scope=settings.scope, resources=tokens.resources),
            bind=tokens.bind,
            lifetime=tokens.lifetime,
            keys=keys,
            clients=authentication.clients,
            statuses=StatusBook(store, authentication.clients, settings.server.issuer + STATUS_LIST),
            sources=authentication.sources,
            store=store,
            accepted=accepted(offer, settings),
            refresh=Refresh(
                lifetime=tokens.refresh_lifetime,
                grace=tokens.refresh_grace,
                always_rotates=tokens.refresh_rotation == "always",
            ),
            opaque=frozenset(tokens.opaque),
            registrar=registrar_of(settings, authentication),
            vitals=vitals,
        )
        tasks = [asyncio.create_task(expiry.run()), asyncio.create_task(Purge(store, time.time).run())]
        if numbers is not None and settings.admin.port is not None:
            tasks.append(asyncio.create_task(keep_sampling(vitals, numbers)))
        try:
            yield service
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def vitals_of(offer: Offer, authentication: Authentication, keys: KeyRing, expiry: ExpiryWatch) -> Vitals:
    """Where to look for whether the server can do its work."""

    def key_age() -> float | None:
        created_at = keys.created_at
        return None if created_at is None else time.time() - created_at

    return Vitals(
        store=authentication.store,
        anchors=lambda: len(authentication.anchors().anchors),
        needs_anchors=authentication.has_anchors and Method.TLS_CLIENT_AUTH in offer.methods,
        keys=lambda: len(keys.published),
        key_age=key_age,
        clients=lambda: authentication.clients.count,
        ending=lambda: expiry.ending,
        sources=authentication.revocation,
        now=time.time,
    )


@contextlib.asynccontextmanager
async def open_registry(settings: Settings, actor: str = "") -> AsyncIterator[ClientRegistry]:
    """The use cases around clients, as this deployment allows them; `actor` is who asks, for the audit."""
    anchors = _anchor_files(settings)
    async with opened_store(settings) as store:
        yield ClientRegistry(store, allowed(settings, anchors), settings.tokens.bind, time.time, actor)


@contextlib.asynccontextmanager
async def open_revoker(settings: Settings, actor: str) -> AsyncIterator[Revoker]:
    """The use cases around revocation; `actor` is who asks, for the audit line."""
    async with opened_store(settings) as store:
        yield Revoker(store, actor, time.time)


def accepted(offer: Offer, settings: Settings) -> Mapping[str, Accepted]:
    """How clients may authenticate, by endpoint; by a certificate also where no anchor vouches for anybody yet."""
    enabled = replace(offer, methods=frozenset(settings.authentication.methods))
    return {
        name: Accepted(
            methods=enabled.methods_at(name),
            issuer=settings.server.issuer,
            algorithms=settings.authentication.assertion_algorithms,
        )
        for name, endpoint in offer.direct.items()
        if endpoint.authenticates
    }


def allowed(settings: Settings, anchors: AnchorFiles) -> Allowed:
    """What clients may be registered with."""
    return Allowed(
        scope=settings.scope,
        grant_types=GRANT_TYPES,
        methods=frozenset(settings.authentication.methods),
        resources=frozenset(settings.tokens.resources),
        has_anchors=_may_have_anchors(settings, anchors),
        anchor_keys=anchors.trust.anchors.keys,
        own_anchors=settings.trust.client_anchors,
        assertion_algorithms=frozenset(settings.authentication.assertion_algorithms),
        signing_algorithms=frozenset({settings.keys.algorithm}),
    )


def registrar_of(settings: Settings, authentication: Authentication) -> Registrar | None:
    """Who admits clients that register themselves; None if nobody may.  Raises what `statements_of` raises."""
    asked = settings.registration
    if not asked.ways:
        return None
    store = authentication.store
    return Registrar(
        registry=ClientRegistry(store, authentication.allowed(), settings.tokens.bind, time.time),
        ways=lambda: ways_of(settings, authentication.allowed()),
        quota=Quota(store, asked.open_per_minute),
        statements=statements_of(settings),
        vouching=authentication.registrants.trust if asked.anchors else None,
        published=authentication.sources.published,
    )


def statements_of(settings: Settings) -> StatementPolicy:
    """Whose software statements count, and which.  `ConfigurationError` if a file of keys cannot be read."""
    asked = settings.registration
    return StatementPolicy(
        issuers={each.issuer: each.jwks_uri or _keys_in(each.jwks) for each in asked.statement_issuers},
        algorithms=asked.statement_algorithms,
        max_age=asked.statement_max_age,
        must_have=frozenset(asked.statement_must_have),
    )


def ways_of(settings: Settings, most: Allowed) -> Sequence[Way]:
    """The ways in, each with no more than is `most`."""
    return tuple(
        Way(
            name=each.name,
            needs=frozenset(each.needs),
            own_name=each.own_name,
            allowed=replace(
                most,
                scope=Scope(frozenset(each.scopes)),
                grant_types=frozenset(each.grant_types),
                methods=frozenset(each.methods),
                resources=frozenset(each.protected_resources),
                formats=frozenset(each.token_formats),
                own_anchors=each.own_anchors,
                ignored_validity=False,
            ),
        )
        for each in settings.registration.ways
    )


def offer_of(settings: Settings, *, has_anchors: bool, signing: Sequence[str] = ()) -> Offer:
    """What the metadata says; tls_client_auth only where an anchor could vouch for somebody."""
    can_certify = has_anchors or settings.trust.client_anchors
    methods = frozenset(settings.authentication.methods)
    endpoints = {TOKEN, INTROSPECTION, REVOCATION, *([REGISTRATION] if settings.registration.ways else [])}
    return Offer(
        issuer=Issuer(settings.server.issuer),
        endpoints=frozenset(endpoints),
        mtls_base=settings.server.mtls_url,
        scope=settings.scope,
        grant_types=GRANT_TYPES,
        methods=methods if can_certify else methods - {Method.TLS_CLIENT_AUTH},
        can_bind=True,
        assertion_algorithms=settings.authentication.assertion_algorithms,
        signing_algorithms=tuple(signing),
    )


def api_of(settings: Settings) -> dict[str, Any]:
    """The server that `settings` make, as an OpenAPI document.  `ConfigurationError` if an anchor cannot be read."""
    anchors = _anchor_files(settings)
    offer = offer_of(settings, has_anchors=_may_have_anchors(settings, anchors), signing=[settings.keys.algorithm])
    ways = ways_of(settings, allowed(settings, anchors))
    return describe_api(Facts(offer=offer, resources=settings.tokens.resources, ways=ways))


def fetcher_of(settings: Settings) -> Fetcher:
    """How this deployment reads what others publish.  `ConfigurationError` if it cannot."""
    fetch = settings.fetch
    return Fetcher(private_addresses=fetch.private_addresses, timeout=fetch.timeout, ca=fetch.ca)


def revocation_of(settings: Settings, fetcher: Fetcher) -> "Revocation | None":
    """Who is asked whether certificates were revoked; nobody if that is off.  `ConfigurationError` if a CRL is bad."""
    asked = settings.revocation
    if asked.mode is RevocationMode.OFF:
        return None
    from certbound.trust.revocation import Places, make_revocation  # noqa: PLC0415 - 40 ms and 5 MB others do not need

    places = Places(asked.crl_files, asked.crl_urls, asked.ocsp, from_certificates=asked.from_certificates)
    return make_revocation(
        asked.mode, places, fetcher, max_age=asked.max_age, max_crl_bytes=asked.max_crl_bytes, clock=time.time
    )


@contextlib.asynccontextmanager
async def opened_store(settings: Settings) -> AsyncIterator[Store]:
    """The store of `settings`, closed at the end."""
    store = await open_store(settings.store.url)
    try:
        yield store
    finally:
        await store.close()


async def signing_keys(settings: Settings, store: Store) -> KeyRing:
    """The keys tokens are signed with, as they are now: the configured one, or those of the store.

    A store without a key gets one.  `ConfigurationError` names a key that cannot be opened.
    """
    return _configured_key(settings) or await key_keeper(settings, store).open()


@contextlib.asynccontextmanager
async def open_keys(settings: Settings, store: Store) -> AsyncIterator[KeyRing]:
    """As `signing_keys`, and those of the store take turns."""
    configured = _configured_key(settings)
    if configured is not None:
        yield configured
        return
    keeper = key_keeper(settings, store)
    ring = await keeper.open()
    keeping = asyncio.create_task(keeper.run())
    try:
        yield ring
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


@contextlib.asynccontextmanager
async def open_key_keeper(settings: Settings, actor: str) -> AsyncIterator[KeyKeeper]:
    """The use cases around the keys in the store; `actor` is who asks, for the audit."""
    if settings.keys.file is not None:
        raise ConfigurationError(
            f"keys.file names the key that signs, {settings.keys.file}; those in the store do not, while it does"
        )
    async with opened_store(settings) as store:
        yield key_keeper(settings, store, actor)


def key_keeper(settings: Settings, store: Store, actor: str = "") -> KeyKeeper:
    """Who looks after the keys in the store, as this deployment wants it."""
    asked = settings.keys
    return KeyKeeper(
        store,
        alg=asked.algorithm,
        schedule=Schedule(period=asked.rotate_days * DAY if asked.rotate_days else None),
        password=asked.password,
        actor=actor,
    )


K = TypeVar("K", bound=PublicKey)


def _configured_key(settings: Settings) -> KeyRing | None:
    if settings.keys.file is None:
        return None
    signing = _key_in(settings.keys.file, "keys.file", SigningKey.load, settings)
    others = [_key_in(file, "keys.published", PublicKey.read, settings) for file in settings.keys.published]
    return KeyRing.of(signing, others=others)


def _key_in(file: Path, key: str, read: Callable[..., K], settings: Settings) -> K:
    pem, password = _read(file, key), settings.keys.password
    try:
        return read(pem, password=password, alg=settings.keys.algorithm)
    except ConfigurationError as error:
        raise ConfigurationError(f"{key}: {file}: {error}{password_hint(pem, password)}") from error


def _keys_in(file: Path | None) -> KeySet:
    """The public keys in a JWK Set.  `ConfigurationError` if there are none."""
    if file is None:  # the settings have said so
        raise ConfigurationError("registration.statement_issuers: an issuer has neither jwks nor jwks_uri")
    try:
        return read_keys(json.loads(_read(file, "registration.statement_issuers")))
    except (ValueError, RecursionError, InvalidClientMetadata) as error:
        raise ConfigurationError(f"registration.statement_issuers: {file} is no JWK Set: {error}") from error


def _anchor_files(settings: Settings, issuers: Issuers | None = None) -> AnchorFiles:
    trust = settings.trust
    limits = {
        KeyThumbprint(each.anchor): read_limit(subject_dn=each.subject_dn, dns=each.dns, trust_domain=each.trust_domain)
        for each in trust.limits
    }
    return AnchorFiles(trust.anchors, trust.intermediates, folder=trust.folder, limits=limits, issuers=issuers)


def _may_have_anchors(settings: Settings, anchors: AnchorFiles) -> bool:
    """There are anchors, or a watched folder that may be filled while the server runs."""
    return bool(anchors.trust.anchors) or settings.trust.folder is not None


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _read(file: Path, key: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{key}: {file} cannot be read: {error.strerror}") from error
