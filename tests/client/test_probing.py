"""One call that finds out whether an API enforces binding, at a real guard, and at servers of every kind."""

from base64 import urlsafe_b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from certbound.client import AnswerUnusable, Identity, IdentityUnusable, Probed, TokenRefused, probe
from certbound.trust.authority import self_signed
from client.served import Answer, Served, served
from client.test_auth import OWN
from e2e.world import RESOURCE, world

ISSUER = "/.well-known/oauth-authorization-server"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as running:
        url = running.url
        running.answer(
            ISSUER, {"issuer": url, "token_endpoint": f"{url}/token", "revocation_endpoint": f"{url}/revoke"}
        )
        running.answer("/token", {"access_token": "secret", "token_type": "Bearer"})
        running.answer("/revoke")
        yield running


def encoded(part: bytes) -> str:
    return urlsafe_b64encode(part).rstrip(b"=").decode()


def probed(server: Served, *, scope: str | None = None) -> Probed:
    return probe(
        server.url, "me", f"{server.url}/api", certificate=OWN.chain_pem, key=OWN.key_pem, scope=scope,
        ca=str(server.ca),
    )  # fmt: skip


def test_our_guard_enforces(tmp_path: Path) -> None:
    """With paths, as `open` has them; the server then knows the token no more."""
    with world(tmp_path) as built:
        built.register("me", token_endpoint_auth_method="tls_client_auth", tls_client_auth_san_dns="me.example")
        issued = built.authority.issue("CN=me", dns=["me.example"])
        (tmp_path / "me.pem").write_bytes(issued.chain_pem + issued.key_pem)
        found = probe(
            built.issuer, "me", built.api, certificate=tmp_path / "me.pem", resource=RESOURCE, ca=tmp_path / "ca.pem"
        )
    assert found is Probed.ENFORCES


@pytest.mark.parametrize("enforces", [True, False])
def test_the_stranger_is_made_up_each_time(server: Served, *, enforces: bool) -> None:
    """Two certificates come to the API, ours and one of nobody that no other call had; the token is revoked by us."""
    own = Identity(OWN.chain_pem, OWN.key_pem).thumbprint

    def api(_: dict[str, str], __: bytes) -> Answer:
        return Answer(200 if server.asked[-1][2] == own or not enforces else 401)

    server.answers["/api"] = api
    strangers = set()
    for _ in range(2):
        assert probed(server, scope="least") is (Probed.ENFORCES if enforces else Probed.ACCEPTS_STOLEN)
        paths, bodies, who = zip(*server.asked, strict=True)
        assert paths == (ISSUER, "/token", "/api", "/api", "/revoke")
        assert b"scope=least" in bodies[1]
        assert b"token=secret" in bodies[-1]
        assert (who[1], who[2], who[4]) == (own, own, own)
        strangers.add(who[3])
        server.asked.clear()
    assert len(strangers) == 2
    assert own not in strangers
    assert None not in strangers


def test_a_stranger_who_gets_no_answer_proves_nothing(server: Served) -> None:
    """An API that takes certificates of its CA only ends the connection; whether tokens are bound is not known."""
    own = Identity(OWN.chain_pem, OWN.key_pem).thumbprint
    server.answers["/api"] = lambda _, __: Answer(cut=server.asked[-1][2] != own)
    assert probed(server) is Probed.UNKNOWN
    assert server.paths()[-1] == "/revoke"


def test_a_token_that_is_anybodys_says_nothing_of_the_api(server: Served) -> None:
    """It is not taken there, and revoked."""
    server.answer(
        "/token",
        {
            "access_token": ".".join([encoded(b'{"alg":"ES256"}'), encoded(b'{"sub":"me"}'), "c2ln"]),
            "token_type": "Bearer",
        },
    )
    with pytest.raises(AnswerUnusable, match="not bound to the certificate"):
        probed(server)
    assert server.paths() == [ISSUER, "/token", "/revoke"]


def test_a_server_that_revokes_nothing(server: Served) -> None:
    """Then the token lives as long as the server lets it, and the answer is the same."""
    server.answer(ISSUER, {"issuer": server.url, "token_endpoint": f"{server.url}/token"})
    server.answers["/api"] = Answer(401)
    assert probed(server) is Probed.UNKNOWN
    assert server.paths() == [ISSUER, "/token", "/api", "/api"]


def test_what_cannot_begin_says_why(server: Served) -> None:
    """A client that is not known, and a certificate that has ended, with which nothing is sent."""
    server.answer("/token", {"error": "invalid_client"}, status=401)
    with pytest.raises(TokenRefused):
        probed(server)
    ended = self_signed("CN=old", now=datetime.now(UTC) - timedelta(days=9), days=1)
    server.asked.clear()
    with pytest.raises(IdentityUnusable, match="CN=old expired"):
        probe(server.url, "me", server.url, certificate=ended.chain_pem, key=ended.key_pem, ca=server.ca)
    assert server.asked == []
