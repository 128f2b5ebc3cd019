"""What every grant is given, and what it may give."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import msgspec

from certbound.core.errors import InvalidTarget
from certbound.core.scope import Scope
from certbound.core.tokens import Grant


class TokenRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of a token request that every grant looks at; absent is None."""

    scope: str | None
    resources: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What this deployment gives: `resources` are the audiences it knows, the default first."""

    scope: Scope
    resources: Sequence[str]


def grant_audience(requested: Sequence[str], known: Collection[str], default: Sequence[str]) -> Sequence[str]:
    """The resources that were named, or the default.  `InvalidTarget` (400) for one unknown (RFC 8707)."""
    for resource in requested:
        if resource not in known:
            raise InvalidTarget(f"no such resource: {resource!r:.200}")
    return tuple(dict.fromkeys(requested)) or default


def narrowed(grant: Grant, requested: Sequence[str]) -> Grant:
    """`grant` for the resources of it that were named, or for all.  `InvalidTarget` (400) for another one."""
    return msgspec.structs.replace(grant, audience=grant_audience(requested, grant.audience, grant.audience))
