"""Who walks through `test_no_way_through`: a client of every method, its like, whom it wants to be, and its requests.

Everybody came through the registration endpoint of one deployment with everything on, and has tokens that live.
"""

import asyncio
import base64
import contextlib
import functools
import http.client
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import asserting
from certbound.app import open_registry, opened_store
from certbound.core.authentication import digest_of
from certbound.core.certificate import read_certificate
from certbound.core.jwks import make_jwks
from certbound.core.ports import InitialTokenRecord
from certbound.core.signing import SigningKey
from certbound.trust.authority import Authority, Issued, self_signed
from e2e.acting import add_account, challenge_of, logged_in
from e2e.forging import forged
from e2e.people import Browser, authorize
from e2e.world import RESOURCE, Answer, World, world

OPAQUE = "https://other.example"
MINE = "https://mine.example"
"""What every client of the walk serves, so that it may exchange tokens for it."""
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
GRANTS = ["client_credentials", "refresh_token", "authorization_code", DEVICE, EXCHANGE]
SCOPES = ["openid", "read", "write"]
REDIRECT_URI = "https://app.example/cb"
VERIFIER = "v" * 43
ASKED = {
    "response_type": "code", "redirect_uri": REDIRECT_URI, "code_challenge_method": "S256", "scope": "openid read",
    "code_challenge": challenge_of(VERIFIER),
}  # fmt: skip
"""What every client of the walk asks of people."""
METHODS = (
    "none", "client_secret_basic", "client_secret_post", "private_key_jwt", "tls_client_auth",
    "self_signed_tls_client_auth",
)  # fmt: skip
MUTUAL_TLS = ("tls_client_auth", "self_signed_tls_client_auth")
HOSTS = ("issuer", "mtls")
MOST_IDLE = 10
"""Seconds after which a kept connection is not trusted to be there still."""

Pairs = tuple[tuple[str, str | bytes], ...]
Headers = tuple[tuple[str, str | bytes], ...]


@dataclass(frozen=True)
class Shown:
    """What a request shows of who sends it: parameters, headers, and whose certificate is on the connection."""

    form: Pairs = ()
    headers: Headers = ()
    identity: str | None = None
    query: str = ""


@dataclass(frozen=True)
class Actor:
    """A registered client; what it has is good."""

    method: str
    name: str
    client_id: str
    secret: str
    uri: str
    registration_token: str
    metadata: Mapping[str, Any]
    key: SigningKey
    tokens: Mapping[str, str] = field(default_factory=dict)
    """By `jwt`, `opaque` and `refresh`; and by `code`, which lives a minute, where one was just given."""

    @property
    def identity(self) -> str:
        """The name of its certificate; every client has one, whatever its method."""
        return self.name

    @property
    def path(self) -> str:
        return urlsplit(self.uri).path

    @property
    def can_authenticate_on(self) -> Sequence[str]:
        return ("mtls",) if self.method in MUTUAL_TLS else HOSTS


class Walk:
    """A deployment, its people, and kept-alive connections to it."""

    def __init__(self, built: World) -> None:
        self.built = built
        forger, people = Authority.create("Test CA"), Authority.create("Registrants")
        add_account(built, "anna")
        self.person: Browser = logged_in(built)
        self.identities: dict[str, Issued] = {
            "stranger": self_signed("CN=stranger"),
            "forged": forger.issue("CN=mine-tls-client-auth", dns=["mine-tls-client-auth.example"]),
            "ended": built.authority.issue("CN=mine", dns=["mine-tls-client-auth.example"], days=-0.02),
            "sibling": built.authority.issue("CN=sibling", dns=["sibling.example"]),
            "api": self_signed("CN=api"),
            "like a registrant": people.issue("CN=registrant"),
        }
        self.stranger_key = SigningKey.generate()
        self.invitation = self._invite(uses=1000)
        self.used_up = self._invite(uses=0)
        self._connections: dict[tuple[str, str | None], http.client.HTTPSConnection] = {}
        self._used_at: dict[tuple[str, str | None], float] = {}
        self._of_people: dict[str, str] = {}
        built.register_self_signed("api", self.identities["api"], protected_resources=[RESOURCE, OPAQUE])
        self.subject_token = self._issue("api", {"resource": MINE}, self.shown_by("api"))
        self.mine, self.theirs, self.disabled, self.removed = (
            {method: self._admit(f"{role}-{method}".replace("_", "-"), method) for method in METHODS}
            for role in ("mine", "theirs", "disabled", "removed")
        )
        for method in MUTUAL_TLS:
            self.identities[f"copied {method}"] = forged(self.identities[self.mine[method].identity])
        self._switch_off()
        for actors in (self.mine, self.theirs):
            for method, actor in actors.items():
                actors[method] = replace(actor, tokens=self.fresh_tokens(actor))

    # What is sent

    def send(
        self,
        path: str,
        shown: Shown = Shown(),
        *,
        host: str = "mtls",
        method: str = "POST",
        form: Iterable[tuple[str, str | bytes]] = (),
        body: bytes | None = None,
    ) -> Answer:
        """Over a connection that is kept; on the conventional host nobody is asked for a certificate."""
        key = (host, shown.identity if host == "mtls" else None)
        connection = self._connections.get(key)
        if connection is None:
            identity = self.identities[key[1]] if key[1] else None
            connection = self._connections[key] = self.built.connect(getattr(self.built, host), identity)
        now = time.monotonic()
        if now - self._used_at.get(key, now) > MOST_IDLE:
            connection.close()  # the next request opens it again
        self._used_at[key] = now
        if body is None:
            content = urlencode([*form, *shown.form]).encode()
            content_type = "application/x-www-form-urlencoded"
        else:
            content, content_type = body, "application/json"
        try:
            connection.putrequest(method, path + shown.query, skip_accept_encoding=True)
            connection.putheader("content-type", content_type)
            connection.putheader("content-length", str(len(content)))
            for name, value in shown.headers:
                connection.putheader(name, value)
            connection.endheaders()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may answer before it has read all
                connection.send(content)
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            answer = Answer(response.status, headers, response.read())
        except Exception:
            connection.close()
            raise
        if response.will_close:
            connection.close()
        return answer

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()

    # What is right

    def shown_by(self, name: str) -> Shown:
        return Shown((("client_id", name),), identity=name)

    def right(self, actor: Actor) -> Shown:
        """What proves the client, and its certificate."""
        return self.showing(actor, actor, actor.identity)

    def showing(self, like: Actor, of: Actor, identity: str | None, client_id: str | None = None) -> Shown:
        """The credential of `of`, in the form of the method of `like`, for `client_id` or its own."""
        name = client_id or of.client_id
        if like.method == "client_secret_basic":
            return Shown(headers=(basic(name, of.secret),), identity=identity)
        if like.method == "client_secret_post":
            return Shown((("client_id", name), ("client_secret", of.secret)), identity=identity)
        if like.method == "private_key_jwt":
            return Shown(tuple(asserting.form(self.assertion(name, of.key)).items()), identity=identity)
        return Shown((("client_id", name),), identity=identity)

    def assertion(self, client_id: str, key: SigningKey, **changes: Any) -> str:
        return asserting.assertion(client_id, by=key, **{"audience": self.built.issuer, **changes})

    def fresh_tokens(self, actor: Actor) -> dict[str, str]:
        """One of each kind, alive."""
        refresh = self._open_grant(actor)
        asked = {"grant_type": "refresh_token", "refresh_token": refresh}
        shown = self.right(actor)
        found = {"refresh": refresh}
        for kind, resource in (("jwt", RESOURCE), ("opaque", OPAQUE)):
            found[kind] = self._issue(actor.client_id, {**asked, "resource": resource}, self.right(actor))
            assert found[kind].startswith("cbat_") is (kind == "opaque"), shown
        return found

    def with_code(self, actor: Actor) -> Actor:
        """The same, with a code that a person just gave it."""
        code = authorize(self.built, actor.client_id, ASKED, "", "", browser=self.person)
        return replace(actor, tokens={**actor.tokens, "code": code})

    def redeem(self, actor: Actor) -> Answer:
        """Its code, as it should be."""
        form = {"grant_type": "authorization_code", "code": actor.tokens["code"]}
        form |= {"redirect_uri": REDIRECT_URI, "code_verifier": VERIFIER}
        return self.send("/token", self.right(actor), form=list(form.items()))

    def token_of_a_person(self, actor: Actor) -> str:
        """An access token of `actor` that says who somebody is, bound where its tokens are."""
        if actor.client_id not in self._of_people:
            answer = self.redeem(self.with_code(actor))
            assert answer.status == 200, answer
            self._of_people[actor.client_id] = str(answer.json["access_token"])
        return self._of_people[actor.client_id]

    def is_alive(self, actor: Actor) -> bool:
        """Whether every token of the client counts still; its code is redeemed by that."""
        if "code" in actor.tokens and self.redeem(actor).status != 200:
            return False
        for kind in ("jwt", "opaque"):
            asked = self.send("/introspect", self.shown_by("api"), form=[("token", actor.tokens[kind])])
            if asked.json.get("active") is not True or asked.json["client_id"] != actor.client_id:
                return False
        again = self.send(
            "/token",
            self.right(actor),
            form=[("grant_type", "refresh_token"), ("refresh_token", actor.tokens["refresh"])],
        )
        return again.status == 200

    def is_as_before(self, actor: Actor) -> bool:
        """Whether the client is registered as it was."""
        bearer = (("authorization", f"Bearer {actor.registration_token}"),)
        found = self.send(actor.path, Shown(headers=bearer, identity=actor.identity), method="GET", body=b"")
        return bool(found.status == 200 and {**found.json, **actor.metadata} == found.json)

    # How they came

    def _admit(self, name: str, method: str) -> Actor:
        key = SigningKey.generate()
        self.identities[name] = (
            self.built.authority.issue(f"CN={name}", dns=[f"{name}.example"])
            if method == "tls_client_auth"
            else self_signed(f"CN={name}")
        )
        certificate = read_certificate(self.identities[name].der)
        of_method: dict[str, Any] = {
            "private_key_jwt": {"jwks": asserting.jwks(key)},
            "tls_client_auth": {"tls_client_auth_san_dns": f"{name}.example"},
            "self_signed_tls_client_auth": {"jwks": make_jwks([certificate])},
        }
        metadata = {
            "client_name": name,
            "token_endpoint_auth_method": method,
            "grant_types": GRANTS,
            "scope": " ".join(SCOPES),
            "redirect_uris": [REDIRECT_URI],
            "protected_resources": [MINE],
            "tls_client_certificate_bound_access_tokens": method == "none",
            **of_method.get(method, {}),
        }
        shown = Shown(headers=(("authorization", f"Bearer {self.invitation}"),), identity=name)
        made = self.send("/register", shown, body=json.dumps(metadata).encode())
        assert made.status == 201, made
        said = made.json
        return Actor(
            method=method, name=name, client_id=said["client_id"], secret=said.get("client_secret", "cbcs_none"),
            uri=said["registration_client_uri"], registration_token=said["registration_access_token"],
            metadata={k: v for k, v in metadata.items() if k != "grant_types"}, key=key,
        )  # fmt: skip

    def _switch_off(self) -> None:
        async def go() -> None:
            async with open_registry(self.built.settings) as registry:
                for actor in self.disabled.values():
                    assert await registry.update(actor.client_id, {}, enabled=False)
                for actor in self.removed.values():
                    assert await registry.remove(actor.client_id)

        self.built._change(go())

    def _invite(self, *, uses: int) -> str:
        token = f"cbia_{time.monotonic_ns()}"

        async def go() -> None:
            async with opened_store(self.built.settings) as store:
                now = time.time()
                record = InitialTokenRecord(digest=digest_of(token), uses=uses, created_at=now, ends_at=now + 3600)
                await store.initial_tokens.add(record)

        asyncio.run(go())
        return token

    def _open_grant(self, actor: Actor) -> str:
        identity = self.identities[actor.identity] if actor.method == "none" else None
        return self.built.open_grant(actor.client_id, identity, audience=[RESOURCE, OPAQUE])

    def _issue(self, who: str, asked: Mapping[str, str], shown: Shown) -> str:
        answer = self.send("/token", shown, form=list({"grant_type": "client_credentials", **asked}.items()))
        assert answer.status == 200, (who, answer)
        return str(answer.json["access_token"])


@contextlib.contextmanager
def walk(directory: Path) -> Iterator[Walk]:
    """A running deployment with everything on, and its people."""
    registrants = Authority.create("Registrants")
    (directory / "registrants.pem").write_bytes(registrants.certificate_pem)
    way = {
        "methods": list(METHODS), "scopes": SCOPES, "protected_resources": [MINE], "grant_types": GRANTS,
        "redirect_hosts": ["app.example"],
    }  # fmt: skip
    with world(
        directory,
        tokens__resources=[RESOURCE, OPAQUE, MINE],
        tokens__opaque=[OPAQUE],
        tokens__bind="requested",
        tokens__lifetime=3600,
        tokens__scopes=SCOPES,
        login__accounts=True,
        login__device=True,
        login__begun_per_minute=1_000_000,
        authentication__methods=list(METHODS),
        registration__anchors=["registrants.pem"],
        registration__ways=[
            {"name": "vouched", "needs": ["mutual_tls"], **way}, {"name": "invited", "needs": ["initial_token"], **way},
        ],
    ) as built:  # fmt: skip
        walking = Walk(built)
        try:
            yield walking
        finally:
            walking.close()


def basic(client_id: str, secret: str) -> tuple[str, str]:
    """RFC 6749 section 2.3.1."""
    pair = f"{quote(client_id, safe='')}:{quote(secret, safe='')}".encode()
    return "authorization", "Basic " + base64.b64encode(pair).decode()


@functools.cache
def public_pem(key: SigningKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem: bytes = key.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem
