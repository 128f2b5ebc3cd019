"""The guard in Django: WSGI under gunicorn, ASGI on our own listener; and REST framework."""

from contextlib import AbstractContextManager
from typing import ClassVar

import pytest
from websockets.exceptions import InvalidStatus

from faces.gunicorn import OnWSGI, behind_proxy
from faces.listener import on_listener
from faces.suite import METADATA, Cast, Face, GuardedAPI, refused


class OwnViews(GuardedAPI):
    """Sentences about asynchronous views."""

    def test_an_asynchronous_view_is_guarded_as_any(self, face: Face) -> None:
        """By the same decorator."""
        assert 200 == face.ask(face.cast.tokens["good"], face.cast.owner, "/write-async").status
        answer = face.ask(face.cast.tokens["reading"], face.cast.owner, "/write-async")
        refused(answer, 403, "insufficient_scope", 'scope="write"')


class TestDjango(OwnViews, OnWSGI):
    """Behind a proxy."""

    title = "Django (gunicorn, sync)"
    source = "a declared proxy"

    @staticmethod
    def serve(cast: Cast) -> AbstractContextManager[Face]:
        return behind_proxy(cast, "django_app:application")


@pytest.mark.wide
class TestDjangoASGI(OwnViews):
    """On our own listener."""

    title = "Django, ASGI (certbound run)"
    source = "our listener, any certificate"
    cannot: ClassVar[dict[str, str]] = {
        "a_websocket_is_for_its_owner_alone": "Django's ASGI application has none; in front of Channels put `Guard`",
    }

    def test_a_websocket_is_for_its_owner_alone(self, face: Face) -> None:
        """The listener does not let it in."""
        for identity in (face.cast.owner, face.cast.thief):
            with pytest.raises(InvalidStatus), face.websocket(face.cast.tokens["good"], identity):
                pass

    @staticmethod
    def serve(cast: Cast) -> AbstractContextManager[Face]:
        return on_listener(cast, "django_app:asgi")


class TestRESTFramework(OnWSGI):
    """The authentication class and permissions, without the middleware."""

    title = "Django REST framework (gunicorn, sync)"
    source = "a declared proxy"
    cannot: ClassVar[dict[str, str]] = {
        **OnWSGI.cannot,
        "nothing_but_the_metadata_is_open": "without the middleware, views of others are the project's own affair",
    }

    @staticmethod
    def serve(cast: Cast) -> AbstractContextManager[Face]:
        return behind_proxy(cast, "rest_app:application")

    def test_nothing_but_the_metadata_is_open(self, face: Face) -> None:
        """What is no view is not found, whoever asks; every view of the framework asks for a token."""
        assert 404 == face.ask(None, None, f"{METADATA}/x").status
        answer = face.ask(None, None, METADATA, method="POST", headers=[("content-length", "0")])
        assert 405 == answer.status
        assert 401 == face.ask(None, None, "/headers").status

    def test_a_view_may_be_open_to_others_where_it_says_so(self, face: Face) -> None:
        """`required = False`: nobody is anonymous, a bad token is refused, and a permission asks for one."""
        owner, tokens = face.cast.owner, face.cast.tokens
        assert (200, None) == ((nobody := face.ask(None, None, "/open")).status, nobody.json["client_id"])
        assert "owner" == face.ask(tokens["good"], owner, "/open").json["client_id"]
        refused(face.ask(tokens["good"], None, "/open"), 401, "invalid_token")
        asked = face.ask(None, None, "/half")
        assert 401 == asked.status
        assert asked.headers["www-authenticate"].startswith("Bearer resource_metadata=")

    def test_an_ordinary_view_is_guarded_by_its_decorator_alone(self, face: Face) -> None:
        """No middleware stands before it."""
        assert 401 == face.ask(None, face.cast.owner, "/plain").status
        refused(face.ask(face.cast.tokens["good"], face.cast.thief, "/plain"), 401, "invalid_token")
        assert 200 == face.ask(face.cast.tokens["good"], face.cast.owner, "/plain").status
