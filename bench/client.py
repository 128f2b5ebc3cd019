"""What is shown before anything is measured: the token is right, and nobody else gets one."""

from __future__ import annotations

import json
import ssl
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from http.client import HTTPException, HTTPSConnection
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from pki import Identity, Pki
from place import BenchError


@dataclass(frozen=True, slots=True)
class Answer:
    """The reply of a token endpoint; status 0 if the connection ended without one."""

    status: int
    body: bytes


def make_context(pki: Pki, identity: Identity | None) -> ssl.SSLContext:
    """TLS 1.3 that believes the server's CA only, and presents `identity`."""
    context = ssl.create_default_context(cafile=str(pki.server_ca.certificate_file))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if identity:
        context.load_cert_chain(identity.certificate_file, identity.key_file)
    return context


def ask(context: ssl.SSLContext, port: int, path: str, body: str) -> Answer:
    """One token request on a new connection."""
    connection = HTTPSConnection("localhost", port, timeout=10, context=context)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    try:
        connection.request("POST", path, body, headers)
        reply = connection.getresponse()
        return Answer(reply.status, reply.read())
    except (OSError, HTTPException):
        return Answer(0, b"")
    finally:
        connection.close()


def verify(pki: Pki, identity: Identity, port: int, path: str, body: str) -> None:
    """`BenchError` unless `identity` gets a token bound to it, and three others and nobody at all get none."""
    answer = ask(make_context(pki, identity), port, path, body)
    if answer.status != 200:
        raise BenchError(f"no token for its own client: {answer.status} {answer.body[:300]!r}")
    verify_token(json.loads(answer.body)["access_token"], pki, identity)
    wrong = {"a stranger's certificate": pki.other_name, "an impostor's certificate": pki.impostor}
    for who, other in {**wrong, "no certificate": None}.items():
        answer = ask(make_context(pki, other), port, path, body)
        if answer.status not in {0, 400, 401, 403} or b"access_token" in answer.body:
            raise BenchError(f"{who} was answered with {answer.status} {answer.body[:300]!r}")
    if ask(make_context(pki, identity), port, path, body).status != 200:
        raise BenchError("refusing others made the server refuse its own client")


def verify_token(token: str, pki: Pki, identity: Identity) -> None:
    """`BenchError` unless it is an ES256 `at+jwt` under our key, in force, and bound to `identity`."""
    signed, _, signature = token.rpartition(".")
    header, claims = (json.loads(decode(part)) for part in signed.split("."))
    if header.get("alg") != "ES256" or header.get("typ") != "at+jwt":
        raise BenchError(f"the token's header is {header}")
    verify_signature(signed.encode(), decode(signature), pki.signing_key.public_key())
    der = identity.certificate.public_bytes(Encoding.DER)
    thumbprint = urlsafe_b64encode(sha256(der).digest()).rstrip(b"=").decode()
    if claims.get("cnf") != {"x5t#S256": thumbprint}:
        raise BenchError(f"the token is not bound to the certificate: cnf is {claims.get('cnf')}")
    if not claims["iat"] - 5 <= time.time() < claims["exp"]:
        raise BenchError(f"the token is not in force: {claims}")


def verify_signature(signed: bytes, signature: bytes, key: ec.EllipticCurvePublicKey) -> None:
    """ES256 (RFC 7518 section 3.4) by `cryptography` alone."""
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    try:
        key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise BenchError("the token's signature is not of the signing key") from error


def decode(text: str) -> Any:
    """base64url without padding."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
