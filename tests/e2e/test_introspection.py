"""Introspection over real TLS (RFC 7662, RFC 9701, RFC 8705 section 3.2): who may ask, and what nobody learns."""

import asyncio
import json
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from certbound.app import ANCHOR_INTERVAL, open_revoker, opened_store
from certbound.core.certificate import read_pem_certificates
from certbound.core.ports import RevokedKind
from certbound.core.signing import SigningKey
from certbound.trust.authority import Authority, Issued
from e2e.world import RESOURCE, World, self_signed, thumbprint, world
from issuing import signed


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory: Path = tmp_path_factory.mktemp("introspection")
    methods = ["none", "tls_client_auth", "self_signed_tls_client_auth"]
    with world(directory, tokens__opaque=["https://other.example"], authentication__methods=methods) as made:
        yield made


class People:
    """A client, the API that it calls, another client, and another API."""

    def __init__(self, built: World) -> None:
        self.client, self.api, self.other, self.other_api = (self_signed(f"CN={name}") for name in "abcd")
        for name, issued, served in (
            ("client", self.client, None), ("api", self.api, [RESOURCE]), ("other", self.other, None),
            ("other-api", self.other_api, ["https://other.example"]),
        ):  # fmt: skip
            built.register_self_signed(name, issued, protected_resources=served)


@pytest.fixture(scope="module")
def people(built: World) -> People:
    return People(built)


FORMATS = pytest.mark.parametrize("resource", [RESOURCE, "https://other.example"], ids=["jwt", "opaque"])


def api_of(people: People, resource: str) -> tuple[str, Issued]:
    return ("api", people.api) if resource == RESOURCE else ("other-api", people.other_api)


@FORMATS
def test_a_token_says_the_same_signed_or_kept(built: World, people: People, resource: str) -> None:
    token = built.token("client", people.client, resource=resource)
    assert token.startswith("cbat_") is (resource != RESOURCE)
    answer = built.introspect(token, *api_of(people, resource))
    assert answer.status == 200
    said = answer.json
    assert (said["active"], said["token_type"], said["client_id"]) == (True, "Bearer", "client")
    assert (said["iss"], said["aud"], said["scope"]) == (built.issuer, resource, "read write")
    assert said["cnf"] == {"x5t#S256": thumbprint(people.client)}
    assert said["exp"] - said["iat"] == 300
    assert "status" not in said
    assert answer.headers["cache-control"] == "no-store"


@FORMATS
def test_a_client_may_ask_about_its_own(built: World, people: People, resource: str) -> None:
    token = built.token("client", people.client, resource=resource)
    assert built.introspect(token, "client", people.client).json["active"] is True


@FORMATS
def test_who_the_token_is_not_meant_for_learns_nothing(built: World, people: People, resource: str) -> None:
    token = built.token("client", people.client, resource=resource)
    wrong = ("other-api", people.other_api) if resource == RESOURCE else ("api", people.api)
    nothing = built.introspect("nonsense", "other", people.other).without_request_id
    for who in (("other", people.other), wrong):
        answer = built.introspect(token, *who)
        assert answer.json == {"active": False}
        assert answer.body == nothing[2]


def test_what_is_not_a_live_token_is_inactive(built: World, people: People) -> None:
    token = built.token("client", people.client)
    head, claims, signature = token.split(".")
    forged = json.loads(urlsafe_b64decode(claims + "=="))
    for bad in (
        "x", "cbat_x", "cbrt_x", "a.b.c", f"{head}.{claims}.", f"{head}.{claims}.{signature[:-4]}AAAA", token[:-1],
        token + "A", forged["jti"], f"{head}.{claims}", "." * 3, "é", "x" * 60_000, "cbat_" + "x" * 50_000,
    ):  # fmt: skip
        assert built.introspect(bad, "api", people.api).json == {"active": False}, bad[:40]


@FORMATS
def test_naming_oneself_is_not_enough(built: World, people: People, resource: str) -> None:
    """RFC 8705 section 2: a mutual-TLS client never passes by `client_id` alone."""
    token = built.token("client", people.client, resource=resource)
    name, _ = api_of(people, resource)
    for identity in (None, people.other, self_signed("CN=stranger")):
        answer = built.introspect(token, name, identity)
        assert (answer.status, answer.json["error"]) == (401, "invalid_client")
    assert built.introspect(token, None, people.api).json["error"] == "invalid_request"


def test_the_conventional_host_has_no_certificate_to_ask_by(built: World, people: People) -> None:
    token = built.token("client", people.client)
    answer = built.ask(f"{built.issuer}/introspect", form={"client_id": "api", "token": token})
    assert (answer.status, answer.json["error"]) == (401, "invalid_client")
    assert "access-control-allow-origin" not in answer.headers


def test_signed_answers(built: World, people: People) -> None:
    """RFC 9701 section 5: a JWT of its own type, for who asks, with everything under one claim."""
    token = built.token("client", people.client)
    for asked, active in ((token, True), ("nonsense", False)):
        answer = built.introspect(asked, "api", people.api, headers={"accept": "application/token-introspection+jwt"})
        assert answer.headers["content-type"] == "application/token-introspection+jwt"
        header, claims = (_part(answer.body, at) for at in (0, 1))
        assert header["typ"] == "token-introspection+jwt"
        assert (claims["iss"], claims["aud"]) == (built.issuer, "api")
        assert abs(claims["iat"] - time.time()) < 5
        assert claims["token_introspection"]["active"] is active
        assert not {"sub", "exp"} & claims.keys(), "nobody can take it for an access token"
        keys = KeySet.import_key_set(built.ask(f"{built.issuer}/jwks", method="GET").json)
        assert jwt.decode(answer.body.decode(), keys).claims == claims
    assert built.call_api(answer.body.decode(), people.client).status == 401


def test_whatever_was_revoked_its_tokens_are_inactive(built: World, people: People) -> None:
    """A certificate, a client, an authority; whatever the format, and for ever."""
    second = Authority.create("Second CA")
    built.anchors.write_bytes(built.anchors.read_bytes() + second.certificate_pem)
    lost, closed = self_signed("CN=lost"), self_signed("CN=closed")
    certified = second.issue("CN=certified", dns=["certified.example"])
    built.register_self_signed("lost", lost)
    built.register_self_signed("closed", closed)
    by_name = {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "certified.example"}
    built.register("certified", **by_name)
    time.sleep(2 * ANCHOR_INTERVAL)
    tokens = [
        (built.token(name, identity, resource=resource), api_of(people, resource))
        for name, identity in (("lost", lost), ("closed", closed), ("certified", certified))
        for resource in (RESOURCE, "https://other.example")
    ]
    assert all(built.introspect(token, *who).json["active"] for token, who in tokens)
    [authority] = read_pem_certificates(second.certificate_pem)
    revoked = [
        (RevokedKind.CERTIFICATE, thumbprint(lost)),
        (RevokedKind.CLIENT, "closed"),
        (RevokedKind.AUTHORITY, authority.key_thumbprint),
    ]

    async def go(lift: bool) -> None:
        async with open_revoker(built.settings, "test") as revoker:
            for kind, value in revoked:
                await (revoker.lift(kind, value) if lift else revoker.revoke(kind, value))

    for lift in (False, True):
        asyncio.run(go(lift))
        time.sleep(1)
        for token, who in tokens:
            assert built.introspect(token, *who).json == {"active": False}


def test_a_public_client_may_not_ask(built: World, people: People) -> None:
    """It proves nothing, also where it may do so elsewhere, and about its own tokens too."""
    built.register("app", token_endpoint_auth_method="none", grant_types=["refresh_token"])
    phone = self_signed("CN=phone")
    refresh = built.open_grant("app", phone)
    answer = built.post("token", "app", phone, grant_type="refresh_token", refresh_token=refresh)
    assert answer.status == 200, answer
    for token in (answer.json["access_token"], refresh, built.token("client", people.client), "x"):
        for identity in (phone, None):
            refused = built.introspect(token, "app", identity)
            assert (refused.status, refused.json["error"]) == (401, "invalid_client")


def test_not_all_that_we_signed_is_a_token_of_now(built: World, people: People) -> None:
    """Signed by our own key: another type, another issuer, another time, or a status that stands elsewhere."""

    async def our_key() -> SigningKey:
        async with opened_store(built.settings) as store:
            [record] = await store.keys.list()
        return SigningKey.load(record.private_key, alg=record.alg)

    key = asyncio.run(our_key())
    claims = _part(built.token("client", people.client).encode(), 1)

    def is_active(typ: str = "at+jwt", **changes: Any) -> bool:
        said = {name: value for name, value in {**claims, **changes}.items() if value is not ...}
        token = signed(json.dumps(said).encode(), {"typ": typ}, key=key)
        return built.introspect(token, "api", people.api).json["active"] is True

    assert is_active()
    for typ in ("JWT", "token-introspection+jwt", "statuslist+jwt"):
        assert not is_active(typ), typ
    now, place = time.time(), claims["status"]["status_list"]
    for changes in (
        {"iss": "https://as.example"}, {"iss": built.mtls}, {"iss": ...}, {"exp": int(now) - 1}, {"exp": ...},
        {"nbf": int(now) + 60}, {"status": ...}, {"status": {"status_list": {**place, "uri": "https://as.example/s"}}},
        {"status": {"status_list": {**place, "idx": -1}}},
    ):  # fmt: skip
        assert not is_active(**changes), changes


def test_a_refresh_token_is_described_to_its_client_alone(built: World, people: People) -> None:
    """While it counts: not after it was replaced, nor after it was revoked."""
    issued = self_signed("CN=holder")
    built.register_self_signed("holder", issued, grant_types=["refresh_token"])
    token = built.open_grant("holder", issued, method="self_signed_tls_client_auth", holder="", rotates=True)
    said = built.introspect(token, "holder", issued).json
    assert (said["active"], said["sub"], said["client_id"]) == (True, "alice", "holder")
    for who in (("client", people.client), ("api", people.api)):
        assert built.introspect(token, *who).json == {"active": False}
    answer = built.post("token", "holder", issued, grant_type="refresh_token", refresh_token=token)
    successor = answer.json["refresh_token"]
    assert built.introspect(token, "holder", issued).json == {"active": False}
    assert built.introspect(successor, "holder", issued).json["active"] is True
    built.revoke(successor, "holder", issued)
    assert built.introspect(successor, "holder", issued).json == {"active": False}


def _part(token: bytes, at: int) -> Any:
    part = token.split(b".")[at]
    return json.loads(urlsafe_b64decode(part + b"=" * (-len(part) % 4)))
