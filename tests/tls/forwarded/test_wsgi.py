"""certbound.tls.forwarded.wsgi: the same for WSGI, where nobody can look at the headers as they came."""

import json
import logging
from typing import Any

import pytest

from certbound.core.certificate import PeerCertificate
from certbound.core.errors import ConfigurationError
from certbound.testing.forwarded import forwarded_headers
from certbound.tls.facts import environ_facts
from certbound.tls.forwarded import CONTRACTS
from certbound.tls.forwarded.wsgi import ForwardedCertificates
from certbound.trust.authority import Authority, self_signed
from certificates import peer, read

SECRET = "s" * 40
ROOT = Authority.create("Root")
CLIENT, VICTIM = ROOT.issue("CN=client"), self_signed("CN=victim")
BASE = {"REQUEST_METHOD": "GET", "PATH_INFO": "/a", "REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "a.example"}


def environ_of(headers: dict[str, str], **more: str) -> dict[str, Any]:
    return BASE | {"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()} | more


def through(environ: dict[str, Any], contract: str = "nginx", **declared: Any) -> tuple[Any, str]:
    """The environ behind it, None if the request was refused; and what was answered."""
    seen: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        seen.append(environ)
        start_response("204 No Content", [])
        return []

    said: list[str] = []
    options = {"secrets": [SECRET], "networks": ["127.0.0.1"], **declared}
    guarded = ForwardedCertificates(app, contract=contract, **options)
    body = b"".join(guarded(environ, lambda status, headers: said.append(status)))
    return (seen[0] if seen else None), said[0] + body.decode()


def certificate_behind(environ: dict[str, Any], contract: str = "nginx", **declared: Any) -> PeerCertificate | None:
    found, said = through(environ, contract, **declared)
    assert found is not None, said
    facts = environ_facts(found)
    assert facts is not None
    return facts.peer_certificate


@pytest.mark.parametrize("contract", CONTRACTS)
def test_the_certificate_stands_in_the_environ(contract: str) -> None:
    """And the keys of the contract are gone; the server's own environ is as it was."""
    headers = forwarded_headers(contract, CLIENT.der) | {"certbound-proxy-secret": SECRET}
    environ = environ_of(headers)
    found, _ = through(environ, contract)
    facts = environ_facts(found)
    assert facts is not None
    assert (facts.peer_certificate, facts.forwarded_by) == (peer(CLIENT), contract)
    assert set(found) == {*BASE, "certbound.tls"}
    assert environ == environ_of(headers)
    assert certificate_behind(environ_of({}), contract) is None
    assert environ_facts(BASE) is None
    assert environ_facts(BASE | {"certbound.tls": "a string of somebody"}) is None


@pytest.mark.parametrize("contract", CONTRACTS)
def test_what_the_server_joined_is_a_refusal(contract: str) -> None:
    """A header and its underscore twin come as one value with a comma, in either order."""
    honest, forged = forwarded_headers(contract, CLIENT.der), forwarded_headers(contract, VICTIM.der)
    [name] = [each for each in honest if honest[each] != forged[each] and "cert" in each][:1]
    for both in (f"{honest[name]},{forged[name]}", f"{forged[name]},{honest[name]}", f"{forged[name]}, {honest[name]}"):
        found, said = through(environ_of(honest | {name: both, "certbound-proxy-secret": SECRET}), contract)
        assert found is None
        assert said.startswith("400")
        assert json.loads(said[said.index("{") :])["error"] == "invalid_request"


def test_a_chain_may_have_commas() -> None:
    """It is a list, and nobody's identity."""
    headers = forwarded_headers("rfc9440", CLIENT.der, [ROOT.certificate] * 2) | {"certbound-proxy-secret": SECRET}
    assert certificate_behind(environ_of(headers), "rfc9440") == peer(CLIENT, ROOT, ROOT)
    cloud = forwarded_headers("gcp", CLIENT.der, [ROOT.certificate] * 2) | {"certbound-proxy-secret": SECRET}
    assert certificate_behind(environ_of(cloud), "gcp") == peer(CLIENT, ROOT, ROOT)


@pytest.mark.parametrize(
    "wrong", [{}, {"certbound-proxy-secret": "x" * 40}, {"certbound-proxy-secret": f"{SECRET},{SECRET}"}]
)
def test_strangers_lose_the_keys_and_an_event_says_which(
    wrong: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Without the secret, with another, and with a second one beside it."""
    with caplog.at_level(logging.WARNING, "certbound.security"):
        environ = environ_of(forwarded_headers("nginx", VICTIM.der) | wrong)
        found, _ = through(environ | {"HTTP_X_SSL_CLIENT_CERT_": "x"})
    assert set(found) == {*BASE, "certbound.tls"}
    assert environ_facts(found).peer_certificate is None  # type: ignore[union-attr]
    [record] = caplog.records
    assert "x-ssl-client-cert-, x-ssl-client-verify, from 127.0.0.1, to /a" in record.getMessage()
    assert "BEGIN" not in record.getMessage()


def test_another_spelling_is_a_400_from_a_believed_proxy() -> None:
    """As far as it can still be told: a sign at the end."""
    headers = forwarded_headers("nginx", None) | {"certbound-proxy-secret": SECRET}
    assert through(environ_of(headers, HTTP_X_SSL_CLIENT_CERT_="x"))[0] is None


def test_the_address_narrows() -> None:
    """Of a Unix socket gunicorn says the empty string."""
    headers = forwarded_headers("nginx", CLIENT.der) | {"certbound-proxy-secret": SECRET}
    assert certificate_behind(environ_of(headers)) == peer(CLIENT)
    assert certificate_behind(environ_of(headers, REMOTE_ADDR="203.0.113.9")) is None
    assert certificate_behind(environ_of(headers, REMOTE_ADDR="")) is None
    assert certificate_behind(environ_of(headers, REMOTE_ADDR=""), networks=(), unix_socket=True) == peer(CLIENT)


def test_hosts_that_do_not_ask_have_no_certificate() -> None:
    """As for ASGI."""
    headers = forwarded_headers("nginx", CLIENT.der) | {"certbound-proxy-secret": SECRET}
    assert certificate_behind(environ_of(headers, HTTP_HOST="A.example:443"), hosts=["a.example"]) == peer(CLIENT)
    for host in ("b.example", "", "a.example,b.example"):
        assert certificate_behind(environ_of(headers, HTTP_HOST=host), hosts=["a.example"]) is None


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"secrets": ()}, "needs a secret"),
        ({"secrets": (), "without_secret": True}, "needs a secret"),
        ({"without_secret": True}, "needs a secret"),
        ({"certificates": [read(CLIENT)]}, "give its address"),
        ({"networks": ["0.0.0.0/0"]}, "everybody"),
        ({"contract": "any"}, "no contract"),
    ],
)
def test_without_a_secret_it_does_not_start(declared: dict[str, Any], said: str) -> None:
    """And what a WSGI server cannot say is no proof."""
    options = {"contract": "nginx", "secrets": [SECRET], "networks": ["127.0.0.1"], **declared}
    with pytest.raises(ConfigurationError, match=said):
        ForwardedCertificates(lambda environ, start_response: [], **options)


def test_where_a_chain_cannot_be_read_the_start_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """Traefik's commas may come of two headers: the leaf alone passes.  Other contracts have nothing to say."""
    for name in CONTRACTS:
        through({}, name)
    [record] = caplog.records
    assert "the contract traefik is for clients that send their own certificate alone" in record.getMessage()
    proxy = {"certbound-proxy-secret": SECRET}
    alone = forwarded_headers("traefik", CLIENT.der)["x-forwarded-tls-client-cert"]
    issuer = forwarded_headers("traefik", read(ROOT).der)["x-forwarded-tls-client-cert"]
    found = certificate_behind(environ_of({"x-forwarded-tls-client-cert": alone, **proxy}), "traefik")
    assert found == peer(CLIENT)
    for chain in (f"{alone},{issuer}", f"{alone}, {issuer}", f"{alone},{alone}"):
        _, said = through(environ_of({"x-forwarded-tls-client-cert": chain, **proxy}), "traefik")
        assert said.startswith("400")
