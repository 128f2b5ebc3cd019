"""`certbound.client.flow.grants`: what is asked, and what is made of the answer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from certbound.client import (
    AnswerUnusable,
    Identity,
    MetadataUnusable,
    ServerMetadata,
    TokenRefused,
    open_client,
    read_metadata,
    request_token,
)
from certbound.core.errors import CertboundError
from certbound.trust.authority import self_signed
from client.served import Served, served

SECRET = "ey.secret-token.x"


@pytest.fixture(scope="module")
def own() -> Identity:
    issued = self_signed("CN=client")
    return Identity(issued.chain_pem, issued.key_pem)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as running:
        running.answer("/token", {"access_token": SECRET, "token_type": "Bearer", "expires_in": 300, "scope": "read"})
        yield running


@pytest.fixture
def client(server: Served, own: Identity) -> Iterator[httpx.Client]:
    with open_client(own, ca=server.ca) as opened:
        yield opened


def metadata(server: Served, **document: Any) -> ServerMetadata:
    return read_metadata({"issuer": server.url, "token_endpoint": server.url + "/token", **document}, server.url)


def test_what_is_asked(server: Served, client: httpx.Client, own: Identity) -> None:
    """client_credentials with client_id in the body, over a connection with the client's certificate."""
    token = request_token(client, metadata(server), "me", scope="read write", resources=["https://a", "https://b"])
    path, body, thumbprint = server.asked[-1]
    assert (path, thumbprint) == ("/token", own.thumbprint)
    assert parse_qsl(body.decode()) == [
        ("grant_type", "client_credentials"), ("scope", "read write"),
        ("resource", "https://a"), ("resource", "https://b"), ("client_id", "me"),
    ]  # fmt: skip
    assert (token.access_token, token.expires_in, token.scope) == (SECRET, 300, "read")


def test_nothing_more_is_asked_than_was_said(server: Served, client: httpx.Client) -> None:
    """Without scope and resource neither is sent."""
    request_token(client, metadata(server), "me")
    assert dict(parse_qsl(server.asked[-1][1].decode())) == {"grant_type": "client_credentials", "client_id": "me"}


def test_the_alias_is_asked(server: Served, client: httpx.Client) -> None:
    """Where there is one; the plain endpoint is left alone."""
    server.answers["/mtls/token"] = server.answers.pop("/token")
    request_token(client, metadata(server, mtls_endpoint_aliases={"token_endpoint": server.url + "/mtls/token"}), "me")
    assert [path for path, *_ in server.asked] == ["/mtls/token"]


def test_an_endpoint_in_the_clear_is_not_asked(server: Served, client: httpx.Client) -> None:
    """Whether plain or alias, http is refused before anything is sent."""
    plain = server.url.replace("https:", "http:") + "/token"
    for document in ({"token_endpoint": plain}, {"mtls_endpoint_aliases": {"token_endpoint": plain}}):
        with pytest.raises(MetadataUnusable, match="not an https URL"):
            request_token(client, metadata(server, **document), "me")
    assert server.asked == []


def test_a_refusal_tells_what_to_do(server: Served, client: httpx.Client) -> None:
    """The server's error, where it came from, under which id its log has it, and what to do; nothing in it can run."""
    refusal = {"error": "invalid_client", "error_description": "no\x1b[31m", "request_id": "abc"}
    server.answer("/token", refusal, status=401)
    with pytest.raises(TokenRefused) as refused:
        request_token(client, metadata(server), "me")
    error = refused.value
    assert (error.status, error.error, error.request_id) == (401, "invalid_client", "abc")
    assert error.endpoint == server.url + "/token"
    for part in (error.endpoint, "401", "invalid_client", "certificate is registered", "abc"):
        assert part in str(error)
    assert str(error).isprintable()


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, {}),
        (200, {"access_token": SECRET}),
        (200, {"access_token": SECRET, "token_type": "DPoP"}),
        (200, {"access_token": SECRET, "token_type": 7}),
        (200, {"access_token": "", "token_type": "Bearer"}),
        (200, {"access_token": 7, "token_type": "Bearer"}),
        (200, [SECRET]),
        (201, {"access_token": SECRET, "token_type": "Bearer"}),
        (302, {"access_token": SECRET, "token_type": "Bearer"}),
        (500, None),
        (401, {"error": 7}),
    ],
)
def test_an_answer_that_is_none(server: Served, client: httpx.Client, status: int, answer: Any) -> None:
    """Neither a token nor an error of RFC 6749: refused, and the message does not repeat what might be a token."""
    server.answer("/token", answer, status=status, location=f"{server.url}/elsewhere")
    with pytest.raises(AnswerUnusable, match="/token ") as refused:
        request_token(client, metadata(server), "me")
    assert SECRET not in str(refused.value)
    assert [path for path, *_ in server.asked] == ["/token"]


def test_secrets_are_not_shown(server: Served, client: httpx.Client, own: Identity) -> None:
    """No token and no key is in a repr."""
    token = request_token(client, metadata(server), "me")
    assert SECRET not in repr(token)
    assert "PRIVATE" not in repr(own)
    assert "BEGIN" not in repr(own)


def test_every_error_is_ours() -> None:
    """Whoever catches `CertboundError` has caught whatever this client refuses."""
    assert issubclass(TokenRefused, CertboundError)
    assert issubclass(AnswerUnusable, CertboundError)
