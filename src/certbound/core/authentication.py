"""Client authentication by mutual TLS (RFC 8705 section 2): the only way to become an `AuthenticatedClient`.

Rule 1: `AuthenticatedClient` is made in `authenticate` and nowhere else; endpoints take it as an argument.
Rule 2: every failure is the same `InvalidClient`; only the reason, which stays here, tells them apart.
Rule 3: cheap and pure before costly: a certificate whose name does not match causes no path to be built.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from certbound.core.certificate import Certificate, PeerCertificate
from certbound.core.clients import Client, Method
from certbound.core.errors import BadCertificate, InvalidClient, Untrusted
from certbound.core.jwks import RegisteredCertificate, match_registered
from certbound.core.keys import StrongKey, require_strong_key
from certbound.core.subject import match_subject


@dataclass(frozen=True, slots=True)
class TrustedChain:
    """Proof that a path led from the certificate to a trust anchor; `trust` makes it, nobody else.

    `valid_until`, in seconds since the epoch, is the earliest end of any certificate on the path.
    """

    certificate: Certificate
    anchor: Certificate
    valid_until: float


class ChainVerifier(Protocol):
    """What `trust` does for authentication."""

    def verify_chain(self, peer: PeerCertificate, client: Client, now: float) -> TrustedChain:
        """The peer's certificate leads to a trust anchor at `now`, in seconds since the epoch.

        `Untrusted` if it does not.
        """


Proof = TrustedChain | RegisteredCertificate


@dataclass(frozen=True, slots=True)
class AuthenticatedClient:
    """Proof that the peer of this request is `client`, by `proof`, with a `key` that is strong enough."""

    client: Client
    certificate: Certificate
    key: StrongKey
    proof: Proof


def authenticate(
    client: Client | None, peer: PeerCertificate | None, *, chains: ChainVerifier, now: float
) -> AuthenticatedClient:
    """The client that was named is the one on the connection.  `InvalidClient` (401) otherwise.

    `client` is what the store has under the `client_id` of the request body, `peer` what the TLS layer says, `now`
    seconds since the epoch.
    """
    # (1) The client is known and enabled.
    if client is None:
        raise InvalidClient("no such client")
    if not client.enabled:
        raise InvalidClient("the client is disabled")
    # (2) A certificate was presented, its key proven in the handshake.
    if peer is None:
        raise InvalidClient(f"{client.method} needs a certificate on the connection; none was presented")
    certificate = peer.leaf
    # (3) The certificate is valid now: on every request, not once per connection.
    if not certificate.is_valid_at(now):
        raise InvalidClient(f"certificate {certificate.thumbprint} is expired or not yet valid")
    try:
        # (4) Its key is strong enough, whoever signed it.
        key = require_strong_key(certificate)
        # (5) It proves the client by the one method the client registered.
        proof = _METHODS[client.method](client, peer, chains, now)
    except (BadCertificate, Untrusted) as error:
        raise InvalidClient(str(error)) from error
    return AuthenticatedClient(client, certificate, key, proof)


def _prove_by_chain(client: Client, peer: PeerCertificate, chains: ChainVerifier, now: float) -> Proof:
    """RFC 8705 section 2.1: the one registered subject, and a validated chain."""
    # (5a) The subject first: a pure comparison, before anything that costs.
    if client.subject is None:
        raise InvalidClient("the client has no registered subject")
    match_subject(peer.leaf, client.subject)
    # (5b) Then the path to a trust anchor.
    return chains.verify_chain(peer, client, now)


def _prove_by_registration(client: Client, peer: PeerCertificate, _: ChainVerifier, __: float) -> Proof:
    """RFC 8705 section 2.2: one of the registered certificates; its chain means nothing."""
    return match_registered(peer.leaf, client.certificates)


_METHODS: Mapping[Method, Callable[[Client, PeerCertificate, ChainVerifier, float], Proof]] = {
    Method.TLS_CLIENT_AUTH: _prove_by_chain,
    Method.SELF_SIGNED_TLS_CLIENT_AUTH: _prove_by_registration,
}
