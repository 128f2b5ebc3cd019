"""certbound.core.tokens: access tokens as RFC 9068 has them, bound as RFC 8705 has it (R17)."""

import json
from base64 import urlsafe_b64decode
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey

from certbound.core.certificate import Certificate
from certbound.core.clients import ClientId, Method, TokenFormat
from certbound.core.scope import NO_SCOPE, Scope
from certbound.core.signing import SigningKey
from certbound.core.status import StatusReference
from certbound.core.tokens import Grant, choose_format, claims_of, sign, sign_list
from certbound.core.well_known import Issuer
from certbound.trust.authority import self_signed
from certificates import NOW, TODAY, read
from proving import client

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
    }
    return Grant(**{**facts, **changes})


def claims(certificate: Certificate | None = CERTIFICATE, lifetime: int = 300, **changes: Any) -> dict[str, Any]:
    """The claims of such a grant, bound to `certificate`."""
    return claims_of(
        grant(**changes), certificate=certificate, issuer=ISSUER, now=NOW + 0.9, lifetime=lifetime, jti="1"
    )


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
    status = StatusReference(7, "https://a/s")
    named = claims_of(grant(), certificate=None, issuer=ISSUER, now=NOW, lifetime=300, jti="1", status=status)
    assert named["status"] == {"status_list": {"idx": 7, "uri": "https://a/s"}}
    assert "status" not in claims()


def test_who_acts() -> None:
    """The `act` claim of RFC 8693 section 4.1, where somebody acts; the subject stays."""
    actor = {"sub": "b", "act": {"sub": "c"}}
    assert claims(actor=actor, subject="x").items() >= {"act": actor, "sub": "x", "client_id": "a"}.items()
    assert "act" not in claims()


@pytest.mark.parametrize(
    ("lifetime", "ends_at", "expected"),
    [(300, None, 300), (300, NOW + 60.7, 60), (300, NOW + 9999, 300), (300, NOW + 300, 300)],
)
def test_no_token_lives_longer_than_what_it_comes_from(lifetime: int, ends_at: float | None, expected: int) -> None:
    """The end of the grant is the end of the token, if it comes first."""
    assert claims(lifetime=lifetime, ends_at=ends_at)["exp"] == int(NOW) + expected


@pytest.mark.parametrize("registered", [None, *TokenFormat])
def test_which_format(registered: TokenFormat | None) -> None:
    """As the client registered; else as the resource wants, and opaque if one of several does."""
    one = client(Method.NONE, **({"access_token_format": registered.value} if registered else {}))
    opaque = frozenset({"https://o.example"})
    for audience, wanted in (
        (["https://j.example"], TokenFormat.JWT),
        (["https://o.example"], TokenFormat.OPAQUE),
        (["https://j.example", "https://o.example"], TokenFormat.OPAQUE),
    ):
        assert choose_format(one, audience, opaque) is (registered or wanted)


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
