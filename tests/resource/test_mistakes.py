"""What people write wrong when they protect an API, and what they are told, at the start or in the log."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest

from certbound.core.errors import ConfigurationError, InvalidToken
from certbound.core.well_known import Issuer
from certbound.resource import FixedKeys, ProtectedResource, TrustedIssuer
from certbound.resource.fetching import told
from certbound.resource.issuer import IssuerKeys
from certbound.resource.protected import Asked
from certbound.resource.refusal import refuse
from certbound.resource.routes import PathRefused, Routes
from certificates import NOW
from issuing import AUDIENCE, ISSUER, KEYS, PEER, token


def test_several_issuers_as_text_are_told_how_they_are_written() -> None:
    """With the issuer that was written."""
    given: Any = [ISSUER, "https://b.example"]
    with pytest.raises(ConfigurationError, match=rf"TrustedIssuer\('{ISSUER}', …\)"):
        ProtectedResource(AUDIENCE, issuer=given)


@pytest.mark.parametrize(
    "more", [{"require_status": True}, {"issuer_ca": "ca.pem"}, {"algorithms": ("ES256",)}, {"keys": FixedKeys(KEYS)}]
)
def test_what_would_count_for_no_issuer_stops_the_start(more: dict[str, Any]) -> None:
    """`require_status=True` beside a `TrustedIssuer` that does not say so would ask nobody for a status."""
    with pytest.raises(ConfigurationError, match=f"{next(iter(more))}: give it to each TrustedIssuer"):
        ProtectedResource(AUDIENCE, issuer=[TrustedIssuer(ISSUER)], **more)


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_a_ca_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None) -> None:
    """One that is not there, and one that holds no certificate, with the name of the setting."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=f"issuer_ca: {file} cannot be used: .+; give a PEM file"):
        ProtectedResource(AUDIENCE, issuer=ISSUER, issuer_ca=str(file))


@pytest.mark.parametrize(
    ("resource", "issuer", "said"),
    [
        (AUDIENCE, f"{ISSUER}/", f"issued by '{ISSUER}', and trusted here is '{ISSUER}/'"),
        ("https://other.example", ISSUER, f"its audience is '{AUDIENCE}', and this API is 'https://other.example'"),
    ],
)
def test_what_a_token_says_stands_beside_what_is_asked(resource: str, issuer: str, said: str) -> None:
    """A slash too much, or another API, is seen at once."""
    api = ProtectedResource(resource, issuer=issuer, keys=FixedKeys(KEYS), clock=lambda: NOW)
    with pytest.raises(InvalidToken) as refused:
        asyncio.run(api.admit(Asked(authorization=(f"Bearer {token()}".encode(),), peer=PEER)))
    assert refused.value.reason == said


def test_an_issuer_that_is_down_is_said_with_what_to_look_at(caplog: pytest.LogCaptureFixture) -> None:
    """A port where nobody listens; of a certificate that nobody vouches for, the setting."""
    keys = IssuerKeys(Issuer("https://127.0.0.1:1"), httpx.AsyncClient, lambda: 0.0)
    with caplog.at_level(logging.ERROR), pytest.raises(Exception, match="cannot be had"):
        asyncio.run(keys.keys("any"))
    assert "does it run, and can it be reached from here?" in caplog.text
    assert "issuer_ca (--issuer-ca)" in told(httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"))


@pytest.mark.parametrize("path", ["/accounts/*", "/accounts/**", "/*/accounts", "GET /*"])
def test_a_star_in_a_route_is_refused(path: str) -> None:
    """It would stand for itself, and the route for nothing that anybody asks for."""
    with pytest.raises(ConfigurationError, match="a route is for all below it"):
        Routes({path: {"read"}})


def test_a_path_that_is_closed_is_not_logged_as_a_missing_token(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        refuse(PathRefused("the path is below no route: '/other'"))
    assert "refused: forbidden: the path is below no route" in caplog.text
