"""certbound.core.authorization: what may be asked, where the answer goes, and who is told what is wrong."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbound.core.authorization import (
    MAX_HINT,
    MAX_NONCE,
    MAX_STATE,
    MOST_WORDS,
    AuthorizationError,
    AuthorizationRequest,
    Prompt,
    ReturnTo,
    find_return,
    read_request,
    require_current,
)
from certbound.core.clients import Client, ClientId, read_client
from certbound.core.errors import InvalidRequest, OAuthError, UnauthorizedClient
from certbound.core.grants import Policy
from certbound.core.jws import MAX_TOKEN
from certbound.core.redirects import ResponseMode
from certbound.core.scope import Scope
from redirecting import HOSTS, NONE

URI = "https://app.example/cb"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
POLICY = Policy(
    scope=Scope(frozenset({"openid", "read", "write", "admin"})),
    resources=["https://api.example", "https://other.example"],
)


def client(**changes: Any) -> Client:
    metadata = {
        "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "app.example",
        "grant_types": ["authorization_code"], "redirect_uris": [URI], "scope": "openid read write gone",
    }  # fmt: skip
    return read_client("app", {**metadata, **changes})


APP = client()
ASKED = {"response_type": "code", "redirect_uri": URI, "code_challenge": CHALLENGE, "code_challenge_method": "S256"}


def parameters(**changes: str | Sequence[str] | None) -> Mapping[str, Sequence[str]]:
    """Those of a good request, some changed; None takes one away."""
    given = {**ASKED, "client_id": "app", **changes}
    return {name: [value] if isinstance(value, str) else value for name, value in given.items() if value is not None}


def ask(app: Client = APP, /, **changes: str | Sequence[str] | None) -> AuthorizationRequest:
    given = parameters(**changes)
    return read_request(given, app, POLICY, find_return(given, app))


def shown(app: Client = APP, /, **changes: str | Sequence[str] | None) -> OAuthError:
    """What the person is told, and nobody else."""
    with pytest.raises(OAuthError) as refused:
        ask(app, **changes)
    return refused.value


def told(app: Client = APP, /, **changes: str | Sequence[str] | None) -> AuthorizationError:
    """What the client is told."""
    with pytest.raises(AuthorizationError) as refused:
        ask(app, **changes)
    assert refused.value.description.isprintable()
    return refused.value


def test_the_least_request() -> None:
    """All that the client may have, of the first resource, answered in the query."""
    assert ask() == AuthorizationRequest(
        client_id="app",
        to=ReturnTo(URI, ResponseMode.QUERY),
        scope=("openid", "read", "write"),
        resources=("https://api.example",),
        code_challenge=CHALLENGE,
    )


def test_everything_that_may_be_asked() -> None:
    """Each as it was sent."""
    asked = ask(
        state="a b&c=\u00e4\u202e", response_mode="form_post", scope="write openid", nonce="n-0",
        prompt="login consent", max_age="0", login_hint="ada@a.example", acr_values="gold silver",
        ui_locales="cs en-GB", id_token_hint="a.b.c",
        resource=["https://other.example", "https://api.example", "https://other.example"],
    )  # fmt: skip
    assert asked.to == ReturnTo(URI, ResponseMode.FORM_POST, "a b&c=\u00e4\u202e")
    assert asked.scope == ("openid", "write")
    assert asked.resources == ("https://other.example", "https://api.example")
    assert (asked.nonce, asked.max_age, asked.prompt) == ("n-0", 0, frozenset({Prompt.LOGIN, Prompt.CONSENT}))
    assert (asked.login_hint, asked.id_token_hint) == ("ada@a.example", "a.b.c")
    assert (asked.acr_values, asked.ui_locales) == (("gold", "silver"), ("cs", "en-GB"))


def test_a_request_is_kept_as_json() -> None:
    """And read again as it was."""
    for asked in (ask(), ask(prompt="login", max_age="1", state="\u00e4", acr_values="a b", response_mode="fragment")):
        kept = json.loads(msgspec.json.encode(asked))
        assert msgspec.convert(kept, AuthorizationRequest) == asked


# (1) to (3): shown to the person


@pytest.mark.parametrize("grants", [["client_credentials"], ["refresh_token"], ["client_credentials", "refresh_token"]])
def test_a_client_without_the_grant_sends_nobody(grants: list[str]) -> None:
    """(1) Not even with an error, though its redirect URI is registered."""
    assert isinstance(shown(client(grant_types=grants)), UnauthorizedClient)


@pytest.mark.parametrize(
    "uri",
    [*NONE, *(uri for uri in HOSTS if uri != URI), URI + "/", URI + "?", URI + "#", URI + "?x=y", URI + " ",
     URI.upper(), URI + "/../evil", URI.replace("https", "http"), URI.replace("app.", "APP."),
     URI.replace("/cb", ":443/cb"), URI + "\r\nlocation: https://evil.example",
     URI.replace("app.example", "app.example.evil.example")],
)  # fmt: skip
def test_nobody_is_sent_where_the_client_did_not_register(uri: str) -> None:
    """(2) Whatever else is wrong with the request: no answer goes there."""
    for worse in ({}, {"response_type": "token"}, {"prompt": "none"}, {"scope": "x"}, {"response_mode": "fragment"}):
        assert isinstance(shown(redirect_uri=uri, **worse), InvalidRequest)


def test_one_redirect_uri_is_named() -> None:
    """(2) Also where there is but one; of two, though both are registered, none counts."""
    assert "missing" in shown(redirect_uri=None).reason
    assert "repeated" in shown(redirect_uri=[URI, URI]).reason
    both = client(redirect_uris=[URI, URI + "2"])
    assert "repeated" in shown(both, redirect_uri=[URI, URI + "2"]).reason
    assert ask(both, redirect_uri=URI + "2").to.redirect_uri == URI + "2"
    other = shown(redirect_uri=URI + "2")
    assert URI + "2" in other.reason
    assert other.description == "redirect_uri is none that the client registered"


def test_a_native_app_takes_the_port_that_it_gets() -> None:
    """(2) The answer goes to the port that was asked for."""
    app = client(redirect_uris=["http://127.0.0.1/cb"])
    assert ask(app, redirect_uri="http://127.0.0.1:49152/cb").to.redirect_uri == "http://127.0.0.1:49152/cb"
    assert isinstance(shown(app, redirect_uri="http://127.0.0.1:49152/other"), InvalidRequest)


def test_state_has_a_length() -> None:
    """(3) Ten thousand characters would not come back in one piece, so nothing comes back."""
    assert ask(state="s" * MAX_STATE).to.state == "s" * MAX_STATE
    for state in ("s" * (MAX_STATE + 1), "s" * 10_000):
        refused = shown(state=state)
        assert isinstance(refused, InvalidRequest)
        assert state not in refused.description
    assert "repeated" in shown(state=["a", "a"]).reason


@pytest.mark.parametrize("mode", ["jwt", "query.jwt", "Query", "QUERY", " query", "web_message", "none"])
def test_a_response_mode_that_is_none(mode: str) -> None:
    """(3) Nobody guesses how the answer travels."""
    assert "response_mode" in shown(response_mode=mode).reason
    assert "repeated" in shown(response_mode=["query", "query"]).reason


# (4) to (7): told to the client


TOLD: list[tuple[dict[str, Any], str, str]] = [
    # (4) one that we speak
    ({"request": "a.b.c"}, "request_not_supported", "request is not taken here"),
    ({"request_uri": "https://app.example/r"}, "request_uri_not_supported", "request_uri"),
    ({"registration": "{}"}, "registration_not_supported", "registration"),
    ({"authorization_details": "[]"}, "invalid_authorization_details", "authorization_details"),
    ({"response_type": None}, "invalid_request", "response_type is missing"),
    *(
        ({"response_type": kind}, "unsupported_response_type", "response_type must be code")
        for kind in ("token", "id_token", "code token", "code id_token", "none", "Code", "code code", " code", "code ")
    ),
    ({"response_type": ["code", "code"]}, "invalid_request", "response_type is repeated"),
    ({"scope": ["read", "write"]}, "invalid_request", "scope is repeated"),
    ({"nonce": ["a", "a"]}, "invalid_request", "nonce is repeated"),
    ({"code_challenge": [CHALLENGE, CHALLENGE]}, "invalid_request", "code_challenge is repeated"),
    ({"unknown": ["a", "b"]}, "invalid_request", "unknown is repeated"),
    # (5) proof that whoever redeems the code began
    ({"code_challenge": None}, "invalid_request", "code_challenge is missing"),
    ({"code_challenge": None, "code_challenge_method": None}, "invalid_request", "PKCE"),
    ({"code_challenge_method": None}, "invalid_request", "must be S256"),
    ({"code_challenge_method": "plain"}, "invalid_request", "must be S256"),
    ({"code_challenge_method": "s256"}, "invalid_request", "must be S256"),
    ({"code_challenge": CHALLENGE[:-1]}, "invalid_request", "SHA-256"),
    ({"code_challenge": CHALLENGE + "="}, "invalid_request", "SHA-256"),
    ({"code_challenge": "a" * 128}, "invalid_request", "SHA-256"),
    # (6) no more than there is
    ({"scope": "admin"}, "invalid_scope", "scope"),
    ({"scope": "read gone"}, "invalid_scope", "scope"),
    ({"scope": "read  write"}, "invalid_scope", "scope"),
    ({"scope": "read\twrite"}, "invalid_scope", "scope"),
    ({"scope": 'a"'}, "invalid_scope", "scope"),
    ({"resource": ["https://unknown.example"]}, "invalid_target", "resource"),
    ({"resource": ["https://api.example", "x"]}, "invalid_target", "resource"),
    # (7) what is wanted of the person
    ({"nonce": "n" * (MAX_NONCE + 1)}, "invalid_request", "nonce has more than"),
    ({"id_token_hint": "t" * (MAX_TOKEN + 1)}, "invalid_request", "id_token_hint has more than"),
    ({"prompt": "create"}, "invalid_request", "prompt must be of"),
    ({"prompt": "Login"}, "invalid_request", "prompt must be of"),
    ({"prompt": "login  consent"}, "invalid_request", "prompt must be of"),
    ({"prompt": "none login"}, "invalid_request", "stands alone"),
    ({"prompt": "consent none"}, "invalid_request", "stands alone"),
    ({"max_age": "-1"}, "invalid_request", "max_age"),
    ({"max_age": "1.5"}, "invalid_request", "max_age"),
    ({"max_age": "1e3"}, "invalid_request", "max_age"),
    ({"max_age": "\u0661"}, "invalid_request", "max_age"),
    ({"max_age": " 1"}, "invalid_request", "max_age"),
    ({"max_age": "1" * 10}, "invalid_request", "max_age"),
]


@pytest.mark.parametrize(("changes", "error", "said"), TOLD)
def test_what_is_wrong_is_told_to_the_client(changes: dict[str, Any], error: str, said: str) -> None:
    """With the error of its RFC, where it wants answers and with its state; all else is right."""
    refused = told(**changes, state="s", response_mode="fragment")
    assert refused.error == error
    assert said in refused.description
    assert refused.to == ReturnTo(URI, ResponseMode.FRAGMENT, "s")


def test_what_means_nothing_is_ignored() -> None:
    """Parameters that nobody here knows, also those of other profiles that ask for nothing one could rely on."""
    assert ask(display="popup", claims_locales="cs", vendor="x", id_token="y") == ask()


def test_hints_are_bounded() -> None:
    """They are shown or handed on, and decide nothing."""
    assert ask(login_hint="a" * 10_000).login_hint == "a" * MAX_HINT
    assert len(ask(ui_locales="cs " * 100).ui_locales) == MOST_WORDS
    assert len(ask(acr_values="a " * 100).acr_values) == MOST_WORDS


@pytest.mark.parametrize(("default", "asked", "found"), [(None, None, None), (60, None, 60), (60, "5", 5), (60, "0", 0),
                                                         (0, None, 0), (None, "7", 7), (60, "600", 600)])  # fmt: skip
def test_a_client_has_a_max_age_of_its_own(default: int | None, asked: str | None, found: int | None) -> None:
    """Where the request does not say (OpenID Connect Registration section 2)."""
    assert ask(client(default_max_age=default), max_age=asked).max_age == found


@pytest.mark.parametrize(("asked", "found"), [(None, ("gold", "silver")), ("", ("gold", "silver")), ("sca", ("sca",))])
def test_a_client_has_ways_of_login_of_its_own(asked: str | None, found: tuple[str, ...]) -> None:
    """Likewise, in its order."""
    assert ask(client(default_acr_values=["gold", "silver"]), acr_values=asked).acr_values == found
    assert ask(acr_values=asked).acr_values == (found if asked else ())


VALUES = st.text(max_size=30) | st.sampled_from(["none", "code", URI, CHALLENGE, "read", "S256", "0", "query", *NONE])
NAMES = st.sampled_from([*ASKED, "state", "scope", "nonce", "prompt", "max_age", "resource", "response_mode", "request",
                         "ui_locales", "acr_values", "login_hint", "id_token_hint", "x"])  # fmt: skip


@given(st.dictionaries(NAMES, st.lists(VALUES, min_size=1, max_size=2)))
def test_any_request_is_one_or_is_refused(changes: dict[str, list[str]]) -> None:
    """And whoever is told goes to the address that the client registered; what stands is no more than it may have."""
    try:
        asked = ask(**changes)
    except AuthorizationError as refused:
        to, description = refused.to, refused.description
        assert all(" " <= each <= "~" for each in description)
    except OAuthError:
        return
    else:
        to = asked.to
        assert set(asked.scope) <= APP.scope & POLICY.scope
        assert set(asked.resources) <= set(POLICY.resources)
        assert asked.code_challenge == CHALLENGE
    assert to.redirect_uri == URI


# (8) and (9): what waited


def test_what_waited_is_still_asked_by_the_client() -> None:
    """As it is registered now: with more, with less that nobody asked for, or with a loopback address."""
    asked = ask(scope="read", resource=["https://other.example"])
    for app in (APP, client(scope="read"), client(redirect_uris=["https://app.example/other", URI])):
        assert require_current(asked, app, POLICY) is asked
    native = client(redirect_uris=["http://127.0.0.1/cb"])
    require_current(ask(native, redirect_uri="http://127.0.0.1:5/cb"), native, POLICY)


@pytest.mark.parametrize(
    ("now", "kind"),
    [
        (client(redirect_uris=["https://app.example/other"]), InvalidRequest),
        (client(redirect_uris=[URI + "/"]), InvalidRequest),
        (client(grant_types=["client_credentials"]), UnauthorizedClient),
        (replace(APP, enabled=False), InvalidRequest),
        (replace(APP, client_id=ClientId("other")), InvalidRequest),
        (client(scope="write"), AuthorizationError),
    ],
    ids=["moved", "nearly", "no grant", "disabled", "another", "less scope"],
)  # fmt: skip
def test_a_client_that_lost_it_meanwhile(now: Client, kind: type[Exception]) -> None:
    """People are sent nowhere where they would not be sent now; what it lost of scope the client is told."""
    with pytest.raises(kind):
        require_current(ask(scope="read"), now, POLICY)


def test_people_are_told_that_the_app_was_disabled() -> None:
    """And not that it may not use a grant; that is another thing, which it may well have still."""
    with pytest.raises(InvalidRequest) as refused:
        require_current(ask(scope="read"), replace(APP, enabled=False), POLICY)
    assert "disabled" in refused.value.description


def test_a_deployment_that_lost_it_meanwhile() -> None:
    """A scope or a resource that is gone."""
    asked = ask(scope="read write", resource=["https://other.example"])
    for policy, error in (
        (replace(POLICY, scope=Scope(frozenset({"write"}))), "invalid_scope"),
        (replace(POLICY, resources=["https://api.example"]), "invalid_target"),
    ):
        with pytest.raises(AuthorizationError) as refused:
            require_current(asked, APP, policy)
        assert refused.value.error == error
        assert refused.value.to == asked.to
