"""RFC 9440: `Client-Cert` and `Client-Cert-Chain` as byte sequences of structured fields (RFC 8941 section 3.3.5).

Rule 1: the leaf is one byte sequence without parameters; the chain is a list of them without the leaf (section 2.3).
Rule 2: a chain without a leaf says nothing and is refused.
"""

from dataclasses import dataclass
from typing import ClassVar

from certbound.core.certificate import PeerCertificate
from certbound.tls.forwarded._values import base64_decoded, peer_of
from certbound.tls.forwarded.contract import BadForwarded, OwnHeaders, Values


@dataclass(frozen=True, slots=True, kw_only=True)
class RFC9440(OwnHeaders):
    """The standard's own headers; what to choose where the proxy leaves a choice."""

    name: ClassVar[str] = "rfc9440"

    certificate_header: str = "client-cert"
    chain_header: str = "client-cert-chain"

    def read(self, values: Values) -> PeerCertificate | None:
        leaf, chain = values.get(self.certificate_header), values.get(self.chain_header)
        # (1) Without a leaf there is nothing.
        if not leaf:
            if chain:
                raise BadForwarded(f"{self.chain_header} without {self.certificate_header}")
            return None
        # (2) One certificate, and those behind it.
        return peer_of(byte_sequence(leaf), byte_sequences(chain) if chain else ())

    def may_be_joined(self, header: str, value: bytes) -> bool:
        """The chain is a list, and nobody's identity."""
        return b"," in value and header != self.chain_header


def byte_sequence(value: bytes) -> bytes:
    """The bytes of `:base64:`, which is all there is.  `BadForwarded` otherwise."""
    inner = value.strip(b" ")
    if len(inner) < 2 or inner[:1] != b":" or inner[-1:] != b":":
        raise BadForwarded("no byte sequence between colons")
    return base64_decoded(inner[1:-1])


def byte_sequences(value: bytes) -> list[bytes]:
    """The items of a list of byte sequences."""
    return [byte_sequence(item.strip(b"\t ")) for item in value.split(b",")]
