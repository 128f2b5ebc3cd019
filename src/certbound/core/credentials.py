"""What a request shows to say whose it is (RFC 6749 section 2.3, RFC 7521 section 4.2): read, and not judged.

Rule 1: one credential at most.  The certificate on the connection is none of them: beside a secret or an assertion it
binds and does not authenticate.
Rule 2: what shows no credential names a client, and that is a claim (RFC 8705 section 2).
Rule 3: an `Authorization` header that cannot be read is a failed authentication, whatever else the request brings.
"""

from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import unquote_plus

from certbound.core.errors import InvalidClient, InvalidRequest
from certbound.core.jws import BadJwt, unverified_claims

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MAX_CREDENTIAL = 8 * 1024
"""Characters of a secret or an assertion."""


class Credential(StrEnum):
    """The forms a credential can have."""

    NONE = "no credential"
    BASIC = "an Authorization header"
    POST = "client_secret"
    ASSERTION = "client_assertion"


@dataclass(frozen=True, slots=True)
class Presented:
    """Which client a request claims to be of, and what it shows for that."""

    client_id: str
    credential: Credential = Credential.NONE
    value: str = field(default="", repr=False)
    """The secret, or the assertion."""


def read_credentials(
    *,
    authorization: Sequence[bytes] = (),
    client_id: str | None = None,
    client_secret: str | None = None,
    client_assertion: str | None = None,
    client_assertion_type: str | None = None,
) -> Presented:
    """The client that is named, and its one credential.

    `authorization` are the values of all such headers, the others parameters of the body.  `InvalidRequest` (400) for
    two credentials or for nobody's name, `InvalidClient` (401) for a header or an assertion that cannot be read.
    """
    shown = [
        credential
        for credential, value in (
            (Credential.BASIC, authorization or None),
            (Credential.POST, client_secret),
            (Credential.ASSERTION, client_assertion or client_assertion_type),
        )
        if value is not None
    ]
    if len(shown) > 1 or len(authorization) > 1:
        raise InvalidRequest("the request carries more than one credential; send one (RFC 6749 section 2.3)")
    if authorization:
        return _read_basic(authorization[0], client_id)
    if shown == [Credential.ASSERTION]:
        return _read_assertion(client_assertion, client_assertion_type, client_id)
    if client_id is None:
        raise InvalidRequest("client_id is missing from the request body")
    if client_secret is not None:
        return Presented(client_id, Credential.POST, client_secret[:MAX_CREDENTIAL])
    return Presented(client_id)


def _read_basic(header: bytes, named: str | None) -> Presented:
    """RFC 6749 section 2.3.1: id and secret, each form-encoded, a colon between, in base64."""
    scheme, _, encoded = header.partition(b" ")
    if scheme.lower() != b"basic" or len(encoded) > 2 * MAX_CREDENTIAL:
        raise InvalidClient("the Authorization header is not of the scheme Basic, or too long")
    try:
        client_id, colon, secret = b64decode(encoded.strip(b" "), validate=True).decode("utf-8").partition(":")
        client_id, secret = (unquote_plus(each, errors="strict") for each in (client_id, secret))
    except ValueError as error:
        raise InvalidClient(f"the Authorization header cannot be read: {error}") from error
    if not colon or not client_id:
        raise InvalidClient("the Authorization header names no client")
    if named not in (None, client_id):
        raise InvalidClient(f"the Authorization header is of {client_id!r:.80}, client_id says {named!r:.80}")
    return Presented(client_id, Credential.BASIC, secret)


def _read_assertion(assertion: str | None, kind: str | None, named: str | None) -> Presented:
    """RFC 7523 section 2.2: its subject is the client."""
    if assertion is None or kind is None:
        raise InvalidRequest("client_assertion and client_assertion_type belong together; one is missing")
    if kind != JWT_BEARER:
        raise InvalidClient(f"client_assertion_type is {kind!r:.80}")
    try:
        subject = unverified_claims(assertion, most=MAX_CREDENTIAL).get("sub")
    except BadJwt as error:
        raise InvalidClient(f"the assertion cannot be read: {error}") from error
    if not isinstance(subject, str) or named not in (None, subject):
        raise InvalidClient(f"the assertion is of {subject!r:.80}, client_id says {named!r:.80}")
    return Presented(subject, Credential.ASSERTION, assertion)
