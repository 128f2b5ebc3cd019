"""Access tokens that are known to be ours, remembered: a resource server asks about one with each of its requests.

Rule 1: what is remembered is what a token says, which nothing changes; whether it is live is asked each time.
Rule 2: it is remembered for whoever was told, and for nobody else: of the tokens of others nobody learns, by the time
that an answer takes, whether they are there.
Rule 3: nothing of it outlives a key that is published no more; a token is not kept here but its hash.
Rule 4: that a JWT was signed by this very process is no secret from whoever has it: our public keys say so to all, but
for which process it was.  So it is remembered for everybody, and what was just signed is not verified to find that out.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from certbound.core.signing import PublicKey

MOST = 8 * 1024 * 1024
"""Bytes of what tokens say, in JSON: some twenty thousand of them."""
SIGNED = 20_000
"""How many of those that were signed here are known; some 3 MiB."""


class ProvenTokens:
    """What tokens say that were proven to be ours, the latest that were asked about.  For one event loop."""

    def __init__(self) -> None:
        self._said: OrderedDict[bytes, bytes] = OrderedDict()
        self._size = 0
        self._kids: Sequence[str] = ()

    def find(self, token: str, asker: str, kids: Sequence[str]) -> Mapping[str, Any] | None:
        """What the token says, if that was kept for `asker` while the same keys were published."""
        if self._kids != kids:
            self._said.clear()
            self._size, self._kids = 0, kids
        key = _key(token, asker)
        said = self._said.get(key)
        if said is None:
            return None
        self._said.move_to_end(key)
        claims: Mapping[str, Any] = msgspec.json.decode(said)
        return claims

    def keep(self, token: str, asker: str, claims: Mapping[str, Any], kids: Sequence[str]) -> None:
        """For as long as there is room and `kids` are published, as they were when it was proven."""
        if self._kids != kids:
            return
        key, said = _key(token, asker), msgspec.json.encode(claims)
        self._size += len(said) - len(self._said.pop(key, b""))
        self._said[key] = said
        while self._size > MOST:
            self._size -= len(self._said.popitem(last=False)[1])


class SignedTokens:
    """The JWTs that this process signed last as access tokens, and by which keys.  For one event loop."""

    def __init__(self, most: int = SIGNED) -> None:
        self._keys: OrderedDict[bytes, tuple[str, str]] = OrderedDict()
        self._most = most

    def keep(self, token: str, key: PublicKey) -> None:
        """It was signed, here and as an access token, with that key."""
        self._keys[_hash(token)] = key.kid, key.alg
        if len(self._keys) > self._most:
            self._keys.popitem(last=False)

    def has(self, token: str, keys: Iterable[PublicKey]) -> bool:
        """Whether it is one of them, whole and unchanged, by one of these keys and what that is for today."""
        signed_by = self._keys.get(_hash(token))
        return any((each.kid, each.alg) == signed_by for each in keys)


def _hash(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


def _key(token: str, asker: str) -> bytes:
    # No client_id has a line end, so no two pairs are the same text.
    return sha256(f"{token}\n{asker}".encode("utf-8", "surrogatepass")).digest()
