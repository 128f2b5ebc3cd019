"""Introspection over real TLS (RFC 7662, RFC 9701, RFC 8705 section 3.2): who may ask, and what nobody learns."""

import asyncio
import json
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from certbound.app import open_revoker
from certbound.core.ports import RevokedKind
from certbound.trust.authority import Issued
from e2e.world import RESOURCE, World, self_signed, thumbprint, world


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory: Path = tmp_path_factory.mktemp("introspection")
    with world(directory, tokens__opaque=["https://other.example"]) as made:
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
    assert built.call_api(answer.body.decode(), people.client).status == 401


def test_a_certificate_that_was_revoked_makes_its_tokens_inactive(built: World, people: People) -> None:
    """Whatever the format, and for ever."""
    lost = self_signed("CN=lost")
    built.register_self_signed("lost", lost)
    tokens = [built.token("lost", lost, resource=each) for each in (RESOURCE, "https://other.example")]

    async def go(lift: bool) -> None:
        async with open_revoker(built.settings, "test") as revoker:
            if lift:
                await revoker.lift(RevokedKind.CERTIFICATE, thumbprint(lost))
            else:
                await revoker.revoke(RevokedKind.CERTIFICATE, thumbprint(lost))

    for lift in (False, True):
        asyncio.run(go(lift))
        time.sleep(1)
        for token, who in zip(tokens, (("api", people.api), ("other-api", people.other_api)), strict=True):
            assert built.introspect(token, *who).json == {"active": False}


def _part(token: bytes, at: int) -> Any:
    part = token.split(b".")[at]
    return json.loads(urlsafe_b64decode(part + b"=" * (-len(part) % 4)))
