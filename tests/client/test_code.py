"""`certbound.client.flow.code`: a person is asked, and only the answer to that is taken (RFC 9126, RFC 9207)."""

from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from certbound.client import AnswerUnusable, AuthorizationRefused, ClientError, Credential, RedirectUnusable
from certbound.client.flow import ServerMetadata, Started, authorize, read_redirect, redeem
from client.stepping import ALIAS, ISSUER, answer, form, metadata, step

BACK = "http://127.0.0.1:7777/back"
STATE, VERIFIER = "s" * 43, "v" * 43
CHALLENGE = urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
STARTED = Started(url=f"{ISSUER}/authorize", redirect_uri=BACK, state=STATE, verifier=VERIFIER)
SAYS_ISS = metadata(authorization_response_iss_parameter_supported=True)


def begin(server: ServerMetadata, **more: Any) -> Any:
    given = {"redirect_uri": BACK, "state": STATE, "verifier": VERIFIER, **more}
    return authorize(server, Credential("me"), **given)


def come_back(server: ServerMetadata | None = None, *, to: str = BACK, **members: str) -> str:
    return read_redirect(server or metadata(), STARTED, f"{to}?{urlencode(members)}")


def test_the_request_is_pushed_where_the_server_can() -> None:
    """Then the browser carries a reference and who asks, and nothing else."""
    started, [asked] = step(begin(metadata(), scope="read"), answer({"request_uri": "urn:x", "expires_in": 60}, 201))
    assert asked.url == f"{ALIAS}/par"
    assert form(asked) == {
        "response_type": "code", "client_id": "me", "redirect_uri": BACK, "state": STATE, "scope": "read",
        "code_challenge": CHALLENGE, "code_challenge_method": "S256",
    }  # fmt: skip
    assert started.url == f"{ISSUER}/authorize?client_id=me&request_uri=urn%3Ax"


def test_without_that_the_browser_carries_it() -> None:
    """To the page itself, which has no alias; a query that its URL has stays."""
    server = metadata(pushed_authorization_request_endpoint=None, mtls_endpoint_aliases=None)
    server = metadata(**{**server.document, "authorization_endpoint": f"{ISSUER}/authorize?tenant=1"})
    flow = begin(server, push=False, more={"login_hint": "anna"})
    with pytest.raises(StopIteration) as done:
        next(flow)
    query = parse_qs(urlsplit(done.value.value.url).query)
    assert (query["tenant"], query["client_id"], query["code_challenge"]) == (["1"], ["me"], [CHALLENGE])
    assert query["login_hint"] == ["anna"]


@pytest.mark.parametrize(
    "wrong",
    [{"state": "short"}, {"verifier": "short"}, {"more": {"state": "x" * 43}}, {"more": {"client_id": "another"}}],
)
def test_what_cannot_protect_is_refused(wrong: dict[str, Any]) -> None:
    """A guessable state or verifier, and a second state or client beside ours."""
    with pytest.raises(ClientError):
        next(begin(metadata(), **wrong))


def test_a_pushed_request_without_a_reference() -> None:
    """It is no answer, whatever its status."""
    with pytest.raises(AnswerUnusable, match="without a request_uri"):
        step(begin(metadata()), answer({}, 201))


def test_the_code_comes_back() -> None:
    """With the state, and the issuer if it is told."""
    assert come_back(state=STATE, code="c") == "c"
    assert come_back(SAYS_ISS, state=STATE, code="c", iss=ISSUER) == "c"


@pytest.mark.parametrize(
    "members",
    [
        {"code": "c"},
        {"code": "c", "state": ""},
        {"code": "c", "state": STATE + "x"},
        {"state": STATE},
        {"state": STATE, "code": ""},
        {"code": "c", "state": STATE, "iss": "https://evil.example"},
        {"code": "c", "state": STATE, "iss": ""},
        {"error": "access_denied", "state": STATE, "iss": "https://evil.example"},
    ],
)
def test_what_is_no_answer_to_what_was_started(members: dict[str, str]) -> None:
    """Another's state, none, another issuer, for a refusal too, or no code."""
    with pytest.raises(RedirectUnusable) as refused:
        come_back(**members)
    assert STATE not in str(refused.value)


def test_a_server_that_promised_its_name_has_to_say_it() -> None:
    """RFC 9207 section 2.4: else one that did not promise could have been mixed up with it."""
    with pytest.raises(RedirectUnusable, match="was asked"):
        come_back(SAYS_ISS, state=STATE, code="c")


@pytest.mark.parametrize("to", ["https://127.0.0.1:7777/back", "http://127.0.0.1:7778/back", "http://127.0.0.1:7777/"])
def test_an_answer_elsewhere(to: str) -> None:
    """Another scheme, port or path is not where the answer was to go."""
    with pytest.raises(RedirectUnusable, match="is no answer to"):
        come_back(to=to, state=STATE, code="c")


def test_nothing_is_said_twice() -> None:
    """Two codes are none."""
    with pytest.raises(RedirectUnusable):
        read_redirect(metadata(), STARTED, f"{BACK}?state={STATE}&code=a&code=b")


def test_an_error_is_an_error_of_the_issuer() -> None:
    """Its word and its description, once it is sure that it is from there; nothing in it can run."""
    with pytest.raises(AuthorizationRefused) as refused:
        come_back(state=STATE, error="access_denied", error_description="no\x1b[31m")
    assert refused.value.error == "access_denied"
    assert str(refused.value).isprintable()
    with pytest.raises(RedirectUnusable):
        come_back(state="x", error="access_denied")


def test_a_code_is_redeemed_with_the_verifier() -> None:
    """At the alias, by the client's own method."""
    token, [asked] = step(redeem(metadata(), Credential("me"), STARTED, "c"), answer(
        {"access_token": "t", "token_type": "Bearer", "refresh_token": "r", "id_token": "i"}
    ))  # fmt: skip
    assert form(asked) == {
        "grant_type": "authorization_code", "code": "c", "redirect_uri": BACK, "code_verifier": VERIFIER,
        "client_id": "me",
    }  # fmt: skip
    assert (asked.url, token.refresh_token, token.id_token) == (f"{ALIAS}/token", "r", "i")
