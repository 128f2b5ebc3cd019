"""Apache with mod_oauth2 (`type=mtls`) takes our tokens from whom they were issued to and from nobody else."""

from collections.abc import Iterator

import pytest

from certbound.trust.authority import Issued, self_signed
from clients.programs import needs, register_with_secret
from clients.serving import APACHE, Apache, apache
from e2e.world import RESOURCE, Answer, World

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def server(deployment: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apache]:
    needs(APACHE, "/usr/lib/apache2/modules/mod_oauth2.so")
    secret = register_with_secret(deployment, "apache", "client_secret_basic", protected_resources=[RESOURCE])
    with apache(deployment, secret, tmp_path_factory.mktemp("apache")) as running:
        yield running


def refused(answer: Answer) -> bool:
    return answer.status == 401 and 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_a_token_with_its_certificate_is_taken(server: Apache, deployment: World, pki: Issued) -> None:
    """The claims reach the API behind it."""
    answer = server.ask(deployment.token("pki", pki), pki)
    assert 200 == answer.status, server.log
    assert ("pki", "read write") == (answer.json["oauth2_claim_client_id"], answer.json["oauth2_claim_scope"])


def test_a_self_signed_certificate_is_as_good(server: Apache, deployment: World, own: Issued) -> None:
    """Nobody asks for a chain where only possession counts (R26)."""
    assert 200 == server.ask(deployment.token("own", own), own).status


def test_a_stolen_token_is_refused(server: Apache, deployment: World, pki: Issued, stranger: Issued) -> None:
    """Also when its verdict on the token itself is remembered from the owner's call."""
    token = deployment.token("pki", pki)
    assert 200 == server.ask(token, pki).status
    for thief in (stranger, None):
        assert refused(server.ask(token, thief))
    assert 200 == server.ask(token, pki).status


def test_no_token_and_no_sound_one_are_refused(server: Apache, deployment: World, pki: Issued) -> None:
    """Nothing, a word, and a token whose signature was cut."""
    token = deployment.token("pki", pki)
    assert 401 == server.ask(None, pki).status
    for bad in ("abc", token[:-8]):
        assert refused(server.ask(bad, pki))


def test_tokens_for_others_are_refused(server: Apache, deployment: World, pki: Issued) -> None:
    """Another audience, another scope: 401, which is what mod_oauth2 answers to both."""
    assert 401 == server.ask(deployment.token("pki", pki, resource="https://other.example"), pki).status
    assert 401 == server.ask(deployment.token("pki", pki, scope="write"), pki).status


def test_claims_in_headers_are_apaches_own(server: Apache, deployment: World, pki: Issued) -> None:
    """What a caller writes there does not reach the API."""
    answer = server.ask(deployment.token("pki", pki), pki, OAUTH2_CLAIM_client_id="root", OAUTH2_CLAIM_admin="yes")
    assert 200 == answer.status
    assert "pki" == answer.json["oauth2_claim_client_id"]
    assert "oauth2_claim_admin" not in answer.json


def test_by_introspection_a_revoked_token_is_refused_at_once(
    server: Apache, deployment: World, pki: Issued, stranger: Issued
) -> None:
    """It asks at each call, is told `cnf` and compares it itself."""
    token = deployment.token("pki", pki)
    assert 200 == server.ask(token, pki, "/asked").status, server.log
    assert refused(server.ask(token, stranger, "/asked"))
    assert 200 == deployment.revoke(token, "pki", pki).status
    assert refused(server.ask(token, pki, "/asked"))


def test_by_introspection_opaque_tokens_are_taken(server: Apache, deployment: World, stranger: Issued) -> None:
    """Where keys decide they are refused: they have no signature."""
    identity = self_signed("CN=opaque")
    deployment.register_self_signed("opaque", identity, access_token_format="opaque")
    token = deployment.token("opaque", identity)
    assert token.startswith("cbat_")
    assert 200 == server.ask(token, identity, "/asked").status, server.log
    for answer in (server.ask(token, stranger, "/asked"), server.ask(token, identity)):
        assert refused(answer)
