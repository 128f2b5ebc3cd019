"""Revocation: what this deployment itself took back, and how much it asks of others (R4, R7).

Rule 1: what was revoked here is a fact among others: an argument, complete at the moment it is given.
Rule 2: an authority is known by its key, so a renewed or cross-signed certificate of it is revoked with it.
"""

from dataclasses import dataclass
from enum import StrEnum

from certbound.core.certificate import KeyThumbprint, Thumbprint


class RevocationMode(StrEnum):
    """What a certificate must show for itself; nothing of it depends on what the certificate declares."""

    OFF = "off"
    """Nobody asks."""
    SOFT = "soft"
    """A known revocation refuses; unknown passes."""
    HARD = "hard"
    """Unknown refuses too."""


@dataclass(frozen=True, slots=True)
class Revoked:
    """Certificates by thumbprint, and authorities by the SHA-256 of their SubjectPublicKeyInfo."""

    certificates: frozenset[Thumbprint] = frozenset()
    authorities: frozenset[KeyThumbprint] = frozenset()


NOTHING_REVOKED = Revoked()
