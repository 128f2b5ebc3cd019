"""The pages people see: each view as a `Reply`, in the language the browser asks for.

Rule 1: what a template shows is text of a stranger until the template says otherwise: `shown_name` first, escaped then.
Where a value must come back as it went out, in a form, it is escaped alone.
Rule 2: everything is read at the start, and no page needs a file, a script, or anything from elsewhere.
"""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from certbound.server.call import Call, Reply
from certbound.server.pages.headers import hash_of, page_headers
from certbound.server.pages.names import MAX_LINE, app_name, shown_name
from certbound.server.pages.views import (
    AccountView,
    Asking,
    ConsentView,
    DeviceView,
    DoneView,
    FormPostView,
    LoginView,
    LogoutView,
    RefusalView,
)
from certbound.server.pages.words import Words, choose, read_words

View = AccountView | ConsentView | DeviceView | DoneView | FormPostView | LoginView | LogoutView | RefusalView

__all__ = ["Pages", "View"]


class Pages:
    """Templates and translations, read once.  `ConfigurationError` names a translation that cannot be read."""

    def __init__(self, locales: Path | None = None, *, https_only: bool = True) -> None:
        """`https_only` is not for a host where people serve other things too, such as localhost (RFC 6797)."""
        self._https_only = https_only
        self._languages = read_words(locales)
        style = (files(__package__) / "style.css").read_text("utf-8")
        self._style = hash_of(style)
        environment = _environment(style)
        self._templates = {kind: environment.get_template(f"{name}.html") for kind, name in _TEMPLATES.items()}

    @property
    def languages(self) -> tuple[str, ...]:
        """Those there are a translation for, by tag."""
        return tuple(sorted(words.tag for words in self._languages.values()))

    def show(self, call: Call, view: View, *, status: int = 200, ui_locales: tuple[str, ...] = ()) -> Reply:
        """The page for `view`, with every header that keeps it from being framed, kept or run.

        In the first language of `ui_locales`, then of the browser, that there is; else in English.
        """
        words = choose(self._languages, ui_locales, call.browser.languages)
        page = self._templates[type(view)].render(
            view=view,
            words=words,
            say=words.say,
            title=_title(view, words),
            **(_why(view) if isinstance(view, RefusalView) else {}),
        )
        script = _SCRIPT if isinstance(view, FormPostView) else ""
        return Reply(
            status,
            page.encode(errors="backslashreplace"),
            page_headers(style=self._style, script=script, leads_away=_leads_away(view), https_only=self._https_only),
        )


def _environment(style: str) -> Environment:
    environment = Environment(
        loader=PackageLoader(__name__),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {"app": _app, "exact": escape, "line": _line}
    environment.globals |= {"style": Markup(style), "submit": Markup(_SUBMIT)}  # noqa: S704 - ours
    return environment


def _finalized(value: Any) -> Any:
    """Rule 1: a text that nothing was said of."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else shown_name(value)


def _app(asking: Asking) -> Markup:
    """A client, as it calls itself."""
    return Markup("<bdi>{}</bdi>").format(app_name(asking))


def _line(text: str) -> Markup:
    """What must be seen to its end."""
    return Markup("<bdi>{}</bdi>").format(shown_name(text, MAX_LINE))


def _title(view: View, words: Words) -> Markup:
    """That of the window; it says first that something failed, and last where."""
    name = _TEMPLATES[type(view)]
    asking = getattr(view, "asking", None)
    key = f"done.{view.what}_title" if isinstance(view, DoneView) else f"{name}.title"
    title = words.say_plainly(key, app=app_name(asking) if asking else "")
    if getattr(view, "failed", ""):
        title = words.say_plainly("site.error", title=title)
    return escape(" · ".join(filter(None, (title, words.say_plainly("site.name")))))


def _why(view: RefusalView) -> Mapping[str, Any]:
    """Which sentence says what to do."""
    return {"why": _REASONS.get(view.status, "request"), "filled": {"seconds": view.retry_after or 60}}


def _leads_away(view: View) -> bool:
    """Whether the answer to the form on it, or it itself, goes to a client."""
    if isinstance(view, LoginView | LogoutView):
        return view.asking is not None
    return isinstance(view, FormPostView) or (isinstance(view, ConsentView) and not view.user_code)


_SUBMIT = "document.forms[0].submit()"
_SCRIPT = hash_of(_SUBMIT)
_TEMPLATES: Mapping[type, str] = {
    AccountView: "account",
    ConsentView: "consent",
    DeviceView: "device",
    DoneView: "done",
    FormPostView: "form_post",
    LoginView: "login",
    LogoutView: "logout",
    RefusalView: "refusal",
}
_REASONS = {403: "forbidden", 404: "missing", 429: "wait", 500: "defect", 503: "later"}
