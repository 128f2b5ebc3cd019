"""One certificate revocation list (RFC 5280 section 5): read once, then asked in the time of a look into an index.

Rule 1: nothing is judged here but form and signature; scope, reasons and authority are `trust.judgement`'s, which is
given the list cut down to the entries of few serial numbers: a long list costs it what a short one does.
Rule 2: what is signed is the whole list, so the signature is verified over the whole list, once per key.
Rule 3: a list whose entries carry critical extensions (indirect lists do) is never cut, and so has to be short.
"""

import hashlib
import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from asn1crypto import algos
from asn1crypto import crl as asn1_crl
from asn1crypto import x509 as asn1_x509
from asn1crypto.keys import PublicKeyInfo
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key
from pyhanko_certvalidator.sig_validate import DefaultSignatureValidator, SignatureValidationContext

MOST_LISTS = 512
"""In PEM, from one place; each is held against a key on the event loop."""
MOST_UNCUT = 2000
"""Entries of a list that cannot be cut."""

IssuerName = str
"""A Name as RFC 5280 section 7.1 compares it."""


class BadList(ValueError):
    """The bytes are no revocation list that can be used."""


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
    _frame: "_Frame" = field(repr=False)
    _index: "array[int] | None" = field(repr=False)
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
        entries = list(self._find(_integer(serial)))
        return not any(map(_REMOVED.search, entries)) if entries else None

    def about(self, serials: Iterable[int]) -> Cut:
        """What the list says of these serial numbers; no other is left in it."""
        if self._index is None:
            entries = self._frame.entries
        else:
            entries = b"".join(entry for each in sorted(set(serials)) for entry in self._find(_integer(each)))
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
            digest = hashlib.new(algorithm.hash_algo, memoryview(frame.der)[slice(*frame.signed_at)]).digest()
            DefaultSignatureValidator().validate_signature(
                self._parsed.signature, digest, PublicKeyInfo.load(spki), algorithm, _DIGEST
            )
        except Exception:  # noqa: BLE001 - as `issuer_name`
            return False
        return True

    def _cut(self, entries: bytes) -> Cut:
        frame = self._frame
        signed = _encode(_SEQUENCE, frame.before + (_encode(_SEQUENCE, entries) if entries else b"") + frame.after)
        return Cut(self, asn1_crl.CertificateList.load(_encode(_SEQUENCE, signed + frame.signature)), signed)

    def _find(self, serial: bytes) -> Iterator[bytes]:
        """The entries of this serial; two serials of one hash are told apart."""
        assert self._index is not None
        der, key = self._frame.der, hash(serial) & _HASH
        for position in range(bisect_left(self._index, key << _OFFSET), len(self._index)):
            if self._index[position] >> _OFFSET != key:
                return
            start = self._index[position] & _MOST_BYTES
            _, content, end = _header(der, start)
            _, first, last = _header(der, content)
            if der[first:last] == serial:
                yield der[start:end]


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


@dataclass(frozen=True, slots=True)
class _Frame:
    """The list around its entries.  `before` and `after` are what is signed, without header and entries."""

    der: bytes
    issuer: bytes
    is_v1: bool
    before: bytes
    entries_at: tuple[int, int]
    after: bytes
    signed_at: tuple[int, int]
    algorithm: bytes
    signature: bytes
    """All that stands behind what is signed: the algorithm once more, and the signature."""

    @property
    def entries(self) -> bytes:
        return self.der[slice(*self.entries_at)]


def _read(der: bytes) -> RevocationList:
    try:
        return _read_list(der)
    except BadList:
        raise
    except Exception as error:  # `cryptography` raises what it likes on extensions
        raise BadList(f"not a DER revocation list: {error}") from error


def _read_list(der: bytes) -> RevocationList:
    parsed = x509.load_der_x509_crl(der)
    frame = _read_frame(der)
    starts = _walk(der, *frame.entries_at)
    extensions = parsed.extensions
    this_update = parsed.last_update_utc.timestamp()
    next_update = None if parsed.next_update_utc is None else parsed.next_update_utc.timestamp()
    index = None
    if not _is_critical_somewhere(frame, starts):
        index = _make_index(der, starts)
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


def _read_frame(der: bytes) -> _Frame:
    tag, start, end = _header(der, 0)
    if tag != _SEQUENCE or end != len(der) or end > _MOST_BYTES:
        raise BadList("not one list")
    tag, first, last = _header(der, start)
    fields = list(_fields(der, first, last))
    # Section 5.1: version (absent in v1), algorithm, issuer, thisUpdate, nextUpdate?, revokedCertificates?, [0]?
    is_v1 = fields[0][0] != _INTEGER
    inner, issuer = fields[0:2] if is_v1 else fields[1:3]
    _, _, algorithm_end = _header(der, last)
    if der[inner[1] : inner[3]] != der[last:algorithm_end]:
        raise BadList("its two algorithms differ")
    position = 3 if is_v1 else 4
    if position < len(fields) and fields[position][0] in _TIMES:
        position += 1
    where = content_at = content_end = fields[position][1] if position < len(fields) else last
    if position < len(fields) and fields[position][0] == _SEQUENCE:
        _, where, content_at, content_end = fields[position]
    return _Frame(
        der=der,
        issuer=der[issuer[1] : issuer[3]],
        is_v1=is_v1,
        before=der[first:where],
        entries_at=(content_at, content_end),
        after=der[content_end:last],
        signed_at=(start, last),
        algorithm=der[last:algorithm_end],
        signature=der[last:end],
    )


def _walk(der: bytes, start: int, end: int) -> "array[int]":
    """Where each entry begins; every one is a SEQUENCE that begins with a minimal INTEGER."""
    starts = array("I")
    position = start
    while position < end:
        length = der[position + 1]
        if length < 0x80:
            content, following = position + 2, position + 2 + length
        else:
            _, content, following = _header(der, position)
        octets = der[content + 1]
        if (
            der[position] != _SEQUENCE
            or der[content] != _INTEGER
            or not 0 < octets < 0x80
            or content + 2 + octets > following
            or (der[content + 2] == 0 and octets > 1 and der[content + 3] < 0x80)
        ):
            raise BadList("an entry is malformed")
        starts.append(position)
        position = following
    if position != end:
        raise BadList("the last entry is cut off")
    return starts


def _is_critical_somewhere(frame: _Frame, starts: "array[int]") -> bool:
    """Whether an entry carries a critical extension; what looks like one in a serial number does not count."""
    der = frame.der
    for hit in _CRITICAL.finditer(der, *frame.entries_at):
        _, content, _ = _header(der, starts[bisect_right(starts, hit.start()) - 1])
        _, _, serial_end = _header(der, content)
        _, _, date_end = _header(der, serial_end)
        if hit.start() >= date_end:
            return True
    return False


def _make_index(der: bytes, starts: "array[int]") -> "array[int]":
    """Hash of the serial and place of the entry, sorted: 8 bytes for each.  The hash is keyed anew in every process."""
    parts: list[list[int]] = [[] for _ in range(256)]  # sorted one by one, so that others can work in between
    for start in starts:
        content = start + 2 if der[start + 1] < 0x80 else _header(der, start)[1]
        key = hash(der[content + 2 : content + 2 + der[content + 1]]) & _HASH
        parts[key >> _HASH_BITS - 8].append(key << _OFFSET | start)
    index = array("Q")
    for part in parts:
        index.extend(sorted(part))
    return index


def _fields(der: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Tag, place, place of the content, and end of each value between two places."""
    while start < end:
        tag, content, following = _header(der, start)
        yield tag, start, content, following
        start = following
    if start != end:
        raise BadList("a value is cut off")


def _header(der: bytes, start: int) -> tuple[int, int, int]:
    """Tag, place of the content and end of the value that begins at `start`; without a copy, unlike `core._der`."""
    length, content = der[start + 1], start + 2
    if length & 0x80:
        size = length & 0x7F
        content += size
        length = int.from_bytes(der[start + 2 : content], "big")
        if not 1 <= size <= 4 or length < 0x80 or length >> 8 * (size - 1) == 0:
            raise BadList("a length is not DER")
    if content + length > len(der):
        raise BadList("a value is cut off")
    return der[start], content, content + length


def _encode(tag: int, content: bytes) -> bytes:
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def _integer(number: int) -> bytes:
    """The content of an INTEGER."""
    return number.to_bytes((number + (number < 0)).bit_length() // 8 + 1, "big", signed=True)


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


_SEQUENCE, _INTEGER, _TIMES = 0x30, 0x02, (0x17, 0x18)
_CRITICAL = re.compile(rb"\x01\x01\xff\x04|\x06\x03\x55\x1d\x1d")
"""In an extension: BOOLEAN TRUE, and the OCTET STRING behind it; or certificateIssuer, which has to be critical."""
_REMOVED = re.compile(rb"\x06\x03\x55\x1d\x15(\x01\x01\xff)?\x04\x03\x0a\x01\x08")
"""The reason removeFromCRL."""
_BEGIN = b"-----BEGIN X509 CRL-----"
_PEM = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", re.DOTALL)
_OFFSET = 28
_MOST_BYTES = (1 << _OFFSET) - 1
_LONGEST_NAME = 4096
_HASH_BITS = 64 - _OFFSET
_HASH = (1 << _HASH_BITS) - 1
_HASH_FIRST = frozenset({"ecdsa", "rsassa_pkcs1v15", "rsassa_pss"})
_DIGEST = SignatureValidationContext(prehashed=True)
_MOST_KEYS = 16
"""Keys that did not sign it, and are remembered."""
