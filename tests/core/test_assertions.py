"""certbound.core.assertions: `private_key_jwt` (RFC 7523, FAPI 2.0)."""

from typing import Any

import pytest
from joserfc.jwk import KeySet

from asserting import ALGORITHMS, assertion, jwks, key, unsigned
from certbound.core.assertions import (
    MAX_AHEAD,
    MAX_JTI,
    MAX_LIFETIME,
    VerifiedAssertion,
    decoy_keys,
    try_decoys,
    verify_assertion,
)
from certbound.core.jwks import read_keys
from certbound.core.jws import BadJwt, NoKey
from certbound.core.signing import SigningKey
from certificates import NOW
from issuing import ISSUER


def verify(value: str, *, keys: KeySet | None = None, algorithms: Any = ALGORITHMS) -> VerifiedAssertion:
    """As of client `a`, at NOW."""
    known = keys if keys is not None else read_keys(jwks())
    return verify_assertion(value, client_id="a", issuer=ISSUER, keys=known, algorithms=algorithms, now=NOW)


def refused(value: str, **options: Any) -> str:
    """Why."""
    with pytest.raises(BadJwt) as refusal:
        verify(value, **options)
    return str(refusal.value)


@pytest.mark.parametrize("alg", ALGORITHMS)
@pytest.mark.parametrize("typ", [..., "JWT", "jwt", "client-authentication+jwt"])
def test_an_assertion(alg: str, typ: Any) -> None:
    """By each algorithm that FAPI 2.0 lists, with each type it may have or none; its `jti` and its end are told."""
    value = assertion("a", by=key("own", alg), header={"typ": typ}, now=NOW, jti="7", exp=NOW + 9)
    assert verify(value, keys=read_keys(jwks(key("own", alg)))) == VerifiedAssertion("7", NOW + 9)


def test_without_kid() -> None:
    """Any key that fits is tried."""
    both = read_keys(jwks(key("own", "EdDSA"), key("other"), key()))
    assert verify(assertion("a", header={"kid": ...}, now=NOW), keys=both)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "iss of another": ({"iss": "b"}, "iss is"),
    "no iss": ({"iss": ...}, "iss is"),
    "sub of another": ({"sub": "b"}, "sub is"),
    "no sub": ({"sub": ...}, "sub is"),
    "the issuer as iss": ({"iss": ISSUER}, "iss is"),
    "no aud": ({"audience": ...}, "aud is"),
    "aud in an array": ({"audience": [ISSUER]}, "aud is"),
    "two audiences": ({"audience": [ISSUER, "https://other.example"]}, "aud is"),
    "the token endpoint": ({"audience": ISSUER + "/token"}, "aud is"),
    "a slash more": ({"audience": ISSUER + "/"}, "aud is"),
    "capitals": ({"audience": ISSUER.upper()}, "aud is"),
    "the alias": ({"audience": "https://mtls.as.example/token"}, "aud is"),
    "another server": ({"audience": "https://evil.example"}, "aud is"),
    "no exp": ({"exp": ...}, "exp is"),
    "over": ({"exp": NOW}, "exp is"),
    "too far": ({"exp": NOW + MAX_LIFETIME + MAX_AHEAD + 1}, "exp is"),
    "exp as text": ({"exp": str(NOW + 60)}, "exp is"),
    "exp true": ({"exp": True}, "exp is"),
    "exp without end": ({"exp": 10**300}, "exp is"),
    "issued tomorrow": ({"iat": NOW + 61}, "iat"),
    "iat as text": ({"iat": "now"}, "iat"),
    "iat null": ({"iat": None}, "iat"),
    "not before tomorrow": ({"nbf": NOW + 61}, "nbf"),
    "no jti": ({"jti": ...}, "jti"),
    "empty jti": ({"jti": ""}, "jti"),
    "long jti": ({"jti": "x" * (MAX_JTI + 1)}, "jti"),
    "jti as number": ({"jti": 7}, "jti"),
}


@pytest.mark.parametrize("case", BAD)
def test_claims_that_do_not_do(case: str) -> None:
    """Each alone is enough, though the client itself signed."""
    changes, reason = BAD[case]
    assert reason in refused(assertion("a", now=NOW, **changes))


@pytest.mark.parametrize("changes", [{"iat": NOW + 10}, {"nbf": NOW + 10}, {"iat": ...}, {"iat": NOW - 86400}])
def test_clocks_may_differ(changes: dict[str, Any]) -> None:
    """By the ten seconds that FAPI 2.0 wants to pass."""
    assert verify(assertion("a", now=NOW, **changes))


@pytest.mark.parametrize("typ", ["", "at+jwt", "token-introspection+jwt", "statuslist+jwt", "logout+jwt", 1])
def test_a_jwt_for_something_else(typ: Any) -> None:
    """No token of another kind is an assertion."""
    assert "typ is" in refused(assertion("a", header={"typ": typ}, now=NOW))


def test_algorithms_that_are_not_listed() -> None:
    """`none`, a MAC with the public key as its secret, and any that the deployment does not list."""
    for alg in ("none", "NONE", "HS256", "RS256", "ES384"):
        assert "alg is" in refused(unsigned("a", {"alg": alg, "kid": key().kid}, now=NOW))
    assert "alg is" in refused(assertion("a", now=NOW), algorithms=["PS256"])
    assert "alg is" in refused(assertion("a", now=NOW), algorithms=[])


@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c"])
def test_a_key_that_comes_along(member: str) -> None:
    """Verifies nothing."""
    thief = SigningKey.generate()
    brought: Any = {"jwk": thief.public_jwk(), "x5c": ["AA=="]}.get(member, "https://evil.example/jwks")
    for kid in (key().kid, thief.kid, ...):
        refused(assertion("a", by=thief, header={member: brought, "kid": kid}, now=NOW))


def test_another_clients_key() -> None:
    """Signs nothing for this one, whatever kid it claims."""
    for kid in (key().kid, ...):
        assert "no key verifies" in refused(assertion("a", by=key("other"), header={"kid": kid}, now=NOW))


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_decoys_verify_one_signature(alg: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is one key for each algorithm, and none of them is good for anything."""
    assert len(decoy_keys().keys) == len(ALGORITHMS)
    value = assertion("a", by=key("own", alg), now=NOW)
    assert not isinstance(_refusal_by_decoys(value), NoKey)
    try_decoys(value, algorithms=ALGORITHMS)
    for nonsense in ("", "a.b.c", value[:-9], "x" * 100_000):
        try_decoys(nonsense, algorithms=ALGORITHMS)


def _refusal_by_decoys(value: str) -> BadJwt:
    with pytest.raises(BadJwt) as refusal:
        verify(assertion_without_kid(value), keys=decoy_keys())
    return refusal.value


def assertion_without_kid(value: str) -> str:
    """The header is not what is verified here: the same algorithm, and no kid."""
    from base64 import urlsafe_b64decode
    from json import dumps, loads

    from issuing import encode

    head, *rest = value.split(".")
    header = loads(urlsafe_b64decode(head + "=="))
    return ".".join([encode(dumps({"alg": header["alg"]})), *rest])
