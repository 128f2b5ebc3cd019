"""Our client at npm oidc-provider, unmodified: found, bound, renewed, and of no use to a thief."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from secrets import token_urlsafe

import httpx
import pytest

import certbound.client
from certbound.client import (
    Credential,
    Identity,
    Refused,
    ServerMetadata,
    Token,
    TokenRefused,
    drive,
    fetch_metadata,
    flow,
    open_client,
    read_metadata,
)
from certbound.core.client_credentials import Method
from certbound.trust.authority import Authority, Issued, self_signed
from clients.issuing import REDIRECT, Foreign, guarded, oidc_provider
from clients.programs import INSTALLED, needs
from clients.serving import APACHE, Apache, apache
from e2e.world import RESOURCE, thumbprint

pytestmark = pytest.mark.clients

LIFETIME = 60


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    needs("node", INSTALLED / "node" / "node_modules" / "oidc-provider")
    authority = Authority.create("Test CA")
    pki = authority.issue("CN=pki", dns=["pki.example"])
    with oidc_provider(tmp_path_factory.mktemp("issuer"), pki, self_signed("CN=own"), authority, LIFETIME) as running:
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


def identity_of(issued: Issued) -> Identity:
    return Identity.read(issued.chain_pem, issued.key_pem)


def open_api(foreign: Foreign, api: str, client_id: str, issued: Issued) -> httpx.Client:
    return certbound.client.open(
        foreign.issuer, client_id, certificate=issued.chain_pem, key=issued.key_pem,
        resource=RESOURCE, api=api, scope="read", ca=foreign.ca,
    )  # fmt: skip


def token_of(foreign: Foreign, client_id: str, issued: Issued) -> str:
    with open_client(identity_of(issued), ca=foreign.ca) as http:
        server = fetch_metadata(http, foreign.issuer)
        credentials = flow.client_credentials(server, Credential(client_id), scope="read", resources=[RESOURCE])
        return drive(http, credentials).access_token


@pytest.mark.parametrize("client_id", ["pki", "own"])
def test_an_api_is_called_in_two_lines(foreign: Foreign, api: str, client_id: str) -> None:
    """By a name that an authority vouches for, and by a certificate that nobody signed."""
    with open_api(foreign, api, client_id, getattr(foreign, client_id)) as client:
        answer = client.get("/")
    assert (200, {"client_id": client_id, "scope": ["read"]}) == (answer.status_code, answer.json())


async def test_the_asynchronous_face_does_too(foreign: Foreign, api: str) -> None:
    """However many at once."""
    async with certbound.client.open_async(
        foreign.issuer, "pki", certificate=foreign.pki.chain_pem, key=foreign.pki.key_pem,
        resource=RESOURCE, api=api, scope="read", ca=foreign.ca,
    ) as client:  # fmt: skip
        answers = await asyncio.gather(*(client.get("/") for _ in range(5)))
    assert [200] * 5 == [each.status_code for each in answers]


@pytest.mark.parametrize("client_id", ["pki", "own"])
def test_its_token_is_of_no_use_to_a_thief(
    foreign: Foreign, api: str, mod_oauth2: Apache, stranger: Issued, client_id: str
) -> None:
    """Our guard and mod_oauth2 take it from its owner, and from nobody else."""
    owner = getattr(foreign, client_id)
    token = token_of(foreign, client_id, owner)
    bearer = {"authorization": f"Bearer {token}"}
    for url in (f"{api}/", f"{mod_oauth2.url}/"):
        told = [
            foreign.world.ask(url, who, method="GET", headers=bearer).status for who in (owner, stranger, None, owner)
        ]
        assert [200, 401, 401, 200] == told, (url, mod_oauth2.log)


def test_a_certificate_that_is_not_the_clients_gets_no_token(foreign: Foreign, stranger: Issued) -> None:
    """The refusal is the server's, word for word."""
    with pytest.raises(TokenRefused) as refused:
        token_of(foreign, "own", stranger)
    assert "invalid_client" == refused.value.error


def test_a_new_certificate_means_a_new_token(foreign: Foreign, api: str, tmp_path: Path) -> None:
    """R37: the files are replaced while the client runs, and no request fails."""
    certificate, key = tmp_path / "pki.pem", tmp_path / "pki.key"

    def write(issued: Issued) -> None:
        key.write_bytes(issued.key_pem)
        certificate.write_bytes(issued.chain_pem)

    write(foreign.pki)
    with certbound.client.open(
        foreign.issuer, "pki", certificate=certificate, key=key, resource=RESOURCE, api=api, scope="read",
        ca=foreign.ca,
    ) as client:  # fmt: skip
        first = client.get("/").request.headers["authorization"]
        write(foreign.world.authority.issue("CN=pki", dns=["pki.example"]))
        deadline, second = time.monotonic() + 20, first
        while second == first:
            answer = client.get("/")
            assert 200 == answer.status_code
            second = answer.request.headers["authorization"]
            assert time.monotonic() < deadline, "the new certificate is not used"
            time.sleep(0.2)


def test_a_person_lets_it_act(foreign: Foreign, api: str, stranger: Issued) -> None:
    """Pushed, by code and PKCE, then refreshed; a thief of the refresh token needs the certificate too."""
    credential = Credential("own", Method.SELF_SIGNED_TLS_CLIENT_AUTH)
    with open_client(identity_of(foreign.own), ca=foreign.ca) as http:
        server = fetch_metadata(http, foreign.issuer)
        assert server.endpoint("token_endpoint", mutual_tls=True) == f"{foreign.mtls}/token"
        token = token_for_a_person(foreign, http, server, credential)
        assert token.refresh_token
        refreshed = drive(http, flow.refresh(server, credential, token.refresh_token, resources=[RESOURCE]))
    for each in (token, refreshed):
        bearer = {"authorization": f"Bearer {each.access_token}"}
        told = [foreign.world.ask(api, who, method="GET", headers=bearer).status for who in (foreign.own, stranger)]
        assert [200, 401] == told
    assert refreshed.access_token != token.access_token
    with pytest.raises(TokenRefused):
        refresh_as(foreign, server, credential, stranger, refreshed.refresh_token or token.refresh_token)


@pytest.mark.parametrize("client_id", ["pki", "own"])
def test_it_says_what_a_token_is_bound_to_until_it_is_revoked(foreign: Foreign, client_id: str) -> None:
    """Introspection and revocation are asked by the certificate, at their aliases; here of an opaque token."""
    owner, credential = getattr(foreign, client_id), Credential(client_id)
    with open_client(identity_of(owner), ca=foreign.ca) as http:
        server = fetch_metadata(http, foreign.issuer)
        asked = [server.endpoint(f"{name}_endpoint", mutual_tls=True) for name in ("introspection", "revocation")]
        assert [f"{foreign.mtls}/token/introspection", f"{foreign.mtls}/token/revocation"] == asked
        token = drive(http, flow.client_credentials(server, credential, scope="read")).access_token
        before = drive(http, flow.introspect(server, credential, token))
        drive(http, flow.revoke(server, credential, token))
        after = drive(http, flow.introspect(server, credential, token))
    assert (True, client_id) == (before["active"], before["client_id"])
    assert {"x5t#S256": thumbprint(owner)} == before["cnf"]
    assert {"active": False} == after


def test_beside_the_alias_nothing_is_said_and_nothing_revoked(foreign: Foreign) -> None:
    """Where nobody is asked for a certificate, the client is nobody; and so is it with another's."""
    credential = Credential("own")
    with open_client(identity_of(foreign.own), ca=foreign.ca) as http:
        server = fetch_metadata(http, foreign.issuer)
        token = drive(http, flow.client_credentials(server, credential, scope="read")).access_token
        plain = {name: url for name, url in server.document.items() if name != "mtls_endpoint_aliases"}
        for ask in (flow.introspect, flow.revoke):
            with pytest.raises(Refused, match="invalid_client"):
                drive(http, ask(read_metadata(plain, foreign.issuer), credential, token))
        with open_client(identity_of(foreign.pki), ca=foreign.ca) as other, pytest.raises(Refused):
            drive(other, flow.revoke(server, credential, token))
        assert drive(http, flow.introspect(server, credential, token))["active"] is True


def test_a_revoked_refresh_token_gives_nothing(foreign: Foreign) -> None:
    """What a person allowed ends, with all that came of it."""
    credential = Credential("own")
    with open_client(identity_of(foreign.own), ca=foreign.ca) as http:
        server = fetch_metadata(http, foreign.issuer)
        token = token_for_a_person(foreign, http, server, credential)
        assert token.refresh_token
        assert drive(http, flow.introspect(server, credential, token.refresh_token))["active"] is True
        drive(http, flow.revoke(server, credential, token.refresh_token, hint="refresh_token"))
        assert drive(http, flow.introspect(server, credential, token.refresh_token)) == {"active": False}
        with pytest.raises(TokenRefused, match="invalid_grant"):
            drive(http, flow.refresh(server, credential, token.refresh_token, resources=[RESOURCE]))


def token_for_a_person(foreign: Foreign, http: httpx.Client, server: ServerMetadata, credential: Credential) -> Token:
    asking = flow.authorize(
        server, credential, redirect_uri=REDIRECT, state=token_urlsafe(32), verifier=token_urlsafe(32),
        scope="openid offline_access read", resources=[RESOURCE], push=True, more={"prompt": "consent"},
    )  # fmt: skip
    started = drive(http, asking)
    assert "request_uri=" in started.url
    code = flow.read_redirect(server, started, browse(foreign, started.url))
    return drive(http, flow.redeem(server, credential, started, code))


def refresh_as(foreign: Foreign, server: ServerMetadata, credential: Credential, who: Issued, token: str) -> None:
    with open_client(identity_of(who), ca=foreign.ca) as http:
        drive(http, flow.refresh(server, credential, token, resources=[RESOURCE]))


def browse(foreign: Foreign, url: str) -> str:
    """Where a browser is sent in the end, which keeps cookies and follows; nobody asks it for a certificate."""
    with open_client(ca=foreign.ca) as browser:
        for _ in range(6):
            answer = browser.get(url)
            assert answer.next_request is not None, answer.text
            url = str(answer.next_request.url)
            if url.startswith(REDIRECT):
                return url
    pytest.fail(f"the pages of {foreign.issuer} lead to {url}, and to no end")
