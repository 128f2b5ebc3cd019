"""HAProxy: `%[ssl_c_der,base64]`, `%[ssl_c_verify]`, and `%[ssl_c_chain_der,base64]`, DER certificates in a row.

Rule 1: the verify header is there, always: `NONE` without a certificate, which the configuration has to set, else the
number that OpenSSL gives its opinion; we judge ourselves.
Rule 2: the chain does not hold the leaf, and stands only beside one.
"""

from dataclasses import dataclass
from typing import ClassVar

from certbound.core.certificate import PeerCertificate
from certbound.tls.forwarded._values import base64_decoded, concatenated, is_there, peer_of
from certbound.tls.forwarded.contract import OwnHeaders, Values


@dataclass(frozen=True, slots=True, kw_only=True)
class HAProxy(OwnHeaders):
    """With `http-request set-header X-SSL-Client-Verify NONE` where no certificate was used."""

    name: ClassVar[str] = "haproxy"

    certificate_header: str = "x-ssl-client-cert"
    verify_header: str = "x-ssl-client-verify"
    chain_header: str = "x-ssl-client-chain"

    def read(self, values: Values) -> PeerCertificate | None:
        certificate, chain = values.get(self.certificate_header, b""), values.get(self.chain_header, b"")
        # (1) The verify header is there, and agrees with the others: a client can make some proxies drop one.
        if not is_there(values, self.verify_header, _is_code, certificate, chain):
            return None
        # (2) One certificate, and those behind it.
        return peer_of(base64_decoded(certificate), concatenated(base64_decoded(chain)) if chain else ())


def _is_code(verify: bytes) -> bool:
    return verify.isdigit() and len(verify) <= 3
