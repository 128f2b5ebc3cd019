"""Members of client metadata that ask for what we do not do, and that a client would rely on.

Rule: each is refused by name, but where it says that nothing is wanted.  A client that was registered without a word
would send what is refused later, or wait for what never comes; what it can do without is ignored as anything unknown.
"""

from collections.abc import Mapping
from typing import Any

from certbound.core.errors import InvalidClientMetadata


def refuse_unspoken(given: Mapping[str, Any]) -> None:
    """`InvalidClientMetadata` (400) names the first of them that asks for something."""
    for name, why in UNSPOKEN.items():
        value = given.get(name, False)
        if value is not False and value != []:
            raise InvalidClientMetadata(name, why)


_NO_JAR = "request objects (RFC 9101) are not taken here; push the request (RFC 9126)"
_NO_JARM = "answers are not signed or encrypted here; they carry iss (RFC 9207)"
_NOT_ENCRYPTED = "nothing is encrypted here but the connection"
_NO_SIGNAL = "nobody is told of a logout here"

UNSPOKEN: Mapping[str, str] = {
    # OpenID Connect Registration section 2
    "sector_identifier_uri": "is not taken; the redirect URIs' host is the sector",
    "request_uris": _NO_JAR,
    "request_object_signing_alg": _NO_JAR,
    "request_object_encryption_alg": _NO_JAR,
    "request_object_encryption_enc": _NO_JAR,
    "id_token_encrypted_response_alg": _NOT_ENCRYPTED,
    "id_token_encrypted_response_enc": _NOT_ENCRYPTED,
    "userinfo_signed_response_alg": "userinfo answers with JSON here, unsigned",
    "userinfo_encrypted_response_alg": _NOT_ENCRYPTED,
    "userinfo_encrypted_response_enc": _NOT_ENCRYPTED,
    # RFC 9101, JARM, RFC 9701
    "require_signed_request_object": _NO_JAR,
    "authorization_signed_response_alg": _NO_JARM,
    "authorization_encrypted_response_alg": _NO_JARM,
    "authorization_encrypted_response_enc": _NO_JARM,
    "introspection_encrypted_response_alg": _NOT_ENCRYPTED,
    "introspection_encrypted_response_enc": _NOT_ENCRYPTED,
    # RFC 9449, RFC 9396
    "dpop_bound_access_tokens": "tokens are bound to certificates here (tls_client_certificate_bound_access_tokens)",
    "authorization_details_types": "only scope and resource say here what is asked for",
    # OpenID Connect Back-Channel and Front-Channel Logout, CIBA
    "backchannel_logout_uri": _NO_SIGNAL,
    "frontchannel_logout_uri": _NO_SIGNAL,
    "backchannel_token_delivery_mode": "people are asked by a browser here, or by the code of a device",
}
"""By name, and what the refusal says behind it."""
