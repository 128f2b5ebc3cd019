"""What stands at a URL, and the one request by which it is seen whether a certificate counted.

Rule: an authorization server gives a token to the client's certificate and to nobody else; an API lets its bound token
in beside the certificate and not without.  Where that difference is not there, no forgery can be told from the truth.
"""

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

from certbound.cli._doctor.reach import Answer, Headers, Identity, Place, Reach, place_of, request
from certbound.cli._unreachable import advice
from certbound.core.errors import ConfigurationError
from certbound.core.well_known import Issuer, well_known

Kind = Literal["authorization server", "API"]
METADATA = "/.well-known/oauth-protected-resource"


@dataclass
class Target:
    """A deployment that is looked at."""

    kind: Kind
    reach: Reach
    url: str
    place: Place
    """Where clients show their certificates: the token endpoint, or the API."""
    conventional: Place | None = None
    """The issuer's own host, where that is another one."""
    document: dict[str, Any] = field(default_factory=dict)
    """Its metadata, if it has any."""
    client_id: str = ""
    token: str = ""
    plain: Place | None = None

    @property
    def needs(self) -> str:
        """What is missing for seeing whether a certificate counted; empty if nothing."""
        if self.reach.own is None:
            return "give --cert and --key"
        if self.kind == "API" and not self.token:
            return "give --token, one that is bound to the certificate in --cert"
        if self.kind == "authorization server" and not self.client_id:
            return "give --client-id, a client that is registered for the certificate in --cert"
        return ""

    @cached_property
    def honest(self) -> Answer:
        """The answer to the certificate's owner."""
        return self.send(identity=self.reach.own)

    @cached_property
    def naked(self) -> Answer:
        """The answer without a certificate."""
        return self.send()

    @property
    def blind(self) -> str:
        """Why it cannot be seen whether a certificate counted; empty if it can."""
        if self.needs:
            return self.needs
        if not self.let_in(self.honest):
            return f"the certificate's owner is not let in either ({self.honest.in_words})"
        return f"nobody needs a certificate here ({self.naked.in_words})" if self.let_in(self.naked) else ""

    def let_in(self, answer: Answer) -> bool:
        """Whether that is what the certificate's owner gets."""
        if self.kind == "API":
            return 200 <= answer.status < 400
        return answer.status == 200 and b'"access_token"' in answer.body

    def bytes_of(self, *headers: tuple[str, str], place: Place | None = None, host: str = "") -> bytes:
        """The one request, with `headers` behind its own."""
        method, own, body = self._parts()
        return request(method, place or self.place, [*own, *headers], body, host)

    def with_trailer(self, *trailers: tuple[str, str]) -> tuple[bytes, bytes]:
        """The one request in chunks, and `trailers` that come behind."""
        method, own, body = self._parts()
        names = ", ".join(name for name, _ in trailers)
        head = request(method, self.place, [*own, ("Transfer-Encoding", "chunked"), ("Trailer", names)])
        content = f"{len(body):x}\r\n".encode() + body + b"\r\n" if body else b""
        return head + content, ("0\r\n" + "".join(f"{n}: {v}\r\n" for n, v in trailers) + "\r\n").encode("latin-1")

    def send(self, *headers: tuple[str, str], identity: Identity | None = None, place: Place | None = None) -> Answer:
        """The answer to the one request with `headers`."""
        return self.reach.ask(place or self.place, self.bytes_of(*headers, place=place), identity=identity)

    def _parts(self) -> tuple[str, Headers, bytes]:
        if self.kind == "API":
            return "GET", [("Authorization", f"Bearer {self.token}")] if self.token else [], b""
        form = urlencode({"grant_type": "client_credentials", "client_id": self.client_id or "certbound-doctor"})
        return "POST", [("Content-Type", "application/x-www-form-urlencoded")], form.encode()


def find(reach: Reach, url: str, *, client_id: str, token: str, plain_url: str) -> Target:
    """What stands at `url`.  `ConfigurationError` if nothing answers there."""
    place = place_of(url)
    if place.is_plain:
        raise ConfigurationError(f"{url!r:.200} is not https; where HTTP is served without TLS is --plain-url")
    plain = place_of(plain_url) if plain_url else None
    found = reach.ask(place.at(_issuer_path(url)), request("GET", place.at(_issuer_path(url)), ()))
    if not found.status:
        failure = found.failure or "it closes the connection"
        raise ConfigurationError(f"{url} does not answer: {failure}{advice(failure, url)}")
    document = _document(found)
    if "token_endpoint" not in document:
        at = place.at(_resource_path(reach, place))
        document = _document(reach.ask(at, request("GET", at, ())))
        return Target("API", reach, url, place, None, document, client_id, token, plain)
    aliases = document.get("mtls_endpoint_aliases")
    endpoint = (aliases if isinstance(aliases, dict) else {}).get("token_endpoint") or document["token_endpoint"]
    at = place_of(str(endpoint))
    other = place if (place.host, place.port) != (at.host, at.port) else None
    return Target("authorization server", reach, url, at, other, document, client_id, token, plain)


def _issuer_path(url: str) -> str:
    return urlsplit(well_known(Issuer(url.rstrip("/")))).path


def _resource_path(reach: Reach, place: Place) -> str:
    """Where a refusal says that the metadata is (RFC 9728 section 5.1), else where that of this URL would be."""
    challenge = reach.ask(place, request("GET", place, ())).headers.get("www-authenticate", "")
    named = _NAMED.search(challenge)
    return urlsplit(named[1]).path if named else METADATA + place.path.partition("?")[0].rstrip("/")


def _document(answer: Answer) -> dict[str, Any]:
    if answer.status != 200:
        return {}
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


_NAMED = re.compile(r'resource_metadata="(https://[!-~]+)"')
