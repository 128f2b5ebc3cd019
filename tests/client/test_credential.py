"""`certbound.client.flow.credential`: each method of authentication sends what it needs and nothing else (C2)."""

import json
from base64 import b64decode, urlsafe_b64decode
from typing import Any

import pytest

from asserting import key
from certbound.client import ClientError, Credential
from certbound.core.client_credentials import Method
from client.stepping import ALIAS, ISSUER, form, metadata

SECRET = "s3cr:t+/%"


def asked(*args: Any, **more: Any) -> tuple[dict[str, str], dict[str, str], str]:
    request = Credential(*args, **more).post(metadata(), "token_endpoint", [("a", "b")])
    fields = form(request)
    assert fields.pop("a") == "b"
    return fields, dict(request.headers), request.url


@pytest.mark.parametrize("method", [Method.TLS_CLIENT_AUTH, Method.SELF_SIGNED_TLS_CLIENT_AUTH, Method.NONE])
def test_a_certificate_is_the_credential(method: Method) -> None:
    """C2: exactly `client_id` in the body; no assertion, no secret, no header."""
    assert asked("me", method) == ({"client_id": "me"}, {}, f"{ALIAS}/token")


def test_a_secret_in_the_header() -> None:
    """Both halves are encoded as forms are, so that a colon in them divides nothing (RFC 6749 section 2.3.1)."""
    fields, headers, _ = asked("m:e", Method.CLIENT_SECRET_BASIC, secret=SECRET)
    assert fields == {}
    assert b64decode(headers["authorization"].removeprefix("Basic ")) == b"m%3Ae:s3cr%3At%2B%2F%25"


def test_a_secret_in_the_body() -> None:
    """Beside the name."""
    fields, headers, _ = asked("me", Method.CLIENT_SECRET_POST, secret=SECRET)
    assert (fields, headers) == ({"client_id": "me", "client_secret": SECRET}, {})


def test_an_assertion() -> None:
    """For the issuer and nobody else, for a minute, with another `jti` each time; at the alias all the same."""
    nonces = iter(["one", "two"])
    credential = Credential(
        "me", Method.PRIVATE_KEY_JWT, key=key(), now=lambda: 1000.5, nonce=lambda: next(nonces)
    )  # fmt: skip
    for nonce in ("one", "two"):
        request = credential.post(metadata(), "token_endpoint", [])
        fields = form(request)
        claims = json.loads(urlsafe_b64decode(fields.pop("client_assertion").split(".")[1] + "=="))
        assert claims == {"iss": "me", "sub": "me", "aud": ISSUER, "jti": nonce, "iat": 1000, "exp": 1060}
        assert fields == {
            "client_id": "me",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        }
        assert request.url == f"{ALIAS}/token"


def test_without_bound_tokens_the_plain_endpoint_is_asked() -> None:
    """A client that does not intend mutual TLS is not sent to the aliases."""
    assert asked("me", Method.CLIENT_SECRET_POST, secret="s", mutual_tls=False)[2] == f"{ISSUER}/token"


@pytest.mark.parametrize(
    ("method", "more"),
    [
        (Method.CLIENT_SECRET_BASIC, {}),
        (Method.CLIENT_SECRET_POST, {"secret": ""}),
        (Method.PRIVATE_KEY_JWT, {}),
        (Method.TLS_CLIENT_AUTH, {"mutual_tls": False}),
    ],
)
def test_what_is_missing_is_said_at_once(method: Method, more: dict[str, Any]) -> None:
    """Not by the server."""
    with pytest.raises(ClientError, match=method.value):
        Credential("me", method, **more)
