"""The start: everything is tried before a port opens."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from certbound import tls
from certbound.app.listeners import make_ports
from certbound.app.people import pages_of, warn_of_strangers
from certbound.app.policy import offer_of, statements_of
from certbound.app.signing import signing_keys
from certbound.app.storage import opened_store
from certbound.app.trusted import anchor_files, fetcher_of, may_have_anchors, revocation_of
from certbound.core.errors import ConfigurationError
from certbound.core.metadata import describe_server
from certbound.server.key_keeper import warn_of_open_keys
from certbound.server.metrics import Numbers
from certbound.server.watch import ENDPOINTS
from certbound.settings import Settings
from certbound.tls import Port
from certbound.tls.contexts import Site, load_sites, uncertified_names
from certbound.trust.files import AnchorFiles


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
    describe_server(offer_of(settings, has_anchors=may_have_anchors(settings, anchor_files(settings))))
    fetcher = fetcher_of(settings)
    revocation_of(settings, fetcher)
    fetcher.close()
    _try_registrants(settings)
    statements_of(settings)
    if settings.login.is_on:
        pages_of(settings)
    async with opened_store(settings) as store:
        await signing_keys(settings, store)
        keys = await store.keys.list()
        await warn_of_strangers(settings, store)
    for port in make_ports(settings):
        if isinstance(port, Port) and settings.proxy.contract is None:
            for site in load_sites(port).all:
                _warn_of_names(site)
    if settings.keys.file is None:
        warn_of_open_keys(keys, settings.keys.password)


def _try_registrants(settings: Settings) -> None:
    try:
        AnchorFiles(settings.registration.anchors)
    except ConfigurationError as error:
        raise ConfigurationError(f"registration.anchors: {error}") from error


def _warn_of_names(site: Site) -> None:
    """No error: what stands in front may show another certificate."""
    for name in uncertified_names(site):
        key, file = site.host.set_by[0], site.host.certificate
        _log.warning("%s: %s does not name %s, so clients will not trust it; issue one that does", key, file, name)


_log = logging.getLogger("certbound.server")
