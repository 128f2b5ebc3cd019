"""A guard stands behind what says which certificate a client holds, and says so where it does not.

    app = ForwardedCertificates(Guard(app, api), contract="nginx", …)

Rule 1: what is seen to stand the wrong way round stops the start; what could not be seen (`tls.facts.DECIDED`) lets no
request pass.
Rule 2: where nothing says it at all, bound tokens are refused and the log says why: the clients' tokens are good.
"""

import logging
from collections.abc import Iterator
from typing import Any

from certbound.core.errors import ConfigurationError, ProtectedResourceError, TokenMissing
from certbound.tls.events import Events
from certbound.tls.facts import CertificateSource, ConnectionFacts

_log = logging.getLogger("certbound.security")


def require_source_outside(app: Any) -> None:
    """Nothing inside `app`, as far as it can be seen, says which certificate a client holds.  `ConfigurationError`."""
    for each in _inside(app):
        if isinstance(each, CertificateSource) or (isinstance(each, type) and issubclass(each, CertificateSource)):
            name = each.__name__ if isinstance(each, type) else type(each).__name__
            raise ConfigurationError(
                f"the guard stands in front of {name} and would decide before the client's certificate is known, by "
                f"the proxy's own or by none. Turn the two round: {name}(Guard(app, api), …); with add_middleware or "
                f"wsgi_app = … the guard comes first and {name} last"
            )


class Sourceless:
    """Tells, as often as `Events` does, that nothing says which certificate clients hold."""

    def __init__(self) -> None:
        self._events = Events(_log, logging.ERROR)

    def forget(self) -> None:
        """What was told may be told again."""
        self._events = Events(_log, logging.ERROR)

    def tell(self, facts: ConnectionFacts | None, refusal: ProtectedResourceError) -> None:
        """A request with a token was refused; `facts` are those of its connection."""
        if facts is None and not isinstance(refusal, TokenMissing):
            self._events.tell("", _NOBODY_SAYS)


def _inside(app: Any) -> Iterator[Any]:
    """`app` and what it wraps, by the names that middleware has for it."""
    waiting, seen = [app], set[int]()
    while waiting and len(seen) < _DEEP:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        own = getattr(each, "__dict__", None)
        if isinstance(own, dict):  # looked into and not asked: some make up whatever one asks them for
            waiting += [own.get(name) for name in _WRAPPED]
            added = own.get("user_middleware")  # Starlette's, before it is built
            waiting += [getattr(one, "cls", None) for one in added] if isinstance(added, list) else []


_DEEP = 64
_WRAPPED = ("app", "_app", "application", "wsgi_app")
_NOBODY_SAYS = (
    "nothing says which certificate clients hold, so every bound token is refused: serve the application with "
    "certbound run, or declare the proxy in front of the guard, outermost: ForwardedCertificates(Guard(app, api), "
    "contract=…)"
)
