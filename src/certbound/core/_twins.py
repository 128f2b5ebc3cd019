"""Certificates that anybody can make of another: ECDSA signatures come in pairs (SEC 1 section 4.1.4).

If (r, s) verifies, so does (r, n - s), and no key is needed to go from one to the other.  Whoever names a certificate
by its thumbprint in order to refuse it means both.  Other signatures of certificates here have one form: RSA and EdDSA
bound the number, DER its encoding, and `read_certificate` and the path refuse what is encoded otherwise.
"""

from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric import ec

from certbound.core import _der


def twins(certificate: bytes) -> Iterator[bytes]:
    """The DER of each certificate that differs from this one in the other half of its signature alone."""
    try:
        signed, algorithm, signature = _der.read_all(_der.expect(_der.read(certificate), _der.SEQUENCE))
        pair = _der.read(_der.expect(signature, _der.BIT_STRING)[1:])
        r, s = _der.read_all(_der.expect(pair, _der.SEQUENCE))
        number = int.from_bytes(_der.expect(s, _INTEGER))
    except (_der.DERError, ValueError):
        return
    for order in _ORDERS:  # of the curve of whoever signed it, who is not known here
        if 0 < number < order:
            other = _encode(_der.SEQUENCE, r.encoded + _integer(order - number))
            bits = _encode(_der.BIT_STRING, b"\0" + other)
            yield _encode(_der.SEQUENCE, signed.encoded + algorithm.encoded + bits)


def _integer(number: int) -> bytes:
    return _encode(_INTEGER, number.to_bytes(number.bit_length() // 8 + 1))


def _encode(tag: int, content: bytes) -> bytes:
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(length))) + length + content


_INTEGER = 0x02
_ORDERS = tuple(curve.group_order for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()))
"""Of the curves of `core.keys`."""
