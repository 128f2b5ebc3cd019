"""certbound.core.jws: JWTs of others, bounded and read before they are believed."""

import contextlib
import json
import tracemalloc
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import KeySet

from certbound.core import jws
from certbound.core.jws import (
    LONGEST_HEADER,
    MAX_TOKEN,
    MOST_HEADERS,
    BadJwt,
    Header,
    NoKey,
    is_time,
    read_header,
    read_jwt,
    require_time,
    unverified_claims,
    verified_claims,
)
from certbound.core.signing import SigningKey
from certificates import NOW
from issuing import KEY, KEYS, encode, signed

TYPES = frozenset({"at+jwt"})


def token(header: Any, payload: Any = None) -> str:
    """Any header and payload, and a signature of nothing."""
    return f"{encode(json.dumps(header))}.{encode(json.dumps(payload or {}))}.{encode('x')}"


def _next(letter: str) -> str:
    """One that differs in its last bit."""
    return _ALPHABET[_ALPHABET.index(letter) ^ 1]


_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def refused(found: str, **options: Any) -> str:
    """Why its header is refused."""
    with pytest.raises(BadJwt) as refusal:
        read_header(found, **{"types": TYPES, "algorithms": ["ES256"], **options})
    return str(refusal.value)


def verified(found: str, header: Header, keys: KeySet) -> Mapping[str, Any]:
    """What one of `keys` signed, by both ways to know, which agree: in one go, and of a token that was read before."""
    at_once, read = (_outcome(way, found, header, keys) for way in (verified_claims, _read_before))
    if isinstance(at_once, BadJwt):
        assert type(read) is type(at_once)
        raise at_once
    assert read == at_once
    return at_once


def _read_before(found: str, header: Header, keys: KeySet) -> Mapping[str, Any]:
    return read_jwt(found).verified_claims(header, keys)


def _outcome(way: Callable[..., Mapping[str, Any]], *given: Any) -> Mapping[str, Any] | BadJwt:
    try:
        return way(*given)
    except BadJwt as refusal:
        return refusal


class TestHeaders:
    def test_a_header_says_algorithm_and_key(self) -> None:
        """And its type in any case; members that nobody knows are ignored."""
        header = {"alg": "ES256", "typ": "AT+JWT", "kid": "1", "x5t": 7}
        assert read_header(token(header), types=TYPES, algorithms=["ES256"]) == Header("ES256", "1")

    @pytest.mark.parametrize("typ", [..., None, "", "JWT", "at+jwt ", 7, ["at+jwt"], "logout+jwt"])
    def test_another_type(self, typ: Any) -> None:
        """Is refused, the absent one too where it is not listed."""
        assert "typ is" in refused(token({"alg": "ES256", **({} if typ is ... else {"typ": typ})}))

    def test_no_type_where_that_is_listed(self) -> None:
        """But an empty one is none of those that are."""
        assert read_header(token({"alg": "ES256"}), types={None}, algorithms=["ES256"]).kid is None
        refused(token({"alg": "ES256", "typ": ""}), types={None})

    @pytest.mark.parametrize("alg", [None, "none", "None", "HS256", "es256", "ES384", 7, ["ES256"], {"a": 1}, ""])
    def test_another_algorithm(self, alg: Any) -> None:
        """Only what is listed, as it is spelled."""
        assert "alg is" in refused(token({"alg": alg, "typ": "at+jwt"}))

    @pytest.mark.parametrize("more", [{"crit": []}, {"crit": ["exp"]}, {"b64": True}, {"kid": 1}, {"kid": ["1"]}])
    def test_what_would_have_to_be_understood(self, more: dict[str, Any]) -> None:
        """A critical extension, an unencoded payload, a kid that is no string."""
        assert "critical" in refused(token({"alg": "ES256", "typ": "at+jwt", **more}))

    def test_one_that_was_read_before_is_judged_again(self) -> None:
        """By the types and algorithms that are asked for now, though the same bytes passed a moment ago."""
        found = token({"alg": "ES256", "typ": "at+jwt", "kid": "again"})
        for read in (read_header, lambda text, **asked: read_jwt(text).header(**asked)):
            for _ in range(2):
                assert read(found, types=TYPES, algorithms=["ES256"]) == Header("ES256", "again")
                with pytest.raises(BadJwt, match="typ is 'at\\+jwt'"):
                    read(found, types={"logout+jwt", None}, algorithms=["ES256"])
                with pytest.raises(BadJwt, match="alg is 'ES256'"):
                    read(found, types=TYPES, algorithms=["PS256"])

    def test_few_are_remembered_and_those_are_short(self) -> None:
        """Whoever sends many headers, long ones, or such as are refused, fills no memory."""
        remembered = jws._short_header
        remembered.cache_clear()
        for number in range(MOST_HEADERS * 3):
            read_header(token({"alg": "ES256", "kid": f"{number}"}), types={None}, algorithms=["ES256"])
        assert remembered.cache_info().currsize == MOST_HEADERS
        remembered.cache_clear()
        long = token({"alg": "ES256", "kid": "1", "x": "x" * LONGEST_HEADER})
        assert read_header(long, types={None}, algorithms=["ES256"]).kid == "1"
        for bad in ({"alg": "ES256", "crit": []}, {"alg": 7}, {"alg": "ES256", "typ": 7}, [], 7):
            refused(token(bad), types={None})
        assert remembered.cache_info().currsize == 0


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "...", "a.b", "a.b.c.d", "\x00.\x00.\x00", "é.é.é", "e30.e30", "e30.W10.", "W10.e30.",
     "bnVsbA.e30.",
     "." * 5000, "\ud800..", "ew.ew.", encode("[" * 6000) + ".e30.", "e30." + encode('{"a":' * 1000) + "."],
)  # fmt: skip
def test_what_is_no_jwt(text: str) -> None:
    """Is `BadJwt`, whatever it is."""
    with pytest.raises(BadJwt):
        read_header(text, types={None}, algorithms=["ES256"])
    with contextlib.suppress(BadJwt):  # some have a payload, and no more
        unverified_claims(text)


def test_what_is_too_long_is_not_decoded() -> None:
    """A megabyte costs nothing."""
    long = token({"alg": "ES256", "typ": "at+jwt"}, {"a": "x" * (1 << 20)})
    tracemalloc.start()
    try:
        assert "too long" in refused(long)
        assert tracemalloc.get_traced_memory()[1] < 20_000
    finally:
        tracemalloc.stop()
    refused(token({"alg": "ES256", "typ": "at+jwt"}, {"a": "x" * MAX_TOKEN}))


@given(st.one_of(st.text(), st.binary().map(lambda data: data.decode("latin-1")),
    st.lists(st.binary(max_size=40).map(encode), min_size=3, max_size=3).map(".".join)))  # fmt: skip
def test_any_text_is_read_or_refused(text: str) -> None:
    """No other exception leaves."""
    for read in (unverified_claims, lambda it: read_header(it, types=TYPES, algorithms=["ES256"])):
        with contextlib.suppress(BadJwt):
            read(text)


class TestSignatures:
    def test_the_key_of_the_kid_verifies(self) -> None:
        """And any that fits where there is no kid."""
        found = signed(b'{"a":1}')
        assert verified(found, Header("ES256", KEY.kid), KEYS) == {"a": 1}
        assert verified(found, Header("ES256", None), KEYS) == {"a": 1}

    def test_a_signature_of_another(self) -> None:
        """Is refused, as is one that was touched, of any length, or none."""
        good = signed(b'{"a":1}')
        head, payload, signature = good.split(".")
        for bad in (
            signed(b'{"a":1}', {"kid": KEY.kid}, key=SigningKey.generate()),
            f"{head}.{payload}.",
            f"{head}.{payload}.{signature[:-4]}",
            f"{head}.{payload}.{signature}{signature}",
            f"{head}.{payload}.{encode(bytes(64))}",
            f"{head}.{encode('{}')}.{signature}",
        ):
            with pytest.raises(BadJwt) as refusal:
                verified(bad, Header("ES256", KEY.kid), KEYS)
            assert not isinstance(refusal.value, NoKey), bad

    @pytest.mark.parametrize("place", [0, 1, 2])
    @pytest.mark.parametrize("change", ["padded", "alphabet", "bits", "space", "line end", "nothing"])
    def test_a_token_has_one_spelling(self, place: int, change: str) -> None:
        """Every other one of the same bytes is refused: padded, in another alphabet, with bits that are not used."""
        # Such a length and such bytes that each change is possible.
        good = signed(b'{"a":"\xc3\xbb\xc3\xbf??>>~~"}', {"x": "\u00fb\u00ff??>>~~"})
        while not (set("-_") & set(good.split(".")[2])):
            good = signed(b'{"a":"\xc3\xbb\xc3\xbf??>>~~"}', {"x": "\u00fb\u00ff??>>~~"})
        segments = good.split(".")
        spelled = segments[place]
        segments[place] = {
            "padded": spelled + "=" * (-len(spelled) % 4 or 4),
            "alphabet": spelled.replace("-", "+").replace("_", "/"),
            "bits": spelled[:-1] + _next(spelled[-1]) if len(spelled) % 4 else spelled + "A",
            "space": spelled[:9] + " " + spelled[9:],
            "line end": spelled + "\n",
            "nothing": spelled,
        }[change]
        changed = ".".join(segments)
        if changed == good:
            assert verified(changed, read_header(changed, types=TYPES, algorithms=["ES256"]), KEYS)
            return
        with pytest.raises(BadJwt):
            verified(changed, read_header(changed, types=TYPES, algorithms=["ES256"]), KEYS)

    @pytest.mark.parametrize(
        ("header", "change"),
        [(Header("ES256", "other"), {}), (Header("PS256", None), {}), (Header("ES256", None), {"use": "enc"}),
         (Header("ES256", None), {"alg": "ES384"}), (Header("ES256", None), {"key_ops": ["encrypt"]})],
    )  # fmt: skip
    def test_no_key_that_could_have_signed(self, header: Header, change: dict[str, Any]) -> None:
        """Another kid, kind, use, algorithm: that is told apart, for nothing was verified."""
        jwk = {**KEY.public_jwk(), **change}
        jwk = {name: value for name, value in jwk.items() if not ("key_ops" in change and name == "use")}
        with pytest.raises(NoKey):
            verified(signed(b"{}"), header, KeySet.import_key_set({"keys": [jwk]}))

    @pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c", "x5t#S256"])
    def test_a_key_in_the_header_is_nothing(self, member: str) -> None:
        """Whoever brings a key is believed as little as without."""
        thief = SigningKey.generate()
        brought: Any = thief.public_jwk() if member == "jwk" else "https://thief.example/"
        with pytest.raises(BadJwt):
            verified(signed(b"{}", {member: brought, "kid": KEY.kid}, key=thief), Header("ES256", KEY.kid), KEYS)

    def test_the_header_that_was_read_decides(self) -> None:
        """Not the one in the token, should they differ."""
        with pytest.raises(NoKey):
            verified(signed(b"{}"), Header("HS256", None), KEYS)

    @pytest.mark.parametrize("payload", [b"", b"[]", b"7", b"null", b"{", b"\xff", b"[" * 5000])
    def test_a_signed_payload_that_is_no_object(self, payload: bytes) -> None:
        """Is refused though its key signed it."""
        with pytest.raises(BadJwt):
            verified(signed(payload), Header("ES256", KEY.kid), KEYS)


@pytest.mark.parametrize(
    ("value", "counts"),
    [(0, True), (-1, True), (1.5, True), (1e14, True), (1e15, False), (10**400, False), (-(10**400), False),
     (float("nan"), False), (float("inf"), False), (True, False), ("1", False), (None, False), ([], False)],
)  # fmt: skip
def test_what_is_a_time(value: Any, counts: bool) -> None:
    """A number that a clock can show."""
    assert is_time(value) is counts


def test_its_time_is_now() -> None:
    """From `nbf` and `iat`, which may be a little ahead, to `exp`, which may not be over."""
    assert require_time({"exp": NOW + 0.5, "iat": NOW + 5, "nbf": NOW + 5}, NOW) == NOW + 0.5
    for claims in ({}, {"exp": NOW}, {"exp": "x"}, {"exp": NOW + 9, "iat": NOW + 6}, {"exp": NOW + 9, "nbf": "x"},
                   {"exp": NOW + 9, "nbf": None}):  # fmt: skip
        with pytest.raises(BadJwt):
            require_time(claims, NOW)
