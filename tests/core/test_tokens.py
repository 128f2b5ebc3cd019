"""certbound.core.tokens: access tokens as RFC 9068 has them, bound as RFC 8705 has it (R17)."""

import json
from base64 import urlsafe_b64decode
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey

from certbound.core.clients import ClientId
from certbound.core.errors import ConfigurationError
from certbound.core.scope import NO_SCOPE, Scope
from certbound.core.status import StatusReference
from certbound.core.tokens import Grant, Issuer, SigningKey, claims_of, sign, sign_list
from certbound.trust.authority import private_key_pem, self_signed
from certificates import NOW, TODAY, read

ISSUER = Issuer("https://as.example")
KEY = SigningKey.generate()
CERTIFICATE = read(self_signed("CN=own", now=TODAY))


def grant(**changes: Any) -> Grant:
    """What a client gets for itself at one resource, bound."""
    facts: dict[str, Any] = {
        "client_id": ClientId("a"),
        "subject": "a",
        "audience": ["https://api.example"],
        "scope": Scope(frozenset({"write", "read"})),
        "certificate": CERTIFICATE,
    }
    return Grant(**{**facts, **changes})


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of such a grant."""
    return claims_of(grant(**changes), issuer=ISSUER, now=NOW + 0.9, lifetime=300, jti="1")


def test_claims() -> None:
    """The claims are those of RFC 9068 section 2.2 with `cnf` beside them, times in whole seconds."""
    assert claims() == {
        "iss": ISSUER, "sub": "a", "aud": "https://api.example", "client_id": "a", "iat": int(NOW),
        "exp": int(NOW) + 300, "jti": "1", "scope": "read write", "cnf": {"x5t#S256": CERTIFICATE.thumbprint},
    }  # fmt: skip


def test_what_is_not_there_is_left_out() -> None:
    """No scope means no `scope`, no certificate no `cnf`; neither is ever empty or null."""
    assert not {"scope", "cnf"} & claims(scope=NO_SCOPE, certificate=None).keys()


def test_where_its_status_stands() -> None:
    """The `status` claim of draft-ietf-oauth-status-list-21 section 6.2, where there is one."""
    named = claims_of(grant(), issuer=ISSUER, now=NOW, lifetime=300, jti="1", status=StatusReference(7, "https://a/s"))
    assert named["status"] == {"status_list": {"idx": 7, "uri": "https://a/s"}}
    assert "status" not in claims()


def test_a_signed_list() -> None:
    """A status list is signed by the same key under another type, so that it is never an access token."""
    token = sign_list({"sub": "https://a/s"}, KEY)
    header = json.loads(urlsafe_b64decode(token.split(".")[0] + "=="))
    assert header == {"alg": "ES256", "typ": "statuslist+jwt", "kid": KEY.kid}
    public = ECKey.import_key(KEY.public_jwk())
    assert json.loads(jws.deserialize_compact(token, public, algorithms=["ES256"]).payload) == {"sub": "https://a/s"}


def test_several_audiences() -> None:
    """Several resources are an array."""
    assert claims(audience=("https://a.example", "https://b.example"))["aud"] == [
        "https://a.example",
        "https://b.example",
    ]


def test_a_signed_token() -> None:
    """A token is a compact JWS, `at+jwt`, ES256, whose header names the key and brings none."""
    token = sign(claims(), KEY)
    header = json.loads(urlsafe_b64decode(token.split(".")[0] + "=="))
    assert header == {"alg": "ES256", "typ": "at+jwt", "kid": KEY.kid}
    public = ECKey.import_key(KEY.public_jwk())
    assert json.loads(jws.deserialize_compact(token, public, algorithms=["ES256"]).payload) == claims()


def test_signatures_have_their_length() -> None:
    """Every signature is 64 octets and verifies, those with leading zeros included (RFC 7518 section 3.4)."""
    public = ECKey.import_key(KEY.public_jwk())
    short = 0
    for number in range(600):
        token = sign({"n": number}, KEY)
        signature = urlsafe_b64decode(token.rpartition(".")[2] + "==")
        assert len(signature) == 64
        if 0 in (signature[0], signature[32]):
            short += 1
            assert jws.deserialize_compact(token, public, algorithms=["ES256"])
    assert short, "one signature in 128 begins with a zero"


def test_the_public_jwk_is_public() -> None:
    """What `jwks_uri` serves has the key's id, use and algorithm, and no private member."""
    jwk = KEY.public_jwk()
    assert jwk.keys() == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert jwk["kid"] == ECKey.import_key(jwk).thumbprint() == KEY.kid


@pytest.mark.parametrize("password", [None, "secret"])
def test_a_key_survives_pem(password: str | None) -> None:
    """A key written to PEM, encrypted or not, and read again is the same key."""
    assert SigningKey.load(KEY.as_pem(password=password), password=password).kid == KEY.kid


def test_an_encrypted_pem_is_encrypted() -> None:
    """With a password the PEM says that it is encrypted."""
    assert b"ENCRYPTED" in KEY.as_pem(password="secret")
    assert b"ENCRYPTED" not in KEY.as_pem()


@pytest.mark.parametrize("password", [None, "", "wrong"])
def test_an_encrypted_key_without_its_password(password: str | None) -> None:
    """An encrypted key is `ConfigurationError` without its password or with another."""
    with pytest.raises(ConfigurationError):
        SigningKey.load(KEY.as_pem(password="secret"), password=password)


@pytest.mark.parametrize(
    "pem",
    [
        b"", b"key", b"\xff\xfe", private_key_pem(rsa.generate_private_key(65537, 2048)),
        private_key_pem(ec.generate_private_key(ec.SECP384R1())),
        private_key_pem(ed25519.Ed25519PrivateKey.generate()),
        ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        ),
        self_signed("CN=x", now=TODAY).certificate_pem,
    ],
    ids=["nothing", "text", "bytes", "RSA", "P-384", "Ed25519", "a public key", "a certificate"],
)  # fmt: skip
def test_what_is_no_signing_key(pem: bytes) -> None:
    """Anything but a P-256 private key is `ConfigurationError`."""
    with pytest.raises(ConfigurationError):
        SigningKey.load(pem)


@given(st.binary(max_size=80))
def test_any_bytes_are_no_signing_key(pem: bytes) -> None:
    """Arbitrary bytes are `ConfigurationError`, and nothing else."""
    with pytest.raises(ConfigurationError):
        SigningKey.load(pem)


def test_a_key_does_not_show_itself() -> None:
    """What a log line shows of a signing key is its id."""
    assert repr(KEY) == f"SigningKey(kid={KEY.kid!r})"
