"""Flows by hand: what one asks, and what it makes of answers that a test has in mind."""

import json
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from certbound.client.flow import Answer, Flow, Request, ServerMetadata, read_metadata

T = TypeVar("T")
ISSUER = "https://as.example"
ALIAS = "https://mtls.as.example"
ENDPOINTS = {
    "token_endpoint": "/token", "introspection_endpoint": "/introspect", "revocation_endpoint": "/revoke",
    "pushed_authorization_request_endpoint": "/par", "device_authorization_endpoint": "/device_authorization",
    "registration_endpoint": "/register",
}  # fmt: skip


def metadata(**more: Any) -> ServerMetadata:
    """A server with every endpoint, each with an alias."""
    document = {
        "issuer": ISSUER,
        "authorization_endpoint": f"{ISSUER}/authorize",
        **{name: ISSUER + path for name, path in ENDPOINTS.items()},
        "mtls_endpoint_aliases": {name: ALIAS + path for name, path in ENDPOINTS.items()},
        **more,
    }
    return read_metadata({name: value for name, value in document.items() if value is not None}, ISSUER)


def answer(document: Any = None, status: int = 200, **headers: str) -> Answer:
    return Answer(status, headers, json.dumps(document).encode())


def step(flow: Flow[T], *answers: Answer) -> tuple[T, list[Request]]:
    """What it returns after these answers, and what it asked for each."""
    asked = [next(flow)]
    for each in answers:
        try:
            asked.append(flow.send(each))
        except StopIteration as done:
            assert len(asked) == len(answers), "an answer was left over"
            return done.value, asked
    raise AssertionError(f"it asks on: {asked[-1]}")


def form(request: Request) -> dict[str, str]:
    return dict(parse_qsl((request.body() or b"").decode()))
