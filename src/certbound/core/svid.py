"""X.509-SVID leaves (SPIFFE X.509-SVID sections 2, 4 and 5.2): what a client known by its SPIFFE ID presents."""

from typing import TypeVar

from cryptography import x509

from certbound.core.alternative_names import spiffe_id
from certbound.core.certificate import Certificate
from certbound.core.errors import BadCertificate
from certbound.core.subject import Subject, SubjectKind

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


def is_spiffe_id(subject: Subject) -> bool:
    """Whether what the client is known by is a SPIFFE ID."""
    return subject.kind is SubjectKind.URI and subject.text[:9].lower() == "spiffe://"


def require_svid(certificate: Certificate) -> str:
    """The certificate's SPIFFE ID.  `BadCertificate` if it is not the X.509-SVID of a workload."""
    found = spiffe_id(certificate)
    constraints = _extension(certificate, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise BadCertificate("an X.509-SVID that is a CA identifies no workload")
    usage = _extension(certificate, x509.KeyUsage)
    if usage is None or not usage.digital_signature:
        raise BadCertificate("the key usage of an X.509-SVID must have digitalSignature")
    if usage.key_cert_sign or usage.crl_sign:
        raise BadCertificate("the key usage of an X.509-SVID must have neither keyCertSign nor cRLSign")
    return found


def _extension(certificate: Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.decoded_extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
