"""What an account may be: usernames and passwords that are typed (RFC 8265), and claims (OpenID Connect section 5.1).

Rule 1: of a username, letters and digits of any script, and what ASCII has beside them but for the space; capitals,
wide and narrow forms and compositions are one (UsernameCaseMapped).  Which characters there are, the tables of `idna`
say.
Rule 2: of a password every character counts, and none is taken away; only how keyboards compose it does not count
(OpaqueString, but that joiners, of which emoji are made, are let in).
Rule 3: a claim is one of the standard claims, of the type that the standard gives it.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

import idna
import msgspec
from idna import idnadata
from idna.intranges import intranges_contain

from certbound.core.errors import CertboundError
from certbound.core.openid import CLAIMS_OF
from certbound.core.ports import AccountRecord

MAX_USERNAME = 255
MIN_PASSWORD = 8
MAX_PASSWORD = 1024
MAX_CLAIM = 512
"""Characters."""
MAX_CLAIMS = 8192
"""Bytes of JSON."""


class UnfitAccount(CertboundError):
    """An account cannot be so; `field` is `username`, `password` or the name of a claim."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field} {reason}")
        self.field = field
        self.reason = reason


def prepare_username(text: str) -> str:
    """The form in which usernames are kept and compared (RFC 8265 section 3.3).  `UnfitAccount` if it is none."""
    if not 0 < len(text) <= MAX_USERNAME:
        raise UnfitAccount("username", f"has {len(text)} characters; 1 to {MAX_USERNAME} are taken")
    prepared = _map(text)
    if prepared != _map(prepared) or len(prepared) > MAX_USERNAME:
        raise UnfitAccount("username", "has characters that have no one form")
    if odd := [character for position, character in enumerate(prepared) if not _is_member(prepared, position)]:
        raise UnfitAccount("username", f"has {_named(odd[0])}; a name is of letters, digits and ASCII without space")
    if not prepared.isascii():
        _require_readable(prepared)
    return prepared


def prepare_password(text: str) -> str:
    """The form in which passwords are hashed (RFC 8265 section 4.2).  `UnfitAccount` if none can be typed like that."""
    if len(text) > MAX_PASSWORD:
        raise UnfitAccount("password", f"has more than {MAX_PASSWORD} characters")
    spaced = "".join(" " if unicodedata.category(character) == "Zs" else character for character in text)
    prepared = unicodedata.normalize("NFC", spaced)
    if any(unicodedata.category(character) in _UNTYPED for character in prepared):
        raise UnfitAccount("password", "has a character that cannot be typed: a control, or one that Unicode lacks")
    return prepared


def choose_password(text: str, username: str) -> str:
    """A password that is new: prepared, long enough, and not what everybody tries first.  `UnfitAccount` otherwise."""
    prepared = prepare_password(text)
    if len(prepared) < MIN_PASSWORD:
        raise UnfitAccount("password", f"has {len(prepared)} characters; {MIN_PASSWORD} at least are needed")
    if prepared.lower() in {username, username.partition("@")[0]} or len(set(prepared)) < 3:
        raise UnfitAccount("password", "is the username, or of two characters only; whoever guesses begins with those")
    return prepared


def read_claims(given: Mapping[str, Any]) -> dict[str, Any]:
    """`given` as claims of an account; `UnfitAccount` names the one that is wrong."""
    for name, value in given.items():
        if name not in CLAIM_TYPES:
            raise UnfitAccount(name[:64], f"is no claim of an account; those are {', '.join(sorted(CLAIM_TYPES))}")
        fits, kind = CLAIM_TYPES[name]
        if not fits(value):
            raise UnfitAccount(name, f"must be {kind}")
    if len(msgspec.json.encode(given)) > MAX_CLAIMS:
        raise UnfitAccount("claims", f"are more than {MAX_CLAIMS} bytes altogether")
    return dict(given)


def claims_of(account: AccountRecord) -> dict[str, Any]:
    """What is known of the person, by the names of claims."""
    return {"preferred_username": account.username, **account.claims}


def is_subject(text: str) -> bool:
    """Whether tokens can call a person so (OpenID Connect Core section 2: 255 ASCII characters), without a space."""
    return _SUBJECT.fullmatch(text) is not None


def _map(text: str) -> str:
    """RFC 8265 section 3.3.2: width, case, composition."""
    narrow = "".join(map(_narrow, text)) if not text.isascii() else text
    return unicodedata.normalize("NFC", narrow.lower())


def _narrow(character: str) -> str:
    is_variant = unicodedata.decomposition(character).startswith(("<wide>", "<narrow>"))
    return unicodedata.normalize("NFKC", character) if is_variant else character


def _is_member(text: str, position: int) -> bool:
    """The IdentifierClass of RFC 8264 section 4.2; of what is in lower case that is ASCII and what IDNA has."""
    character = text[position]
    if character.isascii():
        return "!" <= character <= "~"
    for category, rule in _CONTEXTUAL:
        if intranges_contain(ord(character), idnadata.codepoint_classes[category]):
            return rule is None or _keeps(rule, text, position)
    return False


def _keeps(rule: Callable[[str, int], bool], text: str, position: int) -> bool:
    try:
        return rule(text, position)
    except ValueError:  # a neighbour that Unicode does not have
        return False


def _require_readable(text: str) -> None:
    """The Bidi Rule (RFC 5893 section 2), and no mark without a letter to stand on."""
    try:
        idna.check_initial_combiner(text)
        idna.check_bidi(text)
    except idna.IDNAError as error:
        raise UnfitAccount("username", "mixes directions of writing, or begins with a mark") from error


def _named(character: str) -> str:
    shown = f"{character!r}, " if character.isprintable() else ""
    return f"{shown}U+{ord(character):04X}"


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_CLAIM and not _CONTROL.search(value)


def _is(pattern: str) -> Callable[[Any], bool]:
    compiled = re.compile(pattern)
    return lambda value: _is_text(value) and compiled.fullmatch(value) is not None


def _is_boolean(value: Any) -> bool:
    return isinstance(value, bool)


def _is_moment(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_address(value: Any) -> bool:
    """Section 5.1.1; a line break may stand in it."""
    return (
        isinstance(value, dict)
        and bool(value)
        and value.keys() <= ADDRESS
        and all(isinstance(each, str) and _is_text(_BREAK.sub(" ", each)) for each in value.values())
    )


_SUBJECT = re.compile(r"[!-~]{1,255}")
_CONTROL = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff]")
_BREAK = re.compile("\r?\n")
_UNTYPED = frozenset({"Cc", "Cs", "Cn"})
_CONTEXTUAL: tuple[tuple[str, Callable[[str, int], bool] | None], ...] = (
    ("PVALID", None),
    ("CONTEXTJ", idna.valid_contextj),
    ("CONTEXTO", idna.valid_contexto),
)

ADDRESS = frozenset({"formatted", "street_address", "locality", "region", "postal_code", "country"})
_TEXT = (_is_text, f"text of 1 to {MAX_CLAIM} characters on one line")
_URL = (_is(r"https?://[!-~]+"), "an http or https URL")
_BOOLEAN = (_is_boolean, "true or false")
CLAIM_TYPES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys((name for names in CLAIMS_OF.values() for name in names), _TEXT),
    **dict.fromkeys(("profile", "picture", "website"), _URL),
    **dict.fromkeys(("email_verified", "phone_number_verified"), _BOOLEAN),
    "email": (_is(r"[^@\s]+@[^@\s]+"), "an address such as anna@example.com"),
    "birthdate": (_is(r"[0-9]{4}(-[0-9]{2}-[0-9]{2})?"), "YYYY-MM-DD, or YYYY; 0000 for a year that is not told"),
    "zoneinfo": (_is(r"[A-Za-z0-9_+/-]+"), "a time zone such as Europe/Prague"),
    "locale": (_is(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*"), "a language tag such as cs-CZ"),
    "updated_at": (_is_moment, "seconds since the epoch"),
    "address": (_is_address, f"an object with one at least of {', '.join(sorted(ADDRESS))}"),
}
"""By name: whether a value is one, and what is said of one that is not."""
