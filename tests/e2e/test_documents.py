"""Metadata, aliases, keys, CORS, and who is asked for a certificate (RFC 8414, RFC 8705 sections 3.3 and 5)."""

import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from certbound.core.errors import ConfigurationError
from certbound.settings import load
from certbound.trust.authority import Issued, self_signed
from e2e.acting import people_world
from e2e.world import World, free_port, world

METADATA = "/.well-known/oauth-authorization-server"


def test_the_metadata_says_what_is_on(deployment: World) -> None:
    """RFC 8414, with the boolean and the aliases of RFC 8705; the issuer is the plain one."""
    document = deployment.ask(deployment.issuer + METADATA, method="GET").json

    assert deployment.issuer == document["issuer"]
    assert document["tls_client_certificate_bound_access_tokens"] is True
    methods = ["private_key_jwt", "self_signed_tls_client_auth", "tls_client_auth"]
    assert methods == document["token_endpoint_auth_methods_supported"]
    grant_types = ["client_credentials", "refresh_token", "urn:ietf:params:oauth:grant-type:token-exchange"]
    assert grant_types == document["grant_types_supported"]
    aliases = {
        name: f"{deployment.mtls}/{path}"
        for name, path in (
            ("token_endpoint", "token"),
            ("introspection_endpoint", "introspect"),
            ("revocation_endpoint", "revoke"),
        )
    }
    assert aliases == document["mtls_endpoint_aliases"]


def test_every_alias_names_another_url_of_an_endpoint_at_top_level(deployment: World) -> None:
    """An alias that equals the plain URL would be none (R22)."""
    document = deployment.ask(deployment.issuer + METADATA, method="GET").json

    for name, url in document["mtls_endpoint_aliases"].items():
        assert name.endswith("_endpoint")
        assert url != document[name]
    assert "authorization_endpoint" not in document["mtls_endpoint_aliases"]


def test_every_endpoint_in_the_metadata_answers(deployment: World, pki: Issued) -> None:
    """Metadata never names what is not there."""
    document = deployment.ask(deployment.issuer + METADATA, method="GET").json

    assert 200 == deployment.ask(document["jwks_uri"], method="GET").status
    for url in (document["token_endpoint"], *document["mtls_endpoint_aliases"].values()):
        assert 400 == deployment.ask(url, pki, form={}).status


def test_every_endpoint_that_clients_call_has_an_alias_that_answers(tmp_path: Path) -> None:
    """With everything on: at both URLs a form that says nothing is refused by the endpoint, and pages have one URL."""
    way = {"name": "open", "needs": [], "methods": ["tls_client_auth"], "scopes": ["read"]}
    with people_world(tmp_path, login__device=True, registration__ways=[way]) as running:
        document = running.ask(running.issuer + METADATA, method="GET").json
        named = {name for name in document if name.endswith("_endpoint")}
        pages = {"authorization_endpoint", "end_session_endpoint", "status_list_aggregation_endpoint"}
        aliases = document["mtls_endpoint_aliases"]
        assert named - pages == aliases.keys()
        assert len(aliases) == 7
        for name, url in aliases.items():
            assert (url, document[name]) == (f"{running.mtls}{_path(url)}", f"{running.issuer}{_path(url)}")
            for each in (url, document[name]):
                assert running.ask(each, self_signed("CN=nobody"), form={}).status in {400, 401}, each
        for name in pages:
            assert running.ask(document[name], method="GET").status in {200, 400}, name
            assert running.ask(running.mtls + _path(document[name]), method="GET").status == 404, name


def _path(url: str) -> str:
    return urlsplit(url).path


def test_the_mutual_tls_host_serves_direct_endpoints_only(deployment: World, pki: Issued) -> None:
    """Metadata and keys are at the issuer's."""
    for path in (METADATA, "/jwks", "/token/", "/TOKEN", "/token;x", "//token", "/%74oken"):
        assert 404 == deployment.ask(deployment.mtls + path, pki, method="GET").status, path


def test_health_answers_on_both_ports(deployment: World) -> None:
    """For probes."""
    for base in (deployment.issuer, deployment.mtls):
        assert {"status": "ok"} == deployment.ask(f"{base}/healthz", method="GET").json


def test_browsers_may_read_the_conventional_token_endpoint(deployment: World) -> None:
    """CORS there, also on errors and preflights (S1)."""
    origin = {"origin": "https://app.example"}
    preflight = deployment.ask(
        f"{deployment.issuer}/token",
        method="OPTIONS",
        headers={**origin, "access-control-request-method": "POST", "access-control-request-headers": "content-type"},
    )
    answer = deployment.ask(f"{deployment.issuer}/token", form={"grant_type": "x"}, headers=origin)

    assert (204, "*") == (preflight.status, preflight.headers["access-control-allow-origin"])
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert "content-type" in preflight.headers["access-control-allow-headers"]
    assert (400, "*") == (answer.status, answer.headers["access-control-allow-origin"])
    assert "access-control-allow-credentials" not in answer.headers


def test_the_mutual_tls_host_has_no_cors(deployment: World, pki: Issued) -> None:
    """No page may make a browser use its owner's certificate."""
    origin = {"origin": "https://app.example"}
    answer = deployment.ask(f"{deployment.mtls}/token", pki, form={"grant_type": "x"}, headers=origin)
    preflight = deployment.ask(f"{deployment.mtls}/token", pki, method="OPTIONS", headers=origin)

    assert "access-control-allow-origin" not in answer.headers
    assert (405, False) == (preflight.status, "access-control-allow-origin" in preflight.headers)


def test_only_the_mutual_tls_port_asks_for_a_certificate(deployment: World) -> None:
    """Seen in the handshake, TLS 1.2, where CertificateRequest is in clear: browsers are never asked (R24, R25)."""
    asked = {}
    for name, base in (("conventional", deployment.issuer), ("mutual TLS", deployment.mtls)):
        asked[name] = 13 in _handshake_messages(int(base.rpartition(":")[2]))

    assert {"conventional": False, "mutual TLS": True} == asked


def _handshake_messages(port: int) -> set[int]:
    """The types in the server's first flight (RFC 5246 section 7.4); 13 is CertificateRequest."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    found: set[int] = set()
    messages = b""
    with socket.create_connection(("127.0.0.1", port)) as raw, raw.makefile("rb") as stream:
        raw.settimeout(10)
        raw.sendall(outgoing.read())
        while 14 not in found:  # ServerHelloDone
            record = stream.read(5)
            assert 22 == record[0]
            messages += stream.read(int.from_bytes(record[3:5], "big"))
            while len(messages) >= 4 and len(messages) >= (end := 4 + int.from_bytes(messages[1:4], "big")):
                found.add(messages[0])
                messages = messages[end:]
    return found


def test_one_mutual_tls_host_without_aliases(tmp_path: Path) -> None:
    """Without `mtls_url` the issuer's own host asks for certificates and the metadata has no aliases (R22)."""
    with world(tmp_path, server__mtls_url=None, server__mtls_port=None) as running:
        identity = self_signed("CN=own")
        running.register_self_signed("own", identity)
        document = running.ask(running.issuer + METADATA, method="GET").json
        answer = running.ask(
            document["token_endpoint"], identity, form={"grant_type": "client_credentials", "client_id": "own"}
        )

    assert "mtls_endpoint_aliases" not in document
    assert 200 == answer.status
    assert "access-control-allow-origin" not in answer.headers


def test_mutual_tls_by_server_name_on_one_port(tmp_path: Path) -> None:
    """Two hosts on one port: SNI chooses, and only the mutual-TLS one asks for a certificate."""
    port = free_port()
    with world(
        tmp_path,
        server__issuer=f"https://localhost:{port}",
        server__port=port,
        server__mtls_url=f"https://mtls.localhost:{port}",
        server__mtls_port=None,
    ) as running:
        identity = self_signed("CN=own")
        running.register_self_signed("own", identity)
        got = {name: _post(running, port, name, identity) for name in ("localhost", "mtls.localhost")}

    assert {"localhost": 401, "mtls.localhost": 200} == got


def _post(running: World, port: int, name: str, identity: Issued) -> int:
    context = running.context(identity)
    context.check_hostname = False
    body = b"grant_type=client_credentials&client_id=own"
    with (
        socket.create_connection(("127.0.0.1", port)) as raw,
        context.wrap_socket(raw, server_hostname=name) as connection,
    ):
        connection.sendall(
            f"POST /token HTTP/1.1\r\nHost: {name}:{port}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        return int(connection.recv(4096).split(b" ")[1])


def test_an_alias_equal_to_the_plain_url_stops_the_start(tmp_path: Path) -> None:
    """One sentence that names the key."""
    file = tmp_path / "certbound.toml"
    file.write_text(
        '[server]\nissuer="https://localhost:1"\nmtls_url="https://localhost:1"\ncertificate="a"\nkey="b"\n'
        '[tokens]\nresources=["https://x"]\n'
    )

    with pytest.raises(ConfigurationError, match=r"server\.mtls_url equals server\.issuer"):
        load(file, {})


def test_the_mutual_tls_port_may_demand_tls_1_3(tmp_path: Path) -> None:
    """TLS 1.3 hides the client certificate (R34); the conventional port keeps 1.2."""
    with world(tmp_path, server__mtls_minimum_tls="1.3") as running:
        identity = self_signed("CN=own")
        running.register_self_signed("own", identity)
        old = ssl.TLSVersion.TLSv1_2
        assert 200 == running.ask(running.issuer + METADATA, method="GET", maximum=old).status
        assert 200 == running.token_request("own", identity).status
        with pytest.raises(ssl.SSLError):
            running.ask(f"{running.mtls}/healthz", identity, method="GET", maximum=old)


def test_the_stricter_version_holds_where_hosts_share_a_port(tmp_path: Path) -> None:
    """`minimum_tls = "1.3"` is not lost when there is no mutual-TLS host of its own (R31)."""
    with (
        world(tmp_path, server__mtls_url=None, server__mtls_port=None, server__minimum_tls="1.3") as running,
        pytest.raises(ssl.SSLError),
    ):
        running.ask(f"{running.issuer}/healthz", method="GET", maximum=ssl.TLSVersion.TLSv1_2)


def test_the_bytes_of_a_handshake_are_a_setting(tmp_path: Path) -> None:
    """`server.handshake_bytes` bounds what a chain may cost; a client whose chain is longer has no connection."""
    identity = self_signed("CN=own")
    long_chain = identity.certificate_pem + b"".join(self_signed(f"CN={n}").certificate_pem for n in range(12))
    with world(tmp_path, server__handshake_bytes=4096) as running:
        running.register_self_signed("own", identity)
        assert 200 == running.token_request("own", identity).status
        with pytest.raises(OSError):
            running.ask(f"{running.mtls}/healthz", identity, method="GET", chain=long_chain)
