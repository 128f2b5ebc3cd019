"""certbound.core.credentials: what a request shows to say whose it is, read and not judged."""

import contextlib
from base64 import b64encode
from itertools import combinations
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asserting import assertion, form
from certbound.core.credentials import JWT_BEARER, MAX_CREDENTIAL, Credential, Presented, read_credentials
from certbound.core.errors import InvalidClient, InvalidRequest
from certificates import NOW
from issuing import signed


def basic(text: str | bytes, scheme: bytes = b"Basic") -> bytes:
    """An Authorization header."""
    return scheme + b" " + b64encode(text.encode() if isinstance(text, str) else text)


def test_nothing_but_a_name() -> None:
    """A client_id alone is a claim without a credential."""
    assert read_credentials(client_id="a") == Presented("a", Credential.NONE, "")


def test_nobody_is_named() -> None:
    """Without header and assertion, client_id is required."""
    none: dict[str, Any] = {}
    for more in (none, {"client_secret": "s"}):
        with pytest.raises(InvalidRequest, match="client_id is missing"):
            read_credentials(**more)


@given(st.text(min_size=1), st.text())
def test_basic_is_form_encoded(client_id: str, secret: str) -> None:
    """Whatever id and secret are, colons, per cents and all of Unicode (RFC 6749 section 2.3.1)."""
    try:
        header = basic(f"{quote_plus(client_id)}:{quote_plus(secret)}")
    except UnicodeEncodeError:  # half a surrogate pair
        return
    assert read_credentials(authorization=[header]) == Presented(client_id, Credential.BASIC, secret)


def test_basic_by_those_who_do_not_encode() -> None:
    """What needs no encoding is the same without; the scheme is told in any case."""
    for scheme in (b"Basic", b"basic", b"BASIC"):
        found = read_credentials(authorization=[basic("a:cbcs_x-y_z:1", scheme)], client_id="a")
        assert found == Presented("a", Credential.BASIC, "cbcs_x-y_z:1")


MALFORMED: dict[str, bytes] = {
    "empty": b"", "scheme alone": b"Basic", "scheme and a space": b"Basic ", "no base64": b"Basic !!!",
    "cut base64": b"Basic YTpi" + b"Y", "bytes": b"Basic \xff\xfe", "NUL": b"Basic \x00",
    "spaces inside": b"Basic YT pi",
    "another scheme": b"Bearer abc", "a scheme of nobody": b"X YTpi", "no scheme": b"YTpi", "a tab": b"Basic\tYTpi",
    "no colon": basic("ab"), "no name": basic(":secret"), "nothing": basic(""), "no UTF-8": basic(b"\xff:\xff"),
    "no UTF-8 inside": basic("a%FF:b"), "no UTF-8 in the secret": basic("a:%FF"), "base64url": b"Basic " + b"_-" * 8,
    "a megabyte": basic("a:" + "x" * (1 << 20)), "a megabyte of another scheme": b"x" * (1 << 20),
    "a line end": basic("a:b") + b"\n", "digest": b'Digest username="a", realm="b"', "negotiate": b"Negotiate abc",
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_an_authorization_header_that_cannot_be_read(case: str) -> None:
    """Is a failed authentication, 401, also where the body names a client."""
    for client_id in (None, "a", "ab"):
        with pytest.raises(InvalidClient) as refusal:
            read_credentials(authorization=[MALFORMED[case]], client_id=client_id)
        assert refusal.value.status == 401
        assert len(refusal.value.reason) < 300


@given(st.binary())
def test_any_header_is_read_or_refused(rest: bytes) -> None:
    """No other exception leaves."""
    for header in (rest, b"Basic " + rest, basic(rest)):
        with contextlib.suppress(InvalidClient):
            read_credentials(authorization=[header])


def test_the_name_in_the_body_is_the_same() -> None:
    """Another client_id beside header or assertion is refused; the same may stand there."""
    value = assertion("a", now=NOW)
    assert read_credentials(client_id="a", **form(value)) == Presented("a", Credential.ASSERTION, value)
    assert read_credentials(**form(value)).client_id == "a"
    for shown in ({"authorization": [basic("a:s")]}, form(value)):
        with pytest.raises(InvalidClient):
            read_credentials(client_id="b", **shown)


SHOWN: dict[str, dict[str, Any]] = {
    "header": {"authorization": [basic("a:s")]}, "bad header": {"authorization": [b"Bearer x"]},
    "empty header": {"authorization": [b""]}, "secret": {"client_secret": "s"},
    "assertion": form("a.b.c"), "assertion without type": {"client_assertion": "a.b.c"},
    "type without assertion": {"client_assertion_type": JWT_BEARER},
}  # fmt: skip


@pytest.mark.parametrize(("one", "other"), [
    pair for pair in combinations(SHOWN, 2) if len({frozenset(SHOWN[each]) for each in pair}) == 2
    and not all("assertion" in each for each in pair)
])  # fmt: skip
def test_two_credentials(one: str, other: str) -> None:
    """Are refused as a malformed request, 400, whichever and however bad they are."""
    with pytest.raises(InvalidRequest, match="more than one credential"):
        read_credentials(client_id="a", **SHOWN[one], **SHOWN[other])


def test_two_headers() -> None:
    """Are two credentials, be they the same."""
    with pytest.raises(InvalidRequest, match="more than one credential"):
        read_credentials(authorization=[basic("a:s"), basic("a:s")])


def test_half_an_assertion() -> None:
    """Assertion and type belong together."""
    for shown in ({"client_assertion": "a.b.c"}, {"client_assertion_type": JWT_BEARER}):
        with pytest.raises(InvalidRequest, match="belong together"):
            read_credentials(client_id="a", **shown)


@pytest.mark.parametrize("kind", ["", "jwt-bearer", JWT_BEARER + " ", JWT_BEARER.upper(),
    "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"])  # fmt: skip
def test_an_assertion_of_another_type(kind: str) -> None:
    """Only JWTs are read."""
    with pytest.raises(InvalidClient):
        read_credentials(client_assertion=assertion("a", now=NOW), client_assertion_type=kind)


@pytest.mark.parametrize("value", ["", "x", "a.b.c", "..", "e30.e30.", "e30.W10.", "\x00", "é", "x" * (1 << 20),
    "." * 4000, signed(b"[" * 3000), assertion("a", now=NOW, sub=7), assertion("a", now=NOW, sub=...),
    assertion("a", now=NOW, sub=["a"]), assertion("a", now=NOW, more="x" * MAX_CREDENTIAL)])  # fmt: skip
def test_an_assertion_that_cannot_be_read(value: str) -> None:
    """Is a failed authentication, whatever it is."""
    with pytest.raises(InvalidClient) as refusal:
        read_credentials(client_id="a", **form(value))
    assert len(refusal.value.reason) < 300


def test_a_secret_is_shown_to_nobody() -> None:
    """Nor an assertion: what is written of a credential is its form."""
    assert "cbcs_s" not in repr(read_credentials(client_id="a", client_secret="cbcs_s"))
    value = assertion("a", now=NOW)
    assert value not in repr(read_credentials(**form(value)))


def test_a_long_secret_is_none() -> None:
    """What is too long for any secret is cut before it is looked at."""
    assert len(read_credentials(client_id="a", client_secret="x" * (1 << 20)).value) == MAX_CREDENTIAL
