"""Clients that sign assertions, for tests: their keys, what they register of them, and assertions good and bad."""

import json
import time
from functools import cache
from itertools import count
from typing import Any

from certbound.core.assertions import ALGORITHMS
from certbound.core.credentials import JWT_BEARER
from certbound.core.signing import SigningKey
from issuing import ISSUER, encode, signed

__all__ = ["ALGORITHMS", "assertion", "form", "jwks", "key", "metadata", "unsigned"]


@cache
def key(name: str = "own", alg: str = "ES256") -> SigningKey:
    """The key of that name, the same each time."""
    del name
    return SigningKey.generate(alg)


def jwks(*keys: SigningKey) -> dict[str, Any]:
    """What a client publishes of its keys."""
    return {"keys": [each.public_jwk() for each in keys or (key(),)]}


def metadata(*keys: SigningKey, **more: Any) -> dict[str, Any]:
    """A client that registered these keys."""
    return {"token_endpoint_auth_method": "private_key_jwt", "jwks": jwks(*keys), **more}


def assertion(
    client_id: str,
    *,
    by: SigningKey | None = None,
    header: dict[str, Any] | None = None,
    now: float | None = None,
    audience: Any = ISSUER,
    **changes: Any,
) -> str:
    """One of `client_id`, fresh at `now`; `...` takes a claim or a member of the header away."""
    issued_at = int(time.time() if now is None else now)
    claims = {
        "iss": client_id, "sub": client_id, "aud": audience, "jti": f"{client_id}-{next(_numbers)}",
        "iat": issued_at, "exp": issued_at + 60, **changes,
    }  # fmt: skip
    payload = json.dumps({name: value for name, value in claims.items() if value is not ...}).encode()
    return signed(payload, {"typ": "JWT", **(header or {})}, key=by or key())


def unsigned(client_id: str, header: dict[str, Any], signature: bytes = b"", **changes: Any) -> str:
    """An assertion whose header says anything, and whose signature is `signature`."""
    payload = assertion(client_id, **changes).split(".")[1]
    return ".".join([encode(json.dumps(header)), payload, encode(signature)])


def form(value: str, **more: Any) -> dict[str, Any]:
    """The parameters that carry an assertion."""
    return {"client_assertion_type": JWT_BEARER, "client_assertion": value, **more}


_numbers = count()
