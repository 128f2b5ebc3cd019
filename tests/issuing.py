"""An issuer for tests of resource servers: its key, its tokens, and a certificate they are bound to."""

import json
from base64 import urlsafe_b64encode
from typing import Any

from joserfc.jwk import KeySet

from certbound.core.confirmation import confirm
from certbound.core.signing import SigningKey
from certbound.resource.verify import Policy
from certbound.trust.authority import self_signed
from certificates import NOW, TODAY, peer, read

ISSUER = "https://as.example"
AUDIENCE = "https://api.example"
POLICY = Policy(issuer=ISSUER, audience=AUDIENCE)

KEY = SigningKey.generate()
KEYS = KeySet.import_key_set({"keys": [KEY.public_jwk()]})
OWN = self_signed("CN=own", now=TODAY)
PEER = peer(OWN)
THIEF = peer(self_signed("CN=thief", now=TODAY))


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims, with some changed; `...` takes one away."""
    good = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": "a", "client_id": "a", "iat": int(NOW), "exp": int(NOW) + 300,
        "jti": "1", "scope": "read write", "cnf": confirm(read(OWN)),
    }  # fmt: skip
    return {name: value for name, value in {**good, **changes}.items() if value is not ...}


def token(header: dict[str, Any] | None = None, *, key: SigningKey = KEY, **changes: Any) -> str:
    """A token signed by `key`, claims and header changed."""
    return signed(json.dumps(claims(**changes)).encode(), header, key=key)


def signed(payload: bytes, header: dict[str, Any] | None = None, *, key: SigningKey = KEY) -> str:
    """Any payload, signed as a token is; `...` takes a member of the header away."""
    full = {"alg": key.alg, "typ": "at+jwt", "kid": key.kid, **(header or {})}
    segments = [encode(json.dumps({name: value for name, value in full.items() if value is not ...})), encode(payload)]
    signing_input = ".".join(segments).encode()
    return ".".join([*segments, encode(key.sign(signing_input))])


def encode(data: str | bytes) -> str:
    """base64url without padding."""
    return urlsafe_b64encode(data.encode() if isinstance(data, str) else data).rstrip(b"=").decode()
