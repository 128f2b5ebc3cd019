"""Signatures as OpenSSL asks for them: provider-signature(7).

Rule 1: what cannot be signed as it is asked for is refused, never signed otherwise.
Rule 2: what the signer made was checked (`signer`, rule 3) before a byte of it is written, and there is room for it.
"""

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from certbound.client.errors import IdentityUnusable
from certbound.client.hardware.dispatch import TEXT, read
from certbound.client.hardware.keys import NAMES, KeyData, longest
from certbound.client.hardware.signer import Hash, Kind, Scheme, Signer, signature_of


@dataclass(slots=True)
class Signing:
    """One signature in the making."""

    kind: Kind
    signer: Signer | None = None
    hash: Hash | None = None
    padding: str = "pkcs1"


def begin(signing: Signing, digest: bytes | None, key: KeyData | None, params: Any) -> bool:
    """Rule 1."""
    name = None if not digest else digest.decode().upper().replace("SHA2-", "SHA")
    if (signing.kind == "ED25519") != (name is None) or (name is not None and name not in _HASHES):
        return False
    if key is not None:
        signing.signer = key.signer
    signing.hash = _HASHES[name] if name else None
    return signing.signer is not None and choose(signing, params)


def choose(signing: Signing, params: Any) -> bool:
    """Padding and salt; rule 1."""
    given = read(params)
    if (mode := given.get("pad-mode")) is not None:
        padding = _PADDINGS.get(mode.rstrip(b"\0"))
        if padding is None:
            return False
        signing.padding = padding
    # Nothing but a salt as long as the hash is asked for by TLS, and offered by us (RFC 8446 section 4.2.3).
    salt = given.get("saltlen")
    return salt is None or salt.rstrip(b"\0") in _SALT_OF_HASH


def sign(signing: Signing, out: int | None, length: Any, room: int, data: int | None, size: int) -> bool:
    """`length` is how long the signature may be, or, with `out`, how long it is."""
    signer = signing.signer
    assert signer is not None
    most = longest(signer.public_key, signing.kind)
    if not out:
        length[0] = most
        return True
    padding: Any = signing.padding if signing.kind == "RSA" else None
    scheme = Scheme(signing.kind, signing.hash, padding)
    made = signature_of(signer, ctypes.string_at(data or 0, size) if size else b"", scheme)
    if signing.kind == "EC":
        half = len(made) // 2
        made = encode_dss_signature(int.from_bytes(made[:half]), int.from_bytes(made[half:]))
    # Rule 2
    if len(made) > min(room, most):
        raise IdentityUnusable(f"{signer.name} made a signature of {len(made)} bytes, and there is no room for it")
    ctypes.memmove(out, made, len(made))
    length[0] = len(made)
    return True


SIGNATURES: Mapping[Kind, bytes] = {"EC": b"ECDSA", "RSA": NAMES["RSA"], "ED25519": NAMES["ED25519"]}
SETTABLE_PARAMS = [(b"pad-mode", TEXT), (b"saltlen", TEXT), (b"digest", TEXT), (b"mgf1-digest", TEXT)]
_HASHES: Mapping[str | None, Hash] = {"SHA256": "SHA256", "SHA384": "SHA384", "SHA512": "SHA512"}
# As text, and as the number that RSA_PKCS1_PADDING and RSA_PKCS1_PSS_PADDING are.
_PADDINGS = {b"pss": "pss", b"\x06": "pss", b"pkcs1": "pkcs1", b"\x01": "pkcs1"}
_SALT_OF_HASH = {b"digest", b"-1", b"\xff\xff\xff\xff"}
