"""certbound.core.registration: what a request shows, which way takes it, and what of it counts."""

from dataclasses import replace
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from certbound.core.authentication import digest_of
from certbound.core.clients import Allowed, Method
from certbound.core.errors import InvalidClientMetadata, InvalidStatement, RegistrationDenied, UnapprovedStatement
from certbound.core.ports import ClientRecord, RegistrationRecord
from certbound.core.registration import (
    Need,
    StatementPolicy,
    Way,
    bearer_token,
    choose_way,
    name_of,
    read_replacement,
    read_request,
    require_token,
    statement_issuer,
    verify_statement,
)
from certbound.core.scope import Scope
from certbound.trust.authority import Authority, self_signed
from certificates import NOW, TODAY, read

SIGNER = ECKey.generate_key("P-256")
ISSUER = "https://directory.example"
POLICY = StatementPolicy(
    issuers={ISSUER: KeySet([SIGNER])}, algorithms=("ES256",), max_age=300, must_have=frozenset({"software_id"})
)
ALLOWED = Allowed(
    scope=Scope(frozenset({"read"})),
    grant_types=frozenset({"client_credentials"}),
    methods=frozenset(Method),
    has_anchors=True,
)
BOTH = frozenset({Need.MUTUAL_TLS, Need.SOFTWARE_STATEMENT})


def way(name: str, *needs: Need) -> Way:
    """A row of policy."""
    return Way(name=name, needs=frozenset(needs), allowed=ALLOWED)


def signed(**claims: Any) -> str:
    """A statement of the directory, unless `claims` say otherwise."""
    said = {"iss": ISSUER, "iat": NOW, "software_id": "s", **claims}
    return jwt.encode({"alg": "ES256"}, {name: value for name, value in said.items() if value is not None}, SIGNER)


def test_the_first_way_that_fits_counts() -> None:
    """All of what it needs is shown; what it does not need may be shown too."""
    ways = [way("both", *BOTH), way("tls", Need.MUTUAL_TLS), way("token", Need.INITIAL_TOKEN)]
    assert choose_way(ways, BOTH).name == "both"
    assert choose_way(ways, {Need.MUTUAL_TLS, Need.INITIAL_TOKEN}).name == "tls"
    for shown in (set(), {Need.SOFTWARE_STATEMENT}):
        with pytest.raises(RegistrationDenied):
            choose_way(ways, shown)
    with pytest.raises(RegistrationDenied):
        choose_way([], set(Need))
    assert choose_way([way("open")], set()).name == "open"


@pytest.mark.parametrize(
    "headers",
    [[b"Basic cbia_x"], [b"cbia_x"], [b"Bearer cbrg_x"], [b"Bearer"], [b""], [b"Bearer cbia_x", b"Bearer cbia_x"],
     [b"Bearer cbia_" + b"x" * 200], [b"Bearer \xff"]],
)  # fmt: skip
def test_a_header_that_is_no_bearer_token_is_refused(headers: list[bytes]) -> None:
    """Never passed over: what is shown is good or the request is refused."""
    with pytest.raises(RegistrationDenied):
        bearer_token(headers, "cbia_")


def test_a_bearer_token_is_read() -> None:
    """The scheme in any spelling; no header is no token."""
    assert bearer_token([b"bearer cbia_x"], "cbia_") == "cbia_x"
    assert bearer_token([], "cbia_") is None


def test_a_statement_counts_while_it_is_fresh() -> None:
    """What it says of the client is taken; what it says of itself and what nobody knows is not."""
    said = signed(scope="read", colour="red", client_name=None, exp=NOW + 60, software_statement="x.y.z")
    stated = verify_statement(said, issuer=ISSUER, keys=KeySet([SIGNER]), policy=POLICY, now=NOW + 30)
    assert stated == {"scope": "read", "software_id": "s"}
    assert statement_issuer(said, POLICY) == ISSUER


@pytest.mark.parametrize(
    ("claims", "error"),
    [
        ({"iat": NOW - 301}, InvalidStatement), ({"iat": NOW + 61}, InvalidStatement),
        ({"iat": None}, InvalidStatement),
        ({"iat": "now"}, InvalidStatement), ({"iat": True}, InvalidStatement), ({"exp": NOW}, InvalidStatement),
        ({"exp": "never"}, InvalidStatement), ({"nbf": NOW + 61}, InvalidStatement),
        ({"iss": "https://other.example"}, InvalidStatement), ({"software_id": None}, UnapprovedStatement),
    ],
)  # fmt: skip
def test_a_statement_that_does_not_count(claims: dict[str, Any], error: type[Exception]) -> None:
    """Too old, of another time, of somebody else, or without what is wanted."""
    with pytest.raises(error):
        verify_statement(signed(**claims), issuer=ISSUER, keys=KeySet([SIGNER]), policy=POLICY, now=NOW)


def test_a_statement_is_signed_as_is_listed() -> None:
    """By an algorithm that this deployment takes, as a JWT of no special type, and by a key of its issuer."""
    rsa = RSAKey.generate_key(2048)
    said = {"iss": ISSUER, "iat": NOW, "software_id": "s"}
    keys = KeySet([SIGNER, rsa])
    for header, key in (
        ({"alg": "RS256"}, rsa), ({"alg": "ES256", "typ": "at+jwt"}, SIGNER), ({"alg": "ES256"}, ECKey.generate_key()),
    ):  # fmt: skip
        with pytest.raises(InvalidStatement):
            verify_statement(jwt.encode(header, said, key), issuer=ISSUER, keys=keys, policy=POLICY, now=NOW)
    taken = replace(POLICY, algorithms=("ES256", "RS256"))
    made = jwt.encode({"alg": "RS256"}, said, rsa)
    assert verify_statement(made, issuer=ISSUER, keys=keys, policy=taken, now=NOW) == {"software_id": "s"}


def test_what_a_statement_says_wins_over_the_request() -> None:
    """And a default stands where neither says anything; `null` says nothing."""
    asked = {"client_name": "a", "scope": None, "colour": "red", "software_statement": "x.y.z"}
    read = read_request(asked, stated={"client_name": "b"}, way=way("open"))
    assert read == {"token_endpoint_auth_method": "client_secret_basic", "scope": "read", "client_name": "b"}


def test_a_replacement_names_its_client_and_chooses_no_secret() -> None:
    """RFC 7592 section 2.2."""
    fits = [digest_of("mine")]
    body = {"client_id": "a", "client_secret": "mine", "scope": "read"}
    assert read_replacement(body, client_id="a", fits_secret=fits) == {"scope": "read"}
    for wrong in ({"client_id": "b"}, {"client_id": None}, {"client_secret": "other"}, {"client_secret": ""}):
        with pytest.raises(InvalidClientMetadata) as refused:
            read_replacement({**body, **wrong}, client_id="a", fits_secret=fits)
        assert refused.value.field == next(iter(wrong))


def test_a_registration_token_is_its_clients() -> None:
    """Whoever has another, or none, or asks for a client that is not there, learns the same."""
    record = ClientRecord(client_id="a", metadata={}, registration=RegistrationRecord(digest=digest_of("cbrg_a")))
    assert require_token(record, "cbrg_a").record is record
    by_hand = ClientRecord(client_id="a", metadata={})
    disabled = ClientRecord(client_id="a", metadata={}, enabled=False, registration=record.registration)
    refusals = set()
    for found, token in (
        (record, "cbrg_b"),
        (record, None),
        (None, "cbrg_a"),
        (by_hand, "cbrg_a"),
        (disabled, "cbrg_a"),
    ):
        with pytest.raises(RegistrationDenied) as refused:
            require_token(found, token)
        refusals.add((refused.value.error, refused.value.status, refused.value.description))
    assert len(refusals) == 1


def test_a_renewed_certificate_has_the_same_name() -> None:
    """The subject; where there is none the other names, in any order; a certificate without any is known by itself."""
    authority = Authority.create("CA", now=TODAY)

    def name(subject: str, *dns: str) -> str:
        return name_of(read(authority.issue(subject, dns=dns, now=TODAY)))

    assert name("CN=a", "a.example") == name("CN=a", "b.example") != name("CN=b", "a.example")
    assert name("", "a.example", "b.example") == name("", "b.example", "a.example")
    assert len({name("", "a.example"), name("", "a.example", "b.example"), name("", "b.example"), name("CN=a")}) == 4
    nameless = [read(self_signed("", now=TODAY)) for _ in range(2)]
    assert len({name_of(each) for each in nameless}) == 2
