"""The lines of the guides guard: what they show is run as it stands, for another issuer, and asked with real tokens."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from certbound.trust.authority import Issued
from faces.gunicorn import behind_proxy
from faces.listener import on_listener
from faces.suite import SECRET, Cast, Face, refused

GUIDES = Path(__file__).parent.parent.parent.parent / "docs" / "how-to"


def first_block(guide: str) -> str:
    """The first block of Python in it."""
    found = re.search(r"^```python[^\n]*\n(.*?)^```$", (GUIDES / guide).read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def told(text: str, cast: Cast) -> str:
    """For the issuer of the test, which has no public certificate and other scopes."""
    changed = text.replace("https://as.example", cast.world.issuer).replace('"accounts"', '"write"')
    ca = repr(str(cast.world.directory / "ca.pem"))
    return changed.replace(f'issuer="{cast.world.issuer}"', f'issuer="{cast.world.issuer}", issuer_ca={ca}').replace(
        f'"issuer": "{cast.world.issuer}"', f'"issuer": "{cast.world.issuer}", "issuer_ca": {ca}'
    )


@pytest.fixture(params=["guard-flask.md", "guard-django.md"])
def face(request: pytest.FixtureRequest, cast: Cast, tmp_path: Path) -> Iterator[Face]:
    """The guide, under gunicorn."""
    text = told(first_block(request.param), cast)
    if "ForwardedCertificates" not in text:
        text += "\nfrom certbound.tls.forwarded.wsgi import ForwardedCertificates\n"
        text += f"application = ForwardedCertificates(application, contract='nginx', secrets=[{SECRET!r}])\n"
        text = text.replace("SECRET_KEY=", 'ALLOWED_HOSTS=["*"], SECRET_KEY=')
    (tmp_path / "guide.py").write_text(text)
    app = "application" if "application" in text else "app"
    with behind_proxy(cast, f"guide:{app}", "--chdir", str(tmp_path)) as face:
        yield face


@pytest.mark.wide
def test_what_a_guide_shows_guards(face: Face) -> None:
    """The owner passes, nobody else, and nobody without the scope."""
    tokens, owner = face.cast.tokens, face.cast.owner
    answer = face.ask(tokens["good"], owner)
    assert (200, {"who": "owner"}) == (answer.status, answer.json)
    refused(face.ask(tokens["good"], face.cast.thief), 401, "invalid_token")
    refused(face.ask(tokens["reading"], owner), 403, "insufficient_scope", 'scope="write"')
    assert 401 == face.ask(None, owner).status


@pytest.fixture(params=["guard-fastapi.md", "guard-starlette.md"])
def on_our_listener(
    request: pytest.FixtureRequest, cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Face]:
    """The guide, by `certbound run` as it says."""
    text = told(first_block(request.param), cast)
    (tmp_path / "guide.py").write_text(text.replace('"payments"', '"write"').replace('"prices"', '"write"'))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with on_listener(cast, "guide:app", "--websockets") as face:
        yield face


@pytest.mark.wide
def test_what_a_guide_of_asynchronous_applications_shows_guards(on_our_listener: Face) -> None:
    """The owner passes, nobody else, and nobody without the scope; websockets too."""
    face = on_our_listener
    cast, tokens, owner = face.cast, face.cast.tokens, face.cast.owner
    path = "/accounts" if "accounts" in face.ask(tokens["good"], owner, "/openapi.json").body.decode() else "/"
    answer = face.ask(tokens["good"], owner, path)
    assert (200, {"who": "owner"}) == (answer.status, answer.json)
    refused(face.ask(tokens["good"], cast.thief, path), 401, "invalid_token")
    assert 401 == face.ask(None, owner, path).status
    empty = [("content-length", "0")]
    assert 200 == face.ask(tokens["good"], owner, "/pay?amount=5", method="POST", headers=empty).status
    lacking = face.ask(tokens["reading"], owner, "/pay?amount=5", method="POST", headers=empty)
    refused(lacking, 403, "insufficient_scope", 'scope="write"')

    def talk(identity: Issued) -> ClientConnection:
        fields = {"authorization": f"Bearer {tokens['good']}"}
        url = face.url.replace("http", "ws", 1) + "/prices"
        return connect(url, additional_headers=fields, ssl=cast.world.context(identity))

    with talk(owner) as connection:
        assert json.loads(connection.recv())
    with pytest.raises(InvalidStatus):
        talk(cast.thief)
