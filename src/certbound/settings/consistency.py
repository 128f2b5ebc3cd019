"""Settings must not contradict themselves: each check says what is wrong, or nothing."""

import re
from collections.abc import Callable
from urllib.parse import SplitResult, urlsplit

from certbound.core.errors import ConfigurationError, InvalidScope
from certbound.core.scope import parse_scope
from certbound.settings.tables import Settings


def require_consistent(settings: Settings, where: str) -> None:
    """`ConfigurationError` if one setting makes no sense beside another, or none at all."""
    for check in _CHECKS:
        if problem := check(settings):
            raise ConfigurationError(f"{where}: {problem}")


def _check_issuer(settings: Settings) -> str:
    return _url_problem("server.issuer", settings.server.issuer)


def _check_mtls_alone(settings: Settings) -> str:
    server = settings.server
    belonging = {
        "mtls_port": server.mtls_port, "mtls_certificate": server.mtls_certificate, "mtls_key": server.mtls_key,
    }  # fmt: skip
    lonely = [name for name, value in belonging.items() if value is not None and server.mtls_url is None]
    return f"server.{lonely[0]} is set but server.mtls_url is not; set both or neither" if lonely else ""


def _check_mtls_url(settings: Settings) -> str:
    server = settings.server
    if server.mtls_url is None:
        return ""
    if problem := _url_problem("server.mtls_url", server.mtls_url):
        return problem
    if server.mtls_url == server.issuer:
        return (
            "server.mtls_url equals server.issuer, so the aliases would be no aliases; give mutual TLS a host or port "
            "of its own, or remove server.mtls_url"
        )
    if server.mtls_port is None and (host := urlsplit(server.mtls_url).hostname) == urlsplit(server.issuer).hostname:
        return f"server.mtls_url has the issuer's host {host!r}, so server.mtls_port is needed"
    if server.mtls_port is not None and server.mtls_port == server.port != 0:
        return "server.mtls_port equals server.port; remove it to share one port by SNI"
    return ""


def _check_mtls_files(settings: Settings) -> str:
    if (settings.server.mtls_certificate is None) != (settings.server.mtls_key is None):
        return "of server.mtls_certificate and server.mtls_key only one is set; set both or neither"
    return ""


def _check_store(settings: Settings) -> str:
    if settings.server.workers > 1 and _IN_MEMORY.fullmatch(settings.store.url):
        return "store.url is in memory, where server.workers cannot share it; name a file, or have one worker"
    return ""


def _check_trust(settings: Settings) -> str:
    if settings.trust.intermediates and not settings.trust.anchors:
        return "trust.intermediates is set but trust.anchors is not, and alone they vouch for nobody"
    return ""


def _check_resources(settings: Settings) -> str:
    if not settings.tokens.resources:
        return "tokens.resources is empty; name at least the API that tokens are for"
    odd = [resource for resource in settings.tokens.resources if not _RESOURCE.fullmatch(resource)]
    return f"tokens.resources: {odd[0]!r} is not an absolute URI without fragment (RFC 8707 section 2)" if odd else ""


def _check_scopes(settings: Settings) -> str:
    odd = [scope for scope in settings.tokens.scopes if not _is_one_word(scope)]
    return f"tokens.scopes: {odd[0]!r} is not one scope word" if odd else ""


def _is_one_word(scope: str) -> bool:
    try:
        return len(parse_scope(scope)) == 1
    except InvalidScope:
        return False


def _url_problem(key: str, text: str) -> str:
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  it is read here, and raises
    except ValueError:
        parts = SplitResult("", "", "", "", "")
    if parts.scheme != "https" or not parts.hostname or not _URL.fullmatch(text) or "@" in parts.netloc:
        return f"{key}: {text!r} is not an https URL without query and fragment"
    return f"{key}: {text!r} must not end in a slash" if text.endswith("/") else ""


_URL = re.compile(r"[!\x24-\x3E\x40-\x5B\x5D-\x7E]+")
"""ASCII without space, and without `"`, `#`, `?` and `\\`."""
_RESOURCE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!\x24-\x7E]+")
_IN_MEMORY = re.compile(r"sqlite(\+aiosqlite)?:(//)?(/(:memory:)?)?(\?.*)?", re.DOTALL)

_CHECKS: tuple[Callable[[Settings], str], ...] = (
    _check_issuer, _check_mtls_alone, _check_mtls_url, _check_mtls_files, _check_store, _check_trust, _check_resources,
    _check_scopes,
)  # fmt: skip
