"""The trust anchors that may certify one client (RFC 8705 section 7.4, R32), as its registration says.

Rule 1: an anchor is known by its key, never by its name.
Rule 2: what a client names among the server's anchors can only narrow them; what it brings of its own certifies that
client alone and never joins the server's.
Rule 3: what could vouch for nobody is refused when it is registered.
"""

from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from cryptography import x509

from certbound.core.certificate import Certificate, KeyThumbprint, read_certificate
from certbound.core.errors import BadCertificate, InvalidClientMetadata
from certbound.core.keys import require_strong_key

MAX_ANCHORS = 32
MAX_TEXT = 65_536
"""Characters of one anchor, in base64."""

# Members of client metadata; RFC 7591 section 2 lets a server have its own.
KEYS = "tls_client_auth_trust_anchor_keys"
CERTIFICATES = "tls_client_auth_trust_anchors"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ClientAnchors:
    """`keys`: those of the server's anchors that count, all if there is none.  `certificates`: these instead."""

    MEMBERS: ClassVar[tuple[str, ...]] = (KEYS, CERTIFICATES)

    keys: frozenset[KeyThumbprint] = frozenset()
    certificates: tuple[Certificate, ...] = field(default=(), repr=False)


EVERY_ANCHOR = ClientAnchors()


def read_anchors(given: Mapping[str, Any]) -> ClientAnchors:
    """What client metadata says of anchors.  `InvalidClientMetadata` (400) names the member that is wrong."""
    if KEYS in given and CERTIFICATES in given:
        raise InvalidClientMetadata(CERTIFICATES, f"stands beside {KEYS}; register one")
    # One certificate listed twice is one anchor.
    certificates = {each.thumbprint: each for each in _members(given, CERTIFICATES, _read_authority)}
    return ClientAnchors(frozenset(_members(given, KEYS, read_key)), tuple(certificates.values()))


def describe_anchors(anchors: ClientAnchors) -> dict[str, list[str]]:
    """`anchors` as client metadata; empty for every anchor of the server."""
    listed: dict[str, list[str]] = {
        KEYS: [*sorted(anchors.keys)],
        CERTIFICATES: [b64encode(each.der).decode("ascii") for each in anchors.certificates],
    }
    return {member: values for member, values in listed.items() if values}


def require_known(anchors: ClientAnchors, known: frozenset[KeyThumbprint]) -> ClientAnchors:
    """`anchors`, if every key in it is `known`.  `InvalidClientMetadata` (400) says which keys are."""
    if strange := sorted(anchors.keys - known):
        listed = sorted(known)
        more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
        raise InvalidClientMetadata(
            KEYS,
            f"no trust anchor of this server has the key {strange[0]}; it has {', '.join(listed[:_LISTED]) or 'none'}"
            f"{more}",
        )
    return anchors


def read_key(text: str) -> KeyThumbprint:
    """The name of a key.  `ValueError` if `text` is none, so that it could never be equal to one."""
    try:
        canonical = urlsafe_b64encode(urlsafe_b64decode(f"{text}=")).decode("ascii")
    except ValueError:
        canonical = ""
    if len(text) != 43 or canonical != f"{text}=":
        raise ValueError("must be the SHA-256 of a SubjectPublicKeyInfo: 43 characters of base64url, without padding")
    return KeyThumbprint(text)


def _members(given: Mapping[str, Any], member: str, read: Callable[[str], _T]) -> list[_T]:
    found = []
    for position, text in enumerate(_texts(given, member)):
        try:
            found.append(read(text))
        except ValueError as error:
            raise InvalidClientMetadata(f"{member}[{position}]", str(error)) from error
    return found


def _texts(given: Mapping[str, Any], member: str) -> list[str]:
    texts = given.get(member)
    if texts is None:
        return []
    if not isinstance(texts, list) or not 1 <= len(texts) <= MAX_ANCHORS:
        raise InvalidClientMetadata(member, f"must be an array of 1 to {MAX_ANCHORS} strings")
    if not all(isinstance(text, str) and len(text) <= MAX_TEXT for text in texts):
        raise InvalidClientMetadata(member, f"must be an array of strings, of at most {MAX_TEXT} characters each")
    return texts


def _read_authority(text: str) -> Certificate:
    try:
        certificate = read_certificate(b64decode(text, validate=True))
        require_strong_key(certificate)
        constraints = certificate.decoded_extensions.get_extension_for_class(x509.BasicConstraints).value
    except (BadCertificate, ValueError) as error:
        raise ValueError(f"must be the base64 of a CA certificate, DER: {error}") from error
    except x509.ExtensionNotFound:
        constraints = None
    if constraints is None or not constraints.ca:
        raise ValueError("is not the certificate of a CA (basicConstraints), so it could vouch for nobody")
    return certificate


_LISTED = 8
"""How many known keys a refusal lists."""
