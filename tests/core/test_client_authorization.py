"""certbound.core.client_authorization: what a client registers that acts for people, and what it cannot."""

import contextlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbound.core.client_authorization import MAX_ACRS, MAX_URIS
from certbound.core.client_unspoken import UNSPOKEN
from certbound.core.clients import (
    Allowed,
    Client,
    Method,
    SigningAlgorithm,
    describe_client,
    read_client,
    require_allowed,
)
from certbound.core.errors import InvalidClientMetadata, InvalidRedirectUri, OAuthError
from certbound.core.registration import Need, Way, read_request
from certbound.core.scope import Scope
from redirecting import HOSTS, NONE

URI = "https://app.example/cb"
APP: dict[str, Any] = {
    "token_endpoint_auth_method": "tls_client_auth",
    "tls_client_auth_san_dns": "app.example",
    "grant_types": ["authorization_code", "refresh_token"],
    "redirect_uris": [URI],
}
MACHINE = {**APP, "grant_types": ["client_credentials"]}
ALLOWED = Allowed(
    scope=Scope(frozenset({"read"})),
    grant_types=frozenset({"authorization_code", "refresh_token", "client_credentials"}),
    methods=frozenset(Method),
    has_anchors=True,
)


def refusal_of(**changes: Any) -> OAuthError:
    """Why the app is refused with them."""
    with pytest.raises((InvalidClientMetadata, InvalidRedirectUri)) as refused:
        read_client("app", {**APP, **changes})
    return refused.value


def test_who_uses_the_code_has_a_redirect_uri() -> None:
    """`invalid_redirect_uri` without one; nobody else needs any."""
    for nothing in (None, list[str]()):
        assert refusal_of(redirect_uris=nothing).error == "invalid_redirect_uri"
    assert read_client("app", {**MACHINE, "redirect_uris": None}).redirect_uris == ()
    assert read_client("app", MACHINE).redirect_uris == (URI,)


@pytest.mark.parametrize("member", ["redirect_uris", "post_logout_redirect_uris"])
def test_every_redirect_uri_is_one(member: str) -> None:
    """`invalid_redirect_uri` names the member and the place of the one that is none; nothing is trimmed or mended."""
    client = read_client("app", {**APP, member: [*HOSTS]})
    assert (client.redirect_uris if member == "redirect_uris" else client.logout_uris) == tuple(HOSTS)
    wrong: list[Any] = [*NONE, 1, None, [], {}, True]
    for uri in wrong:
        refused = refusal_of(**{member: [URI, uri]})
        assert refused.error == "invalid_redirect_uri"
        assert refused.description.startswith(f"{member}[1]"), uri
    for no_list in ("", URI, 1, {}, {URI: URI}, True):
        assert refusal_of(**{member: no_list}).error == "invalid_redirect_uri"


def test_redirect_uris_are_bounded_and_kept_once() -> None:
    """In their order."""
    uris = [f"https://app.example/{number}" for number in range(MAX_URIS)]
    assert read_client("app", {**APP, "redirect_uris": uris}).redirect_uris == tuple(uris)
    assert "20" in refusal_of(redirect_uris=[*uris, URI]).reason
    assert read_client("app", {**APP, "redirect_uris": [URI, uris[0], URI]}).redirect_uris == (URI, uris[0])


@pytest.mark.parametrize("method", [*Method])
def test_every_method_may_use_the_code(method: Method) -> None:
    """Public clients too, with the address of a loopback interface or the scheme of an app."""
    uris = [URI, "http://127.0.0.1/cb", "com.example.app:/cb"]
    known: dict[str, Any] = {"tls_client_auth_san_dns": "app.example"} if method is Method.TLS_CLIENT_AUTH else {}
    if method in (Method.SELF_SIGNED_TLS_CLIENT_AUTH, Method.PRIVATE_KEY_JWT):
        known = {"jwks_uri": "https://app.example/jwks"}
    metadata = {"token_endpoint_auth_method": method, "grant_types": APP["grant_types"], "redirect_uris": uris, **known}
    assert read_client("app", metadata).redirect_uris == tuple(uris)


@pytest.mark.parametrize(
    ("metadata", "types", "is_good"),
    [
        (APP, None, True), (APP, ["code"], True), (APP, [], False), (APP, ["token"], False), (APP, "code", False),
        (APP, ["code", "token"], False), (APP, ["code id_token"], False), (APP, ["none"], False), (APP, [1], False),
        (MACHINE, None, True), (MACHINE, [], True), (MACHINE, ["code"], False), (MACHINE, ["none"], False),
    ],
)  # fmt: skip
def test_response_types_follow_from_the_grants(metadata: dict[str, Any], types: Any, is_good: bool) -> None:
    """RFC 7591 section 2.1: `code` with the grant of it, and else none."""
    asked = {**metadata, "response_types": types}
    if is_good:
        client = read_client("app", asked)
        assert describe_client(client, bound=True).get("response_types") == ["code"]
    else:
        with pytest.raises(InvalidClientMetadata, match="response_types"):
            read_client("app", asked)


@pytest.mark.parametrize(
    ("uris", "sector"),
    [
        ([URI], "app.example"),
        ([URI, "https://APP.example:8443/other?x"], "app.example"),
        ([URI, "https://app.example.evil/cb"], None),
        ([URI, "http://127.0.0.1/cb"], None),
        (["http://127.0.0.1/cb"], None),
        (["http://localhost/cb"], None),
        (["com.example.app:/cb"], None),
        ([URI, "com.example.app:/cb"], None),
        (["https://[2001:db8::1]/cb"], "[2001:db8::1]"),
    ],
)  # fmt: skip
def test_the_one_host_is_the_sector(uris: list[str], sector: str | None) -> None:
    """Of pairwise subjects; apps on people's own machines have none, and would know people by what all others do."""
    if sector is None:
        assert "subject_type" in refusal_of(redirect_uris=uris, subject_type="pairwise").reason
    else:
        assert read_client("app", {**APP, "redirect_uris": uris, "subject_type": "pairwise"}).sector == sector
    assert read_client("app", {**APP, "redirect_uris": uris, "subject_type": "public"}).sector == ""


def test_pairwise_without_a_redirect_uri_has_no_sector() -> None:
    """Devices, for one."""
    with pytest.raises(InvalidClientMetadata, match="subject_type"):
        read_client("app", {**MACHINE, "redirect_uris": None, "subject_type": "pairwise"})


@pytest.mark.parametrize("uri", HOSTS)
def test_an_app_is_no_web_application(uri: str) -> None:
    """Where `application_type` says web, a scheme of one's own is refused; a server under development stays."""
    read_client("app", {**APP, "redirect_uris": [uri], "application_type": "native"})
    if HOSTS[uri]:
        read_client("app", {**APP, "redirect_uris": [uri], "application_type": "web"})
    else:
        assert refusal_of(redirect_uris=[uri], application_type="web").error == "invalid_redirect_uri"


@pytest.mark.parametrize(
    ("member", "wrong"),
    [
        ("require_pushed_authorization_requests", ["true", 1, 0, [], {}]),
        ("subject_type", [1, "", "Public", "private", [], {}]),
        ("default_max_age", ["1", -1, 1.5, True, [], {}, 10**9]),
        ("application_type", [1, "", "Web", "browser", [], {}]),
        ("require_auth_time", ["true", 1, 0, [], {}]),
        ("id_token_signed_response_alg", [1, "", "none", "HS256", "ES512", [], {}]),
    ],
)  # fmt: skip
def test_a_member_of_another_kind_is_refused_by_name(member: str, wrong: list[Any]) -> None:
    """Never guessed at."""
    for value in wrong:
        assert refusal_of(**{member: value}).description.startswith(member), value
        read_client("app", {**APP, member: None})


@pytest.mark.parametrize("member", UNSPOKEN)
def test_what_a_client_would_rely_on_is_refused_by_name(member: str) -> None:
    """Though nothing else is wrong; where it says that nothing is wanted, it means nothing."""
    wanted: list[Any] = ["RS256", "none", "https://app.example/x", ["https://app.example/x"], True, 1, {}, ""]
    for value in wanted:
        assert refusal_of(**{member: value}).description.startswith(member)
    for nothing in (None, False, list[str]()):
        assert read_client("app", {**APP, member: nothing}) == read_client("app", APP)


LIBRARIES: dict[str, dict[str, Any]] = {
    "openid-client": {
        "application_type": "web", "subject_type": "public", "response_types": ["code"], "default_max_age": 3600,
        "require_auth_time": True, "id_token_signed_response_alg": "ES256", "default_acr_values": ["silver"],
        "initiate_login_uri": "https://app.example/login", "tls_client_certificate_bound_access_tokens": True,
        "dpop_bound_access_tokens": False, "require_signed_request_object": False,
    },
    "AppAuth": {
        "application_type": "native", "redirect_uris": ["com.example.app:/oauth2redirect"],
        "response_types": ["code"], "subject_type": "public", "token_endpoint_auth_method": "none",
        "tls_client_auth_san_dns": None,
    },
    "Authlib": {
        "client_name": "App", "client_uri": "https://app.example/", "scope": "openid profile",
        "response_types": ["code"], "contacts": ["ops@app.example"], "software_id": "4NRB1",
        "post_logout_redirect_uris": ["https://app.example/"], "backchannel_logout_session_required": False,
    },
    "Spring": {"require_pushed_authorization_requests": True, "client_name": "App", "response_types": ["code"]},
}  # fmt: skip


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_libraries_register_stands(library: str) -> None:
    """What they send beside the necessary is taken, told again, or needs nothing."""
    client = read_client("app", {**APP, **LIBRARIES[library]})
    told = describe_client(client, bound=client.wants_bound_tokens)
    assert read_client("app", json.loads(json.dumps(told))) == client
    kept = {"application_type", "default_max_age", "require_auth_time", "post_logout_redirect_uris", "response_types",
            "require_pushed_authorization_requests", "redirect_uris", "id_token_signed_response_alg",
            "default_acr_values"}  # fmt: skip
    sent = {name: value for name, value in LIBRARIES[library].items() if name in kept and value is not None}
    assert sent == {name: told.get(name) for name in sent}


@given(
    uris=st.lists(st.sampled_from([*HOSTS]), min_size=1, max_size=4, unique=True),
    logout=st.lists(st.sampled_from([*HOSTS]), max_size=3, unique=True),
    must_push=st.booleans(),
    pairwise=st.booleans(),
    max_age=st.none() | st.integers(0, 999_999_999),
    acrs=st.lists(st.from_regex(r"[!-~]{1,255}", fullmatch=True), max_size=MAX_ACRS),
    alg=st.none() | st.sampled_from(SigningAlgorithm),
)
def test_what_is_described_registers_the_same_client(
    uris: list[str],
    logout: list[str],
    must_push: bool,
    pairwise: bool,
    max_age: int | None,
    acrs: list[str],
    alg: str | None,
) -> None:
    """Whatever of it a client has."""
    asked = {
        **APP, "redirect_uris": ["https://app.example/x"] if pairwise else uris, "post_logout_redirect_uris": logout,
        "require_pushed_authorization_requests": must_push, "default_max_age": max_age,
        "default_acr_values": acrs, "id_token_signed_response_alg": alg,
        "subject_type": "pairwise" if pairwise else None,
    }  # fmt: skip
    client = read_client("app", asked)
    assert read_client("app", describe_client(client, bound=False)) == client


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from([*HOSTS, *NONE, "code", "web"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=5,
)


MEMBERS = [
    *APP, "response_types", "post_logout_redirect_uris", "default_max_age", "default_acr_values", "subject_type",
    "application_type", "require_pushed_authorization_requests", *UNSPOKEN,
]  # fmt: skip


@given(st.dictionaries(st.sampled_from(MEMBERS), JSON))
def test_any_json_is_a_client_or_a_refusal(changes: dict[str, Any]) -> None:
    """And nothing else."""
    with contextlib.suppress(InvalidClientMetadata, InvalidRedirectUri):
        client = read_client("app", {**APP, **changes})
        assert isinstance(client, Client)
        assert "authorization_code" not in client.grant_types or client.redirect_uris


WHERE: list[tuple[list[str], list[str], list[str]]] = [
    ([], ["http://127.0.0.1/cb", "https://localhost/", "com.example.app:/cb"], [URI, "https://192.0.2.1/"]),
    (["app.example"], [URI, "https://APP.example:8443/"], ["https://a.app.example/", "https://xapp.example/"]),
    ([".app.example"], ["https://a.app.example/", "https://b.a.app.example"], [URI, "https://xapp.example/"]),
    (["app.example", ".b.example"], [URI, "https://a.b.example"], ["https://b.example", "https://b.example.evil/"]),
    (["*"], [URI, "https://evil.example/"], []),
    (["[2001:db8::1]"], ["https://[2001:db8::1]:1/"], ["https://[2001:db8::2]/"]),
]


@pytest.mark.parametrize(("hosts", "inside", "outside"), WHERE)
def test_a_way_limits_where_people_are_sent(hosts: list[str], inside: list[str], outside: list[str]) -> None:
    """To its hosts and to apps on their own machines, after a logout too; an administrator may send them anywhere."""
    allowed = replace(ALLOWED, redirect_hosts=frozenset(hosts))
    for uri in inside:
        require_allowed(
            read_client("app", {**APP, "redirect_uris": [uri], "post_logout_redirect_uris": [uri]}), allowed
        )
    for uri in outside:
        native = "http://127.0.0.1/cb"
        for uris in ({"redirect_uris": [native, uri]}, {"redirect_uris": [native], "post_logout_redirect_uris": [uri]}):
            client = read_client("app", {**APP, **uris})
            require_allowed(client, ALLOWED)
            with pytest.raises(InvalidRedirectUri, match=next(name for name, value in uris.items() if uri in value)):
                require_allowed(client, allowed)


def test_a_redirect_uri_that_nobody_is_sent_to_has_no_limit() -> None:
    """With other grants it stands there; the limit is asked when the client wants the code."""
    require_allowed(read_client("app", MACHINE), replace(ALLOWED, redirect_hosts=frozenset()))


def test_a_sector_is_limited_whatever_the_grants_are() -> None:
    """Its host is what people are known by: a device's client must not take that of others."""
    metadata = {**MACHINE, "redirect_uris": ["https://victim.example/cb"], "subject_type": "pairwise"}
    client = read_client("app", metadata)
    assert client.sector == "victim.example"
    require_allowed(client, replace(ALLOWED, redirect_hosts=frozenset({"victim.example"})))
    with pytest.raises(InvalidRedirectUri):
        require_allowed(client, replace(ALLOWED, redirect_hosts=frozenset({"good.example"})))


def test_who_names_no_grant_wants_the_code() -> None:
    """RFC 7591 section 2, where it says where people go back to and the way has that grant; else it is a machine."""
    way = Way(name="w", needs=frozenset[Need](), allowed=ALLOWED)
    asked = {"redirect_uris": [URI]}
    assert read_request(asked, stated={}, way=way)["grant_types"] == ["authorization_code"]
    assert read_request({}, stated=asked, way=way)["grant_types"] == ["authorization_code"]
    machines = replace(way, allowed=replace(ALLOWED, grant_types=frozenset({"client_credentials"})))
    assert "grant_types" not in read_request(asked, stated={}, way=machines)
    assert "grant_types" not in read_request({}, stated={}, way=way)
    assert read_request({**asked, "grant_types": ["x"]}, stated={}, way=way)["grant_types"] == ["x"]
