"""certbound.core.tokens: access tokens as RFC 9068 has them, bound as RFC 8705 has it (R17)."""

import json
from base64 import urlsafe_b64decode
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey

from certbound.core.clients import ClientId
from certbound.core.scope import NO_SCOPE, Scope
from certbound.core.signing import SigningKey
from certbound.core.status import StatusReference
from certbound.core.tokens import Grant, Issuer, claims_of, sign, sign_list
from certbound.trust.authority import self_signed
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
