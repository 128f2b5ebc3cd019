"""certbound.core.extensions: what a certificate says of itself, to be shown."""

import ipaddress

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from certbound.core import _der
from certbound.core.certificate import Certificate, read_certificate
from certbound.core.extensions import BasicConstraints, read_extensions
from certbound.trust.authority import Authority, Issued, published_at, self_signed
from certificates import TODAY, psd2_statements, read, tlv, with_field

BASIC_CONSTRAINTS = "2.5.29.19"


def test_everything_is_read(authority: Authority) -> None:
    """Constraints, purposes, where to ask, and what qualified statements say."""
    statements = x509.UnrecognizedExtension(
        x509.ObjectIdentifier("1.3.6.1.5.5.7.1.3"), psd2_statements({"0.4.0.19495.1.3": "PSP_AI"})
    )
    asked = published_at(crls=["http://a.example/1.crl", "http://b.example/2.crl"], ocsp=["http://o.example"])
    issued = authority.issue("CN=a", usage="both", now=TODAY, extensions=[*asked, (statements, False)])
    found = read_extensions(read(issued))
    assert found.constraints == BasicConstraints()
    assert found.purposes == ("clientAuth", "serverAuth")
    assert found.crls == ("http://a.example/1.crl", "http://b.example/2.crl")
    assert found.ocsp == ("http://o.example",)
    assert found.qualified is not None
    assert found.qualified.roles == ("PSP_AI",)
    assert found.problems == ()


def test_an_authority(authority: Authority) -> None:
    """A root and an intermediate say that they are authorities, and what may stand below them."""
    assert read_extensions(read(authority)).constraints == BasicConstraints(is_authority=True)
    middle = authority.subordinate("M", now=TODAY)
    assert read_extensions(read(middle)).constraints == BasicConstraints(is_authority=True, path_length=0)


def test_what_is_not_said() -> None:
    """A certificate without extended key usage is for anything, which is not the same as for nothing."""
    found = read_extensions(read(self_signed("CN=a", usage="none", now=TODAY)))
    assert (found.purposes, found.crls, found.ocsp, found.qualified) == (None, (), (), None)


def test_other_names_for_points_are_skipped(authority: Authority) -> None:
    """Points and responders that have no URL are none that could be shown."""
    directory = x509.DirectoryName(x509.Name.from_rfc4514_string("CN=crl"))
    points = x509.CRLDistributionPoints([x509.DistributionPoint([directory], None, None, None)])
    where = x509.IPAddress(ipaddress.ip_address("192.0.2.1"))
    access = x509.AuthorityInformationAccess([x509.AccessDescription(x509.AuthorityInformationAccessOID.OCSP, where)])
    found = read_extensions(read(authority.issue("CN=a", now=TODAY, extensions=[(points, False), (access, False)])))
    assert (found.crls, found.ocsp, found.problems) == ((), (), ())


@pytest.mark.parametrize("oid", ["2.5.29.31", "1.3.6.1.5.5.7.1.1", "1.3.6.1.5.5.7.1.3"])
def test_one_that_is_unreadable_hides_no_other(authority: Authority, oid: str) -> None:
    """A broken extension is one problem; the rest is read."""
    broken = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), b"\x30\x05\x30\x03\x02")
    found = read_extensions(read(authority.issue("CN=a", now=TODAY, extensions=[(broken, False)])))
    assert len(found.problems) == 1
    assert "cannot be read" in found.problems[0]
    assert found.purposes == ("clientAuth",)


@pytest.mark.parametrize("octets", [5, 2000])
def test_a_path_length_that_nobody_could_write(octets: int) -> None:
    """A number of thousands of digits is a problem, not a number."""
    value = tlv(0x30, b"\x01\x01\xff" + tlv(0x02, b"\x7f" * octets))
    certificate = self_signed("CN=a", now=TODAY)
    assert read_extensions(with_extension(certificate, "551d13", value)).problems == (
        "the basic constraints cannot be read: a path length of more than 4 octets",
    )


def test_a_list_of_extensions_that_is_unreadable() -> None:
    """Two of a kind are none that could be relied on."""
    certificate = self_signed("CN=a", now=TODAY)
    found = read_extensions(with_extension(certificate, "551d25", tlv(0x30, b""), replaces="551d13"))
    assert len(found.problems) == 1
    assert found.purposes is None


def with_extension(issued: Issued, oid: str, value: bytes, *, replaces: str = "") -> Certificate:
    """`issued` with another value for one extension, or with another extension in its place."""
    tbs = list(_der.read_all(next(_der.read_all(_der.read(issued.der).content)).content))
    listed = list(_der.read_all(_der.read(tbs[-1].content).content))
    new = tlv(0x30, tlv(0x06, bytes.fromhex(oid)) + tlv(0x04, value))
    kept = [new if bytes.fromhex(replaces or oid) in each.encoded else each.encoded for each in listed]
    return read_certificate(with_field(issued, len(tbs) - 1, tlv(0xA3, tlv(0x30, b"".join(kept)))))


@given(
    st.sampled_from(["2.5.29.31", "1.3.6.1.5.5.7.1.1", "1.3.6.1.5.5.7.1.3"]),
    st.binary(max_size=60) | st.binary(max_size=60).map(lambda content: bytes([0x30, len(content)]) + content),
)
def test_any_extension_is_read_or_told(authority: Authority, oid: str, value: bytes) -> None:
    """No exception leaves the reader, whatever stands in an extension."""
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)
    read_extensions(read(authority.issue("CN=a", now=TODAY, extensions=[(extension, False)])))
