"""C1..C5: what the OpenID Foundation's suite asks of a client with mutual TLS, at our own server over real TLS."""

from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import httpx
import pytest

import certbound.client
from certbound.client import Credential, Identity, drive, fetch_metadata, flow, open_client, request_token
from certbound.core.certificate import read_certificate
from certbound.core.client_credentials import Method
from certbound.trust.authority import self_signed
from client.served import Served, served
from e2e.world import RESOURCE, World, world

OWN = self_signed("CN=own")
SUBJECTS = {
    "tls_client_auth_subject_dn": "CN=pki",
    "tls_client_auth_san_dns": "pki.example",
    "tls_client_auth_san_uri": "https://pki.example/client",
    "tls_client_auth_san_ip": "192.0.2.1",
    "tls_client_auth_san_email": "pki@pki.example",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("conditions")) as made:
        made.register_self_signed("own", OWN)
        yield made


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[Served]:
    """A server that keeps what it was asked, with the token endpoint at a plain URL and at an alias."""
    with served(tmp_path) as running:
        url = running.url
        running.answer("/.well-known/oauth-authorization-server", {
            "issuer": url, "token_endpoint": f"{url}/plain",
            "mtls_endpoint_aliases": {"token_endpoint": f"{url}/alias"},
        })  # fmt: skip
        running.answer("/alias", {"access_token": "t", "token_type": "Bearer", "expires_in": 60})
        yield running


@pytest.fixture
def asked(recording: Served) -> tuple[str, dict[str, list[str]], str | None]:
    """The one token request: its path, its form, and the thumbprint that came with it."""
    with open_client(Identity(OWN.chain_pem, OWN.key_pem), ca=recording.ca) as client:
        server = fetch_metadata(client, recording.url)
        credential = Credential("own", Method.SELF_SIGNED_TLS_CLIENT_AUTH)
        drive(client, flow.client_credentials(server, credential))
    path, body, thumbprint = recording.asked[-1]
    return path, parse_qs(body.decode()), thumbprint


def test_c1_the_certificate_is_presented_though_it_is_optional(asked: tuple[str, object, str | None]) -> None:
    """The server asks for one and takes none as well; the client shows its own."""
    assert asked[2] == read_certificate(OWN.der).thumbprint


def test_c2_client_id_in_the_body_and_no_assertion(asked: tuple[str, dict[str, list[str]], str | None]) -> None:
    """Exactly the registered one, once."""
    assert asked[1] == {"grant_type": ["client_credentials"], "client_id": ["own"]}


@pytest.mark.parametrize("member", SUBJECTS)
def test_c3_a_client_of_each_kind_of_name(built: World, member: str) -> None:
    """The client's certificate is known by that name and gets a token with it that the API takes."""
    issued = built.authority.issue(
        "CN=pki",
        dns=["pki.example"],
        uris=["https://pki.example/client"],
        ips=["192.0.2.1"],
        emails=["pki@pki.example"],
    )
    client_id = member.replace("_", "-")
    built.register(client_id, token_endpoint_auth_method="tls_client_auth", **{member: SUBJECTS[member]})
    with certbound.client.open(
        built.issuer, client_id, certificate=issued.chain_pem, key=issued.key_pem,
        resource=RESOURCE, api=built.api, ca=built.directory / "ca.pem",
    ) as api:  # fmt: skip
        assert api.get("/").json()["client_id"] == client_id


def test_c4_the_certificate_is_the_one_that_the_client_registered(built: World) -> None:
    """Byte by byte the `x5c` of the JWK Set that the client makes of itself; the server knows it by that."""
    issued = self_signed("CN=itself")
    own = Identity(issued.chain_pem, issued.key_pem)
    [registered] = own.jwks()["keys"]
    assert b64decode(registered["x5c"][0]) == issued.der
    built.register("itself", token_endpoint_auth_method="self_signed_tls_client_auth", jwks=own.jwks())
    with open_client(own, ca=built.directory / "ca.pem") as client:
        request_token(client, fetch_metadata(client, built.issuer), "itself")


def test_c5_the_token_request_goes_to_the_alias(recording: Served, asked: tuple[str, object, str | None]) -> None:
    """The plain URL is not used at all."""
    assert asked[0] == "/alias"
    assert "/plain" not in recording.paths()


def test_a_self_signed_client_calls_the_api(built: World) -> None:
    """From files to the answer: two lines."""
    with certbound.client.open(
        built.issuer, "own", certificate=OWN.chain_pem, key=OWN.key_pem, resource=RESOURCE, api=built.api,
        ca=built.directory / "ca.pem",
    ) as api:  # fmt: skip
        answer = api.get("/")
    assert isinstance(answer, httpx.Response)
    assert answer.json() == {"client_id": "own", "scope": ["read", "write"]}
