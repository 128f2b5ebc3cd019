"""One certificate revocation list (RFC 5280 section 5): read once, then asked in the time of a look into an index.

Rule 1: nothing is judged here but form and signature; scope, reasons and authority are `trust.judgement`'s, which is
given the list cut down to the entries of few serial numbers: a long list costs it what a short one does.
Rule 2: what is signed is the whole list, so the signature is verified over the whole list, once per key.
Rule 3: a list whose entries carry critical extensions (indirect lists do) is never cut, and so has to be short.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from asn1crypto import algos
from asn1crypto import crl as asn1_crl
from asn1crypto import x509 as asn1_x509
from asn1crypto.keys import PublicKeyInfo
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key
from pyhanko_certvalidator.sig_validate import DefaultSignatureValidator, SignatureValidationContext

from certbound.trust.crl_frames import BadList, Frame, find_entries, is_critical_somewhere, read_frame
from certbound.trust.crl_index import Index, make_index

MOST_LISTS = 512
"""In PEM, from one place; each is held against a key on the event loop."""
MOST_UNCUT = 2000
"""Entries of a list that cannot be cut."""

IssuerName = str
"""A Name as RFC 5280 section 7.1 compares it."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A list without the entries of other serial numbers; `signed` are the bytes its signature seems to stand for."""

    whole: "RevocationList"
    parsed: Any = field(repr=False)
    signed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class RevocationList:
    """A list, its index, and what is known of its signature.  Times are seconds since the epoch."""

    issuer: IssuerName
    scope: bytes
    """The same for a list and the one that replaces it: issuer, distribution point, complete or delta."""
    this_update: float
    next_update: float | None
    is_delta: bool
    says_good: bool
    """Whether a serial that is absent counts as good: version 2 needs its CRLNumber for that (section 5.2.3)."""
    is_plain: bool
    """Whether its entries are about certificates of whoever signed it, and nothing critical in it is unknown."""
    entries: int
    digest: bytes = field(repr=False)
    _parsed: x509.CertificateRevocationList = field(repr=False)
    _frame: Frame = field(repr=False)
    _index: Index | None = field(repr=False)
    _signed_by: dict[bytes, bool] = field(default_factory=dict, repr=False)
    _usual: list[Cut] = field(default_factory=list, repr=False)
    """What `about` answers if none of the serials is in it: made once."""

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self._frame.der)

    @property
    def is_authentic(self) -> bool:
        """Whether one of the keys it was held against has signed it."""
        return any(self._signed_by.values())

    def ends_at(self, max_age: float) -> float:
        """When it counts no more; `max_age` seconds after it was made, if it does not say."""
        return self.this_update + max_age if self.next_update is None else self.next_update

    def knows_key(self, spki: bytes) -> bool:
        """Whether `is_signed_by` answers from memory."""
        return spki in self._signed_by

    def is_signed_by(self, spki: bytes) -> bool:
        """Whether the key, a SubjectPublicKeyInfo, signed the list.  The first answer reads all of it."""
        known = self._signed_by.get(spki)
        if known is None:
            known = self._verify(spki)
            others = [each for each, signed in self._signed_by.copy().items() if not signed]
            if len(others) >= _MOST_KEYS:
                self._signed_by.pop(others[0], None)
            self._signed_by[spki] = known
        return known

    @property
    def keys(self) -> frozenset[bytes]:
        """Those of the keys it was held against that have signed it."""
        return frozenset(spki for spki, signed in self._signed_by.copy().items() if signed)

    def revokes(self, serial: int) -> bool | None:
        """Whether an entry takes this number back; False if one gives it back, None if none can be said to be of it."""
        if self._index is None or not self.is_plain:
            return None
        entries = list(self._index.find(serial))
        return not any(map(_REMOVED.search, entries)) if entries else None

    def about(self, serials: Iterable[int]) -> Cut:
        """What the list says of these serial numbers; no other is left in it."""
        if self._index is None:
            entries = self._frame.entries
        else:
            entries = b"".join(entry for each in sorted(set(serials)) for entry in self._index.find(each))
            if entries:
                return self._cut(entries)
        if not self._usual:
            self._usual.append(self._cut(entries))
        return self._usual[0]

    def _verify(self, spki: bytes) -> bool:
        """By the library of `trust.judgement`, which takes a digest: `hashlib` lets others work while it reads."""
        frame = self._frame
        try:
            algorithm = algos.SignedDigestAlgorithm.load(frame.algorithm)
            if is_weak(algorithm):
                return False
            if algorithm.signature_algo not in _HASH_FIRST:
                return self._parsed.is_signature_valid(cast("Any", load_der_public_key(spki)))
            digest = hashlib.new(algorithm.hash_algo, frame.signed).digest()
            DefaultSignatureValidator().validate_signature(
                self._parsed.signature, digest, PublicKeyInfo.load(spki), algorithm, _DIGEST
            )
        except Exception:  # noqa: BLE001 - as `issuer_name`
            return False
        return True

    def _cut(self, entries: bytes) -> Cut:
        whole, signed = self._frame.around(entries)
        return Cut(self, asn1_crl.CertificateList.load(whole), signed)


def read_lists(data: bytes) -> tuple[RevocationList, ...]:
    """Every list in `data`: one in DER, or any number in PEM.  `BadList` if there is none or one is unusable."""
    if not data.lstrip().startswith(b"-----"):
        return (_read(data),)
    try:
        blocks = [x509.load_pem_x509_crl(block).public_bytes(Encoding.DER) for block in _PEM.findall(data)]
    except ValueError as error:
        raise BadList(f"no PEM list: {error}") from error
    if not blocks:
        raise BadList("no list in it")
    if len(blocks) != data.count(_BEGIN):
        raise BadList("a list in it is cut off")
    if len(blocks) > MOST_LISTS:
        raise BadList(f"{len(blocks)} lists; {MOST_LISTS} at most are read from one place")
    return tuple(map(_read, blocks))


def issuer_name(name: bytes) -> IssuerName:
    """A Name, DER, in the form names are compared in.  `BadList` if it cannot be read, or is too long to be."""
    if len(name) > _LONGEST_NAME:  # nobody has signed it yet, and a megabyte takes seconds
        raise BadList(f"an issuer of {len(name)} bytes; {_LONGEST_NAME} are read")
    try:
        return str(asn1_x509.Name.load(name).hashable)
    except Exception as error:
        raise BadList(f"unreadable issuer: {error}") from error


def is_weak(algorithm: algos.SignedDigestAlgorithm) -> bool:
    """Whether the hash under a signature can be made to collide.  `ValueError` if the algorithm is unknown."""
    return algorithm.signature_algo in _HASH_FIRST and algorithm.hash_algo in {"md2", "md5", "sha1"}


def _read(der: bytes) -> RevocationList:
    try:
        return _read_list(der)
    except BadList:
        raise
    except Exception as error:  # `cryptography` raises what it likes on extensions
        raise BadList(f"not a DER revocation list: {error}") from error


def _read_list(der: bytes) -> RevocationList:
    parsed = x509.load_der_x509_crl(der)
    frame = read_frame(der)
    starts = find_entries(frame)
    extensions = parsed.extensions
    this_update = parsed.last_update_utc.timestamp()
    next_update = None if parsed.next_update_utc is None else parsed.next_update_utc.timestamp()
    index = None
    if not is_critical_somewhere(frame, starts):
        index = make_index(der, starts)
    elif len(starts) > MOST_UNCUT:
        raise BadList(f"{len(starts)} entries, some with critical extensions; {MOST_UNCUT} at most are read of such")
    issuer = issuer_name(frame.issuer)
    point = _value(extensions, x509.IssuingDistributionPoint)
    is_delta = _value(extensions, x509.DeltaCRLIndicator) is not None
    return RevocationList(
        issuer=issuer,
        scope=hashlib.sha256(b"\0".join((issuer.encode(), point or b"", b"delta" if is_delta else b""))).digest(),
        this_update=this_update,
        next_update=next_update,
        is_delta=is_delta,
        says_good=frame.is_v1 or _is_numbered(extensions),
        is_plain=_is_plain(extensions),
        entries=len(starts),
        digest=hashlib.sha256(der).digest(),
        _parsed=parsed,
        _frame=frame,
        _index=index,
    )


def _value(extensions: x509.Extensions, kind: type[x509.ExtensionType]) -> bytes | None:
    try:
        return extensions.get_extension_for_class(kind).value.public_bytes()
    except x509.ExtensionNotFound:
        return None


def _is_numbered(extensions: x509.Extensions) -> bool:
    try:
        return not extensions.get_extension_for_class(x509.CRLNumber).critical
    except x509.ExtensionNotFound:
        return False


def _is_plain(extensions: x509.Extensions) -> bool:
    if any(each.critical and isinstance(each.value, x509.UnrecognizedExtension) for each in extensions):
        return False
    points = [each.value for each in extensions if isinstance(each.value, x509.IssuingDistributionPoint)]
    return not any(each.indirect_crl or each.only_contains_attribute_certs for each in points)


_REMOVED = re.compile(rb"\x06\x03\x55\x1d\x15(\x01\x01\xff)?\x04\x03\x0a\x01\x08")
"""The reason removeFromCRL."""
_BEGIN = b"-----BEGIN X509 CRL-----"
_PEM = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", re.DOTALL)
_LONGEST_NAME = 4096
_HASH_FIRST = frozenset({"ecdsa", "rsassa_pkcs1v15", "rsassa_pss"})
_DIGEST = SignatureValidationContext(prehashed=True)
_MOST_KEYS = 16
"""Keys that did not sign it, and are remembered."""
