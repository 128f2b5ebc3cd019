"""A browser without scripts, and the person who sits there: what tests of clients that act for people share.

It keeps cookies, follows redirects as long as they stay at the issuer, and sends forms as they stand in the HTML, with
the headers that browsers send.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

from e2e.world import Answer, World

MOST_REDIRECTS = 10


@dataclass
class Form:
    """One form of a page: where it goes, and what stands in its fields; buttons are apart."""

    action: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Page:
    """What the browser shows."""

    url: str
    answer: Answer

    @property
    def status(self) -> int:
        return self.answer.status

    @property
    def html(self) -> str:
        return self.answer.body.decode()

    @property
    def forms(self) -> list[Form]:
        reader = _Forms()
        reader.feed(self.html)
        return reader.forms

    @property
    def form(self) -> Form:
        """The first one."""
        assert self.forms, self.html
        return self.forms[0]

    @property
    def location(self) -> str:
        """Where the browser would go next; empty if this is a page."""
        return self.answer.headers.get("location", "")

    @property
    def members(self) -> dict[str, str]:
        """What the client is told, in the query, the fragment or a form."""
        if not self.location:
            return self.form.fields
        parts = urlsplit(self.location)
        return dict(parse_qsl(parts.fragment or parts.query))


@dataclass
class Browser:
    """One browser, with its cookies."""

    world: World
    cookies: dict[str, str] = field(default_factory=dict)

    def visit(self, url: str, **headers: str) -> Page:
        """A link is followed, with its redirects; `url` may be a path below the issuer."""
        return self._follow(urljoin(self.world.issuer, url), "GET", None, headers)

    def send(self, page: Page, button: str = "", /, **fields: str) -> Page:
        """The form on the page, with what was typed, and one button: by its value, else the first."""
        form = page.form
        buttons = {value: name for name, value in form.buttons}
        value = button or next(iter(buttons), "")
        said = {**form.fields, **({buttons[value]: value} if buttons.get(value) else {}), **fields}
        return self.post(urljoin(page.url, form.action or page.url), said)

    def post(self, url: str, form: Mapping[str, str], **headers: str) -> Page:
        """A form of a page of ours; `headers` say otherwise."""
        parts = urlsplit(self.world.issuer)
        own = {"origin": f"{parts.scheme}://{parts.netloc}", "sec-fetch-site": "same-origin"}
        return self._follow(url, "POST", form, {**own, **{name.replace("_", "-"): v for name, v in headers.items()}})

    def log_in(self, page: Page, username: str, password: str) -> Page:
        """The form of the login page."""
        return self.send(page, "login", username=username, password=password)

    def decide(self, page: Page, username: str, password: str, button: str = "allow") -> Page:
        """Logs in if asked to, then decides if asked to; where the browser is then."""
        if _asks(page, "login"):
            page = self.log_in(page, username, password)
        return self.send(page, button) if _asks(page, button) else page

    def _follow(self, url: str, method: str, form: Mapping[str, str] | None, headers: Mapping[str, str]) -> Page:
        for _ in range(MOST_REDIRECTS):
            page = Page(url, self._ask(url, method, form, headers))
            if not page.location or not self._is_ours(page.location):
                return page
            assert page.status == 303, page
            url, method, form, headers = urljoin(url, page.location), "GET", None, {}
        raise AssertionError(f"more than {MOST_REDIRECTS} redirects: {url}")

    def _ask(self, url: str, method: str, form: Mapping[str, str] | None, headers: Mapping[str, str]) -> Answer:
        sent = {**headers}
        if self.cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = self.world.ask(url, method=method, form=form, headers=sent)
        for name, morsel in SimpleCookie(answer.headers.get("set-cookie", "")).items():
            shown = (name[:7], morsel["secure"], morsel["httponly"], morsel["path"], morsel["samesite"])
            assert (*shown, morsel["domain"]) == ("__Host-", True, True, "/", "Lax", "")
            if morsel["max-age"] == "0":
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = morsel.value
        return answer

    def _is_ours(self, location: str) -> bool:
        return location.startswith(("/", self.world.issuer + "/"))


def request_url(world: World, parameters: Mapping[str, Any]) -> str:
    """The link by which a client sends people."""
    return f"{world.issuer}/authorize?{urlencode(parameters, doseq=True)}"


def decide(
    world: World,
    client_id: str,
    parameters: Mapping[str, Any],
    username: str,
    password: str,
    *,
    browser: Browser | None = None,
    button: str = "allow",
) -> Page:
    """Where the browser ends: the answer to the client, or a page."""
    browser = browser or Browser(world)
    page = browser.visit(request_url(world, {"client_id": client_id, **parameters}))
    return browser.decide(page, username, password, button)


def authorize(
    world: World,
    client_id: str,
    parameters: Mapping[str, Any],
    username: str,
    password: str,
    *,
    browser: Browser | None = None,
) -> str:
    """The code that the client gets, once the person logged in and agreed, as far as they were asked."""
    page = decide(world, client_id, parameters, username, password, browser=browser)
    assert "code" in page.members, (page, page.html[:2000])
    return page.members["code"]


def _asks(page: Page, button: str) -> bool:
    return not page.location and any(value == button for form in page.forms for _, value in form.buttons)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(given.get("action", "")))
        elif self.forms and tag == "input" and given.get("name"):
            self.forms[-1].fields[given["name"]] = given.get("value", "")
        elif self.forms and tag == "button":
            self.forms[-1].buttons.append((given.get("name", ""), given.get("value", "")))
