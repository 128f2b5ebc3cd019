"""Two hosts of one certificate: a browser may send requests for the other on the connection that it has (RFC 9113
section 9.1.1), and then nobody was asked for a certificate, or somebody else's policy was.

Each proxy runs as `proxy-config` prints it for the authorization server, whose certificate is for both of its hosts.
"""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ResponseReceived, StreamEnded, StreamReset

from certbound.trust.authority import Issued
from proxies.frame import HOST, ISSUER_HOST, PATIENCE, Kinds, Observer, Program, Proxied, behind, served, wrapped
from proxies.programs import PROGRAMS

pytestmark = pytest.mark.proxies

SPEAK_HTTP2 = {"envoy", "traefik", "caddy"}
"""The others are printed without it: with HTTP/1.1 no client uses a connection for another host."""


@dataclass
class Connection:
    """One connection with HTTP/2, on which several requests are sent."""

    stream: ssl.SSLSocket
    http: H2Connection

    def ask(self, host: str) -> int:
        """The status of a request to `host`; 0 if it was reset."""
        number = self.http.get_next_available_stream_id()
        named = [(":method", "GET"), (":scheme", "https"), (":authority", host), (":path", "/")]
        self.http.send_headers(number, named, end_stream=True)
        status = -1
        while True:
            self.stream.sendall(self.http.data_to_send())
            received = self.stream.recv(65536)
            assert received, "the connection ended"
            for event in self.http.receive_data(received):
                if isinstance(event, ResponseReceived) and event.stream_id == number:
                    status = int(dict(event.headers)[b":status"])
                elif isinstance(event, StreamReset) and event.stream_id == number:
                    return 0
                elif isinstance(event, StreamEnded) and event.stream_id == number:
                    return status


@contextmanager
def connected(proxy: Proxied, identity: Issued | None, name: str) -> Iterator[Connection | None]:
    """A connection whose handshake is for `name`, by a client that prefers HTTP/2; None if the proxy does not."""
    context = proxy.context(identity)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE) as raw,
        context.wrap_socket(raw, server_hostname=name) as stream,
    ):
        if stream.selected_alpn_protocol() != "h2":
            yield None
            return
        http = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        http.initiate_connection()
        yield Connection(stream, http)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda each: each.name)
def test_a_connection_is_for_one_host(program: Program, kinds: Kinds, tmp_path_factory: pytest.TempPathFactory) -> None:
    """421 for the other one, in both directions, so that the client opens a connection of its own; and the application
    hears nothing of it."""
    observer = Observer(program.name)
    folder = tmp_path_factory.mktemp(program.name)
    with (
        served(wrapped(observer, program.name, hosts={HOST})) as port,
        behind(program, f"127.0.0.1:{port}", folder, kinds, purpose="server") as proxy,
    ):
        for name, other in ((HOST, ISSUER_HOST), (ISSUER_HOST, HOST)):
            with connected(proxy, kinds["CA-signed"], name) as connection:
                assert (connection is not None) is (program.name in SPEAK_HTTP2)
                if connection is None:
                    continue
                observer.seen.clear()
                assert 200 == connection.ask(name)
                assert 421 == connection.ask(other), (name, proxy.log)
                assert 200 == connection.ask(name)
                assert 2 == len(observer.seen)
                assert [name == HOST] * 2 == [each["thumbprint"] is not None for each in observer.seen]
