"""Revocation: what this deployment itself took back, and how much it asks of others (R4, R7).

Rule 1: what was revoked here is a fact among others: an argument, complete at the moment it is given.
Rule 2: a certificate is known by its thumbprint, and whoever has it can give it another without any key: where it was
signed with ECDSA, s and n - s verify alike.  So both are revoked.
Rule 3: an authority is known by its key, so a renewed or cross-signed certificate of it is revoked with it.
"""

from dataclasses import dataclass
from enum import StrEnum

from certbound.core.certificate import Certificate, KeyThumbprint, Thumbprint


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

    def includes(self, certificate: Certificate) -> bool:
        """Whether `certificate` was revoked, or one that differs from it in the form of an ECDSA signature alone."""
        return bool(self.certificates) and not self.certificates.isdisjoint(certificate.thumbprints)


NOTHING_REVOKED = Revoked()
