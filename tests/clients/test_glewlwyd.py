"""Our client at Debian's glewlwyd, unmodified: found by its aliases, bound, and of no use to a thief."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import certbound.client
from certbound.client import (
    AnswerUnusable,
    Credential,
    Identity,
    ServerMetadata,
    drive,
    fetch_metadata,
    flow,
    open_client,
)
from certbound.resource import Introspection
from certbound.trust.authority import Authority, Issued
from clients.issuing import GLEWLWYD, Foreign, glewlwyd, guarded
from clients.programs import needs
from clients.serving import APACHE, Apache, apache
from e2e.world import RESOURCE, thumbprint

pytestmark = pytest.mark.clients

PKI = Credential("pki")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    needs(GLEWLWYD / "usr" / "bin" / "glewlwyd")
    authority = Authority.create("Test CA")
    pki = authority.issue("CN=pki", dns=["pki.example"])
    with glewlwyd(tmp_path_factory.mktemp("issuer"), pki, authority) as running:
        yield running


@pytest.fixture(scope="module")
def api(foreign: Foreign) -> Iterator[str]:
    with guarded(foreign) as url:
        yield url


@pytest.fixture(scope="module")
def mod_oauth2(foreign: Foreign, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apache]:
    needs(APACHE, "/usr/lib/apache2/modules/mod_oauth2.so")
    with apache(foreign.world, "unused", tmp_path_factory.mktemp("apache")) as running:
        yield running


@pytest.fixture
def neighbour(foreign: Foreign) -> Issued:
    """Of the same authority, with another name."""
    return foreign.world.authority.issue("CN=neighbour", dns=["neighbour.example"])


def as_(foreign: Foreign, issued: Issued | None) -> httpx.Client:
    identity = Identity.read(issued.chain_pem, issued.key_pem) if issued else None
    return open_client(identity, ca=foreign.ca)


def token_of(foreign: Foreign, issued: Issued | None) -> str:
    with as_(foreign, issued) as http:
        server = fetch_metadata(http, foreign.issuer)
        return drive(http, flow.client_credentials(server, PKI, scope="read", resources=[RESOURCE])).access_token


def metadata(foreign: Foreign) -> ServerMetadata:
    with as_(foreign, None) as http:
        return fetch_metadata(http, foreign.issuer)


def test_an_api_is_called_in_two_lines(foreign: Foreign, api: str) -> None:
    """Discovery finds OpenID's document behind the path of the issuer; nothing is told to the client beside that."""
    with certbound.client.open(
        foreign.issuer, "pki", certificate=foreign.pki.chain_pem, key=foreign.pki.key_pem,
        resource=RESOURCE, api=api, scope="read", ca=foreign.ca,
    ) as client:  # fmt: skip
        answer = client.get("/")
    assert (200, {"client_id": "pki", "scope": ["read"]}) == (answer.status_code, answer.json())


@pytest.mark.parametrize("name", ["token", "introspection", "revocation"])
def test_its_aliases_are_used(foreign: Foreign, name: str) -> None:
    """R23: here they are other paths of the same host."""
    path = {"token": "token", "introspection": "introspect", "revocation": "revoke"}[name]
    server = metadata(foreign)
    assert f"{foreign.mtls}/{path}" == server.endpoint(f"{name}_endpoint", mutual_tls=True)
    assert f"{foreign.issuer}/{path}" == server.endpoint(f"{name}_endpoint", mutual_tls=False)


def test_without_the_alias_there_is_no_token(foreign: Foreign) -> None:
    """The same question with the same certificate, asked beside it."""
    form = {"grant_type": "client_credentials", "client_id": "pki", "scope": "read", "resource": RESOURCE}
    with as_(foreign, foreign.pki) as http:
        told = [http.post(f"{where}/token", data=form).status_code for where in (foreign.mtls, foreign.issuer)]
    assert [200, 403] == told


def test_its_token_is_of_no_use_to_a_thief(
    foreign: Foreign, api: str, mod_oauth2: Apache, stranger: Issued, neighbour: Issued
) -> None:
    """Our guard and mod_oauth2 take it from its owner, and from nobody else."""
    bearer = {"authorization": f"Bearer {token_of(foreign, foreign.pki)}"}
    for url in (f"{api}/", f"{mod_oauth2.url}/"):
        told = [
            foreign.world.ask(url, who, method="GET", headers=bearer).status
            for who in (foreign.pki, stranger, neighbour, None, foreign.pki)
        ]
        assert [200, 401, 401, 401, 200] == told, (url, mod_oauth2.log)


@pytest.mark.parametrize("who", ["stranger", "neighbour", "nobody"])
def test_a_certificate_that_is_not_the_clients_gets_no_token(
    foreign: Foreign, stranger: Issued, neighbour: Issued, who: str
) -> None:
    """Self-signed with its name, of its authority with another name, or none at all."""
    with pytest.raises(AnswerUnusable, match=f"{foreign.mtls}/token answered 403 without an OAuth error"):
        token_of(foreign, {"stranger": stranger, "neighbour": neighbour, "nobody": None}[who])


def test_it_says_what_a_token_is_bound_to_until_it_is_revoked(foreign: Foreign) -> None:
    """Introspection and revocation are asked by the certificate, at their aliases."""
    token = token_of(foreign, foreign.pki)
    with as_(foreign, foreign.pki) as http:
        server = fetch_metadata(http, foreign.issuer)
        before = drive(http, flow.introspect(server, PKI, token))
        drive(http, flow.revoke(server, PKI, token))
        after = drive(http, flow.introspect(server, PKI, token))
    assert {"x5t#S256": thumbprint(foreign.pki)} == before["cnf"]
    assert (True, {"active": False}) == (before["active"], after)


def test_a_guard_that_asks_it_about_a_token_is_not_told_whose_it_is(foreign: Foreign) -> None:
    """Its answers have neither `client_id` nor `sub`; without them nobody is let in."""
    asking = Introspection(
        client_id="pki", certificate=foreign.world.directory / "pki.pem", key=foreign.world.directory / "pki.key",
        also_jwt=True,
    )  # fmt: skip
    Path(asking.certificate).write_bytes(foreign.pki.chain_pem)
    Path(asking.key).write_bytes(foreign.pki.key_pem)
    bearer = {"authorization": f"Bearer {token_of(foreign, foreign.pki)}"}
    with guarded(foreign, introspection=asking) as url:
        assert 401 == foreign.world.ask(f"{url}/", foreign.pki, method="GET", headers=bearer).status
