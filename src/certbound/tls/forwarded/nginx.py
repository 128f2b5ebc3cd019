"""nginx: `$ssl_client_escaped_cert` (PEM, percent-encoded) and `$ssl_client_verify`.

Rule 1: the verify header is there, always: `NONE` without a certificate, else `SUCCESS` or `FAILED:reason`.
Rule 2: what nginx thinks of the certificate is not asked: the key was proven, and we judge the rest.
"""

from dataclasses import dataclass

from certbound.core.certificate import PeerCertificate
from certbound.tls.forwarded._values import peer_of_all, pem_blocks, percent_decoded
from certbound.tls.forwarded.contract import BadForwarded, Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Nginx:
    """Also for the ingress controller of Kubernetes, whose headers are `ssl-client-cert` and `ssl-client-verify`."""

    certificate_header: str = "x-ssl-client-cert"
    verify_header: str = "x-ssl-client-verify"
    name: str = "nginx"

    @property
    def headers(self) -> tuple[str, ...]:
        return self.certificate_header, self.verify_header

    def read(self, values: Values) -> PeerCertificate | None:
        verify, certificate = values.get(self.verify_header), values.get(self.certificate_header)
        # (1) The verify header is there: a client can make some proxies drop one.
        if not verify:
            raise BadForwarded(f"{self.verify_header} is missing; the proxy sets it on every request")
        # (2) It agrees with the other.
        if verify == b"NONE":
            if certificate:
                raise BadForwarded(f"{self.verify_header} says NONE beside a certificate")
            return None
        if verify != b"SUCCESS" and not verify.startswith(b"FAILED:"):
            raise BadForwarded(f"{self.verify_header} is {verify!r:.80}")
        if not certificate:
            raise BadForwarded(f"{self.verify_header} is {verify!r:.80} without a certificate")
        # (3) One certificate.
        blocks = pem_blocks(percent_decoded(certificate))
        if len(blocks) != 1:
            raise BadForwarded(f"{len(blocks)} certificates where one is due")
        return peer_of_all(blocks)
