"""The conformance suite for stores: the sessions of people."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import SessionRecord
from certbound.testing.store_place import NOW, ODD_IDENTIFIERS, StorePlace, refused

DAY = 86_400.0


def session(digest: str = "cookie", subject: str = "subject of ann", **changes: Any) -> SessionRecord:
    """A session that no store has seen yet; it lives a day."""
    facts: dict[str, Any] = {
        "sid": f"sid of {digest}",
        "auth_time": NOW - 5.5,
        "acr": "urn:example:acr",
        "amr": ("pwd", "otp"),
        "created_at": NOW,
        "ends_at": NOW + DAY,
        **changes,
    }
    return SessionRecord(digest=digest, subject=subject, **facts)


class SessionConformance(StorePlace):
    """What any store does with sessions."""

    async def test_a_session_comes_back(self) -> None:
        """As it was added, and nothing else finds it; one that says little too."""
        async with self.opened() as store:
            plain = SessionRecord(digest="plain", subject="s", sid="i", auth_time=NOW, ends_at=NOW + 1)
            for each in (session(), plain):
                await store.sessions.add(each)
                assert await store.sessions.find(each.digest, now=NOW) == each
            for other in ("Cookie", "cookie ", "sid of cookie", "", "nul\0", "half \ud83d pair", *ODD_IDENTIFIERS):
                assert await store.sessions.find(other, now=NOW) is None

    async def test_a_session_ends_by_time(self) -> None:
        """It is found until then; and purged afterwards, with no other."""
        async with self.opened() as store:
            await store.sessions.add(session())
            await store.sessions.add(session("longer", ends_at=NOW + DAY + 1))
            assert await store.sessions.find("cookie", now=NOW + DAY) is not None
            assert await store.sessions.find("cookie", now=NOW + DAY + 0.5) is None
            assert await store.tokens.purge(now=NOW + DAY) == 0
            assert await store.tokens.purge(now=NOW + DAY + 0.5) == 1
            assert await store.sessions.find("cookie", now=NOW) is None
            assert await store.sessions.find("longer", now=NOW) is not None

    async def test_odd_sessions_are_sessions(self) -> None:
        """Cookies, subjects and what was said of a login are text, whatever is in it."""
        async with self.opened() as store:
            for each in ODD_IDENTIFIERS:
                record = session(each, each, sid=each, acr=each, amr=(each, "pwd"))
                await store.sessions.add(record)
                assert await store.sessions.find(each, now=NOW) == record
            for number, each in enumerate(ODD_IDENTIFIERS, start=1):
                await (store.sessions.end(each) if number % 2 else store.sessions.end_all(each))
                there = [await store.sessions.find(other, now=NOW) is not None for other in ODD_IDENTIFIERS]
                assert there == [n >= number for n in range(len(ODD_IDENTIFIERS))]

    @pytest.mark.parametrize(
        "changes",
        [{"digest": "nul\0"}, {"subject": "\ud83d"}, {"acr": "\0"}, {"amr": ("\ud83d",)}],
        ids=["cookie", "subject", "acr", "amr"],
    )
    async def test_a_session_that_cannot_be_kept_is_refused(self, changes: dict[str, Any]) -> None:
        """As `StoreUnavailable`; so is a second one of a cookie, and the first stays."""
        async with self.opened() as store:
            await store.sessions.add(session())
            await refused(StoreUnavailable, store.sessions.add(replace(session("other"), **changes)))
            await refused(StoreUnavailable, store.sessions.add(session(subject="another")))
            assert await store.sessions.find("cookie", now=NOW) == session()
            assert await store.sessions.find("other", now=NOW) is None

    async def test_a_session_is_ended(self) -> None:
        """It is gone and the others of that person stay; what is not there can be ended too."""
        async with self.opened() as store:
            for each in ("phone", "desk"):
                await store.sessions.add(session(each))
            for each in ("phone", "phone", "never there", "", "nul\0", "half \ud83d pair"):
                await store.sessions.end(each)
            assert await store.sessions.find("phone", now=NOW) is None
            assert await store.sessions.find("desk", now=NOW) == session("desk")

    async def test_all_sessions_of_a_person_are_ended(self) -> None:
        """Those and no others; it is told how many there were."""
        async with self.opened() as store:
            for n in range(3):
                await store.sessions.add(session(f"{n}"))
            await store.sessions.add(session("hers", "Subject of ann"))
            assert [await store.sessions.end_all("subject of ann") for _ in range(2)] == [3, 0]
            for nobody in ("", "nobody", "nul\0", "half \ud83d pair"):
                assert await store.sessions.end_all(nobody) == 0
            assert [await store.sessions.find(f"{n}", now=NOW) for n in range(3)] == [None] * 3
            assert await store.sessions.find("hers", now=NOW) is not None

    async def test_two_processes_share_sessions(self) -> None:
        """What one of them ended is gone for the other."""
        async with self.opened_twice() as (one, other):
            await asyncio.gather(*(view.sessions.add(session(f"{n}")) for n, view in enumerate((one, other) * 5)))
            assert await other.sessions.find("0", now=NOW) == session("0")
            await one.sessions.end("1")
            assert await other.sessions.find("1", now=NOW) is None
            assert sum(await asyncio.gather(*(each.sessions.end_all("subject of ann") for each in (one, other)))) == 9
            assert await one.sessions.find("0", now=NOW) is None
