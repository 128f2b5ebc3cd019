"""certbound.core.clients: client metadata becomes a client or a refusal that names the field (R9, R12, R20)."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbound.core.clients import Allowed, Client, Method, describe_client, read_client, require_allowed
from certbound.core.errors import InvalidClientMetadata, InvalidRedirectUri
from certbound.core.jwks import make_jwks
from certbound.core.scope import Scope
from certbound.core.subject import SubjectKind
from certbound.trust.authority import self_signed
from certificates import TODAY, read

CERTIFICATE = read(self_signed("CN=own", now=TODAY))
JWKS = make_jwks([CERTIFICATE])
PKI: dict[str, Any] = {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "a.example"}
SELF_SIGNED: dict[str, Any] = {"token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks": JWKS}
SUBJECTS = {
    "tls_client_auth_subject_dn": "CN=a,O=b",
    "tls_client_auth_san_dns": "a.example",
    "tls_client_auth_san_uri": "urn:a:b",
    "tls_client_auth_san_ip": "192.0.2.1",
    "tls_client_auth_san_email": "a@b.example",
}
ALLOWED = Allowed(
    scope=Scope(frozenset({"read", "write"})),
    grant_types=frozenset({"client_credentials"}),
    methods=frozenset(Method),
    has_anchors=True,
)


def refusal_of(metadata: dict[str, Any], client_id: str = "a") -> InvalidClientMetadata:
    """Why the metadata is refused."""
    with pytest.raises(InvalidClientMetadata) as refusal:
        read_client(client_id, metadata)
    return refusal.value


def test_methods_are_spelled_as_registered() -> None:
    """The methods have the names of RFC 8705 sections 2.1.1 and 2.2.1 (R35), RFC 7591 and RFC 7523."""
    assert {each for each in Method if each.is_mutual_tls} == {"tls_client_auth", "self_signed_tls_client_auth"}
    assert {each for each in Method if not each.is_mutual_tls} == {
        "none", "client_secret_basic", "client_secret_post", "private_key_jwt",
    }  # fmt: skip


@pytest.mark.parametrize(("field", "text"), SUBJECTS.items())
def test_exactly_one_subject(field: str, text: str) -> None:
    """Each of the five subject parameters alone makes a client known by it (R9)."""
    client = read_client("a", {"token_endpoint_auth_method": "tls_client_auth", field: text})
    assert client.subject is not None
    assert (client.subject.kind, client.subject.text) == (field, text)
    assert client.certificates == ()


def test_no_subject() -> None:
    """A PKI client without a subject parameter is refused (R9)."""
    refusal = refusal_of({"token_endpoint_auth_method": "tls_client_auth"})
    assert refusal.field in SUBJECTS
    assert "exactly one" in refusal.reason


@pytest.mark.parametrize("first", SubjectKind)
@pytest.mark.parametrize("second", SubjectKind)
def test_two_subjects(first: SubjectKind, second: SubjectKind) -> None:
    """A PKI client with two subject parameters is refused, whichever they are (R9)."""
    if first is not second:
        refusal = refusal_of({**PKI, "tls_client_auth_san_dns": None, first: SUBJECTS[first], second: SUBJECTS[second]})
        assert refusal.field in {first, second}
        assert first in refusal.reason
        assert second in refusal.reason


@pytest.mark.parametrize("field", SUBJECTS)
@pytest.mark.parametrize("value", [1, True, [], {}, ["a.example"], "", "*", "\x00"])
def test_a_subject_of_the_wrong_type_or_unparsable(field: str, value: Any) -> None:
    """A subject parameter of the wrong type, or one that is no name of its kind, is refused by name (R9)."""
    assert refusal_of({"token_endpoint_auth_method": "tls_client_auth", field: value}).field == field


def test_a_subject_for_a_self_signed_client() -> None:
    """A subject parameter beside registered certificates is refused: it would mean nothing."""
    for field, text in SUBJECTS.items():
        assert refusal_of({**SELF_SIGNED, field: text}).field == field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("token_endpoint_auth_method", 1), ("token_endpoint_auth_method", ""), ("token_endpoint_auth_method", "None"),
        ("token_endpoint_auth_method", "TLS_CLIENT_AUTH"), ("token_endpoint_auth_method", ["tls_client_auth"]),
        ("token_endpoint_auth_method", "client_secret_jwt"),
        ("tls_client_certificate_bound_access_tokens", "true"), ("tls_client_certificate_bound_access_tokens", 1),
        ("tls_client_certificate_bound_access_tokens", []),
        ("scope", ["read"]), ("scope", 1), ("scope", " read"), ("scope", "a  b"), ("scope", 'a"b'), ("scope", "é"),
        ("grant_types", "client_credentials"), ("grant_types", []), ("grant_types", [1]), ("grant_types", {}),
        ("client_name", 1), ("client_name", ["x"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("base", [PKI, SELF_SIGNED], ids=["pki", "self-signed"])
def test_a_member_of_the_wrong_type(base: dict[str, Any], field: str, value: Any) -> None:
    """Every member of the wrong type or form is refused and named, never guessed at."""
    assert refusal_of({**base, field: value}).field == field


@pytest.mark.parametrize("base", [PKI, SELF_SIGNED], ids=["pki", "self-signed"])
def test_null_is_absence(base: dict[str, Any]) -> None:
    """`null` is as good as not there, for every member (RFC 7591 section 3.1)."""
    nulls = dict.fromkeys([*SUBJECTS, "jwks", "jwks_uri", "scope", "grant_types", "client_name",
                           "tls_client_certificate_bound_access_tokens"])  # fmt: skip
    assert read_client("a", {**nulls, **base}) == read_client("a", base)
    assert refusal_of({**base, "token_endpoint_auth_method": None}).field == "token_endpoint_auth_method"


def test_unknown_members_are_ignored() -> None:
    """What the server does not understand is ignored (RFC 7591 section 2)."""
    strange = {"colour": 1, "Scope": [], "scope#en": 1, "client_name ": 1}
    assert read_client("a", {**PKI, **strange}) == read_client("a", PKI)


@pytest.mark.parametrize("client_id", ["", " a", "a ", "a\n", "é", "a\x00", "a" * 256, "a\x7f"])
def test_a_client_id_that_cannot_be_sent(client_id: str) -> None:
    """A client_id outside the characters of RFC 6749 appendix A.1, or too long, is refused."""
    assert refusal_of(PKI, client_id).field == "client_id"


@pytest.mark.parametrize("client_id", ["a", "a b", "https://a.example/x?y", "~", "a" * 255])
def test_a_client_id_that_can(client_id: str) -> None:
    """Any printable ASCII is a client_id."""
    assert read_client(client_id, PKI).client_id == client_id


def test_jwks_uri() -> None:
    """`jwks_uri` beside `jwks` is refused for either method (R12)."""
    uri = {"jwks_uri": "https://a.example/jwks"}
    assert "beside" in refusal_of({**SELF_SIGNED, **uri}).reason
    assert refusal_of({**PKI, "jwks": JWKS, **uri}).field == "jwks_uri"


@pytest.mark.parametrize(
    "uri",
    ["https://a.example", "https://a.example/", "HTTPS://A.example:8443/jwks?x=y&z=%20", "https://[2a00::1]/jwks"],
)
def test_a_self_signed_client_with_a_jwks_uri(uri: str) -> None:
    """It publishes its certificates instead of registering them, and the URL is told back as it was registered."""
    client = read_client("a", {**SELF_SIGNED, "jwks": None, "jwks_uri": uri})
    assert (client.jwks_uri, client.certificates) == (uri, ())
    assert describe_client(client, bound=True)["jwks_uri"] == uri
    assert read_client("a", describe_client(client, bound=False)).jwks_uri == uri


@pytest.mark.parametrize(
    "uri",
    ["", "a", "http://a.example/", "ftp://a/", "https:", "https://", "https:///jwks", "https://:443/", "//a.example/",
     "https://a@b.example/", "https://a:b@c.example/", "https://@c.example/", "https://a.example/#x",
     "https://a.example/ ", " https://a.example/", "https://a.example/\n", "https://a.example\\b/", "https://a:x/",
     "https://a:70000/", "https://a:0/", "https://[::1", "https://\u00e4.example/", "https://a.example/" + "a" * 2048,
     "javascript:alert(1)", "file:///etc/passwd", 1, [], {}, True],
)  # fmt: skip
def test_a_jwks_uri_that_could_not_be_fetched(uri: Any) -> None:
    """Only https, one host, no credentials, no fragment: the rest is refused, also where the keys prove nothing."""
    others = ({"token_endpoint_auth_method": method} for method in ("none", "client_secret_basic", "private_key_jwt"))
    for metadata in (SELF_SIGNED, PKI, *others):
        assert refusal_of({**metadata, "jwks": None, "jwks_uri": uri}).field == "jwks_uri", metadata


def test_a_redirect_uri_has_a_length() -> None:
    """Whatever its scheme, its host and its path are."""
    for uri in ("https://a.example/" + "a" * 2031, "a." * 1024 + "b:/"):
        with pytest.raises(InvalidRedirectUri):
            read_client("a", {**PKI, "redirect_uris": [uri]})
    read_client("a", {**PKI, "redirect_uris": ["https://a.example/" + "a" * 2030]})


def test_validity_may_be_ignored_of_self_signed_certificates_only() -> None:
    """A member of our own; false unless stated, a boolean, and of no meaning where a chain is validated."""
    member = "self_signed_tls_client_auth_ignore_validity"
    assert not read_client("a", SELF_SIGNED).ignores_validity
    client = read_client("a", {**SELF_SIGNED, member: True})
    assert client.ignores_validity
    assert read_client("a", describe_client(client, bound=False)).ignores_validity
    assert member not in describe_client(read_client("a", {**SELF_SIGNED, member: False}), bound=False)
    assert refusal_of({**SELF_SIGNED, member: "true"}).field == member
    assert refusal_of({**PKI, member: True}).field == member


def test_jwks_of_a_self_signed_client() -> None:
    """A self-signed client is known by the certificates of its `jwks`, and needs one."""
    assert read_client("a", SELF_SIGNED).certificates == (CERTIFICATE,)
    assert refusal_of({**SELF_SIGNED, "jwks": None}).field == "jwks"
    assert refusal_of({**SELF_SIGNED, "jwks": {"keys": []}}).field == "jwks"


def test_jwks_of_a_pki_client() -> None:
    """A PKI client may register keys for other purposes; they authenticate nobody, and must not be private."""
    assert read_client("a", {**PKI, "jwks": JWKS}).certificates == ()
    assert read_client("a", {**PKI, "jwks": {"keys": [{"kty": "EC"}]}}).certificates == ()
    assert "private" in refusal_of({**PKI, "jwks": {"keys": [{"kty": "EC", "d": "x"}]}}).reason


def test_defaults() -> None:
    """Tokens are not bound, the scope is empty and the grant is client_credentials unless the client says otherwise."""
    client = read_client("a", PKI)
    assert not client.wants_bound_tokens
    assert client.scope == frozenset()
    assert client.grant_types == {"client_credentials"}
    assert client.enabled


@pytest.mark.parametrize(
    "metadata",
    [
        PKI,
        SELF_SIGNED,
        {**PKI, "scope": "write read", "client_name": "Ünïcode \x1b[31m"},
        {**PKI, "tls_client_certificate_bound_access_tokens": True},
        {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_subject_dn": "CN=a\\,b,O=c"},
        {**SELF_SIGNED, "grant_types": ["client_credentials", "refresh_token"]},
    ],
)  # fmt: skip
def test_what_is_described_registers_the_same_client(metadata: dict[str, Any]) -> None:
    """The description of a client, registered again, is the same client."""
    client = read_client("a", metadata)
    assert read_client("a", describe_client(client, bound=client.wants_bound_tokens)) == client


@pytest.mark.parametrize("bound", [True, False])
def test_a_description_echoes_the_binding_in_effect(bound: bool) -> None:
    """What is described is whether tokens will be bound, not what the client asked for (R20)."""
    answer = describe_client(read_client("a", PKI), bound=bound)
    assert answer["tls_client_certificate_bound_access_tokens"] is bound


@pytest.mark.parametrize(
    ("allowed", "field"),
    [
        ({"methods": frozenset()}, "token_endpoint_auth_method"),
        ({"has_anchors": False}, "token_endpoint_auth_method"),
        ({"scope": Scope(frozenset({"write"}))}, "scope"),
        ({"grant_types": frozenset({"refresh_token"})}, "grant_types"),
    ],
)
def test_what_a_deployment_does_not_allow(allowed: dict[str, Any], field: str) -> None:
    """A method, scope or grant that is not offered, and a PKI client without any anchor, are refused by name (R32)."""
    client = read_client("a", {**PKI, "scope": "read"})
    facts = {name: getattr(ALLOWED, name) for name in Allowed.__slots__}
    assert require_allowed(client, ALLOWED) is client
    with pytest.raises(InvalidClientMetadata) as refusal:
        require_allowed(client, Allowed(**{**facts, **allowed}))
    assert refusal.value.field == field


def test_a_self_signed_client_needs_no_anchor() -> None:
    """Without any anchor a self-signed client can still be registered."""
    client = read_client("a", SELF_SIGNED)
    facts = {name: getattr(ALLOWED, name) for name in Allowed.__slots__}
    assert require_allowed(client, Allowed(**{**facts, "has_anchors": False})) is client


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from([PKI, SELF_SIGNED]), st.sampled_from([*PKI, *SELF_SIGNED, *SUBJECTS, "scope", "grant_types",
       "client_name", "jwks_uri", "tls_client_certificate_bound_access_tokens"]), _JSON)  # fmt: skip
def test_any_member_may_be_anything(base: dict[str, Any], member: str, value: Any) -> None:
    """Any JSON in any member gives a client or `InvalidClientMetadata`, and nothing else."""
    with contextlib.suppress(InvalidClientMetadata):
        assert isinstance(read_client("a", {**base, member: value}), Client)
