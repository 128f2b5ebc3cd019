"""Kong: `X-Client-Cert` of the plugin `tls-metadata-headers`, PEM, percent-encoded.

Rule: absent without a certificate; the fingerprint beside it is SHA-1 of something that is no secret, and is not read.
"""

from dataclasses import dataclass
from typing import ClassVar

from certbound.core.certificate import PeerCertificate
from certbound.tls.forwarded._values import only, peer_of, pem_blocks, percent_decoded
from certbound.tls.forwarded.contract import OwnHeaders, Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Kong(OwnHeaders):
    """With the plugin `tls-handshake-modifier`, which asks for a certificate and judges none."""

    name: ClassVar[str] = "kong"
    beside: ClassVar[tuple[str, ...]] = tuple(
        f"x-client-cert-{each}" for each in ("serial", "issuer-dn", "subject-dn", "fingerprint")
    )

    certificate_header: str = "x-client-cert"

    def read(self, values: Values) -> PeerCertificate | None:
        value = values.get(self.certificate_header)
        return peer_of(only(pem_blocks(percent_decoded(value)))) if value else None
