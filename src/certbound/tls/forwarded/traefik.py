"""Traefik: `X-Forwarded-Tls-Client-Cert` of the middleware `passTLSClientCert` with `pem: true`.

Rule: it is base64 of DER, the leaf first, the others behind it with commas between; absent without a certificate.
Behind a WSGI server that is a 400 as soon as there is more than the leaf: there commas may come of two headers, the
first of somebody else, and neither order nor signatures would tell (an authority could put the leaf of its victim in
front of its own certificate).
"""

from dataclasses import dataclass
from typing import ClassVar

from certbound.core.certificate import PeerCertificate
from certbound.tls.forwarded._values import base64_decoded, peer_of
from certbound.tls.forwarded.contract import OwnHeaders, Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Traefik(OwnHeaders):
    """What `info` of that middleware adds is removed, and not read."""

    name: ClassVar[str] = "traefik"
    beside: ClassVar[tuple[str, ...]] = ("x-forwarded-tls-client-cert-info",)
    lists_by_commas: ClassVar[bool] = True

    certificate_header: str = "x-forwarded-tls-client-cert"

    def read(self, values: Values) -> PeerCertificate | None:
        value = values.get(self.certificate_header)
        if not value:
            return None
        leaf, *chain = map(base64_decoded, value.split(b","))
        return peer_of(leaf, chain)
