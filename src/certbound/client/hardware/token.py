"""Keys in PKCS #11 tokens (smart cards, HSMs), by `python-pkcs11`.

Rule 1: the key stays where it is: it is asked for signatures, and for nothing else.
Rule 2: a PIN that a token refused is not tried again by this process: cards lock themselves after three.
Rule 3: one session for each token, however many keys and threads use it, and one call of a module at a time: a session
        is for one thread, a login for the whole process.
Rule 4: a session that ended (card pulled and put back, daemon restarted) is opened again, once for each signature.
Rule 5: a message names the token and the object, never the PIN.
"""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pkcs11
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pkcs11 import Attribute, KeyType, ObjectClass
from pkcs11.util.ec import encode_ec_public_key
from pkcs11.util.rsa import encode_rsa_public_key

from certbound.client.errors import IdentityUnusable
from certbound.client.forking import anew_in_children
from certbound.client.hardware.operations import operation
from certbound.client.hardware.signer import Kind, Scheme, kind_of
from certbound.client.hardware.uri import TokenUri

_T = TypeVar("_T")


class TokenKey:
    """A private key in a token, and the certificate that it belongs to."""

    def __init__(self, token: "_Token", uri: TokenUri, certificate: x509.Certificate) -> None:
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
    found = chain or token.use(uri, lambda session: _chain(session, uri, token.private_key(session, uri)))
    key = TokenKey(token, uri, found[0])
    _require_pair(token, uri, key, found[0])
    return key, found


class _Module:
    """A module, which is told of no threads, so that one at a time may call it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._process = os.getpid()
        self.lock = threading.Lock()
        anew_in_children(self)

    def begin_anew(self) -> None:
        """The lock may be held by a thread that is not there."""
        self.lock = threading.Lock()

    def tokens(self) -> list[Any]:
        """The tokens that are there now; one that cannot say what it is, is not."""
        found = []
        for slot in self._library().get_slots(token_present=True):
            with suppress(pkcs11.PKCS11Error):
                found.append(slot.get_token())
        return found

    def _library(self) -> Any:
        """Loaded, and initialized in this process."""
        try:
            library = pkcs11.lib(str(self._path))
        except RuntimeError as error:
            raise IdentityUnusable(f"the PKCS #11 module {self._path} cannot be loaded: {error}") from error
        if self._process != os.getpid():
            with suppress(pkcs11.PKCS11Error):  # as some modules find that they are not
                library.finalize()
            library.initialize()
            self._process = os.getpid()
        return library


class _Token:
    """One token, and the session with it."""

    def __init__(self, module: _Module, uri: TokenUri, pin: str | None) -> None:
        self._module = module
        self._uri = uri
        self.pin = pin
        self._session: Any = None
        self._keys: dict[TokenUri, Any] = {}
        self._refused = False
        anew_in_children(self)

    def begin_anew(self) -> None:
        """No session, and no login, goes over to a child (PKCS #11 section 6.6.1)."""
        self._session, self._keys = None, {}

    def use(self, uri: TokenUri, action: Callable[[Any], _T]) -> _T:
        """What `action` returns of a session that is logged in."""
        with self._module.lock, _explaining(uri):
            if self._refused:
                raise IdentityUnusable(
                    f"the token of {uri} refused its PIN, which is not tried again, lest the token lock itself"
                )
            try:
                return self._use(uri, action)
            except _PIN_REFUSED:
                self._refused = True
                raise

    def _use(self, uri: TokenUri, action: Callable[[Any], _T]) -> _T:
        if self._session is not None:
            try:
                for key in self._keys.values():
                    key[Attribute.CLASS]  # a search in a session that ended would say so on stderr too
                    break
                return action(self._session)
            except _ENDED:
                pass
        self._session, self._keys = None, {}
        self._session = self._open()
        return action(self._session)

    def private_key(self, session: Any, uri: TokenUri) -> Any:
        """The one key that is meant; looked for once in each session."""
        if (known := self._keys.get(uri)) is None:
            known = self._keys[uri] = _private_key(session, uri)
        return known

    def is_open_to(self, uri: TokenUri, pin: str | None) -> bool:
        """Whether this may be used with that PIN, at which the token itself looks but once."""
        if self._refused:
            return pin == self.pin
        if pin is not None and self.pin is not None and pin != self.pin:
            raise IdentityUnusable(f"the token of {uri} is in use here with another PIN; give the same one")
        return True

    def _open(self) -> Any:
        token = _choose(self._module.tokens(), self._uri)
        pin: Any = self.pin
        if pin is None and token.flags & pkcs11.TokenFlag.PROTECTED_AUTHENTICATION_PATH:
            pin = pkcs11.PROTECTED_AUTH  # it is typed on the reader
        try:
            return token.open(user_pin=pin)
        except pkcs11.UserAlreadyLoggedIn:
            return token.open()


def _token_of(uri: TokenUri, pin: str | None) -> _Token:
    path = uri.module_path
    if path is None:
        raise IdentityUnusable(f"{uri} does not say by which module; add ?module-path=/…/the-module.so")
    if not path.is_file():
        raise IdentityUnusable(f"the PKCS #11 module {path} is not there; is its package installed?")
    module = _modules.setdefault(path.resolve(), _Module(path))
    # The token itself, however the URI names it.
    with module.lock, _explaining(uri):
        token = _choose(module.tokens(), uri)
        name = (module, token.serial, token.label, token.slot.slot_id)
        known = _tokens.get(name)
        if known is None or not known.is_open_to(uri, pin):
            known = _tokens[name] = _Token(module, uri, pin)
    return known


def _pin_of(uri: TokenUri, pin: str | None) -> str | None:
    if pin is not None or uri.pin_source is None:
        return pin if pin is not None else uri.pin_value
    try:
        return uri.pin_source.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise IdentityUnusable(f"the file of the PIN {uri.pin_source} cannot be read") from error


def _choose(present: list[Any], uri: TokenUri) -> Any:
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


def _objects(session: Any, uri: TokenUri, kind: Any) -> list[Any]:
    wanted = {Attribute.CLASS: kind}
    if uri.object is not None:
        wanted[Attribute.LABEL] = uri.object
    if uri.id is not None:
        wanted[Attribute.ID] = uri.id
    return list(session.get_objects(wanted))


def _private_key(session: Any, uri: TokenUri) -> Any:
    found = _objects(session, uri, ObjectClass.PRIVATE_KEY)
    if len(found) == 1:
        return found[0]
    if found:
        raise IdentityUnusable(f"{len(found)} private keys fit {uri}; say which by its id or object")
    raise IdentityUnusable(f"no private key fits {uri}; is that its object or id, and was the PIN given?")


def _wants_pin_each_time(key: Any) -> bool:
    """CKA_ALWAYS_AUTHENTICATE, as signature keys of cards for people have it."""
    try:
        return bool(key[Attribute.ALWAYS_AUTHENTICATE])
    except pkcs11.PKCS11Error:
        return False


def _chain(session: Any, uri: TokenUri, key: Any) -> list[x509.Certificate]:
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


def _certificates(session: Any, wanted: Mapping[Any, Any]) -> list[x509.Certificate]:
    found = session.get_objects({Attribute.CLASS: ObjectClass.CERTIFICATE, **wanted})
    return list(dict.fromkeys(x509.load_der_x509_certificate(each[Attribute.VALUE]) for each in found))


def _issuer_of(certificate: x509.Certificate, others: list[x509.Certificate]) -> x509.Certificate | None:
    for each in others:
        if each.subject == certificate.issuer and each != certificate:
            try:
                certificate.verify_directly_issued_by(each)
            except (ValueError, TypeError, InvalidSignature):
                continue
            return each
    return None


def _require_pair(token: _Token, uri: TokenUri, key: TokenKey, leaf: x509.Certificate) -> None:
    """The key is the certificate's: by its public half in the token, else by a signature."""
    public = token.use(uri, lambda session: _public_half(session, token.private_key(session, uri)))
    belongs = _verifies(key, leaf) if public is None else load_der_public_key(public) == leaf.public_key()
    if not belongs:
        raise IdentityUnusable(f"the key {uri} does not belong to the client certificate; give the pair")


def _public_half(session: Any, private: Any) -> bytes | None:
    """The public key in DER, if the token has it beside the private one."""
    same = {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.KEY_TYPE: private.key_type}
    key_id = private[Attribute.ID]
    found = list(session.get_objects({**same, Attribute.ID: key_id})) if key_id else []
    if len(found) != 1:
        return None
    encode = _ENCODE.get(private.key_type)
    return None if encode is None else encode(found[0])


def _encode_ed25519(public: Any) -> bytes:
    """RFC 8410 section 4; the token has the point alone, or as an OCTET STRING."""
    point: bytes = public[Attribute.EC_POINT]
    return bytes.fromhex("302a300506032b6570032100") + point[-32:]


def _verifies(key: TokenKey, leaf: x509.Certificate) -> bool:
    data, public = b"certbound: is this the key of that certificate?", leaf.public_key()
    kind = kind_of(public, key.name)
    scheme = Scheme(kind, None if kind == "ED25519" else "SHA256", "pkcs1" if kind == "RSA" else None)
    try:
        made = key.sign(data, scheme)
        if kind == "EC":
            half = len(made) // 2
            der = encode_dss_signature(int.from_bytes(made[:half]), int.from_bytes(made[half:]))
            public.verify(der, data, ec.ECDSA(hashes.SHA256()))  # type: ignore[union-attr, call-arg, arg-type]
        elif kind == "RSA":
            public.verify(made, data, padding.PKCS1v15(), hashes.SHA256())  # type: ignore[union-attr, call-arg, arg-type]
        else:
            public.verify(made, data)  # type: ignore[union-attr, call-arg]
    except InvalidSignature:
        return False
    return True


@contextmanager
def _explaining(uri: TokenUri) -> Iterator[None]:
    """What the module raises becomes ours, without the cause: it may have seen the PIN."""
    try:
        yield
    except pkcs11.PKCS11Error as error:
        why = next((text for kinds, text in _PROBLEMS if isinstance(error, kinds)), None)
        said = f"{type(error).__name__} {error}".strip()
        raise IdentityUnusable(f"{uri} cannot be used: {why or f'the module says {said}'}") from None


_modules: dict[Path, _Module] = {}
_tokens: dict[tuple[Any, ...], _Token] = {}

_ENCODE: Mapping[Any, Callable[[Any], bytes]] = {
    KeyType.EC: encode_ec_public_key,
    KeyType.EC_EDWARDS: _encode_ed25519,
    KeyType.RSA: encode_rsa_public_key,
}
_PIN_REFUSED = (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange, pkcs11.PinLocked, pkcs11.PinExpired)
_GONE = (pkcs11.DeviceRemoved, pkcs11.TokenNotPresent, pkcs11.TokenNotRecognised, pkcs11.SlotIDInvalid)
_ENDED = (
    *_GONE, pkcs11.SessionClosed, pkcs11.SessionHandleInvalid, pkcs11.UserNotLoggedIn, pkcs11.KeyHandleInvalid,
    pkcs11.ObjectHandleInvalid, pkcs11.DeviceError, pkcs11.GeneralError, pkcs11.OperationActive,
)  # fmt: skip
_PROBLEMS = (
    ((pkcs11.PinLocked,), "the token has locked itself after too many wrong PINs"),
    ((pkcs11.PinExpired,), "its PIN has expired; set another"),
    (_PIN_REFUSED, "the token refused the PIN; it is not tried again, lest the token lock itself"),
    (_GONE, "the token is gone; plug it in"),
    ((pkcs11.UserNotLoggedIn,), "the token wants a PIN"),
    ((pkcs11.MechanismInvalid,), "the token cannot sign as TLS wants it (for RSA: CKM_RSA_PKCS_PSS)"),
)
