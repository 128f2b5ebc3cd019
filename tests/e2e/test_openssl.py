"""`openssl` and curl agree with us: thumbprints, versions, tokens."""

import base64
import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from certbound.core.certificate import thumbprint
from certbound.trust.authority import Issued
from e2e.world import World

pytestmark = pytest.mark.peers


@pytest.fixture(autouse=True)
def _programs() -> None:
    for program in ("openssl", "curl"):
        if shutil.which(program) is None:
            pytest.fail(f"{program} is needed; apt-get install {program}")


def run(*command: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, input=stdin, capture_output=True, timeout=30, check=False)


def test_openssl_computes_the_same_thumbprint(pki: Issued, tmp_path: Path) -> None:
    """`openssl x509 -outform der | openssl dgst -sha256`, base64url (R16)."""
    file = tmp_path / "pki.pem"
    file.write_bytes(pki.certificate_pem)
    der = run("openssl", "x509", "-in", str(file), "-outform", "der").stdout
    digest = run("openssl", "dgst", "-sha256", "-binary", stdin=der).stdout

    assert hashlib.sha256(der).digest() == digest
    assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == thumbprint(pki.der)


@pytest.mark.parametrize(
    ("version", "works"), [("-tls1", False), ("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)]
)
def test_nothing_older_than_tls_1_2(deployment: World, version: str, works: bool) -> None:
    """`openssl s_client` with the security level lowered, so that it offers what it is told to (R31)."""
    port = deployment.mtls.rpartition(":")[2]
    done = run(
        "openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost", version,
        "-cipher", "ALL:@SECLEVEL=0", "-CAfile", str(deployment.directory / "ca.pem"), "-verify_return_error",
    )  # fmt: skip

    assert works is (done.returncode == 0), done.stderr.decode()


def test_s_client_is_asked_on_the_mutual_tls_port_only(deployment: World) -> None:
    """`openssl s_client` prints what the server asked for (R24)."""
    asked = {}
    for name, base in (("plain", deployment.issuer), ("mtls", deployment.mtls)):
        port = base.rpartition(":")[2]
        done = run("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost", "-tls1_2")
        # Without a CertificateRequest there are no types of client certificate to print.
        asked[name] = b"Client Certificate Types" in done.stdout

    assert {"plain": False, "mtls": True} == asked


def test_s_client_resumes_nothing(deployment: World) -> None:
    """No ticket, no session id that would be taken again."""
    port = deployment.mtls.rpartition(":")[2]
    for version in ("-tls1_2", "-tls1_3"):
        done = run(
            "openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost", version, "-reconnect"
        )
        assert b"Reused," not in done.stdout
        assert b"TLS session ticket" not in done.stdout


def test_curl_obtains_a_token_and_uses_it(deployment: World, pki: Issued, tmp_path: Path) -> None:
    """An ordinary client with `--cert` and `--key`."""
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    certificate.write_bytes(pki.certificate_pem)
    key.write_bytes(pki.key_pem)
    identity = ("--cert", str(certificate), "--key", str(key), "--cacert", str(deployment.directory / "ca.pem"))
    form = "grant_type=client_credentials&client_id=pki"
    answer = run("curl", "-sS", *identity, f"{deployment.mtls}/token", "-d", form)
    token = json.loads(answer.stdout)["access_token"]
    good = run("curl", "-sS", *identity, "-H", f"Authorization: Bearer {token}", f"{deployment.api}/")
    stolen = run("curl", "-sS", *identity[-2:], "-H", f"Authorization: Bearer {token}", f"{deployment.api}/")

    assert "pki" == json.loads(good.stdout)["client_id"]
    assert "invalid_token" == json.loads(stolen.stdout)["error"]
