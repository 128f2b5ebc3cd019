"""Keys as OpenSSL asks for them: provider-keymgmt(7).

Rule 1: a public half matches only what it is equal to, and one that is empty matches nothing.
Rule 2: a private half is there only where a signer is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certbound.client.hardware.dispatch import (
    INTEGER,
    OCTETS,
    TEXT,
    UNSIGNED,
    each,
    read,
    write_integer,
    write_text,
)
from certbound.client.hardware.signer import Kind, Signer


@dataclass(slots=True)
class KeyData:
    """What OpenSSL calls the data of a key: ours, or the public half of somebody's, to compare with."""

    kind: Kind
    public: Mapping[str, bytes] = field(default_factory=dict)
    signer: Signer | None = None


def has(key: KeyData, selection: int) -> bool:
    """Rule 2."""
    return key.signer is not None if selection & _PRIVATE else bool(key.public)


def match(one: KeyData, other: KeyData) -> bool:
    """Rule 1."""
    return bool(one.public) and one.kind == other.kind and one.public == other.public


def take(key: KeyData, params: Any, ours: Mapping[int, Signer]) -> bool:
    """The key that has a number of ours, or a public one."""
    given = read(params)
    if (number := given.get(OURS.decode())) is not None:
        key.signer = ours[int.from_bytes(number, "little")]
        key.public = _public_of(key.signer.public_key, key.kind)
    else:
        names = {name.decode() for name, _ in PUBLIC_PARAMS[key.kind]}
        key.public = {name: value for name, value in given.items() if name in names}
    return bool(key.public)


def tell(key: KeyData, params: Any) -> bool:
    """What OpenSSL wants to know of a key."""
    assert key.signer is not None
    public = key.signer.public_key
    for param in each(params):
        match param.key:
            case b"bits":
                write_integer(param, _bits(public))
            case b"security-bits":
                write_integer(param, _strength(public, key.kind))
            case b"max-size":
                write_integer(param, longest(public, key.kind))
            case b"group" if key.kind == "EC":
                write_text(param, _GROUPS.get(public.curve.name, public.curve.name).encode())
    return True


def longest(public: Any, kind: Kind) -> int:
    """The longest signature in bytes, as TLS has it."""
    size = (_bits(public) + 7) // 8
    return {"RSA": size, "EC": 2 * (size + 3) + 4}.get(kind, 64)


def _strength(public: Any, kind: Kind) -> int:
    """In bits: NIST SP 800-57 part 1, table 2."""
    bits = _bits(public)
    if kind == "RSA":
        return next(strength for least, strength in _STRENGTHS if bits >= least)
    return bits // 2


def _bits(public: Any) -> int:
    return int(getattr(public, "key_size", 256))


def _public_of(public: Any, kind: Kind) -> dict[str, bytes]:
    """As OpenSSL's own providers export a public key."""
    if kind == "RSA":
        numbers = public.public_numbers()
        return {name: _little(value) for name, value in (("n", numbers.n), ("e", numbers.e))}
    if kind == "EC":
        return {"pub": public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)}
    return {"pub": public.public_bytes(Encoding.Raw, PublicFormat.Raw)}


def _little(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "little")


OURS = b"certbound-key"
NAMES: Mapping[Kind, bytes] = {
    "EC": b"EC:id-ecPublicKey:1.2.840.10045.2.1",
    "RSA": b"RSA:rsaEncryption:1.2.840.113549.1.1.1",
    "ED25519": b"ED25519:1.3.101.112",
}
PUBLIC_PARAMS: Mapping[Kind, Sequence[tuple[bytes, int]]] = {
    "EC": [(b"pub", OCTETS), (OURS, INTEGER)],
    "RSA": [(b"n", UNSIGNED), (b"e", UNSIGNED), (OURS, INTEGER)],
    "ED25519": [(b"pub", OCTETS), (OURS, INTEGER)],
}
TOLD = [(b"bits", INTEGER), (b"security-bits", INTEGER), (b"max-size", INTEGER), (b"group", TEXT)]
_PRIVATE = 1
_GROUPS = {"secp256r1": "prime256v1"}
_STRENGTHS = ((15360, 256), (7680, 192), (3072, 128), (2048, 112), (0, 80))
