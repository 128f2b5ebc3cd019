"""certbound.server.routes: which answers a page of another origin may read, and on which host (RFC 8705 section 5)."""

from dataclasses import replace

import pytest

from certbound.core.clients import Method
from certbound.core.metadata import DIRECT_ENDPOINTS, REGISTRATION, Endpoint, Offer
from certbound.core.scope import Scope
from certbound.core.well_known import Issuer
from certbound.server.routes import route_tables


def offer(mtls_base: str | None = "https://mtls.as.example") -> Offer:
    """One with everything on."""
    return Offer(
        issuer=Issuer("https://as.example"),
        mtls_base=mtls_base,
        scope=Scope(frozenset({"openid", "read"})),
        grant_types=frozenset({"authorization_code"}),
        methods=frozenset(Method),
        can_bind=True,
        endpoints=frozenset(DIRECT_ENDPOINTS),
        authorizes=True,
        openid=True,
        login_application=True,
    )


@pytest.mark.parametrize("name", sorted(DIRECT_ENDPOINTS))
def test_a_row_says_whether_browsers_call_an_endpoint(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing else does: turned round, so is the route.  Registration has no use for it, whatever its row says."""
    row = DIRECT_ENDPOINTS[name]
    for endpoint in (row, replace(row, browsers=not row.browsers)):
        monkeypatch.setitem(DIRECT_ENDPOINTS, name, endpoint)
        conventional, mtls = route_tables(offer())
        assert conventional[endpoint.path].cors == (endpoint.browsers and name != REGISTRATION)
        assert not mtls[endpoint.path].cors


def test_no_page_of_another_origin_reads_ours_nor_what_answers_to_a_certificate() -> None:
    """Not a page, not the mutual-TLS host, and nothing at all where one host is both."""
    conventional, mtls = route_tables(offer())
    assert not any(route.cors for route in conventional.values() if route.is_page)
    assert {"/authorize", "/interaction/", "/account", "/device", "/logout"} == {
        path for path, route in conventional.items() if route.is_page
    }
    assert not any(route.cors or route.is_page for route in mtls.values())
    nothing, both = route_tables(offer(mtls_base=None))
    assert {} == nothing
    assert not any(route.cors for route in both.values())


def test_endpoints_for_servers_alone_are_not_for_browsers() -> None:
    assert {"introspection_endpoint", REGISTRATION} == {
        name for name, endpoint in DIRECT_ENDPOINTS.items() if not endpoint.browsers
    }
    assert Endpoint("/x").browsers is False
