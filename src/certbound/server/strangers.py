"""Limits on what is kept for whoever proved nothing: requests that wait for a login, and what public clients push.

Rule: of one network, so much a minute; from elsewhere people still get in.  What a person who is logged in begins, or a
client that authenticates, is not counted.
"""

from certbound.core.authentication import AuthenticatedClient
from certbound.core.errors import TooManyRequests
from certbound.core.proofs import NothingProven
from certbound.server.call import Call
from certbound.server.guesses import TooManyGuesses
from certbound.server.service import Service, people_of


def admit_stranger(call: Call, service: Service) -> None:
    """One more.  `TooManyRequests` (429) if there were too many from there."""
    try:
        people_of(service).strangers.begin(call.address, "request")
    except TooManyGuesses as why:
        raise TooManyRequests(
            "too many requests were begun from there without a login", retry_after=why.retry_after
        ) from why


def admit(authenticated: AuthenticatedClient, call: Call, service: Service) -> None:
    """The same, where the client proved nothing."""
    if isinstance(authenticated.proof, NothingProven):
        admit_stranger(call, service)
