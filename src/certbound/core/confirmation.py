"""Which certificate a token is bound to: the `cnf` claim (RFC 7800, RFC 8705 sections 3 to 3.2)."""

import hmac
import re
from typing import Any, NewType

import msgspec

from certbound.core.certificate import Certificate, Thumbprint

Confirmation = NewType("Confirmation", dict[str, str])

X5T_S256 = "x5t#S256"


class NotConfirmed(ValueError):
    """The token is not bound to this certificate; the message is for the log."""


class Confirmed(msgspec.Struct, frozen=True):
    """Proof that the token is bound to the certificate that was presented with it."""

    certificate: Certificate


def confirm(certificate: Certificate) -> Confirmation:
    """The `cnf` of a token bound to `certificate`."""
    return Confirmation({X5T_S256: certificate.thumbprint})


def read_confirmation(cnf: Any) -> Thumbprint:
    """The thumbprint in `cnf`.  `NotConfirmed` if it is of another kind, of several, or malformed.

    A confirmation with a second member demands a second proof; nobody here could check that one.
    """
    if not isinstance(cnf, dict) or len(cnf) != 1 or X5T_S256 not in cnf:
        raise NotConfirmed(f"cnf must hold {X5T_S256} and nothing else")
    value = cnf[X5T_S256]
    if not isinstance(value, str) or not _THUMBPRINT.fullmatch(value):
        raise NotConfirmed(f"{X5T_S256} is not the base64url of a SHA-256 digest")
    return Thumbprint(value)


def match_confirmation(cnf: Any, certificate: Certificate | None) -> Confirmed:
    """`NotConfirmed` if the token is bound to another certificate, or none was presented."""
    bound_to = read_confirmation(cnf)
    if certificate is None:
        raise NotConfirmed(f"bound to certificate {bound_to}, presented without one")
    if not hmac.compare_digest(bound_to, certificate.thumbprint):
        raise NotConfirmed(f"bound to certificate {bound_to}, presented with {certificate.thumbprint}")
    return Confirmed(certificate)


_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
