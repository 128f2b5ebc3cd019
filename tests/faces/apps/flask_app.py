"""The API of the suite in Flask."""

from typing import Any

from deployed import api, certificates
from flask import Flask, request

from certbound.resource.flask import principal, protect, requires

app = Flask(__name__)
protect(app, api())
app.wsgi_app = certificates(app.wsgi_app)  # type: ignore[method-assign]


@app.get("/")
def who() -> Any:
    return {"client_id": principal.client_id}


@app.get("/write")
@requires("write")
def write() -> Any:
    return who()


@requires("write")
@app.get("/write-other-order")
def other_order() -> Any:
    return who()


@app.get("/write-async")
@requires("write")
def write_again() -> Any:
    return who()


@app.get("/late")
def late() -> Any:
    principal.require("write")
    return who()


@app.get("/headers")
def headers() -> Any:
    return [name for name, _ in request.headers]
