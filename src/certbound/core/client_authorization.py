"""What a client registers that acts for people (RFC 7591 section 2, OpenID Connect Registration section 2).

Rule 1: a redirect URI stands there for `authorization_code` and for nothing else; who uses that has one.
Rule 2: `response_types` follow from `grant_types`; where they are given, they say the same (RFC 7591 section 2.1).
Rule 3: pairwise subjects need one host among the redirect URIs: it is the sector.  What would have to be fetched to
know of another, `sector_identifier_uri`, is not taken; apps on people's own machines have none.
Rule 4: who registers over the network names no host that its way in does not have; nor for a logout.
"""

import re
from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any

from certbound.core.errors import InvalidClientMetadata, InvalidRedirectUri
from certbound.core.members import choice, member, words
from certbound.core.redirects import host_of, is_native, is_redirect_uri

MAX_URIS = 20
MAX_ACRS = 10
"""Of `default_acr_values`; as many as of `acr_values` are read."""
MOST_SECONDS = 999_999_999
"""Of `default_max_age`."""


class ApplicationType(StrEnum):
    """`application_type`: where it runs (OpenID Connect Registration section 2); asked of nobody."""

    WEB = "web"
    NATIVE = "native"


class SubjectType(StrEnum):
    """`subject_type`: whether others know the person by the same `sub` (OpenID Connect Core section 8)."""

    PUBLIC = "public"
    PAIRWISE = "pairwise"


def read_authorization(given: Mapping[str, Any], grant_types: Collection[str]) -> dict[str, Any]:
    """What `Client` has of it, by the names of its fields.

    `InvalidClientMetadata` or `InvalidRedirectUri` (400) names the member that is wrong.
    """
    uses_code = CODE_GRANT in grant_types
    redirect_uris = _uris(given, REDIRECT_URIS)
    if uses_code and not redirect_uris:
        raise InvalidRedirectUri(REDIRECT_URIS, f"is missing; {CODE_GRANT} needs one at least")
    response_types = words(given, RESPONSE_TYPES, default=["code"] if uses_code else [])
    if response_types != (frozenset({"code"}) if uses_code else frozenset()):
        due = '["code"]' if uses_code else "empty"
        raise InvalidClientMetadata(RESPONSE_TYPES, f"must be {due}, as follows from grant_types")
    own = [each for each in redirect_uris if not host_of(each)]
    if own and choice(given, APPLICATION_TYPE, ApplicationType) is ApplicationType.WEB:
        raise InvalidRedirectUri(REDIRECT_URIS, f"{own[0]:.80} is an app's; {APPLICATION_TYPE} is web")
    return {
        "redirect_uris": redirect_uris,
        "logout_uris": _uris(given, LOGOUT_URIS),
        "must_push": member(given, MUST_PUSH, bool, default=False),
        "sector": _sector(given, redirect_uris),
        "default_max_age": _seconds(given, MAX_AGE),
        "default_acr_values": _acrs(given),
    }


def require_hosts(redirect_uris: Collection[str], logout_uris: Collection[str], hosts: Collection[str]) -> None:
    """Each leads to an app on the person's own machine, or to one of `hosts`; `InvalidRedirectUri` (400) otherwise.

    A dot before a host means those below it; `*` means any.
    """
    for name, uris in ((REDIRECT_URIS, redirect_uris), (LOGOUT_URIS, logout_uris)):
        for each in uris:
            if not is_native(each) and not _is_at(host_of(each), hosts):
                raise InvalidRedirectUri(name, f"{each:.80} leads to a host that is not offered here")


def describe_authorization(
    *,
    redirect_uris: tuple[str, ...],
    logout_uris: tuple[str, ...],
    must_push: bool,
    sector: str,
    default_max_age: int | None,
    default_acr_values: tuple[str, ...],
) -> dict[str, Any]:
    """The members that say so; none where there is nothing to say."""
    members: dict[str, Any] = {}
    if redirect_uris:
        members |= {REDIRECT_URIS: list(redirect_uris), RESPONSE_TYPES: ["code"]}
    if logout_uris:
        members[LOGOUT_URIS] = list(logout_uris)
    if must_push:
        members[MUST_PUSH] = True
    if sector:
        members[SUBJECT_TYPE] = SubjectType.PAIRWISE.value
    if default_max_age is not None:
        members[MAX_AGE] = default_max_age
    if default_acr_values:
        members[ACRS] = list(default_acr_values)
    return members


def _sector(given: Mapping[str, Any], redirect_uris: Collection[str]) -> str:
    """Empty where subjects are public."""
    if choice(given, SUBJECT_TYPE, SubjectType) is not SubjectType.PAIRWISE:
        return ""
    hosts = {host_of(each) for each in redirect_uris}
    if len(hosts) != 1 or any(map(is_native, redirect_uris)):
        raise InvalidClientMetadata(
            SUBJECT_TYPE, f"pairwise needs {REDIRECT_URIS} of one https host, which is the sector"
        )
    return hosts.pop()


def _seconds(given: Mapping[str, Any], name: str) -> int | None:
    value = given.get(name)
    if value is not None and (type(value) is not int or not 0 <= value <= MOST_SECONDS):
        raise InvalidClientMetadata(name, f"must be a number of seconds, not {value!r:.80}")
    return value


def _acrs(given: Mapping[str, Any]) -> tuple[str, ...]:
    """In order of preference: each a word, as `acr_values` has them."""
    value = given.get(ACRS, [])
    if not isinstance(value, list) or len(value) > MAX_ACRS:
        raise InvalidClientMetadata(ACRS, f"must be an array of up to {MAX_ACRS} strings")
    for each in value:
        if not isinstance(each, str) or not _WORD.fullmatch(each):
            raise InvalidClientMetadata(ACRS, f"{each!r:.80} is no word of up to 255 characters")
    return tuple(value)


def _is_at(host: str, hosts: Collection[str]) -> bool:
    return any(each in (ANY_HOST, host) or (each.startswith(".") and host.endswith(each)) for each in hosts)


def _uris(given: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = given.get(name, [])
    if not isinstance(value, list) or len(value) > MAX_URIS:
        raise InvalidRedirectUri(name, f"must be an array of up to {MAX_URIS} URIs")
    for position, each in enumerate(value):
        if not isinstance(each, str) or not is_redirect_uri(each):
            raise InvalidRedirectUri(f"{name}[{position}]", f"{_WHAT_MAY_BE}, not {each!r:.80}")
    return tuple(dict.fromkeys(value))


CODE_GRANT = "authorization_code"
ANY_HOST = "*"

REDIRECT_URIS = "redirect_uris"
RESPONSE_TYPES = "response_types"
LOGOUT_URIS = "post_logout_redirect_uris"
MUST_PUSH = "require_pushed_authorization_requests"
SUBJECT_TYPE = "subject_type"
MAX_AGE = "default_max_age"
ACRS = "default_acr_values"
APPLICATION_TYPE = "application_type"

AUTHORIZATION_MEMBERS = (REDIRECT_URIS, RESPONSE_TYPES, LOGOUT_URIS, MUST_PUSH, SUBJECT_TYPE, MAX_AGE, ACRS)
_WORD = re.compile(r"[\x21-\x7E]{1,255}")
_WHAT_MAY_BE = (
    "must be an https URI without fragment, or of an app's own scheme (com.example.app:/...), or http://127.0.0.1/..."
)
