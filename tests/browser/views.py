"""One of each kind of page, and of each turn a kind can take."""

import msgspec

from certbound.server.pages import View
from certbound.server.pages.views import (
    AccountView,
    App,
    Asking,
    ConsentView,
    DeviceView,
    DoneView,
    FormPostView,
    LoginView,
    LogoutView,
    RefusalView,
)

PRINTER = Asking(client_id="photo-printer", name="Photo Printer", host="print.example")
TERMINAL = Asking(client_id="cli", is_proven=False)


def views(asking: Asking = PRINTER, word: str = "read") -> dict[str, View]:
    """By name; `word` stands for every other text of strangers."""
    app = App(asking=asking, scope=["openid", word], resources=[word], created_at=0, used_at=1.79e9, certificate=word)
    consent = ConsentView(
        form_token="t", asking=asking, username=word, scope=[word], resources=[word], keeps_access=True
    )
    refusal = RefusalView(status=400, error=word, description=word, request_id="0123")
    return {
        "login": LoginView(form_token="t", asking=asking),
        "wrong password": LoginView(form_token="t", asking=asking, username=word, failed="wrong"),
        "own login": LoginView(form_token="t", failed="slow"),
        "consent": consent,
        "unproven consent": msgspec.structs.replace(
            consent, asking=msgspec.structs.replace(asking, is_proven=False, host=""), scope=[], keeps_access=False
        ),
        "device consent": msgspec.structs.replace(consent, user_code="WDJB-MJHT"),
        "device": DeviceView(form_token="t"),
        "wrong code": DeviceView(form_token="t", user_code=word, failed="wrong"),
        "slow code": DeviceView(form_token="t", failed="slow"),
        "account": AccountView(
            form_token="t", username=word, apps=[app, App(asking=asking, scope=[], resources=[], created_at=0)]
        ),
        "empty account": AccountView(form_token="t", username=word, apps=[], said="withdrawn"),
        "logout": LogoutView(form_token="t", username=word),
        "logout of a client": LogoutView(form_token="t", username=word, asking=asking),
        "logged out": DoneView(what="logged_out"),
        "device approved": DoneView(what="device_approved"),
        "denied": DoneView(what="denied"),
        "form post": FormPostView(
            redirect_uri="https://print.example/cb?a=1&b=2", members=[("code", word)], asking=asking
        ),
        **{
            f"refusal {status}": msgspec.structs.replace(refusal, status=status)
            for status in (400, 403, 404, 429, 500, 503)
        },
    }  # fmt: skip
