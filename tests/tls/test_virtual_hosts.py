"""Mutual TLS by server name and by port, and what is refused at the start."""

import pytest
from cryptography import x509
from OpenSSL import SSL

from certbound.core.certificate import thumbprint
from certbound.core.errors import ConfigurationError
from certbound.tls import Limits, Port, VirtualHost, connection_facts
from tls.wire import CLIENT, ROOT, Client, Recorder, Server, client_context, files, one_port, virtual_host

THUMBPRINT = thumbprint(CLIENT.der)


@pytest.fixture
def plain():
    return Recorder()


@pytest.fixture
def mutual():
    return Recorder()


@pytest.fixture(params=["plain first", "mutual first"])
def server(tmp_path, plain, mutual, request):
    hosts = [
        virtual_host(tmp_path, plain, "plain.example", "127.0.0.1", asks=False),
        virtual_host(tmp_path, mutual, "mtls.example", "*.wild.example", "127.0.0.2"),
    ]
    hosts = hosts if request.param == "plain first" else hosts[::-1]
    with Server(one_port(*hosts)) as running:
        yield running


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
@pytest.mark.parametrize("name", ["mtls.example", "MTLS.Example", "any.wild.example"])
def test_the_mutual_tls_name_asks(server, mutual, plain, name, version):
    """The server name chooses certificate, policy and application together, whatever its case."""
    with Client(server.address, sni=name, certificate=CLIENT, version=version) as client:
        assert client.shake().ask(host=name).json["thumbprint"] == THUMBPRINT
        assert "mtls.example" in names_of(client)
    assert len(mutual.scopes) == 1
    assert not plain.scopes


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_the_conventional_name_does_not_ask(server, mutual, plain, version):
    """There no certificate is asked for, sent, or handed on."""
    sent = []
    context = counting_context(sent, version)
    with Client(server.address, sni="mtls.example", context=context) as client:
        client.shake()
    assert "CLIENT_CERTIFICATE" in sent  # so it would show
    mutual.scopes.clear()
    sent.clear()
    with Client(server.address, sni="plain.example", context=context) as client:
        assert client.shake().ask(host="plain.example").json["thumbprint"] is None
        assert "plain.example" in names_of(client)
    assert connection_facts(plain.scopes[0]).asks_for_certificate is False
    assert not mutual.scopes
    assert "CLIENT_CERTIFICATE" not in sent


def test_a_host_of_the_other_virtual_host_is_misdirected(server, mutual, plain):
    """A connection to one virtual host carries no request for another: 421, in both directions."""
    for sni, host in (("plain.example", "mtls.example"), ("mtls.example", "plain.example")):
        with Client(server.address, sni=sni, certificate=CLIENT) as client:
            assert client.shake().ask(host=host).status == 421
            assert client.is_closed()
    assert not mutual.scopes
    assert not plain.scopes


@pytest.mark.parametrize(
    "sni", ["other.example", "a.b.wild.example", "wild.example", b"\xff\xfe", "plain.example.", "x" * 255]
)
def test_an_unknown_server_name_is_served_nothing(server, mutual, plain, sni):
    """The handshake is made with the first virtual host, or refused; every request on it is misdirected."""
    for host in ("plain.example", "mtls.example", "other.example"):
        with Client(server.address, sni=sni, certificate=CLIENT) as client:
            try:
                client.shake()
            except (SSL.Error, ConnectionError):
                continue
            assert client.ask(host=host).status == 421
    assert not mutual.scopes
    assert not plain.scopes


def test_without_a_server_name_the_first_virtual_host_answers(tmp_path, plain, mutual):
    """A client that connects by address gets the first virtual host and its policy."""
    hosts = [virtual_host(tmp_path, mutual, "mtls.example", "127.0.0.2"),
             virtual_host(tmp_path, plain, "plain.example", "127.0.0.1", asks=False)]  # fmt: skip
    for first, expected in ((0, THUMBPRINT), (1, None)):
        order = hosts if first == 0 else hosts[::-1]
        own, other = ("127.0.0.2", "127.0.0.1") if first == 0 else ("127.0.0.1", "127.0.0.2")
        with Server(one_port(*order)) as server, Client(server.address, sni=None, certificate=CLIENT) as client:
            assert client.shake().ask(host=own).json["thumbprint"] == expected
            assert client.ask(host=other).status == 421


def test_mutual_tls_by_port(tmp_path, plain, mutual):
    """Two ports, one asks and one does not."""
    conventional = one_port(virtual_host(tmp_path, plain, "plain.example", asks=False))
    with Server(conventional, one_port(virtual_host(tmp_path, mutual, "mtls.example"))) as server:
        first, second = server.running.addresses
        with Client(first, sni="plain.example", certificate=CLIENT) as client:
            assert client.shake().ask(host="plain.example").json["thumbprint"] is None
        with Client(second, sni="mtls.example", certificate=CLIENT) as client:
            assert client.shake().ask(host="mtls.example").json["thumbprint"] == THUMBPRINT


def test_one_application_on_two_ports_starts_once(tmp_path):
    """The lifespan of an application runs once, and its state reaches every request."""
    started = []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            started.append("start")
            scope["state"]["pool"] = "a pool"
            await send({"type": "lifespan.startup.complete"})
            await receive()
            started.append("stop")
            await send({"type": "lifespan.shutdown.complete"})
        else:
            body = scope["state"]["pool"].encode()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6")]})
            await send({"type": "http.response.body", "body": body})

    host = virtual_host(tmp_path, app)
    with Server(one_port(host), one_port(host)) as server:
        for address in server.running.addresses:
            with Client(address) as client:
                assert client.shake().ask().body == b"a pool"
    assert started == ["start", "stop"]


# --- the start


def refusal(*ports):
    with pytest.raises(ConfigurationError) as caught, Server(*ports):
        pass
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_missing_file_stops_the_start(tmp_path, plain):
    """The sentence names the file."""
    host = virtual_host(tmp_path, plain)
    certificate, key = host.certificate, host.key
    assert "nothere.crt" in refusal(one_port(VirtualHost(certificate=tmp_path / "nothere.crt", key=key, app=plain)))
    assert "nothere.key" in refusal(
        one_port(VirtualHost(certificate=certificate, key=tmp_path / "nothere.key", app=plain))
    )


def test_unusable_files_stop_the_start(tmp_path, plain):
    """Not PEM, another's key, no names, an encrypted key: one sentence each, naming the file."""
    good = virtual_host(tmp_path, plain)
    _, other = files(tmp_path, ROOT.issue("CN=other", usage="server", dns=["o"]), "other")
    nameless = files(tmp_path, ROOT.issue("CN=nameless", usage="server"), "nameless")
    junk = tmp_path / "junk"
    junk.write_bytes(b"\x00junk")
    for certificate, key, word in (
        (junk, good.key, "junk"),
        (good.certificate, junk, "junk"),
        (good.certificate, other, "does not belong"),
        (*nameless, "nameless.crt names no host"),
    ):
        assert word in refusal(one_port(VirtualHost(certificate=certificate, key=key, app=plain)))


def test_names_that_are_none_stop_the_start(tmp_path, plain):
    """A configured name must be a host name or an address; no name may be served twice on a port."""
    host = virtual_host(tmp_path, plain)
    for name in ("bücher.example", "a b", "https://x", ""):
        bad = VirtualHost(certificate=host.certificate, key=host.key, app=plain, names=frozenset({name}))
        assert "host name" in refusal(one_port(bad))
    assert "two virtual hosts" in refusal(one_port(host, host))
    assert "no virtual host" in refusal(one_port())


def test_a_port_in_use_stops_the_start(tmp_path, plain):
    """The sentence names host and port."""
    host = virtual_host(tmp_path, plain)
    with Server(one_port(host)) as server:
        taken = Port(host="127.0.0.1", port=server.address[1], virtual_hosts=(host,))
        assert f"127.0.0.1:{server.address[1]}" in refusal(taken)
        assert f"127.0.0.1:{server.address[1]}" in refusal(one_port(host), taken)
    assert "nowhere.invalid" in refusal(Port(host="nowhere.invalid", port=0, virtual_hosts=(host,)))


def test_an_application_that_refuses_to_start_stops_the_start(tmp_path):
    """lifespan.startup.failed ends the start, and the port is free again."""

    async def refusing(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    assert "refused to start" in refusal(one_port(virtual_host(tmp_path, refusing)))


def test_explicit_names_replace_those_of_the_certificate(tmp_path, plain):
    """What is configured is served, the certificate's names are not."""
    host = virtual_host(tmp_path, plain)
    named = VirtualHost(certificate=host.certificate, key=host.key, app=plain, names=frozenset({"AS.example", "::1"}))
    with Server(one_port(named, limits=Limits())) as server, Client(server.address, sni="as.EXAMPLE") as client:
        client.shake()
        assert client.ask(host="as.example:1").status == 200
        assert client.ask(host="[::1]").status == 200
        assert client.ask(host="localhost").status == 421


def test_an_ml_dsa_server_certificate(tmp_path, plain):
    """A server may prove itself with a post-quantum key."""
    certificate, key = files(tmp_path, ROOT.issue("CN=pq", dns=["localhost"], usage="server", key="ML-DSA-65"))
    host = VirtualHost(certificate=certificate, key=key, app=plain)
    with Server(one_port(host)) as server, Client(server.address) as client:
        assert client.shake().ask().status == 200


def names_of(client):
    certificate = client.tls.get_peer_certificate(as_cryptography=True)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.DNSName)


def counting_context(sent, version):
    """A client context that would send a certificate, and notes when it is asked to."""
    context = client_context(CLIENT, version=version)
    context.set_info_callback(lambda conn, where, code: sent.append(state_of(conn)))
    return context


def state_of(connection):
    text = connection.get_state_string().decode()
    return "CLIENT_CERTIFICATE" if "write client certificate" in text else text
