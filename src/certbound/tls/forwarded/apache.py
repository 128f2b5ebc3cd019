"""Apache: `expr=%{base64:%{SSL_CLIENT_CERT}}`, PEM in base64, and `%{SSL_CLIENT_VERIFY}s`.

Rule 1: the verify header is there, always: `NONE` without a certificate, else `SUCCESS`, `GENEROUS` or `FAILED:reason`;
a client can make Apache drop a header by naming it in `Connection`.
Rule 2: `(null)` is what Apache writes where there is nothing.
"""

from dataclasses import dataclass
from typing import ClassVar

from certbound.core.certificate import PeerCertificate
from certbound.tls.forwarded._values import base64_decoded, is_there, only, peer_of, pem_blocks
from certbound.tls.forwarded.contract import OwnHeaders, Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Apache(OwnHeaders):
    """The bare `%{SSL_CLIENT_CERT}s` is not read: its lines are folded, and whatever else they held with them."""

    name: ClassVar[str] = "apache"

    certificate_header: str = "x-ssl-client-cert"
    verify_header: str = "x-ssl-client-verify"

    def read(self, values: Values) -> PeerCertificate | None:
        certificate = values.get(self.certificate_header, b"")
        certificate = b"" if certificate == _NOTHING else certificate
        # (1) The verify header is there, and agrees with the other: a client can make Apache drop one.
        if not is_there(values, self.verify_header, _is_status, certificate):
            return None
        # (2) One certificate.
        return peer_of(only(pem_blocks(base64_decoded(certificate))))


def _is_status(verify: bytes) -> bool:
    return verify in {b"SUCCESS", b"GENEROUS"} or verify.startswith(b"FAILED:")


_NOTHING = b"(null)"
