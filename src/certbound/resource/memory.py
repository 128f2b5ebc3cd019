"""Tokens that were verified before: what cannot change is not computed twice.

Rule 1: a token counts as verified as long as the very key set is in use that verified it: a key that the issuer took
away is missed as soon as its keys are fetched anew.
Rule 2: certificate, time, scopes and status are asked on each request; nothing here answers for them.
Rule 3: tokens are known by their SHA-256, and bounded in number; no token is kept.
"""

from collections import OrderedDict
from hashlib import sha256
from typing import NewType

import msgspec
from joserfc.jwk import KeySet

from certbound.resource.trusted import TrustedIssuer
from certbound.resource.verify import Principal

CAPACITY = 4096

Digest = NewType("Digest", bytes)
"""The SHA-256 of a token, by which it is known."""


class Verified(msgspec.Struct, frozen=True):
    """A token whose signature and claims were found good."""

    issuer: TrustedIssuer
    keys: KeySet
    principal: Principal


class TokenMemory:
    """The tokens verified last; what was verified first goes first.  Several threads may use it."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._kept: OrderedDict[Digest, Verified] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, token: Digest) -> Verified | None:
        """What is known of `token`, if its issuer's keys are still those that verified it."""
        found = self._kept.get(token)
        return found if found is not None and found.issuer.keys.known(None) is found.keys else None

    def keep(self, token: Digest, verified: Verified) -> None:
        """`token` was verified; the next time it need not be."""
        self._kept[token] = verified
        if len(self._kept) > self._capacity:
            self._kept.popitem(last=False)


def digest(token: str) -> Digest:
    """Of what `read_bearer` took for a token, so ASCII."""
    return Digest(sha256(token.encode("ascii")).digest())
