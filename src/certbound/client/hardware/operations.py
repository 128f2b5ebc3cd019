"""What a PKCS #11 token is asked to do for a signature: the bytes, the mechanism, its parameter.

Rule 1: the hash is made here, padding and salt in the token, so no raw RSA is ever asked for.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import pkcs11
from pkcs11 import Mechanism

from certbound.client.hardware.signer import Hash, Kind, Scheme

Operation = tuple[bytes, Any, Any]


def operation(data: bytes, scheme: Scheme) -> Operation:
    """For a signature of `data` by `scheme`."""
    return _OPERATIONS[scheme.kind, scheme.padding](data, scheme.hash)


def _ec(data: bytes, name: Hash | None) -> Operation:
    return _digest(data, name), Mechanism.ECDSA, None


def _pkcs1(data: bytes, name: Hash | None) -> Operation:
    prefix, *_ = _HASHES[name or "SHA256"]
    return prefix + _digest(data, name), Mechanism.RSA_PKCS, None


def _pss(data: bytes, name: Hash | None) -> Operation:
    _, mechanism, mask, length = _HASHES[name or "SHA256"]
    return _digest(data, name), Mechanism.RSA_PKCS_PSS, (mechanism, mask, length)


def _eddsa(data: bytes, _: Hash | None) -> Operation:
    return data, Mechanism.EDDSA, None


def _digest(data: bytes, name: Hash | None) -> bytes:
    return hashlib.new(name or "SHA256", data).digest()


# What DigestInfo has before the hash (RFC 8017 section 9.2, note 1); the names for PSS; the length.
_HASHES: Mapping[Hash, tuple[bytes, Any, Any, int]] = {
    "SHA256": (
        bytes.fromhex("3031300d060960864801650304020105000420"), Mechanism.SHA256, pkcs11.MGF.SHA256, 32,
    ),
    "SHA384": (
        bytes.fromhex("3041300d060960864801650304020205000430"), Mechanism.SHA384, pkcs11.MGF.SHA384, 48,
    ),
    "SHA512": (
        bytes.fromhex("3051300d060960864801650304020305000440"), Mechanism.SHA512, pkcs11.MGF.SHA512, 64,
    ),
}  # fmt: skip
_OPERATIONS: Mapping[tuple[Kind, str | None], Callable[[bytes, Hash | None], Operation]] = {
    ("EC", None): _ec,
    ("RSA", "pkcs1"): _pkcs1,
    ("RSA", "pss"): _pss,
    ("ED25519", None): _eddsa,
}
