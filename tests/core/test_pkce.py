"""certbound.core.pkce: whoever has the verifier made the challenge, and nobody else did (RFC 7636)."""

from base64 import urlsafe_b64encode
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbound.core.errors import InvalidGrant
from certbound.core.pkce import is_challenge, verify_challenge

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
VERIFIERS = st.text(CHARACTERS, min_size=43, max_size=128)


def fits(verifier: str, challenge: str) -> bool:
    try:
        verify_challenge(verifier, challenge)
    except InvalidGrant:
        return False
    return True


def challenge_of(verifier: str) -> str:
    return urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def test_the_example_of_the_rfc() -> None:
    """RFC 7636 appendix B."""
    assert challenge_of(VERIFIER) == CHALLENGE
    assert is_challenge(CHALLENGE)
    assert fits(VERIFIER, CHALLENGE)


@given(VERIFIERS)
def test_every_verifier_fits_its_challenge(verifier: str) -> None:
    """Of 43 to 128 unreserved characters (section 4.1)."""
    assert is_challenge(challenge_of(verifier))
    assert fits(verifier, challenge_of(verifier))


@given(VERIFIERS, VERIFIERS | st.text(max_size=200))
def test_no_other_verifier_does(verifier: str, other: str) -> None:
    """Nor the challenge itself, as it would with `plain`."""
    challenge = challenge_of(verifier)
    assert fits(other, challenge) is (other == verifier)
    assert not fits(challenge, challenge)


@pytest.mark.parametrize(
    "verifier",
    ["", "a" * 42, "a" * 129, VERIFIER + "\n", VERIFIER + "=", VERIFIER[:-1] + " ", VERIFIER[:-1] + "+",
     VERIFIER[:-1] + "/", VERIFIER[:-1] + "\u00e4", VERIFIER[:-1] + "\u0661", VERIFIER[:-1] + "\x00", "\ud800" * 43],
)  # fmt: skip
def test_what_is_no_verifier_fits_nothing(verifier: str) -> None:
    """Too short to be hard to guess, too long, or of other characters: also where its hash would fit."""
    made = challenge_of(verifier) if "\ud800" not in verifier else CHALLENGE
    assert not fits(verifier, made)


@pytest.mark.parametrize(
    "challenge",
    ["", CHALLENGE[:-1], CHALLENGE + "A", CHALLENGE + "=", CHALLENGE + "\n", CHALLENGE[:-1] + "+", CHALLENGE[:-1] + "/",
     CHALLENGE[:-1] + ".", CHALLENGE[:-1] + "\u00e4", "a" * 64],
)  # fmt: skip
def test_what_is_no_challenge(challenge: str) -> None:
    """A SHA-256 in base64url has 43 characters, and no padding."""
    assert not is_challenge(challenge)
    assert not fits(VERIFIER, challenge)
