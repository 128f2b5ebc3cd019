"""The API of the suite as plain WSGI."""

import json
from collections.abc import Iterator
from typing import Any

from deployed import api, certificates

from certbound.resource.wsgi import Guard, principal_of


def who(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    """A generator: nothing of it runs before the server asks for its first bytes."""
    principal = principal_of(environ)
    if environ["PATH_INFO"] == "/headers":
        body = json.dumps([key.removeprefix("HTTP_") for key in environ if key.startswith("HTTP_")]).encode()
    else:
        body = json.dumps({"client_id": principal.client_id}).encode()
    start_response("200 OK", [("content-type", "application/json"), ("content-length", str(len(body)))])
    if environ["PATH_INFO"] == "/late":
        principal.require("write")
    yield body


def route(environ: dict[str, Any], start_response: Any) -> Any:
    return (writing if environ["PATH_INFO"] == "/write" else who)(environ, start_response)


writing = Guard(who, api(), scopes={"write"})
app = certificates(Guard(route, api()))
