"""A context of the `ssl` module that presents a certificate whose key is a `Signer`.

Rule 1: certificate and key go in together, and OpenSSL finds that they belong together, or neither is used.
Rule 2: the key lives as long as the context does.
"""

import ctypes
import ssl
import weakref
from collections.abc import Sequence
from contextlib import ExitStack

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certbound.client.errors import IdentityUnusable
from certbound.client.hardware.aside import aside
from certbound.client.hardware.dispatch import take_failure
from certbound.client.hardware.library import Library, open_library
from certbound.client.hardware.provider import OsslKey
from certbound.client.hardware.signer import Signer


def present(context: ssl.SSLContext, chain: Sequence[x509.Certificate], signer: Signer) -> None:
    """`context` shows `chain`, leaf first, and has `signer` sign.  `IdentityUnusable` if OpenSSL cannot."""
    aside(lambda: _present(context, chain, signer))


def _present(context: ssl.SSLContext, chain: Sequence[x509.Certificate], signer: Signer) -> None:
    library = open_library()
    address = library.address_of(context)
    key = OsslKey(signer)
    with ExitStack() as freeing:
        freeing.callback(library.call.ERR_clear_error)  # what others read from this thread's queue is theirs
        leaf, *issuers = [_read(library, each, freeing) for each in chain]
        stack = library.call.OPENSSL_sk_new_null()
        freeing.callback(library.call.OPENSSL_sk_free, stack)
        for issuer in issuers:
            library.call.OPENSSL_sk_push(stack, issuer)
        # Rule 1; what the context uses it has counted.
        if library.call.SSL_CTX_use_cert_and_key(address, leaf, key.pointer, stack, 1) != 1:
            why = library.why()
            raise IdentityUnusable(
                f"OpenSSL cannot use the client's certificate with {signer.name}: {why}"
            ) from take_failure()
        library.call.X509_up_ref(leaf)
        key.certificate = leaf
    # Rule 2
    weakref.finalize(context, _drop, key).atexit = False  # `provider`, rule 4


def _drop(_: OsslKey) -> None:
    """Its last reference."""


def _read(library: Library, certificate: x509.Certificate, freeing: ExitStack) -> int:
    der = certificate.public_bytes(Encoding.DER)
    found: int | None = library.call.d2i_X509(None, ctypes.byref(ctypes.c_char_p(der)), len(der))
    if not found:
        raise IdentityUnusable(f"OpenSSL cannot read the client's certificate: {library.why()}")
    freeing.callback(library.call.X509_free, found)
    return found
