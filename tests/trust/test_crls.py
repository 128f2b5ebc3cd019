"""certbound.trust.crls, crl_frames and crl_index: one list, its form, index and signature (RFC 5280 section 5)."""

import time
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from certbound.core import _der
from certbound.trust.authority import Authority
from certbound.trust.crl_frames import BadList
from certbound.trust.crls import MOST_UNCUT, read_lists
from certificates import NOW, TODAY, read, tlv
from revoking import crl, resigned, v1, without_next_update
from speed import cpu

ROOT = Authority.create("Root", now=TODAY)
OTHER = Authority.create("Root", now=TODAY)
ED25519 = Authority.create("Edwards", now=TODAY, key="Ed25519")
RSA = Authority.create("RSA", now=TODAY, key="RSA-2048")
KEY = read(ROOT).spki_der
ONE = crl(ROOT, 1, 2, 3)
PEM = x509.load_der_x509_crl(ONE).public_bytes(Encoding.PEM)


def listed(der: bytes, serial: int) -> bool:
    """Whether the list, cut down to a serial, has an entry of it."""
    [found] = read_lists(der)
    return found.about([serial]).parsed["tbs_cert_list"]["revoked_certificates"].native not in (None, [])


def many(entries: int, first: int = 1 << 120) -> bytes:
    """A list of so many entries, put together by hand: a builder takes seconds."""
    date = tlv(0x17, b"300601120000Z")
    content = b"".join(tlv(0x30, tlv(0x02, (first + 2 * n).to_bytes(16, "big")) + date) for n in range(entries))
    return resigned(crl(ROOT, 1), ROOT, lambda fields: [*fields[:5], tlv(0x30, content), *fields[6:]])


def test_what_a_list_says_of_itself() -> None:
    """Times, size, whether absence means good; DER and PEM are the same list."""
    [found] = read_lists(ONE)
    assert (found.entries, found.this_update, found.next_update) == (3, NOW, NOW + 7 * 86400)
    assert found.says_good
    assert not found.is_delta
    pem = x509.load_der_x509_crl(ONE).public_bytes(Encoding.PEM)
    both = read_lists(pem + b"# and again\n" + pem)
    assert [each.digest for each in both] == [found.digest] * 2


@pytest.mark.parametrize("serial", [1, 127, 128, 255, 256, 2**63, 2**64 - 1, 2**159 - 1])
def test_a_serial_that_is_listed_is_found_and_no_other(serial: int) -> None:
    """The index compares whole serial numbers."""
    der = crl(ROOT, serial, 5)
    assert listed(der, serial)
    assert not listed(der, serial + 1)
    assert not listed(der, serial - 1)


@given(st.sets(st.integers(1, 2**159 - 1), min_size=1, max_size=40), st.integers(1, 2**159 - 1))
def test_the_index_is_the_list(serials: set[int], other: int) -> None:
    """Every serial that is listed, and only these."""
    [found] = read_lists(crl(ROOT, *serials))
    for serial in {*serials, other}:
        entries = found.about([serial]).parsed["tbs_cert_list"]["revoked_certificates"]
        assert [each["user_certificate"].native for each in entries or ()] == [serial] * (serial in serials)


def test_a_cut_list_keeps_everything_but_other_entries() -> None:
    """Issuer, times and extensions are the same; the signature over it is that over the whole."""
    [found] = read_lists(ONE)
    cut, whole = found.about([2, 99]).parsed, found.about([1, 2, 3]).parsed
    assert whole.dump() == ONE
    for name in ("version", "signature", "issuer", "this_update", "next_update", "crl_extensions"):
        assert cut["tbs_cert_list"][name].dump() == whole["tbs_cert_list"][name].dump()
    assert cut["signature"].dump() == whole["signature"].dump()


@pytest.mark.parametrize("authority", [ROOT, RSA], ids=["ecdsa", "rsa"])
def test_signatures(authority: Authority) -> None:
    """Signed by the key, and not by another of the same name, nor with a bit flipped anywhere in an entry."""
    der = crl(authority, 1, 2, 3)
    [found] = read_lists(der)
    assert found.is_signed_by(read(authority).spki_der)
    assert found.is_authentic
    [found] = read_lists(der)
    assert not found.is_signed_by(read(OTHER).spki_der)
    assert not found.is_authentic
    assert not found.is_signed_by(b"garbage")
    place = der.index(b"\x02\x01\x02") + 2
    [found] = read_lists(der[:place] + b"\x04" + der[place + 1 :])
    assert not found.is_signed_by(read(authority).spki_der)


def test_signatures_of_edwards_curves() -> None:
    """Which are made of the whole list, not of a digest."""
    builder = x509.CertificateRevocationListBuilder().issuer_name(ED25519.certificate.subject)
    built = builder.last_update(TODAY).next_update(TODAY + timedelta(days=1)).sign(ED25519.private_key, None)
    [found] = read_lists(built.public_bytes(Encoding.DER))
    assert found.is_signed_by(read(ED25519).spki_der)
    assert not found.is_signed_by(KEY)


def test_a_weak_hash_signs_nothing() -> None:
    """SHA-1 can be made to collide."""
    sha1, sha256 = bytes.fromhex("2a864886f70d010105"), bytes.fromhex("2a864886f70d01010b")
    signed, algorithm, _ = _der.read_all(_der.read(crl(RSA, 1).replace(sha256, sha1)).content)
    signature = RSA.private_key.sign(signed.encoded, padding.PKCS1v15(), hashes.SHA1())
    forged = tlv(0x30, signed.encoded + algorithm.encoded + tlv(0x03, b"\x00" + signature))
    assert not read_lists(forged)[0].is_signed_by(read(RSA).spki_der)


def test_version_1_and_lists_without_an_end() -> None:
    """Version 1 has no number and says good all the same; version 2 without one, or with a critical one, does not."""
    [old] = read_lists(v1(ONE, ROOT))
    assert old.says_good
    assert old.entries == 3
    assert not read_lists(crl(ROOT, number=None))[0].says_good
    critical = crl(ROOT, number=None, extensions=[(x509.CRLNumber(7), True)])
    assert not read_lists(critical)[0].says_good
    [endless] = read_lists(without_next_update(ONE, ROOT))
    assert endless.next_update is None
    assert endless.ends_at(60) == NOW + 60
    assert endless.entries == 3


@pytest.mark.parametrize("entries", [0, 1, 3])
def test_empty_lists_and_lists_without_extensions(entries: int) -> None:
    """Every field that may be absent."""
    der = crl(ROOT, *range(1, entries + 1))
    for each in (der, v1(der, ROOT), without_next_update(der, ROOT)):
        [found] = read_lists(each)
        assert found.entries == entries
        assert found.is_signed_by(KEY)
        assert found.about([1]).parsed["tbs_cert_list"]["issuer"].native == {"common_name": "Root"}


@pytest.mark.parametrize(
    "data",
    [
        b"", b"garbage", b"\x30\x80", ONE[:-1], ONE + b"\x00", ONE[:200], b"-----BEGIN X509 CRL-----\n",
        b"-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n", PEM + PEM[:-20], ROOT.certificate_pem,
        ROOT.certificate.public_bytes(Encoding.DER),
        ONE.replace(b"\x30\x81", b"\x30\x82\x00", 1),
        resigned(ONE, ROOT, lambda fields: [fields[0], *fields[2:]]),
        resigned(ONE, ROOT, lambda fields: [*fields[:5], tlv(0x30, tlv(0x30, b"\x02\x02\x00\x01")), *fields[6:]]),
        resigned(ONE, ROOT, lambda fields: [*fields[:5], tlv(0x30, tlv(0x30, b"\x02\x7f\x01")), *fields[6:]]),
        resigned(ONE, ROOT, lambda fields: [*fields[:5], tlv(0x30, b"\x30\x05\x02\x01"), *fields[6:]]),
        resigned(ONE, ROOT, lambda fields: [fields[0], tlv(0x30, b"\x06\x03\x2b\x65\x70"), *fields[2:]]),
    ],
    ids=[
        "empty", "garbage", "indefinite", "cut", "more", "half", "pem-cut", "pem-garbage", "second-pem-cut",
        "certificate-pem", "certificate", "length-not-minimal", "no-algorithm", "serial-not-minimal", "serial-cut",
        "entry-cut", "two-algorithms",
    ],
)  # fmt: skip
def test_what_is_no_list(data: bytes) -> None:
    """`BadList`, never another exception."""
    with pytest.raises(BadList):
        read_lists(data)


@given(st.integers(0, len(ONE) - 1), st.binary(min_size=1, max_size=3))
def test_damage_is_bad_or_not_authentic(place: int, noise: bytes) -> None:
    """No byte can be changed so that the signature stays good."""
    damaged = ONE[:place] + noise + ONE[place + len(noise) :]
    try:
        lists = read_lists(damaged)
    except BadList:
        return
    assert damaged == ONE or not any(each.is_signed_by(KEY) for each in lists)


def test_lists_with_critical_entries_are_not_cut_and_short() -> None:
    """An indirect list says in one entry whose the next ones are; so all of it is judged, and it has to be short."""
    issuer = (x509.CertificateIssuer([x509.DirectoryName(OTHER.certificate.subject)]), True)
    [found] = read_lists(crl(ROOT, 1, 2, 3, entry_extensions=[issuer]))
    assert len(found.about([2]).parsed["tbs_cert_list"]["revoked_certificates"]) == 3
    reason = (x509.CRLReason(x509.ReasonFlags.key_compromise), False)
    [found] = read_lists(crl(ROOT, 1, 2, 3, entry_extensions=[reason]))
    assert len(found.about([2]).parsed["tbs_cert_list"]["revoked_certificates"]) == 1
    date = tlv(0x17, b"300601120000Z")
    critical = tlv(0x30, tlv(0x30, bytes.fromhex("0603551d150101ff04030a0101")))
    content = b"".join(
        tlv(0x30, tlv(0x02, (n + 0x10000).to_bytes(3, "big")) + date + critical) for n in range(MOST_UNCUT + 1)
    )
    with pytest.raises(BadList, match="critical"):
        read_lists(resigned(ONE, ROOT, lambda fields: [*fields[:5], tlv(0x30, content), *fields[6:]]))


def test_a_serial_that_looks_like_a_critical_extension() -> None:
    """What stands in a serial number is no extension."""
    serial = int.from_bytes(b"\x11\x01\x01\xff\x04\x11", "big")
    [found] = read_lists(crl(ROOT, 1, serial, 3))
    assert len(found.about([3]).parsed["tbs_cert_list"]["revoked_certificates"]) == 1
    assert len(found.about([serial]).parsed["tbs_cert_list"]["revoked_certificates"]) == 1


def test_a_long_list_is_looked_up_in_no_time() -> None:
    """50,000 entries: read in well under a second, each look a few microseconds."""
    first = 1 << 120
    began = time.process_time()
    [found] = read_lists(many(50_000, first))
    assert found.entries == 50_000
    assert time.process_time() - began < cpu(2)
    began = time.process_time()
    for n in range(1000):
        assert len(found.about([first + 2 * n]).signed) > len(found.about([first + 2 * n + 1]).signed)
    assert (time.process_time() - began) / 2000 < cpu(0.001)
