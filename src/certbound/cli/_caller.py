"""Who calls, for commands that use tokens: a client with a certificate of its own, or the person who logged in.

Rule 1: a login's certificate goes over TLS 1.3 only: it stands for one person, and older versions show it to the
        network (RFC 8705 section 8).
Rule 2: a token that says it is not bound to our certificate is not used.
Rule 3: a refresh token that came is kept before the access token beside it is used.
Rule 4: one whose answer broke off is presented again, by the next command and not by this one, until the server has
        answered; one that it refused is forgotten, and never presented again.
"""

import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import httpx

from certbound.cli._asking import read_text
from certbound.cli._caller_options import Given
from certbound.cli._certificates import has_private_key, read_bytes, read_chain
from certbound.cli._commands import WrongUse
from certbound.cli._kept_identity import Kept, KeptToken, Login, kept_at, the_login
from certbound.client import (
    ClientError,
    Credential,
    Identity,
    IdentityUnusable,
    Token,
    TokenRefused,
    drive,
    fetch_metadata,
    flow,
    open_client,
)
from certbound.client.hardware.uri import is_token_uri
from certbound.client.transport import MinimumTLS
from certbound.core.errors import ConfigurationError

UNSTATED = 300.0
"""Seconds for which a token is kept whose life the server does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody with a certificate, at one issuer."""

    issuer: str
    client_id: str
    identity: Identity
    ca: Path | None
    minimum_tls: MinimumTLS
    obtain: "Obtain"
    keeps: bool = False
    """Whether a token may be one that was used before."""

    def open(self) -> httpx.Client:
        """Connections that show the certificate."""
        return open_client(self.identity, ca=self.ca, minimum_tls=self.minimum_tls)

    def token(
        self, http: httpx.Client, *, scope: str | None = None, resources: Sequence[str] = (), fresh: bool = False
    ) -> Token:
        """A token for that; `fresh`: one that nobody had before."""
        token = self.obtain(http, scope, tuple(resources), fresh)
        require_bound(self.issuer, token, self.identity)
        return token

    def exchange(self, http: httpx.Client, subject_token: str, *, scope: str | None, resources: Sequence[str]) -> Token:
        """A token of our own for one that somebody called us with (RFC 8693)."""
        server, credential = fetch_metadata(http, self.issuer), Credential(self.client_id)
        token = drive(http, flow.exchange(server, credential, subject_token, scope=scope, resources=resources))
        require_bound(self.issuer, token, self.identity)
        return token


class Obtain(Protocol):
    """How a token is had."""

    def __call__(self, http: httpx.Client, scope: str | None, resources: tuple[str, ...], fresh: bool) -> Token: ...


def caller_of(given: Given) -> Caller:
    """Whoever the options say; `issuer` among them is needed where there is a certificate."""
    if given.cert is None:
        return by_login(the_login(given.issuer), ca=given.ca)
    if given.issuer is None:
        raise WrongUse("give --issuer with --cert")
    return by_certificate(given.issuer, given)


def by_certificate(issuer: str, given: Given) -> Caller:
    """A client that acts for itself, whose certificate is in files."""

    assert given.cert is not None
    assert given.client_id is not None
    credential = Credential(given.client_id)

    def obtain(http: httpx.Client, scope: str | None, resources: tuple[str, ...], fresh: bool) -> Token:
        del fresh  # each is
        server = fetch_metadata(http, issuer)
        return drive(http, flow.client_credentials(server, credential, scope=scope, resources=resources))

    return Caller(
        issuer=issuer, client_id=credential.client_id, ca=given.ca, minimum_tls="1.2", obtain=obtain,
        identity=read_identity(given.cert, given.key, given.password_file),
    )  # fmt: skip


def by_login(login: Login, *, ca: Path | None = None) -> Caller:
    """The client that a person lets act for them."""
    kept = kept_at(login.issuer)
    identity = kept.find_identity()
    if identity is None or identity.thumbprint != login.thumbprint:
        raise ConfigurationError(f"the certificate of the login is gone, so log in again: {again(login)}")
    if identity.certificate.not_after < time.time():
        raise ConfigurationError(f"the certificate of the login has expired, so log in again: {again(login)}")
    return Caller(
        issuer=login.issuer, client_id=login.client_id, identity=identity, ca=ca or kept_ca(login),
        minimum_tls="1.3", obtain=_Session(kept, identity), keeps=True,
    )  # fmt: skip


def read_identity(cert: Path, key: Path | None, password_file: Path | None) -> Identity:
    """The identity in these files.  `ConfigurationError` or `IdentityUnusable` names the one that cannot be used."""
    password = None if password_file is None else read_text(password_file, "--password-file").rstrip("\r\n")
    if (in_token := next((str(each) for each in (key, cert) if is_token_uri(str(each))), None)) is not None:
        return Identity.from_pkcs11(in_token, pin=password, certificate=None if key is None else cert)
    if key is None and cert.is_file() and not has_private_key(content := read_bytes(cert)) and b"-----" in content:
        raise WrongUse(f"{cert} holds no private key; give it as --key")
    held = cert if key is None else key
    if password is None and held.is_file() and b"ENCRYPTED" in read_bytes(held):
        raise WrongUse(f"{held} is encrypted; give --password-file FILE with its password")
    try:
        return Identity.load(cert, key, password)
    except IdentityUnusable as error:
        is_pem = cert.is_file() and (key is not None or b"-----" in read_bytes(cert))
        if is_pem:
            read_chain(cert)  # if it is the certificate that cannot be used, this says why, and which file
        if is_pem or password is not None or not held.is_file():
            raise
        raise IdentityUnusable(f"{error} It is given as --password-file FILE") from error


def require_bound(issuer: str, token: Token, identity: Identity) -> None:
    """`ClientError` for a token that says it is anybody's; of one that only the server can read, nothing is known."""
    flow.require_bound(issuer, token.access_token, identity.thumbprint)


def keep_token(login: Login, token: Token, *, scope: str | None, resources: tuple[str, ...], now: float) -> Login:
    """`login` with a token that was asked for with `scope` and `resources` at `now`."""
    life = UNSTATED if token.expires_in is None else token.expires_in
    made = KeptToken(
        access_token=token.access_token, ends_at=now + life, asked_scope=scope, asked_resources=resources,
        scope=token.scope,
    )  # fmt: skip
    others = (each for each in login.tokens if now < each.ends_at and not each.is_for(scope, resources, 0))
    return replace(login, refresh_token=token.refresh_token or login.refresh_token, tokens=(*others, made))


def kept_ca(login: Login) -> Path | None:
    """Who vouches for the servers of that login."""
    return None if login.ca is None else Path(login.ca)


def again(login: Login, *more: str) -> str:
    """What to do about a login that is over; `more` are options that it needs this time."""
    ca = () if login.ca is None else ("--ca", login.ca)
    return shlex.join(["certbound", "login", login.issuer, "--client-id", login.client_id, *ca, *more])


@dataclass(frozen=True, slots=True)
class _Session:
    """The tokens of a login: those that are kept, and others by its refresh token."""

    kept: Kept
    identity: Identity
    now: Callable[[], float] = field(default=time.time)

    def __call__(self, http: httpx.Client, scope: str | None, resources: tuple[str, ...], fresh: bool) -> Token:
        # (1) Nobody else uses the refresh token meanwhile.
        with self.kept.locked():
            login = self.kept.find_login()
            if login is None or login.thumbprint != self.identity.thumbprint:
                raise ConfigurationError(f"the login at {self.kept.issuer} has just ended, or begun anew; try again")
            if resources == login.resources:
                resources = ()
            # (2) One that is there.
            for each in () if fresh else login.tokens:
                if each.is_for(scope, resources, self.now()):
                    return _as_token(each, self.now())
            if login.refresh_token is None:
                raise ClientError(
                    f"the login is over, so log in again: {again(login)} (no refresh token of it is in force)"
                )
            # (3) Another one; what comes with it is kept before anybody uses it.
            begun = self.now()
            token = self._refresh(http, login, login.refresh_token, scope, resources)
            self.kept.keep(keep_token(login, token, scope=scope, resources=resources, now=begun))
            return token

    def _refresh(
        self, http: httpx.Client, login: Login, refresh_token: str, scope: str | None, resources: tuple[str, ...]
    ) -> Token:
        server = fetch_metadata(http, login.issuer)
        asking = flow.refresh(server, Credential(login.client_id), refresh_token, scope=scope, resources=resources)
        try:
            return drive(http, asking)
        except TokenRefused as refused:
            if refused.error == "invalid_grant":
                self.kept.keep(replace(login, refresh_token=None))
            if (advice := _ADVICE.get(refused.error)) is None:
                raise
            more = {
                "invalid_scope": ("--scope", scope) if scope else (),
                "invalid_target": tuple(word for each in resources for word in ("--resource", each)),
            }.get(refused.error, ())
            raise ClientError(f"{advice}: {again(login, *more)} ({refused})") from refused


def _as_token(kept: KeptToken, now: float) -> Token:
    return Token(access_token=kept.access_token, expires_in=kept.ends_at - now, scope=kept.scope)  # type: ignore[arg-type]


_ADVICE = {
    "invalid_grant": "the login is over, so log in again",
    "invalid_scope": "the login does not go so far; log in again with the scope",
    "invalid_target": "the login is not for that API; log in again for it",
}
