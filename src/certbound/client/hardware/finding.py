"""What a PKCS #11 token has: the key that a URI means, its certificates, its public half.

Rule 1: what fits is one, or it is refused.
Rule 2: what cannot be read, of another's perhaps, is passed over.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pkcs11
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pkcs11 import Attribute, KeyType, ObjectClass
from pkcs11.util.ec import encode_ec_public_key
from pkcs11.util.rsa import encode_rsa_public_key

from certbound.client.errors import IdentityUnusable
from certbound.client.hardware.uri import TokenUri


def choose(present: list[Any], uri: TokenUri) -> Any:
    """The one token that is meant."""
    found = [
        each
        for each in present
        if each.flags & pkcs11.TokenFlag.TOKEN_INITIALIZED
        and uri.token in {None, each.label}
        and uri.serial in {None, each.serial.decode("utf-8", "replace").strip("\0 ")}
        and uri.manufacturer in {None, each.manufacturer_id}
        and uri.model in {None, each.model}
        and uri.slot_id in {None, each.slot.slot_id}
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise IdentityUnusable(f"{len(found)} tokens fit {uri}; say which by its serial")
    raise IdentityUnusable(f"no token is there that fits {uri}; is it plugged in?")


def private_key(session: Any, uri: TokenUri) -> Any:
    """The one key that is meant."""
    found = _objects(session, uri, ObjectClass.PRIVATE_KEY)
    if len(found) == 1:
        return found[0]
    if found:
        raise IdentityUnusable(f"{len(found)} private keys fit {uri}; say which by its id or object")
    raise IdentityUnusable(f"no private key fits {uri}; is that its object or id, and was the PIN given?")


def chain_of(session: Any, uri: TokenUri, key: Any) -> list[x509.Certificate]:
    """The certificate of the key, and its issuers as far as they are in the token."""
    key_id = key[Attribute.ID]
    leaves = _certificates(session, {Attribute.ID: key_id}) if key_id else []
    leaves = leaves or _certificates(session, {Attribute.LABEL: uri.object} if uri.object else {})
    if len(leaves) != 1:
        what = "no certificate" if not leaves else f"{len(leaves)} certificates"
        raise IdentityUnusable(f"the token has {what} for {uri}; give the certificate as a PEM file")
    chain, others = leaves, _certificates(session, {})
    while (issuer := _issuer_of(chain[-1], others)) is not None and issuer not in chain:
        chain.append(issuer)
    return chain


def public_half(session: Any, private: Any) -> Any:
    """The public key, if the token has one that can be read beside the private one."""
    same = {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.KEY_TYPE: private.key_type}
    key_id = private[Attribute.ID]
    found = list(session.get_objects({**same, Attribute.ID: key_id})) if key_id else []
    if len(found) != 1:
        return None
    try:
        return load_der_public_key(_ENCODE[private.key_type](found[0]))
    except (KeyError, ValueError, TypeError, UnsupportedAlgorithm):  # Rule 2
        return None


def _objects(session: Any, uri: TokenUri, kind: Any) -> list[Any]:
    wanted = {Attribute.CLASS: kind}
    if uri.object is not None:
        wanted[Attribute.LABEL] = uri.object
    if uri.id is not None:
        wanted[Attribute.ID] = uri.id
    return list(session.get_objects(wanted))


def _certificates(session: Any, wanted: Mapping[Any, Any]) -> list[x509.Certificate]:
    found = session.get_objects({Attribute.CLASS: ObjectClass.CERTIFICATE, **wanted})
    readable = (_readable(each[Attribute.VALUE]) for each in found)
    return list(dict.fromkeys(each for each in readable if each is not None))


def _readable(der: bytes) -> x509.Certificate | None:
    """Rule 2."""
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError:
        return None


def _issuer_of(certificate: x509.Certificate, others: list[x509.Certificate]) -> x509.Certificate | None:
    for each in others:
        if each.subject == certificate.issuer and each != certificate:
            try:
                certificate.verify_directly_issued_by(each)
            except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
                continue
            return each
    return None


def _encode_ed25519(public: Any) -> bytes:
    """RFC 8410 section 4; the token has the point alone, or as an OCTET STRING."""
    point: bytes = public[Attribute.EC_POINT]
    return bytes.fromhex("302a300506032b6570032100") + point[-32:]


_ENCODE: Mapping[Any, Callable[[Any], bytes]] = {
    KeyType.EC: encode_ec_public_key,
    KeyType.EC_EDWARDS: _encode_ed25519,
    KeyType.RSA: encode_rsa_public_key,
}
