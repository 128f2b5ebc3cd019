"""certbound.core.certificate: DER becomes facts, or nothing (RFC 8705 sections 2.1.2 and 3.1, Appendix A)."""

import contextlib
import json
from base64 import b64decode, urlsafe_b64encode
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

import certificates
from certbound.core import _der
from certbound.core.certificate import Certificate, read_certificate, read_pem_certificates, thumbprint
from certbound.core.errors import BadCertificate
from certbound.core.keys import public_jwk
from certbound.core.names import read_name
from certbound.trust.authority import Authority, self_signed
from certificates import SERIAL, SUBJECT, TODAY, VALIDITY, VERSION, general_names, read, tlv, with_field

VECTORS = Path(__file__).parent.parent / "vectors"
APPENDIX_A = json.loads((VECTORS / "rfc8705-appendix-a.json").read_text())
APPENDIX_A_PEM = (VECTORS / "rfc8705-appendix-a.pem").read_bytes()

ISSUED = self_signed(
    "CN=café,O=Example", dns=["a.example"], uris=["urn:a:b"], ips=["192.0.2.1", "2001:db8::1"],
    emails=["who@mail.example"], now=TODAY,
)  # fmt: skip


def test_appendix_a_thumbprint() -> None:
    """The certificate of RFC 8705 Appendix A, an expired X.509 v1 one, reads and has the thumbprint printed there."""
    [certificate] = read_pem_certificates(APPENDIX_A_PEM)
    assert certificate.parsed.version is x509.Version.v1
    assert certificate.thumbprint == APPENDIX_A["cnf"]["x5t#S256"]
    assert certificate.alternative_names == ()


def test_appendix_a_jwk() -> None:
    """The JWK of Appendix A is that of the certificate's key, and its `x5c` is the certificate."""
    [certificate] = read_pem_certificates(APPENDIX_A_PEM)
    members = {name: value for name, value in APPENDIX_A["jwk"].items() if name != "x5c"}
    assert public_jwk(certificate) == members
    assert b64decode(APPENDIX_A["jwk"]["x5c"][0], validate=True) == certificate.der


@given(st.binary(max_size=200))
def test_thumbprint_is_unpadded_base64url_of_sha256(der: bytes) -> None:
    """A thumbprint is 43 characters: base64url of SHA-256, no padding, no line break, nothing else."""
    text = thumbprint(der)
    assert len(text) == 43
    assert text + "=" == urlsafe_b64encode(sha256(der).digest()).decode()


def test_facts() -> None:
    """Validity, subject, names and key are those that `cryptography` reads."""
    certificate = read(ISSUED)
    parsed = ISSUED.certificate
    assert certificate.der == ISSUED.der
    assert certificate.not_before == parsed.not_valid_before_utc.timestamp()
    assert certificate.not_after == parsed.not_valid_after_utc.timestamp()
    assert certificate.subject_der == parsed.subject.public_bytes()
    assert certificate.public_key == parsed.public_key()


def test_validity_is_inclusive() -> None:
    """A certificate is valid in the second it begins and in the second it ends, and in none beyond."""
    certificate = read(ISSUED)
    assert certificate.is_valid_at(certificate.not_before)
    assert certificate.is_valid_at(certificate.not_after)
    assert not certificate.is_valid_at(certificate.not_before - 1)
    assert not certificate.is_valid_at(certificate.not_after + 1)


def _certificates_of_many_shapes() -> list[Certificate]:
    root = Authority.create("Root of shapes", now=TODAY)
    many_names = [f"h{number}.example" for number in range(100)]
    issued = [
        ISSUED,
        root,
        root.subordinate("Sub", now=TODAY),
        root.issue(now=TODAY, dns=["only.example"]),
        root.issue("2.5.4.97=PSDCZ-CNB-1,C=CZ+ST=Praha,CN=a\\,b\\+c", now=TODAY),
        root.issue("CN=long", now=TODAY, dns=many_names, key="RSA-2048"),
        root.issue("CN=ed", now=TODAY, key="Ed25519", usage="none"),
        root.issue("CN=pq", now=TODAY, key="ML-DSA-44", uris=["https://a.example/%20?x#y"]),
    ]
    return [read(each) for each in issued] + list(read_pem_certificates(APPENDIX_A_PEM))


@pytest.mark.parametrize("certificate", _certificates_of_many_shapes(), ids=lambda each: str(each.subject_der[:40]))
def test_names_are_those_that_cryptography_reads(certificate: Certificate) -> None:
    """Our own walk through the DER finds the alternative names and the subject that `cryptography` finds."""
    try:
        extension = certificate.parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        theirs = [_as_general_name(name) for name in extension]
    except x509.ExtensionNotFound:
        theirs = []
    assert [(name.tag, name.value) for name in certificate.alternative_names] == theirs
    assert certificate.subject_der == certificate.parsed.subject.public_bytes()
    assert len(certificate.subject) == len(certificate.parsed.subject.rdns)


def _as_general_name(name: x509.GeneralName) -> tuple[int, bytes]:
    match name:
        case x509.DNSName(value=text):
            return 0x82, text.encode()
        case x509.UniformResourceIdentifier(value=text):
            return 0x86, text.encode()
        case x509.RFC822Name(value=text):
            return 0x81, text.encode()
        case x509.IPAddress(value=address):
            return 0x87, address.packed
    raise AssertionError(name)


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"\x30\x00",
        b"not a certificate",
        ISSUED.der[:-1],
        ISSUED.der[:10],
        ISSUED.der + b"\x00",
        ISSUED.der + ISSUED.der,
        b"\x30\x84\x00\x00" + ISSUED.der[2:],
        b"\x30\x83\x00" + ISSUED.der[2:],
        b"\x30\x80" + ISSUED.der[4:] + b"\x00\x00",
        ISSUED.certificate_pem,
        ISSUED.der.replace(b"\x01\x01\xff", b"\x01\x01\x01", 1),
    ],
    ids=[
        "nothing", "empty sequence", "text", "one byte short", "first ten bytes", "one byte behind", "two certificates",
        "length of four bytes", "length of three bytes", "indefinite length", "PEM", "TRUE that is not 0xff",
    ],
)  # fmt: skip
def test_what_is_not_one_der_certificate_is_refused(der: bytes) -> None:
    """Truncated, longer, doubled or non-canonical bytes are `BadCertificate`."""
    with pytest.raises(BadCertificate):
        read_certificate(der)


@pytest.mark.parametrize(
    ("position", "value"),
    [
        (VERSION, b"\xa0\x03\x02\x01\x05"),
        (VERSION, b"\xa0\x03\x02\x01\x00"),
        (SERIAL, b"\x02\x02\x00\x01"),
        (VALIDITY, tlv(0x30, tlv(0x18, b"00000101000000Z") * 2)),
        (VALIDITY, tlv(0x30, tlv(0x17, b"3001010000Z") * 2)),
        (SUBJECT, b"\x30\x02\x31"),
    ],
    ids=["version 6", "v1 written out", "serial not minimal", "year 0", "no seconds", "subject cut off"],
)
def test_a_malformed_field_is_refused(position: int, value: bytes) -> None:
    """A well-signed certificate with a field that is no DER of its kind is `BadCertificate`."""
    with pytest.raises(BadCertificate):
        read_certificate(with_field(ISSUED, position, value))


def test_an_unreadable_name_is_found_when_it_is_asked_for() -> None:
    """Reading judges nothing: a subject alternative name that is no DER is `BadCertificate` where it is used."""
    bad = x509.UnrecognizedExtension(certificates.SUBJECT_ALT_NAME, b"\x30\x05\x82\x10a")
    certificate = read(self_signed("CN=x", now=TODAY, extensions=[(bad, False)]))
    with pytest.raises(BadCertificate):
        _ = certificate.alternative_names


def test_two_extensions_of_alternative_names_are_refused() -> None:
    """A certificate that carries its alternative names twice has none that anybody could rely on."""
    issued = self_signed("CN=x", dns=["a.example"], now=TODAY, extensions=[])
    extension = tlv(0x30, bytes.fromhex("0603551d11") + tlv(0x04, general_names((0x82, b"victim.example")).value))
    extensions = certificates.der(issued.certificate)
    # [3] is the last field of what is signed: double its last entry.

    fields = list(_der.read_all(next(_der.read_all(_der.read(extensions).content)).content))
    listed = _der.read(fields[-1].content).content
    certificate = read_certificate(with_field(issued, 7, tlv(0xA3, tlv(0x30, listed + extension))))
    with pytest.raises(BadCertificate, match="twice"):
        _ = certificate.alternative_names


def test_alternative_names_are_counted() -> None:
    """256 alternative names are read, of any kind; a certificate with one more is refused."""
    names = [(0x82, b"a.example"), (0xA4, b""), (0x87, b"1234"), (0x81, b"")] * 64
    carrying = [general_names(*names), general_names(*names, (0x82, b"b.example"))]
    most, more = (read(self_signed("CN=x", now=TODAY, extensions=[(each, False)])) for each in carrying)
    assert [(each.tag, each.value) for each in most.alternative_names] == names
    with pytest.raises(BadCertificate, match="256"):
        _ = more.alternative_names


def test_extensions_are_counted() -> None:
    """The alternative names are found among 64 extensions; beyond them nobody looks."""
    others = [
        (x509.UnrecognizedExtension(x509.ObjectIdentifier(f"1.2.3.{number}"), b"\x05\x00"), False)
        for number in range(64)
    ]
    own = len(read(ISSUED).parsed.extensions) - 1
    names = (general_names((0x82, b"a.example")), False)
    fitting = self_signed("CN=x", now=TODAY, extensions=[*others[: 63 - own], names])
    assert len(fitting.certificate.extensions) == 64
    assert [each.value for each in read(fitting).alternative_names] == [b"a.example"]
    with pytest.raises(BadCertificate, match="64"):
        _ = read(self_signed("CN=x", now=TODAY, extensions=[*others[: 64 - own], names])).alternative_names


def test_an_unknown_key_algorithm_is_refused_when_the_key_is_asked_for() -> None:
    """A key of an algorithm nobody knows is `BadCertificate`, never a crash (CVE-2024-24783)."""
    key = tlv(0x30, tlv(0x30, bytes.fromhex("06032a0304")) + tlv(0x03, b"\x00key"))
    certificate = read_certificate(with_field(ISSUED, certificates.KEY, key))
    with pytest.raises(BadCertificate):
        _ = certificate.public_key


def test_reading_hides_the_certificate_from_logs() -> None:
    """What a log line shows of a certificate is its thumbprint and no more (R34)."""
    certificate = read(ISSUED)
    assert repr(certificate) == f"Certificate(thumbprint='{certificate.thumbprint}')"


def test_pem_with_several_certificates() -> None:
    """Every certificate of a PEM file is read, in order; text around them means nothing."""
    pem = b"# a comment\n" + ISSUED.certificate_pem + b"\n" + APPENDIX_A_PEM
    assert [each.der for each in read_pem_certificates(pem)] == [
        ISSUED.der,
        b64decode(APPENDIX_A["jwk"]["x5c"][0]),
    ]


@pytest.mark.parametrize("pem", [b"", b"nothing", ISSUED.key_pem, ISSUED.certificate_pem[:200]])
def test_pem_without_a_certificate_is_refused(pem: bytes) -> None:
    """PEM without a usable certificate is `BadCertificate`."""
    with pytest.raises(BadCertificate):
        read_pem_certificates(pem)


def _ask_everything(der: bytes) -> None:
    certificate = read_certificate(der)
    assert certificate.der == der
    _ = certificate.alternative_names, certificate.subject, certificate.spki_der


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@given(st.binary(max_size=300))
def test_any_bytes_are_a_certificate_or_refused(data: bytes) -> None:
    """Arbitrary bytes give `BadCertificate` and nothing else."""
    with pytest.raises(BadCertificate):
        read_certificate(data)
    with pytest.raises(BadCertificate):
        read_pem_certificates(data)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@given(st.lists(st.tuples(st.integers(0, len(ISSUED.der) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_certificate_with_changed_bytes_is_read_or_refused(changes: list[tuple[int, int]]) -> None:
    """Bytes changed anywhere in a certificate give another certificate or `BadCertificate`, and nothing else."""
    der = bytearray(ISSUED.der)
    for position, value in changes:
        der[position] = value
    with contextlib.suppress(BadCertificate):
        _ask_everything(bytes(der))


@given(st.binary(max_size=60))
def test_any_bytes_as_alternative_names_are_read_or_refused(content: bytes) -> None:
    """Arbitrary bytes inside the extension give names or `BadCertificate`, and nothing else."""
    extension = x509.UnrecognizedExtension(certificates.SUBJECT_ALT_NAME, content)
    certificate = read(self_signed("CN=x", key=ISSUED.private_key, now=TODAY, extensions=[(extension, False)]))
    with contextlib.suppress(BadCertificate):
        assert isinstance(certificate.alternative_names, tuple)


def test_subject_is_read_from_the_certificate_itself() -> None:
    """The subject that is compared is the DER inside the certificate, in v1 and v3 alike."""
    [appendix] = read_pem_certificates(APPENDIX_A_PEM)
    assert appendix.subject == read_name(bytes.fromhex("300f310d300b06035504030c046d746c73"))
    assert read(ISSUED).subject == read_name(ISSUED.certificate.subject.public_bytes())
