"""The conformance suite for stores: initial access tokens of registration."""

import asyncio
from dataclasses import replace

import pytest

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import InitialTokenRecord
from certbound.testing.store_place import NOW, ODD_IDENTIFIERS, StorePlace


def initial_token(digest: str = "digest", *, uses: int = 1, ends_at: float = NOW + 300) -> InitialTokenRecord:
    """One that no store has seen yet; it lives five minutes."""
    return InitialTokenRecord(digest=digest, uses=uses, label="partner", created_at=NOW, ends_at=ends_at)


class InitialTokenConformance(StorePlace):
    """What any store does with them."""

    async def test_an_initial_token_comes_back(self) -> None:
        """What was added is found and listed, and nothing else is; to add it moves no revision."""
        async with self.opened() as store:
            before = await store.revision()
            await store.initial_tokens.add(initial_token())
            assert await store.initial_tokens.find("digest", now=NOW) == initial_token()
            assert list(await store.initial_tokens.list(now=NOW)) == [initial_token()]
            for other in ("Digest", "", "nul\0", "half \ud83d pair", *ODD_IDENTIFIERS):
                assert await store.initial_tokens.find(other, now=NOW) is None
                assert not await store.initial_tokens.take(other, now=NOW)
                assert not await store.initial_tokens.remove(other)
            assert await store.revision() == before
            with pytest.raises(StoreUnavailable):
                await store.initial_tokens.add(initial_token("nul\0"))

    async def test_an_initial_token_has_so_many_uses(self) -> None:
        """Of ten who take at once from one with three uses, three do; then it is there for nobody."""
        async with self.opened() as store:
            await store.initial_tokens.add(initial_token(uses=3))
            taken = await asyncio.gather(*(store.initial_tokens.take("digest", now=NOW) for _ in range(10)))
            assert sorted(taken) == [False] * 7 + [True] * 3
            assert await store.initial_tokens.find("digest", now=NOW) is None
            assert list(await store.initial_tokens.list(now=NOW)) == []

    async def test_an_initial_token_ends(self) -> None:
        """It counts until it ends, and is purged afterwards."""
        async with self.opened() as store:
            await store.initial_tokens.add(initial_token())
            assert await store.initial_tokens.take("digest", now=NOW + 301) is False
            assert await store.initial_tokens.find("digest", now=NOW + 301) is None
            assert await store.tokens.purge(now=NOW + 301) == 1
            assert await store.initial_tokens.find("digest", now=NOW) is None

    async def test_an_initial_token_is_removed(self) -> None:
        """It is gone, once, and the others stay."""
        async with self.opened() as store:
            await store.initial_tokens.add(initial_token("a"))
            await store.initial_tokens.add(replace(initial_token("b"), created_at=NOW - 1))
            assert [each.digest for each in await store.initial_tokens.list(now=NOW)] == ["b", "a"]
            assert await store.initial_tokens.remove("a")
            assert not await store.initial_tokens.remove("a")
            assert [each.digest for each in await store.initial_tokens.list(now=NOW)] == ["b"]
