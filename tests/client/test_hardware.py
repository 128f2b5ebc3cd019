"""`certbound.client.hardware`: TLS whose key is elsewhere, by OpenSSL itself; tokens are in tests/clients."""

import asyncio
import contextlib
import ctypes
import gc
import inspect
import socket
import ssl
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from OpenSSL import SSL

from certbound.client import (
    AsyncTransport,
    CertificateBoundAuth,
    ClientError,
    Identity,
    IdentityUnusable,
    open_async_client,
    open_client,
)
from certbound.client.aiohttp import BoundMiddleware, BoundRequest
from certbound.client.hardware import library, provider
from certbound.client.hardware.aside import aside
from certbound.client.hardware.dispatch import TEXT, Param, guarded, take_failure, write_integer, write_text
from certbound.client.hardware.keys import KeyData, match
from certbound.client.hardware.library import open_library
from certbound.client.hardware.presenting import present
from certbound.client.hardware.signer import Scheme, signature_of, signing_key_of
from certbound.client.hardware.uri import TokenUri
from certbound.client.tls import context_for
from certbound.core.signing import sign_jwt
from certbound.testing.deployment import AuthorizationServer, ProtectedApi
from certbound.trust.authority import Authority, Issued, self_signed
from client.served import Served, served
from client.signing import Signs


def refusal() -> str:
    """Why this Python cannot do it, if it cannot: `TestLibrary` and `TestUri` are for those too."""
    try:
        open_library()
    except IdentityUnusable as error:
        return str(error)
    return ""


able = pytest.mark.skipif(bool(refusal()), reason=refusal())

KEYS: dict[str, Any] = {
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "P-384": ec.generate_private_key(ec.SECP384R1()),
    "P-521": ec.generate_private_key(ec.SECP521R1()),
    "RSA": rsa.generate_private_key(65537, 2048),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as running:
        running.answer("/", {"hello": "world"})
        yield running


def elsewhere(private_key: Any = KEYS["P-256"]) -> tuple[Identity, Signs]:
    """An identity whose certificate is here, and whose key is not."""
    signer = Signs(private_key)
    return Identity(self_signed("CN=elsewhere", key=private_key).chain_pem, b"", signer=signer), signer


@able
class TestHandshake:
    @pytest.mark.parametrize("kind", KEYS)
    @pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
    def test_the_server_sees_the_certificate_of_a_key_that_is_elsewhere(
        self, kind: str, version: str, tmp_path: Path
    ) -> None:
        """OpenSSL's other end checks the signature; one is asked for, with a padding that the version allows."""
        issued = self_signed("CN=both", dns=["localhost"], usage="both", key=KEYS[kind])
        signer = Signs(KEYS[kind])
        shown = handshake(issued, signer, tmp_path, getattr(ssl.TLSVersion, version))
        assert shown == issued.der
        [(scheme, _)] = signer.asked
        assert scheme.padding == ("pss" if kind == "RSA" else None)
        if version == "TLSv1_3":
            assert scheme.hash == {"P-384": "SHA384", "P-521": "SHA512", "Ed25519": None}.get(kind, "SHA256")

    def test_a_key_of_another_certificate_is_refused(self) -> None:
        """By OpenSSL as well, not only by `Identity`; and of another kind too."""
        chain = self_signed("CN=one", key=KEYS["P-256"]).certificate
        for other in (ec.generate_private_key(ec.SECP256R1()), KEYS["RSA"], KEYS["P-384"]):
            with pytest.raises(IdentityUnusable, match="the key pkcs11:token=test"):
                present(ssl.create_default_context(), [chain], Signs(other))
        with pytest.raises(IdentityUnusable, match="does not belong"):
            Identity(self_signed("CN=one", key=KEYS["P-256"]).chain_pem, b"", signer=Signs(KEYS["P-384"]))

    def test_a_signature_that_is_none_makes_no_connection(self, server: Served) -> None:
        """Too long for the buffer, empty, or wrong: an error, never a write past the end."""
        identity, signer = elsewhere()
        text: Any = "x" * 64
        for forged in (b"\xff" * 4000, b"", b"\x01" * 63, bytearray(64), text):
            signer.forges = forged  # type: ignore[assignment]
            with (
                open_client(identity, ca=server.ca) as client,
                pytest.raises(IdentityUnusable, match="which is none"),
            ):
                client.get(server.url)
        assert server.asked == []

    @pytest.mark.parametrize("kind", KEYS)
    def test_a_wrong_signature_is_not_sent(self, kind: str, server: Served) -> None:
        """Of RSA it would tell the key; the sentence says whose fault it is.  Assertions are not made of it either."""
        identity, signer = elsewhere(KEYS[kind])
        right = signer.sign(b"x", signing_scheme(kind))
        signer.forges = bytes(len(right) - 1) + b"\x01"
        with open_client(identity, ca=server.ca) as client, pytest.raises(IdentityUnusable, match="does not verify"):
            client.get(server.url)
        signer.forges = right[:-1] + bytes([right[-1] ^ 1])
        with pytest.raises(IdentityUnusable, match="does not verify"):
            signature_of(signer, b"x", signing_scheme(kind))
        signer.forges = right
        assert signature_of(signer, b"x", signing_scheme(kind)) == right
        assert server.asked == []
        if kind not in {"P-384", "P-521"}:
            signer.forges = bytes(len(right))
            with pytest.raises(IdentityUnusable, match="does not verify"):
                sign_jwt({"a": 1}, identity.signing_key(), "JWT")

    def test_nothing_is_left_when_contexts_are_gone(self, tmp_path: Path) -> None:
        """OpenSSL gives back each number that stands for an object of ours."""
        gc.collect()
        before = len(provider._provider().objects)
        issued = self_signed("CN=both", dns=["localhost"], usage="both", key=KEYS["P-256"])
        for _ in range(8):
            handshake(issued, Signs(KEYS["P-256"]), tmp_path, ssl.TLSVersion.TLSv1_3)
        gc.collect()
        assert len(provider._provider().objects) == before

    def test_a_process_that_ends_frees_no_key(self) -> None:
        """OpenSSL would call what is not there any more: the key, and its copy for comparison, are left alone."""
        done = subprocess.run(
            [sys.executable, "-c", ENDING], cwd=Path(__file__).parent.parent, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert (0, "2\n", "") == (done.returncode, done.stdout, done.stderr)

    def test_a_provider_that_was_made_twice_at_once_lives_on(self) -> None:
        """OpenSSL keeps the addresses of both, as when two threads are the first."""
        twin = weakref.ref(provider._provider.__wrapped__())
        gc.collect()
        assert twin() is not None

    def test_a_certificate_that_was_replaced_is_there_until_its_key_goes(self, tmp_path: Path) -> None:
        """Somebody gives the context another: OpenSSL frees its own count of the one of before, and not ours."""
        issued, other = self_signed("CN=x", key=KEYS["P-256"]), self_signed("CN=other")
        (tmp_path / "other.pem").write_bytes(other.key_pem + other.certificate_pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        signer = Signs(KEYS["P-256"])
        present(context, [issued.certificate], signer)
        [key] = [each for each in gc.get_referrers(signer) if isinstance(each, provider.OsslKey)]
        context.load_cert_chain(tmp_path / "other.pem")
        out = ctypes.create_string_buffer(len(issued.der) + 4096)
        written = open_library().call.i2d_X509(
            ctypes.c_void_p(key.certificate), ctypes.byref(ctypes.c_void_p(ctypes.addressof(out)))
        )
        assert out.raw[:written] == issued.der

    def test_others_in_this_process_never_meet_the_provider(self, tmp_path: Path) -> None:
        """A context with a key from a file makes and checks signatures as ever; nothing of ours is made for it."""
        made = next(provider._provider().numbers)
        issued = self_signed("CN=both", dns=["localhost"], usage="both")
        (tmp_path / "both.pem").write_bytes(issued.key_pem + issued.certificate_pem)
        client = ssl.create_default_context(cadata=issued.certificate_pem.decode())
        client.load_cert_chain(tmp_path / "both.pem")
        assert meet(client, issued, tmp_path) == issued.der
        assert next(provider._provider().numbers) == made + 1


@able
class TestCallbacks:
    """What goes wrong where C is above us."""

    def test_no_signal_comes_between(self, server: Served) -> None:
        """Signals are handled in the main thread alone: what OpenSSL asks of a key it asks in another."""
        identity, signer = elsewhere()
        asking = AskedWhere(signer)
        with open_client(Identity(identity.certificate_chain_pem, b"", signer=asking), ca=server.ca) as client:
            asking.threads.clear()
            client.get(server.url)
            assert threading.get_ident() not in {thread for _, thread in signer.asked} | asking.threads
            present(ssl.create_default_context(), identity.certificates(), asking)
        assert asking.threads
        assert threading.get_ident() not in asking.threads

    def test_a_deep_stack_is_no_reason_to_fail(self, server: Served) -> None:
        """`ctypes` would drop the error, and C go on with what lay on its stack."""
        identity, _ = elsewhere()
        with open_client(identity, ca=server.ca) as client:

            def get_at(depth: int) -> Any:
                return get_at(depth - 1) if depth else client.get(server.url)

            for spare in range(120, 400, 20):  # at one of them, the callbacks would be what has no frame left
                with contextlib.suppress(RecursionError):
                    assert get_at(sys.getrecursionlimit() - len(inspect.stack(0)) - spare).status_code == 200

    def test_a_failure_of_before_is_not_taken_for_one_of_now(self) -> None:
        """Of another connection in the same thread, which nobody took."""
        connection = context_for(elsewhere()[0]).connection("localhost")
        assert 0 == guarded(lambda: 1 // 0)()
        connection.bio_write(b"this is no TLS at all")
        with pytest.raises(SSL.Error):
            connection.recv(1)
        assert isinstance(take_failure(), ZeroDivisionError)
        assert take_failure() is None

    def test_what_is_done_aside_returns_raises_and_is_waited_for(self) -> None:
        """In a context like ours; nothing is left of what was raised."""
        assert aside(lambda: 7) == 7
        for error in (StopIteration(7), KeyboardInterrupt(), ZeroDivisionError()):
            with pytest.raises(type(error)) as raised:
                aside(partial(fail, error))
            assert raised.value is error
        ended = threading.Event()
        with pytest.raises(TimeoutError):
            aside(lambda: ended.wait(5), 0.01)
        ended.set()

    def test_nothing_is_written_past_a_parameter(self) -> None:
        """A number or a text that has no room is an error."""
        room = ctypes.create_string_buffer(b"........", 8)
        param = Param(b"group", TEXT, ctypes.addressof(room), 4, 0)
        for write in (partial(write_text, value=b"long"), partial(write_integer, value=1 << 32)):
            with pytest.raises(OverflowError):
                write(param)
        assert room.raw == b"........"
        write_text(param, b"abc")
        assert room.raw == b"abc\0...."
        write_integer(param, 0x01020304)
        assert room.raw == b"\4\3\2\1...."

    def test_an_empty_key_matches_none(self) -> None:
        """Nor does one of another kind."""
        one = KeyData("EC", {"pub": b"x"})
        assert match(one, KeyData("EC", {"pub": b"x"}))
        assert not match(one, KeyData("EC", {"pub": b"y"}))
        assert not match(one, KeyData("ED25519", {"pub": b"x"}))
        assert not match(KeyData("EC"), KeyData("EC"))

    def test_a_number_that_is_not_known_fails(self) -> None:
        """Rule 2: what C says it has is looked up, never believed."""
        ours = provider._provider()
        with pytest.raises(KeyError):
            ours._key(1 << 60)
        with pytest.raises(TypeError):
            ours._signing(next(number for number, what in ours.objects.items() if isinstance(what, KeyData)))


@able
class TestFaces:
    def test_a_card_that_takes_too_long_ends_the_wait_without_a_loop_too(self, server: Served) -> None:
        """The timeout of connecting counts its signature."""
        identity, signer = elsewhere()
        signer.takes = 1.0
        with open_client(identity, ca=server.ca) as client, pytest.raises(httpx.ConnectTimeout):
            client.get(server.url, timeout=0.2)

    def test_no_secret_is_logged(self, server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """`ssl.create_default_context` would, for SSLKEYLOGFILE; and the options are those of `TLSContext`."""
        monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "secrets"))
        identity, _ = elsewhere()
        with open_client(identity, ca=server.ca) as client:
            assert 200 == client.get(server.url).status_code
        assert not (tmp_path / "secrets").exists()
        context = context_for(identity, ca=server.ca, minimum_tls="1.3")._context  # type: ignore[attr-defined]
        wanted = ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
        assert wanted == context.options & (wanted | ssl.OP_IGNORE_UNEXPECTED_EOF)
        assert (ssl.TLSVersion.TLSv1_3, ssl.CERT_REQUIRED, True) == (
            context.minimum_version, context.verify_mode, context.check_hostname,
        )  # fmt: skip
        assert context.security_level >= 2

    @pytest.mark.parametrize("inside", [True, False])
    def test_an_answer_that_is_cut_off_is_no_answer(self, inside: bool, tmp_path: Path) -> None:
        """A body that ends with the connection, which ends without TLS saying so: wherever the key is."""
        identity = elsewhere()[0] if inside else Identity.read(*pair_in_memory())
        with (
            cut_off(tmp_path) as url, open_client(identity, ca=tmp_path / "server.pem") as client,
            pytest.raises(httpx.ReadError),
        ):  # fmt: skip
            client.get(url)

    def test_a_request_goes_over_a_connection_with_that_certificate(self, server: Served) -> None:
        """And the next one over the same, with no signature more."""
        identity, signer = elsewhere()
        with open_client(identity, ca=server.ca) as client:
            assert [client.get(server.url).json() for _ in range(3)] == [{"hello": "world"}] * 3
        assert {who for *_, who in server.asked} == {identity.thumbprint}
        assert len(signer.asked) == 1

    def test_a_body_of_megabytes_comes_and_goes(self, server: Served) -> None:
        """Through memory, record by record."""
        identity, _ = elsewhere()
        server.answers["/"].body = b"x" * 3_000_000  # type: ignore[union-attr]
        with open_client(identity, ca=server.ca) as client:
            assert len(client.post(server.url, content=b"y" * 3_000_000).content) == 3_000_000
        assert len(server.asked[0][1]) == 3_000_000

    def test_whom_we_believe_is_the_same(self, tmp_path: Path) -> None:
        """The CA, the name, the address, the purpose, a CA file that is none: with the sentences of `TLSContext`."""
        authority, identity = Authority.create("servers"), elsewhere()[0]
        cases: list[tuple[Issued, str, str]] = [
            (authority.issue("CN=localhost", usage="server", dns=["a.example"]), "localhost", "is not for localhost"),
            (authority.issue("CN=localhost", usage="server", dns=["*.localhost"]), "localhost", "is not for localhost"),
            (authority.issue("CN=localhost", usage="server", ips=["127.0.0.1"]), "localhost", "is not for localhost"),
            (authority.issue("CN=localhost", usage="server"), "localhost", "is not for localhost"),
            (authority.issue("CN=localhost", usage="server", dns=["127.0.0.1"]), "127.0.0.1", "is not for 127.0.0.1"),
            (authority.issue("CN=s", usage="client", dns=["localhost"]), "localhost", "it is not made for servers"),
            (self_signed("CN=s", usage="server", dns=["localhost"]), "localhost", "it is self-signed"),
        ]  # fmt: skip
        for issued, host, said in cases:
            with served(tmp_path, certificate=issued, name=host) as server:
                server.ca.write_bytes(authority.certificate_pem)
                with open_client(identity, ca=server.ca) as client, pytest.raises(httpx.ConnectError, match=said):
                    client.get(server.url)
                assert server.asked == []
        (tmp_path / "none.pem").write_text("none")
        for file, said in (("none.pem", "holds no PEM"), ("absent.pem", "cannot be read")):
            with pytest.raises(ClientError, match=said):
                open_client(identity, ca=tmp_path / file)

    def test_what_the_signer_says_is_what_the_caller_hears(self, server: Served) -> None:
        """A token that is gone is an identity that cannot be used; once it is back, the next request goes."""
        identity, signer = elsewhere()
        with open_client(identity, ca=server.ca) as client:
            signer.fails = IdentityUnusable("the token is gone")
            with pytest.raises(IdentityUnusable, match="the token is gone"):
                client.get(server.url)
            signer.fails = KeyboardInterrupt()
            with pytest.raises(KeyboardInterrupt):
                client.get(server.url)
            signer.fails = None
            assert 200 == client.get(server.url).status_code

    def test_two_identities_and_many_threads(self, server: Served) -> None:
        """Each connection shows its own certificate."""
        both = [elsewhere()[0], elsewhere(KEYS["RSA"])[0]]

        def ask(number: int) -> bool:
            identity = both[number % 2]
            with open_client(identity, ca=server.ca) as client:
                client.get(f"{server.url}?{number}")
            return True

        with ThreadPoolExecutor(10) as pool:
            assert all(pool.map(ask, range(20)))
        assert {who for *_, who in server.asked} == {each.thumbprint for each in both}

    async def test_a_loop_goes_on_while_a_card_signs(self, server: Served) -> None:
        """Half a second for a signature, and nobody else waits; another thread does it."""
        identity, signer = elsewhere()
        signer.takes = 0.5
        late = await lateness(open_and_get(identity, server))
        assert late < 0.3
        assert signer.asked[0][1] != threading.get_ident()

    async def test_a_card_that_takes_too_long_ends_the_wait(self, server: Served) -> None:
        """The timeout of connecting counts its signature."""
        identity, signer = elsewhere()
        signer.takes = 1.0
        async with open_async_client(identity, ca=server.ca) as client:
            with pytest.raises(httpx.ConnectTimeout):
                await client.get(server.url, timeout=0.2)

    async def test_the_asynchronous_face_hears_the_signer_too(self, server: Served) -> None:
        identity, signer = elsewhere()
        signer.fails = IdentityUnusable("the token is gone")
        async with open_async_client(identity, ca=server.ca) as client:
            with pytest.raises(IdentityUnusable, match="the token is gone"):
                await client.get(server.url)

    async def test_aiohttp_hears_it_at_the_api(
        self, authorization_server: AuthorizationServer, protected_api: Callable[..., ProtectedApi]
    ) -> None:
        """Where the connection is aiohttp's own, and nothing passes but its errors."""
        client = authorization_server.register(authorization_server.certificate(), "me")
        signer = Signs(client.certificate.issued.private_key)
        identity = Identity(client.certificate.issued.chain_pem, b"", signer=signer)
        api = protected_api(hello)
        transport = AsyncTransport(identity, ca=authorization_server.ca)
        auth = CertificateBoundAuth(transport, authorization_server.issuer, "me", resource=api.resource, api=api.url)
        async with aiohttp.ClientSession(
            request_class=BoundRequest, middlewares=[BoundMiddleware(auth, ca=authorization_server.ca)],
            connector=aiohttp.TCPConnector(force_close=True),
        ) as session:  # fmt: skip
            async with session.get(api.url) as response:
                assert 200 == response.status
            signer.fails = IdentityUnusable("the token is gone")
            with pytest.raises(IdentityUnusable, match="the token is gone"):
                await session.get(api.url)
        await transport.aclose()

    def test_the_key_signs_assertions_too(self) -> None:
        """`private_key_jwt`, by the algorithm that fits, or the one that is named."""
        for kind, alg in (("P-256", "ES256"), ("RSA", "PS256"), ("Ed25519", "EdDSA")):
            key = elsewhere(KEYS[kind])[0].signing_key()
            assert alg == key.alg
            assert sign_jwt({"a": 1}, key, "JWT").count(".") == 2
        assert "RS256" == signing_key_of(Signs(KEYS["RSA"]), "RS256").alg
        with pytest.raises(IdentityUnusable, match="cannot sign by ES256"):
            signing_key_of(Signs(KEYS["RSA"]), "ES256")

    def test_the_key_itself_is_not_to_be_had(self) -> None:
        """And a repr shows none of it."""
        identity, _ = elsewhere()
        with pytest.raises(IdentityUnusable, match="stays in its token"):
            identity.private_key()
        assert "PRIVATE" not in repr(identity)


class TestUri:
    def test_what_a_uri_says(self) -> None:
        """RFC 7512 section 2.3, percent-encoded; what is shown is what names the object, without the query."""
        found = TokenUri.read(
            "pkcs11:token=My%20card;id=%01%FF;object=client;type=private;slot-id=7"
            "?module-path=/usr/lib/x.so&pin-value=12%26 34&pin-source=file:/run/pin"
        )
        assert found == TokenUri(
            token="My card", id=b"\x01\xff", object="client", slot_id=7, module_path=Path("/usr/lib/x.so"),
            pin_value="12& 34", pin_source=Path("/run/pin"),
        )  # fmt: skip
        assert str(found) == "pkcs11:token=My card;slot-id=7;object=client;id=%01%FF"
        assert "34" not in f"{found!r}{found}"

    @pytest.mark.parametrize(
        "text",
        [
            "file:/key", "pkcs11:colour=red", "pkcs11:token=a;token=b", "pkcs11:token", "pkcs11:slot-id=x",
            "pkcs11:token=a?pin-source=|cat /pin", "pkcs11:token=a?module-path=x.so", "pkcs11:token=%FF",
            "pkcs11:library-version=3", "pkcs11:type=data", "pkcs11:token=a?pin-value=s3cr3t&module-name=p11",
        ],
    )  # fmt: skip
    def test_what_is_not_understood_is_refused(self, text: str) -> None:
        """Nothing is skipped, nothing is run, and no PIN is in the sentence."""
        with pytest.raises(IdentityUnusable) as refused:
            TokenUri.read(text)
        assert "s3cr3t" not in str(refused.value)


class TestLibrary:
    @pytest.fixture(autouse=True)
    def _anew(self) -> Iterator[None]:
        yield
        open_library.cache_clear()

    @pytest.mark.parametrize(
        ("module", "name", "value", "said"),
        [
            (library.platform, "python_implementation", lambda: "PyPy", "not CPython"),
            (library.sys, "_is_gil_enabled", lambda: False, "not CPython with a GIL"),
            (library.sys, "version_info", (3, 99, 0), "never tried"),
            (library, "_is_subinterpreter", lambda: True, "it is a subinterpreter"),
            (library.ssl, "OPENSSL_VERSION", "LibreSSL 3.9", "OpenSSL 3 is needed"),
            (library.ssl, "OPENSSL_VERSION_INFO", (3, 0, 1, 0, 0), "another OpenSSL"),
            (library._ssl, "__file__", None, "out of reach"),
        ],
    )
    def test_another_python_is_refused_before_anything_is_called(
        self, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, value: Any, said: str
    ) -> None:
        """The sentence says what to use."""
        open_library.cache_clear()
        monkeypatch.setattr(module, name, value, raising=False)
        with pytest.raises(IdentityUnusable, match=f"{said}.*use CPython"):
            open_library()

    @able
    def test_an_address_is_believed_only_if_it_says_what_python_says(self) -> None:
        """Rule 2: two contexts that differ do not pass for one another."""
        found, one = open_library(), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        assert found.address_of(one) != found.address_of(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))

        class Other(ssl.SSLContext):
            @property
            def verify_mode(self) -> ssl.VerifyMode:  # type: ignore[override]
                return ssl.CERT_NONE

        with pytest.raises(IdentityUnusable, match="not what it was"):
            found.address_of(Other(ssl.PROTOCOL_TLS_CLIENT))

    def test_without_the_extra_the_sentence_names_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing else of the client needs it."""
        monkeypatch.delitem(sys.modules, "certbound.client.hardware.token", raising=False)
        monkeypatch.setitem(sys.modules, "pkcs11", None)
        with pytest.raises(IdentityUnusable, match=r"pip install 'certbound\[pkcs11\]'"):
            Identity.from_pkcs11("pkcs11:token=a")


def fail(error: BaseException) -> None:
    raise error


def signing_scheme(kind: str) -> Scheme:
    """One that fits a key of `KEYS`."""
    if kind == "Ed25519":
        return Scheme("ED25519")
    return Scheme("RSA", "SHA256", "pss") if kind == "RSA" else Scheme("EC", "SHA256")


def pair_in_memory() -> tuple[bytes, bytes]:
    issued = self_signed("CN=here")
    return issued.chain_pem, issued.key_pem


class AskedWhere:
    """A signer whose public key says which threads looked at it."""

    def __init__(self, signer: Signs) -> None:
        self._signer = signer
        self.name = signer.name
        self.threads: set[int] = set()

    @property
    def public_key(self) -> Any:
        self.threads.add(threading.get_ident())
        return self._signer.public_key

    def sign(self, data: bytes, scheme: Scheme) -> bytes:
        made: bytes = self._signer.sign(data, scheme)
        return made


@contextlib.contextmanager
def cut_off(folder: Path) -> Iterator[str]:
    """A server that sends half of an answer, and closes the socket below TLS."""
    issued = self_signed("CN=localhost", usage="server", dns=["localhost"])
    (folder / "server.pem").write_bytes(issued.key_pem + issued.certificate_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")

    def answer(listening: socket.socket) -> None:
        with context.wrap_socket(listening.accept()[0], server_side=True) as connected:
            connected.recv(4096)
            connected.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhalf")
            socket.socket(fileno=connected.detach()).close()

    with socket.create_server(("localhost", 0)) as listening, ThreadPoolExecutor(1) as pool:
        done = pool.submit(answer, listening)
        yield f"https://localhost:{listening.getsockname()[1]}/"
        done.result(10)


ENDING = """
import atexit, gc
kept = []

@atexit.register
def drop():  # after those that are registered later
    kept.clear()
    gc.collect()
    print(len(provider._provider().objects))

from certbound.client import Identity
from certbound.client.hardware import provider
from certbound.client.tls import context_for
from certbound.trust.authority import self_signed
from client.signing import Signs

issued = self_signed("CN=x")
kept.append(context_for(Identity(issued.chain_pem, b"", signer=Signs(issued.private_key))))
"""


def handshake(issued: Issued, signer: Signs, folder: Path, version: ssl.TLSVersion) -> bytes | None:
    """By `signer` and the `ssl` module; what the server was shown."""
    client = ssl.create_default_context(cadata=issued.certificate_pem.decode())
    client.maximum_version = version
    present(client, [issued.certificate], signer)
    return meet(client, issued, folder)


def meet(client: ssl.SSLContext, issued: Issued, folder: Path) -> bytes | None:
    """A handshake in memory with a server of the same certificate, whose key is in a file."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=issued.certificate_pem.decode())
    server.verify_mode = ssl.CERT_REQUIRED
    (folder / "server.pem").write_bytes(issued.key_pem + issued.certificate_pem)
    server.load_cert_chain(folder / "server.pem")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for end in (ours, theirs) * 3:
        with contextlib.suppress(ssl.SSLWantReadError):
            end.do_handshake()
    assert ours.version() == client.maximum_version.name.replace("_", ".").replace("MAXIMUM.SUPPORTED", "TLSv1.3")
    return theirs.getpeercert(binary_form=True)


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


async def open_and_get(identity: Identity, server: Served) -> None:
    async with open_async_client(identity, ca=server.ca) as client:
        assert 200 == (await client.get(server.url)).status_code


async def lateness(work: Any) -> float:
    """The longest that a task had to wait for its turn meanwhile, in seconds."""
    task, worst = asyncio.ensure_future(work), 0.0
    while not task.done():
        before = time.monotonic()
        await asyncio.sleep(0.01)
        worst = max(worst, time.monotonic() - before - 0.01)
    await task
    return worst
