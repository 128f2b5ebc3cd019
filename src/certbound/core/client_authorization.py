"""What a client registers that acts for people (RFC 7591 section 2, OpenID Connect Registration section 2).

Rule 1: a redirect URI stands there for `authorization_code` and for nothing else; who uses that has one.
Rule 2: `response_types` follow from `grant_types`; where they are given, they say the same (RFC 7591 section 2.1).
Rule 3: pairwise subjects need one host among the redirect URIs: it is the sector.  What would have to be fetched to
know of another, `sector_identifier_uri`, is not taken.
"""

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from certbound.core.errors import InvalidClientMetadata, InvalidRedirectUri
from certbound.core.members import choice, member, words
from certbound.core.redirects import is_redirect_uri

MAX_URIS = 20


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
        raise InvalidRedirectUri(f"{REDIRECT_URIS} is missing; {CODE_GRANT} needs one at least")
    response_types = words(given, RESPONSE_TYPES, default=["code"] if uses_code else [])
    if response_types != (frozenset({"code"}) if uses_code else frozenset()):
        due = '["code"]' if uses_code else "empty"
        raise InvalidClientMetadata(RESPONSE_TYPES, f"must be {due}, as follows from grant_types")
    subject_type = choice(given, SUBJECT_TYPE, SubjectType) or SubjectType.PUBLIC
    if "sector_identifier_uri" in given:
        raise InvalidClientMetadata("sector_identifier_uri", "is not taken; the redirect URIs' host is the sector")
    hosts = {urlsplit(each).hostname or "" for each in redirect_uris}
    if subject_type is SubjectType.PAIRWISE and len(hosts) != 1:
        raise InvalidClientMetadata(SUBJECT_TYPE, f"pairwise needs {REDIRECT_URIS} of one host, which is the sector")
    return {
        "redirect_uris": redirect_uris,
        "logout_uris": _uris(given, LOGOUT_URIS),
        "must_push": member(given, MUST_PUSH, bool, default=False),
        "sector": hosts.pop() if subject_type is SubjectType.PAIRWISE else "",
    }


def describe_authorization(
    *, redirect_uris: tuple[str, ...], logout_uris: tuple[str, ...], must_push: bool, sector: str
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
    return members


def _uris(given: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = given.get(name, [])
    if not isinstance(value, list) or len(value) > MAX_URIS:
        raise InvalidRedirectUri(f"{name} must be an array of up to {MAX_URIS} URIs")
    for position, each in enumerate(value):
        if not isinstance(each, str) or not is_redirect_uri(each):
            raise InvalidRedirectUri(f"{name}[{position}] must be an absolute URI without fragment, not {each!r:.80}")
    return tuple(dict.fromkeys(value))


CODE_GRANT = "authorization_code"

REDIRECT_URIS = "redirect_uris"
RESPONSE_TYPES = "response_types"
LOGOUT_URIS = "post_logout_redirect_uris"
MUST_PUSH = "require_pushed_authorization_requests"
SUBJECT_TYPE = "subject_type"

AUTHORIZATION_MEMBERS = (REDIRECT_URIS, RESPONSE_TYPES, LOGOUT_URIS, MUST_PUSH, SUBJECT_TYPE, "sector_identifier_uri")
