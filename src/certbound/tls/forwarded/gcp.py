"""Google Cloud load balancers: custom request headers with variables, in the byte sequences of RFC 9440.

    X-Client-Cert-Leaf: {client_cert_leaf}          X-Client-Cert-Present: {client_cert_present}
    X-Client-Cert-Chain: {client_cert_chain}        X-Client-Cert-Error: {client_cert_error}

Rule 1: the present header is there, always, `true` or `false`.
Rule 2: a certificate that is too large comes empty: present and without a leaf is a refusal, not "no certificate".
"""

from dataclasses import dataclass
from typing import ClassVar

from certbound.core.certificate import PeerCertificate
from certbound.tls.forwarded._values import peer_of
from certbound.tls.forwarded.contract import BadForwarded, OwnHeaders, Values
from certbound.tls.forwarded.rfc9440 import byte_sequence, byte_sequences


@dataclass(frozen=True, slots=True, kw_only=True)
class GCP(OwnHeaders):
    """With `clientValidationMode` `ALLOW_INVALID_OR_MISSING_CLIENT_CERT`, and we judge."""

    name: ClassVar[str] = "gcp"

    certificate_header: str = "x-client-cert-leaf"
    chain_header: str = "x-client-cert-chain"
    present_header: str = "x-client-cert-present"
    error_header: str = "x-client-cert-error"

    def read(self, values: Values) -> PeerCertificate | None:
        leaf, chain = values.get(self.certificate_header), values.get(self.chain_header)
        present = values.get(self.present_header)
        # (1) It is said whether there is one.
        if present not in _PRESENT:
            raise BadForwarded(f"{self.present_header} is {present!r:.80}; the load balancer sets it on every request")
        # (2) The others agree.
        if not _PRESENT[present]:
            if leaf or chain:
                raise BadForwarded(f"{self.present_header} says false beside a certificate")
            return None
        if not leaf:
            error = values.get(self.error_header, b"")
            raise BadForwarded(f"{self.present_header} says true without a certificate: {error!r:.80}")
        # (3) One certificate, and those behind it.
        return peer_of(byte_sequence(leaf), byte_sequences(chain) if chain else ())

    def may_be_joined(self, header: str, value: bytes) -> bool:
        """The chain is a list, and nobody's identity."""
        return b"," in value and header != self.chain_header


_PRESENT = {b"true": True, b"false": False}
