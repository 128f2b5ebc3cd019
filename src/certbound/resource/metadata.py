"""Protected resource metadata (RFC 9728), computed from what is asked of tokens and from nothing else.

Rule 1: it is never more than what the guard does: no member that nobody here honours (`jwks_uri`, `dpop_*`,
`resource_signing_alg_values_supported`, `signed_metadata`), and binding only where it is demanded of every token.
Rule 2: it says nothing that depends on who asks, so anybody may keep it (`CACHE_CONTROL`).
"""

from urllib.parse import urlsplit

import msgspec

from certbound.resource.protected import ProtectedResource

WELL_KNOWN = "/.well-known/oauth-protected-resource"
CACHE_CONTROL = "public, max-age=300"
"""For the answer with the document; what it says changes with a new start."""


def metadata_path(api: ProtectedResource) -> str | None:
    """The path of the metadata (section 3.1); None for an API whose identifier is no https URL, which has none."""
    parts = urlsplit(api.resource)
    if parts.scheme != "https" or not parts.netloc or parts.fragment:
        return None
    return WELL_KNOWN + (parts.path if parts.path != "/" else "")


def metadata_url(api: ProtectedResource) -> str | None:
    """Where clients find it, as the challenge names it (section 5.1)."""
    path = metadata_path(api)
    parts = urlsplit(api.resource)
    return f"https://{parts.netloc}{path}{'?' if parts.query else ''}{parts.query}" if path else None


def describe(api: ProtectedResource) -> bytes:
    """The document, JSON (section 2)."""
    document: dict[str, object] = {
        "resource": api.resource,
        "authorization_servers": [each.url for each in api.issuers],
        "bearer_methods_supported": ["header"],
    }
    # What is not done is left out: false is what is meant then.
    if api.require_bound:
        document["tls_client_certificate_bound_access_tokens"] = True
    if api.scopes:
        document["scopes_supported"] = sorted(api.scopes)
    return msgspec.json.encode(document)
