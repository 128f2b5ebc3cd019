"""certbound.trust.fetch: the one way in which trust reads a URL, against servers that behave well and badly."""

import asyncio
import contextlib
import gzip
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from certbound.core.errors import ConfigurationError
from certbound.trust.authority import Authority, self_signed
from certbound.trust.fetch import HTTP_OR_HTTPS, Failure, Fetcher, FetchFailed
from certbound.trust.turns import AT_ONE_SITE, BURST, PER_SECOND, Site, Turns
from trust.origin import AUTHORITY, NAME, answer, origin, resolving

SECRET = b"what the server said"
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    """The file of those who vouch for the origins."""
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.certificate_pem)
    return tmp_path / "ca.pem"


@pytest.fixture
async def fetcher(ca: Path) -> AsyncIterator[Fetcher]:
    """One that may connect to loopback, under any name."""
    with closing(Fetcher(private_addresses=True, ca=ca, timeout=5, resolve=resolving("127.0.0.1"))) as made:
        yield made


@contextlib.contextmanager
def closing(fetcher: Fetcher) -> Any:
    try:
        yield fetcher
    finally:
        fetcher.close()


async def failure_of(fetcher: Fetcher, url: str, **options: Any) -> Failure:
    """Why nothing was fetched; nothing of what a server said is in the text."""
    options = {"most": 1000, "schemes": HTTP_OR_HTTPS, **options}
    with pytest.raises(FetchFailed) as failed:
        await fetcher.fetch(url, **options)
    assert SECRET.decode() not in str(failed.value)
    assert fetcher.statistics.failures[failed.value.failure] >= 1
    assert fetcher.statistics.running == 0
    return failed.value.failure


class TestGood:
    async def test_a_document(self, fetcher: Fetcher) -> None:
        """Body and headers come as they were sent; name, Host and verification are the name's, not the address's."""
        async with origin(answer(b"{}", Cache_Control="max-age=5", X="a")) as source:
            fetched = await fetcher.fetch(source.at(NAME, "/jwks?a=b"), most=2)
        assert (b"{}", "max-age=5") == (fetched.body, fetched.headers["cache-control"])
        assert [NAME] == source.names
        head = source.requests[0].lower()
        assert head.startswith(b"get /jwks?a=b http/1.1\r\n")
        assert f"host: {NAME}:{source.port}\r\n".encode() in head
        assert b"accept-encoding: identity\r\n" in head
        assert b"cookie" not in head
        assert b"authorization" not in head
        assert (1, 0) == (fetcher.statistics.attempts, sum(fetcher.statistics.failures.values()))
        assert fetcher.statistics.last_seconds > 0

    async def test_a_post_without_tls(self, fetcher: Fetcher) -> None:
        """What OCSP needs: http where it is allowed, a body and its type."""
        async with origin(answer(b"yes"), tls=False) as source:
            fetched = await fetcher.fetch(
                source.at("ocsp.example"), most=10, schemes=HTTP_OR_HTTPS, body=b"ask", content_type="application/ask"
            )
        assert b"yes" == fetched.body
        head, _, body = source.requests[0].partition(b"\r\n\r\n")
        assert b"ask" == body
        assert head.startswith(b"POST ")
        assert b"content-type: application/ask" in head.lower()

    @pytest.mark.parametrize("body", [b"", b"x", b"x" * 300_000])
    async def test_exactly_as_much_as_is_allowed(self, fetcher: Fetcher, body: bytes) -> None:
        """The limit itself is within the limit; without length and in chunks as well."""
        chunked = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:1000], body[1000:]) if part)
        for sent in (
            answer(body),
            b"HTTP/1.1 200 OK\r\n\r\n" + body,
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunked + b"0\r\n\r\n",
        ):
            async with origin(sent) as source:
                assert body == (await fetcher.fetch(source.at(NAME), most=len(body))).body
                if body:
                    assert Failure.SIZE == await failure_of(fetcher, source.at(NAME), most=len(body) - 1)

    async def test_ipv6(self, ca: Path) -> None:
        """A literal address in brackets, and a certificate for it."""
        with closing(Fetcher(private_addresses=True, ca=ca)) as fetcher:
            async with origin(answer(b"six"), address="::1") as source:
                assert b"six" == (await fetcher.fetch(source.url, most=10)).body
                assert f"host: [::1]:{source.port}".encode() in source.requests[0].lower()

    async def test_each_fetch_has_its_own_connection(self, fetcher: Fetcher) -> None:
        """None is kept, so no address outlives its being looked at."""
        async with origin(answer(b"{}")) as source:
            for _ in range(3):
                await fetcher.fetch(source.at(NAME), most=2)
            assert 3 == source.connections
            await asyncio.sleep(0.05)
            assert 0 == source.open

    async def test_proxies_of_the_environment_are_not_used(
        self, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A variable must not make another machine read what we fetch."""
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        async with origin(answer(b"{}")) as source:
            assert b"{}" == (await fetcher.fetch(source.at(NAME), most=2)).body

    def test_on_the_loop_of_a_server(self, ca: Path) -> None:
        """uvloop, on which servers run: a document, a limit of time, a limit of bytes."""

        async def fetch() -> None:
            with closing(quick(ca)) as fetcher, deaf() as port:
                async with origin(answer(b"{}")) as source, origin(endless(OK + b"\r\n", SECRET)) as bad:
                    assert b"{}" == (await fetcher.fetch(source.at(NAME), most=2)).body
                    assert Failure.SIZE == await failure_of(fetcher, bad.at(NAME))
                    assert Failure.TIMEOUT == await failure_of(fetcher, f"https://{NAME}:{port}/")
                    bad.behaviour = hang
                    assert Failure.TIMEOUT == await failure_of(fetcher, bad.at(NAME))

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(fetch())


class TestAddresses:
    @pytest.mark.parametrize(
        "host",
        ["127.0.0.1", "localhost", "LOCALHOST", "0x7f.1", "2130706433", "127.1", "0", "[::1]", "[::ffff:127.0.0.1]",
         "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "10.0.0.1", "169.254.169.254", "[fe80::1]", "[fd00::1]"],
    )  # fmt: skip
    async def test_nothing_is_sent_to_an_address_that_is_not_public(self, ca: Path, host: str) -> None:
        """Whatever it is spelled like; nobody is connected to."""
        with closing(Fetcher(ca=ca)) as fetcher:
            async with origin(answer(SECRET), tls=False) as source:
                assert Failure.ADDRESS == await failure_of(fetcher, source.at(host))
                assert 0 == source.connections

    async def test_a_resolver_that_alternates(self, ca: Path) -> None:
        """A name is resolved once: what is connected to is what was looked at, not what it says a moment later."""
        resolve = resolving("127.0.0.1", "127.0.0.2")
        with closing(Fetcher(private_addresses=True, ca=ca, resolve=resolve)) as fetcher:
            async with origin(answer(b"{}")) as source:
                await fetcher.fetch(source.at(NAME), most=2)
                assert (1, 1) == (resolve.asked, source.connections)
                assert Failure.CONNECT == await failure_of(fetcher, source.at(NAME))
                assert 1 == source.connections

    async def test_a_name_that_was_public_and_is_not_any_more(self, ca: Path) -> None:
        """Each fetch looks again; names of inner addresses among others lead nowhere."""
        with closing(Fetcher(ca=ca, resolve=resolving(["127.0.0.1", "10.0.0.1"], []))) as fetcher:
            async with origin(answer(SECRET)) as source:
                assert Failure.ADDRESS == await failure_of(fetcher, source.at(NAME))
                assert Failure.ADDRESS == await failure_of(fetcher, source.at(NAME))
                assert 0 == source.connections

    async def test_the_next_address_is_tried(self, ca: Path) -> None:
        """If the first refuses, or says nothing."""
        async with origin(answer(b"{}")) as source:
            with deaf("127.0.0.3", source.port):
                for first in ("127.0.0.2", "127.0.0.3"):
                    resolve = resolving([first, "127.0.0.1"])
                    with closing(Fetcher(private_addresses=True, ca=ca, timeout=0.6, resolve=resolve)) as fetcher:
                        assert b"{}" == (await fetcher.fetch(source.at(NAME), most=2)).body

    async def test_a_name_that_nobody_knows(self, ca: Path) -> None:
        """Or that is no name."""

        async def unknown(_: str, __: int) -> Any:
            raise socket.gaierror(-2, "Name or service not known")

        with closing(Fetcher(ca=ca, resolve=unknown)) as fetcher:
            assert Failure.NAME == await failure_of(fetcher, "https://a.example/")
        with closing(Fetcher(ca=ca)) as fetcher:
            assert Failure.NAME == await failure_of(fetcher, "https://a..b/")

    async def test_a_resolver_that_was_closed(self, ca: Path) -> None:
        """Or that gets no thread: it is a failure as any other."""
        fetcher = Fetcher(ca=ca)
        fetcher.close()
        assert Failure.NAME == await failure_of(fetcher, "https://a.example/")


class TestURLs:
    @pytest.mark.parametrize(
        "url",
        ["", "x", "//a", "ldap://a/", "file:///etc/passwd", "ftp://a/", "https:a", "https://", "https:///x",
         "https://a@b/", "https://a:b@c/", "https://@c/", "https://a b/", "https://a/\r\nx", "https://a\\b/",
         "https://a/#x", "https://[::1", "https://[::1]x/", "https://[v1.a]/", "https://[127.0.0.1]/", "https://a:99999/",
         "https://a:x/", "https://a:-1/", "https://\xe4.example/", "https://a%2e/", "https://a%00/", "https://[fe80::1%25lo]/",
         "https://a,b/", "https://" + "a" * 300 + "/", "https://a/" + "a" * 3000],
    )  # fmt: skip
    async def test_what_is_no_url_to_be_fetched(self, ca: Path, url: str) -> None:
        """No other scheme, no credentials, nothing that two parsers read differently; nobody is even asked for."""
        resolve = resolving("127.0.0.1")
        with closing(Fetcher(private_addresses=True, ca=ca, resolve=resolve)) as fetcher:
            assert Failure.URL == await failure_of(fetcher, url)
        assert 0 == resolve.asked

    async def test_http_only_where_it_is_allowed(self, fetcher: Fetcher) -> None:
        """A `jwks_uri` needs a verified server."""
        async with origin(answer(b"{}"), tls=False) as source:
            with pytest.raises(FetchFailed) as failed:
                await fetcher.fetch(source.at(NAME), most=2)
            assert (Failure.URL, 0) == (failed.value.failure, source.connections)

    @pytest.mark.parametrize("port", [1, 22, 25, 110, 445, 1023])
    async def test_ports_of_other_protocols(self, ca: Path, port: int) -> None:
        """Mail, shells and file shares are not spoken to, on whatever host."""
        with closing(Fetcher(ca=ca, resolve=resolving("127.0.0.1"))) as fetcher:
            assert Failure.URL == await failure_of(fetcher, f"https://a.example:{port}/")

    async def test_any_text(self, ca: Path) -> None:
        """Any text is a URL or a `FetchFailed`, and nothing else."""
        with closing(Fetcher(ca=ca, resolve=resolving([]))) as fetcher:

            @given(st.text(st.characters(exclude_categories=[])) | st.from_regex(r"https://[\x00-\xff]{0,20}"))
            def try_it(url: str) -> None:
                with pytest.raises(FetchFailed):
                    asyncio.run(fetcher.fetch(url, most=1))

            await asyncio.to_thread(try_it)


class TestBadAnswers:
    @pytest.mark.parametrize("status", [b"301 Moved", b"302 Found", b"303 See Other", b"307 T", b"308 P"])
    async def test_redirects_are_not_followed(self, fetcher: Fetcher, status: bytes) -> None:
        """Neither to loopback nor anywhere; the failure says so."""
        async with origin(answer(SECRET)) as inner, origin(answer(SECRET, status=status, Location=inner.url)) as source:
            assert Failure.REDIRECT == await failure_of(fetcher, source.at(NAME))
            assert (1, 0) == (source.connections, inner.connections)

    @pytest.mark.parametrize("status", [b"204 No", b"206 Partial", b"304 Same", b"404 No", b"500 Oh", b"999 What"])
    async def test_only_200_counts(self, fetcher: Fetcher, status: bytes) -> None:
        """An error page is no document."""
        async with origin(answer(SECRET, status=status)) as source:
            assert Failure.STATUS == await failure_of(fetcher, source.at(NAME))

    @pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip", "GZIP"])
    async def test_nothing_is_decompressed(self, fetcher: Fetcher, encoding: str) -> None:
        """A kilobyte that becomes a megabyte stays a kilobyte, and is refused."""
        async with origin(answer(gzip.compress(bytes(1_000_000)), Content_Encoding=encoding)) as source:
            assert Failure.ENCODING == await failure_of(fetcher, source.at(NAME), most=10_000)

    @pytest.mark.parametrize("announced", [1001, 100_000_000, 10**30])
    async def test_what_is_announced_too_long_is_not_read(self, fetcher: Fetcher, announced: int) -> None:
        """100 MB are refused at the first line."""
        head = f"HTTP/1.1 200 OK\r\ncontent-length: {announced}\r\n\r\n".encode()
        async with origin(endless(head, SECRET)) as source:
            assert await failure_of(fetcher, source.at(NAME)) in (Failure.SIZE, Failure.PROTOCOL)
            assert 1 == source.connections

    @pytest.mark.parametrize(
        ("head", "part"),
        [(OK + b"\r\n", SECRET), (OK + CHUNKED, b"1\r\nx\r\n"), (OK + CHUNKED, b"1;" + b"e" * 500 + b"\r\nx\r\n"),
         (OK + CHUNKED + b"0\r\n", b"x: y\r\n"), (OK, b"x: y\r\n"), (OK + b"x: ", b"y" * 1000),
         (b"", b"HTTP/1.1 100 Continue\r\n\r\n"), (b"", b"x"), (b"", b"\r\n")],
        ids=["body", "chunks", "extensions", "trailers", "headers", "one header", "1xx", "no HTTP", "lines"],
    )  # fmt: skip
    async def test_what_never_ends(self, fetcher: Fetcher, head: bytes, part: bytes) -> None:
        """Bodies, headers, trailers and everything between are bounded, by bytes and long before the time is over."""
        begun = time.monotonic()
        async with origin(endless(head, part)) as source:
            assert await failure_of(fetcher, source.at(NAME)) in (Failure.SIZE, Failure.PROTOCOL)
        assert time.monotonic() - begun < 2

    @pytest.mark.parametrize(
        "sent",
        [b"", OK + b"content-length: 10\r\n\r\nshort", b"SSH-2.0-OpenSSH\r\n", OK,
         OK + b"content-length: 1\r\ncontent-length: 2\r\n\r\nab", OK + b"x\x00: y\r\n\r\n",
         OK + b"content-length: -1\r\n\r\n", OK + CHUNKED + b"zz",
         b"HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n", SECRET + b"\r\n\r\n"],
        ids=["nothing", "short", "ssh", "cut", "two lengths", "NUL", "negative", "bad chunk", "upgrade", "words"],
    )  # fmt: skip
    async def test_lies_and_what_is_not_http(self, fetcher: Fetcher, sent: bytes) -> None:
        """Nothing is made of a broken answer; an answer that is cut off is none."""
        async with origin(sent) as source:
            assert await failure_of(fetcher, source.at(NAME)) in (Failure.PROTOCOL, Failure.STATUS)

    async def test_what_comes_after_the_end_is_nothing(self, fetcher: Fetcher) -> None:
        """The body is as long as announced, whatever follows."""
        async with origin(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}" + SECRET) as source:
            assert b"{}" == (await fetcher.fetch(source.at(NAME), most=10)).body


class TestServers:
    @pytest.mark.parametrize(
        "issued",
        [AUTHORITY.issue("CN=x", dns=["other.example"], usage="server"),
         self_signed("CN=x", dns=[NAME], usage="server"),
         Authority.create("Other").issue("CN=x", dns=[NAME], usage="server"),
         AUTHORITY.issue(f"CN={NAME}", dns=[NAME], usage="server", days=0),
         AUTHORITY.issue("CN=x", ips=["127.0.0.1"], usage="server"), AUTHORITY.issue("CN=x", dns=[NAME])],
        ids=["other name", "self-signed", "other authority", "expired", "address only", "a client's"],
    )  # fmt: skip
    async def test_who_is_not_the_server_of_that_name(self, fetcher: Fetcher, issued: Any) -> None:
        """Nothing is asked of him: the certificate is for the name, from our authority, valid, and a server's."""
        async with origin(answer(SECRET), issued=issued) as source:
            assert Failure.TLS == await failure_of(fetcher, source.at(NAME))
            assert not source.requests

    async def test_no_tls_at_all(self, fetcher: Fetcher) -> None:
        """An https URL is never read without it."""

        async def speak_at_once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(answer(SECRET))
            await asyncio.sleep(60)

        async with asyncio_server(speak_at_once) as port:
            assert Failure.TLS == await failure_of(fetcher, f"https://{NAME}:{port}/")

    async def test_nobody_listens(self, fetcher: Fetcher) -> None:
        """The connection is refused."""
        async with origin() as source:
            pass
        assert Failure.CONNECT == await failure_of(fetcher, source.at(NAME))

    def test_the_file_of_authorities_stops_the_start(self, tmp_path: Path) -> None:
        """If it is missing or holds none."""
        (tmp_path / "empty.pem").write_bytes(b"")
        for file in (tmp_path / "missing.pem", tmp_path / "empty.pem"):
            with pytest.raises(ConfigurationError, match=r"fetch\.ca"):
                Fetcher(ca=file)


class TestSlowServers:
    @pytest.mark.parametrize(
        "head",
        [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n"],
        ids=["nothing", "headers", "body"],
    )
    async def test_a_slow_drip(self, ca: Path, head: bytes) -> None:
        """A byte now and then does not prolong anything: the time is that of the whole."""

        async def drip(writer: asyncio.StreamWriter) -> None:
            writer.write(head)
            while True:
                writer.write(b"x" * bool(head))
                await writer.drain()
                await asyncio.sleep(0.02)

        begun = time.monotonic()
        async with origin(drip) as source:
            with closing(quick(ca)) as fetcher:
                assert Failure.TIMEOUT == await failure_of(fetcher, source.at(NAME))
        assert time.monotonic() - begun < 1

    async def test_a_handshake_that_hangs(self, ca: Path) -> None:
        """A server that accepts and says nothing."""
        async with asyncio_server(hang_at_once) as port:
            with closing(
                Fetcher(private_addresses=True, ca=ca, timeout=0.3, resolve=resolving("127.0.0.1"))
            ) as fetcher:
                begun = time.monotonic()
                assert Failure.TIMEOUT == await failure_of(fetcher, f"https://{NAME}:{port}/")
        assert time.monotonic() - begun < 1

    async def test_a_connection_that_hangs(self, ca: Path) -> None:
        """Nobody answers the first packet."""
        with deaf() as port, closing(quick(ca)) as fetcher:
            begun = time.monotonic()
            assert Failure.TIMEOUT == await failure_of(fetcher, f"https://{NAME}:{port}/")
        assert time.monotonic() - begun < 1

    async def test_a_resolver_that_hangs(self, ca: Path) -> None:
        """A name server that does not answer."""

        async def never(_: str, __: int) -> Any:
            await asyncio.sleep(60)

        with closing(Fetcher(ca=ca, timeout=0.2, resolve=never)) as fetcher:
            assert Failure.TIMEOUT == await failure_of(fetcher, "https://a.example/")


class TestTurns:
    async def test_one_place_is_not_flooded(self, fetcher: Fetcher) -> None:
        """So many at a time, under however many names it is asked for; all get their turn."""

        async def slowly(writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(0.05)
            writer.write(answer(b"{}"))

        async with origin(slowly, tls=False) as source:
            urls = [source.at(f"n{number}.example") for number in range(20)]
            await asyncio.gather(*(fetcher.fetch(url, most=2, schemes=HTTP_OR_HTTPS) for url in urls))
            assert (20, AT_ONE_SITE) == (source.connections, source.most_open)

    async def test_a_slow_place_keeps_nobody_from_another(self, ca: Path) -> None:
        """A hundred that wait for a server that hangs, and one that wants another: he does not wait.  Those who get no
        turn are told that nothing is known of the server."""
        places = {"slow.example": "127.0.0.2", NAME: "127.0.0.1"}

        async def resolve(name: str, port: int) -> Any:
            return await resolving(places[name])(name, port)

        async with origin(answer(b"{}")) as source, origin(hang, tls=False, address="127.0.0.2") as slow:
            with closing(Fetcher(private_addresses=True, ca=ca, timeout=0.7, resolve=resolve)) as fetcher:
                url = slow.at("slow.example")
                waiting = [asyncio.ensure_future(failure_of_any(fetcher, url)) for _ in range(100)]
                await asyncio.sleep(0.2)
                begun = time.monotonic()
                assert b"{}" == (await fetcher.fetch(source.at(NAME), most=2)).body
                assert time.monotonic() - begun < 0.5
                failures = await asyncio.gather(*waiting)
                assert {Failure.TIMEOUT, Failure.BUSY} == set(failures)
                assert failures.count(Failure.TIMEOUT) == slow.connections <= 2 * AT_ONE_SITE

    async def test_a_fetch_that_is_given_up_gives_its_turn_back(self, fetcher: Fetcher) -> None:
        """And closes its connection."""
        async with origin(hang) as source:
            waiting = [asyncio.ensure_future(fetcher.fetch(source.at(NAME), most=2)) for _ in range(3 * AT_ONE_SITE)]
            await asyncio.sleep(0.2)
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            assert 0 == fetcher.statistics.running
            source.behaviour = answer(b"{}")
            assert b"{}" == (await fetcher.fetch(source.at(NAME), most=2)).body
            await asyncio.sleep(0.05)
            assert 0 == source.open

    def test_so_many_begin_in_a_second(self) -> None:
        """After a burst each waits for the next moment."""
        site = Site()
        assert [0.0] * BURST == [site.begin(1000.0) for _ in range(BURST)]
        assert [site.begin(1000.0) for _ in range(3)] == [pytest.approx(each / PER_SECOND) for each in (1, 2, 3)]
        assert 0.0 == site.begin(1060.0)

    async def test_places_that_were_left_alone_are_forgotten(self) -> None:
        """But not those where somebody is, nor those that were just visited too often."""
        now = 1000.0
        turns = Turns(lambda: now)
        async with turns.turn("a"):
            now += 60
            async with turns.turn("b"):
                pass
            turns._forget_idle()
            assert ["a", "b"] == list(turns._sites)
        now += 60
        turns._forget_idle()
        assert not turns._sites


async def failure_of_any(fetcher: Fetcher, url: str) -> Failure:
    with pytest.raises(FetchFailed) as failed:
        await fetcher.fetch(url, most=1, schemes=HTTP_OR_HTTPS)
    return failed.value.failure


def quick(ca: Path) -> Fetcher:
    """It has no patience."""
    return Fetcher(private_addresses=True, ca=ca, timeout=0.3, resolve=resolving("127.0.0.1"))


def endless(head: bytes, part: bytes) -> Callable[[asyncio.StreamWriter], Any]:
    """Says `part` after `head` again and again."""

    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(part * max(1, 4096 // len(part)))
            await writer.drain()

    return behave


async def hang(_: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def hang_at_once(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


@contextlib.asynccontextmanager
async def asyncio_server(handler: Any) -> AsyncIterator[int]:
    tasks: list[Any] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())
        try:
            await handler(reader, writer)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


@contextlib.contextmanager
def deaf(address: str = "127.0.0.1", port: int = 0) -> Any:
    """A port whose queue is full: a connection to it is neither accepted nor refused."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind((address, port))
        listening.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]
