"""JWK Sets, registered or published, and PEM: certificates in other clothes.

Rule: what is registered is a certificate whose key is the one the JWK states, or nothing.
"""

import contextlib
import copy
import json
from base64 import b64encode
from collections.abc import Mapping
from random import Random
from typing import Any

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding

from certbound.core.certificate import Certificate, read_certificate, read_pem_certificates
from certbound.core.clients import Client, read_client
from certbound.core.errors import BadCertificate, InvalidClientMetadata
from certbound.core.jwks import MAX_KEYS, make_jwks
from certbound.core.keys import public_jwk, require_strong_public_key
from certbound.trust.fetch import Fetched
from certbound.trust.published import _Published
from certbound.trust.published import _read as read_fetched
from fuzz import corpus
from fuzz.mutations import TEXTS
from fuzz.of_certificates import Certificates

MOST_BYTES = 256 * 1024
"""Of a JWK Set (`trust.published`)."""


class JWKSets:
    """A document that is published, and the same in client metadata."""

    name = "jwks"
    at_least: Mapping[str, float] = {"JSON": 0.5, "set": 0.3, "certificates": 0.15}
    most_cpu = 0.050

    def make(self, rng: Random) -> bytes:
        document = copy.deepcopy(rng.choice(_DOCUMENTS))
        for _ in range(rng.choice((0, 1, 1, 2, 3))):
            document = _changed(rng, document)
        try:
            text = json.dumps(document)
        except (ValueError, RecursionError):
            text = "[" * 3000
        for _ in range(rng.choice((0, 0, 0, 1, 2))):
            start = rng.randrange(len(text) + 1)
            text = text[:start] + rng.choice(_JSON) + text[start + rng.choice((0, 1, 9)) :]
        return text.encode(errors="surrogatepass")[:MOST_BYTES]

    def show(self, made: bytes) -> tuple[bytes, ...]:
        return (made,)

    def feed(self, made: bytes) -> tuple[Any, _Published | None, Client | None, Client | None]:
        known, client, signing, document = None, None, None, None
        try:
            known = read_fetched(Fetched(made, {}))
            assert all(isinstance(each, str) for each in known.complaints)
        except InvalidClientMetadata:
            pass
        try:
            document = msgspec.json.decode(made)
            client = read_client("a", {"token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks": document})
        except (InvalidClientMetadata, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
        with contextlib.suppress(InvalidClientMetadata):
            signing = read_client("a", {"token_endpoint_auth_method": "private_key_jwt", "jwks": document})
        return document, known, client, signing

    def check(self, made: bytes, fed: Any, rng: Random) -> set[str]:
        document, known, client, signing = fed
        published = None if known is None else known.certificates
        for key in (*(known.keys if known else ()), *(signing.keys if signing else ())):
            require_strong_public_key(key.public_key)
            assert not key.is_private, "a private key counts"
            assert key.get("use") in (None, "sig"), "a key for something else counts"
            stated = [each for each in document["keys"] if isinstance(each, dict)]
            assert any(each.get("x", each.get("n")) == key.get("x", key.get("n")) for each in stated), "from nowhere"
        if signing is not None:
            assert known is not None, "registered, but not published"
            assert [each.kid for each in signing.keys] == [each.kid for each in known.keys], "other keys"
        for certificate in (*(published or ()), *(client.certificates if client else ())):
            assert read_certificate(certificate.der) == certificate
            assert b64encode(certificate.der).decode() in json.dumps(document), "a certificate from nowhere"
            stated = [each for each in document["keys"] if isinstance(each, dict)]
            own = public_jwk(certificate).items()
            assert any(own <= {k: v for k, v in each.items() if isinstance(v, str)}.items() for each in stated)
        if client is not None:
            assert published is not None, "registered, but not published"
            assert client.certificates == published, "registered otherwise than published"
        reached = {
            stage for stage, is_there in (("JSON", document is not None), ("set", published is not None)) if is_there
        }
        return reached | ({"certificates"} if published else set())


class PEM:
    """Files of certificates."""

    name = "pem"
    at_least: Mapping[str, float] = {"certificates": 0.15}
    most_cpu = 0.050

    def make(self, rng: Random) -> bytes:
        blocks = [rng.choice(_PEM) for _ in range(rng.choice((1, 1, 1, 2)))]
        text = bytearray(b"".join(blocks))
        for _ in range(rng.choice((0, 1, 1, 1, 2))):
            start = rng.choice((0, len(text), rng.randrange(len(text) + 1)))
            text[start : start + rng.choice((0, 1, 1, 8, 64))] = rng.choice(_PEM_PARTS) * rng.choice((1, 1, 1, 300))
        return bytes(text)

    def show(self, made: bytes) -> tuple[bytes, ...]:
        return (made,)

    def feed(self, made: bytes) -> tuple[Certificate, ...]:
        try:
            return read_pem_certificates(made)
        except BadCertificate:
            return ()

    def check(self, made: bytes, fed: tuple[Certificate, ...], rng: Random) -> set[str]:
        for each in fed:
            assert read_certificate(each.der) == each
        return {"certificates"} if fed else set()


def _changed(rng: Random, value: Any) -> Any:
    """`value` with one thing in it changed."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(sorted(value))
        match rng.randrange(6):
            case 0:
                del value[key]
            case 1:
                value[rng.choice(("d", "k", "x5c", "kty", "use", "\0", "keys"))] = _odd(rng)
            case _:
                value[key] = _changed(rng, value[key])
        return value
    if isinstance(value, list) and value and rng.random() < 0.9:
        index = rng.randrange(len(value))
        match rng.randrange(6):
            case 0:
                del value[index]
            case 1:
                value = value * rng.choice((2, MAX_KEYS, MAX_KEYS + 1))
            case _:
                value[index] = _changed(rng, value[index])
        return value
    if isinstance(value, str) and len(value) > 1 and rng.random() < 0.6:
        start = rng.randrange(len(value))
        return value[:start] + rng.choice(("", "A", "=", "-", "_", "\n", " ", "é", "\0", "AAAA")) + value[start + 1 :]
    return _odd(rng)


def _odd(rng: Random) -> Any:
    if rng.random() < 0.3:
        return b64encode(Certificates().make(rng).leaf).decode()
    nested: Any = []
    for _ in range(rng.choice((1, 5, 300))):
        nested = [nested]
    return rng.choice((None, True, 0, -1, 1e308, 10**40, "", [], {}, [[]], {"keys": []}, nested, "A" * 5000, *TEXTS))


_CERTIFICATES = [
    read_certificate(
        corpus.assemble(each.tree.encoded, corpus.ROOT.algorithm.encoded, corpus.ROOT.sign(each.tree.encoded))
    )
    for each in corpus.seeds_of(corpus.ROOT)
]
_DOCUMENTS: list[Any] = [
    *(make_jwks([each]) for each in _CERTIFICATES),
    make_jwks(_CERTIFICATES[:5]),
    make_jwks(_CERTIFICATES[:3] * 9),
    {
        "keys": [
            *make_jwks(_CERTIFICATES[:1])["keys"],
            {"kty": "EC", "crv": "P-256", "x": "eA", "y": "eQ", "use": "sig"},
        ]
    },
]
_JSON = (
    "",
    "\x00",
    "[" * 3000,
    '{"a":' * 3000,
    "\ud800",
    "\\ud800",
    "NaN",
    "1e999",
    "9" * 5000,
    '"',
    "}",
    "\xff",
    "\\u0000",
    "//",
)
_PEM = [each.parsed.public_bytes(Encoding.PEM) for each in _CERTIFICATES]
_PEM_PARTS = (
    b"", b"\0", b"=", b"-", b"\n", b"\r\n", b" ", b"A", b"\xff", b"-----BEGIN CERTIFICATE-----\n",
    b"-----END CERTIFICATE-----\n", b"-----BEGIN X509 CERTIFICATE-----", b"-----BEGIN TRUSTED CERTIFICATE-----",
    b"Proc-Type: 4,ENCRYPTED\n\n", b"a: b\n",
    b"-----BEGIN ", b"-----", b"MII",
)  # fmt: skip
