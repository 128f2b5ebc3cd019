"""Client authentication by mutual TLS (RFC 8705 section 2): the only way to become an `AuthenticatedClient`.

Rule 1: `AuthenticatedClient` is made in `authenticate` and nowhere else; endpoints take it as an argument.
Rule 2: every failure is the same `InvalidClient`; only the reason and the step, which stay here, tell them apart.
Rule 3: cheap and pure before costly: a certificate whose name does not match causes no path to be built, and one
without a path causes nothing to be fetched.
Rule 4: a refusal costs what every refusal of that certificate costs, so its time does not tell whether there is such a
client; only who carries the registered name finds out, by the path that is looked for then.
"""

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from certbound.core.certificate import Certificate, PeerCertificate
from certbound.core.clients import Client, Method
from certbound.core.errors import BadCertificate, InvalidClient, Untrusted
from certbound.core.jwks import RegisteredCertificate, match_registered
from certbound.core.keys import StrongKey, require_strong_key
from certbound.core.revoked import Revoked
from certbound.core.subject import match_subject, read_carried


class Step(StrEnum):
    """The questions of `authenticate`, in the order they are asked."""

    CLIENT = "the client is known and enabled"
    CERTIFICATE = "a certificate was presented, its key proven in the handshake"
    VALIDITY = "the certificate is valid now"
    KEY = "its key is strong enough"
    REVOKED_HERE = "it was not revoked here"
    REGISTERED = "it is one of the certificates that the client registered"
    SUBJECT = "it carries the subject that the client registered"
    PATH = "a path leads to a trust anchor that may speak for the client"
    AUTHORITIES = "no authority on the path was revoked here"
    REVOCATION = "no certificate on the path is revoked by its issuer"


@dataclass(frozen=True, slots=True)
class TrustedChain:
    """Proof that a path led from the certificate to a trust anchor; `trust` makes it, nobody else.

    `path` begins with the leaf and ends with the anchor; `valid_until`, in seconds since the epoch, is the earliest
    end of any certificate on it, and of what is known of their revocation.
    """

    path: tuple[Certificate, ...]
    valid_until: float

    @property
    def certificate(self) -> Certificate:
        return self.path[0]

    @property
    def anchor(self) -> Certificate:
        return self.path[-1]

    def until(self, end: float) -> "TrustedChain":
        """The same proof, for no longer than `end`."""
        return self if self.valid_until <= end else type(self)(self.path, end)


class ChainVerifier(Protocol):
    """What `trust` does for clients with a CA.  Times are seconds since the epoch."""

    async def verify_chain(self, peer: PeerCertificate, client: Client, revoked: Revoked, now: float) -> TrustedChain:
        """A path leads from the peer's certificate to a trust anchor that may speak for `client`, at `now`.

        Round what was `revoked` here, if a path does.  `Untrusted` if none leads to an anchor.  Nothing is fetched.
        """

    async def require_unrevoked(self, chain: TrustedChain, now: float) -> TrustedChain:
        """`chain`, as long as it is known that nothing on it is revoked.  `Untrusted` otherwise."""


class PublishedCertificates(Protocol):
    """What `trust` does for clients with a `jwks_uri`."""

    async def published(self, client: Client, presented: Certificate, now: float) -> Sequence[Certificate]:
        """What the client publishes; looked at again if `presented` is not among what is known.

        `Untrusted` if nothing of it can be had.
        """


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the proofs come from that need more than the request and the registration."""

    chains: ChainVerifier
    published: PublishedCertificates


Proof = TrustedChain | RegisteredCertificate


@dataclass(frozen=True, slots=True)
class AuthenticatedClient:
    """Proof that the peer of this request is `client`, by `proof`, with a `key` that is strong enough."""

    client: Client
    certificate: Certificate
    key: StrongKey
    proof: Proof


async def authenticate(
    client: Client | None, peer: PeerCertificate | None, *, sources: Sources, revoked: Revoked, now: float
) -> AuthenticatedClient:
    """The client that was named is the one on the connection.  `InvalidClient` (401) otherwise.

    `client` is what the store has under the `client_id` of the request body, `peer` what the TLS layer says,
    `revoked` what was revoked here, `now` seconds since the epoch.
    """
    asking = _Asking()
    try:
        # (1) The client is known and enabled.
        if client is None:
            raise InvalidClient("no such client")
        if not client.enabled:
            raise InvalidClient("the client is disabled")
        # (2) A certificate was presented, its key proven in the handshake.
        asking.step = Step.CERTIFICATE
        if peer is None:
            raise InvalidClient(f"{client.method} needs a certificate on the connection; none was presented")
        certificate = peer.leaf
        # (3) The certificate is valid now: on every request, not once per connection.
        asking.step = Step.VALIDITY
        if not certificate.is_valid_at(now) and not client.ignores_validity:
            raise InvalidClient(f"certificate {certificate.thumbprint} is expired or not yet valid")
        # (4) Its key is strong enough, whoever signed it.
        asking.step = Step.KEY
        key = require_strong_key(certificate)
        # (5) Nobody revoked it here.
        asking.step = Step.REVOKED_HERE
        if revoked.includes(certificate):
            raise InvalidClient(f"certificate {certificate.thumbprint} was revoked here")
        # (6) It proves the client by the one method the client registered.
        proof = await _METHODS[client.method].prove(client, peer, sources, revoked, now, asking)
    except (BadCertificate, Untrusted) as error:
        refusal = InvalidClient(str(error))
        _complete(refusal, asking, peer, revoked)
        raise refusal from error
    except InvalidClient as refusal:
        _complete(refusal, asking, peer, revoked)
        raise
    return AuthenticatedClient(client, certificate, key, proof)


def steps_of(method: Method) -> tuple[Step, ...]:
    """The questions that are asked of a client of this method, in order."""
    return (*_FIRST, *_METHODS[method].steps)


class _Asking:
    """Which question is being asked; what is raised meanwhile is its answer."""

    __slots__ = ("step",)

    def __init__(self) -> None:
        self.step = Step.CLIENT


def _complete(refusal: InvalidClient, asking: _Asking, peer: PeerCertificate | None, revoked: Revoked) -> None:
    """It knows its step; and whatever any client's certificate is read for has been read of this one."""
    refusal.step = asking.step
    if peer is not None:
        revoked.includes(peer.leaf)
        read_carried(peer.leaf)
        with contextlib.suppress(BadCertificate):
            require_strong_key(peer.leaf)


async def _prove_by_chain(
    client: Client, peer: PeerCertificate, sources: Sources, revoked: Revoked, now: float, asking: _Asking
) -> Proof:
    """RFC 8705 section 2.1: the one registered subject, and a validated chain."""
    # (6a) The subject first: a pure comparison, before anything that costs.
    asking.step = Step.SUBJECT
    if client.subject is None:
        raise InvalidClient("the client has no registered subject")
    match_subject(peer.leaf, client.subject)
    # (6b) Then the path to a trust anchor that may speak for that subject.
    asking.step = Step.PATH
    chain = await sources.chains.verify_chain(peer, client, revoked, now)
    # (6c) No key on the path was revoked here.
    asking.step = Step.AUTHORITIES
    if revoked.authorities:
        for authority in chain.path[1:]:
            if authority.key_thumbprint in revoked.authorities:
                raise InvalidClient(f"the authority with the key {authority.key_thumbprint} was revoked here")
    # (6d) Only now, of a chain that is trusted, may anybody be asked about revocation.
    asking.step = Step.REVOCATION
    return await sources.chains.require_unrevoked(chain, now)


async def _prove_by_registration(
    client: Client, peer: PeerCertificate, sources: Sources, _: Revoked, now: float, asking: _Asking
) -> Proof:
    """RFC 8705 section 2.2: one of the registered certificates; its chain means nothing."""
    asking.step = Step.REGISTERED
    registered = client.certificates
    if client.jwks_uri is not None:
        registered = tuple(await sources.published.published(client, peer.leaf, now))
    return match_registered(peer.leaf, registered)


@dataclass(frozen=True, slots=True)
class _Method:
    prove: Callable[[Client, PeerCertificate, Sources, Revoked, float, _Asking], Awaitable[Proof]]
    steps: tuple[Step, ...]


_FIRST = (Step.CLIENT, Step.CERTIFICATE, Step.VALIDITY, Step.KEY, Step.REVOKED_HERE)

_METHODS: Mapping[Method, _Method] = {
    Method.TLS_CLIENT_AUTH: _Method(_prove_by_chain, (Step.SUBJECT, Step.PATH, Step.AUTHORITIES, Step.REVOCATION)),
    Method.SELF_SIGNED_TLS_CLIENT_AUTH: _Method(_prove_by_registration, (Step.REGISTERED,)),
}
