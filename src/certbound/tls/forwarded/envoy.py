"""Envoy and Istio: `x-forwarded-client-cert`, elements of `key=value`, one element for each proxy on the way.

    Hash=<hex>;Cert="<PEM, percent-encoded>";Chain="<the same of all>";Subject="CN=client";URI=;DNS=client.example

Rule 1: only the last element counts, which the proxy in front of us wrote; a client can have sent the others.
Rule 2: only `Cert` says who it is: whoever knows a certificate knows its hash.  `Hash` and `Chain` must agree with it.
Rule 3: Envoy copies names of the client's certificate unquoted into `URI` and `DNS`, so a certificate that anybody
makes for himself can bring a comma and an element of its own (seen with 1.40, `SANITIZE_SET` and `dns: true`).  Nothing
is believed behind an element with such names.
"""

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar

from certbound.core.certificate import PeerCertificate
from certbound.tls.forwarded._values import only, peer_of, pem_blocks, percent_decoded
from certbound.tls.forwarded.contract import BadForwarded, OwnHeaders, Values

Element = list[tuple[str, bytes]]
"""Keys in lower case, and values without their quotes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envoy(OwnHeaders):
    """With `SANITIZE_SET`, and `cert: true` in `set_current_client_cert_details`; `chain: true` for intermediates."""

    name: ClassVar[str] = "envoy"

    certificate_header: str = "x-forwarded-client-cert"

    def read(self, values: Values) -> PeerCertificate | None:
        value = values.get(self.certificate_header)
        if not value:
            return None
        # (1) The last element is one that the proxy in front of us wrote.
        *others, last = elements(value)
        if any(key not in _SAFE for element in others for key, _ in element):
            raise BadForwarded(
                "several elements, and names of a certificate among them: the last could be one that a client "
                "wrote into its own certificate. Use SANITIZE_SET, and leave out uri and dns"
            )
        # (2) It holds a certificate: a hash alone is no proof.
        certificate = _single(last, "cert")
        if certificate is None:
            raise BadForwarded("an element without Cert: set_current_client_cert_details needs cert: true")
        leaf = only(pem_blocks(percent_decoded(certificate)))
        # (3) The hash is its hash.
        stated = _single(last, "hash")
        if stated is not None and stated.lower() != sha256(leaf).hexdigest().encode("ascii"):
            raise BadForwarded("Hash and Cert are of different certificates")
        # (4) The chain begins with it.
        chain = _single(last, "chain")
        ders = pem_blocks(percent_decoded(chain)) if chain else [leaf]
        if ders[0] != leaf:
            raise BadForwarded("Chain does not begin with Cert")
        return peer_of(leaf, ders[1:])

    def may_be_joined(self, header: str, value: bytes) -> bool:
        """Where a server may have joined two, one that is alone is all that can be believed."""
        del header
        return bool(value) and len(elements(value)) > 1


def elements(value: bytes) -> list[Element]:
    """The elements of the header, one at least.  `BadForwarded` if it is anything else."""
    found: list[Element] = [[]]
    at = 0
    while True:
        pair = _PAIR.match(value, at)
        if pair is None:
            raise BadForwarded(f"no key and value at byte {at}")
        bare, quoted = pair[2], pair[3]
        found[-1].append((pair[1].decode("ascii").lower(), bare if quoted is None else _ESCAPED.sub(rb"\1", quoted)))
        at = pair.end()
        if at == len(value):
            return found
        if value[at] == _COMMA:
            found.append([])
        elif value[at] != _SEMICOLON:
            raise BadForwarded(f"something behind a value, at byte {at}")
        at += 1


def _single(element: Element, wanted: str) -> bytes | None:
    values = [value for key, value in element if key == wanted]
    if len(values) > 1:
        raise BadForwarded(f"{wanted} is there {len(values)} times")
    return values[0] if values else None


_PAIR = re.compile(rb'[ \t]*([A-Za-z][A-Za-z0-9_-]{0,31})=(?:([^",;]*)|"((?:[^"\\]|\\.)*)")(?=[,;]|\Z)', re.DOTALL)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_COMMA, _SEMICOLON = b",;"
_SAFE = frozenset({"by", "hash", "cert", "chain", "subject"})
"""Keys that Envoy quotes, or that hold nothing of the client's choice."""
