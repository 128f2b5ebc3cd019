"""What has ended goes by itself from the database of a server that serves, whatever kind of row it is.

Every kind is made by the server, as clients and people make it.  What is alive is seen to stay; then its end comes.
"""

import contextlib
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import asserting
from asked import statements_seen
from certbound.core.authentication import digest_of
from certbound.core.ports import InitialTokenRecord
from certbound.server import purging
from certbound.stores import schema
from e2e.acting import make_app, people_world
from e2e.codes import in_store
from e2e.world import RESOURCE, World

OPAQUE = "https://other.example"
ENDING = sorted(each.name for each in schema.tables.sorted_tables if "ends_at" in each.columns)
MANY = 4 * purging.MOST + 50
"""Rows of each kind that have ended: five statements, at least."""


def test_every_kind_of_row_that_has_ended_goes_in_short_statements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that has ended and nothing that lives, a hundred rows at a time; and what lives goes when it ends."""
    monkeypatch.setattr(purging, "PAUSE", 0.2)
    options = {"tokens__opaque": [OPAQUE], "tokens__bind": "requested", "tokens__lifetime": 60}
    with statements_seen() as statements, people_world(tmp_path, **options) as built:
        one_of_each(built)
        living = rows(built)
        assert set(living) == set(ENDING)
        for name in ENDING:
            write(built, *many_of(name))
        wait_for(lambda: rows(built) == living)
        removed = Counter(name for each in statements for name in ENDING if each.startswith(f"DELETE FROM {name} "))
        assert all(removed[name] >= MANY / purging.MOST for name in ENDING), removed
        deletes = [each for each in statements if each.startswith("DELETE") and "ends_at <" in each]
        assert all(f"LIMIT {purging.MOST} " in each for each in deletes)
        assert sum(removed.values()) <= len(ENDING) * (MANY // purging.MOST + 3), "and none where nothing has ended"
        write(built, *(f"UPDATE {name} SET ends_at = {time.time()} - 1" for name in ENDING))
        wait_for(lambda: not rows(built))


def one_of_each(built: World) -> None:
    """Tokens of both formats, one revoked; an assertion; an invitation; a person who logs in and agrees to an app."""
    built.register("signer", grant_types=["client_credentials"], **asserting.metadata())
    form = {"grant_type": "client_credentials", "resource": OPAQUE}
    proof = asserting.form(asserting.assertion("signer", audience=built.issuer))
    assert built.post("token", "signer", **form, **proof).status == 200
    app = make_app(built, "app")
    first = app.tokens(resource=RESOURCE)
    assert built.revoke(first["access_token"], "app", app.identity).status == 200
    token, now = digest_of("cbia_invited"), time.time()
    invitation = InitialTokenRecord(digest=token, uses=1, created_at=now, ends_at=now + 60)
    in_store(built, lambda store: store.initial_tokens.add(invitation))


def many_of(name: str) -> Sequence[str]:
    """What makes so many rows of this kind that have ended, like one that has not."""
    table = schema.tables.tables[name]
    [key] = table.primary_key.columns
    made = f"{key.name} || ' ' || n" if key.type.python_type is str else f"n + {1 << 40}"
    other = {key.name: made, "ends_at": f"{time.time()} - n"}
    values = ", ".join(other.get(each.name, each.name) for each in table.columns)
    numbers = f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {MANY})"
    return [f"{numbers} INSERT INTO {name} SELECT {values} FROM numbers, (SELECT * FROM {name} LIMIT 1)"]


def rows(built: World) -> dict[str, int]:
    """How many there are in the tables that have any."""
    with contextlib.closing(sqlite3.connect(built.directory / "certbound.sqlite")) as database:
        found = {name: database.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ENDING}
    return {name: count for name, count in found.items() if count}


def write(built: World, *statements: str) -> None:
    """As somebody with the sqlite3 command."""
    with contextlib.closing(sqlite3.connect(built.directory / "certbound.sqlite", timeout=10)) as database, database:
        for each in statements:
            database.execute(each)


def wait_for(condition: Callable[[], bool]) -> None:
    """It is so within ten seconds."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
