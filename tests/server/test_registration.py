"""Registration requests without HTTP: every field wrong in turn, anything at all, and what is left in the store."""

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, RSAKey

from certbound.app import open_service
from certbound.core.authentication import digest_of
from certbound.core.certificate import Certificate
from certbound.core.clients import is_known
from certbound.core.errors import (
    ConfigurationError,
    InvalidClientMetadata,
    OAuthError,
    RegistrationDenied,
    TemporarilyUnavailable,
    TooManyRegistrations,
)
from certbound.core.ports import ClientRecord, NotFound, RegistrationRecord
from certbound.core.registration import SERVER_MADE, name_of
from certbound.core.revoked import Revoked
from certbound.server import registration
from certbound.server.call import Call, Reply
from certbound.server.directory import readable
from certbound.server.registrar import Quota
from certbound.server.service import Service
from certbound.settings import load
from certbound.stores import open_store
from certbound.trust.authority import Authority, self_signed
from certificates import peer, read
from wrong_metadata import CERTIFICATE, OWN, PKI, SECRET, SIGNING, TABLE, Wrong, ids_of

CA = Authority.create("CA")
NAMED = read(CA.issue("CN=own", dns=["a.example"]))

CONFIGURATION = """
[server]
issuer = "https://as.example"
certificate = "as.pem"
key = "as.key"
mtls_url = "https://mtls.as.example"

[tokens]
resources = ["https://api.example"]
scopes = ["read", "write"]

[trust]
anchors = ["ca.pem"]

[authentication]
methods = ["tls_client_auth", "self_signed_tls_client_auth", "private_key_jwt", "client_secret_basic"]

[registration]
open_per_minute = 10000
anchors = ["ca.pem"]
[[registration.ways]]
name = "vouched"
needs = ["mutual_tls"]
methods = ["tls_client_auth"]
[[registration.ways]]
name = "open"
needs = []
methods = ["tls_client_auth", "self_signed_tls_client_auth", "private_key_jwt", "client_secret_basic"]
scopes = ["read"]
"""


APPS = (
    CONFIGURATION.partition("[registration]")[0]
    + """
[login]
accounts = true
openid = false

[registration]
open_per_minute = 10000
statement_issuers = [{ issuer = "https://directory.example", jwks = "directory.json" }]
[[registration.ways]]
name = "stated"
needs = ["software_statement"]
methods = ["tls_client_auth"]
[[registration.ways]]
name = "open"
needs = []
methods = ["tls_client_auth", "self_signed_tls_client_auth", "private_key_jwt", "client_secret_basic"]
grant_types = ["client_credentials", "authorization_code"]
redirect_hosts = ["*"]
scopes = ["read"]
"""
)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """One for all, since hypothesis asks many times."""
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, loop: asyncio.AbstractEventLoop) -> Iterator[Service]:
    """A server that anybody may register at."""
    directory = tmp_path_factory.mktemp("server")
    (directory / "ca.pem").write_bytes(CA.certificate_pem)
    (directory / "certbound.toml").write_text(CONFIGURATION)
    opening = open_service(load(directory / "certbound.toml", {}))
    yield loop.run_until_complete(opening.__aenter__())
    loop.run_until_complete(opening.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory, loop: asyncio.AbstractEventLoop) -> Iterator[Service]:
    """One where apps that act for people may too, and software statements are read."""
    directory = tmp_path_factory.mktemp("apps")
    (directory / "ca.pem").write_bytes(CA.certificate_pem)
    keys = {"keys": [ECKey.generate_key("P-256").as_dict(private=False)]}
    (directory / "directory.json").write_text(json.dumps(keys))
    (directory / "certbound.toml").write_text(APPS)
    opening = open_service(load(directory / "certbound.toml", {}))
    yield loop.run_until_complete(opening.__aenter__())
    loop.run_until_complete(opening.__aexit__(None, None, None))


def post(service: Service, loop: asyncio.AbstractEventLoop, body: Any) -> Reply:
    """The answer; a refusal is raised."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return loop.run_until_complete(registration.register(Call(now=time.time(), body=content), service))


def refusal_of(service: Service, loop: asyncio.AbstractEventLoop, body: Any) -> OAuthError:
    """Why the request is refused; nothing was stored then."""
    before = loop.run_until_complete(service.store.revision())
    with pytest.raises(OAuthError) as refused:
        post(service, loop, body)
    assert before == loop.run_until_complete(service.store.revision())
    return refused.value


MORE: dict[str, list[Any]] = {
    "scope": ["write", "read write"],
    "grant_types": [["refresh_token"], ["client_credentials", "refresh_token"]],
    "access_token_format": ["jwt", "opaque"],
    "protected_resources": [["https://api.example"]],
}
"""What administrators may give, and the way has not."""
MADE: dict[str, list[Any]] = {name: ["mine", 1, True, {}, []] for name in SERVER_MADE}
NAMES = sorted({*(row.name for row in TABLE), *MADE})


def require_named(refused: OAuthError, name: str, value: Any) -> None:
    """It is a refusal that begins with the member; of a statement, the error itself says what is wrong."""
    assert refused.status == 400, (name, value, refused)
    if refused.error == "invalid_software_statement":
        assert name == "software_statement", (name, value, refused)
        return
    about_uris = name in {"redirect_uris", "post_logout_redirect_uris"}  # RFC 7591 section 3.2.2
    assert refused.error == ("invalid_redirect_uri" if about_uris else "invalid_client_metadata"), (value, refused)
    assert refused.description.startswith(name[:40]), (name, value, refused.description)


WRONG = [*TABLE, *(Wrong(name, values, PKI) for name, values in MADE.items())]


@pytest.mark.parametrize("row", WRONG, ids=ids_of(WRONG))
def test_every_field_wrong_in_turn_is_named(apps: Service, loop: asyncio.AbstractEventLoop, row: Wrong) -> None:
    """By `POST`, and by `PUT` of a client that stood; nothing is stored."""
    keep(apps, loop, SECRET)
    for value in row.values:
        body = {**row.beside, row.name: value}
        require_named(refusal_of(apps, loop, body), row.name, value)
        if row.name in MADE:
            continue  # a replacement names its client, and may tell its secret
        before = loop.run_until_complete(apps.store.revision())
        call = managing(apps, time.time(), body=json.dumps({**body, "client_id": "mine"}).encode())
        with pytest.raises(OAuthError) as refused:
            loop.run_until_complete(registration.put(call, apps))
        require_named(refused.value, row.name, value)
        assert before == loop.run_until_complete(apps.store.revision())
    if row.good is not None:
        assert 201 == post(apps, loop, {**row.beside, row.name: row.good}).status, "it is that member which is wrong"


@pytest.mark.parametrize("row", TABLE, ids=ids_of(TABLE))
def test_who_administers_is_refused_the_same(apps: Service, row: Wrong) -> None:
    """By what `certbound client add` asks, which has no way to keep to; a statement is kept as it is."""
    assert apps.registrar is not None
    for value in row.values:
        with pytest.raises(InvalidClientMetadata) as refused:
            apps.registrar.registry.check("mine", {**row.beside, row.name: value})
        require_named(refused.value, row.name, value)


@pytest.mark.parametrize("name", MORE)
def test_more_than_the_way_has_is_named(service: Service, loop: asyncio.AbstractEventLoop, name: str) -> None:
    """Though an administrator may give it."""
    for value in MORE[name]:
        require_named(refusal_of(service, loop, {**PKI, name: value}), name, value)


@pytest.mark.parametrize("body", [PKI, OWN, SIGNING, SECRET, {**SIGNING, "token_endpoint_auth_signing_alg": "PS256"}])
def test_what_comes_back_registers_the_same_again(
    service: Service, loop: asyncio.AbstractEventLoop, body: dict[str, Any]
) -> None:
    """Every member of the request is in the answer; without what the server makes, the answer is a request."""
    answer = json.loads(post(service, loop, body).body)
    assert body == {name: answer[name] for name in body}
    again = json.loads(post(service, loop, {k: v for k, v in answer.items() if k not in SERVER_MADE}).body)
    assert {k: v for k, v in answer.items() if is_known(k)} == {k: v for k, v in again.items() if is_known(k)}
    assert answer["client_id"] != again["client_id"]


@pytest.mark.parametrize("method", ["none", "client_secret_post"])
def test_a_method_that_is_not_offered_is_refused_first(
    service: Service, loop: asyncio.AbstractEventLoop, method: str
) -> None:
    """Whatever else is wrong: who may not have it need not hear what it lacks for it."""
    for more in ({}, {"jwks": 1}, {"tls_client_auth_san_dns": "*"}, {"scope": "admin"}):
        refused = refusal_of(service, loop, {"token_endpoint_auth_method": method, **more})
        assert refused.description.startswith(f"token_endpoint_auth_method: {method} is not enabled"), refused


def test_null_is_absence(service: Service, loop: asyncio.AbstractEventLoop) -> None:
    """For every member, those too that a request must not bring (RFC 7591 section 3.1)."""
    answer = json.loads(post(service, loop, {**dict.fromkeys(NAMES), **PKI}).body)
    assert "read" == answer["scope"]
    assert not set(NAMES) & set(answer) - {*PKI, *SERVER_MADE, "scope", "grant_types", "client_name",
                                           "tls_client_certificate_bound_access_tokens"}  # fmt: skip


def test_who_says_no_method_wants_a_secret(service: Service, loop: asyncio.AbstractEventLoop) -> None:
    """RFC 7591 section 2: `client_secret_basic`, where that is allowed."""
    answer = json.loads(post(service, loop, {}).body)
    assert "client_secret_basic" == answer["token_endpoint_auth_method"]
    assert answer["client_secret"].startswith("cbcs_")


@pytest.mark.parametrize(
    "body", [b"", b"x", b"[]", b'"a"', b"1", b"null", b"{", b"\xff\xfe", b"[" * 60_000, b'{"a":1}x', b"client_name=a"]
)
def test_what_is_no_json_object_is_refused(service: Service, loop: asyncio.AbstractEventLoop, body: bytes) -> None:
    """`invalid_request`, 400."""
    refused = refusal_of(service, loop, body)
    assert ("invalid_request", 400) == (refused.error, refused.status)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20) | st.sampled_from(["tls_client_auth", "https://a.example/", "CN=a", "read", "a.example"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
BODIES = st.dictionaries(
    st.sampled_from(NAMES) | st.text(max_size=10),
    JSON,
    max_size=6,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(body=BODIES, base=st.sampled_from([{}, PKI, OWN, SIGNING, SECRET]))
def test_any_json_is_registered_or_refused(
    service: Service, loop: asyncio.AbstractEventLoop, body: dict[str, Any], base: dict[str, Any]
) -> None:
    """Never a fault, and what is registered is no more than the way has."""
    status, answer = answer_of(service, loop, {**base, **body})
    assert status in {201, 400}
    assert answer.get("scope", "") in {"", "read"}
    assert answer.get("grant_types", []) in ([], ["client_credentials"])
    assert not {"tls_client_auth_trust_anchors", "self_signed_tls_client_auth_ignore_validity"} & {
        name for name, value in answer.items() if value
    }
    assert not answer.get("protected_resources")
    assert "access_token_format" not in answer


def answer_of(service: Service, loop: asyncio.AbstractEventLoop, body: Any) -> tuple[int, dict[str, Any]]:
    """Status and document; those of a refusal too."""
    try:
        reply = post(service, loop, body)
    except OAuthError as refused:
        return refused.status, {}
    return reply.status, json.loads(reply.body)


async def test_the_quota_is_shared_by_all_processes(tmp_path: Path) -> None:
    """Two that count on one store let in as many as one; the next minute is a new one."""
    store = await open_store(f"sqlite:///{tmp_path}/test.sqlite")
    quotas = Quota(store, 5), Quota(store, 5)
    came = await asyncio.gather(*(quotas[n % 2].take(600.0) for n in range(12)), return_exceptions=True)
    assert 5 == came.count(None)
    assert {TooManyRegistrations} == {type(each) for each in came if each is not None}
    await quotas[0].take(660.0)
    await store.close()


@pytest.fixture
async def closed(tmp_path: Path) -> AsyncIterator[Service]:
    """A server at which nobody may register."""
    (tmp_path / "ca.pem").write_bytes(Authority.create("CA").certificate_pem)
    (tmp_path / "certbound.toml").write_text(CONFIGURATION.partition("[registration]")[0])
    async with open_service(load(tmp_path / "certbound.toml", {})) as opened:
        yield opened


async def test_nobody_may_register_by_default(closed: Service) -> None:
    """Neither is there an endpoint nor would it let anybody in."""
    assert "registration_endpoint" not in closed.offer.direct
    with pytest.raises(RegistrationDenied):
        await registration.register(Call(now=time.time(), body=b"{}"), closed)


def test_a_weak_key_is_refused(service: Service, loop: asyncio.AbstractEventLoop) -> None:
    """By name; a strong one of the same kind is registered."""
    strong = RSAKey.generate_key(2048).as_dict(private=False)
    assert 201 == post(service, loop, {**SIGNING, "jwks": {"keys": [strong]}}).status
    weak = {"kty": "RSA", "e": "AQAB", "n": "3" * 171}
    assert refusal_of(service, loop, {**SIGNING, "jwks": {"keys": [weak]}}).description.startswith("jwks.keys[0]")


class Between:
    """`inner`, of which some things go otherwise."""

    def __init__(self, inner: Any, **otherwise: Any) -> None:
        self._inner = inner
        self.__dict__.update(otherwise)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


TOKEN = "cbrg_mine"


def managing(service: Service, now: float, **changes: Any) -> Call:
    """A request to manage the client `mine`."""
    given = {"now": now, "rest": "mine", "authorization": [f"Bearer {TOKEN}".encode()], **changes}
    return Call(**given)


def keep(service: Service, loop: asyncio.AbstractEventLoop, metadata: dict[str, Any], **registration: Any) -> None:
    """The client `mine`, as it came; it stands where the one of another test stood."""
    owner = RegistrationRecord(digest=digest_of(TOKEN), way="open", **registration)
    clients = service.store.clients
    with contextlib.suppress(NotFound):
        loop.run_until_complete(clients.remove("mine"))
    loop.run_until_complete(clients.add(ClientRecord(client_id="mine", metadata=metadata, registration=owner)))


@pytest.mark.parametrize(
    ("metadata", "own", "subject"),
    [(PKI, NAMED, ""), (PKI, NAMED, name_of(NAMED)), (OWN, CERTIFICATE, ""), (SECRET, NAMED, name_of(NAMED))],
    ids=["PKI", "PKI, vouched", "self-signed", "secret, vouched"],
)
def test_who_has_a_certificate_shows_it_while_it_is_good(
    service: Service, loop: asyncio.AbstractEventLoop, metadata: dict[str, Any], own: Certificate, subject: str
) -> None:
    """Neither another nor none, nor one that has ended or was revoked here: as at any endpoint, whether somebody
    vouches for it or it authenticates the client."""
    now = time.time()
    keep(service, loop, metadata, subject=subject)
    assert 200 == loop.run_until_complete(registration.read(managing(service, now, peer=peer(own)), service)).status
    revoked: Any = Between(service.clients, revoked=Revoked(frozenset({own.thumbprint})))
    kept_out: list[tuple[float, Any, Service]] = [
        (now, None, service),
        (now, peer(self_signed("CN=own", dns=["a.example"])), service),
        (now + 400 * 86400, peer(own), service),
        (now, peer(own), replace(service, clients=revoked)),
    ]
    for endpoint in (registration.read, registration.remove, registration.put):
        for when, who, at in kept_out:
            body = json.dumps({**metadata, "client_id": "mine"}).encode()
            with pytest.raises(RegistrationDenied):
                loop.run_until_complete(endpoint(managing(service, when, peer=who, body=body), at))


def test_what_nobody_can_read_nobody_manages(service: Service, loop: asyncio.AbstractEventLoop) -> None:
    """It is not known what else must be shown, so the token alone is not enough."""
    keep(service, loop, {"token_endpoint_auth_method": "tls_client_auth"})
    body = json.dumps({**SECRET, "client_id": "mine"}).encode()
    for endpoint in (registration.read, registration.put, registration.remove):
        with pytest.raises(TemporarilyUnavailable):
            loop.run_until_complete(endpoint(managing(service, time.time(), body=body), service))


def test_a_way_that_was_closed_lets_nobody_change(service: Service, loop: asyncio.AbstractEventLoop) -> None:
    """403 for a replacement; the client itself stays, may be read and may go."""
    keep(service, loop, SECRET)
    assert service.registrar is not None
    shut = replace(
        service,
        registrar=replace(
            service.registrar, ways=lambda: [replace(each, name="other") for each in service.registrar.ways()]
        ),
    )
    body = json.dumps({**SECRET, "client_id": "mine"}).encode()
    call = managing(service, time.time(), body=body)
    with pytest.raises(RegistrationDenied) as refused:
        loop.run_until_complete(registration.put(call, shut))
    assert refused.value.status == 403
    assert 200 == loop.run_until_complete(registration.read(call, shut)).status
    assert 204 == loop.run_until_complete(registration.remove(call, shut)).status


def test_a_replacement_undoes_nothing_that_was_done_meanwhile(
    service: Service, loop: asyncio.AbstractEventLoop
) -> None:
    """A client that somebody switches off while it replaces itself stays switched off."""
    keep(service, loop, SECRET)
    clients = service.store.clients

    async def find(client_id: str) -> ClientRecord | None:
        found = await clients.find(client_id)
        if found is not None and found.enabled:
            await clients.replace(replace(found, enabled=False))
        return found

    between: Any = Between(service.store, clients=Between(clients, find=find))
    assert service.registrar is not None
    registry = replace(service.registrar.registry, store=between)
    overtaken = replace(service, store=between, registrar=replace(service.registrar, registry=registry))
    call = managing(service, time.time(), body=json.dumps({**SECRET, "client_id": "mine"}).encode())
    with pytest.raises(RegistrationDenied):
        loop.run_until_complete(registration.put(call, overtaken))
    record = loop.run_until_complete(clients.find("mine"))
    assert record is not None
    assert not record.enabled


@pytest.mark.parametrize("uri", ["http://a.example/", "HTTPS://a.example/", "javascript:x", 1])
def test_a_stored_client_with_a_redirect_uri_that_is_none_is_unusable(uri: Any) -> None:
    """And nothing else is, as with whatever else a hand or an older version left there."""
    assert readable(ClientRecord(client_id="a", metadata={**PKI, "redirect_uris": [uri]})) is None
    assert readable(ClientRecord(client_id="a", metadata=PKI)) is not None


PEOPLE = CONFIGURATION.replace('scopes = ["read"]', 'scopes = ["read"]\ngrant_types = ["authorization_code"]') + "{way}"


@pytest.mark.parametrize(
    ("login", "way", "said"),
    [
        ("", "", "grant_types has 'authorization_code', which is not among what is on here: client_credentials, "),
        ("accounts = true", 'redirect_hosts = ["https://a.example"]', "redirect_hosts has 'https://a.example', which"),
        ("accounts = true", 'redirect_hosts = ["A.example"]', "which is no host in lower case"),
        ("accounts = true", 'redirect_hosts = ["*.a.example"]', "a dot before it means those below it"),
        ("accounts = true", 'redirect_hosts = ["a.example", ".b.example", "*", "[2001:db8::1]"]', ""),
    ],
)
def test_a_way_for_people_makes_sense(tmp_path: Path, login: str, way: str, said: str) -> None:
    """The grants that it gives are on, and hosts are hosts."""
    (tmp_path / "certbound.toml").write_text(f"{PEOPLE.format(way=way)}\n[login]\n{login}\n")
    if said:
        with pytest.raises(ConfigurationError, match=re.escape(said)):
            load(tmp_path / "certbound.toml", {})
    else:
        assert load(tmp_path / "certbound.toml", {}).registration.ways[1].redirect_hosts[0] == "a.example"
