"""What proves a client, and who can say so: the proofs of client authentication, and the ports to their sources.

Rule: a proof is made where it was found true and nowhere else, each in one function; all others take it as an argument.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from joserfc.jwk import KeySet

from certbound.core.assertions import VerifiedAssertion
from certbound.core.certificate import Certificate, PeerCertificate
from certbound.core.clients import Client
from certbound.core.jwks import RegisteredCertificate
from certbound.core.ports import SecretRecord
from certbound.core.revoked import Revoked


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


@dataclass(frozen=True, slots=True)
class KnownSecret:
    """Proof that the client's secret was sent."""

    record: SecretRecord


@dataclass(frozen=True, slots=True)
class NothingProven:
    """A public client: whoever says so may speak for it (RFC 6749 section 2.1)."""


Proof = TrustedChain | RegisteredCertificate | KnownSecret | VerifiedAssertion | NothingProven


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

    async def published_keys(self, client: Client, kid: str | None, now: float) -> KeySet:
        """The keys that the client publishes; looked at again if none of those known has the `kid`.

        `Untrusted` if nothing of it can be had.
        """


class FirstUses(Protocol):
    """What a store does for values that count once."""

    async def use(self, purpose: str, value: str, *, until: float, now: float) -> bool:
        """True for the first who uses this value for this purpose, False for all others before `until`."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the proofs come from that need more than the request and the registration."""

    chains: ChainVerifier
    published: PublishedCertificates
    uses: FirstUses
