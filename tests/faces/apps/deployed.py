"""Where an application of the suite is: its API, and where its certificates come from."""

import os
from typing import Any

from certbound.resource import Introspection, ProtectedResource
from certbound.resource.sources import GunicornCertificates
from certbound.tls.forwarded import ForwardedCertificates
from certbound.tls.forwarded.wsgi import ForwardedCertificates as ForwardedToWSGI

ARGUMENTS: dict[str, Any] = {
    "resource": os.environ["RESOURCE"],
    "issuer": os.environ["ISSUER"],
    "scopes": {"read"},
    "issuer_ca": os.environ["ISSUER_CA"],
}
if os.environ["INTROSPECTS_WITH"]:
    own = os.environ["INTROSPECTS_WITH"]
    ARGUMENTS["introspection"] = Introspection(client_id="api", certificate=f"{own}.pem", key=f"{own}.key")
PROXY: dict[str, Any] = {
    "contract": os.environ["CONTRACT"], "secrets": [os.environ["PROXY_SECRET"]], "networks": ["127.0.0.1"],
}  # fmt: skip


def api() -> ProtectedResource:
    return ProtectedResource(**ARGUMENTS)


def certificates(app: Any) -> Any:
    """`app`, a WSGI application, behind what `SOURCE` says."""
    if os.environ["SOURCE"] == "gunicorn":
        return GunicornCertificates(app)
    return ForwardedToWSGI(app, **PROXY)


def asgi_certificates(app: Any) -> Any:
    """`app`, an ASGI application, behind what `SOURCE` says: nothing where our own listener is under it."""
    return app if os.environ["SOURCE"] == "listener" else ForwardedCertificates(app, **PROXY)
