"""What the server knows of chains: the anchors in force, and verdicts remembered under them.

Rule 1: a remembered verdict holds for one certificate, one state of its client and one set of anchors, and never
longer than any certificate on the path.
"""

from collections import OrderedDict
from dataclasses import dataclass

from certbound.core.authentication import TrustedChain
from certbound.core.certificate import PeerCertificate, Thumbprint
from certbound.core.clients import Client
from certbound.trust.anchors import Anchors
from certbound.trust.chains import verify_chain

REMEMBERED_VERDICTS = 4096


class Trust:
    """The anchors in force, and verdicts remembered under them.  It is the server's `ChainVerifier`."""

    def __init__(self, anchors: Anchors) -> None:
        self._anchors = anchors
        self._verdicts: OrderedDict[_Question, _Verdict] = OrderedDict()

    @property
    def anchors(self) -> Anchors:
        return self._anchors

    def replace(self, anchors: Anchors) -> None:
        """From now on `anchors` decide; nothing is remembered of the old ones."""
        self._anchors = anchors
        self._verdicts.clear()

    async def verify_chain(self, peer: PeerCertificate, client: Client, now: float) -> TrustedChain:
        """As `verify_chain`, from memory where the same question was answered and the answer still holds."""
        question = (peer.leaf.thumbprint, client.client_id, client.version)
        verdict = self._verdicts.get(question)
        if verdict is not None and verdict.given_at <= now <= verdict.chain.valid_until:
            return verdict.chain
        chain = verify_chain(peer, self._anchors, now)
        self._verdicts[question] = _Verdict(chain, now)
        while len(self._verdicts) > REMEMBERED_VERDICTS:
            self._verdicts.popitem(last=False)
        return chain

    async def require_unrevoked(self, chain: TrustedChain, now: float) -> TrustedChain:
        """`chain`: nobody is asked about revocation yet."""
        return chain


_Question = tuple[Thumbprint, str, int]


@dataclass(frozen=True, slots=True)
class _Verdict:
    chain: TrustedChain
    given_at: float
