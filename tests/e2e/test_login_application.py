"""A login application of the deployment says who people are: by mutual TLS, to the browser that it sends back."""

import http.client
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from certbound.core.jws import unverified_claims
from certbound.trust.authority import Issued, self_signed
from e2e.acting import App, make_app, people_world
from e2e.codes import DEVICE
from e2e.people import Browser, Page, request_url
from e2e.world import Answer, World

LOGIN = "https://login.example/"


@dataclass(frozen=True)
class Application:
    """The login application: where it asks, and its certificate."""

    world: World
    identity: Issued

    def ask(self, interaction: str, identity: Issued | None = None) -> Answer:
        return self.world.ask(self._url(interaction), identity or self.identity, method="GET")

    def say(
        self,
        interaction: str,
        said: Any,
        identity: Issued | None = None,
        connection: http.client.HTTPSConnection | None = None,
    ) -> Answer:
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        headers = {"content-type": "application/json"}
        url = self._url(interaction)
        return self.world.ask(url, identity or self.identity, body=body, headers=headers, connection=connection)

    def accept(self, interaction: str, subject: str = "p-1", **more: Any) -> str:
        """Where the browser is to be sent."""
        answer = self.say(interaction, {"accept": {"subject": subject, **more}})
        assert answer.status == 200, answer
        return str(answer.json["redirect_to"])

    def _url(self, interaction: str) -> str:
        return f"{self.world.mtls}/interactions/{interaction}"


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    overrides = {"login__url": LOGIN, "login__clients": ["login", "spare"], "login__device": True}
    methods = ["none", "self_signed_tls_client_auth"]
    with people_world(
        tmp_path_factory.mktemp("login"), login__accounts=False, authentication__methods=methods, **overrides
    ) as built:
        yield built


@pytest.fixture(scope="module")
def application(people: World) -> Application:
    identity = self_signed("CN=login application")
    people.register_self_signed("login", identity, scope="")
    return Application(people, identity)


@pytest.fixture(scope="module")
def app(people: World) -> App:
    return make_app(people, "bank", client_name="The Bank")


def begin(app: App, browser: Browser, **parameters: Any) -> str:
    """The id that the login application gets."""
    page = browser.visit(request_url(app.world, app.request(**parameters)))
    return interaction_of(page)


def interaction_of(page: Page) -> str:
    assert page.location.startswith(LOGIN), (page, page.html)
    return dict(parse_qsl(urlsplit(page.location).query))["interaction"]


def code_of(page: Page, browser: Browser) -> str:
    """After the consent, if it is asked for."""
    if not page.location:
        page = browser.send(page, "allow")
    return page.members["code"]


def test_a_person_of_theirs_gets_a_client_its_tokens(app: App, application: Application) -> None:
    """With the subject, the time and the way of the login as they were said."""
    browser = Browser(app.world)
    interaction = begin(app, browser, login_hint="anna@example.com", acr_values="gold silver", max_age="600")
    asked = application.ask(interaction)
    assert asked.status == 200
    assert asked.headers["cache-control"] == "no-store"
    assert asked.json == {
        "interaction": interaction,
        "client": {"client_id": "bank", "client_name": "The Bank"},
        "scope": "openid read",
        "resource": ["https://api.example"],
        "max_age": 600,
        "login_hint": "anna@example.com",
        "acr_values": "gold silver",
    }
    moment = int(time.time()) - 100
    back = application.accept(interaction, "p-1|anna", auth_time=moment, acr="gold", amr=["pwd", "otp"])
    assert back.startswith(f"{app.world.issuer}/interaction/{interaction}?proof=")
    tokens = app.redeem(code_of(browser.visit(back), browser)).json
    claims = unverified_claims(tokens["id_token"])
    assert (claims["sub"], claims["auth_time"], claims["acr"]) == ("p-1|anna", moment, "gold")
    assert claims["amr"] == ["pwd", "otp"]
    assert unverified_claims(tokens["access_token"])["sub"] == "p-1|anna"
    # The next request of the same browser finds them logged in.
    assert "code" in browser.visit(request_url(app.world, app.request())).members


def test_the_ways_of_login_that_a_client_registered_count_where_a_request_has_none(
    people: World, application: Application
) -> None:
    """`default_acr_values`: told to the application, and who was logged in otherwise is sent there once more."""
    app = make_app(people, "strict", default_acr_values=["gold", "silver"])
    browser = Browser(people)
    interaction = begin(app, browser)
    assert application.ask(interaction).json["acr_values"] == "gold silver"
    code_of(browser.visit(application.accept(interaction, "p-9", acr="bronze")), browser)
    assert "code" in browser.visit(request_url(people, app.request(acr_values="bronze"))).members
    interaction = begin(app, browser)
    back = browser.visit(application.accept(interaction, "p-9", acr="silver"))
    assert unverified_claims(app.redeem(code_of(back, browser)).json["id_token"])["acr"] == "silver"
    assert "code" in browser.visit(request_url(people, app.request())).members


def test_nobody_is_logged_in_by_a_link_of_somebody_else(app: App, application: Application) -> None:
    """Who sends his own request to another person gets nothing, with the id and without the proof; nor do they."""
    attacker, victim = Browser(app.world), Browser(app.world)
    interaction = begin(app, attacker)
    back = application.accept(interaction, "victim")
    # The victim's browser did not begin it.
    assert victim.visit(back).status == 403
    assert "session" not in "".join(victim.cookies)
    # The attacker's has no proof, or a wrong one.
    for url in (
        f"/interaction/{interaction}",
        f"/interaction/{interaction}?proof=",
        f"/interaction/{interaction}?proof=x",
    ):
        assert interaction_of(attacker.visit(url)) == interaction
    assert "session" not in "".join(attacker.cookies)


def test_what_was_said_counts_once(app: App, application: Application) -> None:
    """The way back is worth nothing a second time, also not for the same browser without its session."""
    browser = Browser(app.world)
    interaction = begin(app, browser, prompt="login consent")
    back = application.accept(interaction)
    assert browser.visit(back).status == 200
    session = next(name for name in browser.cookies if "session" in name)
    del browser.cookies[session]
    assert interaction_of(browser.visit(back)) == interaction


def test_the_last_word_counts(app: App, application: Application) -> None:
    """Somebody went back, and logged in as another person: what was said before is worth nothing."""
    browser = Browser(app.world)
    interaction = begin(app, browser, prompt="login")
    first = application.accept(interaction, "p-1")
    second = application.accept(interaction, "p-2")
    assert interaction_of(browser.visit(first)) == interaction
    tokens = app.redeem(code_of(browser.visit(second), browser)).json
    assert unverified_claims(tokens["id_token"])["sub"] == "p-2"


def test_what_is_answered_is_over(app: App, application: Application) -> None:
    """404 for both, as for what never was."""
    browser = Browser(app.world)
    interaction = begin(app, browser, prompt="login")
    code_of(browser.visit(application.accept(interaction)), browser)
    for each in (interaction, "nothing", "cbia_" + "x" * 43, "%00", "x" * 3000):
        assert application.ask(each).status == 404
        assert application.say(each, {"accept": {"subject": "p-1"}}).status == 404


@pytest.mark.parametrize(
    ("reject", "error", "description"),
    [
        ({}, "access_denied", "nobody was logged in"),
        (
            {"error": "login_required", "error_description": 'come to the "branch"'},
            "login_required",
            "come to the 'branch'",
        ),
    ],
)
def test_a_rejection_is_told_to_the_client(
    app: App, application: Application, reject: dict[str, str], error: str, description: str
) -> None:
    """When the browser comes back with the proof, and only then."""
    browser = Browser(app.world)
    interaction = begin(app, browser, prompt="login")
    answer = application.say(interaction, {"reject": reject})
    assert interaction_of(browser.visit(f"/interaction/{interaction}")) == interaction
    told = browser.visit(answer.json["redirect_to"]).members
    assert (told["error"], told["error_description"], told["state"]) == (error, description, "s")
    assert told["iss"] == app.world.issuer


def test_a_rejection_for_a_page_of_ones_own(people: World, application: Application) -> None:
    """There is no client to tell: the person sees a page."""
    browser = Browser(people)
    interaction = interaction_of(browser.visit("/account"))
    assert application.ask(interaction).json == {"interaction": interaction, "client": None}
    answer = application.say(interaction, {"reject": {}})
    page = browser.visit(answer.json["redirect_to"])
    assert (page.status, page.location) == (400, "")
    interaction = interaction_of(browser.visit("/account"))
    page = browser.visit(application.accept(interaction, "p-9"))
    assert (page.status, page.url) == (200, f"{people.issuer}/account")
    assert "p-9" in page.html


def test_what_cannot_be_understood_changes_nothing(app: App, application: Application) -> None:
    """The answer names it, and the person is asked as before."""
    browser = Browser(app.world)
    interaction = begin(app, browser, prompt="login")
    with closing(app.world.connect(app.world.mtls, application.identity)) as connection:
        for said, why in NONSENSE:
            answer = application.say(interaction, said, connection=connection)
            assert answer.status == 400, (said, answer)
            assert why in answer.json["error_description"], (said, answer)
    assert interaction_of(browser.visit(f"/interaction/{interaction}")) == interaction


NONSENSE: list[tuple[Any, str]] = [
    (b"", "JSON"),
    (b"[]", "Expected"),
    (b"\xff", "JSON"),
    (b'{"accept":' + b"[" * 5000, "JSON"),
    ({}, "either accept or reject"),
    ({"accept": {"subject": "p"}, "reject": {}}, "either accept or reject"),
    ({"accept": {}}, "subject"),
    ({"accept": {"subject": "p"}, "remember": True}, "remember"),
    ({"accept": {"subject": "p", "claims": {}}}, "claims"),
    ({"accept": {"subject": ""}}, "accept.subject"),
    ({"accept": {"subject": "a b"}}, "accept.subject"),
    ({"accept": {"subject": "Žofie"}}, "accept.subject"),
    ({"accept": {"subject": "x" * 256}}, "accept.subject"),
    ({"accept": {"subject": 7}}, "subject"),
    ({"accept": {"subject": "bank"}}, "client_id of a client"),
    ({"accept": {"subject": "p", "auth_time": -1}}, "auth_time"),
    ({"accept": {"subject": "p", "auth_time": 99_999_999_999}}, "auth_time"),
    ({"accept": {"subject": "p", "auth_time": "now"}}, "auth_time"),
    ({"accept": {"subject": "p", "acr": "x" * 256}}, "acr"),
    ({"accept": {"subject": "p", "acr": "a\0"}}, "acr"),
    ({"accept": {"subject": "p", "amr": ["x"] * 17}}, "amr"),
    ({"reject": {"error": "invalid_grant"}}, "reject.error"),
    ({"reject": {"error_description": "x" * 501}}, "error_description"),
]  # fmt: skip


def test_a_login_that_is_too_old_is_refused_here(app: App, application: Application) -> None:
    """The client asks for one that is recent, or for a new one."""
    ago = time.time() - 1000
    for parameters in ({"max_age": "300"}, {"prompt": "login"}):
        interaction = begin(app, Browser(app.world), **parameters)
        answer = application.say(interaction, {"accept": {"subject": "p-1", "auth_time": ago}})
        assert answer.status == 400
        assert "auth_time" in answer.json["error_description"]
        application.accept(interaction)


def test_a_device_whose_client_wants_a_recent_login(people: World, application: Application) -> None:
    """The application is asked for a new one, by `prompt`; whose clock is a little late is not asked for ever."""
    people.register("tv", token_endpoint_auth_method="none", grant_types=[DEVICE], default_max_age=1)
    browser, ago = Browser(people), time.time() - 1000
    browser.visit(application.accept(interaction_of(browser.visit("/account")), auth_time=ago))
    begun = people.post("device_authorization", "tv", None).json
    interaction = interaction_of(browser.send(browser.visit("/device"), user_code=begun["user_code"]))
    assert application.ask(interaction).json == {"interaction": interaction, "client": None, "prompt": "login"}
    assert interaction_of(browser.visit(f"/interaction/{interaction}")) == interaction
    assert application.say(interaction, {"accept": {"subject": "p-1", "auth_time": ago}}).status == 400
    page = browser.visit(application.accept(interaction, auth_time=time.time() - 30))
    assert page.form.fields["user_code"] == begun["user_code"]
    assert browser.send(browser.send(page), "allow").status == 200


def test_the_person_whom_the_client_means(app: App, application: Application) -> None:
    """Is named by `subject`, and nobody else is taken."""
    browser = Browser(app.world)
    back = application.accept(begin(app, browser, prompt="login"), "p-1")
    hint = app.redeem(code_of(browser.visit(back), browser)).json["id_token"]
    interaction = begin(app, Browser(app.world), id_token_hint=hint)
    assert application.ask(interaction).json["subject"] == "p-1"
    assert application.say(interaction, {"accept": {"subject": "p-2"}}).status == 400
    application.accept(interaction, "p-1")


def test_only_the_login_application_speaks_here(
    app: App, application: Application, people: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Not without its certificate, not another client, not at the host without certificates; disabled, not either."""
    interaction = begin(app, Browser(people))
    said = {"accept": {"subject": "p-1"}}
    others = [self_signed("CN=login application"), app.identity]
    for identity in others:
        assert application.ask(interaction, identity).status == 401
        answer = application.say(interaction, said, identity)
        assert (answer.status, answer.json["error"]) == (401, "invalid_client")
    assert ", of login.clients: " in caplog.text
    for base in (people.issuer, people.mtls):
        url = f"{base}/interactions/{interaction}"
        assert people.ask(url, method="GET", headers={"authorization": "Basic bG9naW46"}).status == 401
        assert people.ask(url, body=b"{}", headers={"content-type": "application/json"}).status == 401
    spare = self_signed("CN=spare")
    people.register_self_signed("spare", spare, scope="")
    assert application.ask(interaction, spare).status == 200
    people.update("spare", enabled=False)
    time.sleep(0.5)
    assert application.ask(interaction, spare).status == 401
    assert application.ask(interaction).status == 200


def test_no_site_speaks_here_by_a_browser(app: App, application: Application) -> None:
    """A form is no JSON, and no other origin is allowed to ask."""
    interaction = begin(app, Browser(app.world))
    url = f"{app.world.mtls}/interactions/{interaction}"
    assert app.world.ask(url, application.identity, form={"accept": "x"}).status == 400
    asked = app.world.ask(url, application.identity, method="OPTIONS", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in asked.headers


def test_nobody_logs_in_by_a_form(app: App) -> None:
    """There are no accounts here: what a login form would have said is refused."""
    browser = Browser(app.world)
    interaction = begin(app, browser)
    page = browser.post(f"{app.world.issuer}/interaction/{interaction}", {"action": "login", "username": "anna"})
    assert page.status == 403


def test_of_two_at_once_one_is_told_so(app: App, application: Application) -> None:
    """200 or 409 each, and the way back of one works."""
    browser = Browser(app.world)
    interaction = begin(app, browser, prompt="login")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: application.say(interaction, {"accept": {"subject": f"p-{n}"}}), range(8)))
    assert {each.status for each in answers} <= {200, 409}
    backs = [each.json["redirect_to"] for each in answers if each.status == 200]
    # Each as if it came first: where the login had counted, whatever else is visited finds the person logged in.
    pages = [Browser(app.world, dict(browser.cookies)).visit(back) for back in backs]
    reached = [page for page in pages if page.status < 400 and not page.location.startswith(LOGIN)]
    assert len(reached) == 1
