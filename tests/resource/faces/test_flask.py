"""The guard in Flask, under gunicorn with a worker per thread and one that is sync."""

from contextlib import AbstractContextManager

from faces.gunicorn import OnWSGI, behind_proxy
from faces.suite import Cast, Face, refused


class TestFlask(OnWSGI):
    """Behind a proxy."""

    title = "Flask (gunicorn, gthread)"
    source = "a declared proxy"

    @staticmethod
    def serve(cast: Cast) -> AbstractContextManager[Face]:
        return behind_proxy(cast, "flask_app:app", "--worker-class", "gthread", "--threads", "4", "--preload")

    def test_the_order_of_decorators_opens_nothing(self, face: Face) -> None:
        """A `@requires` above `@app.get` decorates what nobody calls, and its scopes are asked for all the same."""
        assert 200 == face.ask(face.cast.tokens["good"], face.cast.owner, "/write-other-order").status
        answer = face.ask(face.cast.tokens["reading"], face.cast.owner, "/write-other-order")
        refused(answer, 403, "insufficient_scope", 'scope="write"')

    def test_an_asynchronous_view_is_guarded_as_any(self, face: Face) -> None:
        """And runs."""
        assert 200 == face.ask(face.cast.tokens["good"], face.cast.owner, "/write-async").status
        refused(face.ask(face.cast.tokens["reading"], face.cast.owner, "/write-async"), 403, "insufficient_scope")

    def test_what_does_not_exist_is_not_shown_to_strangers(self, face: Face) -> None:
        """404 is for whoever may pass."""
        assert 401 == face.ask(None, face.cast.owner, "/nowhere").status
        assert 404 == face.ask(face.cast.tokens["good"], face.cast.owner, "/nowhere").status
