"""certbound.core.jwks: which certificates a JWK Set registers, and who is one of them (R11, R12)."""

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from certbound.core.certificate import read_certificate
from certbound.core.errors import BadCertificate, InvalidClient, InvalidClientMetadata
from certbound.core.jwks import MAX_KEYS, make_jwks, match_registered, read_jwks, read_published_jwks
from certbound.trust.authority import Issued, self_signed
from certificates import KEY, TODAY, der, read, tlv, with_field

APPENDIX_A = json.loads((Path(__file__).parent.parent / "vectors" / "rfc8705-appendix-a.json").read_text())
OWN = self_signed("CN=own", now=TODAY)
OTHER = self_signed("CN=other", now=TODAY)
SIGNING_KEY = {"kty": "EC", "crv": "P-256", "x": "eA", "y": "eQ", "use": "sig"}


def jwk(issued: Issued = OWN, **changes: Any) -> dict[str, Any]:
    """The JWK of `issued`, with members changed; None takes one away."""
    [made] = make_jwks([read(issued)])["keys"]
    return {name: value for name, value in {**made, **changes}.items() if value is not None}


def refusal_of(jwks: Any) -> InvalidClientMetadata:
    """Why the JWK Set is refused."""
    with pytest.raises(InvalidClientMetadata) as refusal:
        read_jwks(jwks)
    return refusal.value


@pytest.mark.parametrize(
    "kind", ["P-256", "P-384", "P-521", "RSA-2048", "Ed25519", "Ed448", "ML-DSA-44", "ML-DSA-65", "ML-DSA-87"]
)
def test_every_kind_of_key_is_registered_and_found(kind: Any) -> None:
    """A certificate with any strong key goes through a JWK Set, JSON and back, and is itself again."""
    certificate = read(self_signed("CN=x", key=kind, now=TODAY))
    registered = read_jwks(json.loads(json.dumps(make_jwks([certificate]))))
    assert registered == (certificate,)
    assert match_registered(certificate, registered).certificate.der == certificate.der


def test_appendix_a() -> None:
    """The JWK of RFC 8705 Appendix A registers the certificate it carries (R36)."""
    [certificate] = read_jwks({"keys": [APPENDIX_A["jwk"]]})
    assert certificate.thumbprint == APPENDIX_A["cnf"]["x5t#S256"]


def test_a_jwk_without_x5c_stands_beside() -> None:
    """A signing key without `x5c` is ignored beside one with it, and alone registers nothing (R12)."""
    assert read_jwks({"keys": [SIGNING_KEY, jwk(), SIGNING_KEY]}) == (read(OWN),)
    assert "no JWK carries" in refusal_of({"keys": [SIGNING_KEY]}).reason
    assert read_jwks({"keys": [SIGNING_KEY]}, need_certificate=False) == ()


def test_several_certificates() -> None:
    """A set registers every certificate in it: so a client rotates."""
    registered = read_jwks({"keys": [jwk(OWN), jwk(OTHER)]})
    assert [each.der for each in registered] == [OWN.der, OTHER.der]
    assert match_registered(read(OTHER), registered).certificate.der == OTHER.der


def test_members_that_are_no_part_of_the_key_do_not_matter() -> None:
    """`kid`, `use` and what a client invents stand beside the key."""
    assert read_jwks({"keys": [jwk(kid="1", use="enc", invented=[1])], "more": 1}) == (read(OWN),)


def test_certificates_behind_the_first_do_not_matter() -> None:
    """`x5c[0]` is the client's certificate; issuers behind it are neither read nor registered (R11)."""
    chain = [b64encode(der(OWN)).decode(), b64encode(der(OTHER)).decode(), "not even base64"]
    assert read_jwks({"keys": [jwk(x5c=chain)]}) == (read(OWN),)


@pytest.mark.parametrize("member", ["x", "y", "crv", "kty"])
def test_a_key_that_is_not_the_certificates(member: str) -> None:
    """Each public member must be that of `x5c[0]`: changed or missing, the registration is refused (RFC 7517 4.7)."""
    for changed in (jwk(**{member: jwk(OTHER)["x"]}), jwk(**{member: None}), jwk(**{member: 1})):
        assert "does not fit" in refusal_of({"keys": [changed]}).reason


def test_x5c_of_a_foreign_key() -> None:
    """A JWK with somebody else's certificate is refused, and the place is named."""
    refusal = refusal_of({"keys": [SIGNING_KEY, jwk(x5c=jwk(OTHER)["x5c"])]})
    assert refusal.field == "jwks.keys[1]"


@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"])
def test_private_members_are_refused(member: str) -> None:
    """A private key is never registered, in a JWK with a certificate or without, and its value is not repeated."""
    for key in (jwk(**{member: "c2VjcmV0"}), {**SIGNING_KEY, member: "c2VjcmV0"}):
        refusal = refusal_of({"keys": [jwk(), key]})
        assert repr(member) in refusal.reason
        assert "c2VjcmV0" not in refusal.reason


@pytest.mark.parametrize(
    "jwks",
    [
        None, 1, "keys", [], {}, {"keys": None}, {"keys": {}}, {"keys": "x"}, {"keys": []}, {"keys": [None]},
        {"keys": ["x"]}, {"keys": [[]]}, {"keys": [jwk()] * (MAX_KEYS + 1)},
        {"keys": [jwk(x5c=[])]}, {"keys": [jwk(x5c="x")]}, {"keys": [jwk(x5c=[1])]}, {"keys": [jwk(x5c={})]},
        {"keys": [jwk(x5c=[""])]}, {"keys": [jwk(x5c=["####"])]}, {"keys": [jwk(x5c=["é"])]},
        {"keys": [jwk(x5c=["MIIB"])]}, {"keys": [{**jwk(), "x5c": None}]},
        {"keys": [jwk(x5c=[OWN.certificate_pem.decode()])]},
        {"keys": [jwk(x5c=[b64encode(der(OWN) + b"\0").decode()])]},
        {"keys": [jwk(x5c=[b64encode(der(OWN) * 2).decode()])]},
        {"keys": [jwk(x5c=[jwk()["x5c"][0][:76] + "\n" + jwk()["x5c"][0][76:]])]},
        {"keys": [jwk(x5c=[jwk()["x5c"][0]] * (MAX_KEYS + 1))]},
    ],
)  # fmt: skip
def test_malformed(jwks: Any) -> None:
    """What is no JWK Set, or has no sound `x5c`, is refused with the place named (R12)."""
    assert refusal_of(jwks).field.startswith("jwks")


@pytest.mark.parametrize(
    "unsound",
    [None, "x", jwk(OTHER, d="c2VjcmV0"), jwk(OTHER, x5c=[]), jwk(OTHER, x5c=["MIIB"]), jwk(OTHER, x=jwk()["x"]),
     jwk(OTHER, x5c=jwk()["x5c"])],
    ids=["null", "text", "private", "empty", "cut", "misfit", "another's"],
)  # fmt: skip
def test_what_is_unsound_in_a_published_set_is_left_out(unsound: Any) -> None:
    """And told with its place; the others count: taking a certificate away must not fail because of another."""
    certificates, complaints = read_published_jwks({"keys": [SIGNING_KEY, unsound, jwk()]})
    assert certificates == (read(OWN),)
    [complaint] = complaints
    assert complaint.startswith("jwks_uri.keys[1]")
    assert "c2VjcmV0" not in complaint


@pytest.mark.parametrize("keys", [[], [SIGNING_KEY], [jwk(x5c=["MIIB"])]])
def test_a_published_set_without_certificates_is_a_set(keys: list[Any]) -> None:
    """Its client has none."""
    assert read_published_jwks({"keys": keys})[0] == ()


@pytest.mark.parametrize("jwks", [None, 1, [], {}, {"keys": None}, {"keys": {}}, {"keys": [jwk()] * (MAX_KEYS + 1)}])
def test_what_is_no_set_at_all(jwks: Any) -> None:
    """Nothing can be concluded from it, so it is refused whole."""
    with pytest.raises(InvalidClientMetadata):
        read_published_jwks(jwks)


def test_a_key_without_a_jwk_form_is_refused() -> None:
    """A DSA certificate can be no JWK's."""
    certificate = self_signed("CN=x", key=OWN.private_key, now=TODAY)
    key = dsa.generate_private_key(1024)
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    x5c = [b64encode(with_field(certificate, KEY, spki)).decode()]
    assert "no accepted kind" in refusal_of({"keys": [jwk(x5c=x5c)]}).reason


def test_another_certificate_of_the_same_key_is_another_certificate() -> None:
    """The certificate itself is registered: another one for the same key and the same name is refused (R11)."""
    again = self_signed("CN=own", key=OWN.private_key, now=TODAY)
    with pytest.raises(InvalidClient):
        match_registered(read(again), [read(OWN)])
    with pytest.raises(InvalidClient):
        match_registered(read(OWN), [])


def test_make_jwks_of_nothing() -> None:
    """No certificates make an empty set, which registers nothing."""
    assert make_jwks([]) == {"keys": []}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("MIIB"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["keys", "x5c", "kty", "crv", "x", "y", "d", "n"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(_JSON | st.fixed_dictionaries({"keys": st.lists(_JSON, max_size=3)}))
def test_any_json_is_a_jwk_set_or_refused(value: Any) -> None:
    """Arbitrary JSON gives certificates or `InvalidClientMetadata`, and nothing else."""
    with pytest.raises(InvalidClientMetadata):
        read_jwks(value)


@given(_JSON, st.sampled_from(sorted(jwk())))
def test_any_member_of_a_jwk_may_be_anything(value: Any, member: str) -> None:
    """A sound JWK with one member replaced by anything is refused, or is as it was."""
    changed = {**jwk(), member: value}
    if changed != jwk():
        with pytest.raises(InvalidClientMetadata):
            read_jwks({"keys": [changed]})


def test_public_jwk_of_an_unreadable_key() -> None:
    """Making a JWK Set of a certificate whose key has no JWK form is `BadCertificate`."""
    key = tlv(0x30, tlv(0x30, bytes.fromhex("06032a0304")) + tlv(0x03, b"\x00key"))
    with pytest.raises(BadCertificate):
        make_jwks([read_certificate(with_field(OWN, KEY, key))])
