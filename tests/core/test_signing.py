"""certbound.core.signing: four algorithms, and what others say of their signatures."""

import json
import subprocess
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import JWKRegistry
from joserfc.jws import JWSRegistry

from certbound.core.errors import ConfigurationError
from certbound.core.signing import ALGORITHMS, EDDSA, ES256, PS256, RS256, SigningKey, is_encrypted, sign_jwt
from certbound.trust.authority import private_key_pem, self_signed
from certificates import TODAY

KEYS = {alg: SigningKey.generate(alg) for alg in ALGORITHMS}
KEY = KEYS[ES256]
every_algorithm = pytest.mark.parametrize("alg", list(ALGORITHMS))


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    """Header, claims, what is signed, and the signature."""
    header, claims, signature = token.split(".")
    return (
        json.loads(urlsafe_b64decode(header + "==")),
        json.loads(urlsafe_b64decode(claims + "==")),
        f"{header}.{claims}".encode(),
        urlsafe_b64decode(signature + "=="),
    )


@every_algorithm
def test_a_library_of_others_verifies(alg: str) -> None:
    """joserfc, given the JWK that we publish, accepts the signature, and none of a text that is a byte longer."""
    key = KEYS[alg]
    header, claims, signed, signature = parts(sign_jwt({"n": 1}, key, "at+jwt"))
    assert header == {"alg": alg, "typ": "at+jwt", "kid": key.kid}
    assert claims == {"n": 1}
    public = JWKRegistry.import_key(key.public_jwk())
    assert JWSRegistry.algorithms[alg].verify(signed, signature, public)
    assert not JWSRegistry.algorithms[alg].verify(signed + b".", signature, public)


@pytest.mark.peers
@every_algorithm
def test_openssl_verifies(alg: str, tmp_path: Path) -> None:
    """So does the program `openssl`, with the public key in PEM."""
    key = KEYS[alg]
    *_, signed, signature = parts(sign_jwt({"n": 1}, key, "at+jwt"))
    if alg == ES256:
        signature = encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
    public = key.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for name, content in (("public.pem", public), ("signed", signed), ("signature", signature)):
        (tmp_path / name).write_bytes(content)
    digest = ["openssl", "dgst", "-sha256", "-verify", "public.pem", "-signature", "signature"]
    pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32", "-sigopt", "rsa_mgf1_md:sha256"]
    command = {
        ES256: [*digest, "signed"],
        RS256: [*digest, "signed"],
        PS256: [*digest, *pss, "signed"],
        EDDSA: [
            "openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-rawin", "-in", "signed",
            "-sigfile", "signature",
        ],
    }[alg]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False)
    assert 0 == done.returncode, done


def test_signatures_have_their_length() -> None:
    """Every ES256 signature is 64 octets and verifies, those with leading zeros included (RFC 7518 section 3.4)."""
    public = JWKRegistry.import_key(KEY.public_jwk())
    short = 0
    for number in range(600):
        *_, signed, signature = parts(sign_jwt({"n": number}, KEY, "at+jwt"))
        assert len(signature) == 64
        if 0 in (signature[0], signature[32]):
            short += 1
            assert JWSRegistry.algorithms[ES256].verify(signed, signature, public)
    assert short, "one signature in 128 begins with a zero"


def test_each_type_has_its_header() -> None:
    """A key that signed one type of JWT signs another under its own name."""
    key = SigningKey.generate()
    types = ("at+jwt", "statuslist+jwt", "token-introspection+jwt", "at+jwt")
    assert [parts(sign_jwt({}, key, each))[0]["typ"] for each in types] == list(types)


@pytest.mark.parametrize(
    ("alg", "members"),
    [
        (ES256, {"kty", "crv", "x", "y"}),
        (PS256, {"kty", "n", "e"}),
        (EDDSA, {"kty", "crv", "x"}),
        (RS256, {"kty", "n", "e"}),
    ],
)
def test_the_public_jwk_is_public(alg: str, members: set[str]) -> None:
    """What `jwks_uri` serves has the key's id, use and algorithm, and no private member."""
    jwk = KEYS[alg].public_jwk()
    assert jwk.keys() == members | {"kid", "use", "alg"}
    assert jwk["alg"] == alg
    assert jwk["kid"] == JWKRegistry.import_key(jwk).thumbprint() == KEYS[alg].kid


def test_no_new_key_is_called_by_a_dash_first() -> None:
    """People type it: `certbound key retire -x` would take it for an option.  One of 64 thumbprints begins so."""
    made = [SigningKey.generate() for _ in range(400)]
    assert not [each.kid for each in made if each.kid.startswith("-")]
    assert any(each.kid.startswith("_") for each in made), "by luck alone, once in 540 runs"


def test_rsa_keys_are_as_strong_as_the_others() -> None:
    """A new one has 3072 bits."""
    assert {KEYS[PS256].private.key_size, KEYS[RS256].private.key_size} == {3072}


@every_algorithm
@pytest.mark.parametrize("password", [None, "secret", "ключ 🔐"])
def test_a_key_survives_pem(alg: str, password: str | None) -> None:
    """A key written to PEM, encrypted or not, and read again is the same key; without a password nobody encrypts."""
    pem = KEYS[alg].as_pem(password=password)
    assert is_encrypted(pem) is (password is not None)
    assert SigningKey.load(pem, password=password, alg=alg) == KEYS[alg]


def test_a_password_does_not_keep_an_open_key_out() -> None:
    """Whoever sets a password later goes on with the key there is."""
    assert SigningKey.load(KEY.as_pem(), password="secret") == KEY


@pytest.mark.parametrize(
    ("password", "said"),
    [(None, "encrypted, and there is no password"), ("", "there is no password"), ("wrong", "its password is another")],
)
def test_an_encrypted_key_without_its_password(password: str | None, said: str) -> None:
    """An encrypted key is `ConfigurationError` without its password or with another."""
    with pytest.raises(ConfigurationError, match=said):
        SigningKey.load(KEY.as_pem(password="secret"), password=password)


@every_algorithm
def test_a_key_of_another_algorithm(alg: str) -> None:
    """A key signs by its own algorithm: only RSA has two to choose from."""
    rsa_algorithms = {PS256, RS256}
    for other in ALGORITHMS:
        if other == alg or {alg, other} == rsa_algorithms:
            assert SigningKey.load(KEYS[other].as_pem(), alg=alg).alg == alg
        else:
            with pytest.raises(ConfigurationError, match=f"private key.* for {alg}, not "):
                SigningKey.load(KEYS[other].as_pem(), alg=alg)


@every_algorithm
@pytest.mark.parametrize(
    "pem",
    [
        b"", b"key", b"\xff\xfe", private_key_pem(rsa.generate_private_key(65537, 1024)),
        private_key_pem(ec.generate_private_key(ec.SECP384R1())),
        private_key_pem(ed448.Ed448PrivateKey.generate()),
        ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        self_signed("CN=x", now=TODAY).certificate_pem,
    ],
    ids=["nothing", "text", "bytes", "RSA-1024", "P-384", "Ed448", "a public key", "a certificate"],
)  # fmt: skip
def test_what_is_no_signing_key(alg: str, pem: bytes) -> None:
    """Anything but a strong private key of a kind in the table is `ConfigurationError`."""
    with pytest.raises(ConfigurationError):
        SigningKey.load(pem, alg=alg)


@given(st.binary(max_size=80))
def test_any_bytes_are_no_signing_key(pem: bytes) -> None:
    """Arbitrary bytes are `ConfigurationError`, and nothing else."""
    with pytest.raises(ConfigurationError):
        SigningKey.load(pem)


def test_a_key_does_not_show_itself() -> None:
    """What a log line shows of a signing key is its id and its algorithm."""
    assert repr(KEY) == f"SigningKey(kid={KEY.kid!r}, alg='ES256')"
