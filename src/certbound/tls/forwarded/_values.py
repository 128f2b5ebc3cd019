"""The encodings that proxies wrap certificates in, each read in one way or refused.

Rule 1: percent-decoding only: `+` is a character of base64 and never a space.
Rule 2: base64 is canonical: padded, no white space, no bits left over.
Rule 3: bytes are one certificate, whole: nothing follows it, and it is its own canonical DER.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as BinasciiError
from collections.abc import Callable, Sequence

from certbound.core import _der
from certbound.core.certificate import PeerCertificate, read_certificate
from certbound.core.errors import BadCertificate
from certbound.tls.forwarded.contract import MAX_CHAIN, BadForwarded, Values


def percent_decoded(value: bytes) -> bytes:
    """The bytes behind `%XX`.  `BadForwarded` for a `%` that is none."""
    return _ESCAPE.sub(_unescape, value)


def base64_decoded(value: bytes) -> bytes:
    """The bytes behind canonical base64 (RFC 4648 section 4).  `BadForwarded` otherwise."""
    try:
        found = b64decode(value, validate=True)
    except (BinasciiError, ValueError) as error:
        raise BadForwarded(f"no base64: {error}") from error
    if not found or b64encode(found) != value:
        raise BadForwarded("the base64 is empty or not canonical")
    return found


def pem_blocks(text: bytes) -> list[bytes]:
    """The DER behind each PEM block, with nothing before, between or after them but white space.

    Lines may have been folded into spaces, as some proxies do; the base64 without them is canonical.
    """
    found, at = [], 0
    for block in _BLOCK.finditer(text):
        if text[at : block.start()].strip():
            raise BadForwarded("text outside of PEM blocks")
        found.append(base64_decoded(b"".join(block[1].split())))
        at = block.end()
    if text[at:].strip() or not found:
        raise BadForwarded("no PEM certificate, or text behind it")
    return found


def concatenated(ders: bytes) -> list[bytes]:
    """DER values that follow each other, and nothing else.  `BadForwarded` otherwise."""
    try:
        return [each.encoded for each in _der.read_all(ders)]
    except _der.DERError as error:
        raise BadForwarded(f"the chain is no sequence of DER certificates: {error}") from error


def only(ders: Sequence[bytes]) -> bytes:
    """The one that there is.  `BadForwarded` if there are several."""
    if len(ders) != 1:
        raise BadForwarded(f"{len(ders)} certificates where one is due")
    return ders[0]


def is_there(values: Values, status: str, is_status: Callable[[bytes], bool], *certificates: bytes) -> bool:
    """Whether the header `status` says that there is a certificate, the first of `certificates`.

    `BadForwarded` if it is missing, says neither `NONE` nor what `is_status` knows, or if the others say otherwise.
    """
    said = values.get(status)
    if not said:
        raise BadForwarded(f"{status} is missing; the proxy sets it on every request")
    if said == NONE:
        if any(certificates):
            raise BadForwarded(f"{status} says NONE beside a certificate")
        return False
    if not is_status(said):
        raise BadForwarded(f"{status} is {said!r:.80}")
    if not certificates[0]:
        raise BadForwarded(f"{status} is {said!r:.80} without a certificate")
    return True


def peer_of(leaf: bytes, chain: Sequence[bytes] = ()) -> PeerCertificate:
    """The certificate in `leaf` with what was sent behind it, all DER.  `BadForwarded` if it is unusable."""
    try:
        certificate = read_certificate(leaf)
    except BadCertificate as error:
        raise BadForwarded(f"the certificate is unusable: {error}") from error
    try:
        for each in chain:
            _der.expect(_der.read(each), _der.SEQUENCE)
    except _der.DERError as error:
        raise BadForwarded(f"the chain holds what is no certificate: {error}") from error
    return PeerCertificate(certificate, tuple(chain[:MAX_CHAIN]))


def _unescape(escape: re.Match[bytes]) -> bytes:
    if escape[1] is None:
        raise BadForwarded("a percent sign that escapes nothing")
    return bytes.fromhex(escape[1].decode("ascii"))


NONE = b"NONE"
"""What status headers say where there is no certificate."""
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})?")
_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END CERTIFICATE-----")
