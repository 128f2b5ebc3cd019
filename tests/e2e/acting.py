"""Clients that act for people, from the request to the tokens: what tests of those share."""

import asyncio
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher

from certbound.app import opened_store
from certbound.core.authentication import digest_of
from certbound.core.ports import AccountRecord, SessionRecord
from certbound.server.accounts import AccountBook
from certbound.server.passwords import Passwords
from certbound.server.sessions import SESSION
from certbound.trust.authority import Issued, self_signed
from e2e.people import Browser, Page, authorize, decide, request_url
from e2e.world import Answer, World, world

PASSWORD = "correct horse battery"
SCOPES = ["read", "write", "openid", "profile", "email"]
_BROWSERS: dict[str, Browser] = {}
CODE_GRANT = ["authorization_code", "refresh_token"]


@contextmanager
def people_world(directory: Path, **overrides: Any) -> Iterator[World]:
    """A deployment where people log in; `anna` has an account."""
    with world(directory, **{"login__accounts": True, "tokens__scopes": SCOPES, **overrides}) as built:
        if built.settings.login.accounts:
            add_account(built, "anna", email="anna@example.com", email_verified=True, name="Anna Nová")
        yield built


def add_account(built: World, username: str, password: str = PASSWORD, **claims: Any) -> AccountRecord:
    """By the same use case as the command, with a hash that costs nothing."""

    async def go() -> AccountRecord:
        async with opened_store(built.settings) as store:
            cheap = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
            return await AccountBook(store, lambda: 0.0, actor="test", passwords=cheap).add(username, password, claims)

    return asyncio.run(go())


@dataclass(frozen=True)
class App:
    """A client with a certificate of its own that acts for people."""

    world: World
    client_id: str
    identity: Issued
    redirect_uri: str = "https://app.example/cb"
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    def request(self, **parameters: Any) -> dict[str, Any]:
        """The parameters of an authorization request; None takes one away."""
        asked = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": "openid read",
            "code_challenge": challenge_of(self.verifier),
            "code_challenge_method": "S256",
            "state": "s",
            **parameters,
        }
        return {name: value for name, value in asked.items() if value is not None}

    def code(self, *, username: str = "anna", browser: Browser | None = None, **parameters: Any) -> str:
        """What the person agrees to; anna in a browser where she is logged in already, unless stated."""
        if username == "anna":
            browser = browser or _annas(self.world)
        return authorize(self.world, self.client_id, self.request(**parameters), username, PASSWORD, browser=browser)

    def visit(self, browser: Browser | None = None, **parameters: Any) -> Page:
        """Where the browser ends without anybody deciding anything."""
        return (browser or Browser(self.world)).visit(request_url(self.world, self.request(**parameters)))

    def visit_pushed(self, request_uri: str, browser: Browser | None = None, **beside: Any) -> Page:
        """The same for what was pushed."""
        asked = {"client_id": self.client_id, "request_uri": request_uri, **beside}
        return (browser or Browser(self.world)).visit(request_url(self.world, asked))

    def agree_to_pushed(self, request_uri: str, browser: Browser | None = None, **beside: Any) -> dict[str, str]:
        """What the client is told once the person agreed."""
        asked = {"request_uri": request_uri, **beside}
        browser = browser or _annas(self.world)
        return decide(self.world, self.client_id, asked, "anna", PASSWORD, browser=browser).members

    def push(self, **parameters: Any) -> Answer:
        """The request, over the back channel (RFC 9126)."""
        asked = self.request(**parameters)
        return self.world.post("par", asked.pop("client_id"), self.identity, **asked)

    def redeem(self, code: str, identity: Issued | None = None, **form: Any) -> Answer:
        """At the mutual-TLS alias of the token endpoint."""
        said = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": self.verifier,
            **form,
        }
        said = {name: value for name, value in said.items() if value is not None}
        client_id = said.pop("client_id", self.client_id)
        return self.world.post("token", client_id, identity or self.identity, **said)

    def tokens(self, *, browser: Browser | None = None, username: str = "anna", **parameters: Any) -> Mapping[str, Any]:
        """The answer of the token endpoint for a code."""
        answer = self.redeem(self.code(browser=browser, username=username, **parameters))
        assert answer.status == 200, answer
        found: Mapping[str, Any] = answer.json
        return found

    def userinfo(self, token: str, *, method: str = "GET", plain: bool = False) -> Answer:
        """Who the person is; `plain` asks at the host without certificates."""
        base, identity = (self.world.issuer, None) if plain else (self.world.mtls, self.identity)
        return self.world.ask(f"{base}/userinfo", identity, method=method, headers={"authorization": f"Bearer {token}"})


def make_app(built: World, client_id: str, **metadata: Any) -> App:
    """Registered with a self-signed certificate."""
    identity = self_signed(f"CN={client_id}")
    given = {
        "grant_types": CODE_GRANT,
        "redirect_uris": ["https://app.example/cb"],
        "scope": " ".join(SCOPES),
        **metadata,
    }
    built.register_self_signed(client_id, identity, **given)
    return App(built, client_id, identity, redirect_uri=next(iter(given["redirect_uris"]), ""))


def logged_in(built: World, username: str = "anna") -> Browser:
    """A browser where the person is logged in already: to log in takes as long as a good password hash does."""

    async def find() -> str:
        async with opened_store(built.settings) as store:
            account = await store.accounts.find(username)
            assert account is not None
            return account.subject

    return subject_logged_in(built, asyncio.run(find()))


def subject_logged_in(built: World, subject: str) -> Browser:
    """The same for whoever tokens call so, account or not."""
    value, now = secrets.token_urlsafe(32), time.time()
    session = SessionRecord(
        digest=digest_of(value),
        subject=subject,
        sid=secrets.token_urlsafe(16),
        auth_time=now,
        amr=("pwd",),
        created_at=now,
        ends_at=now + 3600,
    )

    async def go() -> None:
        async with opened_store(built.settings) as store:
            await store.sessions.add(session)

    asyncio.run(go())
    return Browser(built, {SESSION: value})


def _annas(built: World) -> Browser:
    """One for each deployment."""
    if built.issuer not in _BROWSERS:
        _BROWSERS[built.issuer] = logged_in(built)
    return _BROWSERS[built.issuer]


def challenge_of(verifier: str) -> str:
    """RFC 7636 section 4.2, S256."""
    return urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
