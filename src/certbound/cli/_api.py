"""Which issuer and which resource an API names, and whether it may get a token at all (RFC 9728).

Rule 1: an API that says that it does not enforce binding gets no token, unless the person says so.
Rule 2: a token is asked for under the name that the API has for itself, at an issuer that it names or the person does.
"""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from certbound.cli._caller import Caller, by_certificate, by_login, read_identity
from certbound.cli._caller_options import Given
from certbound.cli._kept_identity import kept_at, logins, the_login
from certbound.client import ApiUnsafe, ClientError, drive, flow, open_client
from certbound.client.flow import Api
from certbound.client.flow.message import is_https
from certbound.core.errors import ConfigurationError


@contextmanager
def calling(
    given: Given, url: str, *, resource: str | None, allow_unbound: bool
) -> Iterator[tuple[httpx.Client, Caller, tuple[str, ...]]]:
    """Connections to the API, who calls, and what tokens are to be for; no token was sent yet.

    `ApiUnsafe` or `ConfigurationError` if none is to be sent.
    """
    parts = urlsplit(url)
    origin = f"https://{parts.netloc}"
    # (1) The API says what it is.
    with _asking(given) as http:
        try:
            api = _describe(http, origin, parts.path, resource)
        except ClientError:
            if not allow_unbound:
                raise
            api = None
    # (2) It looks at certificates.
    if not allow_unbound:
        _require_safe(origin, api)
    # (3) Somebody here has tokens for it.
    caller = _choose(given, origin, api)
    named = resource or (api.resource if api is not None else None)
    with caller.open() as http:
        yield http, caller, () if named is None else (named,)


@contextmanager
def _asking(given: Given) -> Iterator[httpx.Client]:
    """Connections that show a certificate only if it was said which."""
    if given.cert is not None:
        with open_client(read_identity(given.cert, given.key, given.password_file), ca=given.ca) as http:
            yield http
    elif given.issuer is not None:
        with by_login(the_login(given.issuer), ca=given.ca).open() as http:
            yield http
    else:
        known = {each.ca for each in logins()}
        ca = given.ca or (Path(only) if len(known) == 1 and (only := known.pop()) else None)
        with open_client(ca=ca, minimum_tls="1.3") as http:
            yield http


def _describe(http: httpx.Client, origin: str, path: str, resource: str | None) -> Api | None:
    """What the API says of itself: as `resource`, or as its origin, or as the beginning of the path."""
    segments = [each for each in path.split("/") if each][:_DEEPEST]
    names = [resource] if resource else [None, *("/".join((origin, *segments[: n + 1])) for n in range(len(segments)))]
    for each in names:
        if (found := drive(http, flow.describe_api(origin, each))) is not None:
            return found
    return None


def _require_safe(url: str, api: Api | None) -> None:
    if api is not None and not api.enforces_binding:
        raise ApiUnsafe(
            f"{url} does not say that it enforces the binding of tokens to certificates (RFC 9728), so one that was "
            "stolen might be used there; nothing was sent; --allow-unbound-api sends it all the same"
        )


def _choose(given: Given, url: str, api: Api | None) -> Caller:
    """Whoever the options say, at an issuer that the API takes tokens of."""
    issuers = _issuers(api)
    if given.issuer is not None and issuers and given.issuer not in issuers:
        raise ConfigurationError(f"{url} takes tokens of {', '.join(issuers)}, not of {given.issuer}; give that one")
    if given.cert is not None:
        return by_certificate(given.issuer or _the_only(issuers, url), given)
    if given.issuer is not None:
        return by_login(the_login(given.issuer), ca=given.ca)
    # Whoever is logged in somewhere did not say that it is for an API that does not name that place.
    mine = [each for each in issuers if kept_at(each).find_login() is not None]
    if issuers and not mine:
        raise ConfigurationError(
            f"{url} takes tokens of {', '.join(issuers)}; certbound login {shlex.quote(issuers[0])} --client-id ID"
        )
    return by_login(the_login(_the_only(mine, url)), ca=given.ca)


def _the_only(issuers: Sequence[str], url: str) -> str:
    match issuers:
        case [one]:
            return one
        case []:
            raise ConfigurationError(f"{url} does not say whose tokens it takes; give --issuer")
        case _:
            raise ConfigurationError(f"{url} takes tokens of {', '.join(issuers)}; say with --issuer which it shall be")


def _issuers(api: Api | None) -> list[str]:
    said = None if api is None else api.document.get("authorization_servers")
    return [each for each in said if isinstance(each, str) and is_https(each)] if isinstance(said, list) else []


_DEEPEST = 3
"""Segments of a path that may belong to the name of an API."""
