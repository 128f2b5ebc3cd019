"""What an issuer says of a token when it is asked (RFC 7662)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from certbound.core.tokens import Issuer


@dataclass(frozen=True, slots=True, kw_only=True)
class Introspection:
    """How an issuer is asked about tokens: as a client of its own, with a certificate of its own."""

    client_id: str
    certificate: Path | str
    """PEM: the certificate with which the API authenticates, its issuers behind it."""
    key: Path | str
    """PEM: its private key."""
    endpoint: str | None = None
    """Where to ask; None: what the issuer's metadata says, its mutual-TLS alias first."""
    cache_seconds: float = 30
    """How long an answer counts; never beyond the end of the token."""
    also_jwt: bool = False
    """Whether tokens that could be verified here are asked about as well."""


class Introspector:
    """Asks one issuer, and remembers for a short time what it said."""

    def __init__(
        self,
        issuer: Issuer,
        asked: Introspection,
        new_client: Callable[[], httpx.AsyncClient],
        now: Callable[[], float],
    ) -> None:
        self.also_jwt = asked.also_jwt

    def known(self, token: str) -> Mapping[str, Any] | None:
        """What it said of this token a short time ago; None if `ask` has to.  `InvalidToken` (401) if "not active"."""
        return None

    async def ask(self, token: str) -> Mapping[str, Any]:
        """What it says now.  `InvalidToken` (401) if that is "not active", `IntrospectionUnavailable` (503)."""
        raise NotImplementedError
