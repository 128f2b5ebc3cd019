"""How a person lets this machine act for them, and how that ends.

Rule 1: state, verifier and nonce are made for one login; what comes back is checked against all three and the issuer.
Rule 2: what an ID token says counts only straight from the token endpoint, over TLS, for this client (OpenID Connect
        Core section 3.1.3.7); nothing is allowed to anybody by it.
Rule 3: no token and no secret is printed; a link is, and the codes that a person types.
"""

import secrets
import shlex
import time
import webbrowser
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from certbound.cli._caller import again, keep_token
from certbound.cli._kept_identity import Kept, Login
from certbound.cli._loopback import listening
from certbound.cli._output import date, note, say
from certbound.cli.token import decode
from certbound.client import (
    AnswerUnusable,
    Credential,
    Identity,
    Refused,
    ServerMetadata,
    Token,
    await_device,
    drive,
    flow,
)
from certbound.client.flow.message import Request, ask

OPENID = "openid"
SHOWN_CLAIMS = ("name", "preferred_username", "email")
USERNAME = "username"
"""RFC 7662 section 2.2, of introspection alone."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a login is for."""

    credential: Credential
    scope: str | None
    resources: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How the person is asked."""

    device: bool
    """In a browser anywhere (RFC 8628); else in one on this machine."""
    path: str
    """Where that one comes back to on the loopback interface."""
    seconds: float
    """It is waited for."""
    opens: bool
    """It is opened, and no link printed."""


def ask_person(http: httpx.Client, server: ServerMetadata, wanted: Wanted, way: Way) -> tuple[Token, Mapping[str, Any]]:
    """A token, and who the person is, once they agreed."""
    return _by_device(http, server, wanted) if way.device else _by_browser(http, server, wanted, way)


def made_of(
    token: Token,
    wanted: Wanted,
    person: Mapping[str, Any],
    *,
    issuer: str,
    identity: Identity,
    ca: Path | None,
    begun: float,
) -> Login:
    """The login that a token makes, which was asked for at `begun`."""
    made = Login(
        issuer=issuer, client_id=wanted.credential.client_id, thumbprint=identity.thumbprint,
        ca=str(ca.resolve()) if ca else None, scope=token.scope or wanted.scope, resources=wanted.resources,
        person=person,
    )  # fmt: skip
    return keep_token(made, token, scope=None, resources=(), now=begun)


def _by_browser(
    http: httpx.Client, server: ServerMetadata, wanted: Wanted, way: Way
) -> tuple[Token, Mapping[str, Any]]:
    state, verifier, nonce = (secrets.token_urlsafe(32) for _ in range(3))
    more = {"nonce": nonce} if OPENID in (wanted.scope or "").split() else {}
    with listening(way.path) as loopback:
        asking = flow.authorize(
            server, wanted.credential, redirect_uri=loopback.redirect_uri, state=state, verifier=verifier,
            scope=wanted.scope, resources=wanted.resources, more=more,
        )  # fmt: skip
        started = drive(http, asking)
        if not (way.opens and webbrowser.open(started.url)):
            say("Open this in a browser on this machine:", "", started.url, "")
        else:
            note("waiting for the browser; with --no-browser the link is printed")
        code = loopback.wait(lambda url: flow.read_redirect(server, started, url), way.seconds)
        # Whoever comes back a second time meanwhile is answered.
        token = drive(http, flow.redeem(server, wanted.credential, started, code))
    return token, person_in(token, server, wanted.credential.client_id, more.get("nonce"))


def _by_device(http: httpx.Client, server: ServerMetadata, wanted: Wanted) -> tuple[Token, Mapping[str, Any]]:
    asking = flow.start_device(server, wanted.credential, scope=wanted.scope, resources=wanted.resources)
    device = drive(http, asking)
    say(f"Open {device.verification_uri} in any browser and type", "", f"    {device.user_code}", "")
    if device.verification_uri_complete:
        say("or open", "", f"    {device.verification_uri_complete}", "")
    token = await_device(http, server, wanted.credential, device)
    return token, person_in(token, server, wanted.credential.client_id, None)


def end(http: httpx.Client, server: ServerMetadata, login: Login) -> bool:
    """The tokens of that login count no more; False if the server does not offer that."""
    if not server.offers("revocation_endpoint"):
        return False
    given = [(each.access_token, "access_token") for each in login.tokens if time.time() < each.ends_at]
    if login.refresh_token is not None:
        given.insert(0, (login.refresh_token, "refresh_token"))
    for token, hint in given:
        drive(http, flow.revoke(server, Credential(login.client_id), token, hint=hint))
    return True


@dataclass(frozen=True, slots=True)
class Said:
    """What is known of the person, by the best that the issuer offers."""

    source: str
    claims: Mapping[str, Any]
    is_refused: bool = False
    """The issuer takes the token no more, so this is what it said before."""


def ask_who(http: httpx.Client, server: ServerMetadata, login: Login, token: Token) -> Said:
    """What the issuer says of the person now; else what it said when they logged in."""
    is_refused = False
    try:
        if (found := _ask_userinfo(http, server, login, token)) is not None:
            return Said("userinfo", found)
    except Refused as refused:
        is_refused = refused.error == "invalid_token"  # else it lacks the scope openid, and is for nobody
    if (found := _introspect(http, server, login, token)) is not None:
        return Said("introspection", found)
    if login.person:
        return Said("ID token", login.person, is_refused)
    _, claims = decode(token.access_token) or ({}, {})
    return Said("access token", claims, is_refused)


def _ask_userinfo(http: httpx.Client, server: ServerMetadata, login: Login, token: Token) -> Mapping[str, Any] | None:
    """OpenID Connect Core section 5.3; None if there is no such thing.  `Refused` as the server says."""
    if not server.offers("userinfo_endpoint"):
        return None
    url = server.endpoint("userinfo_endpoint", mutual_tls=True)
    try:
        said = drive(
            http, ask(Request(method="GET", url=url, headers={"authorization": f"Bearer {token.access_token}"}))
        )
    except AnswerUnusable:
        return None  # a signed one, for one
    # OpenID Connect Core section 5.3.2: else it is about somebody else.
    if not isinstance(said.get("sub"), str) or said["sub"] != login.person.get("sub", said["sub"]):
        raise AnswerUnusable(f"{url} is about somebody else than the login; certbound logout, and log in again")
    return said


def _introspect(http: httpx.Client, server: ServerMetadata, login: Login, token: Token) -> Mapping[str, Any] | None:
    """What introspection says of the person; None if there is none, or the client may not ask."""
    if not server.offers("introspection_endpoint"):
        return None
    try:
        said = drive(http, flow.introspect(server, Credential(login.client_id), token.access_token))
    except (Refused, AnswerUnusable):
        return None
    return said if said["active"] and said.get("sub") == login.person.get("sub", said.get("sub")) else None


def person_in(token: Token, server: ServerMetadata, client_id: str, nonce: str | None) -> Mapping[str, Any]:
    """What the ID token says of the person; nothing if there is none.  `AnswerUnusable` if it is another's."""
    if token.id_token is None:
        return {}
    _, claims = decode(token.id_token) or ({}, {})
    audience = claims.get("aud")
    if (
        claims.get("iss") != server.issuer
        or client_id not in (audience if isinstance(audience, list) else [audience])
        or (nonce is not None and claims.get("nonce") != nonce)
        or not isinstance(claims.get("sub"), str)
    ):
        raise AnswerUnusable(f"{server.issuer} gave an ID token of another issuer, client or login; nothing was kept")
    return {name: claims[name] for name in ("sub", *SHOWN_CLAIMS) if isinstance(claims.get(name), str)}


def lines_of(login: Login, identity: Identity, kept: Kept, *, person: Mapping[str, Any] | None = None) -> list[str]:
    """A login, for people; `person` is what is known of them now."""
    ends = date(identity.certificate.not_after)
    rows = [
        (
            "person",
            named(login.person if person is None else person) or "(the issuer did not say; ask for the scope openid)",
        ),
        ("client", login.client_id),
        ("scope", login.scope or "(the server did not say)"),
        ("certificate", f"{identity.thumbprint}, until {ends}"),
        ("lasts", lasts(login)),
        ("kept in", str(kept.folder)),
    ]
    return [f"Logged in at {login.issuer}", *(f"  {name:<11} {text}" for name, text in rows)]


def lasts(login: Login) -> str:
    """Until when it is good without the person."""
    if login.refresh_token is not None:
        return "until the issuer or you end it: certbound logout"
    return f"until {date(max((each.ends_at for each in login.tokens), default=0))}; then {again(login)}"


def named(claims: Mapping[str, Any]) -> str:
    """Who, as people say it, and as the issuer does."""
    words = [claims[name] for name in (*SHOWN_CLAIMS, USERNAME) if isinstance(claims.get(name), str)]
    subject = claims.get("sub")
    return ", ".join([*words, *([f"sub {subject}"] if isinstance(subject, str) else [])])


def registration(kept: Kept, client_id: str, way: Way) -> str:
    """What registers the certificate at a server of ours."""
    asked = ["--grant-type", "device"] if way.device else ["--redirect-uri", f"http://127.0.0.1{way.path}"]
    return shlex.join(["certbound", "client", "add", "--id", client_id, "--self-signed", str(kept.certificate), *asked])
