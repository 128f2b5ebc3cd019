"""`kill -9` at every step of what a client asks for a person: a code with an ID token, a refresh, a pushed request.

As in `test_killed`: who got no answer asks again, and goes on or is refused and begins anew; nothing lives twice.
"""

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from certbound.core.authentication import digest_of
from certbound.core.ports import ConsentRecord
from e2e.acting import subject_logged_in
from e2e.codes import BACK, CHALLENGE, CODE, agreed, in_store
from e2e.mortal import mortal
from e2e.people import request_url
from e2e.test_killed import WIDE, Place, access, claims_of, is_refused
from e2e.world import RESOURCE, Answer

pytestmark = pytest.mark.timeout(300)

GRANTS = [CODE, "refresh_token"]
SCOPE = ("openid", "read")
NONE = {"token_endpoint_auth_method": "none"}
SECTOR = {"subject_type": "pairwise"}
UNBOUND = {"tls_client_certificate_bound_access_tokens": False}


class Acting(Place):
    """With clients that people let act: `web` proves its certificate, `app` has one, `spa` has none."""

    def prepare(self) -> None:
        super().prepare()
        people = {"grant_types": GRANTS, "redirect_uris": [BACK], "scope": " ".join(SCOPE)}
        self.world.register_self_signed("person-web", self.phone, **people)
        self.world.register_self_signed("person-pairwise", self.phone, **people, **SECTOR)
        self.world.register("person-app", **NONE, **people, tls_client_certificate_bound_access_tokens=True)
        self.world.register("person-spa", **NONE, **people, **UNBOUND)

    def code(self, name: str) -> str:
        """One that a person agreed to a moment ago."""
        return agreed(self.world, name, person=self.anna, scope=SCOPE, nonce="n")

    def redeemed(self, name: str, code: str) -> Answer:
        return self.redeem(code, name, self.identity(name))

    def refreshed(self, name: str, token: str) -> Answer:
        return self.refresh(token, name, self.identity(name))

    def identity(self, name: str) -> Any:
        return None if name == "person-spa" else self.phone

    def live_grants(self, name: str) -> int:
        return self.count("grants", f"client_id = '{name}' AND valid")

    def withdraw(self, name: str) -> None:
        in_store(self.world, lambda store: store.consents.withdraw(self.anna, name))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Acting]:
    options = {
        "authentication__methods": ["none", "client_secret_basic", "private_key_jwt", "self_signed_tls_client_auth"],
        "tokens__bind": "requested",
        "tokens__refresh_grace": 60,
        "tokens__scopes": ["read", "write", "openid"],
        "login__accounts": True,
    }
    with mortal(Acting, tmp_path_factory.mktemp("acting"), **options) as made:
        made.prepare()
        yield made


def subject_of(answer: Answer) -> str:
    """Whom an answer with an ID token is about: both tokens say the same."""
    told, token = claims_of(answer.json["id_token"]), claims_of(access(answer))
    assert told["sub"] == token["sub"]
    return str(told["sub"])


@WIDE
@pytest.mark.parametrize("name", ["person-web", "person-pairwise", "person-spa"])
def test_a_code_with_an_id_token_gives_one_live_token(place: Acting, name: str, wide: bool) -> None:
    """Whatever was lost, the person is called the same, and the ID token that comes is of the grant that lives."""
    subjects = set()
    for code, death in place.deaths(wide, partial(place.code, name), partial(place.redeemed, name), fresh=True):
        is_taken = place.live_grants(name) == 1
        assert is_taken or not death.was_granted, death
        again = place.redeemed(name, code)
        assert is_refused(again) if is_taken else again.status == 200, death
        assert place.live_grants(name) == int(not is_taken), death
        good = [each for each in (death.answer, again) if each is not None and each.status == 200]
        subjects |= {subject_of(each) for each in good}
        for each in good:
            assert claims_of(each.json["id_token"])["nonce"] == "n", death
            assert place.is_told_active(access(each)) == (each is again), death
        assert is_refused(place.redeemed(name, code)), death
        assert place.live_grants(name) == 0, death
        anew = place.redeemed(name, place.code(name))
        subjects.add(subject_of(anew))
        assert place.refreshed(name, anew.json["refresh_token"]).status == 200, "the client begins anew"
        place.withdraw(name)
    assert len(subjects) == 1


@WIDE
@pytest.mark.parametrize("name", ["person-web", "person-app", "person-spa"])
def test_a_persons_refresh_token_survives(place: Acting, name: str, wide: bool) -> None:
    """It is presented again and gives tokens; there is one line, and the person sees that it was used."""

    def begin() -> str:
        token = str(place.redeemed(name, place.code(name)).json["refresh_token"])
        place.write("UPDATE consents SET used_at = NULL WHERE client_id = ?", name)
        return token

    for old, death in place.deaths(wide, begin, partial(place.refreshed, name), fresh=True):
        again = place.refreshed(name, old)
        good = [each for each in (death.answer, again) if each is not None]
        assert all(place.is_active(access(each)) for each in good), death
        assert {claims_of(access(each))["sub"] for each in good} == {place.anna}, death
        newest = {each.json.get("refresh_token", old) for each in good}
        assert len(newest) == 1, death
        assert place.live_tokens(old) == [digest_of(each) for each in newest], death
        assert (newest == {old}) == (name != "person-spa"), death
        [(used,)] = place.rows("SELECT used_at FROM consents WHERE client_id = ?", name)
        assert used, death
        place.withdraw(name)
        time.sleep(1)  # the server hears of it
        assert not any(place.is_told_active(access(each)) for each in good), death
        assert is_refused(place.refreshed(name, newest.pop())), death


@WIDE
@pytest.mark.parametrize("name", ["person-web", "person-app"])
def test_a_push_whose_answer_was_lost_is_made_again(place: Acting, name: str, wide: bool) -> None:
    """What is kept of the lost one leads nobody anywhere; the next one leads to one code."""
    consent = ConsentRecord(subject=place.anna, client_id=name, scope=SCOPE, resources=(RESOURCE,), created_at=1)
    in_store(place.world, lambda store: store.consents.put(consent))
    browser = subject_logged_in(place.world, place.anna)
    asked = {
        "response_type": "code", "redirect_uri": BACK, "scope": " ".join(SCOPE), "resource": RESOURCE,
        "code_challenge": CHALLENGE, "code_challenge_method": "S256", "prompt": "none",
    }  # fmt: skip

    def push(_: int) -> Answer:
        return place.world.post("par", name, place.identity(name), **asked)

    def kept() -> int:
        return place.count("tickets", "ticket LIKE 'pushed%'")

    for before, death in place.deaths(wide, kept, push):
        assert kept() - before == (1 if "committed" in death.told else 0), death
        assert death.answer is None or death.answer.status == 201, death
        again = push(0)
        for answer in filter(None, (death.answer, again)):
            query = {"client_id": name, "request_uri": answer.json["request_uri"]}
            code = browser.visit(request_url(place.world, query)).members["code"]
            assert place.redeem(code, name, place.identity(name)).status == 200, death
            assert browser.visit(request_url(place.world, query)).status == 400, "used up"
