"""Which endpoint a path leads to, on which host.

Rule 1: paths are compared raw; nothing of the request's Host reaches an answer.
Rule 2: the mutual-TLS host serves what clients call directly and has no CORS; the conventional one has CORS, since
browser clients redeem there (RFC 8705 section 5).
Rule 3: pages stand on the issuer's own host, for people who are sent there, and no other site's script reads them.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from certbound.core.metadata import (
    AUTHORIZATION,
    DEVICE,
    END_SESSION,
    INTROSPECTION,
    PAGES,
    PUSHED,
    REGISTRATION,
    REVOCATION,
    STATUS_LIST,
    STATUS_LISTS,
    TOKEN,
    USERINFO,
    Offer,
)
from certbound.core.well_known import discovery_paths, well_known
from certbound.server import account, device, documents, interactions, login_application, registration, status
from certbound.server.authorization import INTERACTION, authorize, authorize_by_post
from certbound.server.call import Call, Reply
from certbound.server.introspection import introspect
from certbound.server.logout import logout, posted_logout
from certbound.server.pushed import push
from certbound.server.service import Service
from certbound.server.token import token
from certbound.server.token_revocation import revoke
from certbound.server.userinfo import userinfo

Endpoint = Callable[[Call, Service], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Route:
    """One path and its endpoints by HTTP method."""

    methods: Mapping[str, Endpoint]
    name: str = ""
    """The endpoint, for numbers and audit."""
    takes_form: bool = True
    """What is posted is a form; else the endpoint reads the body itself."""
    takes_body: bool = True
    """What is posted is read; else it is left unread, and may be of any type."""
    takes_rest: bool = False
    """One more segment follows its path, which ends in a slash."""
    repeats: bool = False
    """Parameters may stand several times, and the endpoint refuses that itself: its errors go to a client."""
    cors: bool = False
    is_page: bool = False
    """People visit it: it takes parameters in its URL, knows the browser, and refuses with a page."""
    scheme: str = "Basic"
    """The scheme that its Authorization header takes."""

    @property
    def allow(self) -> str:
        """The value of the header Allow."""
        return ", ".join(self.methods)


class Routes:
    """The routes of one host."""

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self._exact = {path.encode("ascii"): route for path, route in routes.items() if not route.takes_rest}
        self._open = {path.rstrip("/").encode("ascii"): route for path, route in routes.items() if route.takes_rest}

    def find(self, raw_path: bytes) -> tuple[Route | None, str]:
        """The route of this path, and what follows it."""
        route = self._exact.get(raw_path)
        if route is not None or not self._open:
            return route, ""
        parent, _, rest = raw_path.rpartition(b"/")
        return (self._open.get(parent), rest.decode("latin-1")) if rest else (None, "")


def make_routes(offer: Offer) -> tuple[Routes, Routes]:
    """What the conventional host serves, and what the mutual-TLS host does."""
    conventional, mtls = route_tables(offer)
    return Routes(conventional), Routes(mtls)


def route_tables(offer: Offer) -> tuple[Mapping[str, Route], Mapping[str, Route]]:
    """The same by path.

    Without a host of its own, mutual TLS is on the issuer's, which then serves everything, without CORS.
    """
    cors = offer.mtls_base is not None
    base = _path(offer.issuer)
    everything = {
        **{path: Route({"GET": documents.metadata}, "metadata", cors=cors) for path in _metadata_paths(offer)},
        base + "/jwks": Route({"GET": documents.jwks}, "jwks", cors=cors),
        base + STATUS_LIST: Route({"GET": status.status_list}, "status_list", cors=cors),
        base + STATUS_LISTS: Route({"GET": status.status_lists}, "status_lists", cors=cors),
        "/healthz": Route({"GET": documents.health}, "health", cors=cors),
        **_direct(offer, base, cors=cors),
        **_pages(offer, base),
    }
    if offer.mtls_base is None:
        return {}, everything
    direct = _direct(offer, _path(offer.mtls_base), cors=False)
    return everything, {**direct, "/healthz": Route({"GET": documents.health}, "health")}


def _direct(offer: Offer, base: str, *, cors: bool) -> dict[str, Route]:
    direct = {
        base + endpoint.path: Route(
            {"POST": _POSTED[name]}, name.removesuffix("_endpoint"), cors=cors and endpoint.browsers
        )
        for name, endpoint in offer.direct.items()
        if name in _POSTED
    }
    if USERINFO in offer.direct:
        endpoint = offer.direct[USERINFO]
        direct[base + endpoint.path] = Route(
            {"GET": userinfo, "POST": userinfo},
            "userinfo",
            takes_body=False,
            cors=cors and endpoint.browsers,
            scheme="Bearer",
        )
    if offer.login_application:
        direct[base + login_application.INTERACTIONS] = Route(
            {"GET": login_application.show, "POST": login_application.decide},
            "login_application",
            takes_form=False,
            takes_rest=True,
        )
    if REGISTRATION in offer.direct:
        path = base + offer.direct[REGISTRATION].path
        direct[path] = Route({"POST": registration.register}, "registration", takes_form=False, scheme="Bearer")
        direct[path + "/"] = Route(
            {"GET": registration.read, "PUT": registration.put, "DELETE": registration.remove},
            "registration",
            takes_form=False,
            takes_rest=True,
            scheme="Bearer",
        )
    return direct


def _pages(offer: Offer, base: str) -> dict[str, Route]:
    """Where people go."""
    if not offer.authorizes:
        return {}
    pages = {
        PAGES[AUTHORIZATION]: Route(
            {"GET": authorize, "POST": authorize_by_post}, "authorization", is_page=True, repeats=True
        ),
        INTERACTION: Route(
            {"GET": interactions.show, "POST": interactions.submit}, "interaction", takes_rest=True, is_page=True
        ),
        account.PAGE: Route({"GET": account.account, "POST": account.account}, "account", is_page=True),
    }
    if DEVICE in offer.endpoints:
        pages[device.PAGE] = Route({"GET": device.device_page, "POST": device.device_page}, "device", is_page=True)
    if offer.openid:
        pages[PAGES[END_SESSION]] = Route({"GET": logout, "POST": posted_logout}, "logout", is_page=True)
    return {base + path: route for path, route in pages.items()}


def _metadata_paths(offer: Offer) -> tuple[str, ...]:
    return (well_known(offer.issuer), *(discovery_paths(offer.issuer) if offer.authorizes and offer.openid else ()))


def _path(url: str) -> str:
    return "/" + url.split("/", 3)[3] if url.count("/") > 2 else ""


_POSTED: Mapping[str, Endpoint] = {
    TOKEN: token,
    INTROSPECTION: introspect,
    REVOCATION: revoke,
    PUSHED: push,
    DEVICE: device.device_authorization,
}
