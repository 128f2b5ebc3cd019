"""Caddy: `{http.request.tls.client.certificate_der_base64}`, empty without a certificate.

Rule: where the deployment declares a header with `{http.request.tls.client.fingerprint}` as well, it must be there and
agree; without a certificate that is the hash of nothing.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar

from certbound.core.certificate import PeerCertificate
from certbound.tls.forwarded._values import base64_decoded, peer_of
from certbound.tls.forwarded.contract import BadForwarded, OwnHeaders, Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Caddy(OwnHeaders):
    """A chain is not forwarded."""

    name: ClassVar[str] = "caddy"

    certificate_header: str = "x-ssl-client-cert"
    fingerprint_header: str = ""

    def read(self, values: Values) -> PeerCertificate | None:
        value = values.get(self.certificate_header)
        der = base64_decoded(value) if value else b""
        # (1) The fingerprint is there, where it is declared, and of this certificate.
        if self.fingerprint_header:
            stated = values.get(self.fingerprint_header, b"")
            if stated.lower() != sha256(der).hexdigest().encode("ascii"):
                raise BadForwarded(f"{self.fingerprint_header} is missing, or of another certificate")
        return peer_of(der) if der else None
