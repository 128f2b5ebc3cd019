"""Which certificate a token is bound to, if any (RFC 8705 sections 3 and 3.4).

Rule 1: never silently an unbound token.
Rule 2: what a certificate says counts where it authenticates.  Where it only binds, nothing is concluded but that
whoever comes later has the same key: its dates, its name and its issuer do not count, here or at an API.
"""

from enum import StrEnum

from certbound.core.authentication import AuthenticatedClient
from certbound.core.certificate import Certificate, PeerCertificate
from certbound.core.clients import Client
from certbound.core.errors import BadCertificate, InvalidRequest
from certbound.core.keys import require_strong_key
from certbound.core.revoked import Revoked


class Bind(StrEnum):
    """Server policy for clients that did not ask: bound all the same, or only on request."""

    ALWAYS = "always"
    REQUESTED = "requested"


def is_bound(client: Client, policy: Bind) -> bool:
    """Whether this client's tokens are bound: the effective `tls_client_certificate_bound_access_tokens`."""
    return policy is Bind.ALWAYS or client.wants_bound_tokens


def choose_certificate(
    authenticated: AuthenticatedClient,
    peer: PeerCertificate | None,
    policy: Bind,
    *,
    revoked: Revoked,
    is_bound_before: bool = False,
) -> Certificate | None:
    """The certificate the client's token is bound to; None if its tokens are not bound.

    `InvalidRequest` (400) if they are to be bound, because the client or the deployment says so or what the token comes
    from was bound, and there is no certificate fit for it: never silently an unbound token.
    """
    if not (is_bound_before or is_bound(authenticated.client, policy)):
        return None
    if authenticated.certificate is not None:  # it was looked at then
        return authenticated.certificate
    if peer is None:
        raise InvalidRequest(
            "this client's tokens are bound to its certificate; send the request over mutual TLS (RFC 8705)"
        )
    try:
        require_strong_key(peer.leaf)
    except BadCertificate as error:
        raise InvalidRequest(f"the certificate cannot be bound to: {error}") from error
    if revoked.includes(peer.leaf):
        raise InvalidRequest("the certificate cannot be bound to: it was revoked here")
    return peer.leaf
