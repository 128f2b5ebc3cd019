"""Nothing that holds a token, a key, a code or a password shows it (`certbound.client`, all of it)."""

import dataclasses
import inspect
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

import certbound.client
from certbound.client import Credential, Identity, Refused, Token, errors
from certbound.client.flow import Answer, Device, Registered, Request, Started
from certbound.client.hardware.uri import TokenUri
from certbound.client.keeping import Kept, Name
from certbound.client.pools import Held
from certbound.core.well_known import AccessToken
from certbound.trust.authority import self_signed

SECRET = "s3cr3t-s3cr3t"
OWN = self_signed("CN=own")
TOKEN = Token(
    access_token=AccessToken(SECRET), expires_in=1, scope="read", refresh_token=SECRET, id_token=SECRET
)  # fmt: skip
HOLDERS: dict[type, Any] = {
    Answer: Answer(200, {"authorization": SECRET}, SECRET.encode()),
    Credential: Credential("me", secret=SECRET),
    Device: Device(
        user_code="U", verification_uri="https://a", verification_uri_complete=None, expires_in=1, interval=1,
        device_code=SECRET,
    ),
    Identity: Identity(OWN.chain_pem, OWN.key_pem),
    Kept: Kept(token=TOKEN, header=SECRET, since=0, until=0, until_by_wall=0),
    Registered: Registered(
        client_id="c", client_uri=None, document={"x": SECRET}, access_token=SECRET, client_secret=SECRET
    ),
    Request: Request(method="POST", url="https://a", headers={"a": SECRET}, form=[("a", SECRET)], json={"a": SECRET}),
    Started: Started(url=f"https://a?{SECRET}", redirect_uri="https://b", state=SECRET, verifier=SECRET),
    Token: TOKEN,
    TokenUri: TokenUri.read(f"pkcs11:token=bank?pin-value={SECRET}"),
}  # fmt: skip
HARMLESS = {
    "Api", "Clocks", "Held", "Library", "Name", "Pending", "Scheme", "ServerMetadata", "KeyData", "Signing",
    "_Wanted",
}  # fmt: skip
"""Dataclasses without a secret of their own."""


def classes() -> Iterator[type]:
    """All of this package."""
    for module in pkgutil.walk_packages(certbound.client.__path__, "certbound.client."):
        for _, found in inspect.getmembers(import_module(module.name), inspect.isclass):
            if found.__module__ == module.name:
                yield found


@pytest.mark.parametrize("kind", HOLDERS, ids=lambda kind: kind.__name__)
def test_no_repr_shows_what_it_holds(kind: type) -> None:
    """Also inside another: a pool that holds an identity, a list of tokens."""
    shown = repr([HOLDERS[kind]]) + str(HOLDERS[kind]) + repr(Held(HOLDERS[Identity], HOLDERS[kind]))
    assert SECRET not in shown
    assert "PRIVATE" not in shown


def test_no_class_is_forgotten() -> None:
    """A new one is either tried here or said to be harmless."""
    found = {each.__name__ for each in classes() if dataclasses.is_dataclass(each)}
    assert found <= {each.__name__ for each in HOLDERS} | HARMLESS
    assert Name("i", "c", "t", None, None)


def test_every_error_is_of_the_tree() -> None:
    """Whoever catches `ClientError` has caught all; each says what it is in its docstring, and the module draws it."""
    kinds = [each for each in classes() if issubclass(each, Exception)]
    assert len(kinds) >= 10
    for kind in kinds:
        assert issubclass(kind, errors.ClientError)
        assert kind.__doc__
        assert kind.__name__ in (errors.__doc__ or "")


def test_a_refusal_shows_what_the_server_said_and_nothing_that_runs() -> None:
    """Its words are escaped and cut by whoever makes the refusal; here they are put in order."""
    refused = Refused(endpoint="https://a/token", status=400, error="invalid_grant", description="why", request_id="7")
    for part in ("https://a/token", "400", "invalid_grant (why)", "begin anew", "request 7"):
        assert part in str(refused)
