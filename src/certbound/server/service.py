"""What the endpoints share: the facts of this deployment, and the ports to everything that changes."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from certbound.core.authentication import Accepted
from certbound.core.binding import Bind
from certbound.core.errors import InvalidRequest, StoreUnavailable
from certbound.core.grants import Policy
from certbound.core.metadata import Offer
from certbound.core.ports import Store
from certbound.core.proofs import Sources
from certbound.server.accounts import AccountBook
from certbound.server.directory import ClientDirectory
from certbound.server.guesses import Guesses
from certbound.server.keys import KeyRing
from certbound.server.pages import Pages
from certbound.server.proven import ProvenTokens, SignedTokens
from certbound.server.registrar import Registrar
from certbound.server.statuses import StatusBook
from certbound.server.turns import Turns
from certbound.server.uses import LastUses
from certbound.server.vitals import Vitals

REFRESH_INTERVAL = 0.25
"""Seconds between two questions to the store whether anything changed."""

_log = logging.getLogger("certbound.server")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresh:
    """How refresh tokens are given: seconds a grant lives, and when a token is replaced."""

    lifetime: int = 30 * 86400
    grace: int = 10
    """Seconds for which a token that was replaced gives its successor again: an answer may have been lost."""
    always_rotates: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """What there is where people let clients act for them.  Lifetimes are in seconds."""

    pages: Pages
    accounts: AccountBook | None = None
    """Who checks passwords; None where a login application says who people are."""
    login_url: str | None = None
    """That of the login application."""
    login_clients: frozenset[str] = frozenset()
    """The client ids of the login application."""
    session_lifetime: int = 43200
    code_lifetime: int = 60
    request_lifetime: int = 900
    pushed_lifetime: int = 90
    strangers: Guesses = field(default_factory=lambda: Guesses(600, time.monotonic))
    """How much may be begun by whoever proved nothing."""
    user_codes: Guesses = field(default_factory=lambda: Guesses(10, time.monotonic))
    """How often people may mistype what a device shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The authorization server without HTTP."""

    offer: Offer
    policy: Policy
    bind: Bind
    lifetime: int
    """Seconds an access token lives."""
    keys: KeyRing
    clients: ClientDirectory
    statuses: StatusBook
    sources: Sources
    store: Store
    accepted: Mapping[str, Accepted]
    """How clients may authenticate, by endpoint."""
    refresh: Refresh = Refresh()
    opaque: frozenset[str] = frozenset()
    """The resources whose tokens are opaque, unless their client registered otherwise."""
    registrar: Registrar | None = None
    """Who admits clients that register themselves; None where nobody does."""
    proven: ProvenTokens = field(default_factory=ProvenTokens)
    """Access tokens that whoever asks was told about."""
    signed: SignedTokens = field(default_factory=SignedTokens)
    """Access tokens that this process signed."""
    people: People | None = None
    """None where clients act for themselves alone."""
    uses: LastUses = field(default_factory=LastUses)
    """What is told to people of their clients."""
    turns: Turns = field(default_factory=Turns)
    """Of those who come with one code."""
    vitals: Vitals | None = None
    """For those who run the server; None where nobody asks."""
    new_id: Callable[[], str] = field(default=lambda: secrets.token_urlsafe(16))
    """128 bits nobody can guess, base64url."""
    new_secret: Callable[[], str] = field(default=lambda: secrets.token_urlsafe(32))
    """256 bits nobody can guess, base64url."""
    clock: Callable[[], float] = time.time


def people_of(service: Service) -> People:
    """What there is for people; `InvalidRequest` (404) where there is nothing, and no page is served that asks."""
    if service.people is None:
        raise InvalidRequest("nobody logs in here", status=404)
    return service.people


async def keep_fresh(clients: ClientDirectory, store: Store) -> None:
    """Runs until cancelled: requests find a directory that was confirmed a moment ago.

    A change by another process is heard of at once where the database tells, else within `REFRESH_INTERVAL`.
    """
    while True:
        try:
            await clients.refresh()
            await store.changed(timeout=REFRESH_INTERVAL)
        except StoreUnavailable:
            await asyncio.sleep(REFRESH_INTERVAL)  # the request that needs the store says so
        except Exception:  # noqa: BLE001 - a watch that ended because of one bad look would end unnoticed
            _log.exception("clients cannot be refreshed")
            await asyncio.sleep(REFRESH_INTERVAL)


def directory(store: Store) -> ClientDirectory:
    """The clients in `store`, by this machine's monotonic clock."""
    return ClientDirectory(store, time.monotonic)
