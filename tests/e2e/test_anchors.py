"""Who may speak for a client, on a running deployment: a watched folder, anchors of one client, limits (R5, R32)."""

import contextlib
import logging
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certbound.core.certificate import read_certificate
from certbound.core.errors import InvalidClientMetadata
from certbound.trust.authority import Authority, Issued
from e2e.world import Answer, World, world

BANK, MESH, PARTNER = (Authority.create(name) for name in ("Bank CA", "Mesh CA", "Partner CA"))
SAME_NAME = Authority.create("Partner CA")
WORKLOAD = "spiffe://prod.example/billing"


def der(authority: Authority) -> bytes:
    return authority.certificate.public_bytes(Encoding.DER)


def key_of(authority: Authority) -> str:
    return read_certificate(der(authority)).key_thumbprint


def bringing(*authorities: Authority) -> dict[str, list[str]]:
    """Metadata of a client that brings its own anchors."""
    return {"tls_client_auth_trust_anchors": [b64encode(der(each)).decode() for each in authorities]}


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A deployment with a watched folder, in which a bank's CA and a mesh's are limited, and clients' own anchors."""
    directory = tmp_path_factory.mktemp("anchors")
    (directory / "anchors").mkdir()
    (directory / "anchors" / "bank.pem").write_bytes(BANK.certificate_pem)
    (directory / "anchors" / "mesh.crt").write_bytes(MESH.certificate_pem)
    limits: list[dict[str, Any]] = [
        {"anchor": key_of(BANK), "subject_dn": ["O=Bank,C=CZ"], "dns": ["bank.example"]},
        {"anchor": key_of(MESH), "trust_domain": ["prod.example"]},
    ]
    with world(directory, trust__folder="anchors", trust__client_anchors=True, trust__limits=limits) as running:
        yield running


def register(running: World, client_id: str, *, trusted: dict[str, Any] | None = None, **subject: str) -> None:
    known = {f"tls_client_auth_{kind}": text for kind, text in subject.items()}
    running.register(client_id, token_endpoint_auth_method="tls_client_auth", **known, **(trusted or {}))


def asked_on(running: World, connection: HTTPSConnection, client_id: str) -> int:
    form = {"grant_type": "client_credentials", "client_id": client_id}
    return running.ask(f"{running.mtls}/token", form=form, connection=connection).status


def ask_with(running: World, client_id: str, identity: Issued, chain: bytes) -> Answer:
    """For a token, with more behind the certificate than itself."""
    form = {"grant_type": "client_credentials", "client_id": client_id}
    return running.ask(f"{running.mtls}/token", identity, form=form, chain=chain)


def until(expected: int, ask: Callable[[], int], seconds: float = 2.0) -> None:
    deadline = time.monotonic() + seconds
    while (found := ask()) != expected:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def is_refused(answer: Answer) -> bool:
    return (answer.status, answer.json["error"]) == (401, "invalid_client")


def test_a_folder_gains_and_loses_an_anchor_on_an_open_connection(deployment: World) -> None:
    """A file put into the folder certifies clients within two seconds, and no longer than it lies there."""
    newcomer = Authority.create("Newcomer CA")
    register(deployment, "newcomer", san_dns="newcomer.example")
    identity = newcomer.issue(dns=["newcomer.example"])
    file = deployment.directory / "anchors" / "newcomer.pem"
    with contextlib.closing(deployment.connect(deployment.mtls, identity)) as connection:
        assert 401 == asked_on(deployment, connection, "newcomer")
        file.write_bytes(newcomer.certificate_pem)
        until(200, lambda: asked_on(deployment, connection, "newcomer"))
        assert 200 == asked_on(deployment, connection, "newcomer")
        file.unlink()
        until(401, lambda: asked_on(deployment, connection, "newcomer"))


def test_a_clients_own_anchor_authenticates_no_other_client(deployment: World) -> None:
    """A client that brings its CA is certified by it alone, and that CA certifies nobody else, not by any name."""
    register(deployment, "a", san_dns="shared.example", trusted=bringing(PARTNER))
    register(deployment, "b", san_dns="shared.example")
    register(deployment, "c", san_dns="shared.example", trusted=bringing(SAME_NAME))
    issuers = {"a": PARTNER, "b": deployment.authority, "c": SAME_NAME}
    identities = {who: issuer.issue(dns=["shared.example"]) for who, issuer in issuers.items()}
    for _ in range(2):
        for client_id in issuers:
            for who, identity in identities.items():
                answer = deployment.token_request(client_id, identity)
                assert answer.status == 200 if who == client_id else is_refused(answer), (client_id, who)


def test_a_named_anchor_is_the_only_one(deployment: World) -> None:
    """A client that names one of the server's anchors is certified by no other."""
    key = key_of(deployment.authority)
    register(deployment, "narrow", san_dns="narrow.bank.example", trusted={"tls_client_auth_trust_anchor_keys": [key]})
    register(deployment, "wide", san_dns="narrow.bank.example")
    own, bank = (each.issue(dns=["narrow.bank.example"]) for each in (deployment.authority, BANK))
    assert 200 == deployment.token_request("narrow", own).status
    assert is_refused(deployment.token_request("narrow", bank))
    assert 200 == deployment.token_request("wide", bank).status


def test_a_limited_anchor_cannot_speak_for_another_name(deployment: World, caplog: pytest.LogCaptureFixture) -> None:
    """What the bank's CA says of names that are not the bank's is refused; the log has its key and its limit."""
    register(deployment, "bank", subject_dn="CN=payments,O=Bank,C=CZ")
    register(deployment, "bank-host", san_dns="api.bank.example")
    register(deployment, "victim", san_dns="victim.example")
    register(deployment, "victim-dn", subject_dn="CN=payments,O=Victim,C=CZ")
    assert 200 == deployment.token_request("bank", BANK.issue("CN=payments,O=Bank,C=CZ")).status
    assert 200 == deployment.token_request("bank-host", BANK.issue(dns=["api.bank.example"])).status
    assert 200 == deployment.token_request("victim", deployment.authority.issue(dns=["victim.example"])).status
    forged = BANK.issue("CN=payments,O=Victim,C=CZ", dns=["victim.example", "api.bank.example"])
    with caplog.at_level(logging.WARNING, "certbound.server"):
        for client_id in ("victim", "victim-dn"):
            assert is_refused(deployment.token_request(client_id, forged))
    assert f"the authority with the key {key_of(BANK)} is limited to subject_dn 'O=Bank,C=CZ'; dns" in caplog.text
    assert 200 == deployment.token_request("bank-host", forged).status


def test_a_workload_is_known_by_its_spiffe_id(deployment: World) -> None:
    """The client_id may be the SPIFFE ID; the certificate has one URI, which is critical, and no subject; the mesh's CA
    speaks for its trust domain and for no other."""
    register(deployment, WORKLOAD, san_uri=WORKLOAD)
    register(deployment, "foreign", san_uri="spiffe://other.example/billing")
    token = deployment.token(WORKLOAD, svid(WORKLOAD))
    assert deployment.call_api(token, svid(WORKLOAD)).status == 401
    assert is_refused(deployment.token_request(WORKLOAD, svid(WORKLOAD, "https://prod.example/")))
    assert is_refused(deployment.token_request(WORKLOAD, svid("spiffe://prod.example/other")))
    assert is_refused(deployment.token_request("foreign", svid("spiffe://other.example/billing")))
    identity = svid(WORKLOAD)
    answer = deployment.call_api(deployment.token(WORKLOAD, identity), identity)
    assert answer.json["client_id"] == WORKLOAD


def svid(*uris: str) -> Issued:
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(each) for each in uris])
    return MESH.issue(extensions=[(names, True)], usage="both", days=0.04)


def test_the_order_of_anchors_decides_nothing(deployment: World) -> None:
    """Of two anchors behind one intermediate one may speak for the client, in whatever order they are sent."""
    middle = Authority.create("Common CA")
    by_bank, by_root = (
        issuer.subordinate("Common CA", key=middle.private_key).certificate_pem
        for issuer in (BANK, deployment.authority)
    )
    register(deployment, "common", san_dns="common.example")
    for behind, permitted in ((by_bank + by_root, True), (by_root + by_bank, True), (by_root, True), (by_bank, False)):
        identity = middle.issue(dns=["common.example"])
        answer = ask_with(deployment, "common", identity, identity.certificate_pem + behind)
        assert answer.status == 200 if permitted else is_refused(answer)


def test_the_same_name_with_another_key_is_no_anchor(deployment: World) -> None:
    """An anchor is a key: a CA of the same name, sent along or not, certifies nobody."""
    impostor = Authority.create("Test CA")
    assert impostor.certificate.subject == deployment.authority.certificate.subject
    register(deployment, "named", san_dns="named.example")
    assert 200 == deployment.token_request("named", deployment.authority.issue(dns=["named.example"])).status
    identity = impostor.issue(dns=["named.example"])
    for chain in (identity.certificate_pem, identity.chain_pem):
        assert is_refused(ask_with(deployment, "named", identity, chain))


def test_a_registration_names_anchors_that_there_are(deployment: World) -> None:
    """A key that is none of the server's is refused with those that are."""
    with pytest.raises(InvalidClientMetadata) as refusal:
        register(deployment, "x", san_dns="x.example", trusted={"tls_client_auth_trust_anchor_keys": [key_of(PARTNER)]})
    assert key_of(PARTNER) in refusal.value.reason
    assert key_of(BANK) in refusal.value.reason


@pytest.mark.parametrize(
    ("trust", "offered"),
    [({}, False), ({"trust__client_anchors": True}, True), ({"trust__folder": "folder"}, True)],
    ids=["nothing", "clients bring theirs", "an empty folder"],
)
def test_who_may_be_certified_without_an_anchor(tmp_path: Path, trust: dict[str, Any], offered: bool) -> None:
    """tls_client_auth is offered where clients may bring an anchor or a folder may get one, and only there."""
    (tmp_path / "folder").mkdir()
    with world(tmp_path, trust__anchors=[], **trust) as running:
        metadata = running.ask(f"{running.issuer}/.well-known/oauth-authorization-server", method="GET").json
        assert ("tls_client_auth" in metadata["token_endpoint_auth_methods_supported"]) is offered
        if "trust__client_anchors" in trust:
            register(running, "own", san_dns="own.example", trusted=bringing(PARTNER))
            assert 200 == running.token_request("own", PARTNER.issue(dns=["own.example"])).status
        else:
            with pytest.raises(InvalidClientMetadata, match=r"trust\.client_anchors"):
                register(running, "own", san_dns="own.example", trusted=bringing(PARTNER))
        if "trust__folder" not in trust:
            with pytest.raises(InvalidClientMetadata, match="needs a trust anchor"):
                register(running, "a", san_dns="a.example")
            return
        register(running, "a", san_dns="a.example")
        identity = running.authority.issue(dns=["a.example"])
        assert is_refused(running.token_request("a", identity))
        (tmp_path / "folder" / "ca.cer").write_bytes(der(running.authority))
        until(200, lambda: running.token_request("a", identity).status)
