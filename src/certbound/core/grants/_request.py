"""What every grant is given, and what it may give."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from certbound.core.authentication import AuthenticatedClient
from certbound.core.certificate import Certificate
from certbound.core.errors import InvalidTarget
from certbound.core.scope import Scope
from certbound.core.tokens import Grant


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """The parameters of a token request that grants look at; absent is None."""

    scope: str | None
    resources: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What this deployment gives: `resources` are the audiences it knows, the default first."""

    scope: Scope
    resources: Sequence[str]


GrantHandler = Callable[[AuthenticatedClient, TokenRequest, Policy, Certificate | None], Grant]


def grant_audience(requested: Sequence[str], known: Sequence[str]) -> Sequence[str]:
    """The resources that were named, or the default.  `InvalidTarget` (400) for one unknown (RFC 8707)."""
    for resource in requested:
        if resource not in known:
            raise InvalidTarget(f"no such resource: {resource!r}")
    return tuple(dict.fromkeys(requested)) or known[:1]
