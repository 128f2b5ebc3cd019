"""Settings must not contradict themselves: each check names the key and says what is wrong, or nothing."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from certbound.core.anchors import read_key
from certbound.core.clients import Method
from certbound.core.errors import InvalidScope
from certbound.core.limits import read_limit
from certbound.core.revoked import RevocationMode
from certbound.core.scope import parse_scope
from certbound.settings.proxied import contradictions as contradictions_of_proxy
from certbound.settings.tables import ROTATE_DAYS, Settings
from certbound.settings.trust import AnchorLimit
from certbound.settings.ways import contradictions
from certbound.tls.hosts import is_loopback


class Problem(NamedTuple):
    """`text` continues a sentence that begins with the key."""

    section: str
    key: str
    text: str


def problems(settings: Settings) -> Iterator[Problem]:
    """What makes no sense beside another setting, or by itself."""
    return (problem for check in _CHECKS if (problem := check(settings)) is not None)


def _check_issuer(settings: Settings) -> Problem | None:
    return _check_url("issuer", settings.server.issuer)


def _check_proxy(settings: Settings) -> Problem | None:
    return next((Problem(*found) for found in contradictions_of_proxy(settings)), None)


def _check_mtls_alone(settings: Settings) -> Problem | None:
    server = settings.server
    belonging = {
        "mtls_port": server.mtls_port, "mtls_certificate": server.mtls_certificate, "mtls_key": server.mtls_key,
    }  # fmt: skip
    lonely = [name for name, value in belonging.items() if value is not None and server.mtls_url is None]
    return Problem("server", lonely[0], "is set but server.mtls_url is not; set both or neither") if lonely else None


def _check_mtls_url(settings: Settings) -> Problem | None:
    return _check_url("mtls_url", settings.server.mtls_url) if settings.server.mtls_url is not None else None


def _check_mtls_place(settings: Settings) -> Problem | None:
    server = settings.server
    if server.mtls_url is not None and _place(server.mtls_url) == _place(server.issuer):
        return Problem(
            "server", "mtls_url",
            "equals server.issuer, so the aliases would be no aliases; give mutual TLS a host or port of its own, or "
            "remove server.mtls_url",
        )  # fmt: skip
    host = _place(server.issuer).host
    alone = server.mtls_port is None and settings.proxy.contract is None
    if server.mtls_url is not None and alone and _place(server.mtls_url).host == host:
        return Problem("server", "mtls_url", f"has the issuer's host {host!r}, so server.mtls_port is needed")
    if server.mtls_port is not None and server.mtls_port == server.port != 0:
        return Problem("server", "mtls_port", "equals server.port; remove it to share one port by SNI")
    return None


def _check_mtls_files(settings: Settings) -> Problem | None:
    files = {"mtls_certificate": settings.server.mtls_certificate, "mtls_key": settings.server.mtls_key}
    there, absent = [k for k, v in files.items() if v is not None], [k for k, v in files.items() if v is None]
    if there and absent:
        return Problem("server", there[0], f"is set but server.{absent[0]} is not; set both or neither")
    return None


def _check_store(settings: Settings) -> Problem | None:
    if settings.server.workers > 1 and _IN_MEMORY.fullmatch(settings.store.url):
        return Problem("store", "url", "is in memory, where server.workers cannot share it; name a file")
    return None


def _check_store_password(settings: Settings) -> Problem | None:
    """Where a password stands in the address it is masked wherever the address is shown; nowhere else may one stand."""
    scheme, _, rest = settings.store.url.partition("://")
    if scheme.startswith("sqlite"):
        return None
    address, _, query = rest.partition("?")
    user, _, place = address.rpartition("@")
    if _PASSWORD_IN_QUERY.search(query):
        return Problem("store", "url", "has a password in its query; write it before the @, or name a passfile")
    if _ODD_USER.search(user) or ("@" in query and "/" not in place):
        return Problem("store", "url", "has : / ? or @ in its user or password; write %3A %2F %3F or %40 for them")
    return None


def _check_trust(settings: Settings) -> Problem | None:
    trust = settings.trust
    if trust.intermediates and not (trust.anchors or trust.folder or trust.client_anchors):
        return Problem("trust", "intermediates", "is set but trust.anchors is not, and alone they vouch for nobody")
    return None


def _check_limits(settings: Settings) -> Problem | None:
    anchors = [limit.anchor for limit in settings.trust.limits]
    for position, limit in enumerate(settings.trust.limits):
        if problem := _problem_of(limit):
            return Problem("trust", "limits", f"[{position}]: {problem}")
        if limit.anchor in anchors[:position]:
            return Problem("trust", "limits", f"[{position}]: the anchor has a table already; write one for both")
    return None


def _problem_of(limit: AnchorLimit) -> str:
    try:
        read_key(limit.anchor)
    except ValueError as error:
        return f"anchor {error}, not {limit.anchor!r}"
    try:
        read_limit(subject_dn=limit.subject_dn, dns=limit.dns, trust_domain=limit.trust_domain)
    except ValueError as error:
        return str(error)
    return ""


def _check_revocation(settings: Settings) -> Problem | None:
    asked = settings.revocation
    named = [key for key in ("crls", "ocsp", "from_certificates") if getattr(asked, key)]
    if asked.mode is RevocationMode.OFF:
        text = 'is set but revocation.mode is "off", so nobody is asked; set it to "soft" or "hard"'
        return Problem("revocation", named[0], text) if named else None
    if not named:
        return Problem(
            "revocation", "mode",
            f'is "{asked.mode}" but there is nobody to ask; name crls or ocsp, or set from_certificates',
        )  # fmt: skip
    return None


def _check_revocation_places(settings: Settings) -> Problem | None:
    asked = settings.revocation
    for key, urls in (("crls", asked.crl_urls), ("ocsp", asked.ocsp)):
        for url in urls:
            parts = _split(url)
            if parts.scheme not in {"http", "https"} or not parts.hostname or not _FETCHED.fullmatch(url):
                return Problem("revocation", key, f"has {url!r}, which is no http or https URL")
    odd = [each for each in asked.crls if not each or "\0" in each]
    return Problem("revocation", "crls", f"has {odd[0]!r}, which is neither path nor URL") if odd else None


def _check_admin(settings: Settings) -> Problem | None:
    admin, server = settings.admin, settings.server
    if admin.port is None:
        return None
    if admin.port != 0 and admin.port in {server.port, server.mtls_port}:
        return Problem("admin", "port", "is one of the server's own; choose another")
    if admin.tls and admin.plain_for_all:
        return Problem("admin", "plain_for_all", "is set and admin.tls is too; remove one")
    if not (admin.tls or admin.plain_for_all or is_loopback(admin.host)):
        return Problem(
            "admin", "host",
            f"{admin.host!r} is reached by others; set admin.tls, or admin.plain_for_all if the network is yours alone",
        )  # fmt: skip
    return None


def _check_keys(settings: Settings) -> Problem | None:
    if settings.keys.file is not None and settings.keys.rotate_days not in {0, ROTATE_DAYS}:
        return Problem("keys", "rotate_days", "is set, but the key in keys.file is yours to rotate; remove one of them")
    if settings.keys.published and settings.keys.file is None:
        return Problem("keys", "published", "is set, but keys.file is not; the store publishes its keys: remove it")
    return None


def _check_resources(settings: Settings) -> Problem | None:
    if not settings.tokens.resources:
        return Problem("tokens", "resources", "is empty; name at least the API that tokens are for")
    odd = [resource for resource in settings.tokens.resources if not _RESOURCE.fullmatch(resource)]
    text = f"has {odd[0]!r}, which is no absolute URI without fragment (RFC 8707 section 2)" if odd else ""
    return Problem("tokens", "resources", text) if odd else None


def _check_opaque(settings: Settings) -> Problem | None:
    unknown = [each for each in settings.tokens.opaque if each not in settings.tokens.resources]
    return Problem("tokens", "opaque", f"has {unknown[0]!r}, which is not in tokens.resources") if unknown else None


def _check_authentication(settings: Settings) -> Problem | None:
    asked = settings.authentication
    if not asked.methods:
        return Problem("authentication", "methods", "is empty, so no client could do anything; name one at least")
    if Method.PRIVATE_KEY_JWT in asked.methods and not asked.assertion_algorithms:
        return Problem("authentication", "assertion_algorithms", "is empty; name one, or remove private_key_jwt")
    return None


def _check_registration(settings: Settings) -> Problem | None:
    return next((Problem("registration", key, text) for key, text in contradictions(settings)), None)


def _check_login(settings: Settings) -> Problem | None:
    """Who says who people are: accounts, or an application that is named with its clients, and nobody beside them."""
    login = settings.login
    if not login.is_on:
        lonely = [key for key in ("clients", "device", "require_pushed", "locales") if getattr(login, key)]
        text = "is set, but nobody can log in; set login.accounts, or login.url, or remove it"
        return Problem("login", lonely[0], text) if lonely else None
    if settings.server.mtls_url is None:
        return Problem(
            "login", "accounts" if login.accounts else "url",
            "is set but server.mtls_url is not, so browsers would be asked for certificates; give mutual TLS a host or "
            "port of its own",
        )  # fmt: skip
    if login.url is None:
        text = "is set but login.url is not; an application that logs people in has an address"
        return Problem("login", "clients", text) if login.clients else None
    return _check_login_application(settings)


def _check_login_application(settings: Settings) -> Problem | None:
    login, url = settings.login, settings.login.url or ""
    parts = _split(url)
    if parts.scheme != "https" or not parts.hostname or not _FETCHED.fullmatch(url) or "@" in parts.netloc:
        return Problem("login", "url", f"must be an https URL without fragment, not {url!r}")
    if login.accounts:
        return Problem("login", "accounts", "is set and login.url is too, but one says who people are; remove one")
    if not login.clients:
        return Problem("login", "url", "is set but login.clients is not; name the client that speaks for it")
    if not any(method.is_mutual_tls for method in settings.authentication.methods):
        return Problem(
            "login", "clients", "authenticate by certificates, but authentication.methods has no such method"
        )
    return None


def _check_scopes(settings: Settings) -> Problem | None:
    odd = [scope for scope in settings.tokens.scopes if not _is_one_word(scope)]
    return Problem("tokens", "scopes", f"has {odd[0]!r}, which is not one scope word") if odd else None


def _is_one_word(scope: str) -> bool:
    try:
        return len(parse_scope(scope)) == 1
    except InvalidScope:
        return False


def _check_url(key: str, text: str) -> Problem | None:
    parts = _split(text)
    if parts.scheme != "https" or not parts.hostname or not _URL.fullmatch(text) or "@" in parts.netloc:
        return Problem("server", key, f"must be an https URL without query and fragment, not {text!r}")
    return Problem("server", key, f"must not end in a slash: {text!r}") if text.endswith("/") else None


class _Place(NamedTuple):
    """Where a URL leads, however it is spelled."""

    scheme: str
    host: str
    port: int
    path: str


def _place(url: str) -> _Place:
    """The same for two URLs that differ in capitals, in a port that goes without saying, or in a last dot or slash."""
    parts = _split(url)
    port = 443 if parts.port is None else parts.port
    return _Place(parts.scheme, (parts.hostname or "").removesuffix("."), port, parts.path.rstrip("/"))


def _split(url: str) -> SplitResult:
    """The parts of `url`, empty if it has none."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  it is read here, and may raise
    except ValueError:
        return SplitResult("", "", "", "", "")
    return parts


_URL = re.compile(r"[!\x24-\x3E\x40-\x5B\x5D-\x7E]+")
"""ASCII without space, and without `"`, `#`, `?` and `\\`."""
_FETCHED = re.compile(r"[!\x24-\x5B\x5D-\x7E]+")
_RESOURCE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!\x24-\x7E]+")
_PASSWORD_IN_QUERY = re.compile(r"(^|&)[^=&]*(password|passwd)=", re.IGNORECASE)
_ODD_USER = re.compile(r":.*:|[/@]", re.DOTALL)
_IN_MEMORY = re.compile(r"sqlite(\+aiosqlite)?:(//)?(/(:memory:)?)?(\?.*)?", re.DOTALL)

_CHECKS: tuple[Callable[[Settings], Problem | None], ...] = (
    _check_issuer,
    _check_proxy,
    _check_mtls_alone,
    _check_mtls_url,
    _check_mtls_place,
    _check_mtls_files,
    _check_store,
    _check_store_password,
    _check_trust,
    _check_limits,
    _check_revocation,
    _check_revocation_places,
    _check_admin,
    _check_keys,
    _check_resources,
    _check_scopes,
    _check_opaque,
    _check_authentication,
    _check_registration,
    _check_login,
)
