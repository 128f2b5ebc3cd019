"""`certbound revoke`: one command, said in thumbprints or files, and what it says it did."""

import asyncio
import json
import time
from hashlib import sha256
from pathlib import Path

import pytest

from certbound.app import opened_store
from certbound.core.certificate import read_certificate, read_pem_certificates
from certbound.core.ports import StatusRecord
from certbound.settings import load
from certbound.trust.authority import Authority, Issued

from .conftest import Certbound


@pytest.fixture
def billing(authority: Authority, deployment: Path, certbound: Certbound) -> Issued:
    """A registered client that has obtained a token; billing.pem and ca.pem lie there."""
    issued = authority.issue(dns=["billing.example"])
    (deployment / "billing.pem").write_bytes(issued.certificate_pem)
    assert certbound("client", "add", "--id", "billing", "--san-dns", "billing.example", "--scope", "read").status == 0
    allot(deployment, authority, issued)
    return issued


def allot(deployment: Path, authority: Authority, issued: Issued) -> None:
    """As the server does when the client gets its first token."""

    async def go() -> None:
        async with opened_store(load(deployment / "certbound.toml", {})) as store:
            now = time.time()
            await store.revocations.allot(
                StatusRecord(
                    client_id="billing",
                    thumbprint=read_certificate(issued.der).thumbprint,
                    authorities=(read_pem_certificates(authority.certificate_pem)[0].key_thumbprint,),
                    created_at=now,
                    ends_at=now + 86400,
                ),
                now=now,
            )

    asyncio.run(go())


def revoked(certbound: Certbound) -> list[dict[str, str]]:
    """What `--list` has."""
    found: list[dict[str, str]] = json.loads(certbound("revoke", "--list", "--json").out)
    return [{"kind": each["kind"], "value": each["value"]} for each in found]


@pytest.mark.parametrize("form", ["base64url", "hex", "openssl", "file"])
def test_a_certificate_in_every_form(certbound: Certbound, billing: Issued, form: str) -> None:
    """Its thumbprint as tokens have it, as tools print it, or the file: each is the same revocation."""
    certificate = read_certificate(billing.der)
    digest = sha256(billing.der).hexdigest()
    text = {
        "base64url": certificate.thumbprint,
        "hex": digest,
        "openssl": ":".join(digest.upper()[at : at + 2] for at in range(0, 64, 2)),
        "file": "billing.pem",
    }[form]

    done = certbound("revoke", "--thumbprint", text)

    assert done.status == 0, done.err
    assert f"the certificate {certificate.thumbprint} is revoked" in done.out
    assert "billing" in done.out
    assert revoked(certbound) == [{"kind": "certificate", "value": certificate.thumbprint}]


def test_an_authority_by_its_file(certbound: Certbound, billing: Issued, authority: Authority) -> None:
    """The key of the first certificate in it is meant, whoever certified that key."""
    done = certbound("revoke", "--anchor", "ca.pem", "--json")

    answer = json.loads(done.out)
    assert (answer["kind"], answer["clients"]) == ("authority", ["billing"])
    assert answer["value"] == read_pem_certificates(authority.certificate_pem)[0].key_thumbprint


def test_a_client_is_disabled_too(certbound: Certbound, billing: Issued) -> None:
    """And lifting it enables it again."""
    assert certbound("revoke", "--client", "billing").status == 0
    assert json.loads(certbound("client", "show", "billing", "--json").out)["enabled"] is False
    assert revoked(certbound) == [{"kind": "client", "value": "billing"}]

    assert certbound("revoke", "--client", "billing", "--lift").status == 0
    assert json.loads(certbound("client", "show", "billing", "--json").out)["enabled"] is True
    assert revoked(certbound) == []


def test_a_client_that_was_enabled_otherwise_is_not_revoked(certbound: Certbound, billing: Issued) -> None:
    """`--list` says what is so, not what was once said."""
    certbound("revoke", "--client", "billing")
    certbound("client", "update", "billing", "--enable")
    assert revoked(certbound) == []


def test_a_dry_run_changes_nothing(certbound: Certbound, billing: Issued) -> None:
    """It says whose tokens would end."""
    done = certbound("revoke", "--client", "billing", "--dry-run")

    assert "would end" in done.out
    assert "billing" in done.out
    assert revoked(certbound) == []
    assert json.loads(certbound("client", "show", "billing", "--json").out)["enabled"] is True


@pytest.mark.usefixtures("deployment")
def test_what_nobody_has_seen_is_revoked_all_the_same(certbound: Certbound) -> None:
    """And the command says that nobody had it."""
    done = certbound("revoke", "--thumbprint", "A" * 43)

    assert done.status == 0
    assert "nobody has obtained a token with it" in done.err
    assert revoked(certbound) == [{"kind": "certificate", "value": "A" * 43}]


def test_the_wrong_kind_of_file_is_remarked(certbound: Certbound, billing: Issued) -> None:
    """An authority's certificate as a client's, or the reverse, ends next to nothing; who is in a hurry must see it."""
    done = certbound("revoke", "--thumbprint", "ca.pem", "--dry-run")
    assert "ca.pem is the certificate of an authority; what it certified goes on: for that, --anchor ca.pem" in done.err
    done = certbound("revoke", "--anchor", "billing.pem", "--dry-run")
    assert "billing.pem is not the certificate of an authority; alone it is --thumbprint billing.pem" in done.err
    for right in (("--thumbprint", "billing.pem"), ("--anchor", "ca.pem")):
        assert "certificate of an authority" not in certbound("revoke", *right, "--dry-run").err


@pytest.mark.usefixtures("deployment")
def test_lifting_answers_json(certbound: Certbound) -> None:
    """As every other answer of the command."""
    certbound("revoke", "--thumbprint", "A" * 43)
    done = certbound("revoke", "--thumbprint", "A" * 43, "--lift", "--json")
    assert json.loads(done.out) == {"kind": "certificate", "value": "A" * 43, "revoked": False}


@pytest.mark.usefixtures("deployment")
def test_twice_is_once(certbound: Certbound) -> None:
    """The second time says since when, and keeps that time."""
    certbound("revoke", "--thumbprint", "A" * 43)
    first = certbound("revoke", "--list").out

    done = certbound("revoke", "--thumbprint", "A" * 43)

    assert done.status == 0
    assert "it was already, since" in done.out
    assert certbound("revoke", "--list").out == first


def test_one_audit_line_says_who_did_what(
    certbound: Certbound, billing: Issued, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user, the kind, the value, and how much it ended; lifting has one too."""
    monkeypatch.setattr("getpass.getuser", lambda: "alice")
    done = certbound("revoke", "--thumbprint", "billing.pem")
    thumbprint = read_certificate(billing.der).thumbprint
    assert done.err == (
        f"certbound: alice revoked the certificate '{thumbprint}': 1 clients, tokens of 1 certificates\n"
    )
    done = certbound("revoke", "--thumbprint", "billing.pem", "--lift")
    assert done.err.startswith(f"certbound: alice lifted the revocation of the certificate '{thumbprint}'")


@pytest.mark.usefixtures("deployment")
@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ((), 2, "give one of"),
        (("--thumbprint", "A" * 43, "--client", "a"), 2, "give one of"),
        (("--list", "--client", "a"), 2, "give one of"),
        (("--client", "a", "--lift", "--dry-run"), 2, "not both"),
        (("--thumbprint", "A" * 42), 1, "no SHA-256 in base64url"),
        (("--thumbprint", "A" * 42 + "B"), 1, "is no SHA-256: its last character"),
        (("--anchor", "A" * 42 + "_"), 1, "is no SHA-256: its last character"),
        (("--anchor", "missing.pem"), 1, "no SHA-256 in base64url"),
        (("--thumbprint", "as.key"), 1, "private key"),
        (("--client", "nobody"), 1, "there is no client 'nobody'"),
        (("--client", "nobody", "--dry-run"), 1, "there is no client 'nobody'"),
        (("--thumbprint", "A" * 43, "--lift"), 1, "is not revoked"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    certbound: Certbound, arguments: tuple[str, ...], status: int, said: str
) -> None:
    """It says what to do, and nothing is revoked."""
    done = certbound("revoke", *arguments)

    assert done.status == status
    assert said in done.err
    assert "Traceback" not in done.err
    assert revoked(certbound) == []
