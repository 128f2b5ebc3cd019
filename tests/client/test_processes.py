"""One client in many hands: forked children, threads beside loops, loops after loops, tasks that were stopped."""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from certbound.client import (
    AsyncTransport,
    CertificateBoundAuth,
    Identity,
    IdentityUnusable,
    ServerUnreachable,
    Shelf,
    TokenRefused,
    Transport,
    WatchedIdentity,
)
from certbound.client.keeping import Clocks
from certbound.client.transport import async_client_over, client_over
from certbound.core.certificate import thumbprint
from certbound.trust.authority import self_signed
from client.served import Answer, served
from client.test_auth import OWN, Place

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with served(tmp_path) as running:
        yield Place(running)


def in_a_child(do: Callable[[], str]) -> str:
    """What `do` says in a forked child, or how it failed; "late" if it has not ended in ten seconds."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        said = "nothing"
        try:
            said = do()
        except BaseException as error:  # noqa: BLE001 - nothing of it may go on in the child
            said = repr(error)
        finally:
            os.write(into, said.encode())
            os._exit(0)
    os.close(into)
    ends = time.monotonic() + 10
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > ends:
            os.kill(child, 9)
            os.waitpid(child, 0)
            os.close(out)
            return "late"
        time.sleep(0.01)
    with os.fdopen(out) as stream:
        return stream.read()


class TestForks:
    def test_parent_and_child_have_connections_of_their_own(self, place: Place) -> None:
        """Two that write to one TLS connection use a nonce twice and read each other's answers; the token is both's."""
        who = set()

        def api(headers: dict[str, str], body: bytes) -> Answer:
            who.add(headers["x-who"])
            return Answer(200, headers["authorization"].encode())

        place.server.answers["/who"] = api
        with place.open() as client:

            def ask(name: str) -> str:
                return client.get("/who", headers={"x-who": name}).text

            assert ask("parent") == "Bearer secret-1"
            assert in_a_child(lambda: ask("child") + ask("child")) == "Bearer secret-1" * 2
            assert [ask("parent") for _ in range(3)] == ["Bearer secret-1"] * 3
            assert in_a_child(lambda: ask("another")) == "Bearer secret-1"
            assert ask("parent") == "Bearer secret-1"
        assert who == {"parent", "child", "another"}
        assert place.given == 1

    def test_a_child_waits_for_nobody_who_is_not_there(self, place: Place) -> None:
        """A thread of the parent's that was asking for a token while it forked does not exist in the child."""
        asked, go = threading.Event(), threading.Event()

        with place.open() as client, ThreadPoolExecutor(1) as thread:
            auth = client.auth
            assert isinstance(auth, CertificateBoundAuth)
            shelf = auth._shelf
            keep = shelf.keep

            def keeping(*given: object) -> object:
                asked.set()
                go.wait(10)
                return keep(*given)  # type: ignore[arg-type]

            shelf.keep = keeping  # type: ignore[method-assign, assignment]
            first = thread.submit(client.get, "/api")
            assert asked.wait(10)

            def in_child() -> str:
                shelf.keep = keep  # type: ignore[method-assign]
                return str(client.get("/api").status_code)

            with auth._lock, shelf._lock:  # as some other thread may hold them
                said = in_a_child(in_child)
            go.set()
            assert first.result().status_code == 200
        assert said == "200"

    def test_a_child_sees_renewed_files(self, tmp_path: Path) -> None:
        """Though a thread of the parent's was looking at them when it forked."""
        one, two = self_signed("CN=one"), self_signed("CN=two")
        file, now = tmp_path / "both.pem", [0.0]
        file.write_bytes(one.chain_pem + one.key_pem)
        watched = WatchedIdentity(file, clock=lambda: now[0])

        def in_child() -> str:
            file.write_bytes(two.chain_pem + two.key_pem)
            now[0] = 5
            return watched.current().thumbprint

        with watched._lock:
            assert in_a_child(in_child) == thumbprint(two.der)

    def test_a_child_has_a_loop_of_its_own(self, place: Place) -> None:
        """An asynchronous client goes on in the child, beside the parent's."""
        client = place.open_async()

        async def ask() -> str:
            return str((await client.get("/api")).json()["token"])

        async def parent() -> None:
            assert await ask() == "secret-1"

        asyncio.run(parent())
        assert in_a_child(lambda: asyncio.run(ask())) == "secret-1"
        asyncio.run(parent())
        asyncio.run(client.aclose())


class TestLoops:
    def test_a_client_survives_its_loop(self, place: Place) -> None:
        """Loops that ended, one with a request still running, leave nothing that the next one stumbles over."""
        client = place.open_async()

        async def ask() -> int:
            answers = await asyncio.gather(*(client.get("/api") for _ in range(5)))
            return len({each.status_code for each in answers})

        async def leave() -> None:
            task = asyncio.create_task(client.get("/slow"))
            await asyncio.sleep(0.05)
            assert not task.done()

        place.server.answers["/slow"] = Answer(200, b"x", repeat=10, pause=0.05)
        assert asyncio.run(ask()) == 1
        asyncio.run(leave())
        assert asyncio.run(ask()) == 1
        asyncio.run(client.aclose())
        assert place.given == 1

    def test_a_loop_that_ended_while_it_asked_for_a_token(self, place: Place) -> None:
        """The next one asks anew, and waits for nothing of before."""
        answers = place.server.answers["/token"]
        place.server.answers["/token"] = Answer(200, b" ", repeat=10, pause=0.05)
        client = place.open_async()

        async def leave() -> None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(client.get("/api"), 0.2)

        asyncio.run(leave())
        place.server.answers["/token"] = answers
        assert asyncio.run(client.get("/api")).status_code == 200
        asyncio.run(client.aclose())

    def test_threads_and_loops_share_what_is_kept(self, place: Place) -> None:
        """A shelf may be both's: one token for all, and none is mixed up."""
        shelf, own = Shelf(), Identity(OWN.chain_pem, OWN.key_pem)
        url, ca = place.server.url, place.server.ca
        one, other = Transport(own, ca=ca), AsyncTransport(own, ca=ca)
        auths = [CertificateBoundAuth(each, url, "me", resource=url, shelf=shelf) for each in (one, other)]

        async def tasks() -> set[int]:
            async with async_client_over(other, auth=auths[1], base_url=url) as calls:
                return {each.status_code for each in await asyncio.gather(*(calls.get("/api") for _ in range(30)))}

        with client_over(one, auth=auths[0], base_url=url) as api, ThreadPoolExecutor(6) as threads:
            assert api.get("/api").status_code == 200
            running = [threads.submit(lambda: {api.get("/api").status_code}) for _ in range(30)]
            running.append(threads.submit(asyncio.run, tasks()))
            assert set.union(*(each.result(30) for each in running)) == {200}
        assert place.given == 1


class TestStopped:
    async def test_whoever_asked_first_is_stopped(self, place: Place) -> None:
        """In the middle of each step of it: the others neither wait for ever nor fail, and nothing is asked twice."""
        for pause in (0.0, 0.005, 0.02, 0.05):
            before = place.given
            async with place.open_async() as api:
                tasks = [asyncio.create_task(api.get("/api")) for _ in range(20)]
                await asyncio.sleep(pause)
                for each in tasks[:10]:
                    each.cancel()
                answers = await asyncio.wait_for(asyncio.gather(*tasks[10:]), 10)
                assert {each.status_code for each in answers} == {200}
                await asyncio.gather(*tasks[:10], return_exceptions=True)
                assert (await api.get("/api")).status_code == 200
            assert place.given == before + 1

    async def test_everybody_is_stopped(self, place: Place) -> None:
        """What they asked for is there for the next one, who waits for nothing."""
        async with place.open_async() as api:
            for timeout in (0.001, 0.01, 0.03):
                tasks = [asyncio.create_task(api.get("/api")) for _ in range(10)]
                await asyncio.wait(tasks, timeout=timeout)
                for each in tasks:
                    each.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            assert (await asyncio.wait_for(api.get("/api"), 10)).status_code == 200
        assert place.given == 1

    def test_a_thread_that_is_interrupted(self, place: Place) -> None:
        """Ctrl-C in whoever asks for the token: one of those that wait asks in its place."""
        asking, waiting = threading.Event(), threading.Event()
        interrupt = [True]
        with place.open() as api, ThreadPoolExecutor(4) as threads:
            auth = api.auth
            assert isinstance(auth, CertificateBoundAuth)
            begin = auth._shelf.begin

            def interrupted() -> tuple[float, float]:
                if interrupt[0]:
                    interrupt[0] = False
                    asking.set()
                    waiting.wait(10)
                    time.sleep(0.1)
                    raise KeyboardInterrupt
                return begin()

            auth._shelf.begin = interrupted  # type: ignore[method-assign]
            first = threads.submit(api.get, "/api")
            assert asking.wait(10)
            others = [threads.submit(api.get, "/api") for _ in range(3)]
            waiting.set()
            assert {each.result(10).status_code for each in others} == {200}
            with pytest.raises(KeyboardInterrupt):
                first.result(10)
        assert place.given == 1

    async def test_a_client_that_is_closed_while_it_asks(self, place: Place) -> None:
        """Nothing is left running, and whoever waits is told, as by any other failure."""
        place.server.answers["/token"] = Answer(200, b" ", repeat=20, pause=0.05)
        before = asyncio.all_tasks()
        async with place.open_async() as api:
            stopped, waiting = (asyncio.create_task(api.get("/api")) for _ in range(2))
            await asyncio.sleep(0.1)
            stopped.cancel()
        assert asyncio.all_tasks() - before <= {stopped, waiting}
        with pytest.raises(asyncio.CancelledError):
            await stopped
        with pytest.raises(ServerUnreachable, match="was closed"):
            await waiting


def test_a_token_is_as_old_as_the_question(place: Place) -> None:
    """However long the server takes over it, or the clock jumps meanwhile; what came late is used for that request."""
    now = [0.0]
    shelf = Shelf(Clocks(monotonic=lambda: now[0], wall=lambda: 1.7e9 + now[0]))
    own, url = Identity(OWN.chain_pem, OWN.key_pem), place.server.url

    def slowly(headers: dict[str, str], body: bytes) -> Answer:
        now[0] += 580
        return place.token(headers, body)

    place.server.answers["/token"] = slowly
    transport = Transport(own, ca=place.server.ca)
    auth = CertificateBoundAuth(transport, url, "me", resource=url, shelf=shelf)
    with client_over(transport, auth=auth, base_url=url) as api:
        assert [api.get("/api").json()["token"] for _ in range(2)] == ["secret-1", "secret-2"]


def test_a_certificate_that_ends_while_the_client_runs(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """From that moment on nothing is sent, though there is a token; up to it, what a server says is passed on."""
    with place.open() as api:
        assert api.get("/api").status_code == 200
        auth = api.auth
        assert isinstance(auth, CertificateBoundAuth)
        end = Identity(OWN.chain_pem, OWN.key_pem).certificate.not_after
        now = [end]
        monkeypatch.setattr(auth._shelf, "clocks", Clocks(monotonic=lambda: 0.0, wall=lambda: now[0]))
        place.taken = lambda token: token != "secret-1"
        place.server.answer("/token", {"error": "invalid_client"}, status=401)
        with pytest.raises(TokenRefused):
            api.get("/api")
        before = len(place.server.asked)
        now[0] = end + 1
        with pytest.raises(IdentityUnusable, match=r"CN=client expired at .* nothing was sent"):
            api.get("/api")
        assert len(place.server.asked) == before
    assert isinstance(api, httpx.Client)
