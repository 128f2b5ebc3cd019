"""certbound.core.openid: what an ID token says, what it is not, and which claims a scope asks for."""

import json
from base64 import urlsafe_b64decode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import KeySet

from certbound.core.client_credentials import Method
from certbound.core.clients import Client, ClientId
from certbound.core.grants.authorization_code import Code
from certbound.core.jws import BadJwt, read_header
from certbound.core.openid import (
    CLAIMS_OF,
    ID_TOKEN_CLAIMS,
    ID_TOKEN_TYPE,
    LIFETIME,
    Hint,
    claims_for,
    half_hash,
    id_token_claims,
    read_hint,
    sid_for,
)
from certbound.core.signing import SigningKey, sign_jwt
from certbound.core.tokens import sign
from certificates import NOW
from issuing import ISSUER, KEY, KEYS, encode, signed

CODE = Code(
    client_id="app",
    redirect_uri="https://app.example/cb",
    code_challenge="x" * 43,
    subject="alice",
    scope=("openid",),
    resources=(),
    grant_id="g",
    ends_at=NOW + 60,
    auth_time=NOW - 60.5,
    acr="urn:example:two",
    amr=("pwd", "otp"),
    sid="s1",
    nonce="n1",
)
ACCESS_TOKEN = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"
"""That of OpenID Connect Core appendix A.3, whose ID token has the `at_hash` below."""


def claims(code: Code = CODE, *, alg: str = "ES256") -> dict[str, Any]:
    """The claims of an ID token for `code`."""
    return id_token_claims(
        code,
        issuer=ISSUER,
        subject="alice-at-app",
        sid=code.sid,
        access_token=ACCESS_TOKEN,
        alg=alg,
        now=NOW,
    )


def client(client_id: str, sector: str = "") -> Client:
    """One that knows people by the names of `sector`."""
    return Client(client_id=ClientId(client_id), method=Method.NONE, sector=sector)


def hint(token: str, *, issuer: str = ISSUER) -> Hint | None:
    """What the issuer of the tests reads of it."""
    return read_hint(token, keys=KEYS, algorithms=["ES256"], issuer=issuer)


def test_an_id_token_says_who_logged_in_when_and_how_and_for_whom() -> None:
    """OpenID Connect Core section 2; times are whole seconds."""
    assert claims() == {
        "iss": ISSUER,
        "sub": "alice-at-app",
        "aud": "app",
        "iat": int(NOW),
        "exp": int(NOW) + LIFETIME,
        "auth_time": int(NOW - 60.5),
        "nonce": "n1",
        "acr": "urn:example:two",
        "amr": ["pwd", "otp"],
        "sid": "s1",
        "at_hash": "77QmUPtjPfzWtF2AnpK9RQ",
    }
    assert claims().keys() == ID_TOKEN_CLAIMS


def test_what_is_not_known_is_not_said() -> None:
    """No nonce, no acr, no amr, no session: no member, rather than an empty one; an empty nonce is one all the same."""
    plain = Code(**{**_fields(CODE), "acr": "", "amr": (), "sid": "", "nonce": None})
    assert claims().keys() - claims(plain).keys() == {"nonce", "acr", "amr", "sid"}
    assert claims(Code(**{**_fields(CODE), "nonce": ""}))["nonce"] == ""


def test_a_session_is_called_something_else_by_each_sector_and_client() -> None:
    """The same by all clients of a sector; nothing by nobody; a sector is no client that has its name."""
    known = [("a", "s.example"), ("b", "s.example"), ("a", "t.example"), ("a", ""), ("b", ""), ("s.example", "")]
    names = [sid_for(client(name, sector), "s1") for name, sector in known]
    assert names[0] == names[1]
    assert len({*names, "s1"}) == len(known)
    assert sid_for(client("a"), "s2") not in names
    assert sid_for(client("a"), "") == ""


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@pytest.mark.parametrize("alg", ["ES256", "PS256", "RS256", "EdDSA"])
def test_a_library_verifies_the_signature(alg: str) -> None:
    """joserfc reads the ID token by each algorithm; its type is that of no access token."""
    key = SigningKey.generate(alg)
    keys = KeySet.import_key_set({"keys": [key.public_jwk()]})
    decoded = jwt.decode(sign_jwt(claims(alg=alg), key, ID_TOKEN_TYPE), keys, algorithms=[alg])
    assert (decoded.header["typ"], decoded.claims["at_hash"]) == ("JWT", half_hash(ACCESS_TOKEN, alg))


@pytest.mark.parametrize(("alg", "size"), [("ES256", 16), ("PS256", 16), ("RS256", 16), ("EdDSA", 32)])
def test_at_hash_is_half_the_hash_of_the_algorithm(alg: str, size: int) -> None:
    """SHA-256 for those named so, SHA-512 for Ed25519."""
    assert len(urlsafe_b64decode(half_hash(ACCESS_TOKEN, alg) + "==")) == size


def test_a_hint_names_whom_the_id_token_was_for_also_if_it_has_ended() -> None:
    """Its time is not asked (section 3.1.2.1)."""
    long_ago = {**claims(), "iat": 1, "exp": 2}
    for said in (claims(), long_ago):
        assert hint(sign_jwt(said, KEY, ID_TOKEN_TYPE)) == Hint(subject="alice-at-app", client_id="app", sid="s1")
    del long_ago["sid"]
    assert hint(sign_jwt(long_ago, KEY, ID_TOKEN_TYPE)) == Hint(subject="alice-at-app", client_id="app")


def test_what_is_no_id_token_of_ours_is_no_hint() -> None:
    """Signed by others or by nobody, an access token, of another issuer, for two, without a subject, no JWT."""
    good = sign_jwt(claims(), KEY, ID_TOKEN_TYPE)
    head, body, signature = good.split(".")
    none = encode(json.dumps({"alg": "none", "typ": "JWT"}))
    for bad in (
        sign_jwt(claims(), SigningKey.generate(), ID_TOKEN_TYPE),
        sign(claims(), KEY),
        sign_jwt(claims(), KEY, "logout+jwt"),
        signed(json.dumps(claims()).encode(), {"typ": ...}),
        sign_jwt({**claims(), "iss": "https://other.example"}, KEY, ID_TOKEN_TYPE),
        sign_jwt({**claims(), "aud": ["app", "other"]}, KEY, ID_TOKEN_TYPE),
        sign_jwt({**claims(), "sub": 7}, KEY, ID_TOKEN_TYPE),
        f"{none}.{body}.",
        f"{head}.{body}.{signature[:-4]}",
        f"{good}x" * 20,
        "",
        "x",
        ".".join("xxx"),
    ):
        assert hint(bad) is None, bad
    assert hint(good, issuer="https://other.example") is None


def test_an_id_token_is_no_access_token_by_its_header() -> None:
    """Whoever reads access tokens has a list of types, and this is none of it (RFC 9068 section 4)."""
    token = sign_jwt(claims(), KEY, ID_TOKEN_TYPE)
    with pytest.raises(BadJwt, match="typ"):
        read_header(token, types={"at+jwt", "application/at+jwt"}, algorithms=["ES256"])


@given(st.text(max_size=60))
def test_any_text_is_a_hint_or_none(text: str) -> None:
    """A stranger's text raises nothing."""
    assert hint(text) is None
    assert hint(f"{encode('{}')}.{text}.{text}") is None


def test_a_claim_is_told_for_the_scope_that_asks_for_it() -> None:
    """Section 5.4; what no scope asks for stays, and so does what is null."""
    account = {"name": "Alice", "email": "a@example.org", "email_verified": True, "nickname": None, "salary": 7}
    assert claims_for(["openid"], account) == {}
    assert claims_for(["openid", "email"], account) == {"email": "a@example.org", "email_verified": True}
    assert claims_for(["openid", "profile"], account) == {"name": "Alice"}
    assert "salary" not in claims_for(["openid", *CLAIMS_OF, "salary"], account)


def _fields(code: Code) -> dict[str, Any]:
    return {name: getattr(code, name) for name in code.__struct_fields__}
