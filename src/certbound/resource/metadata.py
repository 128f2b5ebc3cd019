"""Protected resource metadata (RFC 9728), computed from what is asked of tokens and from nothing else."""

from urllib.parse import urlsplit

import msgspec

from certbound.resource.protected import ProtectedResource

WELL_KNOWN = "/.well-known/oauth-protected-resource"


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
    return f"https://{parts.netloc}{path}" if path else None


def describe(api: ProtectedResource) -> bytes:
    """The document, JSON (section 2)."""
    document: dict[str, object] = {
        "resource": api.resource,
        "authorization_servers": [each.url for each in api.issuers],
        "bearer_methods_supported": ["header"],
        "tls_client_certificate_bound_access_tokens": api.require_bound,
    }
    if api.scopes:
        document["scopes_supported"] = sorted(api.scopes)
    return msgspec.json.encode(document)
