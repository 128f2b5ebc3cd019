"""certbound.core.people: what an account may be."""

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbound.core.openid import CLAIMS_OF
from certbound.core.people import (
    CLAIM_TYPES,
    MAX_PASSWORD,
    UnfitAccount,
    choose_password,
    claims_of,
    is_subject,
    prepare_password,
    prepare_username,
    read_claims,
)
from certbound.core.ports import AccountRecord


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("Anna", "anna"),
        ("Anna@Example.COM", "anna@example.com"),
        ("ＡＮＮＡ", "anna"),
        ("ﾀﾅｶ", "タナカ"),
        ("Z\u030cofie", "\u017eofie"),
        ("ŽOFIE", "\u017eofie"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("straße", "straße"),
        ("שלום", "שלום"),
        ("क्\u200dष", "क्\u200dष"),
        ("l·l", "l·l"),
        ("a" * 255, "a" * 255),
        ("!#$%&'*+-/=?^_`{|}~.,;:<>()[]\\\"@", "!#$%&'*+-/=?^_`{|}~.,;:<>()[]\\\"@"),
    ],
)
def test_usernames_that_look_alike_are_alike(typed: str, kept: str) -> None:
    """UsernameCaseMapped of RFC 8265: width, case and composition do not count."""
    assert prepare_username(typed) == kept


@pytest.mark.parametrize(
    "typed",
    [
        "", " ", "a b", "a\xa0b", "a\u3000b", " anna", "anna\n", "an\0na", "an\x1bna", "an\x7fna", "an\x85na",
        "\u202eanna", "an\u2066na", "an\u200bna", "an\u00adna", "an\u200cna", "an\u200dna", "anna\ufeff",
        "\ufb01rst", "\u2163", "\u01c5", "\u017fam", "😀", "a\u2028b", "an\ud800na", "an\uffffna", "\U000e0061nna",
        "\u0301anna", "שa", "aש", "a·b", "\u0378", "\u115f\u1160", "a" * 256, "\u1100\u1161\u11a8\u0300\u302e",
    ],
)  # fmt: skip
def test_usernames_that_cannot_be_told_apart_are_refused(typed: str) -> None:
    """Spaces, controls, what is not seen, what turns round, what has another form, and too long ones."""
    with pytest.raises(UnfitAccount) as refused:
        prepare_username(typed)
    assert refused.value.field == "username"
    assert refused.value.reason.isprintable()


@given(st.text(max_size=40))
def test_a_prepared_username_is_its_own(text: str) -> None:
    """Whatever is typed: what comes out is prepared already, and printable."""
    try:
        prepared = prepare_username(text)
    except UnfitAccount:
        return
    assert prepare_username(prepared) == prepared
    assert prepared == unicodedata.normalize("NFC", prepared)
    assert not any(character.isspace() for character in prepared)
    assert not any(unicodedata.category(character) in {"Cc", "Cs", "Cn", "Zs"} for character in prepared)


@given(st.from_regex(r"[a-zA-Z0-9.@_-]{1,40}", fullmatch=True))
def test_capitals_do_not_count(text: str) -> None:
    """Neither way."""
    assert prepare_username(text) == prepare_username(text.upper()) == prepare_username(text.lower())


def test_a_password_is_never_trimmed() -> None:
    """Spaces around it count; another kind of space is a space, another composition the same character."""
    assert prepare_password("  pass word  ") == "  pass word  "
    assert prepare_password("pass\xa0word\u3000") == "pass word "
    assert prepare_password("Z\u030c") == "\u017d"
    assert prepare_password("Ａ") == "Ａ"
    assert prepare_password("👩\u200d🔧 ok") == "👩\u200d🔧 ok"
    assert len(prepare_password("x" * MAX_PASSWORD)) == MAX_PASSWORD


@pytest.mark.parametrize(
    "typed", ["x" * (MAX_PASSWORD + 1), "pass\0word", "pass\nword", "pass\ud800word", "pass\uffff"]
)
def test_what_nobody_can_type_again_is_no_password(typed: str) -> None:
    """Controls, halves of characters, and what is too long."""
    with pytest.raises(UnfitAccount):
        prepare_password(typed)


@pytest.mark.parametrize("typed", ["", "seven77", "Z\u030c" * 7, "anna-maria", "Anna-Maria", "aaaaaaaa", "abababab"])
def test_new_passwords_are_not_the_first_guess(typed: str) -> None:
    """Eight characters, not the name, not two characters over and over."""
    with pytest.raises(UnfitAccount) as refused:
        choose_password(typed, "anna-maria@example.com")
    assert typed not in str(refused.value) or not typed


def test_other_passwords_are_good() -> None:
    """No rule asks for capitals and digits."""
    assert choose_password("correct horse", "anna") == "correct horse"
    assert choose_password("anna anna", "anna") == "anna anna"


@pytest.mark.parametrize(
    ("claim", "good", "bad"),
    [
        ("name", "Anna Nová", ["", "a\nb", "a" * 513, 7, None, ["Anna"]]),
        ("email", "anna@example.com", ["anna", "@", "a@b@c d", True]),
        ("email_verified", True, ["true", 1]),
        ("phone_number_verified", False, [0, "no"]),
        ("website", "https://anna.example/", ["javascript:alert(1)", "anna.example", "https://a b"]),
        ("birthdate", "0000-05-17", ["17. 5.", "1990-5-1"]),
        ("zoneinfo", "Europe/Prague", ["Praha!"]),
        ("locale", "cs-CZ", ["Czech language"]),
        ("updated_at", 1_700_000_000, [1.5, True, "now", -1]),
        ("address", {"formatted": "A 1\nPraha"}, [{}, {"street": "A"}, {"region": 1}, "A 1", {"region": "a\0"}]),
    ],
)
def test_a_claim_has_the_type_of_the_standard(claim: str, good: Any, bad: list[Any]) -> None:
    """OpenID Connect Core section 5.1; the refusal names it."""
    assert read_claims({claim: good}) == {claim: good}
    for value in bad:
        with pytest.raises(UnfitAccount) as refused:
            read_claims({claim: value})
        assert refused.value.field == claim


@pytest.mark.parametrize("claim", ["sub", "iss", "role", "", "groups", "auth_time"])
def test_other_claims_are_none(claim: str) -> None:
    """What others would rely on is not in an account's hands."""
    with pytest.raises(UnfitAccount, match="is no claim of an account"):
        read_claims({claim: "x"})


def test_every_standard_claim_has_a_type() -> None:
    """And no other has."""
    assert {name for names in CLAIMS_OF.values() for name in names} == set(CLAIM_TYPES)


def test_claims_have_a_bound_together() -> None:
    """Each fits, and all of them do not."""
    texts = [name for name, (fits, _) in CLAIM_TYPES.items() if fits("\U0001f600" * 500)]
    with pytest.raises(UnfitAccount, match="8192 bytes"):
        read_claims(dict.fromkeys(texts, "\U0001f600" * 500))


def test_the_name_is_a_claim_unless_another_is_stated() -> None:
    """preferred_username."""
    account = AccountRecord(subject="s", username="anna", claims={"email": "a@b"})
    assert claims_of(account) == {"preferred_username": "anna", "email": "a@b"}
    stated = AccountRecord(subject="s", username="anna", claims={"preferred_username": "Anička"})
    assert claims_of(stated) == {"preferred_username": "Anička"}


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("248289761001", True), ("a@b|c", True), ("x" * 255, True), ("x" * 256, False), ("", False), ("a b", False),
     ("á", False), ("a\n", False), ("\0", False)],
)  # fmt: skip
def test_subjects_of_others(text: str, is_one: bool) -> None:
    """Printable ASCII of 255 characters at most."""
    assert is_subject(text) is is_one
