"""The API of the suite behind a proxy that comes by a Unix socket of another server's."""

from typing import Any

from deployed import PROXY, api
from plain_asgi import who

from certbound.resource import Guard
from certbound.tls.forwarded import ForwardedCertificates

DECLARED: dict[str, Any] = {**PROXY, "networks": [], "unix_socket": True}
app = ForwardedCertificates(Guard(who, api()), **DECLARED)
