"""What a small authority took back: its record, the CRLs and the OCSP answers made from it (RFC 5280, RFC 6960).

Rule 1: what is revoked stays revoked; no CRL has a number twice.
Rule 2: an answer speaks for the certificates of its own authority only; of others it says "unknown".
Rule 3: nothing is remembered of what was issued, so a serial number that was never used is "good" to OCSP.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from certbound.core.errors import ConfigurationError
from certbound.trust.authority import Authority, digest_for

Reason = Literal[
    "unspecified", "keyCompromise", "cACompromise", "affiliationChanged", "superseded", "cessationOfOperation",
    "privilegeWithdrawn", "aACompromise",
]  # fmt: skip
"""RFC 5280 section 5.3.1, those that are for ever."""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One certificate taken back; `at` is in seconds since the epoch."""

    at: int
    reason: Reason = "unspecified"


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    crl_number: int = 0
    revoked: dict[str, Entry] = {}  # msgspec copies an empty default


@dataclass(frozen=True, slots=True)
class Ledger:
    """What one authority revoked, by serial number, and the number of its last CRL."""

    revoked: Mapping[int, Entry] = field(default_factory=dict)
    crl_number: int = 0

    @classmethod
    def read(cls, text: bytes) -> "Ledger":
        """The ledger that `write` wrote.  `ConfigurationError` if it is none: it is never taken for an empty one."""
        try:
            found = msgspec.json.decode(text, type=_File)
            revoked = {read_serial(serial): entry for serial, entry in found.revoked.items()}
        except (ValueError, msgspec.MsgspecError) as error:
            raise ConfigurationError(f"no record of revocations: {error}") from error
        return cls(revoked, found.crl_number)

    def write(self) -> bytes:
        """The ledger as JSON, one certificate a line."""
        listed = {write_serial(serial): entry for serial, entry in sorted(self.revoked.items())}
        return msgspec.json.format(msgspec.json.encode(_File(self.crl_number, listed)), indent=2) + b"\n"

    def revoke(self, serial: int, reason: Reason, now: datetime) -> "Ledger":
        """With `serial` revoked; what was revoked before stays as it was."""
        entry = self.revoked.get(serial) or Entry(int(now.timestamp()), reason)
        return replace(self, revoked={**self.revoked, serial: entry})


def sign_crl(
    authority: Authority, ledger: Ledger, now: datetime, days: float
) -> tuple[x509.CertificateRevocationList, Ledger]:
    """A CRL of all that is revoked, for `days` from `now`; and the ledger that knows its number."""
    number = ledger.crl_number + 1
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(now)
        .next_update(now + timedelta(days=days))
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.private_key.public_key()), critical=False
        )
    )
    for serial, entry in sorted(ledger.revoked.items()):
        builder = builder.add_revoked_certificate(_revoked(serial, entry))
    return builder.sign(authority.private_key, digest_for(authority.private_key)), replace(ledger, crl_number=number)


def answer_ocsp(authority: Authority, ledger: Ledger, request: bytes, now: datetime, minutes: float = 10) -> bytes:
    """The OCSP answer to `request`, DER, good for `minutes`; signed by the authority itself (RFC 6960 section 4.2.2.2).

    A nonce is sent back (RFC 9654); what is no request is answered `malformedRequest`.
    """
    try:
        asked = ocsp.load_der_ocsp_request(request)
        algorithm, serial = asked.hash_algorithm, asked.serial_number
        is_ours = (asked.issuer_name_hash, asked.issuer_key_hash) == _issuer_hashes(authority.certificate, algorithm)
        nonces = [each for each in asked.extensions if isinstance(each.value, x509.OCSPNonce)]
    except Exception:  # noqa: BLE001 - a stranger's bytes: whatever is wrong with them, this is the answer
        status = ocsp.OCSPResponseStatus.MALFORMED_REQUEST
        return ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER)
    entry = ledger.revoked.get(serial) if is_ours else None
    builder = ocsp.OCSPResponseBuilder().add_response_by_hash(
        issuer_name_hash=asked.issuer_name_hash,
        issuer_key_hash=asked.issuer_key_hash,
        serial_number=serial,
        algorithm=algorithm,
        cert_status=_status(entry, is_ours=is_ours),
        this_update=now,
        next_update=now + timedelta(minutes=minutes),
        revocation_time=datetime.fromtimestamp(entry.at, UTC) if entry else None,
        revocation_reason=_flag(entry),
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, authority.certificate)
    for nonce in nonces[:1]:
        builder = builder.add_extension(nonce.value, critical=False)
    return builder.sign(authority.private_key, digest_for(authority.private_key)).public_bytes(Encoding.DER)


def read_serial(text: str) -> int:
    """A serial number in hexadecimal, with or without colons.  `ValueError` if it is none."""
    if not _SERIAL.fullmatch(text):
        raise ValueError(f"{text!r:.60} is no serial number; write it in hexadecimal, as `openssl x509 -serial` does")
    return int(text.replace(":", ""), 16)


def write_serial(serial: int) -> str:
    """As `openssl x509 -serial` prints it."""
    text = f"{serial:X}"
    return text.zfill(len(text) + len(text) % 2)


def _revoked(serial: int, entry: Entry) -> x509.RevokedCertificate:
    builder = (
        x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(datetime.fromtimestamp(entry.at, UTC))
    )
    flag = _flag(entry)
    return (builder if flag is None else builder.add_extension(x509.CRLReason(flag), critical=False)).build()


def _flag(entry: Entry | None) -> x509.ReasonFlags | None:
    """RFC 5280 section 5.3.1: "unspecified" is said by saying nothing."""
    return None if entry is None or entry.reason == "unspecified" else x509.ReasonFlags(entry.reason)


def _status(entry: Entry | None, *, is_ours: bool) -> ocsp.OCSPCertStatus:
    if not is_ours:
        return ocsp.OCSPCertStatus.UNKNOWN
    return ocsp.OCSPCertStatus.GOOD if entry is None else ocsp.OCSPCertStatus.REVOKED


def _issuer_hashes(certificate: x509.Certificate, algorithm: hashes.HashAlgorithm) -> tuple[bytes, bytes]:
    """RFC 6960 section 4.1.1: of the name, and of the key without its algorithm."""
    own = ocsp.OCSPRequestBuilder().add_certificate(certificate, certificate, algorithm).build()
    return own.issuer_name_hash, own.issuer_key_hash


_SERIAL = re.compile(r"[0-9A-Fa-f]{1,2}(:?[0-9A-Fa-f]{1,2}){0,19}")
