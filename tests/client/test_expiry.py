"""A certificate that has ended is named as the reason, however a server puts it."""

import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import create_server

import httpx
import pytest

from certbound.client import (
    AnswerUnusable,
    Credential,
    Identity,
    IdentityUnusable,
    MetadataUnusable,
    TokenRefused,
    drive,
    drive_async,
    fetch_metadata,
    flow,
    open_async_client,
    open_client,
    read_metadata,
)
from certbound.client.expiry import require_in_force
from certbound.trust.authority import Authority, Issued, self_signed
from client.served import Answer, Served, served

ENDED = self_signed("CN=old", now=datetime.now(UTC) - timedelta(days=9), days=1)
PAGE = Answer(400, b"<html><center>The SSL certificate error</center></html>")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as running:
        yield running


def identity(issued: Issued = ENDED) -> Identity:
    return Identity(issued.chain_pem, issued.key_pem)


def test_the_last_moment_is_a_good_one() -> None:
    """RFC 5280 section 4.1.2.5: `notAfter` is inclusive."""
    old = identity()
    require_in_force(old, old.certificate.not_after)
    with pytest.raises(IdentityUnusable, match=r"CN=old expired at .* nothing was sent"):
        require_in_force(old, old.certificate.not_after + 0.1)


def test_a_certificate_without_a_name_is_named_by_its_thumbprint() -> None:
    """It may have none; what is in a name is shown on one line."""
    odd = self_signed("", days=1)
    with pytest.raises(IdentityUnusable, match=f"with the thumbprint {identity(odd).thumbprint}"):
        require_in_force(identity(odd), 4e9)
    with pytest.raises(IdentityUnusable) as said:
        require_in_force(identity(self_signed("CN=a\\0Ab")), 4e9)
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("answer", [PAGE, Answer(403, b"no"), Answer(200, b"{}"), Answer(302, b"")])
async def test_an_answer_that_is_none_of_oauth(server: Served, answer: Answer) -> None:
    """A proxy's page with 400, a 403: with a certificate that has ended, that is why; with another, it is not."""
    server.answers["/token"] = answer
    server.answers["/.well-known/oauth-authorization-server"] = PAGE
    at = read_metadata({"issuer": server.url, "token_endpoint": f"{server.url}/token"}, server.url)
    with (
        open_client(identity(), ca=server.ca) as old,
        open_client(identity(self_signed("CN=new")), ca=server.ca) as new,
    ):
        with pytest.raises(IdentityUnusable, match=r"CN=old expired at .*/token") as refused:
            drive(old, flow.client_credentials(at, Credential("me")))
        assert isinstance(refused.value.__cause__, AnswerUnusable)
        with pytest.raises(IdentityUnusable, match="answered 400"):
            fetch_metadata(old, server.url)
        with pytest.raises(AnswerUnusable):
            drive(new, flow.client_credentials(at, Credential("me")))
        with pytest.raises(MetadataUnusable):
            fetch_metadata(new, server.url)
    async with open_async_client(identity(), ca=server.ca) as calls:
        with pytest.raises(IdentityUnusable, match="CN=old expired"):
            await drive_async(calls, flow.client_credentials(at, Credential("me")))


def test_a_refusal_of_oauth_is_passed_on(server: Served) -> None:
    """It says itself what is wrong, and gives the advice."""
    server.answer("/token", {"error": "invalid_client"}, status=401)
    at = read_metadata({"issuer": server.url, "token_endpoint": f"{server.url}/token"}, server.url)
    with open_client(identity(), ca=server.ca) as old, pytest.raises(TokenRefused, match="has not expired"):
        drive(old, flow.client_credentials(at, Credential("me")))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_an_alert_of_tls(tmp_path: Path, version: ssl.TLSVersion) -> None:
    """A server that looks at dates in the handshake says `certificate_expired` (RFC 8446 section 6.2).

    In TLS 1.3 the client hears it when it reads, and where its own clock knows of no end, it is told of the server's.
    """
    authority = Authority.create("both")
    named = authority.issue("CN=server", dns=["localhost"], usage="server")
    (tmp_path / "server.pem").write_bytes(named.key_pem + named.chain_pem)
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    old = identity(authority.issue("CN=old", now=datetime.now(UTC) - timedelta(days=9), days=1))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    context.load_verify_locations(tmp_path / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = context.maximum_version = version
    with create_server(("127.0.0.1", 0)) as listening:

        def refuse() -> None:
            for _ in range(2):
                accepted, _ = listening.accept()
                with accepted, pytest.raises(ssl.SSLError, match="expired"):
                    context.wrap_socket(accepted, server_side=True)

        thread = threading.Thread(target=refuse)
        thread.start()
        url = f"https://localhost:{listening.getsockname()[1]}"
        with open_client(old, ca=tmp_path / "ca.pem") as client:
            with pytest.raises(IdentityUnusable, match=r"CN=old expired at .* certificate has expired") as said:
                fetch_metadata(client, url)
            with pytest.raises((httpx.ReadError, httpx.ConnectError), match="renew it, or set the clock"):
                client.get(url)
        thread.join()
    assert "the server says that the client's certificate has expired" in str(said.value)
