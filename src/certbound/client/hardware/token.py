"""Keys in PKCS #11 tokens (smart cards, HSMs), by `python-pkcs11`.

Rule 1: the key stays where it is: it is asked for signatures, and for nothing else.
Rule 2: one token is one `Token`, however URIs name it; another PIN than the one it is in use with is refused.
Rule 3: the key is the certificate's, or there is none.
"""

from pathlib import Path
from typing import Any

import pkcs11
from cryptography import x509
from pkcs11 import Attribute

from certbound.client.errors import IdentityUnusable
from certbound.client.hardware.finding import chain_of, choose, public_half
from certbound.client.hardware.operations import operation
from certbound.client.hardware.session import Module, Token, explaining
from certbound.client.hardware.signer import Kind, Scheme, kind_of, verifies
from certbound.client.hardware.uri import TokenUri


class TokenKey:
    """A private key in a token, and the certificate that it belongs to."""

    def __init__(self, token: "Token", uri: TokenUri, certificate: x509.Certificate) -> None:
        self._token = token
        self._uri = uri
        self._kind: Kind = kind_of(certificate.public_key(), str(uri))
        self.public_key = certificate.public_key()
        self.name = f"the key {uri}"

    def __repr__(self) -> str:
        return f"TokenKey({self._uri})"

    def sign(self, data: bytes, scheme: Scheme) -> bytes:
        """`IdentityUnusable` if the token is gone, or says no."""
        if scheme.kind != self._kind:
            raise IdentityUnusable(f"{self.name} is of kind {self._kind}; it makes no signature of {scheme.kind}")
        signature: bytes = self._token.use(self._uri, lambda session: self._sign(session, data, scheme))
        return signature

    def _sign(self, session: Any, data: bytes, scheme: Scheme) -> bytes:
        key = self._token.private_key(session, self._uri)
        if not hasattr(key, "sign"):
            raise IdentityUnusable(f"{self.name} may not sign (CKA_SIGN)")
        message, mechanism, parameter = operation(data, scheme)
        pin = self._token.pin if _wants_pin_each_time(key) else None
        made: bytes = key.sign(message, mechanism=mechanism, mechanism_param=parameter, pin=pin)
        return made


def open_key(
    uri: TokenUri, pin: str | None, chain: list[x509.Certificate] | None = None
) -> tuple[TokenKey, list[x509.Certificate]]:
    """The one key that `uri` means, and its chain: the one given, or what the token has.

    `IdentityUnusable` if there is no such key, if there are several, or if it is not the certificate's.
    """
    token = _token_of(uri, _pin_of(uri, pin))
    found = chain or token.use(uri, lambda session: chain_of(session, uri, token.private_key(session, uri)))
    key = TokenKey(token, uri, found[0])
    _require_pair(token, uri, key, found[0])
    return key, found


def _token_of(uri: TokenUri, pin: str | None) -> Token:
    path = uri.module_path
    if path is None:
        raise IdentityUnusable(f"{uri} does not say by which module; add ?module-path=/…/the-module.so")
    if not path.is_file():
        raise IdentityUnusable(f"the PKCS #11 module {path} is not there; is its package installed?")
    module = _modules.setdefault(path.resolve(), Module(path))
    # The token itself, however the URI names it.
    with module.lock, explaining(uri):
        token = choose(module.tokens(), uri)
        name = (module, token.serial, token.label, token.slot.slot_id)
        known = _tokens.get(name)
        if known is None or not known.is_open_to(uri, pin):
            known = _tokens[name] = Token(module, uri, pin)
    return known


def _pin_of(uri: TokenUri, pin: str | None) -> str | None:
    if pin is not None or uri.pin_source is None:
        return pin if pin is not None else uri.pin_value
    try:
        return uri.pin_source.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise IdentityUnusable(f"the file of the PIN {uri.pin_source} cannot be read") from error


def _require_pair(token: Token, uri: TokenUri, key: TokenKey, leaf: x509.Certificate) -> None:
    """The key is the certificate's: by its public half in the token, else by a signature."""
    public = token.use(uri, lambda session: public_half(session, token.private_key(session, uri)))
    belongs = _verifies(key, leaf) if public is None else public == leaf.public_key()
    if not belongs:
        raise IdentityUnusable(f"the key {uri} does not belong to the client certificate; give the pair")


def _verifies(key: TokenKey, leaf: x509.Certificate) -> bool:
    data, public = b"certbound: is this the key of that certificate?", leaf.public_key()
    kind = kind_of(public, key.name)
    scheme = Scheme(kind, None if kind == "ED25519" else "SHA256", "pkcs1" if kind == "RSA" else None)
    return verifies(public, key.sign(data, scheme), data, scheme)


def _wants_pin_each_time(key: Any) -> bool:
    """CKA_ALWAYS_AUTHENTICATE, as signature keys of cards for people have it."""
    try:
        return bool(key[Attribute.ALWAYS_AUTHENTICATE])
    except pkcs11.PKCS11Error:
        return False


_modules: dict[Path, Module] = {}
_tokens: dict[tuple[Any, ...], Token] = {}
