"""gRPC behind a real Envoy, with what `certbound proxy-config envoy --grpc` prints."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import grpc
import pytest

from certbound.core.confirmation import confirm
from certbound.resource import FixedKeys, ProtectedResource
from certbound.resource.grpc import Forwarded, Guard, principal
from certbound.testing.forwarded import forwarded_headers
from certbound.trust.authority import Issued
from certificates import NOW, read
from e2e.world import free_port
from issuing import AUDIENCE, ISSUER, KEYS, token
from proxies.frame import HOST, SECRET, Kinds, Proxied, make_kinds, needs, printed, running
from proxies.programs import ENVOY

pytestmark = pytest.mark.proxies


@pytest.fixture(scope="module")
def kinds() -> Kinds:
    return make_kinds()


@pytest.fixture(scope="module")
def envoy(kinds: Kinds, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    """In front of a server that says who calls."""
    needs(*ENVOY.needs)
    folder, port, upstream = tmp_path_factory.mktemp("envoy"), free_port(), free_port()
    issued = kinds.authority.issue("CN=server", dns=[HOST], usage="server")
    (folder / "server.pem").write_bytes(issued.chain_pem)
    (folder / "server.key").write_bytes(issued.key_pem)
    (folder / "proxy.secret").write_text(SECRET + "\n")
    text = printed(
        "envoy", "--for", "api", "--grpc", "--host", HOST, "--listen", f"127.0.0.1:{port}",
        "--upstream", f"127.0.0.1:{upstream}", "--cert", folder / "server.pem", "--key", folder / "server.key",
        "--secret-file", folder / "proxy.secret",
    )  # fmt: skip
    api = ProtectedResource(AUDIENCE, issuer=ISSUER, keys=FixedKeys(KEYS), clock=lambda: NOW)
    guard = Guard(api, forwarded=Forwarded("envoy", networks=["127.0.0.1"], secrets=[SECRET]))
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool, interceptors=[guard])
        method = grpc.unary_unary_rpc_method_handler(lambda _, __: principal().client_id.encode())
        stream = grpc.stream_stream_rpc_method_handler(lambda sent, _: (each.upper() for each in sent))
        methods = {"Read": method, "Talk": stream}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bank.Accounts", methods),))
        assert upstream == server.add_insecure_port(f"127.0.0.1:{upstream}")
        server.start()
        with running(ENVOY, text, port, folder, kinds) as proxied:
            yield proxied
        server.stop(None).wait()


def call(envoy: Proxied, kinds: Kinds, identity: Issued | None, held: str, *more: tuple[str, str]) -> grpc.StatusCode:
    """What a client with this certificate gets; UNKNOWN for what is no refusal of ours."""
    key, chain = (identity.key_pem, identity.chain_pem) if identity else (None, None)
    credentials = grpc.ssl_channel_credentials(kinds.authority.certificate_pem, key, chain)
    options = [("grpc.ssl_target_name_override", HOST)]
    with grpc.secure_channel(f"127.0.0.1:{envoy.port}", credentials, options) as channel:
        metadata = [("authorization", f"Bearer {held}"), *more]
        try:
            answer = channel.unary_unary("/bank.Accounts/Read")(b"", metadata=metadata, timeout=10)
        except grpc.RpcError as error:
            return error.code() if "www-authenticate" in dict(error.trailing_metadata()) else grpc.StatusCode.UNKNOWN
        assert b"a" == answer
        return grpc.StatusCode.OK


@pytest.mark.parametrize("kind", ["CA-signed", "self-signed", "expired", "unknown CA"])
def test_any_certificate_is_its_owners(envoy: Proxied, kinds: Kinds, kind: str) -> None:
    """Also those that gRPC by itself would not let in; a thief's is none."""
    owner, thief = kinds[kind], kinds["self-signed" if kind == "CA-signed" else "CA-signed"]
    assert owner is not None
    held = token(cnf=confirm(read(owner)))

    assert grpc.StatusCode.OK is call(envoy, kinds, owner, held)
    assert grpc.StatusCode.UNAUTHENTICATED is call(envoy, kinds, thief, held)
    assert grpc.StatusCode.UNAUTHENTICATED is call(envoy, kinds, None, held)


def test_a_stream_goes_both_ways_while_it_lasts(envoy: Proxied, kinds: Kinds) -> None:
    """Each message is answered before the next one is sent: Envoy holds nothing back, on either side."""
    owner = kinds["CA-signed"]
    assert owner is not None
    credentials = grpc.ssl_channel_credentials(kinds.authority.certificate_pem, owner.key_pem, owner.chain_pem)
    options = [("grpc.ssl_target_name_override", HOST)]
    sending: SimpleQueue[bytes | None] = SimpleQueue()
    with grpc.secure_channel(f"127.0.0.1:{envoy.port}", credentials, options) as channel:
        metadata = [("authorization", f"Bearer {token(cnf=confirm(read(owner)))}")]
        answers = channel.stream_stream("/bank.Accounts/Talk")(iter(sending.get, None), metadata=metadata, timeout=10)
        for message in (b"a", b"b", b"c"):
            sending.put(message)
            assert message.upper() == next(answers)
        sending.put(None)
        assert [] == list(answers)


def test_what_a_client_says_of_itself_does_not_get_through(envoy: Proxied, kinds: Kinds) -> None:
    """Envoy replaces it."""
    owner = kinds["CA-signed"]
    assert owner is not None
    forged = [*forwarded_headers("envoy", owner.certificate).items(), ("certbound-proxy-secret", SECRET)]
    held = token(cnf=confirm(read(owner)))

    assert grpc.StatusCode.UNAUTHENTICATED is call(envoy, kinds, None, held, *forged)
    assert grpc.StatusCode.UNAUTHENTICATED is call(envoy, kinds, kinds["self-signed"], held, *forged)
