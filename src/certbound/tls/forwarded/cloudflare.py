"""Cloudflare: `Client-Cert` and `Client-Cert-Chain` (RFC 9440), or the older `Cf-Client-Cert-Der-Base64`.

Rule 1: Cloudflare sets them whatever it thinks of the certificate: we judge.
Rule 2: a leaf beyond 10 KiB or a chain beyond 16 KiB comes empty, and then is none.
"""

from dataclasses import dataclass
from typing import ClassVar

from certbound.core.certificate import PeerCertificate
from certbound.tls.forwarded._values import base64_decoded, peer_of
from certbound.tls.forwarded.contract import OwnHeaders, Values
from certbound.tls.forwarded.rfc9440 import RFC9440

_OLDER = ("cf-client-cert-der-base64", "cf-client-cert-pem", "cf-client-cert-sha256")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloudflare(RFC9440):
    """From the fields `cf.tls_client_auth.cert_rfc9440` and `cert_chain_rfc9440`, by a transform rule."""

    name: ClassVar[str] = "cloudflare"
    beside: ClassVar[tuple[str, ...]] = _OLDER


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudflareDER(OwnHeaders):
    """Base64 of DER; a chain is not forwarded."""

    name: ClassVar[str] = "cloudflare-der"
    beside: ClassVar[tuple[str, ...]] = (*_OLDER[1:], "client-cert", "client-cert-chain")

    certificate_header: str = _OLDER[0]

    def read(self, values: Values) -> PeerCertificate | None:
        value = values.get(self.certificate_header)
        return peer_of(base64_decoded(value)) if value else None
