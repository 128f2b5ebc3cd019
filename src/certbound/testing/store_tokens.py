"""The conformance suite for stores: opaque access tokens, values that count once, and the end of what has ended."""

import asyncio
from typing import Any

import pytest

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import AccessTokenRecord
from certbound.testing.store_place import METADATA, NOW, ODD_IDENTIFIERS, StorePlace, refused


def access_token(digest: str = "digest", *, ends_at: float = NOW + 300, **claims: Any) -> AccessTokenRecord:
    """An access token that no store has seen yet; it lives five minutes."""
    return AccessTokenRecord(digest=digest, claims=claims, ends_at=ends_at)


class TokenConformance(StorePlace):
    """What any store does with opaque access tokens and with values that count once."""

    async def test_a_token_comes_back(self) -> None:
        """What was added is found under its digest, whatever its claims are; nothing else is found."""
        async with self.opened() as store:
            record = access_token(**METADATA)
            await store.tokens.add(record)
            assert await store.tokens.find("digest", now=NOW) == record
            for other in ("Digest", "digest ", "", "nul\0", "half \ud83d pair", *ODD_IDENTIFIERS):
                assert await store.tokens.find(other, now=NOW) is None

    async def test_a_token_ends(self) -> None:
        """It is found until it ends, and not afterwards, purged or not."""
        async with self.opened() as store:
            await store.tokens.add(access_token())
            assert await store.tokens.find("digest", now=NOW + 300) is not None
            assert await store.tokens.find("digest", now=NOW + 300.5) is None

    async def test_a_token_is_removed(self) -> None:
        """It is gone and the others stay; to remove what is not there changes nothing."""
        async with self.opened() as store:
            await store.tokens.add(access_token("a"))
            await store.tokens.add(access_token("b"))
            for digest in ("a", "a", "never there", "nul\0"):
                await store.tokens.remove(digest)
            assert await store.tokens.find("a", now=NOW) is None
            assert await store.tokens.find("b", now=NOW) == access_token("b")

    async def test_many_tokens_at_once(self) -> None:
        """A thousand that are added at once are all there; one that cannot be kept takes nothing from the others."""
        async with self.opened() as store:
            records = [access_token(f"{n}", n=n) for n in range(1000)]
            bad = [access_token("bad", odd=object()), access_token("nul\0"), access_token("half \ud83d pair")]
            calls = [store.tokens.add(each) for each in [*records[:500], *bad, *records[500:]]]
            answers = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(each) for each in answers if each is not None] == [StoreUnavailable] * 3
            for each in records[::111]:
                assert await store.tokens.find(each.digest, now=NOW) == each
            assert await store.tokens.find("bad", now=NOW) is None

    async def test_a_value_counts_once(self) -> None:
        """The first who uses it is told so, all others are not; another purpose or value is another."""
        async with self.opened() as store:
            named = [("jti", "a"), ("jti", "A"), ("jti", ""), ("code", "a"), ("jt", "ia"), ("", "jtia")]
            nul = [("j", "nul\0"), ("j\0", "nul")]
            odd = [("odd", each) for each in (*ODD_IDENTIFIERS, "half \ud83d pair", "x" * 100_000)]
            seen = named + nul + odd
            for expected in (True, False, False):
                answers = [await store.tokens.use(*each, until=NOW + 60, now=NOW) for each in seen]
                assert answers == [expected] * len(seen)

    async def test_a_value_counts_again_when_its_time_is_over(self) -> None:
        """Until then it does not; and then it counts once, until the new time, purged or not."""
        async with self.opened() as store:
            assert await store.tokens.use("jti", "a", until=NOW + 60, now=NOW)
            assert not await store.tokens.use("jti", "a", until=NOW + 999, now=NOW + 60)
            assert await store.tokens.use("jti", "a", until=NOW + 120, now=NOW + 61)
            assert not await store.tokens.use("jti", "a", until=NOW + 999, now=NOW + 62)
            assert await store.tokens.use("jti", "a", until=NOW + 999, now=NOW + 121)

    async def test_one_of_many_uses_is_the_first(self) -> None:
        """Of 50 that use one value at once one is first, and so for each of ten values."""
        async with self.opened() as store:
            values = [f"{n % 10}" for n in range(500)]
            answers = await asyncio.gather(*(store.tokens.use("jti", v, until=NOW + 60, now=NOW) for v in values))
            assert sorted(v for v, first in zip(values, answers, strict=True) if first) == list("0123456789")

    async def test_two_processes_use_a_value_once(self) -> None:
        """It is atomic between them, whichever order they come in."""
        async with self.opened_twice() as views:
            values = [f"{n}" for n in range(40)]
            calls = [views[0].tokens.use("jti", v, until=NOW + 60, now=NOW) for v in values]
            calls += [views[1].tokens.use("jti", v, until=NOW + 60, now=NOW) for v in reversed(values)]
            answers = await asyncio.gather(*calls)
            assert [a + b for a, b in zip(answers[:40], reversed(answers[40:]), strict=True)] == [1] * 40

    async def test_two_processes_share_tokens(self) -> None:
        """What one added the other finds, and removes for both."""
        async with self.opened_twice() as (one, other):
            await one.tokens.add(access_token())
            assert await other.tokens.find("digest", now=NOW) == access_token()
            await other.tokens.remove("digest")
            assert await one.tokens.find("digest", now=NOW) is None

    async def test_nobody_hears_of_tokens(self) -> None:
        """Neither number of the revision moves when one is added, used, removed or purged."""
        async with self.opened() as store:
            before = await store.revision()
            await store.tokens.add(access_token())
            await store.tokens.add(access_token("other", ends_at=NOW - 1))
            await store.tokens.use("jti", "a", until=NOW - 1, now=NOW - 2)
            await store.tokens.remove("digest")
            assert await store.tokens.purge(now=NOW) == 2
            assert await store.revision() == before

    async def test_what_has_ended_is_purged(self) -> None:
        """A part at a time, and nothing that is alive; 0 when nothing is left to do."""
        async with self.opened() as store:
            ended = [store.tokens.add(access_token(f"{n}", ends_at=NOW - n - 1)) for n in range(25)]
            await asyncio.gather(*ended, store.tokens.add(access_token("alive", ends_at=NOW)))
            for n in range(15):
                await store.tokens.use("jti", f"{n}", until=NOW - 1, now=NOW - 2)
            await store.tokens.use("jti", "alive", until=NOW, now=NOW - 2)
            purged = [await store.tokens.purge(now=NOW, most=10) for _ in range(4)]
            assert purged == [20, 15, 5, 0]
            assert await store.tokens.find("alive", now=NOW) is not None
            assert not await store.tokens.use("jti", "alive", until=NOW, now=NOW)
            assert await store.tokens.use("jti", "0", until=NOW, now=NOW)

    async def test_purging_by_two_processes(self) -> None:
        """What two purge at once is gone once."""
        async with self.opened_twice() as views:
            adding = (views[0].tokens.add(access_token(f"{n}", ends_at=NOW - 1)) for n in range(400))
            await asyncio.gather(*adding)
            purged = [view.tokens.purge(now=NOW, most=50) for view in views * 6]
            assert sum(await asyncio.gather(*purged)) == 400

    async def test_tokens_survive_a_restart(self) -> None:
        """What was added is found, and what was used counts no more."""
        if not self.reopens:
            pytest.skip("each opening of this store is a place of its own")
        async with self.opened() as store:
            await store.tokens.add(access_token())
            await store.tokens.use("jti", "a", until=NOW + 60, now=NOW)
        async with self.opened() as store:
            assert await store.tokens.find("digest", now=NOW) == access_token()
            assert not await store.tokens.use("jti", "a", until=NOW + 60, now=NOW)

    async def test_no_tokens_in_a_closed_store(self) -> None:
        """After `close` every call is `StoreUnavailable`."""
        store = await self.open()
        await store.close()
        for call in (
            store.tokens.add(access_token()),
            store.tokens.find("digest", now=NOW),
            store.tokens.remove("digest"),
            store.tokens.use("jti", "a", until=NOW, now=NOW),
            store.tokens.purge(now=NOW),
        ):
            await refused(StoreUnavailable, call)
