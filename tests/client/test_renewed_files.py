"""Files of every kind that are renewed while a client runs, at a real server."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

from certbound.client import Transport, WatchedIdentity
from certbound.client.auth import CertificateBoundAuth
from certbound.client.transport import client_over
from certbound.core.certificate import thumbprint
from certbound.trust.authority import Issued, self_signed
from client.served import served
from client.test_auth import Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with served(tmp_path) as running:
        yield Place(running)


def encrypted(issued: Issued, password: str) -> bytes:
    how = BestAvailableEncryption(password.encode())
    pem: bytes = issued.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)
    return pem + issued.chain_pem


def pkcs12(issued: Issued, password: str) -> bytes:
    how = BestAvailableEncryption(password.encode())
    return serialize_key_and_certificates(None, issued.private_key, issued.certificate, None, how)


@pytest.mark.parametrize("write", [encrypted, pkcs12])
def test_under_the_same_password(place: Place, tmp_path: Path, write: Callable[[Issued, str], bytes]) -> None:
    """The next request has a new connection and a new token; under another password the old ones stay."""
    one, two, three = (self_signed(f"CN={name}") for name in ("one", "two", "three"))
    file, now, url = tmp_path / "me", [0.0], place.server.url
    file.write_bytes(write(one, "sesame"))
    watched = WatchedIdentity(file, password="sesame", clock=lambda: now[0])
    transport = Transport(watched, ca=place.server.ca)
    auth = CertificateBoundAuth(transport, url, "me", resource=url)
    shown = []
    with client_over(transport, auth=auth, base_url=url) as api:
        for issued, password in ((one, "sesame"), (two, "sesame"), (three, "other"), (three, "sesame")):
            file.write_bytes(write(issued, password))
            now[0] += 2
            shown.append((api.get("/api").json()["token"], place.server.asked[-1][2]))
    assert shown == [
        ("secret-1", thumbprint(one.der)), ("secret-2", thumbprint(two.der)), ("secret-2", thumbprint(two.der)),
        ("secret-3", thumbprint(three.der)),
    ]  # fmt: skip
