"""The authorization server without its endpoints, with everything that keeps it fresh while it runs."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from certbound.app.people import configured_people
from certbound.app.policy import accepted, allowed, offer_of, statements_of, ways_of
from certbound.app.running import running
from certbound.app.signing import open_keys
from certbound.app.storage import opened_store
from certbound.app.trusted import ANCHOR_INTERVAL, anchor_files, fetcher_of, may_have_anchors, revocation_of
from certbound.core.clients import Allowed, Method
from certbound.core.grants import Policy
from certbound.core.metadata import STATUS_LIST, Offer
from certbound.core.ports import Store
from certbound.core.proofs import Sources
from certbound.server.clients import ClientRegistry
from certbound.server.directory import ClientDirectory
from certbound.server.expiry import ExpiryWatch
from certbound.server.keys import KeyRing
from certbound.server.metrics import Numbers
from certbound.server.purging import Purge
from certbound.server.registrar import Quota, Registrar
from certbound.server.service import Refresh, Service, directory, keep_fresh
from certbound.server.statuses import StatusBook
from certbound.server.vitals import Vitals, keep_sampling
from certbound.settings import Settings
from certbound.trust.anchors import Anchors
from certbound.trust.files import AnchorFiles
from certbound.trust.offline import Offline
from certbound.trust.published import PublishedByUri
from certbound.trust.sources import SourceStatus


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
    anchors = anchor_files(settings, revocation)
    registrants = AnchorFiles(settings.registration.anchors, issuers=revocation)
    published = PublishedByUri(fetcher)
    async with opened_store(settings) as store:
        clients = directory(store)
        work = [keep_fresh(clients, store), anchors.watch(ANCHOR_INTERVAL)]
        if settings.registration.anchors:
            work.append(registrants.watch(ANCHOR_INTERVAL))
        if revocation is not None:
            work.append(revocation.run())
        try:
            async with running(*work):
                yield Authentication(
                    store=store,
                    clients=clients,
                    sources=Sources(chains=anchors.trust, published=published, uses=store.tokens),
                    has_anchors=may_have_anchors(settings, anchors),
                    anchors=lambda: anchors.trust.anchors,
                    revocation=revocation.statuses if revocation is not None else tuple,
                    registrants=registrants,
                    allowed=lambda: allowed(settings, anchors),
                )
        finally:
            await published.close()
            fetcher.close()


@contextlib.asynccontextmanager
async def open_service(settings: Settings, numbers: Numbers | None = None) -> AsyncIterator[Service]:
    """The authorization server, without its endpoints; what is true of it now is kept among `numbers`."""
    async with (
        open_authentication(settings) as authentication,
        open_keys(settings, authentication.store) as keys,
    ):
        store, tokens = authentication.store, settings.tokens
        people = configured_people(settings, store)
        offer = offer_of(
            settings,
            has_anchors=authentication.has_anchors,
            signing=keys.signing_algorithms,
            locales=people.pages.languages if people else (),
        )
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
            people=people,
            vitals=vitals,
        )
        work = [expiry.run(), Purge(store, time.time).run()]
        if numbers is not None and settings.admin.port is not None:
            work.append(keep_sampling(vitals, numbers))
        async with running(*work):
            yield service


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
