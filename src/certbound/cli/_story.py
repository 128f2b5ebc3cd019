"""The story that `certbound demo` tells: who gets a token, who is let in, and who is not (RFC 8705)."""

import asyncio
import contextlib
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import httpx
import msgspec

from certbound import app
from certbound.cli._development import BILLING, BILLING_NAME, WAREHOUSE, Development, now_utc
from certbound.cli._narrator import Answer, Narrator, Outcome, read_answer
from certbound.cli.token import decode, describe
from certbound.client import Identity, ServerMetadata, fetch_metadata, open_client, request_token
from certbound.client.tls import TLS_CONNECTION
from certbound.core.signing import SigningKey
from certbound.core.tokens import sign
from certbound.trust.authority import Issued, KeyKind, self_signed

OK = Outcome(200)
INVALID_CLIENT = Outcome(401, "invalid_client")
INVALID_TOKEN = Outcome(401, "invalid_token")

POST_QUANTUM_GROUP = "X25519MLKEM768"


@dataclass(slots=True)
class World:
    """Who takes part, and what they hold; a client for each of them, closed at the end."""

    development: Development
    forgotten_api: str
    """The API on a port that does not ask for certificates."""
    key: KeyKind
    stack: contextlib.ExitStack
    clients: dict[str, httpx.Client] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for member in self.development.members:
            self.join(member.client_id, member.identity)
        self.join("nobody", None)

    def join(self, name: str, identity: Identity | None) -> None:
        """From now on `name` makes requests with that certificate."""
        client = open_client(identity, ca=self.development.ca)
        self.clients[name] = self.stack.enter_context(client)

    def identity(self, client_id: str) -> Identity:
        return next(each for each in self.development.members if each.client_id == client_id).identity

    def server(self) -> ServerMetadata:
        return fetch_metadata(self.clients["nobody"], self.development.place.issuer)

    def ask_token(self, name: str, client_id: str, *, mutual_tls: bool = True) -> Answer:
        """`name` asks for a token and says that it is `client_id`."""
        form = {"grant_type": "client_credentials", "client_id": client_id}
        endpoint = self.server().endpoint("token_endpoint", mutual_tls=mutual_tls)
        return read_answer(self.clients[name].post(endpoint, data=form))

    def call_api(self, name: str, token: str, *, url: str | None = None) -> Answer:
        """`name` calls the API with `token`."""
        headers = {"authorization": f"Bearer {token}"}
        return read_answer(self.clients[name].get(url or self.development.place.resource_url, headers=headers))


def tell(narrator: Narrator, world: World) -> None:
    """The whole story.  What went wrong is counted by the narrator."""
    _introduce(narrator, world)
    narrator.chapter("Each client obtains a token with its own certificate")
    _obtain(narrator, world)
    narrator.chapter("The API accepts each token from the client that it was issued to")
    for name in (BILLING, WAREHOUSE):
        narrator.step(f"{name} calls the API.", OK, partial(_call_api, world, name))
    narrator.chapter("Every theft is refused")
    narrator.say("The peer always sees the same short answer; the reason goes to the server's log, under a request id.")
    if {BILLING, WAREHOUSE} <= world.tokens.keys():
        _steal_tokens(narrator, world)
        _forge_tokens(narrator, world)
    _impersonate(narrator, world)


def _introduce(narrator: Narrator, world: World) -> None:
    place = world.development.place
    narrator.title("OAuth 2.0 mutual TLS (RFC 8705), on real TLS")
    narrator.say()
    narrator.show(
        f"authorization server  {place.issuer}, over mutual TLS {place.mtls_url}",
        f"API                   {place.resource_url}",
        f"{BILLING:<21} a client; the development CA certified it, it is registered by name: {BILLING_NAME}",
        f"{WAREHOUSE:<21} a client; its certificate is self-signed, the certificate itself is registered",
        f"clients' keys         {world.key}",
    )
    narrator.chapter("The server says where it is")
    narrator.step(
        "Metadata (RFC 8414), read without a certificate: token requests over mutual TLS go to an alias.",
        OK, lambda: _read_metadata(world),
    )  # fmt: skip
    narrator.step(f"{BILLING} connects to it: what did TLS agree on?", OK, lambda: _look_at_tls(world))


def _read_metadata(world: World) -> Answer:
    server = world.server()
    alias = server.endpoint("token_endpoint", mutual_tls=True)
    plain = server.endpoint("token_endpoint", mutual_tls=False)
    right = alias.startswith(world.development.place.mtls_url) and plain.startswith(world.development.place.issuer)
    return Answer(
        OK, detail=f"token_endpoint {plain}, its alias {alias}", complaint="" if right else "these are the wrong places"
    )


def _look_at_tls(world: World) -> Answer:
    client = world.clients[BILLING]
    with client.stream("GET", f"{world.development.place.mtls_url}/healthz") as response:
        connection = response.extensions["network_stream"].get_extra_info(TLS_CONNECTION)
        response.read()
        version, group = connection.get_protocol_version_name(), connection.get_group_name() or "?"
    strong = group == POST_QUANTUM_GROUP or not world.key.startswith("ML-DSA")
    return Answer(
        # What counts is the connection, whatever is answered on it.
        OK, detail=f"{version}, key agreement {group}, {BILLING}'s certificate {world.key}",
        complaint="" if strong else f"the key agreement is not {POST_QUANTUM_GROUP}",
    )  # fmt: skip


def _obtain(narrator: Narrator, world: World) -> None:
    for name in (BILLING, WAREHOUSE):
        narrator.step(f"{name} asks for a token.", OK, partial(_obtain_token, world, name))
    if BILLING in world.tokens:
        narrator.say()
        narrator.say(f"What {BILLING}'s token says:")
        narrator.show(*describe(world.tokens[BILLING], world.identity(BILLING).thumbprint, time.time()))
        narrator.say()
        narrator.say(
            "cnf is the binding: the token is good together with that certificate's private key, and useless alone."
        )


def _obtain_token(world: World, name: str) -> Answer:
    token = request_token(world.clients[name], world.server(), name).access_token
    world.tokens[name] = token
    _, claims = decode(token) or ({}, {})
    expected = {"x5t#S256": world.identity(name).thumbprint}
    bound = claims.get("cnf") == expected
    return Answer(
        OK,
        detail=f"bound: cnf is {expected}" if bound else "",
        complaint="" if bound else f"cnf is {claims.get('cnf')} and should be {expected}",
    )


def _call_api(world: World, name: str) -> Answer:
    if name not in world.tokens:
        raise ValueError(f"{name} has no token")
    return world.call_api(name, world.tokens[name])


def _steal_tokens(narrator: Narrator, world: World) -> None:
    token = world.tokens[BILLING]
    narrator.step(
        f"{WAREHOUSE} stole {BILLING}'s token and calls the API with its own certificate.",
        INVALID_TOKEN, lambda: world.call_api(WAREHOUSE, token),
    )  # fmt: skip
    narrator.step(
        "Somebody stole it and has no certificate at all.", INVALID_TOKEN, lambda: world.call_api("nobody", token)
    )
    narrator.step(
        "It is used at a port of the API that never asks for certificates, as one does that was forgotten.",
        INVALID_TOKEN, lambda: world.call_api(BILLING, token, url=world.forgotten_api),
    )  # fmt: skip


def _forge_tokens(narrator: Narrator, world: World) -> None:
    token = world.tokens[BILLING]
    header, claims = decode(token) or ({}, {})
    unbound = {name: value for name, value in claims.items() if name != "cnf"}
    own = {**claims, "cnf": {"x5t#S256": world.identity(WAREHOUSE).thumbprint}}
    narrator.step(
        f"{WAREHOUSE} writes its own thumbprint into {BILLING}'s token and keeps the signature.",
        INVALID_TOKEN, lambda: world.call_api(WAREHOUSE, _join(header, own, token.rpartition(".")[2])),
    )  # fmt: skip
    narrator.step(
        f"{WAREHOUSE} takes cnf out, and says that the token needs no signature (alg none).",
        INVALID_TOKEN, lambda: world.call_api(WAREHOUSE, _join({**header, "alg": "none"}, unbound, "")),
    )  # fmt: skip
    narrator.step(
        "A token without cnf that the server itself has signed, as one does that forgot to bind it.",
        INVALID_TOKEN, lambda: world.call_api(BILLING, sign(unbound, asyncio.run(_signing_key(world)))),
    )  # fmt: skip


def _impersonate(narrator: Narrator, world: World) -> None:
    authority, now = world.development.client_authority, now_utc()
    names: dict[str, Any] = {"subject": f"CN={BILLING}", "dns": [BILLING_NAME], "key": world.key}
    world.join("impostor", _identity(self_signed(**names)))
    world.join("stranger", _identity(authority.issue("CN=stranger", dns=["stranger.example"], key=world.key)))
    world.join("expired", _identity(authority.issue(**names, now=now - timedelta(days=10), days=9)))
    tries: list[tuple[str, Callable[[], Answer]]] = [
        (f"{WAREHOUSE} asks for a token and says that it is {BILLING}.", lambda: world.ask_token(WAREHOUSE, BILLING)),
        (f"{BILLING} asks for a token and says that it is {WAREHOUSE}.", lambda: world.ask_token(BILLING, WAREHOUSE)),
        (
            f"Somebody made a self-signed certificate with {BILLING}'s names, and says that it is {BILLING}.",
            lambda: world.ask_token("impostor", BILLING),
        ),
        (
            f"Somebody whom the same CA certified, under another name, says that it is {BILLING}.",
            lambda: world.ask_token("stranger", BILLING),
        ),
        (f"Somebody says that it is {BILLING}, without a certificate.", lambda: world.ask_token("nobody", BILLING)),
        (
            f"{BILLING} itself asks at the conventional endpoint, where no certificate is asked for.",
            lambda: world.ask_token(BILLING, BILLING, mutual_tls=False),
        ),
        (f"{BILLING}'s old certificate, which has expired.", lambda: world.ask_token("expired", BILLING)),
    ]
    for tried, act in tries:
        narrator.step(tried, INVALID_CLIENT, act)


def _identity(issued: Issued) -> Identity:
    return Identity(issued.chain_pem, issued.key_pem)


async def _signing_key(world: World) -> SigningKey:
    async with app.opened_store(world.development.settings) as store:
        return (await app.signing_keys(world.development.settings, store)).signing


def _join(header: dict[str, Any], claims: dict[str, Any], signature: str) -> str:
    parts = (urlsafe_b64encode(msgspec.json.encode(part)).rstrip(b"=").decode("ascii") for part in (header, claims))
    return ".".join([*parts, signature])
