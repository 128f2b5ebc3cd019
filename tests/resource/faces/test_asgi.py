"""The guard in front of plain ASGI, on our own listener."""

from contextlib import AbstractContextManager

from faces.listener import on_listener
from faces.suite import Cast, Face, GuardedAPI


class TestOnOurListener(GuardedAPI):
    """`certbound run`."""

    title = "ASGI (certbound run)"
    source = "our listener, any certificate"

    @staticmethod
    def serve(cast: Cast) -> AbstractContextManager[Face]:
        return on_listener(cast, "plain_asgi:app", "--websockets")
