"""certbound.server.pages: what people see, in their language, whatever strangers call themselves."""

import base64
import hashlib
import re
import tomllib
from dataclasses import dataclass, field
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from browser.views import PRINTER, TERMINAL, views
from certbound.core.errors import ConfigurationError
from certbound.server.call import Browser, Call, Reply
from certbound.server.pages import Pages, View
from certbound.server.pages.names import MAX_NAME, shown_name
from certbound.server.pages.views import (
    AccountView,
    Asking,
    DeviceView,
    DoneView,
    FormPostView,
    LoginView,
    RefusalView,
)

PAGES = Pages()
CALL = Call(now=0)


@dataclass
class Read(HTMLParser):
    """A page as a browser takes it apart."""

    body: str
    tags: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    elements: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.feed(self.body)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in {"meta", "input"}:
            self.opened.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.opened):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def read(reply: Reply) -> Read:
    return Read(reply.body.decode())


def show(view: View, languages: str = "", **options: Any) -> Read:
    return read(PAGES.show(msgspec.structs.replace(CALL, browser=Browser(languages=languages)), view, **options))


def headers_of(view: View) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in PAGES.show(CALL, view).headers}


def policy_of(view: View) -> dict[str, str]:
    directives = (each.partition(" ") for each in headers_of(view)["content-security-policy"].split("; "))
    return {name: value for name, _, value in directives}


@pytest.fixture(params=views(), ids=lambda name: name.replace(" ", "-"))
def view(request: pytest.FixtureRequest) -> View:
    return views()[request.param]


class TestEachPage:
    def test_is_html_that_closes_what_it_opens_and_says_its_language(self, view: View) -> None:
        page = show(view, "cs-CZ, en;q=0.5")
        assert [] == page.opened
        assert [("html", {"lang": "cs", "dir": "ltr"})] == page.elements[:1]
        assert 1 == len(page.all("title")) == len(page.all("h1")) == len(page.all("main"))

    def test_has_a_label_for_each_field_and_points_to_nothing_that_is_not_there(self, view: View) -> None:
        page = show(view)
        ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
        labelled = {each["for"] for each in page.all("label")}
        pointed = {
            each
            for _, attributes in page.elements
            for name in ("aria-describedby", "aria-labelledby")
            for each in attributes.get(name, "").split()
        }
        assert len(ids) == len(set(ids))
        assert {each["id"] for each in page.all("input") if each.get("type") != "hidden"} == labelled
        assert pointed <= set(ids)

    def test_lets_nothing_load_run_or_frame_it(self, view: View) -> None:
        policy, headers = policy_of(view), headers_of(view)
        assert "'none'" == policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"]
        assert not re.search("unsafe|http:|data:|\\*", headers["content-security-policy"])
        assert "DENY" == headers["x-frame-options"]
        assert "nosniff" == headers["x-content-type-options"]
        assert "no-store" == headers["cache-control"]
        assert "text/html; charset=utf-8" == headers["content-type"]

    def test_has_the_style_and_the_script_that_the_policy_names_and_no_other(self, view: View) -> None:
        body, policy = PAGES.show(CALL, view).body.decode(), policy_of(view)
        for tag in ("style", "script"):
            found = re.findall(f"<{tag}>(.*?)</{tag}>", body, re.DOTALL)
            hashes = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in found]
            assert " ".join(f"'sha256-{each}'" for each in hashes) == policy.get(f"{tag}-src", "")
        assert not [
            name for _, attributes in read(PAGES.show(CALL, view)).elements for name in attributes if "on" == name[:2]
        ]
        assert not re.search("style=|src=|href=|url\\(|@import", body)

    def test_sends_its_form_where_it_stands_and_keeps_the_token(self, view: View) -> None:
        page = show(view)
        for form in page.all("form"):
            assert "post" == form["method"]
            assert ("action" in form) == isinstance(view, FormPostView)
        tokens = [each["value"] for each in page.all("input") if each.get("name") == "form_token"]
        assert len(tokens) == (0 if isinstance(view, FormPostView) else len(page.all("form")))

    def test_says_nothing_that_a_translation_does_not(self, view: View, tmp_path: Path) -> None:
        """No text stands in a template."""
        texts = tomllib.loads((files("certbound.server.pages") / "locales" / "en.toml").read_text("utf-8"))
        dashed = {
            table: {key: "".join(["—", *re.findall(r"\{[a-z_]+\}", value)]) for key, value in content.items()}
            for table, content in texts.items()
            if isinstance(content, dict) and table not in {"date", "scopes"}
        }
        folder = write(tmp_path, "de", {**dashed, "date": {"format": "—{day}{month}{year}", "months": ["—"] * 12}})
        bare = msgspec.convert(digits_for_texts(msgspec.to_builtins(view)), type(view))
        if isinstance(view, RefusalView | DoneView | LoginView | DeviceView | AccountView):  # words that name a text
            named = {name: getattr(view, name) for name in ("status", "what", "failed", "said") if hasattr(view, name)}
            bare = msgspec.structs.replace(bare, **named)
        page = read(Pages(folder).show(CALL, bare, ui_locales=("de",)))
        assert not re.search("[A-Za-z]", page.text)


def digits_for_texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: digits_for_texts(each) for key, each in value.items()}
    if isinstance(value, list):
        return [digits_for_texts(each) for each in value]
    return "7" if isinstance(value, str) and value else value


def write(folder: Path, tag: str, tables: dict[str, Any]) -> Path:
    """A translation."""
    lines = []
    for table, content in tables.items():
        lines.append(f"[{table}]")
        lines += [
            f"{msgspec.json.encode(key).decode()} = {msgspec.json.encode(value).decode()}"
            for key, value in content.items()
        ]
    (folder / f"{tag}.toml").write_text("\n".join(lines), encoding="utf-8")
    return folder


def test_browsers_come_by_https() -> None:
    """For a year; not to a host where people serve other things too."""
    view, header = DoneView(what="logged_out"), (b"strict-transport-security", b"max-age=31536000")
    assert header in Pages().show(CALL, view).headers
    assert header not in Pages(https_only=False).show(CALL, view).headers


class TestWhereAFormGoes:
    LEADS_AWAY = frozenset({
        "login", "wrong password", "consent", "unproven consent", "logout of a client", "form post",
    })  # fmt: skip

    def test_a_page_whose_answer_goes_to_a_client_does_not_forbid_that(self) -> None:
        """Chromium holds form-action against every redirect that follows: see tests/browser."""
        for name, each in views().items():
            assert ("form-action" in policy_of(each)) == (name not in self.LEADS_AWAY), name

    def test_every_other_page_sends_its_forms_to_us_alone_and_has_no_opener(self) -> None:
        for name, each in views().items():
            if name not in self.LEADS_AWAY:
                assert "'self'" == policy_of(each)["form-action"], name
                assert "same-origin" == headers_of(each)["cross-origin-opener-policy"], name

    def test_the_answer_to_a_client_says_from_whom_it_comes_and_nothing_else_is_told_to_others(self) -> None:
        for name, each in views().items():
            due = "strict-origin" if name == "form post" else "same-origin"
            assert due == headers_of(each)["referrer-policy"], name


class TestWhatPagesSay:
    def test_consent_names_who_asks_where_it_leads_what_for_and_how_long(self) -> None:
        text = show(views()["consent"]).text
        for due in ("Photo Printer", "print.example", "read", "Until you withdraw it", "Allow", "Deny"):
            assert due in text
        assert "Anybody" not in text

    def test_a_scope_is_said_in_words_where_there_are_some(self) -> None:
        consent = views(word="openid")["consent"]
        assert "know that it is you" in show(consent).text
        assert "vědět, že jste to vy" in show(consent, "cs").text

    def test_a_client_that_proves_nothing_could_be_anybody(self) -> None:
        assert "Anybody could use this name" in show(views()["unproven consent"]).text

    def test_a_client_without_a_name_is_called_by_its_id(self) -> None:
        assert "cli asks for access" in show(views(TERMINAL)["consent"]).text

    def test_saying_no_is_as_easy_as_saying_yes_and_neither_is_done_by_a_stray_key(self) -> None:
        """Both buttons are the form's own; without a field to type in, Enter sends nothing, and none has the focus."""
        page = show(views()["consent"])
        assert ["deny", "allow"] == [each["value"] for each in page.all("button")]
        assert not [each for each in page.all("input") if each.get("type") != "hidden"]
        assert not [1 for _, attributes in page.elements if {"autofocus", "accesskey"} & set(attributes)]

    def test_a_device_shows_the_code_that_the_page_shows(self) -> None:
        page = show(views()["device consent"])
        assert "WDJB-MJHT" in page.text
        assert {"type": "hidden", "name": "user_code", "value": "WDJB-MJHT"} in page.all("input")

    def test_a_failure_is_said_in_the_title_and_at_the_fields(self) -> None:
        for name in ("wrong password", "wrong code", "own login", "slow code"):
            page = show(views()[name])
            assert "Error: " in page.text, name
            assert "alert" in [each.get("role") for each in page.all("p")], name
            fields = [each for each in page.all("input") if each.get("type") != "hidden"]
            assert all("failed" in each["aria-describedby"] for each in fields), name
            assert all(("aria-invalid" in each) == name.startswith("wrong") for each in fields), name

    def test_the_password_has_the_focus_where_the_name_is_there(self) -> None:
        focused = {each["name"] for each in show(views()["wrong password"]).all("input") if "autofocus" in each}
        assert {"password"} == focused

    def test_password_managers_know_the_fields(self) -> None:
        fields = {each["name"]: each.get("autocomplete") for each in show(views()["login"]).all("input")}
        assert {"form_token": None, "username": "username", "password": "current-password"} == fields

    def test_the_account_shows_certificate_and_last_use_of_each_app(self) -> None:
        page = show(views(word="CN=printer")["account"])
        assert "CN=printer" in page.text
        assert "21 September 2026" in page.text
        assert "never" in page.text
        assert "21. září 2026" in show(views()["account"], "cs").text
        assert ["photo-printer"] * 2 == [each["value"] for each in page.all("input") if each["name"] == "client_id"]
        assert ["withdraw", "withdraw", "log_out"] == [each["value"] for each in page.all("button")]

    def test_a_refusal_says_what_to_do_and_how_to_ask_about_it(self) -> None:
        page = show(views(word="invalid_request")["refusal 400"])
        assert "Go back to the app" in page.text
        assert "invalid_request" in page.text
        assert "0123" in page.text
        waiting = RefusalView(status=429, error="e", description="d", request_id="r", retry_after=17)
        assert "Wait 17 seconds" in show(waiting).text

    def test_what_comes_back_in_a_form_is_what_went_out(self) -> None:
        odd = "\"><script>\u202e\u200b a'&amp; " + "x" * 600
        posted = FormPostView(redirect_uri="https://c.example/?a='b'&c=d", members=[("state", odd)], asking=PRINTER)
        page = show(posted)
        assert odd == page.all("input")[0]["value"]
        assert "https://c.example/?a='b'&c=d" == page.all("form")[0]["action"]
        again = show(LoginView(form_token="t", username=odd, failed="wrong"))
        assert odd in [each.get("value") for each in again.all("input")]


HOSTILE = st.one_of(
    st.text(max_size=300),
    st.sampled_from([
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "</title></style></main><form action=https://evil.example>",
        '" autofocus onfocus="alert(1)',
        "{{ 7 * 7 }}{% include 'base.html' %}",
        "Bank\u202egnp.exe",
        "\u2067\u2067\u2067\u2066",
        "\u200b\u200b\ufeff\u2060",
        "\x1b[2J\x1b]0;owned\x07\r\n\t\x00\x7f\x9b",
        "e" + "\u0301" * 300,
        "W" * 500,
        "\ufdfd" * 500,
        "\u3164\u2800\u115f",
        "\U000e0041\U000e0042",
        "\ud800",
        "",
    ]),
)  # fmt: skip


class TestStrangers:
    @given(st.sampled_from(sorted(views())), HOSTILE, HOSTILE)
    @settings(max_examples=250)
    def test_no_name_changes_a_page_around_it(self, kind: str, name: str, word: str) -> None:
        """The same elements with the same attributes stand there, whoever asks, whatever it is called."""
        hostile = views(Asking(client_id=word or "x", name=name, host=word or "x"), word or "x")[kind]
        assert show(views()[kind]).tags == show(hostile).tags

    @given(HOSTILE)
    def test_what_people_see_of_a_name_is_seen_and_moves_nothing(self, name: str) -> None:
        shown = shown_name(name)
        assert len(shown) <= MAX_NAME
        assert all(each.isprintable() or each in "\u200c\u200d" for each in shown)
        assert not set(shown) & set("\u3164\u2800\u115f\u1160\uffa0\u034f")
        assert shown == shown.strip()

    @given(HOSTILE)
    def test_every_name_in_a_page_is_isolated(self, name: str) -> None:
        """A right-to-left name, which is a fair one, does not turn the words around it either."""
        body = PAGES.show(CALL, views(Asking(client_id="c", name=f"x{name}"))["consent"]).body.decode()
        assert re.search(r"<h1><bdi>[^<]*</bdi> asks for access</h1>", body)
        title = re.search(r"<title>([^<]*)</title>", body)
        assert title
        assert re.fullmatch("\u2068[^\u2066-\u2069]*\u2069 asks for access", title[1])

    @pytest.mark.parametrize(
        ("name", "shown"),
        [
            ("Photo Printer", "Photo Printer"),
            ("  Photo \u00a0 Printer\u3000", "Photo Printer"),
            ("Žluťoučký kůň", "Žluťoučký kůň"),
            ("می\u200cخواهم", "می\u200cخواهم"),  # a joiner where Persian is written with one
            ("क्\u200dष", "क्\u200dष"),
            ("Bank\u200c", "Bank\\u200c"),
            ("Bank\u202egnp", "Bank\\u202egnp"),
            ("a\nb\tc", "a\\nb\\tc"),
            ("\x1b[31m", "\\x1b[31m"),
            ("\u3164", "\\u3164"),
            ("e" + "\u0301" * 100, "é" + "\u0301" * 4),
            ("W" * 500, "W" * 99 + "…"),
        ],
        ids=range(12),
    )
    def test_a_name_is_shown_as_it_is_where_it_is_one(self, name: str, shown: str) -> None:
        assert shown == shown_name(name)

    def test_a_host_is_shown_to_its_end(self) -> None:
        """The end is what tells whose it is."""
        host = "accounts.bank.example." + "a" * 60 + "." + "b" * 60 + "." + "c" * 60 + ".evil.example"
        assert host in show(views(Asking(client_id="c", name="Bank", host=host))["consent"]).text


class TestLanguages:
    @pytest.mark.parametrize(
        ("asked", "accepted", "chosen"),
        [
            ((), "", "en"),
            ((), "cs", "cs"),
            ((), "cs-CZ,cs;q=0.9,en;q=0.8", "cs"),
            ((), "en;q=0.5, cs;q=0.7", "cs"),
            ((), "de, cs;q=0.1", "cs"),
            ((), "cs;q=0, en", "en"),
            ((), "*", "en"),
            ((), "CS", "cs"),
            ((), "cs;q=x,;;,=", "en"),
            (("cs",), "en", "cs"),
            (("de", "cs-CZ"), "en", "cs"),
            (("de",), "cs", "cs"),
            (("../../cs", ""), "en", "en"),
            ((), "de," * 100_000 + "cs", "en"),
        ],
        ids=range(14),
    )
    def test_the_first_that_there_is_of_those_asked_for(
        self, asked: tuple[str, ...], accepted: str, chosen: str
    ) -> None:
        assert chosen == show(DoneView(what="denied"), accepted, ui_locales=asked).elements[0][1]["lang"]

    def test_ours_say_everything(self) -> None:
        folder = files("certbound.server.pages") / "locales"
        tables = {
            each.name: {
                f"{table}.{key}"
                for table, content in tomllib.loads(each.read_text("utf-8")).items()
                if isinstance(content, dict)
                for key in content
            }
            for each in folder.iterdir()
        }
        assert ("cs", "en") == PAGES.languages
        assert tables["en.toml"] - {"site.name"} == tables["cs.toml"]

    def test_no_text_of_ours_is_one_that_no_page_says(self) -> None:
        templates = files("certbound.server.pages") / "templates"
        said = "".join(each.read_text("utf-8") for each in templates.iterdir())
        texts = tomllib.loads((files("certbound.server.pages") / "locales" / "en.toml").read_text("utf-8"))
        made = {
            "title",
            "wrong",
            "slow",
            "other",
            "withdrawn",
            "error",
            "request",
            "forbidden",
            "missing",
            "wait",
            "later",
            "defect",
        }
        for table, content in texts.items():
            if isinstance(content, dict) and table not in {"date", "scopes", "done"}:
                for key in content.keys() - made:
                    assert re.search(f'"{table}\\.{key}"|"consent.{key}"', said), f"{table}.{key}"


class TestTranslationsOfADeployment:
    def test_a_folder_adds_a_language_and_what_it_leaves_out_is_said_in_english(self, tmp_path: Path) -> None:
        pages = Pages(write(tmp_path, "pt-BR", {"login": {"title": "Entrar"}, "scopes": {"photos.read": "ver fotos"}}))
        assert ("cs", "en", "pt-BR") == pages.languages
        page = read(pages.show(CALL, views()["login"], ui_locales=("pt-br",)))
        assert "Entrar" in page.text
        assert "Username" in page.text
        assert "pt-BR" == page.elements[0][1]["lang"]
        borrowed = '<label for="username"><span lang="en" dir="ltr">Username</span></label>'
        assert borrowed in pages.show(CALL, views()["login"], ui_locales=("pt-BR",)).body.decode()

    def test_a_folder_says_other_words_than_we_do_and_its_own_scopes(self, tmp_path: Path) -> None:
        write(tmp_path, "en", {"site": {"name": "Example Bank"}, "scopes": {"photos.read": "see your photos"}})
        pages = Pages(write(tmp_path, "cs", {"consent": {"allow": "Ano"}}))
        consent = views(word="photos.read")["consent"]
        assert "· Example Bank Example Bank" in read(pages.show(CALL, consent)).text  # in title and header
        assert "see your photos" in read(pages.show(CALL, consent)).text
        czech = read(pages.show(CALL, consent, ui_locales=("cs",))).text
        for due in ("Example Bank", "see your photos", "Ano", "Odmítnout"):
            assert due in czech

    def test_markup_in_a_translation_is_text(self, tmp_path: Path) -> None:
        pages = Pages(write(tmp_path, "en", {"login": {"title": "<b>x</b>"}, "scopes": {"read": "<i>y</i>"}}))
        assert "<b>x</b>" in read(pages.show(CALL, views()["login"])).text
        assert "<i>y</i>" in read(pages.show(CALL, views()["consent"])).text

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ('[login]\ntitel = "x"', r"en\.toml: there is no text login\.titel"),
            ('[consent]\ntitle = "Access?"', r"en\.toml: consent\.title must say \{app\}"),
            ('[consent]\ntitle = "{app} {app}"', r"en\.toml: consent\.title may say \{app\} once"),
            ('[login]\ntitle = "{app}"', r"en\.toml: login\.title may say .*no other word"),
            ("[login]\ntitle = 3", r"en\.toml: login\.title must be a text"),
            ('direction = "up"', r"en\.toml: direction must be"),
            ('[date]\nmonths = ["x"]', r"en\.toml: date\.months must be twelve names"),
            ("[scopes]\nread = 3", r"en\.toml: scopes\.read must be a text"),
            ("[login", r"en\.toml is no TOML"),
        ],
        ids=range(9),
    )
    def test_what_is_wrong_in_one_stops_the_start_and_is_named(self, tmp_path: Path, text: str, why: str) -> None:
        (tmp_path / "en.toml").write_text(text)
        with pytest.raises(ConfigurationError, match=why):
            Pages(tmp_path)

    def test_a_file_that_is_no_language_or_no_text_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="no folder"):
            Pages(tmp_path / "nowhere")
        (tmp_path / "cs.toml").write_bytes(b"\xff\xfe")
        with pytest.raises(ConfigurationError, match=r"cs\.toml cannot be read"):
            Pages(tmp_path)
        (tmp_path / "cs.toml").rename(tmp_path / "my words.toml")
        with pytest.raises(ConfigurationError, match="tag of its language"):
            Pages(tmp_path)
