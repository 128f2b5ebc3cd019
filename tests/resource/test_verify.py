"""certbound.resource.verify: a token and the certificate on the connection become a `Principal`, or 401 (R15, R26)."""

import contextlib
import copy
import hmac
import json
import random
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey

from certbound.core.certificate import PeerCertificate
from certbound.core.confirmation import confirm
from certbound.core.errors import ConfigurationError, InsufficientScope, InvalidToken
from certbound.core.signing import ALGORITHMS, SigningKey
from certbound.core.status import StatusReference
from certbound.core.tokens import sign
from certbound.resource.verify import LEEWAY, MAX_TOKEN, Policy, read_issuer, read_token, verify
from certbound.trust.authority import self_signed
from certificates import DAY, NOW, TODAY, peer, read
from issuing import AUDIENCE, ISSUER, KEY, KEYS, OWN, PEER, POLICY, THIEF, claims, encode, signed, token


def refused(presented: str, by: PeerCertificate | None = PEER, **changes: Any) -> str:
    """The reason why the token is refused, with the status and texts every such refusal has."""
    arguments: dict[str, Any] = {"keys": KEYS, "policy": POLICY, "now": NOW, **changes}
    with pytest.raises(InvalidToken) as refusal:
        verify(presented, by, **arguments)
    assert (refusal.value.status, refusal.value.error) == (401, "invalid_token")
    assert refusal.value.description == "the access token is not valid for this request"
    return refusal.value.reason


def test_a_good_token() -> None:
    """A token presented with the certificate it is bound to says who calls, and what for (R15)."""
    principal = verify(token(), PEER, keys=KEYS, policy=POLICY, now=NOW)
    assert (principal.issuer, principal.subject, principal.client_id) == (ISSUER, "a", "a")
    assert principal.scope == {"read", "write"}
    assert principal.expires_at == NOW + 300
    assert principal.thumbprint == read(OWN).thumbprint
    assert principal.claims == claims()


def test_what_is_shown_of_a_principal() -> None:
    """Its claims are not: they may be of people.  It is a value: equal to its like, and not to be changed."""
    found, again = (verify(token(name="Anna"), PEER, keys=KEYS, policy=POLICY, now=NOW) for _ in range(2))
    assert found.claims["name"] == "Anna"
    assert repr(found).startswith(f"Principal(issuer='{ISSUER}', subject='a', client_id='a', scope=frozenset(")
    for shown in (repr(found), str(found), f"{found!r}", repr(found.__rich_repr__())):
        assert "expires_at" in shown
        assert "Anna" not in shown
        assert "claims" not in shown
    assert found == again == copy.copy(found)
    assert found != verify(token(name="Carl"), PEER, keys=KEYS, policy=POLICY, now=NOW)
    with pytest.raises(AttributeError):
        found.subject = "b"  # type: ignore[misc]
    with pytest.raises(TypeError):
        hash(found)


def test_where_its_status_stands() -> None:
    """The principal says where to look; a token that says it badly is refused, and one that does not say it passes."""
    named = {"status_list": {"idx": 7, "uri": "https://as.example/status"}}
    principal = verify(token(status=named), PEER, keys=KEYS, policy=POLICY, now=NOW)
    assert principal.status == StatusReference(7, "https://as.example/status")
    assert verify(token(), PEER, keys=KEYS, policy=POLICY, now=NOW).status is None
    for odd in ({}, None, {"status_list": {"idx": -1, "uri": "x"}}, {"other": {}}):
        with pytest.raises(InvalidToken):
            verify(token(status=odd), PEER, keys=KEYS, policy=POLICY, now=NOW)


def test_a_status_can_be_required() -> None:
    """An API that must be able to end tokens takes none that cannot be ended."""
    policy = Policy(issuer=ISSUER, audience=AUDIENCE, require_status=True)
    with pytest.raises(InvalidToken, match="status"):
        verify(token(), PEER, keys=KEYS, policy=policy, now=NOW)


def test_another_certificate() -> None:
    """A stolen token presented with another certificate is refused (R15)."""
    assert "bound to certificate" in refused(token(), THIEF)


def test_no_certificate() -> None:
    """A bound token presented without a certificate is refused, whether or not unbound ones are accepted (R15)."""
    assert "without one" in refused(token(), None)
    assert "without one" in refused(token(), None, policy=replace(POLICY, require_bound=False))


def test_the_certificate_is_not_judged() -> None:
    """The resource server asks for no chain, and not for validity: the binding is all (R26)."""
    old = self_signed("CN=old", now=TODAY, days=1)
    bound = token(cnf=confirm(read(old)), iat=int(NOW + 2 * DAY), exp=int(NOW + 3 * DAY))
    assert verify(bound, peer(old), keys=KEYS, policy=POLICY, now=NOW + 2 * DAY).thumbprint == read(old).thumbprint


def test_a_renewed_certificate() -> None:
    """An old token with the renewed certificate, be it for the same key and name, is refused (R28)."""
    renewed = self_signed("CN=own", key=OWN.private_key, now=TODAY)
    assert "presented with" in refused(token(), peer(renewed))


def test_a_certificate_behind_ones_own() -> None:
    """The certificate of the victim sent behind one's own proves nothing."""
    assert "presented with" in refused(token(), PeerCertificate(THIEF.leaf, (OWN.der,)))


@pytest.mark.parametrize(
    "cnf",
    [
        ..., None, {}, [], "x", read(OWN).thumbprint, {"jkt": read(OWN).thumbprint}, {"kid": "1"},
        {"x5t": read(OWN).thumbprint}, {**confirm(read(OWN)), "jkt": "x"}, {"x5t#S256": None},
        {"x5t#S256": [read(OWN).thumbprint]}, {"x5t#S256": read(OWN).thumbprint + "="}, {"x5t#S256": ""},
        {"x5t#S256": sha256(OWN.der).hexdigest()}, {"X5T#S256": read(OWN).thumbprint},
    ],
    ids=lambda cnf: type(cnf).__name__,  # names of tests must not change with the certificates of a run
)  # fmt: skip
def test_confirmations_that_confirm_nothing(cnf: Any) -> None:
    """A `cnf` that is missing, of another kind, of two kinds, or malformed is refused."""
    refused(token(cnf=cnf))
    refused(token(cnf=cnf), None)


def test_unbound_tokens_only_where_they_are_asked_for() -> None:
    """A token without `cnf` passes only where the policy says so, and then proves no binding."""
    lenient = replace(POLICY, require_bound=False)
    assert verify(token(cnf=...), None, keys=KEYS, policy=lenient, now=NOW).thumbprint is None
    assert verify(token(cnf=...), PEER, keys=KEYS, policy=lenient, now=NOW).confirmed is None
    for cnf in (None, {}, {"jkt": "x"}):
        refused(token(cnf=cnf), policy=lenient)
    assert "another" not in refused(token(), THIEF, policy=lenient)


def test_another_key_with_the_same_kid() -> None:
    """A token signed by a key that is not the issuer's is refused, whatever `kid` it claims."""
    stranger = SigningKey.generate()
    refused(token({"kid": KEY.kid}, key=stranger))
    refused(token({"kid": ...}, key=stranger))
    refused(token(key=stranger))


def test_no_kid() -> None:
    """A token without `kid` is tried with each of the issuer's keys."""
    both = KeySet([ECKey.generate_key("P-256"), *KEYS])
    assert verify(token({"kid": ...}), PEER, keys=both, policy=POLICY, now=NOW)


def test_no_keys() -> None:
    """Without keys there is no good token."""
    refused(token(), keys=KeySet([]))


@pytest.mark.parametrize("member", ["jwk", "x5c", "jku", "x5u"])
def test_a_key_of_its_own_in_the_header(member: str) -> None:
    """A key that a token brings along in its header is never believed (CVE-2026-27962)."""
    stranger = SigningKey.generate()
    thief = self_signed("CN=thief", key=stranger.private, now=TODAY)
    own: dict[str, Any] = {
        "jwk": stranger.public_jwk(),
        "x5c": [encode(thief.der)],
        "jku": "https://evil.example/jwks",
        "x5u": "https://evil.example/x5u",
    }
    for kid in (stranger.kid, KEY.kid, ...):
        refused(token({member: own[member], "kid": kid}, key=stranger))


@pytest.mark.parametrize(
    "alg", ["none", "None", "NONE", "HS256", "RS256", "ES384", "ES256K", "", None, 1, ["ES256"], {}]
)
def test_other_algorithms(alg: Any) -> None:
    """An `alg` that is not in the list is refused before any key is tried."""
    assert "alg" in refused(token({"alg": alg}))
    refused(token({"alg": alg}).rpartition(".")[0] + ".")


def test_no_algorithm() -> None:
    """A header without `alg` is refused."""
    refused(token({"alg": ...}))


def test_an_unsigned_token() -> None:
    """`alg` none, with no signature, is refused."""
    refused(encode('{"alg":"none","typ":"at+jwt"}') + "." + encode(json.dumps(claims())) + ".")


@pytest.mark.parametrize(
    "secret",
    [
        KEY.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        KEY.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(KEY.public_jwk()).encode(),
        b"",
    ],
    ids=["PEM", "DER", "JWK", "nothing"],
)
def test_a_shared_secret_made_of_the_public_key(secret: bytes) -> None:
    """HS256 with the public key as the secret is refused."""
    content = encode(json.dumps({"alg": "HS256", "typ": "at+jwt", "kid": KEY.kid})) + "." + encode(json.dumps(claims()))
    refused(content + "." + encode(hmac.digest(secret, content.encode(), "sha256")))


@pytest.mark.parametrize("algorithms", [("none",), ("HS256",), ("ES256", "HS512"), ("ES256K",), ("",)])
def test_a_policy_cannot_ask_for_shared_secrets(algorithms: tuple[str, ...]) -> None:
    """A policy that lists `none` or a shared secret stops the start."""
    with pytest.raises(ConfigurationError):
        Policy(issuer=ISSUER, audience=AUDIENCE, algorithms=algorithms)


@pytest.mark.parametrize(
    "issuer",
    [
        "", "as.example", "http://as.example", "ftp://as.example", "https://", "https:///realm", "https:as.example",
        "https://as.example?", "https://as.example?a=b", "https://as.example#", "https://as.example:99999",
        "https://[::1", "https://as.\nexample", "https://as.example/a b", " https://as.example",
    ],
)  # fmt: skip
def test_a_policy_needs_an_https_issuer(issuer: str) -> None:
    """An issuer that is no https URL with a host, or has a query or a fragment, stops the start with its spelling."""
    with pytest.raises(ConfigurationError, match="the issuer must be an https URL") as refusal:
        Policy(issuer=issuer, audience=AUDIENCE)
    assert str(refusal.value).endswith(repr(issuer))


@pytest.mark.parametrize("issuer", ["https://as.example/", "https://as.example:8443/realm/a", "https://[::1]:8443"])
def test_issuers_as_others_spell_them(issuer: str) -> None:
    """A port, a path, and a slash at the end are an issuer's own business."""
    assert Policy(issuer=issuer, audience=AUDIENCE).issuer == issuer


def test_a_policy_names_an_audience_and_an_algorithm() -> None:
    """Without an audience, or without any algorithm, no token could be meant: that stops the start."""
    with pytest.raises(ConfigurationError, match="the audience is empty"):
        Policy(issuer=ISSUER, audience="")
    for algorithms in ((), []):
        with pytest.raises(ConfigurationError, match="no algorithm"):
            Policy(issuer=ISSUER, audience=AUDIENCE, algorithms=algorithms)


@pytest.mark.parametrize("scopes", ["read", "", ["read"], None])
def test_scopes_are_a_set(scopes: Any) -> None:
    """Scopes as a text would be its letters: what is no set stops the start."""
    with pytest.raises(ConfigurationError, match="a set of words, not"):
        Policy(issuer=ISSUER, audience=AUDIENCE, scopes=scopes)


def test_a_policy_keeps_what_it_was_made_of() -> None:
    """Whoever changes the set of scopes later does not change the policy."""
    scopes = {"read", "write"}
    policy = Policy(issuer=ISSUER, audience=AUDIENCE, scopes=scopes)
    scopes.clear()
    assert policy.scopes == {"read", "write"}


@pytest.mark.parametrize("scope", ['a"b', "a\r\nX: y", "", "é"])
def test_a_policy_cannot_ask_for_what_is_no_scope(scope: str) -> None:
    """A scope that could not be written into WWW-Authenticate stops the start."""
    with pytest.raises(ConfigurationError):
        Policy(issuer=ISSUER, audience=AUDIENCE, scopes=frozenset({scope}))


@pytest.mark.parametrize(
    ("key", "alg"),
    [
        (RSAKey.generate_key(2048), "PS256"),
        (OKPKey.generate_key("Ed25519"), "EdDSA"),
        (ECKey.generate_key("P-256"), "ES256"),
    ],
)
def test_listed_algorithms(key: Any, alg: str) -> None:
    """A token signed by any listed algorithm is good, `EdDSA` without a warning."""
    keys = KeySet([key])
    header = {"alg": alg, "typ": "at+jwt", "kid": key.kid}
    content = encode(json.dumps(header)) + "." + encode(json.dumps(claims()))
    signature = jws.JWSRegistry.algorithms[alg].sign(content.encode(), key)
    assert verify(f"{content}.{encode(signature)}", PEER, keys=keys, policy=POLICY, now=NOW)


@pytest.mark.parametrize("alg", list(ALGORITHMS))
def test_what_our_server_signs(alg: str) -> None:
    """By whichever algorithm it is set to; RS256 only where it is asked for."""
    key = SigningKey.generate(alg)
    found = sign(claims(), key)
    keys = KeySet.import_key_set({"keys": [KEY.public_jwk(), key.public_jwk()]})
    asking = replace(POLICY, algorithms=[alg])
    assert verify(found, PEER, keys=keys, policy=asking, now=NOW)
    if alg in POLICY.algorithms:
        assert verify(found, PEER, keys=keys, policy=POLICY, now=NOW)
    else:
        assert alg == "RS256"
        assert "alg is 'RS256'" in refused(found, keys=keys)


def test_a_key_for_another_algorithm_or_use() -> None:
    """A key whose JWK says another `alg` or `use` verifies nothing here, nor does a symmetric one in the set."""
    jwk = KEY.public_jwk()
    for changed in ({**jwk, "alg": "ES384"}, {**jwk, "use": "enc"}):
        refused(token(), keys=KeySet([ECKey.import_key(changed)]))
    refused(token(), keys=KeySet([OctKey.import_key({"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0", "kid": KEY.kid})]))


@pytest.mark.parametrize(
    "typ", [..., None, "JWT", "jwt", "", 1, ["at+jwt"], "at+jwt2", "application/jwt", "logout+jwt"]
)
def test_other_types(typ: Any) -> None:
    """A token whose `typ` is not that of an access token is refused: an ID token is none (RFC 9068 section 4)."""
    assert "typ" in refused(token({"typ": typ}))


@pytest.mark.parametrize("typ", ["at+jwt", "application/at+jwt", "AT+JWT", "Application/AT+jwt"])
def test_types_of_access_tokens(typ: str) -> None:
    """Both spellings of the type, in any case, are an access token's."""
    assert verify(token({"typ": typ}), PEER, keys=KEYS, policy=POLICY, now=NOW)


def test_unknown_header_members_are_ignored() -> None:
    """A header parameter that nobody here knows, or a long one, makes a good token no worse (RFC 7515 section 4)."""
    header = {"pi.atm": "abcd", "x5c": [encode(OWN.der)], "x5t#S256": read(OWN).thumbprint}
    assert verify(token(header), PEER, keys=KEYS, policy=POLICY, now=NOW)


@pytest.mark.parametrize("header", [{"crit": ["x"], "x": 1}, {"crit": []}, {"b64": False}, {"b64": True}, {"kid": 1}])
def test_critical_header_members_are_refused(header: dict[str, Any]) -> None:
    """A critical extension, a detached payload, or a `kid` that is no string is refused."""
    refused(token(header))


@pytest.mark.parametrize("iss", [..., None, "", "https://evil.example", ISSUER + "/", ISSUER.upper(), [ISSUER], 1])
def test_other_issuers(iss: Any) -> None:
    """A token of another issuer is refused, though signed by a key of this one."""
    refused(token(iss=iss))


@pytest.mark.parametrize(
    "aud", [..., None, "", "https://other.example", AUDIENCE + "/", [], ["https://other.example"], 1, [[AUDIENCE]]]
)  # fmt: skip
def test_other_audiences(aud: Any) -> None:
    """A token for another audience is refused."""
    refused(token(aud=aud))


def test_several_audiences() -> None:
    """A token for several audiences is good at each of them."""
    assert verify(token(aud=["https://other.example", AUDIENCE]), PEER, keys=KEYS, policy=POLICY, now=NOW)


@pytest.mark.parametrize(
    "exp",
    [
        ..., None, int(NOW), int(NOW) - 1, 0, -1, True, False, str(int(NOW) + 300), [int(NOW) + 300], {},
        10**400, 10**20, 1e300, -(10**400),
    ],
)  # fmt: skip
def test_expired(exp: Any) -> None:
    """A token that has expired, or whose `exp` is no number of seconds, is refused, however large it is."""
    refused(token(exp=exp))


def test_the_last_second() -> None:
    """A token is good until the moment of `exp`, and not in it."""
    assert verify(token(exp=NOW + 300), PEER, keys=KEYS, policy=POLICY, now=NOW + 299.9)
    refused(token(exp=NOW + 300), now=NOW + 300)


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_not_yet(name: str) -> None:
    """A token of the future is refused beyond a few seconds of leeway; one of no number is refused."""
    assert verify(token(**{name: NOW + LEEWAY}), PEER, keys=KEYS, policy=POLICY, now=NOW)
    for value in (NOW + LEEWAY + 1, 10**400, None, "0", True, []):
        assert name in refused(token(**{name: value}))


@pytest.mark.parametrize("name", ["sub", "client_id"])
@pytest.mark.parametrize("value", [..., None, 1, ["a"]])
def test_nobody(name: str, value: Any) -> None:
    """A token that does not say for whom it is, or who asked for it, is refused."""
    refused(token(**{name: value}))


def test_scopes() -> None:
    """A token without a scope that is needed is 403 `insufficient_scope`, and names what is needed."""
    policy = replace(POLICY, scopes=frozenset({"write", "admin"}))
    with pytest.raises(InsufficientScope) as refusal:
        verify(token(), PEER, keys=KEYS, policy=policy, now=NOW)
    assert (refusal.value.status, refusal.value.error) == (403, "insufficient_scope")
    assert refusal.value.required == {"write", "admin"}
    assert verify(token(scope="admin x write"), PEER, keys=KEYS, policy=policy, now=NOW)


@pytest.mark.parametrize("scope", [..., None, "", ["read"], "READ", "reading", 1])
def test_scopes_that_do_not_suffice(scope: Any) -> None:
    """A scope that is missing, of the wrong type, or only similar does not suffice."""
    with pytest.raises(InsufficientScope):
        verify(token(scope=scope), PEER, keys=KEYS, policy=replace(POLICY, scopes=frozenset({"read"})), now=NOW)


def test_a_thief_learns_nothing_of_scopes() -> None:
    """Whether the scope would suffice is told only to whom the token is bound."""
    refused(token(), THIEF, policy=replace(POLICY, scopes=frozenset({"admin"})))


@pytest.mark.parametrize(
    "presented",
    [
        "", ".", "..", "...", "a.b.c", "é.é.é", token() + ".", token() + ".x", token()[:-4], token() + "AAAA",
        token().replace(".", "", 1), "." + token(), "!" + token(), token().partition(".")[2],
        "x" * (MAX_TOKEN + 1), token() + "x" * MAX_TOKEN, ".".join(["x" * 90] * 3), token() + "\n",
    ],
)  # fmt: skip
def test_what_is_no_jwt(presented: str) -> None:
    """Text that is no compact JWS, or is longer than a token may be, is refused."""
    refused(presented)


def test_a_token_that_is_too_long() -> None:
    """A token that would be good is refused when it is longer than a token may be."""
    assert verify(token(jti="x" * 4000), PEER, keys=KEYS, policy=POLICY, now=NOW)
    assert "too long" in refused(token(jti="x" * MAX_TOKEN))


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"null", b"[]", b'"x"', b"1", b"{", b"\xff\xfe", b'{"iss":"\xff"}', b'{"exp":NaN}', b'{"exp":1e400}',
        b'{"a":' + b"[" * 3000 + b"]" * 3000 + b"}", b'{"a":' * 900 + b"1" + b"}" * 900,
    ],
    ids=["nothing", "null", "array", "string", "number", "cut off", "no UTF-8", "no UTF-8 within", "NaN", "infinity",
         "deep array", "deep object"],
)  # fmt: skip
def test_payloads_that_are_no_claims(payload: bytes) -> None:
    """A signed payload that is no JSON object, no UTF-8, or absurdly deep is refused, not a failure."""
    refused(signed(payload))
    with contextlib.suppress(InvalidToken):
        assert read_issuer(read_token(signed(payload)))


def test_deep_headers() -> None:
    """A header nested to any depth leads to a verdict: also where one parser bears it and the next does not."""
    for depth in (10, 200, *range(700, 1000), 2000):
        header = '{"alg":"ES256","typ":"at+jwt","x":' + "[" * depth + "]" * depth + "}"
        refused(f"{encode(header)}.{encode(json.dumps(claims()))}.{encode(b'x' * 64)}")


def test_read_issuer() -> None:
    """The issuer that a token claims is read without believing it."""
    assert read_issuer(read_token(token(iss="https://evil.example"))) == "https://evil.example"
    for bad in (token(iss=1), token(iss=...), "x", "", "x" * (MAX_TOKEN + 1)):
        with pytest.raises(InvalidToken):
            read_issuer(read_token(bad))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(claims())), _JSON)
def test_any_claim_may_be_anything(name: str, value: Any) -> None:
    """Any JSON in any claim of a signed token gives a verdict, and nothing else."""
    with contextlib.suppress(InvalidToken):
        verify(token(**{name: value}), PEER, keys=KEYS, policy=POLICY, now=NOW)


@given(st.sampled_from(["alg", "typ", "kid", "crit", "b64", "jwk", "x5c", "jku", "zip", "x"]), _JSON)
def test_any_header_member_may_be_anything(name: str, value: Any) -> None:
    """Any JSON in any header parameter of a signed token gives a verdict, and nothing else."""
    with contextlib.suppress(InvalidToken):
        verify(token({name: value}), PEER, keys=KEYS, policy=POLICY, now=NOW)


@given(st.text(st.characters(exclude_categories=[]), max_size=60) | st.text("ey.J-_=aA+/\x00", max_size=60))
def test_any_text_is_no_token(text: str) -> None:
    """Arbitrary text is `InvalidToken`, whether it is verified or only read, and nothing else."""
    refused(text)
    with pytest.raises(InvalidToken):
        read_token(text)


@given(st.lists(st.binary(max_size=40), min_size=3, max_size=3))
def test_any_bytes_are_no_token(segments: list[bytes]) -> None:
    """Three segments of arbitrary bytes are `InvalidToken`, and nothing else."""
    refused(".".join(map(encode, segments)))


def test_every_changed_character_is_noticed() -> None:
    """A token with one character changed is refused, wherever it is changed."""
    good = token()
    dice = random.Random(8705)
    for position in range(0, len(good) - 2, 7):  # the very last character holds bits that base64url drops
        changed = good[:position] + dice.choice([c for c in "AQgw" if c != good[position]]) + good[position + 1 :]
        refused(changed)
