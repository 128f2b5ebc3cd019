"""What is mutated: certificates with every kind of name, key and extension, and the authorities that sign them again.

Rule: the same in every process and on every day, so an input is known by its number: keys come from fixed secrets,
serial numbers and dates are stated, signatures are deterministic.
"""

import contextlib
import gzip
import ipaddress
import json
import re
from base64 import b64decode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from hashlib import sha512
from pathlib import Path as File
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type as String
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from certbound.core.certificate import Certificate, read_certificate
from certbound.trust.anchors import Anchors
from certificates import TODAY
from fuzz.trees import Node, Path, leaf, parent, parse, paths

SUBJECT = "CN=client,O=Example,C=CZ"
DNS, URI, IP, EMAIL = "client.example", "https://client.example/a", "192.0.2.1", "who@client.example"
SPIFFE = "spiffe://trust.example/workload"


def secret(name: str, size: int = 32) -> bytes:
    """Bytes that nobody guesses wrong."""
    return sha512(name.encode()).digest()[:size]


def p256(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(secret(name, 31)), ec.SECP256R1())


@dataclass(frozen=True, slots=True)
class Issuer:
    """An authority as far as it signs again what was mutated."""

    certificate: x509.Certificate
    private_key: Any

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def name(self) -> Node:
        return parse(self.certificate.subject.public_bytes())

    @property
    def algorithm(self) -> Node:
        """AlgorithmIdentifier of what it signs."""
        return parse(_ED25519 if isinstance(self.private_key, ed25519.Ed25519PrivateKey) else _ECDSA_SHA256)

    @property
    def key_identifier(self) -> bytes:
        return x509.SubjectKeyIdentifier.from_public_key(self.certificate.public_key()).digest

    def sign(self, signed: bytes) -> bytes:
        if isinstance(self.private_key, ed25519.Ed25519PrivateKey):
            return self.private_key.sign(signed)
        signature: bytes = self.private_key.sign(signed, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        return signature


@dataclass(frozen=True, slots=True)
class Seed:
    """The to-be-signed part of a good certificate, and where its parts are."""

    tree: Node
    subject: tuple[Path, ...]
    names: tuple[Path, ...]
    """Of the alternative names."""
    extensions: tuple[Path, ...]
    every: tuple[Path, ...]


def assemble(signed: bytes, algorithm: bytes, signature: bytes) -> bytes:
    """A certificate from its three parts."""
    return parent(0x30, [_raw(signed), _raw(algorithm), leaf(0x03, b"\0" + signature)]).encoded


def seeds_of(issuer: Issuer) -> tuple[Seed, ...]:
    """Every certificate of the corpus as if `issuer` had issued it."""
    return _seeds_of(issuer.der)


@cache
def splices() -> tuple[Node, ...]:
    """The nodes of all certificates, each once."""
    found: dict[bytes, Node] = {}
    for tree in _trees():
        for path in paths(tree):
            node = _at(tree, path)
            if len(node.encoded) < 4096:
                found.setdefault(node.encoded, node)
    return tuple(found.values())


@cache
def strangers() -> tuple[bytes, ...]:
    """Authorities that nobody trusts, in the names of ours and of each other, with keys that cost."""
    names = [INTERMEDIATE.certificate.subject, ROOT.certificate.subject]
    keys: list[Any] = [_p521(number) for number in range(12)]
    keys += [ed448.Ed448PrivateKey.from_private_bytes(secret(f"ed448/{number}", 57)) for number in range(6)]
    found = []
    for position, key in enumerate(keys):
        above = keys[position - 1]
        issuer = Issuer(_authority(names[position % 2], above, None).certificate, above)
        found += [_authority(name, key, issuer).der for name in names]
    return tuple(found)


def _p521(number: int) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(secret(f"p521/{number}", 60)), ec.SECP521R1())


@cache
def crowd() -> tuple[bytes, ...]:
    """Intermediates that all could have issued each other, by their names."""
    keys = [p256(f"crowd/{number}") for number in range(24)]
    return tuple(_authority(INTERMEDIATE.certificate.subject, key, ROOT).der for key in keys)


def to_be_signed(der: bytes) -> Node:
    """The first part of a certificate."""
    children = parse(der).children
    assert children
    return children[0]


def seed(tree: Node) -> Seed:
    """`tree`, the places of its parts found."""
    children = tree.children or ()
    first = 1 if children[0].tag == 0xA0 else 0
    every = tuple(path for path in paths(tree) if path)
    subject = tuple(path for path in every if path[0] == first + 4)
    extensions = tuple(path for path in every if children[path[0]].tag == 0xA3)
    at = [path for path in extensions if len(path) == 3 and _ALTERNATIVE_NAME in _at(tree, path).encoded[:16]]
    names = tuple(path for path in extensions if at and path[:3] == at[0])
    return Seed(tree, subject, names or subject, extensions or every, every)


def _seeds() -> Iterator[x509.CertificateBuilder]:
    """The certificates of the corpus, not yet issued."""
    named = [x509.DNSName(DNS), x509.UniformResourceIdentifier(URI), x509.IPAddress(ipaddress.ip_address(IP)),
             x509.RFC822Name(EMAIL)]  # fmt: skip
    every_name = [
        *named,
        x509.DNSName("xn--bcher-kva.example"),
        x509.UniformResourceIdentifier(SPIFFE),
        x509.IPAddress(ipaddress.ip_address("2001:db8::1")),
        x509.DirectoryName(_name((NameOID.COMMON_NAME, "client", String.UTF8String))),
        x509.RegisteredID(x509.ObjectIdentifier("1.2.3.4")),
        x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9"), leaf(0x0C, "büro@client.example".encode()).encoded),
        x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), leaf(0x0C, b"who@client.example").encoded),
    ]
    own = ed25519.Ed25519PrivateKey.from_private_bytes(secret("leaf")).public_key()
    # The subjects: one that is registered, one of every string type, one as PSD2 has it, one of many RDNs, none.
    types = (String.UTF8String, String.PrintableString, String.T61String, String.IA5String, String.BMPString,
             String.UniversalString)  # fmt: skip
    client = _name((NameOID.COUNTRY_NAME, "CZ", String.PrintableString),
                   (NameOID.ORGANIZATION_NAME, "Example", String.UTF8String),
                   (NameOID.COMMON_NAME, "client", String.UTF8String))  # fmt: skip
    yield _leaf(client, own, named)
    yield _leaf(client, own, [])
    yield _leaf(client, own, every_name, *_EXTENSIONS)
    for kind in types:
        yield _leaf(_name((NameOID.COUNTRY_NAME, "CZ", String.PrintableString),
                          (NameOID.ORGANIZATION_NAME, "Example", kind), (NameOID.COMMON_NAME, "client", kind)),
                    own, named)  # fmt: skip
    yield _leaf(
        _name((NameOID.COUNTRY_NAME, "CZ", String.PrintableString), (NameOID.ORGANIZATION_NAME, "Banka ěščř", None),
              (x509.ObjectIdentifier("2.5.4.97"), "PSDCZ-CNB-12345678", None), (NameOID.COMMON_NAME, "Banka", None),
              (NameOID.SERIAL_NUMBER, "123", String.PrintableString),
              (NameOID.DOMAIN_COMPONENT, "example", String.IA5String), (NameOID.USER_ID, "client", None),
              (NameOID.EMAIL_ADDRESS, "who@client.example", String.IA5String),
              (x509.ObjectIdentifier("2.5.4.20"), "+420 123-456", None), (NameOID.GIVEN_NAME, "Žofie", None)),
        own, every_name, (_QC_STATEMENTS, False),
    )  # fmt: skip
    several = [x509.NameAttribute(oid, "ß and more") for oid in (NameOID.COMMON_NAME, NameOID.SURNAME, NameOID.TITLE)]
    yield _leaf(
        x509.Name([x509.RelativeDistinguishedName(several), x509.RelativeDistinguishedName(several[:2])]), own, named
    )
    yield _leaf(
        _name(*((NameOID.ORGANIZATIONAL_UNIT_NAME, f"unit {number}", None) for number in range(60))), own, named
    )
    yield _leaf(x509.Name([]), own, [x509.UniformResourceIdentifier(SPIFFE)])
    yield _leaf(client, own, [x509.DNSName(f"{number}.client.example") for number in range(250)])
    for key in _public_keys():
        yield _leaf(client, key, named)


def _public_keys() -> Iterator[Any]:
    for bits in (1024, 2048, 4096, 8192, 16_384):
        modulus = int.from_bytes(b"".join(secret(f"{bits}/{part}", 64) for part in range(bits // 512)))
        yield rsa.RSAPublicNumbers(65537, modulus | 1 | 1 << (bits - 1)).public_key()
    for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1(), ec.SECP256K1()):
        yield ec.derive_private_key(int.from_bytes(secret("curve", 28)), curve).public_key()
    yield ed448.Ed448PrivateKey.from_private_bytes(secret("ed448", 57)).public_key()
    yield mldsa.MLDSA44PrivateKey.from_seed_bytes(secret("mldsa")).public_key()


def _leaf(
    subject: x509.Name, key: Any, names: Sequence[x509.GeneralName], *extensions: tuple[x509.ExtensionType, bool]
) -> x509.CertificateBuilder:
    builder = (
        _builder(subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(is_authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder


def _authority(
    name: x509.Name, key: Any, issuer: Issuer | None, *extensions: tuple[x509.ExtensionType, bool]
) -> Issuer:
    builder = (
        _builder(name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(is_authority=True), critical=True)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    by = issuer.certificate.subject if issuer else name
    return Issuer(_issue(builder, by, issuer.private_key if issuer else key), key)


def _builder(subject: x509.Name, key: Any) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(int.from_bytes(secret(str(subject), 16)) >> 1 | 1)
        .not_valid_before(TODAY - timedelta(days=1))
        .not_valid_after(TODAY + timedelta(days=900))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _issue(builder: x509.CertificateBuilder, issuer: x509.Name, key: Any) -> x509.Certificate:
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    builder = builder.issuer_name(issuer).add_extension(authority, critical=False)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True)
    return builder.sign(key, None)


def _name(*attributes: tuple[x509.ObjectIdentifier, str, String | None]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, text, kind) for oid, text, kind in attributes])


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(not is_authority, False, False, False, False, is_authority, is_authority, False, False)


@cache
def _trees() -> tuple[Node, ...]:
    ours = tuple(to_be_signed(_issue(each, ROOT.certificate.subject, ROOT.private_key).public_bytes(Encoding.DER))
                 for each in _seeds())  # fmt: skip
    authorities = tuple(to_be_signed(each.der) for each in (ROOT, INTERMEDIATE, CONFINED, POLICED))
    return (*ours * 2, *authorities, *_foreign())


def _foreign() -> Iterator[Node]:
    """Of x509-limbo's certificates that a client might have, one in so many."""
    cases = json.loads(gzip.decompress(_LIMBO.read_bytes()))["testcases"]
    for case in cases[::_ONE_IN]:
        with contextlib.suppress(ValueError, IndexError):
            [pem] = _PEM.findall(case["peer_certificate"])
            yield to_be_signed(b64decode(pem))


@cache
def _seeds_of(der: bytes) -> tuple[Seed, ...]:
    [issuer] = [each for each in ISSUERS if each.der == der]
    return tuple(seed(_reissued(tree, issuer)) for tree in _trees())


def _reissued(tree: Node, issuer: Issuer) -> Node:
    """`tree` with the issuer's name, algorithm, and key identifier."""
    children = list(tree.children or ())
    first = 1 if children[0].tag == 0xA0 else 0
    children[first + 1], children[first + 2] = issuer.algorithm, issuer.name
    encoded = parent(tree.tag, children).encoded
    return parse(encoded.replace(ROOT.key_identifier, issuer.key_identifier))


def _at(node: Node, path: Path) -> Node:
    for index in path:
        assert node.children
        node = node.children[index]
    return node


def _raw(encoded: bytes) -> Node:
    return Node(0, encoded, None, encoded)


_LIMBO = File(__file__).parent.parent / "vectors" / "limbo-client.json.gz"
_ONE_IN = 79
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_ECDSA_SHA256, _ED25519 = bytes.fromhex("300a06082a8648ce3d040302"), bytes.fromhex("300506032b6570")
_ALTERNATIVE_NAME = bytes.fromhex("0603551d11")
_QC_STATEMENTS = x509.UnrecognizedExtension(
    x509.ObjectIdentifier("1.3.6.1.5.5.7.1.3"),
    b64decode("MEIwCAYGBACORgEBMBMGBgQAjkYBBjAJBgcEAI5GAQYDMCEGBgQAgZgnAjAXMBMwEQYHBACBmCcBAQwGUFNQX0FTMAA="),
)
_FULL_NAME = [x509.UniformResourceIdentifier("http://crl.example/a.crl")]
_POLICY = x509.PolicyInformation(
    x509.ObjectIdentifier("1.2.3"), ["https://cps.example", x509.UserNotice(None, "notice")]
)
_EXTENSIONS: tuple[tuple[x509.ExtensionType, bool], ...] = tuple(
    (extension, False)
    for extension in (
        x509.CRLDistributionPoints(
            [x509.DistributionPoint(_FULL_NAME, None, None, [x509.DirectoryName(x509.Name([]))])]
        ),
        x509.AuthorityInformationAccess([x509.AccessDescription(AuthorityInformationAccessOID.OCSP, _FULL_NAME[0])]),
        x509.CertificatePolicies([_POLICY]),
        x509.TLSFeature([x509.TLSFeatureType.status_request]),
        x509.IssuerAlternativeName([x509.DNSName("issuer.example")]),
        x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x30\x03\x02\x01\x05"),
    )
)
_CONSTRAINTS = x509.NameConstraints(
    permitted_subtrees=[x509.DNSName("example"), x509.IPAddress(ipaddress.ip_network("192.0.2.0/24"))],
    excluded_subtrees=[x509.DNSName("evil.example")],
)

_ROOT_NAME = _name((NameOID.ORGANIZATION_NAME, "Example", None), (NameOID.COMMON_NAME, "Fuzz Root", None))
ROOT = _authority(_ROOT_NAME, p256("root"), None)
TWIN = _authority(
    _name((NameOID.ORGANIZATION_NAME, "Example", String.PrintableString),
          (NameOID.COMMON_NAME, "FUZZ ROOT", String.PrintableString)),
    p256("twin"), None,
)  # fmt: skip
"""Another authority of the same name in other letters and types."""
EDWARDS = _authority(_name((NameOID.COMMON_NAME, "Edwards", None)),
                     ed25519.Ed25519PrivateKey.from_private_bytes(secret("edwards")), None)  # fmt: skip
INTERMEDIATE = _authority(
    _name((NameOID.COMMON_NAME, "Between", None)), p256("between"), ROOT, *_EXTENSIONS,
)  # fmt: skip
POLICED = _authority(
    _name((NameOID.COMMON_NAME, "Policed", None)), p256("policed"), ROOT, *_EXTENSIONS,
    (x509.PolicyConstraints(require_explicit_policy=None, inhibit_policy_mapping=0), True),
    (x509.InhibitAnyPolicy(0), True),
)  # fmt: skip
CONFINED = _authority(_name((NameOID.COMMON_NAME, "Confined", None)), p256("confined"), ROOT, (_CONSTRAINTS, True))
STRANGER = _authority(_ROOT_NAME, p256("stranger"), None)
"""Nobody trusts it; it bears the root's name."""

ISSUERS = (ROOT, TWIN, EDWARDS, INTERMEDIATE, CONFINED, POLICED, STRANGER)


def read_issuer(issuer: Issuer) -> Certificate:
    return read_certificate(issuer.der)


ANCHORS = Anchors(tuple(map(read_issuer, (ROOT, TWIN, EDWARDS))))
