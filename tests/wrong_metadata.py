"""Client metadata with one member wrong: what every way to register a client refuses, and calls by the member's name.

Rule: a row is wrong whoever asks.  What only strangers may not have, as scopes beyond their way, stands elsewhere.
"""

from typing import Any, NamedTuple

from joserfc.jwk import ECKey

from certbound.core.client_unspoken import UNSPOKEN
from certbound.core.jwks import make_jwks
from certbound.trust.authority import self_signed
from certificates import read

KEYS = {"keys": [ECKey.generate_key("P-256").as_dict(private=False)]}
PRIVATE = {"keys": [ECKey.generate_key("P-256").as_dict(private=True)]}
SHARED = {"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}
PKI: dict[str, Any] = {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "a.example"}
NAMELESS: dict[str, Any] = {"token_endpoint_auth_method": "tls_client_auth"}
CERTIFICATE = read(self_signed("CN=own"))
OWN: dict[str, Any] = {"token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks": make_jwks([CERTIFICATE])}
OWN_PUBLISHED: dict[str, Any] = {**OWN, "jwks": None}
SIGNING: dict[str, Any] = {"token_endpoint_auth_method": "private_key_jwt", "jwks": KEYS}
SIGNING_PUBLISHED: dict[str, Any] = {**SIGNING, "jwks": None}
SECRET: dict[str, Any] = {"token_endpoint_auth_method": "client_secret_basic"}
APP: dict[str, Any] = {**PKI, "grant_types": ["authorization_code"], "redirect_uris": ["https://a.example/cb"]}

NO_URL: list[Any] = [
    1, "", "http://a.example/", "https://", "https://a.example/#f", "https://u@a.example/", "a.example", "javascript:x",
    "https://a.example/\r\n", "https://a.example/" + "a" * 3000, ["https://a.example/"],
]  # fmt: skip
NO_TEXT: list[Any] = [1, True, [], {}, "a" * 501]
NO_FLAG: list[Any] = ["true", 1, 0, [], {}]
NO_TEXTS: list[Any] = ["a", 1, {}, [1], [None]]
NO_REDIRECT: list[Any] = [
    1, "https://a.example/", {}, [1], [""], ["a"], ["https://a.example/#f"], ["http://a.example/"], ["javascript:x"],
    ["https://*.a.example/"], ["https://u:p@a.example/"], ["https://"], ["https://a.example/"] * 21,
]  # fmt: skip


class Wrong(NamedTuple):
    """Metadata that would stand without the one member."""

    name: str
    values: list[Any]
    beside: dict[str, Any]
    good: Any = None
    """One that would stand; None where the member may be left out."""


def ids_of(rows: list[Wrong]) -> list[str]:
    """The member, and the how-manieth row about it."""
    names = [row.name for row in rows]
    return [f"{name} {names[:place].count(name) + 1}" for place, name in enumerate(names)]


TABLE: list[Wrong] = [
    # RFC 7591 section 2
    Wrong("token_endpoint_auth_method", [1, "", "client_secret_jwt", "tls", "TLS_CLIENT_AUTH", [], {}], PKI),
    Wrong("token_endpoint_auth_method", ["client_secret_post"], SECRET),
    Wrong("scope", [1, ["read"], "read  read", " read", 'a"', "admin"], PKI, "read"),
    Wrong("grant_types", [1, "client_credentials", [], [1], ["password"], ["implicit"], {}], PKI),
    Wrong("response_types", [*NO_TEXTS, ["code"], ["none"]], PKI),
    Wrong("response_types", [*NO_TEXTS, [], ["token"], ["code", "token"], ["code id_token"]], APP, ["code"]),
    Wrong("redirect_uris", NO_REDIRECT, PKI),
    Wrong("redirect_uris", [*NO_REDIRECT, []], APP, ["com.example.app:/cb"]),
    Wrong("client_name", NO_TEXT, PKI),
    Wrong("client_name#cs", NO_TEXT, PKI),
    Wrong("client_name#", ["a"], PKI),
    Wrong("client_name#not a tag", ["a"], PKI),
    *(Wrong(name, NO_URL, PKI) for name in ("client_uri", "logo_uri", "tos_uri", "tos_uri#de", "policy_uri")),
    Wrong("contacts", [*NO_TEXTS, ["a"] * 21, ["a" * 501], [["a"]]], PKI, ["ops@a.example"]),
    Wrong("software_id", NO_TEXT, PKI),
    Wrong("software_version", NO_TEXT, PKI),
    Wrong("software_statement", ["", "a.b", "a.b.c.d", "a b.c.d", "a." + "b" * 40_000 + ".c"], PKI),
    Wrong("jwks_uri", NO_URL, PKI, "https://a.example/jwks"),
    Wrong("jwks_uri", NO_URL, OWN_PUBLISHED, "https://a.example/jwks"),
    Wrong("jwks_uri", NO_URL, SIGNING_PUBLISHED, "https://a.example/jwks"),
    Wrong("jwks_uri", ["https://a.example/jwks"], OWN),
    Wrong("jwks_uri", ["https://a.example/jwks"], SIGNING),
    *(Wrong("jwks", [1, "", [], {}, {"keys": 1}, {"keys": [1]}, {"keys": KEYS["keys"] * 200}, PRIVATE, SHARED], each)
      for each in (PKI, OWN, SIGNING)),
    Wrong("jwks", [{"keys": []}, KEYS], OWN, OWN["jwks"]),
    Wrong("jwks", [{"keys": []}], SIGNING, KEYS),
    # RFC 8705 sections 2.1.2, 2.2.2, 3.4, and what we have beside it
    Wrong("tls_client_auth_subject_dn", [1, "", "billing", "CN", "CN=a,", "CN=#zz", [], {}], NAMELESS, "CN=a,O=b"),
    Wrong("tls_client_auth_san_dns", [1, "", "*.a.example", "a..example", "a b", [], {}], NAMELESS, "a.example"),
    Wrong("tls_client_auth_san_uri", [1, "", "a", "a b:c", [], {}], NAMELESS, "urn:a:b"),
    Wrong("tls_client_auth_san_ip", [1, "", "192.0.2", "192.0.2.0/24", "a.example", [], {}], NAMELESS, "192.0.2.1"),
    Wrong("tls_client_auth_san_email", [1, "", "a", "@a.example", "a@", [], {}], NAMELESS, "a@b.example"),
    Wrong("tls_client_auth_san_uri", ["urn:a:b"], PKI),
    Wrong("tls_client_auth_san_email", ["a@b.example"], PKI),
    *(Wrong(name, ["a.example"], each) for each in (OWN, SIGNING, SECRET)
      for name in ("tls_client_auth_subject_dn", "tls_client_auth_san_dns", "tls_client_auth_san_ip")),
    Wrong("tls_client_auth_subject_dn_order", ["any"], PKI),
    Wrong("tls_client_auth_subject_dn_order", [1, "", "sorted", [], {}],
          {**NAMELESS, "tls_client_auth_subject_dn": "CN=a"}),
    Wrong("tls_client_auth_trust_anchors", [1, "", [], ["a"], {}], PKI),
    Wrong("tls_client_auth_trust_anchor_keys", [1, "", [], ["a"], {}, ["A" * 43]], PKI),
    Wrong("self_signed_tls_client_auth_ignore_validity", [True], PKI),
    Wrong("self_signed_tls_client_auth_ignore_validity", NO_FLAG, OWN, False),
    Wrong("tls_client_certificate_bound_access_tokens", NO_FLAG, PKI, True),
    Wrong("use_mtls_endpoint_aliases", NO_FLAG, PKI),
    Wrong("access_token_format", [1, "", "JWT", [], {}], PKI),
    Wrong("protected_resources", [1, "a", [1], {}, ["https://other.example"]], PKI),
    Wrong("introspection_signed_response_alg", [1, "", "none", "HS256", [], {}], PKI),
    Wrong("token_endpoint_auth_signing_alg", [1, "", "none", "HS256", "RS256", [], {}], SIGNING, "PS256"),
    # RFC 9126 section 6, OpenID Connect Registration section 2, RP-Initiated Logout section 3.1
    Wrong("require_pushed_authorization_requests", NO_FLAG, APP, True),
    Wrong("post_logout_redirect_uris", NO_REDIRECT, APP, ["https://a.example/bye"]),
    Wrong("subject_type", [1, "", "Public", "private", [], {}], APP),
    Wrong("subject_type", ["pairwise"], {**APP, "redirect_uris": ["https://a.example/", "https://b.example/"]}),
    Wrong("default_max_age", ["1", -1, 1.5, True, [], {}, 10**9], APP, 0),
    Wrong("default_acr_values", ["silver", 1, {}, [1], [None], [""], ["a b"], ["a"] * 21, ["a" * 501]], APP, ["gold"]),
    Wrong("application_type", [1, "", "Web", [], {}], APP),
    Wrong("require_auth_time", NO_FLAG, APP),
    Wrong("id_token_signed_response_alg", [1, "", "none", "HS256", "RS256", [], {}], APP, "ES256"),
    *(Wrong(name, ["x", ["x"], True, 1, {}], PKI) for name in UNSPOKEN),
]  # fmt: skip
