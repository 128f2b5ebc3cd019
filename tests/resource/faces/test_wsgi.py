"""The guard in front of plain WSGI, under gunicorn: behind a proxy, and with gunicorn's own TLS."""

from contextlib import AbstractContextManager

import pytest

from faces.gunicorn import OnWSGI, WithOwnTLS, behind_proxy, with_tls
from faces.suite import Cast, Face

BY_PROXY = "a declared proxy"
BY_GUNICORN = "gunicorn's TLS, CA-issued alone"


@pytest.mark.wide  # Flask behind a proxy stands on the same guard
class TestBehindAProxy(OnWSGI):
    """The test is the proxy."""

    title = "WSGI (gunicorn, sync)"
    source = BY_PROXY

    @staticmethod
    def serve(cast: Cast) -> AbstractContextManager[Face]:
        return behind_proxy(cast, "plain_wsgi:app")


class TestWithTLS(WithOwnTLS):
    """gunicorn asks for certificates and verifies them."""

    title = "WSGI (gunicorn, sync)"
    source = BY_GUNICORN

    @staticmethod
    def serve(cast: Cast) -> AbstractContextManager[Face]:
        return with_tls(cast, "plain_wsgi:app")
