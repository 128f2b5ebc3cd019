"""The OpenSSL that the `ssl` module of this Python is linked to, by `ctypes`, and the `SSL_CTX` of one of its contexts.

Rule 1: nothing is called before it is known that this is CPython with a GIL, of a version whose `SSLContext` is known,
        and its main interpreter, and that the library is the one that `ssl` names; anything else is a clear refusal.
Rule 2: an address that was read from a context is believed only if the library says of it what Python says.
"""

import _ssl
import ctypes
import platform
import ssl
import sys
from ctypes import POINTER, c_char_p, c_int, c_long, c_size_t, c_uint64, c_ulong, c_void_p
from dataclasses import dataclass
from functools import cache
from typing import Any

from certbound.client.errors import IdentityUnusable

VERSIONS = ((3, 11), (3, 15))
"""From the first on, and before the second, an `SSLContext` begins with its `SSL_CTX`."""


@dataclass(frozen=True, slots=True)
class Library:
    """libssl and libcrypto."""

    call: Any
    name: str

    def why(self) -> str:
        """What OpenSSL says went wrong last; its queue is empty afterwards."""
        said, text = "nothing is said", ctypes.create_string_buffer(256)
        while code := self.call.ERR_get_error():
            self.call.ERR_error_string_n(code, text, len(text))
            said = text.value.decode("ascii", "replace")
        return said

    def address_of(self, context: ssl.SSLContext) -> int:
        """The `SSL_CTX` of a context, which is the first thing behind the head of the object."""
        head, own = object.__basicsize__, _ssl._SSLContext.__basicsize__  # noqa: SLF001
        if own < head + ctypes.sizeof(c_void_p):
            raise _refused("its SSLContext is not what it was")
        address = c_void_p.from_address(id(context) + head).value
        # Rule 2
        if not address or address < _LEAST or address % ctypes.sizeof(c_void_p):
            raise _refused("its SSLContext is not what it was")
        if self.call.SSL_CTX_get_verify_mode(address) != _VERIFY[context.verify_mode]:
            raise _refused("its SSLContext is not what it was")
        if self.call.SSL_CTX_get_options(address) & _LOW != context.options & _LOW:
            raise _refused("its SSLContext is not what it was")
        return address


@cache
def open_library() -> Library:
    """`IdentityUnusable` says why there is none that can be used."""
    if platform.python_implementation() != "CPython" or not getattr(sys, "_is_gil_enabled", lambda: True)():
        raise _refused("it is not CPython with a GIL")
    if not VERSIONS[0] <= sys.version_info[:2] < VERSIONS[1]:
        raise _refused("it is of a version that was never tried")
    if _is_subinterpreter():  # where ctypes calls back into the main one
        raise _refused("it is a subinterpreter")
    if ssl.OPENSSL_VERSION_INFO < (3,) or "OpenSSL" not in ssl.OPENSSL_VERSION:
        raise _refused(f"its ssl module is linked to {ssl.OPENSSL_VERSION}, and OpenSSL 3 is needed")
    try:
        # A lookup in a library also finds what the libraries have that it is linked to.
        found = ctypes.CDLL(_ssl.__file__)
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(found, name)
            function.restype, function.argtypes = result, arguments
    except (AttributeError, OSError, TypeError):
        raise _refused("the OpenSSL of its ssl module is inside it, and out of reach") from None
    if found.OpenSSL_version_num() != _number(ssl.OPENSSL_VERSION_INFO):
        raise _refused("another OpenSSL than that of its ssl module was found")
    return Library(found, ssl.OPENSSL_VERSION)


def _is_subinterpreter() -> bool:
    python = ctypes.PyDLL(None)
    for function in (python.PyInterpreterState_Get, python.PyInterpreterState_Main):
        function.restype = c_void_p
    return bool(python.PyInterpreterState_Get() != python.PyInterpreterState_Main())


def _number(version: tuple[int, ...]) -> int:
    """OPENSSL_VERSION_NUMBER(3): 0xMNN00PP0; Python takes it apart as it was before OpenSSL 3."""
    major, minor, fix, patch, status = version
    return major << 28 | minor << 20 | fix << 12 | patch << 4 | status


def _refused(why: str) -> IdentityUnusable:
    return IdentityUnusable(
        f"this Python ({sys.executable}) cannot use keys in hardware: {why}; "
        "use CPython as Debian, Docker or pyenv have it, linked to the system's OpenSSL 3"
    )


# SSL_VERIFY_PEER is 1, SSL_VERIFY_FAIL_IF_NO_PEER_CERT 2.
_VERIFY = {ssl.CERT_NONE: 0, ssl.CERT_OPTIONAL: 1, ssl.CERT_REQUIRED: 3}
_LOW = 0xFFFF_FFFF
_LEAST = 0x1_0000
"""No object of a process is below."""
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "ERR_clear_error": (None, []),
    "ERR_error_string_n": (None, [c_ulong, c_char_p, c_size_t]),
    "ERR_get_error": (c_ulong, []),
    "EVP_PKEY_CTX_free": (None, [c_void_p]),
    "EVP_PKEY_CTX_new_from_name": (c_void_p, [c_void_p, c_char_p, c_char_p]),
    "EVP_PKEY_free": (None, [c_void_p]),
    "EVP_PKEY_fromdata": (c_int, [c_void_p, POINTER(c_void_p), c_int, c_void_p]),
    "EVP_PKEY_fromdata_init": (c_int, [c_void_p]),
    "EVP_PKEY_up_ref": (c_int, [c_void_p]),
    "OPENSSL_sk_free": (None, [c_void_p]),
    "OPENSSL_sk_new_null": (c_void_p, []),
    "OPENSSL_sk_push": (c_int, [c_void_p, c_void_p]),
    "OSSL_LIB_CTX_new": (c_void_p, []),
    "OSSL_PROVIDER_add_builtin": (c_int, [c_void_p, c_char_p, c_void_p]),
    "OSSL_PROVIDER_load": (c_void_p, [c_void_p, c_char_p]),
    "OpenSSL_version_num": (c_ulong, []),
    "SSL_CTX_get_options": (c_uint64, [c_void_p]),
    "SSL_CTX_get_verify_mode": (c_int, [c_void_p]),
    "SSL_CTX_use_cert_and_key": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_int]),
    "X509_free": (None, [c_void_p]),
    "X509_up_ref": (c_int, [c_void_p]),
    "d2i_X509": (c_void_p, [c_void_p, c_void_p, c_long]),
}
