"""Revocation for tests: lists and OCSP answers of any kind, and where they are published, on loopback."""

import atexit
import contextlib
import http.server
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from certbound.core import _der
from certbound.core.proofs import TrustedChain
from certbound.core.revoked import RevocationMode
from certbound.trust.authority import Authority, Issued
from certbound.trust.fetch import Fetcher
from certbound.trust.revocation import Places, Revocation, make_revocation
from certificates import NOW, TODAY, read, tlv

Extensions = Sequence[tuple[x509.ExtensionType, bool]]


def crl(
    authority: Authority,
    *revoked: Issued | Authority | int,
    at: datetime = TODAY,
    days: float = 7,
    number: int | None = 1,
    extensions: Extensions = (),
    entry_extensions: Extensions = (),
    revoked_at: datetime | None = None,
    key: Any = None,
) -> bytes:
    """A list of `authority`, DER, made at `at`; `key` signs if it is not the authority's."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(at)
        .next_update(at + timedelta(days=days))
    )
    own: list[tuple[x509.ExtensionType, bool]] = [] if number is None else [(x509.CRLNumber(number), False)]
    for extension, critical in (*own, *extensions):
        builder = builder.add_extension(extension, critical)
    for each in revoked:
        serial = each if isinstance(each, int) else each.certificate.serial_number
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(revoked_at or at)
        for extension, critical in entry_extensions:
            entry = entry.add_extension(extension, critical)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(key or authority.private_key, hashes.SHA256()).public_bytes(Encoding.DER)


def resigned(der: bytes, authority: Authority, change: Callable[[list[bytes]], list[bytes]]) -> bytes:
    """A list with its fields changed, signed anew by the authority's P-256 key."""
    whole = list(_der.read_all(_der.read(der).content))
    fields = change([each.encoded for each in _der.read_all(whole[0].content)])
    signed = tlv(0x30, b"".join(fields))
    signature = authority.private_key.sign(signed, ec.ECDSA(hashes.SHA256()))
    return tlv(0x30, signed + whole[1].encoded + tlv(0x03, b"\x00" + signature))


def v1(der: bytes, authority: Authority) -> bytes:
    """The list as version 1: neither version nor extensions, as `openssl ca -gencrl` writes it by default."""
    return resigned(der, authority, lambda fields: [each for each in fields[1:] if each[0] != 0xA0])


def without_next_update(der: bytes, authority: Authority) -> bytes:
    return resigned(der, authority, lambda fields: [*fields[:4], *fields[5:]])


def answer(
    authority: Authority,
    certificate: Issued | Authority,
    *,
    revoked: bool = False,
    at: datetime = TODAY,
    minutes: float | None = 60,
    nonce: bytes | None = None,
    signer: Issued | Authority | None = None,
    certificates: Sequence[x509.Certificate] = (),
    issuer: Authority | None = None,
    algorithm: Any = None,
) -> bytes:
    """An OCSP response about `certificate`, signed by `signer` (the authority if None)."""
    signing = signer or authority
    builder = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            cert=certificate.certificate,
            issuer=(issuer or authority).certificate,
            algorithm=SHA1(),
            cert_status=ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD,
            this_update=at,
            next_update=None if minutes is None else at + timedelta(minutes=minutes),
            revocation_time=at if revoked else None,
            revocation_reason=None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.NAME, signing.certificate)
    )
    if certificates:
        builder = builder.certificates(list(certificates))
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.sign(signing.private_key, algorithm or SHA256()).public_bytes(Encoding.DER)


def nonce_of(request: bytes) -> bytes:
    return ocsp.load_der_ocsp_request(request).extensions.get_extension_for_class(x509.OCSPNonce).value.nonce


class Clock:
    """The time, as a test wants it."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Published:
    """A plain HTTP server on loopback: what lies at each path, or who answers there; `None` is a 503."""

    def __init__(self) -> None:
        self.at: dict[str, bytes | Callable[[bytes], bytes | None] | None] = {}
        self.asked: list[str] = []
        self.url = ""


@contextlib.contextmanager
def published() -> Iterator[Published]:
    there = Published()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            there.asked.append(self.path)
            lying = there.at.get(self.path)
            content = lying(body) if callable(lying) else lying
            with contextlib.suppress(ConnectionError):
                self.send_response(503 if content is None else 200)
                self.send_header("content-length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        there.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield there
        finally:
            server.shutdown()
            thread.join()


def chain(*path: Issued | Authority) -> TrustedChain:
    """Trust in a path, leaf first, anchor last."""
    certificates = tuple(map(read, path))
    return TrustedChain(certificates, min(each.not_after for each in certificates))


def revocation(
    mode: str,
    *,
    crls: Sequence[Path] = (),
    urls: Sequence[str] = (),
    ocsp: Sequence[str] = (),
    from_certificates: bool = False,
    max_age: float = 3600,
    max_crl_bytes: int = 1 << 24,
    timeout: float = 5,
    clock: Callable[[], float] | None = None,
) -> Revocation:
    """As the settings would make it."""
    places = Places(tuple(crls), tuple(urls), tuple(ocsp), from_certificates=from_certificates)
    fetcher = Fetcher(private_addresses=True, timeout=timeout, ca=_few_authorities())
    return make_revocation(
        RevocationMode(mode), places, fetcher, max_age=max_age, max_crl_bytes=max_crl_bytes, clock=clock or Clock()
    )


@cache
def _few_authorities() -> Path:
    """A PEM file of one certificate: reading the system's takes 20 ms each time."""
    directory = tempfile.TemporaryDirectory()
    atexit.register(directory.cleanup)
    file = Path(directory.name) / "ca.pem"
    file.write_bytes(Authority.create("Nobody").certificate_pem)
    return file
