"""A client certificate that has ended, said in place of whatever comes of using it.

Rule 1: the clock is an argument.
Rule 2: the message names the certificate, its file where there is one, when it ended, and what to do.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from certbound.client.errors import IdentityUnusable, quoted
from certbound.client.identity import Identity
from certbound.core.errors import BadCertificate
from certbound.core.names import BadName, format_name


def require_in_force(identity: Identity, now: float, files: Sequence[Path] = ()) -> None:
    """`IdentityUnusable` before anything is sent with a certificate that has ended."""
    if has_ended(identity, now):
        raise ended(identity, now, files)


def ended(identity: Identity, now: float, files: Sequence[Path] = ()) -> IdentityUnusable:
    """What is said of it, where nothing was sent."""
    return IdentityUnusable(f"{_described(identity, now, files)}; nothing was sent")


def blame(identity: Identity | None, now: float, error: Exception, files: Sequence[Path] = ()) -> None:
    """`IdentityUnusable` in place of `error`, which came of using that certificate, if it has ended."""
    if identity is not None and has_ended(identity, now):
        raise IdentityUnusable(f"{_described(identity, now, files)} ({error})") from error


def has_ended(identity: Identity, now: float) -> bool:
    """`notAfter` is the last moment at which a certificate is good (RFC 5280 section 4.1.2.5)."""
    return identity.certificate.not_after < now


def _described(identity: Identity, now: float, files: Sequence[Path]) -> str:
    place = f" in {quoted(files[0])}" if files else ""
    todo = "put a renewed one there" if files else "open the client with a renewed one"
    when = _written(identity.certificate.not_after)
    return (
        f"the client certificate {_named(identity)}{place} expired at {when}: renew it, and {todo}, or set the clock, "
        f"which says {_written(now)}"
    )


def _named(identity: Identity) -> str:
    try:
        name = format_name(identity.certificate.subject_der)
    except (BadName, BadCertificate):
        name = ""
    return quoted(name) if name else f"with the thumbprint {identity.thumbprint}"


def _written(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%F %T} UTC"
