"""Access tokens in requests, and what is told to those who bring none that is good (RFC 6750).

Rule: the token is in the Authorization header, once (section 2.1); nowhere else is looked.
"""

from collections.abc import Sequence

from certbound.core.errors import (
    InsufficientScope,
    InvalidToken,
    ProtectedResourceError,
    TokenMissing,
    TokenRequestInvalid,
)


def read_bearer(values: Sequence[bytes], query: bytes = b"") -> str:
    """The access token in the values of all Authorization headers; `query` is that of the URL.

    `TokenMissing` (401) if there is none, `TokenRequestInvalid` (400) if there are two, `InvalidToken` (401) if the
    header is malformed.
    """
    if len(values) > 1:
        raise TokenRequestInvalid("two Authorization headers")
    scheme, _, token = values[0].partition(b" ") if values else (b"", b"", b"")
    if scheme.lower() != b"bearer":
        raise TokenMissing("no bearer token in the Authorization header")
    token = token.strip(b" ")
    if b"access_token" in query and any(each.partition(b"=")[0] == b"access_token" for each in query.split(b"&")):
        raise TokenRequestInvalid("a token in the header and one in the query")
    if b"," in token:
        raise TokenRequestInvalid("two tokens in one Authorization header")
    if not token or token.translate(None, _TOKEN_CHARACTERS):
        raise InvalidToken("the Authorization header is malformed")
    return token.decode("ascii")


def challenge(refusal: ProtectedResourceError, metadata_url: str | None = None) -> str:
    """The value of WWW-Authenticate (section 3), with where the API's metadata is (RFC 9728 section 5.1)."""
    parameters: dict[str, str] = {}
    if refusal.error:
        parameters = {"error": refusal.error, "error_description": refusal.description}
    if isinstance(refusal, InsufficientScope):
        parameters["scope"] = " ".join(sorted(refusal.required))
    if metadata_url is not None:
        parameters["resource_metadata"] = metadata_url
    return "Bearer" + ",".join(f' {name}="{value}"' for name, value in parameters.items())


# Section 2.1: b64token.
_TOKEN_CHARACTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/="
