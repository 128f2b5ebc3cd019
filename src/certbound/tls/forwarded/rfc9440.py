"""RFC 9440: `Client-Cert` and `Client-Cert-Chain` as byte sequences of structured fields (RFC 8941 section 3.3.5).

Rule 1: the leaf is one byte sequence without parameters; the chain is a list of them without the leaf (section 2.3).
Rule 2: a chain without a leaf says nothing and is refused.
"""

from dataclasses import dataclass

from certbound.core.certificate import PeerCertificate
from certbound.tls.forwarded._values import base64_decoded, peer_of
from certbound.tls.forwarded.contract import MAX_CHAIN, BadForwarded, Values


@dataclass(frozen=True, slots=True, kw_only=True)
class RFC9440:
    """The standard's own headers; what to choose where the proxy leaves a choice."""

    certificate_header: str = "client-cert"
    chain_header: str = "client-cert-chain"
    name: str = "rfc9440"

    @property
    def headers(self) -> tuple[str, ...]:
        return self.certificate_header, self.chain_header

    def read(self, values: Values) -> PeerCertificate | None:
        leaf, chain = values.get(self.certificate_header), values.get(self.chain_header)
        if not leaf:
            if chain:
                raise BadForwarded(f"{self.chain_header} without {self.certificate_header}")
            return None
        return peer_of(byte_sequence(leaf), byte_sequences(chain) if chain else ())


def byte_sequence(value: bytes) -> bytes:
    """The bytes of `:base64:`, which is all there is.  `BadForwarded` otherwise."""
    inner = value.strip(b" ")
    if len(inner) < 2 or inner[:1] != b":" or inner[-1:] != b":":
        raise BadForwarded("no byte sequence between colons")
    return base64_decoded(inner[1:-1])


def byte_sequences(value: bytes) -> list[bytes]:
    """The items of a list of byte sequences."""
    items = value.split(b",")
    if len(items) > MAX_CHAIN:
        raise BadForwarded(f"{len(items)} certificates in the chain")
    return [byte_sequence(item.strip(b"\t")) for item in items]
