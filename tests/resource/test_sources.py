"""certbound.resource.sources: what other servers say of a certificate, and what they were not told to ask."""

import asyncio
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from certbound.core.certificate import PeerCertificate
from certbound.core.errors import ConfigurationError
from certbound.resource.sources import GunicornCertificates, TLSExtensionCertificates
from certbound.tls.facts import EXTENSION, NOT_JUDGED, ConnectionFacts, TLSExtension, connection_facts, environ_facts
from certbound.trust.authority import Authority, Issued, self_signed
from certificates import read

AUTHORITY = Authority.create("Sources")
# One whose base64 is padded: decoders that stop there would take the first of two.
CLIENT = next(each for each in iter(lambda: AUTHORITY.issue("CN=client"), None) if len(each.der) % 3)
SERVER = AUTHORITY.issue("CN=localhost", dns=["localhost"], usage="server")


def seen(environ: dict[str, Any]) -> ConnectionFacts | None:
    """What an application behind it sees."""
    found = []

    def app(inside: dict[str, Any], start_response: Any) -> list[bytes]:
        found.append(environ_facts(inside))
        return []

    GunicornCertificates(app)(environ, lambda *_: None)
    return found[0]


def handshake(folder: Path, identity: Issued | None, mode: ssl.VerifyMode) -> ssl.SSLSocket:
    """The server's side of a connection, as gunicorn has it."""
    files = {"server": SERVER, "client": CLIENT if identity is None else identity}
    for name, issued in files.items():
        (folder / f"{name}.pem").write_bytes(issued.key_pem + issued.certificate_pem)
    (folder / "ca.pem").write_bytes(AUTHORITY.certificate_pem)
    here = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=folder / "ca.pem")
    here.load_cert_chain(folder / "server.pem")
    here.verify_mode = mode
    there = ssl.create_default_context(cafile=folder / "ca.pem")
    if identity is not None:
        there.load_cert_chain(folder / "client.pem")
    one, other = socket.socketpair()
    with ThreadPoolExecutor(1) as pool:
        accepted = pool.submit(here.wrap_socket, one, server_side=True)
        there.wrap_socket(other, server_hostname="localhost").close()
        return accepted.result(5)


@pytest.mark.parametrize("identity", [CLIENT, None], ids=["certificate", "none"])
def test_what_gunicorn_verified_is_the_certificate(tmp_path: Path, identity: Issued | None) -> None:
    """And nothing where the client sent none."""
    with handshake(tmp_path, identity, ssl.CERT_OPTIONAL) as connection:
        facts = seen({"gunicorn.socket": connection, EXTENSION: "forged", "HTTP_X": ""})
    assert facts is not None
    assert (None if identity is None else PeerCertificate(read(identity))) == facts.peer_certificate
    assert (True, "TLSv1.3") == (facts.asks_for_certificate, facts.tls_version)


def test_a_server_that_cannot_say_it_is_an_error_with_the_next_step(tmp_path: Path) -> None:
    """Not "there is no certificate", which would be a 401 for everybody without a reason."""
    with handshake(tmp_path, CLIENT, ssl.CERT_NONE) as connection, socket.socket() as plain:
        for found, step in ((connection, "--cert-reqs 1"), (plain, "--certfile"), (None, "sync worker")):
            with pytest.raises(ConfigurationError, match=step):
                seen({} if found is None else {"gunicorn.socket": found})


def pem(issued: Issued) -> str:
    return issued.certificate.public_bytes(Encoding.PEM).decode()


def scoped(extensions: dict[str, Any], kind: str = "http") -> ConnectionFacts | None:
    """What an ASGI application behind it sees."""
    found = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found.append(connection_facts(scope))

    async def nothing(*_: Any) -> Any:
        raise AssertionError("nothing is sent or received")

    scope = {"type": kind, "extensions": extensions}
    asyncio.run(TLSExtensionCertificates(app)(scope, nothing, nothing))
    assert (EXTENSION in extensions) is (found[0] is not None and found[0] is extensions.get(EXTENSION))
    return found[0]


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_the_first_of_a_verified_chain_is_the_certificate(kind: str) -> None:
    """The others stand behind it."""
    chain = [pem(CLIENT), AUTHORITY.certificate_pem.decode()]
    facts = scoped({"tls": {"client_cert_chain": chain, "client_cert_error": None, "tls_version": 0x0304}}, kind)
    assert facts is not None
    assert facts.peer_certificate is not None
    assert (read(CLIENT), 1) == (facts.peer_certificate.leaf, len(facts.peer_certificate.chain))
    assert "TLSv1.3" == facts.tls_version


@pytest.mark.parametrize(
    "extension",
    [
        {},
        {"client_cert_chain": None},
        {"client_cert_chain": []},
        {"client_cert_chain": [pem(CLIENT)], "client_cert_error": "unknown ca"},
        {"client_cert_chain": [pem(CLIENT)], "client_cert_error": NOT_JUDGED},
        {"client_cert_chain": ["no PEM"]},
        {"client_cert_chain": [pem(CLIENT) + pem(SERVER)]},
        {"client_cert_chain": ["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]},
    ],
    ids=["empty", "null", "no chain", "refused by the server", "not judged", "no PEM", "two in one", "no certificate"],
)
def test_what_the_server_did_not_find_good_is_nobodys(extension: dict[str, Any]) -> None:
    """Whatever stands there besides."""
    facts = scoped({"tls": extension})
    assert facts is not None
    assert facts.peer_certificate is None


def test_facts_of_our_own_listener_stay() -> None:
    """It judges nothing and says so, and what it proved is more."""
    peer = PeerCertificate(read(self_signed("CN=own")))
    own = ConnectionFacts(
        peer_certificate=peer, tls_version="TLSv1.3", cipher="", group=None, asks_for_certificate=True
    )
    assert own is scoped({EXTENSION: own, "tls": TLSExtension(own, "")})


def test_a_server_without_the_extension_is_an_error_with_the_next_step() -> None:
    """As above; what is no request passes."""
    with pytest.raises(ConfigurationError, match="certbound run"):
        scoped({})
    assert scoped({}, "lifespan") is None
