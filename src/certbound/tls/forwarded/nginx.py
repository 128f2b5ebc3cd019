"""nginx: `$ssl_client_escaped_cert` (PEM, percent-encoded) and `$ssl_client_verify`.

Rule 1: the verify header is there, always: `NONE` without a certificate, else `SUCCESS` or `FAILED:reason`.
Rule 2: what nginx thinks of the certificate is not asked: the key was proven, and we judge the rest.
"""

from dataclasses import dataclass
from typing import ClassVar

from certbound.core.certificate import PeerCertificate
from certbound.tls.forwarded._values import is_there, only, peer_of, pem_blocks, percent_decoded
from certbound.tls.forwarded.contract import OwnHeaders, Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Nginx(OwnHeaders):
    """Also for the ingress controller of Kubernetes, whose headers are `ssl-client-cert` and `ssl-client-verify`."""

    name: ClassVar[str] = "nginx"

    certificate_header: str = "x-ssl-client-cert"
    verify_header: str = "x-ssl-client-verify"

    def read(self, values: Values) -> PeerCertificate | None:
        certificate = values.get(self.certificate_header, b"")
        # (1) The verify header is there, and agrees with the other: a client can make some proxies drop one.
        if not is_there(values, self.verify_header, _is_status, certificate):
            return None
        # (2) One certificate.
        return peer_of(only(pem_blocks(percent_decoded(certificate))))


def _is_status(verify: bytes) -> bool:
    return verify == b"SUCCESS" or verify.startswith(b"FAILED:")
