"""`certbound.client.flow.discovery`: which issuer is believed, and which URL is used."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from certbound.client import (
    Credential,
    MetadataUnusable,
    ServerUnreachable,
    drive,
    fetch_metadata,
    flow,
    open_client,
    read_metadata,
)
from certbound.client.errors import AnswerUnusable
from certbound.client.flow import MAX_ANSWER
from client.served import Served, served

ISSUER = "https://as.example"
PLAIN = "https://as.example/token"
ALIAS = "https://mtls.as.example/token"
WELL_KNOWN = "/.well-known/oauth-authorization-server"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as running:
        yield running


@pytest.fixture
def client(server: Served) -> Iterator[httpx.Client]:
    with open_client(ca=server.ca) as opened:
        yield opened


def endpoint(name: str = "token_endpoint", *, mutual_tls: bool = True, **document: Any) -> str:
    return read_metadata({"issuer": ISSUER, **document}, ISSUER).endpoint(name, mutual_tls=mutual_tls)


class TestEndpoint:
    def test_the_alias_comes_first(self) -> None:
        """A client that intends mutual TLS uses the alias where there is one (R23)."""
        assert endpoint(token_endpoint=PLAIN, mtls_endpoint_aliases={"token_endpoint": ALIAS}) == ALIAS

    def test_without_an_alias_the_plain_url_is_used(self) -> None:
        """No aliases, aliases for other endpoints, or `null`: the plain URL."""
        for aliases in ({}, {"revocation_endpoint": ALIAS}, None):
            assert endpoint(token_endpoint=PLAIN, mtls_endpoint_aliases=aliases) == PLAIN
        assert endpoint(token_endpoint=PLAIN) == PLAIN

    def test_without_mutual_tls_the_plain_url_is_used(self) -> None:
        """A client that does not intend mutual TLS is not sent to where certificates are asked for."""
        aliases = {"token_endpoint": ALIAS}
        assert endpoint(token_endpoint=PLAIN, mtls_endpoint_aliases=aliases, mutual_tls=False) == PLAIN

    @pytest.mark.parametrize("name", ["authorization_endpoint", "jwks_uri", "end_session_endpoint"])
    def test_an_alias_of_what_is_no_direct_endpoint_is_ignored(self, name: str) -> None:
        """Browsers go there, or anybody: an alias for it names no direct endpoint (R23)."""
        assert endpoint(name, **{name: PLAIN}, mtls_endpoint_aliases={name: ALIAS}) == PLAIN

    def test_an_alias_alone_is_enough(self) -> None:
        """A server that has an endpoint on its mutual-TLS host only may say so by the alias."""
        assert endpoint(mtls_endpoint_aliases={"token_endpoint": ALIAS}) == ALIAS

    @pytest.mark.parametrize(
        "url",
        ["http://as.example/token", "as.example/token", "https://", "https://u:p@as.example/", "https://[", 7, [PLAIN],
         "https://as.example/token#here"],
    )  # fmt: skip
    def test_what_is_not_https_is_refused(self, url: Any) -> None:
        """No request goes to a URL that is not https, as alias or plain; a bad alias does not fall back."""
        with pytest.raises(MetadataUnusable):
            endpoint(token_endpoint=url)
        with pytest.raises(MetadataUnusable):
            endpoint(token_endpoint=PLAIN, mtls_endpoint_aliases={"token_endpoint": url})

    def test_a_missing_endpoint_is_named(self) -> None:
        """The message says which one."""
        with pytest.raises(MetadataUnusable, match="no token_endpoint"):
            endpoint()

    @pytest.mark.parametrize("aliases", [[ALIAS], ALIAS, 7])
    def test_aliases_that_are_no_object_are_none(self, aliases: Any) -> None:
        """What is malformed is not followed."""
        assert endpoint(token_endpoint=PLAIN, mtls_endpoint_aliases=aliases) == PLAIN


class TestFetch:
    def test_the_metadata_of_the_issuer(self, server: Served, client: httpx.Client) -> None:
        """It is read from the well-known place and kept whole."""
        server.answer(WELL_KNOWN, {"issuer": server.url, "token_endpoint": PLAIN, "more": 1})
        metadata = fetch_metadata(client, server.url)
        assert (metadata.issuer, metadata.document["more"]) == (server.url, 1)

    def test_the_path_of_an_issuer_comes_last(self, server: Served, client: httpx.Client) -> None:
        """RFC 8414 section 3.1: between host and path; a slash at the end of the issuer is not part of it."""
        for path in ("/tenant/a", "/tenant/a/"):
            server.answer(WELL_KNOWN + "/tenant/a", {"issuer": server.url + path})
            assert fetch_metadata(client, server.url + path).issuer == server.url + path
        server.answer(WELL_KNOWN, {"issuer": server.url + "/"})
        assert fetch_metadata(client, server.url + "/").issuer == server.url + "/"

    @pytest.mark.parametrize("other", ["https://evil.example", "/", "HTTPS", None, 7, "\x1b[2J"])
    def test_another_issuer_is_refused(self, server: Served, client: httpx.Client, other: Any) -> None:
        """Not a character may differ, and what the server sent cannot run in a terminal."""
        named = {"/": server.url + "/", "HTTPS": server.url.upper()}.get(other, other)
        server.answer(WELL_KNOWN, {"issuer": named})
        with pytest.raises(MetadataUnusable, match="names the issuer") as refused:
            fetch_metadata(client, server.url)
        assert str(refused.value).isprintable()

    def test_an_alias_on_another_site(self, server: Served, client: httpx.Client, tmp_path: Path) -> None:
        """It is followed where that site proves to be the one named; another gets nothing, and neither does the plain.

        Decision 0025: the issuer names both URLs in one document, so either may be anywhere.
        """
        other = server.url.replace("localhost", "127.0.0.1")
        server.answer("/alias", {"access_token": "t", "token_type": "Bearer"})
        (tmp_path / "stranger").mkdir()
        with served(tmp_path / "stranger") as stranger:
            for where, asked in ((other, ["/alias"]), (stranger.url, [])):
                document = {"issuer": server.url, "token_endpoint": f"{server.url}/token"}
                server.answer(WELL_KNOWN, {**document, "mtls_endpoint_aliases": {"token_endpoint": f"{where}/alias"}})
                server.asked.clear()
                metadata = fetch_metadata(client, server.url)
                with contextlib.nullcontext() if asked else pytest.raises(ServerUnreachable, match="issuer is not"):
                    drive(client, flow.client_credentials(metadata, Credential("me")))
                assert server.paths() == [WELL_KNOWN, *asked]
            assert stranger.asked == []

    def test_a_redirect_is_not_followed(self, server: Served, client: httpx.Client) -> None:
        """Nobody else may answer for the issuer."""
        server.answer("/elsewhere", {"issuer": server.url})
        server.answer(WELL_KNOWN, status=302, location=f"{server.url}/elsewhere")
        with pytest.raises(MetadataUnusable, match="answered 302"):
            fetch_metadata(client, server.url)
        assert [path for path, *_ in server.asked] == [WELL_KNOWN]

    def test_a_long_answer_is_cut(self, server: Served, client: httpx.Client) -> None:
        """What exceeds the bound is not read to its end."""
        server.answer(WELL_KNOWN, {"issuer": server.url, "x": "x" * MAX_ANSWER})
        with pytest.raises(AnswerUnusable, match=f"more than {MAX_ANSWER} bytes"):
            fetch_metadata(client, server.url)

    def test_compression_does_not_enlarge_an_answer(self, server: Served, client: httpx.Client) -> None:
        """A compressed answer was not asked for and is not unpacked."""
        server.answer(WELL_KNOWN, {"issuer": server.url}, **{"content-encoding": "gzip"})
        assert fetch_metadata(client, server.url).issuer == server.url

    @pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"[" * 100_000, b"\xff"])
    def test_what_is_no_object_is_refused(self, server: Served, client: httpx.Client, body: bytes) -> None:
        """Only a JSON object is metadata."""
        server.answer(WELL_KNOWN)
        server.answers[WELL_KNOWN].body = body
        with pytest.raises(MetadataUnusable, match="no JSON object"):
            fetch_metadata(client, server.url)

    @pytest.mark.parametrize(
        "issuer", ["http://localhost", "localhost", "", "https://a/?b=c", "https://a/#b", "https://u@a", "https://["]
    )
    def test_an_issuer_is_https(self, client: httpx.Client, issuer: str) -> None:
        """Another scheme, a query, a fragment or a user is refused before anything is sent."""
        with pytest.raises(MetadataUnusable, match="https URL"):
            fetch_metadata(client, issuer)

    def test_a_closed_port_is_a_sentence(self, server: Served, client: httpx.Client) -> None:
        """It names the address and what happened."""
        with pytest.raises(ServerUnreachable, match=r"https://localhost:1/.* cannot be reached: no connection"):
            fetch_metadata(client, "https://localhost:1")
