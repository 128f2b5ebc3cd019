"""AWS Application Load Balancer: PEM, percent-encoded but for `+`, `=` and `/`.

Rule 1: a plus is base64 and no space.
Rule 2: in passthrough mode the whole chain comes, the leaf first; in verify mode the leaf alone.
Rule 3: both own every header of either: what the other mode would say can only mislead.
"""

from dataclasses import dataclass
from typing import ClassVar

from certbound.core.certificate import PeerCertificate
from certbound.tls.forwarded._values import only, peer_of, pem_blocks, percent_decoded
from certbound.tls.forwarded.contract import OwnHeaders, Values

_CHAIN, _LEAF = "x-amzn-mtls-clientcert", "x-amzn-mtls-clientcert-leaf"
_BESIDE = tuple(f"{_CHAIN}-{each}" for each in ("subject", "issuer", "serial-number", "validity"))


@dataclass(frozen=True, slots=True, kw_only=True)
class AWSALB(OwnHeaders):
    """Passthrough: whoever holds the key of any certificate comes through, and we judge it."""

    name: ClassVar[str] = "aws-alb"
    beside: ClassVar[tuple[str, ...]] = (_LEAF, *_BESIDE)

    certificate_header: str = _CHAIN

    def read(self, values: Values) -> PeerCertificate | None:
        value = values.get(self.certificate_header)
        if not value:
            return None
        leaf, *chain = pem_blocks(percent_decoded(value))
        return peer_of(leaf, chain)


@dataclass(frozen=True, slots=True, kw_only=True)
class AWSALBVerify(OwnHeaders):
    """Verify: the load balancer asks its own trust store first, and what it lets through we judge again."""

    name: ClassVar[str] = "aws-alb-verify"
    beside: ClassVar[tuple[str, ...]] = (_CHAIN, *_BESIDE)

    certificate_header: str = _LEAF

    def read(self, values: Values) -> PeerCertificate | None:
        value = values.get(self.certificate_header)
        return peer_of(only(pem_blocks(percent_decoded(value)))) if value else None
