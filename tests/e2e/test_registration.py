"""Registration over real TLS: the ways in, what each may ask for, and who may manage a client (RFC 7591, RFC 7592)."""

import asyncio
import base64
import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from certbound.app import open_registry, opened_store
from certbound.core.authentication import digest_of
from certbound.core.certificate import read_certificate
from certbound.core.client_unspoken import UNSPOKEN
from certbound.core.jwks import make_jwks
from certbound.core.ports import InitialTokenRecord, RegistrationRecord, RevocationRecord, RevokedKind
from certbound.trust.authority import Authority, Issued, self_signed
from e2e.acting import App, people_world
from e2e.world import RESOURCE, Answer, World, world
from revoking import crl

DIRECTORY = "https://directory.example"
SIGNER = ECKey.generate_key("P-256", {"kid": "one", "alg": "ES256"})
REGISTRANTS = Authority.create("Registrants")
STOLEN = REGISTRANTS.issue("CN=member", dns=["member.example"])
"""Its authority says so."""
MEMBER = {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "member.example"}
PKI = {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "new.example"}
SECRET = {"token_endpoint_auth_method": "client_secret_basic"}


def way(name: str, *needs: str, **more: Any) -> dict[str, Any]:
    """A row of policy."""
    every = ["tls_client_auth", "self_signed_tls_client_auth", "private_key_jwt", "client_secret_basic"]
    return {"name": name, "needs": list(needs), "methods": every, "scopes": ["read"], **more}


WAYS = [
    way("bank", "mutual_tls", "software_statement", protected_resources=[RESOURCE]),
    way("vouched", "mutual_tls"),
    way("stated", "software_statement"),
    way("invited", "initial_token", scopes=["read", "write"]),
]


@pytest.fixture(scope="module")
def registering(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One with a way for each need."""
    directory = tmp_path_factory.mktemp("registration")
    (directory / "registrants.pem").write_bytes(REGISTRANTS.certificate_pem)
    (directory / "registrants.crl").write_bytes(crl(REGISTRANTS, STOLEN, at=datetime.now(UTC)))
    (directory / "directory.json").write_text(json.dumps({"keys": [SIGNER.as_dict(private=False)]}))
    with world(
        directory,
        registration__ways=WAYS,
        registration__anchors=["registrants.pem"],
        trust__anchors=["anchors.pem", "registrants.pem"],
        revocation__mode="soft",
        revocation__crls=["registrants.crl"],
        registration__statement_issuers=[{"issuer": DIRECTORY, "jwks": "directory.json"}],
        registration__statement_must_have=["software_id"],
        authentication__methods=[
            "tls_client_auth",
            "self_signed_tls_client_auth",
            "private_key_jwt",
            "client_secret_basic",
        ],
        tokens__bind="requested",
    ) as running:
        yield running


@pytest.fixture(scope="module")
def member() -> Issued:
    """The certificate of somebody for whom the registrants' authority vouches."""
    return REGISTRANTS.issue("CN=member", dns=["member.example"])


Shown = Mapping[str, Any]


def test_each_way_lets_in_who_shows_what_it_needs(registering: World, member: Issued) -> None:
    """A token, a statement, a certificate, or a certificate and a statement; each has the way's scopes, no others."""
    shown: dict[str, Shown] = {
        "invited": {"token": invite(registering)},
        "stated": {"body": {**SECRET, "software_statement": statement()}},
        "vouched": {"identity": member},
        "bank": {"body": {**SECRET, "software_statement": statement()}, "identity": member},
    }
    for name, each in shown.items():
        answer = send(registering, "POST", **{"body": SECRET, **each})
        assert 201 == answer.status, (name, answer)
        assert name == stored(registering, answer.json["client_id"]).way
        assert ("read write" if name == "invited" else "read") == answer.json["scope"]


@pytest.mark.parametrize("kind", ["nothing", "wrong token", "basic", "token of another kind", "forged", "self-signed"])
def test_who_shows_nothing_good_is_refused(registering: World, kind: str) -> None:
    """One answer, 401 with a Bearer challenge (O15: a forged certificate is as good as none)."""
    shown: dict[str, Shown] = {
        "nothing": {},
        "wrong token": {"token": "cbia_" + "A" * 43},
        "basic": {"headers": {"authorization": "Basic eDp5"}},
        "token of another kind": {"token": "cbrg_" + "A" * 43},
        "forged": {"identity": forged()},
        "self-signed": {"identity": self_signed("CN=member")},
    }
    answer = send(registering, "POST", PKI, **shown[kind])
    assert (401, "invalid_token") == (answer.status, answer.json["error"])
    has_token = "token" in kind
    error = ', error="invalid_token"' if has_token else ""  # RFC 6750 section 3.1
    assert f'Bearer realm="certbound"{error}' == answer.headers["www-authenticate"]


def test_a_bad_token_is_not_passed_over(registering: World, member: Issued) -> None:
    """Though the certificate beside it would do alone."""
    for token in ("cbia_" + "A" * 43, "cbrg_" + "A" * 43, "x"):
        assert 401 == send(registering, "POST", SECRET, token, member).status


def test_a_registered_client_obtains_tokens(registering: World) -> None:
    """By the secret that it was given, shown once and kept as a hash; by the name that it registered."""
    made = send(registering, "POST", SECRET, invite(registering)).json
    assert made["client_secret"].startswith("cbcs_")
    assert 0 == made["client_secret_expires_at"]
    assert made["client_secret"] not in repr(asyncio.run(kept(registering, made["client_id"])))
    known = send(registering, "POST", PKI, invite(registering)).json
    assert not {"client_secret", "client_secret_expires_at"} & known.keys()
    assert 200 == by_secret(registering, made).status
    certificate = registering.authority.issue("CN=new", dns=["new.example"])
    assert 200 == registering.token_request(known["client_id"], certificate).status


def test_nobody_chooses_a_name_or_a_secret(registering: World) -> None:
    """Both are made here, whatever the request says; nobody registers over somebody else."""
    registering.register("taken", **SECRET)
    before = asyncio.run(kept(registering, "taken"))
    chosen = {"client_id": "taken", "client_secret": "cbcs_chosen", "registration_access_token": "cbrg_chosen"}
    for name, value in chosen.items():
        answer = send(registering, "POST", {**SECRET, name: value}, invite(registering))
        made = answer.json
        assert answer.status == 400 or value not in made.values(), (name, answer)
    one, two = (send(registering, "POST", SECRET, invite(registering)).json["client_id"] for _ in range(2))
    assert one != two
    assert min(len(one), len(two)) >= 16
    assert asyncio.run(kept(registering, "taken")) == before


def test_a_token_has_so_many_uses(registering: World) -> None:
    """Of eight who come at once with a token of three uses, three register; a refused request uses up nothing."""
    token = invite(registering, uses=3)
    for _ in range(5):
        assert 400 == send(registering, "POST", {**SECRET, "scope": "admin"}, token).status
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: send(registering, "POST", SECRET, token).status, range(8)))
    assert [201] * 3 + [401] * 5 == sorted(answers)
    late = invite(registering, lives=-1)
    assert 401 == send(registering, "POST", SECRET, late).status


MORE_THAN_ITS_WAY: list[tuple[str, Any]] = [
    ("scope", "read write"), ("scope", "read nothing"), ("grant_types", ["client_credentials", "refresh_token"]),
    ("grant_types", ["urn:ietf:params:oauth:grant-type:device_code"]),
    ("token_endpoint_auth_method", "client_secret_post"),
    ("token_endpoint_auth_method", "none"), ("protected_resources", [RESOURCE]), ("access_token_format", "opaque"),
    ("response_types", ["code"]), ("token_endpoint_auth_signing_alg", "RS256"),
]  # fmt: skip


@pytest.mark.parametrize(("member_name", "value"), MORE_THAN_ITS_WAY)
def test_no_way_gives_more_than_it_has(registering: World, member: Issued, member_name: str, value: Any) -> None:
    """Neither what another way has nor what only administrators may give; the refusal names the member."""
    answer = send(registering, "POST", {**SECRET, member_name: value}, identity=member)
    assert (400, "invalid_client_metadata") == (answer.status, answer.json["error"])
    assert answer.json["error_description"].startswith(member_name)


def test_nobody_brings_anchors_or_dates_of_their_own(registering: World, member: Issued) -> None:
    """An anchor that a stranger chose would vouch for anybody; ignored dates would keep an ended certificate alive."""
    anchor = [base64.b64encode(ssl.PEM_cert_to_DER_cert(REGISTRANTS.certificate_pem.decode())).decode()]
    refused = send(registering, "POST", {**PKI, "tls_client_auth_trust_anchors": anchor}, identity=member)
    assert refused.json["error_description"].startswith("tls_client_auth_trust_anchors")
    own = {
        "token_endpoint_auth_method": "self_signed_tls_client_auth",
        "jwks": make_jwks([read_certificate(self_signed("CN=o").der)]),
        "self_signed_tls_client_auth_ignore_validity": True,
    }
    refused = send(registering, "POST", own, identity=member)
    assert refused.json["error_description"].startswith("self_signed_tls_client_auth_ignore_validity")


def test_over_mutual_tls_one_registers_ones_own_name(registering: World, member: Issued) -> None:
    """Not that of somebody else's certificate."""
    refused = send(registering, "POST", PKI, identity=member)
    assert (400, "invalid_client_metadata") == (refused.status, refused.json["error"])
    assert refused.json["error_description"].startswith("tls_client_auth_san_dns")
    assert 201 == send(registering, "POST", MEMBER, identity=member).status


def test_what_a_statement_says_wins(registering: World) -> None:
    """Over the request; it comes back as it came, and what it says stands beside it."""
    said = statement(client_name="Stated", scope="read", contacts=["a@b.example"], unknown="x")
    body = {**SECRET, "client_name": "Asked", "scope": "read write", "software_statement": said}
    answer = send(registering, "POST", body).json
    assert ("Stated", "read", said) == (answer["client_name"], answer["scope"], answer["software_statement"])
    assert ["a@b.example"] == answer["contacts"]
    assert "unknown" not in answer
    changed = {**SECRET, "client_id": answer["client_id"], "client_name": "Changed"}
    put = send(registering, "PUT", changed, answer["registration_access_token"], uri=answer["registration_client_uri"])
    assert ("Stated", said) == (put.json["client_name"], put.json["software_statement"])


def test_what_a_directory_calls_by_names_of_its_own_means_nothing(registering: World) -> None:
    """As Brazil's does: neither taken for what it resembles nor told again; by the names of RFC 7591 it counts."""
    own = {
        "software_jwks_uri": "https://directory.example/jwks", "software_redirect_uris": ["https://a.example/cb"],
        "software_client_name": "Stated", "org_id": "o-1", "software_roles": ["DADOS"],
    }  # fmt: skip
    signing = {"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://asked.example/jwks"}
    body = {**signing, "client_name": "Asked", "software_statement": statement(**own)}
    answer = send(registering, "POST", body)
    assert answer.status == 201, answer
    assert not own.keys() & answer.json.keys()
    assert ("Asked", signing["jwks_uri"]) == (answer.json["client_name"], answer.json["jwks_uri"])
    assert "s-1" == answer.json["software_id"]
    said = statement(jwks_uri="https://directory.example/jwks")
    answer = send(registering, "POST", {**signing, "software_statement": said})
    assert "https://directory.example/jwks" == answer.json["jwks_uri"]


STATEMENTS: dict[str, Callable[[], Any]] = {
    "forged": lambda: statement(key=ECKey.generate_key("P-256", {"kid": "one"})),
    "old": lambda: statement(iat=time.time() - 301),
    "of tomorrow": lambda: statement(iat=time.time() + 86400),
    "ended": lambda: statement(exp=time.time() - 1),
    "without iat": lambda: statement(iat=None),
    "none": lambda: "eyJhbGciOiJub25lIn0." + statement().split(".")[1] + ".",
    "no JWT": lambda: "statement",
    "cut": lambda: statement()[:-9],
    "bringing its own key": lambda: statement(
        key=(own := ECKey.generate_key("P-256")), header={"jwk": own.as_dict(private=False)}
    ),
    "a number": lambda: 7,
    "somebody's": lambda: statement(iss="https://other.example"),
    "silent": lambda: statement(software_id=None),
}


@pytest.mark.parametrize("kind", STATEMENTS)
def test_a_statement_that_is_not_good_is_refused(registering: World, kind: str) -> None:
    """Whatever else would have let the request in (RFC 7591 section 3.2.2)."""
    body = {**SECRET, "software_statement": STATEMENTS[kind]()}
    answer = send(registering, "POST", body, invite(registering))
    error = "unapproved_software_statement" if kind in {"somebody's", "silent"} else "invalid_software_statement"
    assert (400, error) == (answer.status, answer.json["error"])


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_wrong_token_and_no_client_are_the_same(registering: World, method: str) -> None:
    """No token, another's, one of another kind, and a client that is not there or an administrator's: one answer."""
    mine, other = (send(registering, "POST", SECRET, invite(registering)).json for _ in range(2))
    registering.register(f"by-hand-{method}", **SECRET)
    base = registering.issuer + "/register/"
    cases = [
        (base + mine["client_id"], other["registration_access_token"]),
        (base + mine["client_id"], "cbrg_" + "A" * 43),
        (base + mine["client_id"], "cbia_" + "A" * 43),
        (base + mine["client_id"], mine["client_secret"]),
        (base + mine["client_id"], None),
        (base + "nobody", mine["registration_access_token"]),
        (base + f"by-hand-{method}", mine["registration_access_token"]),
        (base + "%00", mine["registration_access_token"]),
    ]
    body = {**SECRET, "client_id": mine["client_id"]} if method == "PUT" else None
    answers = [send(registering, method, body, token, uri=uri) for uri, token in cases]
    assert {401} == {each.status for each in answers}
    bodies = {each.without_request_id[2] for each in answers}
    assert 1 == len(bodies), bodies
    assert all("Bearer" in each.headers["www-authenticate"] for each in answers)


def test_a_client_reads_and_replaces_itself(registering: World) -> None:
    """PUT replaces: what is absent is gone, `null` is absence; the secret stays; the id is needed and is its own."""
    made = send(registering, "POST", {**SECRET, "client_name": "One", "tos_uri": "https://a.example/t"},
                invite(registering)).json  # fmt: skip
    owner = {"token": made["registration_access_token"], "uri": made["registration_client_uri"]}
    again = send(registering, "GET", **owner)
    assert {k: v for k, v in made.items() if not k.startswith("client_secret")} == again.json
    body = {**SECRET, "client_id": made["client_id"], "scope": "read", "client_name": None}
    changed = send(registering, "PUT", {**body, "client_secret": made["client_secret"]}, **owner)
    assert 200 == changed.status, changed
    assert ("", "read") == (changed.json["client_name"], changed.json["scope"])
    assert not {"tos_uri", "client_secret"} & changed.json.keys()
    assert made["client_id_issued_at"] == changed.json["client_id_issued_at"]
    assert "read" == by_secret(registering, made).json["scope"]
    for wrong in (
        {"client_id": None}, {"client_id": "other"}, {"client_id": 7}, {"client_secret": "cbcs_mine"},
        {"registration_access_token": "x"}, {"client_id_issued_at": 1}, {"scope": "admin"},
        {"token_endpoint_auth_method": "none"},
    ):  # fmt: skip
        refused = send(registering, "PUT", {**body, **wrong}, **owner)
        assert (400, "invalid_client_metadata") == (refused.status, refused.json["error"]), wrong
        assert refused.json["error_description"].startswith(next(iter(wrong)))


def test_a_change_of_method_makes_and_ends_secrets(registering: World) -> None:
    """To a secret: a new one is made.  Away from it: it counts no more, also after the way back."""
    made = send(registering, "POST", SECRET, invite(registering)).json
    owner = {"token": made["registration_access_token"]}
    pki = {**PKI, "client_id": made["client_id"]}
    to_pki = send(registering, "PUT", pki, **owner, uri=made["registration_client_uri"])
    assert to_pki.json["registration_client_uri"].startswith(registering.mtls)
    identity = registering.authority.issue("CN=new", dns=["new.example"])
    back = send(
        registering, "PUT", {**SECRET, "client_id": made["client_id"]}, **owner, identity=identity,
        uri=to_pki.json["registration_client_uri"],
    )  # fmt: skip
    assert back.json["client_secret"] != made["client_secret"]
    assert 401 == by_secret(registering, made).status
    assert 200 == by_secret(registering, back.json).status


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_token_is_bound_to_certificates(registering: World, member: Issued, method: str) -> None:
    """Of a client that authenticates by one: none, a forged one and another's are refused (O15)."""
    made = send(registering, "POST", MEMBER, identity=member).json
    owner = {"token": made["registration_access_token"], "uri": made["registration_client_uri"]}
    assert made["registration_client_uri"].startswith(registering.mtls)
    body = {**MEMBER, "client_id": made["client_id"]} if method == "PUT" else None
    other = REGISTRANTS.issue("CN=other", dns=["other.example"])
    for identity in (None, forged(), other, self_signed("CN=member", dns=["member.example"])):
        assert 401 == send(registering, method, body, identity=identity, **owner).status
    plain = {**owner, "uri": f"{registering.issuer}/register/{made['client_id']}"}
    assert 401 == send(registering, method, body, **plain).status
    expected = 204 if method == "DELETE" else 200
    assert expected == send(registering, method, body, identity=member, **owner).status


@pytest.mark.parametrize(("name", "value"), MORE_THAN_ITS_WAY)
def test_a_replacement_has_no_more_than_the_way_either(
    registering: World, member: Issued, name: str, value: Any
) -> None:
    """What was refused at first cannot be had afterwards; nor can somebody else's name."""
    made = send(registering, "POST", SECRET, identity=member).json
    owner = {"token": made["registration_access_token"], "uri": made["registration_client_uri"], "identity": member}
    body = {**SECRET, "client_id": made["client_id"]}
    for wrong in ({**body, name: value}, {**body, **PKI}):
        refused = send(registering, "PUT", wrong, **owner)
        assert (400, "invalid_client_metadata") == (refused.status, refused.json["error"])
    assert made["scope"] == send(registering, "GET", **owner).json["scope"]


def test_a_revoked_certificate_neither_registers_nor_manages(registering: World) -> None:
    """One that was revoked here is as good as none."""
    lost = REGISTRANTS.issue("CN=lost", dns=["lost.example"])
    made = send(registering, "POST", SECRET, identity=lost).json
    owner = {"token": made["registration_access_token"], "uri": made["registration_client_uri"], "identity": lost}
    assert 200 == send(registering, "GET", **owner).status

    async def revoke() -> None:
        async with opened_store(registering.settings) as store:
            thumbprint = read_certificate(lost.der).thumbprint
            await store.revocations.add(RevocationRecord(kind=RevokedKind.CERTIFICATE, value=thumbprint))

    asyncio.run(revoke())
    time.sleep(1)  # `directory.MAX_AGE`
    assert 401 == send(registering, "GET", **owner).status
    assert 401 == send(registering, "POST", SECRET, identity=lost).status


def test_a_renewed_certificate_locks_nobody_out(registering: World, member: Issued) -> None:
    """Any that authenticates the client will do; where it has another method, one of the same subject and anchors."""
    made = send(registering, "POST", MEMBER, identity=member).json
    certificate = registering.authority.issue("CN=renewed", dns=["member.example"])
    owner = {"token": made["registration_access_token"], "uri": made["registration_client_uri"]}
    assert 200 == send(registering, "GET", identity=certificate, **owner).status

    made = send(registering, "POST", SECRET, identity=member).json
    owner = {"token": made["registration_access_token"], "uri": made["registration_client_uri"]}
    renewed = REGISTRANTS.issue("CN=member", dns=["member.example"])
    other = REGISTRANTS.issue("CN=other", dns=["member.example"])
    elsewhere = registering.authority.issue("CN=member", dns=["member.example"])
    assert [200, 200, 401, 401, 401] == [
        send(registering, "GET", identity=each, **owner).status for each in (member, renewed, other, elsewhere, None)
    ]


@pytest.mark.parametrize("body", [MEMBER, SECRET], ids=["authenticates", "vouched for"])
def test_what_its_authority_revoked_manages_nothing(registering: World, member: Issued, body: dict[str, Any]) -> None:
    """Though it is the client's in every other way: with it a thief would register a key that nobody revokes."""
    made = send(registering, "POST", body, identity=member).json
    owner = {"token": made["registration_access_token"], "uri": made["registration_client_uri"]}
    own = {**own_keys(self_signed("CN=thief")), "client_id": made["client_id"]}
    for method, content in (("GET", None), ("PUT", own), ("DELETE", None)):
        assert 401 == send(registering, method, content, identity=STOLEN, **owner).status
    assert 200 == send(registering, "GET", identity=member, **owner).status


@pytest.mark.parametrize("who", ["administrator", "client"])
def test_a_replaced_certificate_manages_nothing(registering: World, who: str) -> None:
    """Neither can it put itself back; the one that stands in its place manages, whoever put it there."""
    old, new = self_signed("CN=own"), self_signed("CN=own")
    made = send(registering, "POST", own_keys(old), invite(registering), identity=old).json
    owner = {"token": made["registration_access_token"], "uri": made["registration_client_uri"]}
    replacement, back = ({**own_keys(each), "client_id": made["client_id"]} for each in (new, old))
    if who == "client":
        assert 200 == send(registering, "PUT", replacement, identity=old, **owner).status
    else:
        registering.update(made["client_id"], jwks=own_keys(new)["jwks"])
    for method, content in (("GET", None), ("PUT", back), ("DELETE", None)):
        assert 401 == send(registering, method, content, identity=old, **owner).status
    assert 200 == send(registering, "PUT", replacement, identity=new, **owner).status


def test_a_name_that_was_replaced_manages_nothing(registering: World, member: Issued) -> None:
    """Though somebody vouches for the certificate still, and the client came with it."""
    made = send(registering, "POST", MEMBER, identity=member).json
    owner = {"token": made["registration_access_token"], "uri": made["registration_client_uri"]}
    registering.update(made["client_id"], tls_client_auth_san_dns="other.example")
    assert 401 == send(registering, "GET", identity=member, **owner).status
    other = REGISTRANTS.issue("CN=other", dns=["other.example"])
    assert 200 == send(registering, "GET", identity=other, **owner).status


def test_who_needs_no_certificate_any_more_is_bound_to_none(registering: World, member: Issued) -> None:
    """From a method with one to another: bound to nothing, unless the way demands that somebody vouches."""
    own = self_signed("CN=own")
    made = send(registering, "POST", own_keys(own), invite(registering), identity=own).json
    changed = send(registering, "PUT", {**SECRET, "client_id": made["client_id"]}, made["registration_access_token"],
                   own, uri=made["registration_client_uri"]).json  # fmt: skip
    assert changed["registration_client_uri"].startswith(registering.issuer)
    owner = {"token": changed["registration_access_token"], "uri": changed["registration_client_uri"]}
    body = {**SECRET, "client_id": made["client_id"]}
    there = owner | {"uri": made["registration_client_uri"]}
    assert 200 == send(registering, "PUT", body, identity=member, **there).status
    assert 200 == send(registering, "GET", **owner).status

    made = send(registering, "POST", MEMBER, identity=member).json
    owner = {"token": made["registration_access_token"], "uri": made["registration_client_uri"]}
    changed = send(registering, "PUT", {**SECRET, "client_id": made["client_id"]}, identity=member, **owner).json
    assert changed["registration_client_uri"].startswith(registering.mtls)
    renewed = REGISTRANTS.issue("CN=member", dns=["member.example"])
    assert [200, 401, 401] == [
        send(registering, "GET", identity=each, **owner).status for each in (renewed, self_signed("CN=member"), None)
    ]


def test_a_new_name_needs_somebody_who_vouches(registering: World, member: Issued) -> None:
    """As at registration: nobody's word is the same as a wrong one.  A name that stays is not asked about again."""
    made = send(registering, "POST", MEMBER, identity=member).json
    owner = {"token": made["registration_access_token"], "uri": made["registration_client_uri"]}
    elsewhere = registering.authority.issue("CN=member", dns=["member.example", "new.example"])
    body = {**MEMBER, "client_id": made["client_id"]}
    assert 200 == send(registering, "PUT", body, identity=elsewhere, **owner).status
    changed = {**PKI, "client_id": made["client_id"]}
    refused = send(registering, "PUT", changed, identity=elsewhere, **owner)
    assert (401, "invalid_token") == (refused.status, refused.json["error"])
    both = REGISTRANTS.issue("CN=member", dns=["member.example", "new.example"])
    assert 200 == send(registering, "PUT", changed, identity=both, **owner).status


def test_a_registration_token_is_made_anew(registering: World) -> None:
    """The one before it is worth nothing at once; what must be shown beside it stays the same."""
    own = self_signed("CN=own")
    for body, identity in ((SECRET, None), (own_keys(own), own)):
        made = send(registering, "POST", body, invite(registering), identity=identity).json
        uri, old = made["registration_client_uri"], made["registration_access_token"]

        async def renew(client_id: str = made["client_id"]) -> str | None:
            async with open_registry(registering.settings) as registry:
                return await registry.renew_registration_token(client_id)

        new = asyncio.run(renew())
        assert 401 == send(registering, "GET", None, old, identity, uri=uri).status
        assert new == send(registering, "GET", None, new, identity, uri=uri).json["registration_access_token"]
        assert (200 if identity is None else 401) == send(registering, "GET", None, new, uri=uri).status


def test_a_removed_client_has_no_token(registering: World) -> None:
    """204, and neither its token nor its registration access token is worth anything."""
    made = send(registering, "POST", SECRET, invite(registering)).json
    owner = {"token": made["registration_access_token"], "uri": made["registration_client_uri"]}
    token = by_secret(registering, made).json["access_token"]
    place = claims_of(token)["status"]["status_list"]["idx"]
    assert asyncio.run(is_valid(registering, place))
    gone = send(registering, "DELETE", **owner)
    assert (204, b"") == (gone.status, gone.body)
    assert 401 == send(registering, "GET", **owner).status
    assert 401 == send(registering, "DELETE", **owner).status
    assert not asyncio.run(is_valid(registering, place))
    assert 401 == by_secret(registering, made).status


def test_two_changes_at_once_follow_each_other(registering: World) -> None:
    """Each is whole: what stands in the end is one of them, and none is answered with a fault."""
    made = send(registering, "POST", SECRET, invite(registering)).json
    owner = {"token": made["registration_access_token"], "uri": made["registration_client_uri"]}

    def change(n: int) -> int:
        body = {**SECRET, "client_id": made["client_id"], "client_name": f"{n}", "software_id": f"{n}"}
        return int(send(registering, "PUT", body, **owner).status)

    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(change, range(4)))
    assert {200, 503} >= set(statuses)
    assert 200 in statuses
    after = send(registering, "GET", **owner).json
    assert after["client_name"] == after["software_id"] != ""


def test_what_a_client_says_of_itself_comes_back(registering: World) -> None:
    """As it came, in other languages too; what means nothing here does not."""
    said = {
        "client_name": "Klient", "client_name#cs": "Klient č. 1", "client_uri": "https://a.example/",
        "logo_uri": "https://a.example/l.png", "contacts": ["ops@a.example"], "tos_uri": "https://a.example/tos",
        "policy_uri#de-AT": "https://a.example/p", "software_id": "4NRB1", "software_version": "2",
        "redirect_uris": ["https://a.example/cb", "http://127.0.0.1:8/cb", "com.example.app:/cb"],
    }  # fmt: skip
    answer = send(registering, "POST", {**SECRET, **said, "colour": "red", "x#cs": "y"}, invite(registering)).json
    assert said == {name: answer.get(name) for name in said}
    assert not {"colour", "x#cs"} & answer.keys()


def test_the_endpoint_is_in_the_metadata(registering: World, deployment: World) -> None:
    """Beside its alias where a way is open; elsewhere it is not there at all."""
    path = "/.well-known/oauth-authorization-server"
    document = registering.ask(registering.issuer + path, method="GET").json
    assert registering.issuer + "/register" == document["registration_endpoint"]
    assert registering.mtls + "/register" == document["mtls_endpoint_aliases"]["registration_endpoint"]
    closed = deployment.ask(deployment.issuer + path, method="GET").json
    assert "registration_endpoint" not in {*closed, *closed["mtls_endpoint_aliases"]}
    assert 404 == send(deployment, "POST", SECRET).status


def test_open_registration_is_bounded(tmp_path: Path) -> None:
    """So many in a minute; who is refused for another reason takes no place."""
    open_way = way("open", methods=["tls_client_auth"])
    with world(tmp_path, registration__ways=[open_way], registration__open_per_minute=3) as running:
        while time.time() % 60 > 55:
            assert [400] * 4 == [send(running, "POST", {**PKI, "scope": "write"}).status for _ in range(4)]
        answers = [send(running, "POST", PKI) for _ in range(5)]
    assert [201, 201, 201, 429, 429] == [each.status for each in answers]
    assert "temporarily_unavailable" == answers[-1].json["error"]
    assert "60" == answers[-1].headers["retry-after"]


@pytest.fixture(scope="module")
def open_to_apps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One where anybody registers apps that act for people, at two hosts or on people's own machines."""
    apps = way(
        "apps", methods=["none", "client_secret_basic"], grant_types=["authorization_code", "refresh_token"],
        scopes=["openid", "read"], redirect_hosts=["app.example", ".partner.example"],
    )  # fmt: skip
    methods = ["none", "client_secret_basic"]
    with people_world(
        tmp_path_factory.mktemp("apps"), registration__ways=[apps], registration__open_per_minute=1000,
        authentication__methods=methods,
    ) as running:  # fmt: skip
        yield running


APP = {"token_endpoint_auth_method": "none", "redirect_uris": ["http://127.0.0.1/cb"]}


def test_an_app_registers_itself_and_acts_for_somebody(open_to_apps: World) -> None:
    """It names no grant, so it wants the code (RFC 7591 section 2); its port is the one that it got."""
    made = send(open_to_apps, "POST", {**APP, "application_type": "native"})
    assert made.status == 201, made
    assert made.json["grant_types"] == ["authorization_code"]
    assert made.json["response_types"] == ["code"]
    app = App(open_to_apps, made.json["client_id"], self_signed("CN=app"), "http://127.0.0.1:49152/cb")
    answer = app.redeem(app.code())
    assert answer.status == 200, answer
    assert claims_of(answer.json["access_token"])["cnf"]


@pytest.mark.parametrize("member_name", ["redirect_uris", "post_logout_redirect_uris"])
def test_a_way_sends_people_to_its_hosts_alone(open_to_apps: World, member_name: str) -> None:
    """Neither whoever registers nor whoever changes a client has another; the refusal names the member."""
    for uri in ("https://app.example/cb", "https://a.partner.example:8443/", "com.example.app:/cb"):
        assert 201 == send(open_to_apps, "POST", {**APP, member_name: [uri]}).status, uri
    made = send(open_to_apps, "POST", APP).json
    own = {"token": made["registration_access_token"], "uri": made["registration_client_uri"]}
    for uri in ("https://evil.example/", "https://app.example.evil.example/", "https://partner.example/",
                "https://app.example@evil.example/", "https://evil.example\\.partner.example/", "http://app.example/cb",
                "https://evil.example/#.partner.example", "https://evil.example%2f.partner.example/"):  # fmt: skip
        body = {**APP, member_name: ["http://127.0.0.1/cb", uri]}
        for answer in (
            send(open_to_apps, "POST", body),
            send(open_to_apps, "PUT", {**body, "client_id": made["client_id"]}, **own),
        ):
            assert (400, "invalid_redirect_uri") == (answer.status, answer.json["error"]), uri
            assert answer.json["error_description"].startswith(member_name), answer
    assert APP["redirect_uris"] == send(open_to_apps, "GET", **own).json["redirect_uris"]


@pytest.mark.parametrize("member_name", UNSPOKEN)
def test_what_an_app_would_rely_on_is_refused_by_name(open_to_apps: World, member_name: str) -> None:
    """Instead of registering it without a word."""
    answer = send(open_to_apps, "POST", {**APP, member_name: ["x"] if member_name.endswith("s") else "x"})
    assert (400, "invalid_client_metadata") == (answer.status, answer.json["error"])
    assert answer.json["error_description"].startswith(f"{member_name}: ")


def invite(deployment: World, *, uses: int = 1, lives: float = 60) -> str:
    """An initial access token."""
    token = f"cbia_{time.monotonic_ns()}"

    async def go() -> None:
        async with opened_store(deployment.settings) as store:
            now = time.time()
            await store.initial_tokens.add(
                InitialTokenRecord(digest=digest_of(token), uses=uses, created_at=now, ends_at=now + lives)
            )

    asyncio.run(go())
    return token


def send(
    deployment: World,
    method: str,
    body: Any = None,
    token: str | None = None,
    identity: Issued | None = None,
    *,
    uri: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """To the registration endpoint, over mutual TLS if there is a certificate."""
    base = deployment.issuer if identity is None else deployment.mtls
    fields = {} if token is None else {"authorization": f"Bearer {token}"}
    if body is not None:
        fields["content-type"] = "application/json"
    content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    return deployment.ask(
        uri or f"{base}/register", identity, method=method, body=content, headers={**fields, **(headers or {})}
    )


def statement(*, key: ECKey = SIGNER, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
    """A software statement of the directory, unless `claims` say otherwise."""
    said = {"iss": DIRECTORY, "iat": time.time(), "software_id": "s-1", **claims}
    named = {"alg": "ES256", "kid": "one", "typ": "JWT", **(header or {})}
    return jwt.encode(named, {name: value for name, value in said.items() if value is not None}, key)


def own_keys(issued: Issued) -> dict[str, Any]:
    """A client that is known by this certificate."""
    return {
        "token_endpoint_auth_method": "self_signed_tls_client_auth",
        "jwks": make_jwks([read_certificate(issued.der)]),
    }


def forged() -> Issued:
    """A certificate with the names of a member, by somebody with the names of its issuer."""
    return Authority.create("Registrants").issue("CN=member", dns=["member.example"])


def by_secret(deployment: World, registered: Mapping[str, Any]) -> Answer:
    """A token request of a client with a secret."""
    pair = base64.b64encode(f"{registered['client_id']}:{registered['client_secret']}".encode()).decode()
    return deployment.ask(
        f"{deployment.issuer}/token",
        form={"grant_type": "client_credentials"},
        headers={"authorization": f"Basic {pair}"},
    )


def claims_of(token: str) -> Any:
    """What a JWT says."""
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


async def kept(deployment: World, client_id: str) -> Any:
    """All that is stored of a client."""
    async with opened_store(deployment.settings) as store:
        record = await store.clients.find(client_id)
        assert record is not None
        return record, record.secrets, [each.digest for each in record.secrets]


def stored(deployment: World, client_id: str) -> RegistrationRecord:
    """How a client came."""
    registration = asyncio.run(kept(deployment, client_id))[0].registration
    assert isinstance(registration, RegistrationRecord)
    return registration


async def is_valid(deployment: World, place: int) -> bool:
    """Whether the status of a token is."""
    async with opened_store(deployment.settings) as store:
        return await store.revocations.is_valid(place)
