"""keys.file and keys.published over real TLS: a key that was published before takes over, and no token is refused."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certbound.core.errors import ConfigurationError
from certbound.core.signing import EDDSA, ES256, PS256, RS256, PublicKey, SigningKey
from certbound.server.keys import KeyRing
from e2e.world import World, self_signed, world


def public_pem(private: Any) -> bytes:
    found: bytes = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return found


def published(running: World) -> list[str]:
    return [each["kid"] for each in running.ask(f"{running.issuer}/jwks", method="GET").json["keys"]]


def kid_of(token: str) -> str:
    return str(json.loads(base64.urlsafe_b64decode(token.split(".", 1)[0] + "=="))["kid"])


def test_a_published_key_takes_over_and_tokens_of_the_one_before_live_on(tmp_path: Path) -> None:
    """Restarts between; the last one takes the old key out, and its tokens with it."""
    old, new, client = SigningKey.generate(), SigningKey.generate(), self_signed("CN=client")
    (tmp_path / "old.key").write_bytes(old.as_pem())
    (tmp_path / "new.key").write_bytes(new.as_pem())
    (tmp_path / "old.pub").write_bytes(public_pem(old.private))
    with world(tmp_path, keys__file="old.key", keys__published=["new.key"]) as running:
        running.register_self_signed("client", client)
        first = running.token("client", client)
        assert published(running) == [old.kid, new.kid]
        assert kid_of(first) == old.kid
        server = running.settings.server
    same = {f"server__{name}": getattr(server, name) for name in ("issuer", "port", "mtls_url", "mtls_port")}
    with world(tmp_path, **same, keys__file="new.key", keys__published=["old.pub"]) as running:
        second = running.token("client", client)
        assert published(running) == [new.kid, old.kid]
        assert kid_of(second) == new.kid
        for token in (first, second):
            assert running.call_api(token, client).status == 200
            assert running.introspect(token, "client", client).json["active"] is True
    with world(tmp_path, **same, keys__file="new.key") as running:
        assert published(running) == [new.kid]
        assert (running.call_api(first, client).status, running.call_api(second, client).status) == (401, 200)
        assert running.introspect(first, "client", client).json == {"active": False}


@pytest.mark.parametrize(
    ("key_alg", "asked", "found"),
    [(ES256, PS256, ES256), (EDDSA, ES256, EDDSA), (PS256, ES256, PS256), (PS256, RS256, RS256)],
)
def test_a_published_key_is_for_the_algorithm_of_its_kind(key_alg: str, asked: str, found: str) -> None:
    """Public, private and encrypted, one file says the same."""
    key = SigningKey.generate(key_alg)
    for pem in (public_pem(key.private), key.as_pem(), key.as_pem(password="long")):
        read = PublicKey.read(pem, password="long", alg=asked)
        assert (read.kid, read.alg) == (key.kid, found)
        assert "d" not in read.public_jwk()


@pytest.mark.parametrize(
    ("pem", "said"),
    [
        (b"", "it is no private key in PEM"),
        (b"-----BEGIN PUBLIC KEY-----\n", "it is no public key in PEM"),
        (public_pem(ec.generate_private_key(ec.SECP384R1())), "not one of the curve secp384r1"),
        (SigningKey.generate().as_pem(password="long"), "there is no password for it"),
    ],
    ids=["empty", "torn", "P-384", "encrypted"],
)
def test_what_is_no_key_for_any_algorithm_is_not_published(pem: bytes, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        PublicKey.read(pem)


def test_a_key_that_does_not_sign_promises_no_signature() -> None:
    """What is listed twice, or signs, is published once, and as that which signs."""
    key, other = SigningKey.generate(), SigningKey.generate(EDDSA)
    beside = [PublicKey.read(each.as_pem()) for each in (other, key, other)]
    ring = KeyRing.of(key, others=beside)
    assert list(ring.published) == [key, beside[0]]
    assert (ring.algorithms, ring.signing_algorithms) == ((ES256, EDDSA), (ES256,))
    assert ring.signing_with(EDDSA) is key
