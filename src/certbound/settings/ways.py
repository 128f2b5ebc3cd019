"""What makes no sense in the table [registration]: the key, and what is wrong with it."""

from collections.abc import Iterable, Iterator

from certbound.core.client_authorization import ANY_HOST
from certbound.core.errors import InvalidClientMetadata
from certbound.core.grants import GRANT_TYPES, authorization_code, device_code
from certbound.core.members import url
from certbound.core.redirects import is_host
from certbound.core.registration import Need
from certbound.settings.registration import Registration, RegistrationWay
from certbound.settings.tables import Settings


def contradictions(settings: Settings) -> Iterator[tuple[str, str]]:
    """Each problem by its key; the text continues a sentence that begins with the key."""
    asked = settings.registration
    for position, way in enumerate(asked.ways):
        for problem in _of_way(way, asked.ways[:position], settings):
            yield "ways", f"[{position}]: {problem}"
    needs = {need for way in asked.ways for need in way.needs}
    yield from _both("anchors", asked.anchors, Need.MUTUAL_TLS, needs)
    yield from _both("statement_issuers", asked.statement_issuers, Need.SOFTWARE_STATEMENT, needs)
    yield from (("statement_issuers", problem) for problem in _of_issuers(asked))


def grant_types_of(settings: Settings) -> frozenset[str]:
    """The grants that are on: where nobody can log in, none that needs a person."""
    login = settings.login
    off = {
        authorization_code.GRANT_TYPE: not login.is_on,
        device_code.GRANT_TYPE: not (login.is_on and login.device),
    }
    return frozenset(each for each in GRANT_TYPES if not off.get(each, False))


def _of_way(way: RegistrationWay, before: Iterable[RegistrationWay], settings: Settings) -> Iterator[str]:
    for other in before:
        if other.name == way.name:
            yield f"the name {way.name!r} is taken; clients are managed by the way they came"
        if set(other.needs) <= set(way.needs):
            yield f"nobody comes here, for {other.name!r} before it needs no more; put it before that"
    for name, wanted, there, where in (
        ("scopes", way.scopes, settings.tokens.scopes, "tokens.scopes"),
        ("methods", way.methods, settings.authentication.methods, "authentication.methods"),
        ("protected_resources", way.protected_resources, settings.tokens.resources, "tokens.resources"),
        ("grant_types", way.grant_types, sorted(grant_types_of(settings)), "what is on here"),
    ):
        if strange := [each for each in wanted if each not in there]:
            yield f"{name} has {str(strange[0])!r}, which is not among {where}: {', '.join(there)}"
    for host in way.redirect_hosts:
        if host != ANY_HOST and not is_host(host.removeprefix(".")):
            yield f"redirect_hosts has {host!r}, which is no host in lower case; a dot before it means those below it"
    if way.own_anchors and not settings.trust.client_anchors:
        yield "own_anchors is set and trust.client_anchors is not; set both or neither"


def _both(key: str, given: object, need: Need, needs: Iterable[Need]) -> Iterator[tuple[str, str]]:
    if given and need not in needs:
        yield key, f"is set and no way needs {need}; name it in one, or remove this"
    if not given and need in needs:
        yield key, f"is missing, and a way needs {need}"


def _of_issuers(asked: Registration) -> Iterator[str]:
    names = [each.issuer for each in asked.statement_issuers]
    for position, each in enumerate(asked.statement_issuers):
        if each.issuer in names[:position]:
            yield f"[{position}]: the issuer has a table already"
        if (each.jwks is None) == (each.jwks_uri is None):
            yield f"[{position}]: needs jwks or jwks_uri, one of them"
        if each.jwks_uri is not None:
            try:
                url({"jwks_uri": each.jwks_uri}, "jwks_uri")
            except InvalidClientMetadata as error:
                yield f"[{position}]: {error.reason}"
