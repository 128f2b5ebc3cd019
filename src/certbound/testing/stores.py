"""The conformance suite for stores: what `certbound.core.ports` demands of one, as tests.

A store passes when a subclass of `StoreConformance` does, under pytest with pytest-asyncio in its auto mode:

    class TestMine(StoreConformance):
        @pytest.fixture(autouse=True)
        def place(self, tmp_path):
            self.path = tmp_path / "store"

        async def open(self):
            return await open_my_store(self.path)

Rules kept here:
- each sentence of the ports is a test, and no test asks for more than they say;
- only the ports are used: what a store is made of is its own affair;
- `pytest.register_assert_rewrite("certbound.testing.stores")` in a conftest.py makes failures tell more.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

import pytest

from certbound.core.errors import StoreUnavailable
from certbound.core.ports import (
    AlreadyExists,
    ClientRecord,
    KeyRecord,
    NotFound,
    RevocationRecord,
    RevokedKind,
    RevokedMeanwhile,
    StatusRecord,
    Store,
)

T = TypeVar("T")

ODD_IDENTIFIERS = (
    "a",
    "A",
    " ",
    "client with spaces ",
    "x" * 255,
    "ü" * 255,
    "'; DROP TABLE clients; --",
    '"quoted" and `quoted` and [quoted]',
    "per%cent %s %(name)s :name ? $1 {0}",
    "back\\slash\\",
    "new\nline\tand\rothers",
    "https://client.example/αβγ?x=1#y",
    "🔐 \u202egro.elpmaxe",
    "Å",  # one code point
    "A\u030a",  # two; not the same id
    "\U0010ffff",
)
"""Identifiers that are nothing special to a store: each is itself and no other."""

METADATA: dict[str, Any] = {
    "client_name": "Ünïcode 🔐 \u0000 \u2028 \"quoted\" 'quoted' \\",
    "redirect_uris": [],
    "tls_client_auth_subject_dn": "CN=a\\,b+OU=c, O=\\00d",
    "jwks": {"keys": [{"kty": "EC", "x5c": ["MIIB"], "use": None}]},
    "tls_client_certificate_bound_access_tokens": True,
    "default_max_age": 3600,
    "x_large": 2**53,
    "x_fraction": 0.1,
    "": {"": {}},
}
"""Every kind of value that a JSON object can have."""


def client(client_id: str = "client", **metadata: Any) -> ClientRecord:
    """A client that no store has seen yet."""
    return ClientRecord(client_id=client_id, metadata=metadata, created_at=1_700_000_000.25)


def key(kid: str = "key", *, created_at: float = 1_700_000_000.25) -> KeyRecord:
    """A signing key; to a store its bytes are bytes, so all 256 are among them."""
    return KeyRecord(kid=kid, alg="ES256", private_key=kid.encode() + bytes(range(256)), created_at=created_at)


NOW = 1_700_000_000.0
"""When the revocations of these tests happen."""


def status(client_id: str = "client", thumbprint: str = "leaf", *authorities: str, **changes: Any) -> StatusRecord:
    """A status that no store has allotted yet; it ends in a week."""
    facts = {"created_at": NOW, "ends_at": NOW + 604_800, **changes}
    return StatusRecord(client_id=client_id, thumbprint=thumbprint, authorities=authorities, **facts)


def revocation(kind: RevokedKind, value: str, at: float = NOW) -> RevocationRecord:
    """What is revoked, at this moment."""
    return RevocationRecord(kind=kind, value=value, revoked_at=at)


async def allot(store: Store, record: StatusRecord, *, until: float = NOW + 3600, now: float = NOW) -> StatusRecord:
    """As for a token that lives an hour."""
    return await store.revocations.allot(record, until=until, now=now)


class StoreConformance:
    """What any store does.  Subclass it and say in `open` how yours is opened."""

    reopens: ClassVar[bool] = True
    """Whether a second `open` of one test finds what the first one stored; False for a store in memory."""

    async def open(self) -> Store:
        """A store over this test's own place, which is empty at first; each call is another process's view of it."""
        raise NotImplementedError

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Store]:
        """An open store, closed afterwards."""
        store = await self.open()
        try:
            yield store
        finally:
            await store.close()

    @asynccontextmanager
    async def opened_twice(self) -> AsyncIterator[tuple[Store, Store]]:
        """Two views of one place; skips where there are none."""
        if not self.reopens:
            pytest.skip("each opening of this store is a place of its own")
        async with self.opened() as first, self.opened() as second:
            yield first, second

    # Clients, one after another

    async def test_an_empty_store_has_nothing(self) -> None:
        """A new store has no client, no key, and a revision all the same."""
        async with self.opened() as store:
            assert await store.clients.find("client") is None
            assert list(await store.clients.list()) == []
            assert list(await store.keys.list()) == []
            assert isinstance(await store.revision(), int)

    async def test_add_returns_what_is_stored(self) -> None:
        """What `add` returns is what `find` and `list` return, and what was given but for the version."""
        async with self.opened() as store:
            given = client(**METADATA)
            stored = await store.clients.add(given)
            assert replace(stored, version=given.version) == given
            assert await store.clients.find("client") == stored
            assert list(await store.clients.list()) == [stored]

    async def test_add_makes_the_version(self) -> None:
        """A version that the caller brings to `add` means nothing."""
        async with self.opened() as store:
            first = await store.clients.add(replace(client("a"), version=77))
            second = await store.clients.add(replace(client("b"), version=77))
            assert (first.version == 77) + (second.version == 77) <= 1
            assert await store.clients.find("a") == first

    @pytest.mark.parametrize("enabled", [True, False])
    async def test_enabled_is_kept(self, *, enabled: bool) -> None:
        """A client is as enabled as it was stored, after `add` and after `replace`."""
        async with self.opened() as store:
            stored = await store.clients.add(replace(client(), enabled=enabled))
            assert stored.enabled is enabled
            changed = await store.clients.replace(replace(stored, enabled=not enabled))
            assert changed.enabled is not enabled
            assert await store.clients.find("client") == changed

    async def test_add_refuses_a_taken_id(self) -> None:
        """`AlreadyExists` if the id is taken, and the client that has it stays as it was."""
        async with self.opened() as store:
            stored = await store.clients.add(client(a=1))
            with pytest.raises(AlreadyExists):
                await store.clients.add(client(a=2))
            assert await store.clients.find("client") == stored

    async def test_list_is_sorted_by_code_point(self) -> None:
        """All clients by `client_id`, in the order of code points whatever the machine's language."""
        async with self.opened() as store:
            for identifier in ODD_IDENTIFIERS:
                await store.clients.add(client(identifier))
            assert [record.client_id for record in await store.clients.list()] == sorted(ODD_IDENTIFIERS)
            assert len(await store.clients.list(limit=3)) == 3

    @pytest.mark.parametrize("identifier", ODD_IDENTIFIERS, ids=ascii)
    async def test_odd_ids_are_ids(self, identifier: str) -> None:
        """An id of quotes, of SQL, of 255 characters is stored, found, replaced and removed like any other."""
        async with self.opened() as store:
            others = [other for other in ODD_IDENTIFIERS if other != identifier]
            stored = await store.clients.add(client(identifier, name=identifier))
            assert await store.clients.find(identifier) == stored
            assert [other for other in others if await store.clients.find(other)] == []
            changed = await store.clients.replace(replace(stored, metadata={}))
            assert await store.clients.find(identifier) == changed
            await store.clients.remove(identifier)
            assert await store.clients.find(identifier) is None

    @pytest.mark.parametrize("identifier", ["", "nul\0", "\0", "half \ud83d pair"], ids=ascii)
    async def test_no_id_is_an_accident(self, identifier: str) -> None:
        """An id that no database can hold, or an empty one, is not there, and no foreign exception says so."""
        async with self.opened() as store:
            assert await store.clients.find(identifier) is None
            with pytest.raises(NotFound):
                await store.clients.remove(identifier)
            with pytest.raises((NotFound, StoreUnavailable)):
                await store.clients.replace(client(identifier))
            assert list(await store.clients.list()) == []

    @pytest.mark.parametrize("odd", [object(), "half \ud83d pair", 1j], ids=["object", "surrogate", "complex"])
    async def test_metadata_that_is_no_json_is_refused(self, odd: Any) -> None:
        """What cannot be stored is refused as `StoreUnavailable`, and nothing is stored."""
        async with self.opened() as store:
            before = await store.revision()
            with pytest.raises(StoreUnavailable):
                await store.clients.add(client(odd=odd))
            assert list(await store.clients.list()) == []
            assert await store.revision() == before

    async def test_replace_changes_the_state(self) -> None:
        """After `replace` the record stands where the old one stood; its metadata is replaced, not merged."""
        async with self.opened() as store:
            stored = await store.clients.add(client(a=1, b=2))
            other = await store.clients.add(client("other"))
            changed = await store.clients.replace(replace(stored, metadata={"b": 3}))
            assert changed.metadata == {"b": 3}
            assert changed.version != stored.version
            assert await store.clients.find("client") == changed
            assert await store.clients.find("other") == other

    async def test_replace_keeps_created_at(self) -> None:
        """`created_at` is kept from the first `add`, whatever `replace` is given."""
        async with self.opened() as store:
            stored = await store.clients.add(client())
            changed = await store.clients.replace(replace(stored, created_at=5))
            assert changed.created_at == stored.created_at
            assert await store.clients.find("client") == changed

    async def test_replace_wants_the_version_that_stands(self) -> None:
        """`NotFound` for a version that was replaced, never was, or whose client is gone; nothing changes."""
        async with self.opened() as store:
            old = await store.clients.add(client(a=1))
            now = await store.clients.replace(replace(old, metadata={"a": 2}))
            for version in (old.version, now.version + 1, 0, -1, 2**63, 2**70):
                with pytest.raises((NotFound, StoreUnavailable)):
                    await store.clients.replace(replace(old, version=version))
            with pytest.raises(NotFound):
                await store.clients.replace(old)
            assert await store.clients.find("client") == now
            await store.clients.remove("client")
            with pytest.raises(NotFound):
                await store.clients.replace(now)
            assert await store.clients.find("client") is None

    async def test_remove(self) -> None:
        """The client is gone, the others stay; `NotFound` if it was not there, the second time too."""
        async with self.opened() as store:
            await store.clients.add(client("a"))
            other = await store.clients.add(client("b"))
            await store.clients.remove("a")
            for missing in ("a", "c"):
                with pytest.raises(NotFound):
                    await store.clients.remove(missing)
            assert list(await store.clients.list()) == [other]

    async def test_versions_never_repeat(self) -> None:
        """Each state of one `client_id` has a version of its own, deletion and re-creation included."""
        async with self.opened() as store:
            seen = []
            for _ in range(3):
                record = await store.clients.add(client())
                seen.append(record.version)
                for flag in (False, True):
                    record = await store.clients.replace(replace(record, enabled=flag))
                    seen.append(record.version)
                await store.clients.remove("client")
            assert len(set(seen)) == len(seen)

    async def test_an_old_state_cannot_return(self) -> None:
        """A record read before its client was removed and made anew replaces nothing."""
        async with self.opened() as store:
            old = await store.clients.add(client(a=1))
            await store.clients.remove("client")
            new = await store.clients.add(client(a=2))
            with pytest.raises(NotFound):
                await store.clients.replace(old)
            assert await store.clients.find("client") == new

    # Keys

    async def test_keys_come_back(self) -> None:
        """A key is stored byte by byte."""
        async with self.opened() as store:
            await store.keys.add(key("ключ ' 🔐"))
            assert list(await store.keys.list()) == [key("ключ ' 🔐")]

    async def test_keys_are_listed_oldest_first(self) -> None:
        """All keys, oldest first, in whatever order they were stored."""
        async with self.opened() as store:
            for created_at in (30.0, 10.5, 20.0, 10.25):
                await store.keys.add(key(f"{created_at}", created_at=created_at))
            assert [record.created_at for record in await store.keys.list()] == [10.25, 10.5, 20.0, 30.0]

    async def test_a_kid_is_taken_once(self) -> None:
        """`AlreadyExists` if the kid is there, and the key that has it stays as it was."""
        async with self.opened() as store:
            await store.keys.add(key(created_at=1))
            with pytest.raises(AlreadyExists):
                await store.keys.add(key(created_at=2))
            assert list(await store.keys.list()) == [key(created_at=1)]

    async def test_add_first_stores_the_first(self) -> None:
        """`add_first` stores its key if there was none, and else returns the oldest of those that were there."""
        async with self.opened() as store:
            assert await store.keys.add_first(key("a", created_at=50)) == key("a", created_at=50)
            assert await store.keys.add_first(key("b", created_at=1)) == key("a", created_at=50)
            await store.keys.add(key("c", created_at=40))
            assert await store.keys.add_first(key("d")) == key("c", created_at=40)
            assert [record.kid for record in await store.keys.list()] == ["c", "a"]

    async def test_a_private_key_is_not_shown(self) -> None:
        """What a store says when it fails has no private key in it."""
        async with self.opened() as store:
            secret = KeyRecord(kid="nul\0", alg="ES256", private_key=b"correct horse battery staple")
            with pytest.raises(StoreUnavailable) as refused:
                await store.keys.add(secret)
            assert "horse" not in str(refused.value) + str(refused.value.__cause__)

    # Revocations, and the statuses of tokens

    async def test_nothing_is_revoked_at_first(self) -> None:
        """A new store has no revocation and no status, and a list has room for some all the same."""
        async with self.opened() as store:
            assert list(await store.revocations.list()) == []
            said = await store.revocations.statuses(NOW)
            assert said.invalid == frozenset()
            assert said.size > 0

    async def test_a_status_is_allotted_once(self) -> None:
        """The same client, certificate and path have the same place; anything else has another."""
        async with self.opened() as store:
            await store.clients.add(client())
            await store.clients.add(client("other"))
            records = [status(), status("other"), status("client", "other"), status("client", "leaf", "ca"),
                       status("client", "leaf", "ca", "root"), status("client", "leaf", "CA")]  # fmt: skip
            first = [await allot(store, each) for each in records]
            assert first == [await allot(store, each) for each in records]
            assert len({each.index for each in first}) == len(records)
            assert [replace(each, index=-1) for each in first] == records
            size = (await store.revocations.statuses(NOW)).size
            assert all(0 <= each.index < size for each in first)

    async def test_a_status_in_use_ends_later(self) -> None:
        """Where it would end before `until`, it is the same place and ends as late as was asked for."""
        async with self.opened() as store:
            await store.clients.add(client())
            first = await allot(store, status())
            later = status(created_at=NOW + 600_000, ends_at=NOW + 1_200_000)
            assert await allot(store, later, until=first.ends_at, now=NOW + 600_000) == first
            extended = await allot(store, later, until=first.ends_at + 1, now=NOW + 600_000)
            assert extended == replace(first, ends_at=later.ends_at)
            assert await allot(store, status(), until=later.ends_at) == extended

    async def test_odd_ids_have_a_status(self) -> None:
        """A client of any id has one of its own, and its revocation ends no other."""
        async with self.opened() as store:
            for identifier in ODD_IDENTIFIERS:
                await store.clients.add(client(identifier))
            places = await asyncio.gather(*(allot(store, status(identifier)) for identifier in ODD_IDENTIFIERS))
            ended = set()
            for identifier, place in zip(ODD_IDENTIFIERS, places, strict=True):
                assert list(await store.revocations.add(revocation(RevokedKind.CLIENT, identifier))) == [place]
                ended.add(place.index)
                assert (await store.revocations.statuses(NOW)).invalid == ended
            assert [record.client_id for record in await store.clients.list() if record.enabled] == []

    @pytest.mark.parametrize(
        ("kind", "value", "hit"),
        [
            (RevokedKind.CLIENT, "client", {"c1", "c2"}),
            (RevokedKind.CLIENT, "other", {"o1"}),
            (RevokedKind.CERTIFICATE, "leaf", {"c1", "o1"}),
            (RevokedKind.CERTIFICATE, "LEAF", set()),
            (RevokedKind.AUTHORITY, "root_", {"c1", "o1"}),
            (RevokedKind.AUTHORITY, "ca", {"c1"}),
            (RevokedKind.AUTHORITY, "rootx", {"c2"}),
            (RevokedKind.AUTHORITY, "ROOT_", set()),
            (RevokedKind.AUTHORITY, "roo", set()),
            (RevokedKind.AUTHORITY, "%", set()),
            (RevokedKind.AUTHORITY, "leaf", set()),
            (RevokedKind.CERTIFICATE, "nobody's", set()),
        ],
    )
    async def test_what_a_revocation_ends(self, kind: RevokedKind, value: str, hit: set[str]) -> None:
        """Those of the client, with the certificate, over the authority: by character, and no others."""
        async with self.opened() as store:
            await store.clients.add(client())
            await store.clients.add(client("other"))
            places = {
                "c1": await allot(store, status("client", "leaf", "ca", "root_")),
                "c2": await allot(store, status("client", "second", "rootx")),
                "o1": await allot(store, status("other", "leaf", "root_")),
            }
            expected = sorted((places[name] for name in hit), key=lambda each: each.index)
            assert list(await store.revocations.affected(kind, value, now=NOW)) == expected
            assert list(await store.revocations.add(revocation(kind, value))) == expected
            assert list(await store.revocations.affected(kind, value, now=NOW)) == []
            assert (await store.revocations.statuses(NOW)).invalid == {each.index for each in expected}
            assert list(await store.revocations.list()) == [revocation(kind, value)]

    async def test_nothing_is_allotted_to_what_is_revoked(self) -> None:
        """`RevokedMeanwhile` for the certificate, for any authority on the path, for a client disabled or gone."""
        async with self.opened() as store:
            for name in ("client", "closed", "gone"):
                await store.clients.add(client(name))
            await store.revocations.add(revocation(RevokedKind.CERTIFICATE, "stolen"))
            await store.revocations.add(revocation(RevokedKind.AUTHORITY, "lost"))
            await store.revocations.add(revocation(RevokedKind.CLIENT, "closed"))
            await store.clients.remove("gone")
            for record in (
                status("client", "stolen"),
                status("client", "leaf", "ca", "lost"),
                status("client", "leaf", "lost", "ca"),
                status("closed"),
                status("gone"),
                status("never there"),
            ):
                await _refused(RevokedMeanwhile, allot(store, record))
            await allot(store, status("client", "lost", "stolen"))  # of another kind

    async def test_a_revocation_believes_no_clock(self) -> None:
        """Who revokes by a clock that is days ahead ends what is out all the same, by the clock of those who ask."""
        async with self.opened() as store:
            await store.clients.add(client())
            out = await allot(store, status())
            assert list(await store.revocations.add(revocation(RevokedKind.CLIENT, "client", out.ends_at + 1))) == []
            assert (await store.revocations.statuses(NOW)).invalid == {out.index}

    async def test_a_revocation_finds_the_twins_of_a_certificate(self) -> None:
        """Who made another certificate of a stolen one has no token left either, and gets no status any more."""
        async with self.opened() as store:
            await store.clients.add(client())
            made = await allot(store, status(thumbprint="twin", twins=("other", "leaf")))
            assert made.twins == ("other", "leaf")
            await allot(store, status(thumbprint="unlike", twins=("LEAF",)))
            assert list(await store.revocations.affected(RevokedKind.CERTIFICATE, "leaf", now=NOW)) == [made]
            assert list(await store.revocations.add(revocation(RevokedKind.CERTIFICATE, "leaf"))) == [made]
            assert (await store.revocations.statuses(NOW)).invalid == {made.index}
            await _refused(RevokedMeanwhile, allot(store, status(thumbprint="twin", twins=("other", "leaf"))))

    async def test_a_revoked_status_stays_so(self) -> None:
        """What is lifted gets another place; the old one is invalid until it ends, and then it is forgotten."""
        async with self.opened() as store:
            await store.clients.add(client())
            old = await allot(store, status())
            await store.revocations.add(revocation(RevokedKind.CERTIFICATE, "leaf"))
            await store.revocations.remove(RevokedKind.CERTIFICATE, "leaf")
            new = await allot(store, status())
            assert new.index != old.index
            assert list(await store.revocations.list()) == []
            assert (await store.revocations.statuses(NOW)).invalid == {old.index}
            assert (await store.revocations.statuses(old.ends_at + 1)).invalid == frozenset()

    async def test_revoking_twice(self) -> None:
        """The first time counts, and statuses that came between are ended too."""
        async with self.opened() as store:
            await store.clients.add(client())
            first = revocation(RevokedKind.CLIENT, "client")
            await store.revocations.add(first)
            record = await store.clients.find("client")
            assert record is not None
            await store.clients.replace(replace(record, enabled=True))
            between = await allot(store, status())
            assert list(await store.revocations.add(replace(first, revoked_at=NOW + 9))) == [between]
            assert list(await store.revocations.list()) == [first]

    async def test_lifting(self) -> None:
        """What is lifted is not revoked, a client enabled; `NotFound` for what was not revoked."""
        async with self.opened() as store:
            stored = await store.clients.add(client())
            for kind in RevokedKind:
                await _refused(NotFound, store.revocations.remove(kind, "client"))
                await store.revocations.add(revocation(kind, "client"))
            for kind in RevokedKind:
                await store.revocations.remove(kind, "client")
            found = await store.clients.find("client")
            assert found == replace(stored, version=found.version if found else 0)
            assert found is not None
            assert found.version > stored.version
            assert list(await store.revocations.list()) == []

    @pytest.mark.parametrize("identifier", ["nobody", "", "nul\0", "half \ud83d pair"], ids=ascii)
    async def test_a_client_that_is_not_there_is_not_revoked(self, identifier: str) -> None:
        """`NotFound`, and nothing stands there afterwards."""
        async with self.opened() as store:
            await _refused(NotFound, store.revocations.add(revocation(RevokedKind.CLIENT, identifier)))
            assert list(await store.revocations.affected(RevokedKind.CLIENT, identifier, now=NOW)) == []
            assert list(await store.revocations.list()) == []

    async def test_revocations_are_listed_oldest_first(self) -> None:
        """In whatever order they came."""
        async with self.opened() as store:
            for at in (30.0, 10.5, 20.0):
                await store.revocations.add(revocation(RevokedKind.CERTIFICATE, f"{at}", at))
            assert [each.revoked_at for each in await store.revocations.list()] == [10.5, 20.0, 30.0]

    async def test_a_status_that_ended_is_no_more(self) -> None:
        """It is not affected, and its place may be given again."""
        async with self.opened() as store:
            await store.clients.add(client())
            old = await allot(store, status())
            after = old.ends_at + 1
            assert list(await store.revocations.affected(RevokedKind.CLIENT, "client", now=after)) == []
            assert (await allot(store, status("client", "other"), until=after, now=after)).index >= 0

    async def test_the_revision_stays_when_a_status_is_allotted(self) -> None:
        """Nobody needs to hear of it; a revocation and its lifting move the revision."""
        async with self.opened() as store:
            await store.clients.add(client())
            before = await store.revision()
            await allot(store, status())
            await allot(store, status(), until=NOW + 1_000_000)
            await _refused(RevokedMeanwhile, allot(store, status("nobody")))
            assert await store.revision() == before
            await store.revocations.add(revocation(RevokedKind.CERTIFICATE, "leaf"))
            between = await store.revision()
            await store.revocations.remove(RevokedKind.CERTIFICATE, "leaf")
            assert len({before, between, await store.revision()}) == 3

    # Revision

    async def test_the_revision_moves_with_each_change(self) -> None:
        """It is another number after every committed change, and never one that it was before."""
        async with self.opened() as store:
            seen = [await store.revision()]
            record = await store.clients.add(client())
            seen.append(await store.revision())
            await store.clients.replace(replace(record, enabled=False))
            seen.append(await store.revision())
            await store.clients.remove("client")
            seen.append(await store.revision())
            await store.keys.add(key("a"))
            seen.append(await store.revision())
            await store.clients.add(client())
            seen.append(await store.revision())
            assert len(set(seen)) == len(seen)

    async def test_the_revision_moves_with_the_first_key(self) -> None:
        """`add_first` moves it when it stores its key, and not when it finds one."""
        async with self.opened() as store:
            before = await store.revision()
            await store.keys.add_first(key("a"))
            after = await store.revision()
            assert after != before
            await store.keys.add_first(key("b"))
            assert await store.revision() == after

    async def test_the_revision_stays_without_a_change(self) -> None:
        """Questions and refused changes leave it as it is."""
        async with self.opened() as store:
            stored = await store.clients.add(client())
            await store.keys.add(key())
            before = await store.revision()
            await store.clients.find("client")
            await store.clients.list()
            await store.keys.list()
            await _refused(AlreadyExists, store.clients.add(client()))
            await _refused(AlreadyExists, store.keys.add(key()))
            await _refused(NotFound, store.clients.remove("other"))
            await _refused(NotFound, store.clients.replace(replace(stored, version=stored.version + 1)))
            assert await store.revision() == before

    # At once

    async def test_one_of_many_adds_wins(self) -> None:
        """Of 50 parallel `add`s of one id one wins, and it is the winner's record that stands."""
        async with self.opened() as store:
            won, lost = await _parted(AlreadyExists, (store.clients.add(client(n=n)) for n in range(50)))
            assert (len(won), lost) == (1, 49)
            assert await store.clients.find("client") == won[0]

    async def test_one_of_many_replaces_wins(self) -> None:
        """Of 50 parallel `replace`s of one version one wins, and it is the winner's record that stands."""
        async with self.opened() as store:
            old = await store.clients.add(client())
            changes = (store.clients.replace(replace(old, metadata={"n": n})) for n in range(50))
            won, lost = await _parted(NotFound, changes)
            assert (len(won), lost) == (1, 49)
            assert await store.clients.find("client") == won[0]

    async def test_one_of_many_removes_wins(self) -> None:
        """Of 20 parallel `remove`s of one client one finds it."""
        async with self.opened() as store:
            await store.clients.add(client())
            won, lost = await _parted(NotFound, (store.clients.remove("client") for _ in range(20)))
            assert (len(won), lost) == (1, 19)

    async def test_many_first_keys_are_one(self) -> None:
        """Twenty tasks call `add_first` at once: all get the same key, and it is the only one."""
        async with self.opened() as store:
            calls = (store.keys.add_first(key(f"{n}", created_at=n)) for n in range(20))
            first = await asyncio.gather(*calls)
            assert len({record.kid for record in first}) == 1
            assert list(await store.keys.list()) == [first[0]]

    async def test_many_allot_one_status(self) -> None:
        """Twenty tasks ask at once for the same status: all get the same place."""
        async with self.opened() as store:
            await store.clients.add(client())
            assert len({each.index for each in await asyncio.gather(*(allot(store, status()) for _ in range(20)))}) == 1

    async def test_allotted_at_once_each_has_its_own_answer(self) -> None:
        """One that is refused, or whose caller went away, takes nothing from those that came with it."""
        async with self.opened() as store:
            await store.clients.add(client())
            await store.revocations.add(revocation(RevokedKind.CERTIFICATE, "stolen"))
            thumbprints = ["a", "stolen", "b", "gone", "c"]
            asking = [asyncio.ensure_future(allot(store, status("client", each))) for each in thumbprints]
            asking.append(asyncio.ensure_future(allot(store, status("nobody"))))
            await asyncio.sleep(0)
            asking[3].cancel()
            answers = await asyncio.gather(*asking, return_exceptions=True)
            kinds = [StatusRecord, RevokedMeanwhile, StatusRecord, asyncio.CancelledError, StatusRecord]
            assert [type(each) for each in answers] == [*kinds, RevokedMeanwhile]
            records = [each for each in answers if isinstance(each, StatusRecord)]
            assert [each.thumbprint for each in records] == ["a", "b", "c"]
            assert len({each.index for each in records}) == 3

    async def test_a_thousand_statuses(self) -> None:
        """Asked for at once, each has a place of its own, and finds it again."""
        async with self.opened() as store:
            await store.clients.add(client())
            records = [status("client", f"{n}", "ca") for n in range(1000)]
            first = await asyncio.gather(*(allot(store, each) for each in records))
            assert [replace(each, index=-1) for each in first] == records
            assert len({each.index for each in first}) == 1000
            assert await asyncio.gather(*(allot(store, each) for each in records)) == first
            ended = await store.revocations.add(revocation(RevokedKind.AUTHORITY, "ca"))
            assert {each.index for each in ended} == {each.index for each in first}

    async def test_no_status_outlives_a_revocation_that_comes_with_it(self) -> None:
        """Statuses that are allotted while their authority is revoked end up invalid, or are not given at all."""
        async with self.opened() as store:
            await store.clients.add(client())
            asking = [asyncio.ensure_future(allot(store, status("client", f"{n}", "ca"))) for n in range(30)]
            await asyncio.sleep(0.005)
            await store.revocations.add(revocation(RevokedKind.AUTHORITY, "ca"))
            answers = await asyncio.gather(*asking, return_exceptions=True)
            given = {each.index for each in answers if isinstance(each, StatusRecord)}
            assert all(isinstance(each, StatusRecord | RevokedMeanwhile) for each in answers)
            assert given == (await store.revocations.statuses(NOW)).invalid

    async def test_changes_of_others_do_not_mix(self) -> None:
        """Parallel changes of different clients and keys all stand afterwards, each with a version of its own."""
        async with self.opened() as store:
            adding = asyncio.gather(*(store.clients.add(client(f"{n:02}", n=n)) for n in range(30)))
            keys = asyncio.gather(*(store.keys.add(key(f"{n:02}")) for n in range(10)))
            stored = await adding
            await keys
            assert list(await store.clients.list()) == stored
            assert len({record.version for record in stored}) == 30
            assert len(await store.keys.list()) == 10

    async def test_reading_while_others_write(self) -> None:
        """A reader sees a state that was committed, wholly, however many changes are under way."""
        async with self.opened() as store:
            await store.clients.add(client(a=0, b=0))

            async def write() -> None:
                for n in range(20):
                    old = await store.clients.find("client")
                    assert old is not None
                    await store.clients.replace(replace(old, metadata={"a": n, "b": n}))

            writing = asyncio.ensure_future(write())
            while not writing.done():
                seen = await store.clients.find("client")
                assert seen is not None
                assert seen.metadata["a"] == seen.metadata["b"]
            await writing

    async def test_a_cancelled_change_is_done_or_not(self) -> None:
        """A caller that goes away at any moment leaves the old state or the new one, and a store that works."""
        async with self.opened() as store:
            for n in range(20):
                task = asyncio.ensure_future(store.clients.add(client(f"{n}", a=n)))
                await asyncio.sleep(0.0004 * n)
                task.cancel()
                await asyncio.wait([task])
            stored = await store.clients.add(client("after"))
            there = {record.client_id: record for record in await store.clients.list()}
            assert there.pop("after") == stored
            assert all(record.metadata == {"a": int(name)} for name, record in there.items())

    # Processes, and the end

    async def test_another_process_sees_a_change_at_once(self) -> None:
        """What one view committed the other one finds, and its revision tells of it."""
        async with self.opened_twice() as (one, other):
            before = await other.revision()
            stored = await one.clients.add(client())
            assert await other.revision() == await one.revision() != before
            assert await other.clients.find("client") == stored
            changed = await other.clients.replace(replace(stored, enabled=False))
            assert await one.clients.find("client") == changed
            await _refused(NotFound, one.clients.replace(stored))
            await _refused(AlreadyExists, one.clients.add(client()))

    async def test_two_processes_have_one_first_key(self) -> None:
        """`add_first` is atomic between processes."""
        async with self.opened_twice() as views:
            calls = [view.keys.add_first(key(f"{n}")) for n in range(10) for view in views]
            first = await asyncio.gather(*calls)
            assert len({record.kid for record in first}) == 1
            assert list(await views[1].keys.list()) == [first[0]]

    async def test_two_processes_allot_one_status(self) -> None:
        """And both see at once when it was revoked."""
        async with self.opened_twice() as views:
            await views[0].clients.add(client())
            allotted = await asyncio.gather(*(allot(view, status()) for view in views * 10))
            assert len({each.index for each in allotted}) == 1
            await views[0].revocations.add(revocation(RevokedKind.CERTIFICATE, "leaf"))
            assert (await views[1].revocations.statuses(NOW)).invalid == {allotted[0].index}
            await _refused(RevokedMeanwhile, allot(views[1], status()))
            assert list(await views[1].revocations.list()) == [revocation(RevokedKind.CERTIFICATE, "leaf")]

    async def test_two_processes_do_not_both_win(self) -> None:
        """Of parallel `add`s through two views one wins, and so of `replace`s; other changes all stand."""
        async with self.opened_twice() as views:
            won, _ = await _parted(AlreadyExists, (view.clients.add(client(n=n)) for n, view in enumerate(views * 5)))
            assert len(won) == 1
            again = (view.clients.replace(replace(won[0], metadata={"n": n})) for n, view in enumerate(views * 5))
            won, _ = await _parted(NotFound, again)
            assert len(won) == 1
            assert await views[0].clients.find("client") == won[0]
            await asyncio.gather(*(view.clients.add(client(f"{n}")) for n, view in enumerate(views * 10)))
            assert len(await views[0].clients.list()) == 21

    async def test_what_was_stored_is_there_after_a_restart(self) -> None:
        """Clients, keys and the revision survive the close; versions do not begin anew."""
        if not self.reopens:
            pytest.skip("each opening of this store is a place of its own")
        async with self.opened() as store:
            gone = await store.clients.add(client())
            await store.clients.remove("client")
            stored = await store.clients.add(client("b", **METADATA))
            await store.keys.add(key())
            revision = await store.revision()
        async with self.opened() as store:
            assert await store.revision() == revision
            assert list(await store.clients.list()) == [stored]
            assert list(await store.keys.list()) == [key()]
            assert (await store.clients.add(client())).version not in {gone.version, stored.version}

    async def test_close_twice(self) -> None:
        """`close` a second time, or twice at once, changes nothing."""
        store = await self.open()
        await store.clients.add(client())
        await asyncio.gather(store.close(), store.close())
        await store.close()

    async def test_a_closed_store_is_unavailable(self) -> None:
        """After `close` every call is `StoreUnavailable`."""
        store = await self.open()
        await store.close()
        for call in (
            store.clients.find("client"),
            store.clients.list(),
            store.clients.add(client()),
            store.clients.replace(client()),
            store.clients.remove("client"),
            store.keys.list(),
            store.keys.add(key()),
            store.keys.add_first(key()),
            store.revision(),
            store.revocations.list(),
            store.revocations.affected(RevokedKind.CLIENT, "client", now=NOW),
            store.revocations.add(revocation(RevokedKind.CLIENT, "client")),
            store.revocations.remove(RevokedKind.CLIENT, "client"),
            allot(store, status()),
            store.revocations.statuses(NOW),
        ):
            await _refused(StoreUnavailable, call)

    async def test_close_waits_for_changes(self) -> None:
        """A change that was begun before `close` is committed, or refused; it is never lost after its answer."""
        if not self.reopens:
            pytest.skip("each opening of this store is a place of its own")
        store = await self.open()
        tasks = [asyncio.ensure_future(store.clients.add(client(f"{n}"))) for n in range(10)]
        await asyncio.sleep(0)
        await store.close()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        stored = {answer.client_id for answer in answers if isinstance(answer, ClientRecord)}
        assert all(isinstance(answer, ClientRecord | StoreUnavailable) for answer in answers)
        async with self.opened() as again:
            assert {record.client_id for record in await again.clients.list()} == stored


async def _refused(expected: type[Exception], call: Awaitable[Any]) -> None:
    with pytest.raises(expected):
        await call


async def _parted(expected: type[Exception], calls: Iterable[Awaitable[T]]) -> tuple[list[T], int]:
    """The answers of those that won, and how many were refused as expected."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    won: list[T] = []
    for answer in answers:
        if not isinstance(answer, BaseException):
            won.append(answer)
        elif not isinstance(answer, expected):
            raise answer
    return won, len(answers) - len(won)
