"""What there is for people who let clients act for them, as the settings say."""

import logging
import os
import time
from urllib.parse import urlsplit

from certbound.core.errors import ConfigurationError
from certbound.core.ports import Store
from certbound.server.accounts import AccountBook
from certbound.server.guesses import Guesses
from certbound.server.pages import Pages
from certbound.server.passwords import Passwords
from certbound.server.service import People
from certbound.settings import Settings
from certbound.tls.hosts import is_loopback


def configured_people(settings: Settings, store: Store) -> People | None:
    """None where clients act for themselves alone.  `ConfigurationError` if a translation cannot be read."""
    asked = settings.login
    if not asked.is_on:
        return None
    guesses = Guesses(asked.guesses_per_minute, time.monotonic)
    accounts = AccountBook(store, time.time, passwords=_passwords(settings), guesses=guesses)
    return People(
        pages=pages_of(settings),
        accounts=accounts if asked.accounts else None,
        login_url=asked.url,
        login_clients=frozenset(asked.clients),
        session_lifetime=asked.session_lifetime,
        code_lifetime=asked.code_lifetime,
        request_lifetime=asked.request_lifetime,
        pushed_lifetime=asked.pushed_lifetime,
        strangers=Guesses(asked.begun_per_minute, time.monotonic),
        user_codes=Guesses(asked.guesses_per_minute, time.monotonic),
    )


async def warn_of_strangers(settings: Settings, store: Store) -> None:
    """A line in the log for each of `login.clients` that nobody registered: they may be, while we serve."""
    for client_id in settings.login.clients:
        if await store.clients.find(client_id) is None:
            _log.warning("login.clients names %r, which is no client yet; certbound client add registers it", client_id)


def _passwords(settings: Settings) -> Passwords:
    """All workers together hash as many at once as there are cores; each hash takes 64 MB."""
    return Passwords(at_once=max(1, (os.cpu_count() or 1) // settings.server.workers))


def pages_of(settings: Settings) -> Pages:
    """What people see.  `ConfigurationError` names a translation that cannot be read."""
    try:
        host = urlsplit(settings.server.issuer).hostname or ""
        return Pages(locales=settings.login.locales, https_only=not is_loopback(host))
    except ConfigurationError as error:
        raise ConfigurationError(f"login.locales: {error}") from error


_log = logging.getLogger("certbound.server")
