"""The files behind a declaration of proxies: their secrets and their certificates."""

from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certbound.core.certificate import Certificate, read_certificate
from certbound.core.errors import BadCertificate, ConfigurationError
from certbound.tls.proxies import Proxies


def read_secrets(files: Iterable[Path], key: str) -> list[str]:
    """The secret in each file, without what surrounds it.  `ConfigurationError`, beginning with `key`, for one that is
    none."""
    return [_secret(each, key) for each in files]


def read_certificates(files: Iterable[Path], key: str) -> list[Certificate]:
    """The first certificate in each file, PEM.  `ConfigurationError`, beginning with `key`, for one that is none."""
    return [_certificate(each, key) for each in files]


def _secret(file: Path, key: str) -> str:
    secret = _read(file, key).decode("utf-8", "replace").strip()
    try:
        Proxies(secrets=[secret])
    except ConfigurationError as error:
        raise ConfigurationError(f"{key}: {file}: {str(error).removeprefix('secrets: ')}") from error
    return secret


def _certificate(file: Path, key: str) -> Certificate:
    try:
        return read_certificate(x509.load_pem_x509_certificates(_read(file, key))[0].public_bytes(Encoding.DER))
    except (ValueError, BadCertificate) as error:
        raise ConfigurationError(f"{key}: {file} holds no usable certificate: {error}") from error


def _read(file: Path, key: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{key}: {file} cannot be read: {error.strerror}") from error
