"""Azure App Service: `X-ARR-ClientCert`, base64 of DER, forwarded as it came and judged by nobody.

Rule: absent without a certificate; a chain is not forwarded.
"""

from dataclasses import dataclass
from typing import ClassVar

from certbound.core.certificate import PeerCertificate
from certbound.tls.forwarded._values import base64_decoded, peer_of
from certbound.tls.forwarded.contract import OwnHeaders, Values


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureAppService(OwnHeaders):
    """With `clientCertMode` `Optional`."""

    name: ClassVar[str] = "azure-app-service"

    certificate_header: str = "x-arr-clientcert"

    def read(self, values: Values) -> PeerCertificate | None:
        value = values.get(self.certificate_header)
        return peer_of(base64_decoded(value)) if value else None
