"""Where an issuer's metadata is (RFC 8414 section 3, OpenID Connect Discovery 1.0 section 4).

It stands alone: a client needs to know this much of a server, and imports no more.
"""

from typing import NewType
from urllib.parse import urlsplit

Issuer = NewType("Issuer", str)
AccessToken = NewType("AccessToken", str)

OPENID_CONFIGURATION = "openid-configuration"


def well_known(issuer: Issuer, name: str = "oauth-authorization-server") -> str:
    """The path of the metadata: before the issuer's own path, which loses a slash at its end (RFC 8414 section 3.1)."""
    return f"/.well-known/{name}{urlsplit(issuer).path.removesuffix('/')}"


def discovery_paths(issuer: Issuer) -> tuple[str, ...]:
    """Where OpenID Connect looks for the same document: behind the issuer's own path (Discovery section 4), and, as
    clients that know RFC 8414 spell it, before it.
    """
    behind = f"{urlsplit(issuer).path.removesuffix('/')}/.well-known/{OPENID_CONFIGURATION}"
    return tuple(dict.fromkeys((behind, well_known(issuer, OPENID_CONFIGURATION))))
