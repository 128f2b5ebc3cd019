"""One session with a PKCS #11 token, whoever uses it.

Rule 1: a PIN that a token refused is not tried again by this process: cards lock themselves after three.
Rule 2: one session for each token, however many keys and threads use it, and one call of a module at a time: a session
        is for one thread, a login for the whole process.
Rule 3: a session that ended (card pulled and put back, daemon restarted) is opened again, once for each signature; one
        that only might have ended is closed first.
Rule 4: a message names the token and the object, never the PIN.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pkcs11
from pkcs11 import Attribute

from certbound.client.errors import IdentityUnusable
from certbound.client.forking import anew_in_children
from certbound.client.hardware.finding import choose, private_key
from certbound.client.hardware.uri import TokenUri

_T = TypeVar("_T")


class Module:
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


class Token:
    """One token, and the session with it."""

    def __init__(self, module: Module, uri: TokenUri, pin: str | None) -> None:
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
        with self._module.lock, explaining(uri):
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
            except _ENDED:  # a number of such a session may be another's by now
                pass
            except _AMISS:
                with suppress(pkcs11.PKCS11Error):
                    self._session.close()
        self._session, self._keys = None, {}
        self._session = self._open()
        return action(self._session)

    def private_key(self, session: Any, uri: TokenUri) -> Any:
        """The one key that is meant; looked for once in each session."""
        if (known := self._keys.get(uri)) is None:
            known = self._keys[uri] = private_key(session, uri)
        return known

    def is_open_to(self, uri: TokenUri, pin: str | None) -> bool:
        """Whether this may be used with that PIN, at which the token itself looks but once."""
        if self._refused:
            return pin == self.pin
        if pin is not None and self.pin is not None and pin != self.pin:
            raise IdentityUnusable(f"the token of {uri} is in use here with another PIN; give the same one")
        return True

    def _open(self) -> Any:
        token = choose(self._module.tokens(), self._uri)
        pin: Any = self.pin
        if pin is None and token.flags & pkcs11.TokenFlag.PROTECTED_AUTHENTICATION_PATH:
            pin = pkcs11.PROTECTED_AUTH  # it is typed on the reader
        try:
            return token.open(user_pin=pin)
        except pkcs11.UserAlreadyLoggedIn:
            return token.open()


@contextmanager
def explaining(uri: TokenUri) -> Iterator[None]:
    """What the module raises becomes ours, without the cause: it may have seen the PIN."""
    try:
        yield
    except pkcs11.PKCS11Error as error:
        why = next((text for kinds, text in _PROBLEMS if isinstance(error, kinds)), None)
        said = f"{type(error).__name__} {error}".strip()
        raise IdentityUnusable(f"{uri} cannot be used: {why or f'the module says {said}'}") from None


_PIN_REFUSED = (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange, pkcs11.PinLocked, pkcs11.PinExpired)
_GONE = (pkcs11.DeviceRemoved, pkcs11.TokenNotPresent, pkcs11.TokenNotRecognised, pkcs11.SlotIDInvalid)
_ENDED = (*_GONE, pkcs11.SessionClosed, pkcs11.SessionHandleInvalid)
_AMISS = (
    pkcs11.UserNotLoggedIn, pkcs11.KeyHandleInvalid, pkcs11.ObjectHandleInvalid, pkcs11.DeviceError,
    pkcs11.GeneralError, pkcs11.OperationActive,
)  # fmt: skip
_PROBLEMS = (
    ((pkcs11.PinLocked,), "the token has locked itself after too many wrong PINs"),
    ((pkcs11.PinExpired,), "its PIN has expired; set another"),
    (_PIN_REFUSED, "the token refused the PIN; it is not tried again, lest the token lock itself"),
    (_GONE, "the token is gone; plug it in"),
    ((pkcs11.UserNotLoggedIn,), "the token wants a PIN"),
    ((pkcs11.MechanismInvalid,), "the token cannot sign as TLS wants it (for RSA: CKM_RSA_PKCS_PSS)"),
)
