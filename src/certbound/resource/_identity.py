"""The certificate with which an API asks its issuer (RFC 8705 section 2).

Rule 1: certificate and key are read when the API is made, so that what does not fit stops the start; and again when
either file changes.  Where the new ones do not fit (one is written before the other), the old ones go on.
Rule 2: whom we believe to be the issuer is what is believed elsewhere of it; TLS 1.2 at least.
"""

import logging
import ssl
from pathlib import Path

import httpx

from certbound.core.errors import ConfigurationError

_log = logging.getLogger("certbound.resource")


class ClientIdentity:
    """Makes HTTP clients that present one certificate, as its files are now."""

    def __init__(self, certificate: Path | str, key: Path | str, ca: str | ssl.SSLContext | None) -> None:
        """`ca` is as `TrustedIssuer` has it.  `ConfigurationError` if the files are no certificate and its key."""
        self._certificate = Path(certificate)
        self._key = Path(key)
        self._ca = ca
        self._seen = self._look()
        self._context = self._load()

    def client(self) -> httpx.AsyncClient:
        """A client for one question."""
        return httpx.AsyncClient(verify=self._fresh(), timeout=5, trust_env=False)

    def _fresh(self) -> ssl.SSLContext:
        look = self._look()
        if look != self._seen:
            try:
                self._context = self._load()
            except ConfigurationError as error:
                _log.error("the certificate that was read before is still used: %s", error)
            self._seen = look  # whichever way it ended: the next change is another try
        return self._context

    def _look(self) -> tuple[tuple[int, int, int], ...] | None:
        try:
            found = (self._certificate.stat(), self._key.stat())
        except OSError:
            return None
        return tuple((each.st_mtime_ns, each.st_size, each.st_ino) for each in found)

    def _load(self) -> ssl.SSLContext:
        context = _believing(self._ca)
        try:
            context.load_cert_chain(self._certificate, self._key, password=_no_password)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise ConfigurationError(
                f"introspection: the certificate {self._certificate} and the key {self._key} cannot be used: "
                f"{getattr(error, 'reason', None) or getattr(error, 'strerror', None) or error}; give a PEM "
                "certificate and its own private key, unencrypted"
            ) from error
        return context


def _believing(ca: str | ssl.SSLContext | None) -> ssl.SSLContext:
    if isinstance(ca, ssl.SSLContext):  # what it believes; a certificate is not put into a context of others
        believed = b"".join(ca.get_ca_certs(binary_form=True))
        if not believed:
            raise ConfigurationError("introspection: the SSL context holds no CA; give the issuer's CA as a PEM file")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=believed)
        context.verify_flags |= ca.verify_flags
        context.minimum_version = ca.minimum_version
    else:
        context = ssl.create_default_context(cafile=ca)
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    return context


def _no_password() -> str:
    raise ValueError("the key is encrypted")
