"""Where an issuer's endpoints are (RFC 8414, OpenID Connect Discovery 1.0, RFC 8705 section 5).

Rule 1: metadata counts only if it is that of exactly the issuer who was asked, over https, without a redirect.
Rule 2: which URL is used is decided in `endpoint` and nowhere else: the alias where mutual TLS is intended and there
        is one, else the plain one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from certbound.client.errors import MetadataUnusable, quoted
from certbound.client.flow.message import Answer, Flow, Request, is_https
from certbound.core.well_known import Issuer, discovery_paths, well_known


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerMetadata:
    """What an issuer says of itself; `document` is all of it."""

    issuer: Issuer
    document: Mapping[str, Any] = field(repr=False)

    def endpoint(self, name: str, *, mutual_tls: bool) -> str:
        """The URL of `name`, `token_endpoint` for one.  `MetadataUnusable` if there is none, or it is not https."""
        url = self.document.get(name)
        if mutual_tls and name in DIRECT_ENDPOINTS:
            url = _aliases(self.document).get(name, url)
        if url is None:
            raise MetadataUnusable(f"the metadata of {self.issuer} has no {name}; this server does not offer it")
        if not isinstance(url, str) or not is_https(url):
            raise MetadataUnusable(
                f"the {name} of {self.issuer} is {quoted(url)!r}, not an https URL; nothing is sent there"
            )
        return url

    def offers(self, name: str) -> bool:
        """Whether there is an endpoint `name` at all."""
        return name in self.document or (name in DIRECT_ENDPOINTS and name in _aliases(self.document))


def discover(issuer: str) -> Flow[ServerMetadata]:
    """The issuer's metadata: at RFC 8414's place, and where that answers 404, at OpenID's.  `MetadataUnusable`."""
    if not is_https(issuer) or urlsplit(issuer).query:
        raise MetadataUnusable(f"the issuer {quoted(issuer)!r} is not an https URL without query and fragment")
    origin = f"https://{urlsplit(issuer).netloc}"
    first = origin + well_known(Issuer(issuer))
    answer = yield _look(first)
    url = first
    if answer.status == 404:
        url = origin + discovery_paths(Issuer(issuer))[0]
        answer = yield _look(url)
    if answer.status != 200:
        also = f", as did {first}" if url != first else ""
        raise MetadataUnusable(
            f"{url} answered {answer.status}{also}; is {issuer} the issuer, and does it speak RFC 8414?"
        )
    return _read(url, answer, issuer)


def read_metadata(document: Mapping[str, Any], issuer: str) -> ServerMetadata:
    """`document` as the metadata of `issuer`.  `MetadataUnusable` if it is another's (RFC 8414 section 3.3)."""
    named = document.get("issuer")
    if named != issuer:
        raise MetadataUnusable(
            f"the metadata found for {issuer} names the issuer {quoted(named)!r}; if you trust that one, give it "
            "exactly as it is written there (the issuer's own host, not one that only asks for certificates)"
        )
    return ServerMetadata(issuer=Issuer(issuer), document=document)


def _look(url: str) -> Request:
    return Request(method="GET", url=url, mutual_tls=False)


def _read(url: str, answer: Answer, issuer: str) -> ServerMetadata:
    document = answer.document()
    if document is None:
        raise MetadataUnusable(f"{url} answered no JSON object")
    return read_metadata(document, issuer)


def _aliases(document: Mapping[str, Any]) -> Mapping[str, Any]:
    aliases = document.get("mtls_endpoint_aliases")
    return aliases if isinstance(aliases, Mapping) else {}


# Endpoints that a client calls by itself; an alias for any other names none (RFC 8705 section 5).
DIRECT_ENDPOINTS = frozenset({
    "token_endpoint",
    "introspection_endpoint",
    "revocation_endpoint",
    "pushed_authorization_request_endpoint",
    "device_authorization_endpoint",
    "backchannel_authentication_endpoint",
    "registration_endpoint",
    "userinfo_endpoint",
})  # fmt: skip
