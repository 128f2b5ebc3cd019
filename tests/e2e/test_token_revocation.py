"""Revocation over real TLS (RFC 7009): one token, or a grant with all of its tokens, and nobody else's."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.world import RESOURCE, World, self_signed, world

OPAQUE = "https://other.example"
FORMATS = pytest.mark.parametrize("resource", [RESOURCE, OPAQUE], ids=["jwt", "opaque"])
GRANTS = ["client_credentials", "refresh_token"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory: Path = tmp_path_factory.mktemp("revocation")
    methods = ["none", "self_signed_tls_client_auth"]
    with world(directory, tokens__opaque=[OPAQUE], authentication__methods=methods) as made:
        yield made


@FORMATS
def test_a_token_ends_and_its_siblings_do_not(built: World, resource: str) -> None:
    issued = self_signed("CN=own")
    name = f"own-{resource[8:13]}"
    built.register_self_signed(name, issued)
    one, two = (built.token(name, issued, resource=resource) for _ in range(2))
    answer = built.revoke(one, name, issued)
    assert (answer.status, answer.body) == (200, b"")
    assert built.introspect(one, name, issued).json == {"active": False}
    assert built.introspect(two, name, issued).json["active"] is True


def test_a_guard_hears_of_it(built: World) -> None:
    issued = self_signed("CN=guarded")
    built.register_self_signed("guarded", issued)
    one, two = (built.token("guarded", issued) for _ in range(2))
    assert built.call_api(one, issued).status == 200
    built.revoke(one, "guarded", issued)
    end = time.monotonic() + 7
    while built.call_api(one, issued).status == 200:
        assert time.monotonic() < end, "still accepted"
        time.sleep(0.2)
    assert built.call_api(two, issued).status == 200


@FORMATS
def test_nobody_elses_token_is_revoked_and_nobody_learns(built: World, resource: str) -> None:
    issued, other = self_signed("CN=mine"), self_signed("CN=yours")
    name = f"mine-{resource[8:13]}"
    built.register_self_signed(name, issued)
    built.register_self_signed(f"{name}-other", other)
    token = built.token(name, issued, resource=resource)
    ours = built.revoke(token, f"{name}-other", other)
    nonsense = built.revoke("nonsense", f"{name}-other", other)
    assert (ours.status, ours.body) == (nonsense.status, nonsense.body) == (200, b"")
    assert built.introspect(token, name, issued).json["active"] is True


@FORMATS
def test_naming_oneself_is_not_enough(built: World, resource: str) -> None:
    issued = self_signed("CN=named")
    name = f"named-{resource[8:13]}"
    built.register_self_signed(name, issued)
    token = built.token(name, issued, resource=resource)
    for identity in (None, self_signed("CN=named")):
        answer = built.revoke(token, name, identity)
        assert (answer.status, answer.json["error"]) == (401, "invalid_client")
    assert built.introspect(token, name, issued).json["active"] is True


def test_a_refresh_token_takes_its_grant_along(built: World) -> None:
    issued = self_signed("CN=grant")
    built.register_self_signed("grant", issued, grant_types=GRANTS)
    token = built.open_grant("grant", issued, method="self_signed_tls_client_auth", holder="", rotates=False)
    form = {"grant_type": "refresh_token", "refresh_token": token}
    access = [built.post("token", "grant", issued, **form).json["access_token"] for _ in range(2)]
    alone = built.token("grant", issued)
    assert built.introspect(token, "grant", issued).json["active"] is True
    assert built.revoke(token, "grant", issued, token_type_hint="access_token").status == 200
    for dead in (token, *access):
        assert built.introspect(dead, "grant", issued).json == {"active": False}
    assert built.post("token", "grant", issued, **form).json["error"] == "invalid_grant"
    assert built.introspect(alone, "grant", issued).json["active"] is True


def test_nobody_ends_the_grant_of_another(built: World) -> None:
    """A refresh token goes on, whoever else found it."""
    issued, other = self_signed("CN=found"), self_signed("CN=finder")
    built.register_self_signed("found", issued, grant_types=GRANTS)
    built.register_self_signed("finder", other, grant_types=GRANTS)
    token = built.open_grant("found", issued, method="self_signed_tls_client_auth", holder="", rotates=False)
    answer = built.revoke(token, "finder", other)
    assert (answer.status, answer.body) == (200, b"")
    assert built.post("token", "found", issued, grant_type="refresh_token", refresh_token=token).status == 200


def test_a_public_client_gives_back_what_is_bound_to_its_certificate(built: World) -> None:
    """Over it, and else is told that nothing ended: who found the token cannot end the grant (RFC 7009 section 2.1)."""
    phone, thief = self_signed("CN=phone"), self_signed("CN=thief")
    built.register("app", token_endpoint_auth_method="none", grant_types=["refresh_token"])
    token = built.open_grant("app", phone)
    form = {"grant_type": "refresh_token", "refresh_token": token}
    for identity in (thief, None):
        refused = built.revoke(token, "app", identity)
        assert (refused.status, refused.json["error"]) == (400, "invalid_grant")
    assert built.post("token", "app", phone, **form).status == 200
    assert built.revoke(token, "app", phone).status == 200
    assert built.post("token", "app", phone, **form).json["error"] == "invalid_grant"
