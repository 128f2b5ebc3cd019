"""Who may speak for a client: the anchors in force, those of the client, their limits, and verdicts remembered.

Rule 1: a remembered verdict holds for one certificate, one state of its client and one set of anchors, and never
longer than any certificate on the path.
Rule 2: a client's own anchors are asked about that client alone, the server's about all others.
Rule 3: an authority speaks for no name outside its limit, wherever it stands on the path, and for none at all once it
was revoked here; where another path leads round it, that one counts, so the order of anchors decides nothing.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Protocol

from certbound.core.anchors import EVERY_ANCHOR, ClientAnchors
from certbound.core.certificate import Certificate, KeyThumbprint, PeerCertificate, Thumbprint, read_certificate
from certbound.core.clients import Client
from certbound.core.errors import BadCertificate, Untrusted
from certbound.core.limits import NameLimit
from certbound.core.proofs import TrustedChain
from certbound.core.revoked import Revoked
from certbound.core.subject import Subject
from certbound.core.svid import is_spiffe_id, require_svid
from certbound.trust.anchors import Anchors
from certbound.trust.chains import verify_chain

REMEMBERED_VERDICTS = 4096
REMEMBERED_ANCHORS = 1024
"""How many sets of anchors that are not the server's whole set are kept ready."""

NO_LIMITS: Mapping[KeyThumbprint, NameLimit] = MappingProxyType({})


class Issuers(Protocol):
    """Who is asked whether something on a path was revoked; `trust.revocation` is."""

    async def require_unrevoked(
        self, chain: TrustedChain, now: float, signers: Sequence[Certificate] = ()
    ) -> TrustedChain: ...


class Trust:
    """The anchors in force, and verdicts remembered under them.  It is the server's `ChainVerifier`."""

    def __init__(
        self,
        anchors: Anchors,
        limits: Mapping[KeyThumbprint, NameLimit] = NO_LIMITS,
        issuers: Issuers | None = None,
    ) -> None:
        """`limits`: what authorities may speak for, by key; one that is not listed may speak for any name.

        `issuers`: who is asked about revocation; nobody if None.
        """
        self._anchors = anchors
        self._limits = limits
        self._issuers = issuers
        self._narrowed: OrderedDict[ClientAnchors, Anchors] = OrderedDict()
        self._verdicts: OrderedDict[_Question, _Verdict] = OrderedDict()

    @property
    def anchors(self) -> Anchors:
        return self._anchors

    @property
    def limits(self) -> Mapping[KeyThumbprint, NameLimit]:
        return self._limits

    def replace(self, anchors: Anchors) -> None:
        """From now on `anchors` decide; nothing is remembered of the old ones."""
        self._anchors = anchors
        self._narrowed.clear()
        self._verdicts.clear()

    async def verify_chain(self, peer: PeerCertificate, client: Client, revoked: Revoked, now: float) -> TrustedChain:
        """A path leads from the peer's certificate to an anchor that may speak for `client`.  `Untrusted` otherwise.

        From memory, where the same question was answered and the answer still holds.
        """
        question = (peer.leaf.thumbprint, client.client_id, client.version)
        verdict = self._verdicts.get(question)
        if (
            verdict is not None
            and verdict.given_at <= now <= verdict.chain.valid_until
            and not _leads_through(verdict.chain, revoked.authorities)
        ):
            return verdict.chain
        chain = self._judge(peer, client, revoked.authorities, now)
        self._verdicts[question] = _Verdict(chain, now)
        while len(self._verdicts) > REMEMBERED_VERDICTS:
            self._verdicts.popitem(last=False)
        return chain

    async def require_unrevoked(self, chain: TrustedChain, now: float) -> TrustedChain:
        """`chain`, as long as its issuers revoked nothing on it.  `Untrusted` otherwise."""
        if self._issuers is None:
            return chain
        return await self._issuers.require_unrevoked(chain, now, self._anchors.intermediates)

    async def vouch(self, peer: PeerCertificate, revoked: Revoked, now: float) -> TrustedChain:
        """A path leads to one of the anchors, whatever names it has, and nothing on it is revoked.  `Untrusted` else.

        As `core.registration.Vouching`.
        """
        if revoked.includes(peer.leaf):
            raise Untrusted(f"certificate {peer.leaf.thumbprint} was revoked here")
        others = tuple(der for der in peer.chain if _key_of(der) not in revoked.authorities)
        chain = verify_chain(replace(peer, chain=others), self._anchors.without(revoked.authorities), now)
        return await self.require_unrevoked(chain, now)

    def _judge(self, peer: PeerCertificate, client: Client, revoked: Set[KeyThumbprint], now: float) -> TrustedChain:
        subject = client.subject
        if subject is None:
            raise Untrusted("the client has no registered subject that an authority could speak for")
        # (1) Who is known by a SPIFFE ID presents an X.509-SVID: one URI, no CA, a key for signatures.
        if is_spiffe_id(subject):
            _require_svid(peer)
        # (2) The anchors of this client: its own, or those of the server's that it named, or all.
        anchors = self._anchors_of(client.anchors)
        # (3) A path leads to one of them.
        chain = verify_chain(peer, anchors, now)
        # (4) Nobody on the path was revoked here or speaks for a name outside the limit, or another path leads round.
        barred = self._barred(chain, subject, revoked)
        if barred is None:
            return chain
        try:
            return self._lead_round(barred, peer, anchors, subject, revoked, now)
        except Untrusted:
            if barred in revoked:
                return chain  # there is no other; that it was revoked here is asked, and said, by whoever asks for it
            raise

    def _anchors_of(self, wanted: ClientAnchors) -> Anchors:
        """Kept by what was registered, not by whose registration it is: no client can find the anchors of another."""
        if wanted == EVERY_ANCHOR:
            return self._anchors
        found = self._narrowed.get(wanted)
        if found is None:
            found = self._narrowed[wanted] = (
                Anchors(wanted.certificates, self._anchors.intermediates)
                if wanted.certificates
                else self._anchors.only(wanted.keys)
            )
            while len(self._narrowed) > REMEMBERED_ANCHORS:
                self._narrowed.popitem(last=False)
        if not found:
            raise Untrusted(f"no trust anchor in force has a key that the client named: {', '.join(wanted.keys)}")
        return found

    def _barred(self, chain: TrustedChain, subject: Subject, revoked: Set[KeyThumbprint]) -> KeyThumbprint | None:
        """The first key on the path that may not speak for `subject`."""
        if self._limits or revoked:
            for authority in chain.path[1:]:
                key = authority.key_thumbprint
                limit = self._limits.get(key)
                if key in revoked or (limit is not None and not limit.permits(subject, chain.certificate)):
                    return key
        return None

    def _lead_round(
        self,
        barred: KeyThumbprint,
        peer: PeerCertificate,
        anchors: Anchors,
        subject: Subject,
        revoked: Set[KeyThumbprint],
        now: float,
    ) -> TrustedChain:
        """A path on which nobody is who may not speak for `subject`.  `Untrusted`, because of `barred`, if none is."""
        keys = {key for key, limit in self._limits.items() if not limit.permits(subject, peer.leaf)} | revoked
        others = tuple(der for der in peer.chain if _key_of(der) not in keys)
        why = "was revoked here" if barred in revoked else f"is limited to {self._limits[barred]}"
        refusal = (
            f"the authority with the key {barred} {why}, and may not speak for the registered {subject.kind} "
            f"{subject.text!r}"
        )
        try:
            chain = verify_chain(replace(peer, chain=others), anchors.without(keys), now)
        except Untrusted as error:
            raise Untrusted(refusal) from error
        if self._barred(chain, subject, revoked) is not None:
            raise Untrusted(refusal)
        return chain


_Question = tuple[Thumbprint, str, int]


@dataclass(frozen=True, slots=True)
class _Verdict:
    chain: TrustedChain
    given_at: float


def _leads_through(chain: TrustedChain, keys: Set[KeyThumbprint]) -> bool:
    return bool(keys) and any(authority.key_thumbprint in keys for authority in chain.path[1:])


def _require_svid(peer: PeerCertificate) -> None:
    try:
        require_svid(peer.leaf)
    except BadCertificate as error:
        raise Untrusted(str(error)) from error


def _key_of(der: bytes) -> KeyThumbprint | None:
    """The key of a certificate that was sent; None if it is no certificate, and then it leads nowhere."""
    try:
        return read_certificate(der).key_thumbprint
    except BadCertificate:
        return None
