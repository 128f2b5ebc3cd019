"""Keys in PKCS #11 tokens (SoftHSM 2): every face and the command line get bound tokens, and the key stays inside."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pkcs11
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from pkcs11 import Attribute, ObjectClass

import certbound.client
import certbound.client.aiohttp
import certbound.client.requests
from certbound.client import (
    Credential,
    Identity,
    IdentityUnusable,
    WatchedIdentity,
    drive,
    fetch_metadata,
    flow,
    open_client,
)
from certbound.client.hardware import token as hardware
from certbound.core.client_credentials import Method
from certbound.trust.authority import Issued
from clients.softhsm import PIN, Tokens, tokens
from e2e.world import RESOURCE, World

pytestmark = pytest.mark.clients

KINDS = ["ec", "rsa", "ed", "alone", "each"]


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tokens]:
    with tokens(tmp_path_factory.mktemp("tokens")) as made:
        yield made


@pytest.fixture(scope="module")
def issued(deployment: World, inside: Tokens) -> dict[str, Issued]:
    """A certificate for each key, and a client that it authenticates."""
    found = {}
    for label in inside.public:
        name = f"{label}.hardware.example"
        deployment.register(f"hw-{label}", token_endpoint_auth_method="tls_client_auth", tls_client_auth_san_dns=name)
        found[label] = deployment.authority.issue(f"CN=hw-{label}", dns=[name], key=inside.key(label))
    return found


def identity_of(inside: Tokens, issued: dict[str, Issued], label: str) -> Identity:
    return Identity.from_pkcs11(inside.uri(label), pin=PIN, certificate=issued[label].chain_pem)


def facts(deployment: World, inside: Tokens, issued: dict[str, Issued], label: str, folder: Path) -> dict[str, Any]:
    """What the faces are opened with: the certificate in a file, the key by its URI."""
    (folder / "client.pem").write_bytes(issued[label].chain_pem)
    return {
        "certificate": folder / "client.pem", "key": inside.uri(label), "password": PIN, "resource": RESOURCE,
        "api": deployment.api, "scope": "read", "ca": deployment.directory / "ca.pem",
    }  # fmt: skip


@pytest.fixture(autouse=True)
def _ca(deployment: World) -> None:
    (deployment.directory / "ca.pem").write_bytes(deployment.authority.certificate_pem)


class TestFaces:
    @pytest.mark.parametrize("kind", KINDS)
    def test_an_api_is_called_with_a_key_in_a_token(
        self, deployment: World, inside: Tokens, issued: dict[str, Issued], tmp_path: Path, kind: str
    ) -> None:
        """By httpx and requests, over TLS 1.3; the guard sees that client."""
        given = facts(deployment, inside, issued, kind, tmp_path)
        with certbound.client.open(deployment.issuer, f"hw-{kind}", **given) as client:
            answer = client.get("/")
        assert (200, f"hw-{kind}") == (answer.status_code, answer.json()["client_id"])
        with certbound.client.requests.open(deployment.issuer, f"hw-{kind}", **given) as session:
            assert f"hw-{kind}" == session.get(f"{deployment.api}/").json()["client_id"]

    @pytest.mark.parametrize("kind", KINDS)
    async def test_asynchronous_faces_do_too(
        self, deployment: World, inside: Tokens, issued: dict[str, Issued], tmp_path: Path, kind: str
    ) -> None:
        given = facts(deployment, inside, issued, kind, tmp_path)
        async with certbound.client.open_async(deployment.issuer, f"hw-{kind}", **given) as client:
            answers = await asyncio.gather(*(client.get("/") for _ in range(5)))
        assert [f"hw-{kind}"] * 5 == [each.json()["client_id"] for each in answers]
        async with (
            certbound.client.aiohttp.open(deployment.issuer, f"hw-{kind}", **given) as session,
            session.get("") as response,
        ):
            assert f"hw-{kind}" == (await response.json())["client_id"]

    @pytest.mark.parametrize("kind", ["ec", "rsa", "ed"])
    def test_older_versions_of_tls_and_what_each_signs(
        self, deployment: World, inside: Tokens, issued: dict[str, Issued], kind: str
    ) -> None:
        """A connection of TLS 1.2 with the same key."""
        import http.client
        import ssl
        from urllib.parse import urlsplit

        context = certbound.client.aiohttp.context_of(
            identity_of(inside, issued, kind), ca=deployment.directory / "ca.pem"
        )
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        parts = urlsplit(deployment.mtls)
        connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, context=context, timeout=20)
        connection.request(
            "POST", "/token", f"grant_type=client_credentials&client_id=hw-{kind}",
            {"content-type": "application/x-www-form-urlencoded"},
        )  # fmt: skip
        assert 200 == connection.getresponse().status
        connection.close()

    def test_the_command_line_does_too(
        self, deployment: World, inside: Tokens, issued: dict[str, Issued], tmp_path: Path
    ) -> None:
        """`token` and `curl`, with the PIN in a file; one that is wrong is not in what it prints."""
        given = facts(deployment, inside, issued, "ec", tmp_path)
        (tmp_path / "pin").write_text(PIN + "\n")
        options = [
            "--issuer", deployment.issuer, "--client-id", "hw-ec", "--cert", given["certificate"], "--key",
            given["key"], "--password-file", tmp_path / "pin", "--ca", given["ca"],
        ]  # fmt: skip
        program = [sys.executable, "-m", "certbound.cli"]
        for command in (["token"], ["curl", f"{deployment.api}/", "--resource", RESOURCE]):
            done = subprocess.run(
                [*program, *command, *options], capture_output=True, text=True, timeout=60, check=False
            )
            assert (0, "") == (done.returncode, done.stderr)
            assert done.stdout
        (tmp_path / "pin").write_text("s3cr3t-pin")
        done = subprocess.run([*program, "token", *options], capture_output=True, text=True, check=False)
        assert done.returncode
        assert "refused the PIN" in done.stderr
        assert "s3cr3t" not in done.stderr + done.stdout

    def test_a_key_signs_assertions(self, deployment: World, inside: Tokens, issued: dict[str, Issued]) -> None:
        """`private_key_jwt` by each kind of key; the token is bound to the certificate of the connection."""
        for kind in ("ec", "rsa", "ed"):
            identity = identity_of(inside, issued, kind)
            key = identity.signing_key()
            deployment.register(
                f"jwt-{kind}", token_endpoint_auth_method="private_key_jwt", jwks={"keys": [key.public_jwk()]},
                tls_client_certificate_bound_access_tokens=True,
            )  # fmt: skip
            with open_client(identity, ca=deployment.directory / "ca.pem") as http:
                server = fetch_metadata(http, deployment.issuer)
                credential = Credential(f"jwt-{kind}", Method.PRIVATE_KEY_JWT, key=key)
                token = drive(http, flow.client_credentials(server, credential, resources=[RESOURCE]))
                answer = http.get(f"{deployment.api}/", headers={"authorization": f"Bearer {token.access_token}"})
            assert (200, f"jwt-{kind}") == (answer.status_code, answer.json()["client_id"])


class TestToken:
    def test_the_key_never_leaves(self, inside: Tokens) -> None:
        """The token itself says so: sensitive, not extractable, and its value is not to be read."""
        with pkcs11.lib(str(inside.module)).get_token(token_label="bank").open() as session:
            keys = list(session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.LABEL: "ec"}))
            for key in keys:
                assert key[Attribute.SENSITIVE]
                assert not key[Attribute.EXTRACTABLE]
                with pytest.raises(pkcs11.AttributeSensitive):
                    key[Attribute.VALUE]

    def test_the_chain_may_be_in_the_token(self, deployment: World, inside: Tokens, issued: dict[str, Issued]) -> None:
        """The leaf by the id of the key, its issuers behind it; without any, the sentence says what to give.

        What is none, of another program's perhaps, is passed over.
        """
        with pytest.raises(IdentityUnusable, match=r"no certificate for .* give the certificate as a PEM file"):
            Identity.from_pkcs11(inside.uri("ec"), pin=PIN)
        store(inside, issued["ec"].der, label="ec", key_id=b"\x01")
        store(inside, b"no certificate", label="junk", key_id=b"\x78")
        store(inside, issued["ec"].issuers[0].public_bytes(Encoding.DER), label="ca", key_id=b"\x77")
        found = Identity.from_pkcs11(inside.uri("ec"), pin=PIN)
        assert found.certificates() == [issued["ec"].certificate, *issued["ec"].issuers]
        with open_client(found, ca=deployment.directory / "ca.pem") as http:
            assert 404 == http.get(deployment.mtls).status_code

    @pytest.mark.parametrize(
        ("uri", "said"),
        [
            ("pkcs11:token=bank;object=none?module-path={module}", "no private key fits pkcs11:token=bank;object=none"),
            ("pkcs11:token=bank;object=twin?module-path={module}", "2 private keys fit pkcs11:token=bank;object=twin"),
            ("pkcs11:token=none;object=ec?module-path={module}", "no token is there that fits"),
            ("pkcs11:object=ec?module-path={module}", "3 tokens fit"),
            ("pkcs11:token=bank;object=ec?module-path=/none/x.so", "/none/x.so is not there"),
            ("pkcs11:token=bank;object=ec?module-path={text}", "cannot be loaded"),
            ("pkcs11:token=bank;object=ec", "add .module-path"),
            ("pkcs11:token=bank;object=rsa?module-path={module}", "does not belong to the client certificate"),
            ("pkcs11:token=bank;object=alone?module-path={module}", "does not belong to the client certificate"),
        ],
    )
    def test_what_is_not_the_one_key_is_refused(
        self, inside: Tokens, issued: dict[str, Issued], uri: str, said: str
    ) -> None:
        """Each sentence names the token and the object; `alone`, without a public half, by a signature."""
        text = uri.format(module=inside.module, text=__file__)
        with pytest.raises(IdentityUnusable, match=said) as refused:
            Identity.from_pkcs11(text, pin=PIN, certificate=issued["ec"].chain_pem)
        assert PIN not in str(refused.value)

    def test_one_of_two_is_named_by_its_id(self, inside: Tokens, issued: dict[str, Issued]) -> None:
        uri = f"pkcs11:token=bank;object=twin;id=%06?module-path={inside.module}"
        assert Identity.from_pkcs11(uri, pin=PIN, certificate=issued["twin"].chain_pem).signer

    def test_a_refused_pin_is_not_tried_again(self, inside: Tokens, issued: dict[str, Issued]) -> None:
        """By twenty threads at once neither: a card would lock itself.  The right one is then taken."""
        uri, chain = inside.uri("it", "shut"), issued["it"].chain_pem

        def wrong(_: int) -> str:
            with pytest.raises(IdentityUnusable) as refused:
                Identity.from_pkcs11(uri, pin="s3cr3t", certificate=chain)
            return str(refused.value)

        with ThreadPoolExecutor(20) as pool:
            said = list(pool.map(wrong, range(20)))
        assert 1 == sum("the token refused the PIN" in each for each in said)
        assert 19 == sum("which is not tried again" in each for each in said)
        assert not any("s3cr3t" in each for each in said)
        with pytest.raises(IdentityUnusable, match="no private key fits"):
            Identity.from_pkcs11(uri, pin=PIN, certificate=chain)

    def test_a_renewed_certificate_of_the_same_key_is_picked_up(
        self, deployment: World, inside: Tokens, issued: dict[str, Issued], tmp_path: Path
    ) -> None:
        """The file is watched; a certificate of another key leaves all as it was."""
        file = tmp_path / "client.pem"
        file.write_bytes(issued["ec"].chain_pem)
        seconds = iter(range(0, 100, 2))
        watched = WatchedIdentity(file, inside.uri("ec"), PIN, clock=lambda: next(seconds))
        assert issued["ec"].der == watched.current().certificate.der
        file.write_bytes(issued["rsa"].chain_pem)
        assert issued["ec"].der == watched.current().certificate.der
        renewed = deployment.authority.issue("CN=hw-ec", dns=["ec.hardware.example"], key=inside.key("ec"))
        file.write_bytes(renewed.chain_pem)
        assert renewed.der == watched.current().certificate.der

    def test_another_pin_for_a_token_in_use_is_refused(self, inside: Tokens, issued: dict[str, Issued]) -> None:
        """The token would not look at it: this process is logged in."""
        identity_of(inside, issued, "ec")
        with pytest.raises(IdentityUnusable, match="in use here with another PIN"):
            Identity.from_pkcs11(inside.uri("ec"), pin="other", certificate=issued["ec"].chain_pem)

    def test_a_session_that_ended_is_opened_again(
        self, deployment: World, inside: Tokens, issued: dict[str, Issued]
    ) -> None:
        """As after a card was pulled and put back; logged in anew, twice over, without a word."""
        identity = identity_of(inside, issued, "rsa")
        for _ in range(2):
            for known in hardware._tokens.values():
                if known._uri.token == "bank" and known._session is not None:
                    known._session.close()
            with open_client(identity, ca=deployment.directory / "ca.pem") as http:
                assert 404 == http.get(deployment.mtls).status_code

    def test_two_identities_and_twenty_threads(
        self, deployment: World, inside: Tokens, issued: dict[str, Issued]
    ) -> None:
        """One session, a lock before it: each gets its own token."""
        identities = {kind: identity_of(inside, issued, kind) for kind in ("ec", "rsa")}

        def ask(number: int) -> bool:
            kind = ("ec", "rsa")[number % 2]
            with open_client(identities[kind], ca=deployment.directory / "ca.pem") as http:
                server = fetch_metadata(http, deployment.issuer)
                token = drive(
                    http, flow.client_credentials(server, Credential(f"hw-{kind}"), resources=[RESOURCE])
                ).access_token
                said = http.get(f"{deployment.api}/", headers={"authorization": f"Bearer {token}"})
            return said.status_code == 200 and said.json()["client_id"] == f"hw-{kind}"

        with ThreadPoolExecutor(20) as pool:
            assert all(pool.map(ask, range(40)))

    def test_a_forked_child_logs_in_for_itself(self, inside: Tokens, issued: dict[str, Issued], tmp_path: Path) -> None:
        """And its parent goes on."""
        (tmp_path / "client.pem").write_bytes(issued["ec"].chain_pem)
        done = subprocess.run(
            [sys.executable, "-c", FORKING, inside.uri("ec"), PIN, tmp_path / "client.pem"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (0, "64 0 64\n", "") == (done.returncode, done.stdout, done.stderr)

    def test_a_token_that_goes_is_an_error_that_names_it(
        self, deployment: World, inside: Tokens, issued: dict[str, Issued]
    ) -> None:
        """Mid-way, between two connections; the process lives on, and other tokens work."""
        identity = Identity.from_pkcs11(inside.uri("it", "gone"), pin=PIN, certificate=issued["it"].chain_pem)
        for folder in (inside.folder / "tokens").iterdir():
            if any(b"gone" in each.read_bytes() for each in folder.glob("token.object")):
                shutil.rmtree(folder)
        with (
            open_client(identity, ca=deployment.directory / "ca.pem") as http,
            pytest.raises(IdentityUnusable, match="pkcs11:token=gone;object=it") as refused,
        ):
            http.get(deployment.mtls)
        assert PIN not in str(refused.value)
        with open_client(identity_of(inside, issued, "ec"), ca=deployment.directory / "ca.pem") as http:
            assert 404 == http.get(deployment.mtls).status_code


FORKING = """
import os, sys, warnings
from pathlib import Path
from certbound.client import Identity
from certbound.client.hardware.signer import Scheme
warnings.simplefilter("ignore")
uri, pin, chain = sys.argv[1:]
signer = Identity.from_pkcs11(uri, pin=pin, certificate=Path(chain)).signer
sign = lambda: len(signer.sign(b"x", Scheme("EC", "SHA256")))
first = sign()
child = os.fork()
if child == 0:
    os._exit(0 if sign() == 64 else 1)
print(first, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), sign())
"""


def store(inside: Tokens, der: bytes, *, label: str, key_id: bytes) -> None:
    """A certificate that anybody may see."""
    with pkcs11.lib(str(inside.module)).get_token(token_label="bank").open(rw=True) as session:
        session.create_object({
            Attribute.CLASS: ObjectClass.CERTIFICATE, Attribute.CERTIFICATE_TYPE: pkcs11.CertificateType.X_509,
            Attribute.TOKEN: True, Attribute.LABEL: label, Attribute.ID: key_id, Attribute.VALUE: der,
            Attribute.SUBJECT: b"", Attribute.PRIVATE: False,
        })  # fmt: skip
