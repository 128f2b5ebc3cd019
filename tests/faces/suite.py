"""What is true of every face of the guard: one set of sentences, asked of real servers.

A face is a class that inherits `GuardedAPI` and says in `serve` how its server is run, which has the API

    GET /         {"client_id": …}; the whole API needs the scope `read`
    GET /write    as /, and needs `write` besides, by what the framework has for that (a decorator, a dependency)
    GET /late     as /, and asks for `write` inside, by `principal.require("write")`
    /talk         a websocket that sends the client_id as text
    GET /headers  a list of the names of headers that the application sees

What a face cannot do it says in `cannot`, and overrides that test with one of what happens instead: the table in
docs/reference/faces.md is made of these.
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from certbound.testing.forwarded import forwarded_headers
from certbound.trust.authority import Issued
from e2e.world import RESOURCE, Answer, World, free_port

CONTRACT = "nginx"
SECRET = "a-secret-of-the-proxy-of-these-tests"
SECRET_HEADER = "certbound-proxy-secret"
OPAQUE = "https://other.example"
"""An API whose tokens are references; it asks the issuer about them."""
METADATA = "/.well-known/oauth-protected-resource"
APPS = Path(__file__).parent / "apps"

Fields = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Cast:
    """Who plays: a real issuer, the owner of tokens with its certificate, and a thief with another of the same CA."""

    world: World
    owner: Issued
    thief: Issued
    self_signed: Issued
    tokens: Mapping[str, str]
    """Of `owner`: `good` (read and write), `reading` (read alone), `writing` (write alone), `expired`, `unbound`,
    `revoked`; and `opaque`, for the API `OPAQUE`.  Of `self_signed`: `self_signed`."""
    resource: str = RESOURCE
    """The API that servers are."""

    @property
    def environment(self) -> dict[str, str]:
        """What an application of the suite learns of its deployment."""
        return {
            "ISSUER": self.world.issuer, "ISSUER_CA": str(self.world.directory / "ca.pem"), "RESOURCE": self.resource,
            "PROXY_SECRET": SECRET, "CONTRACT": CONTRACT,
            "INTROSPECTS_WITH": str(self.world.directory / "introspecting") if self.resource == OPAQUE else "",
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Face:
    """A running server; where TLS ends at a proxy, the test is the proxy."""

    cast: Cast
    url: str
    """Of the API, without a slash at its end: https where TLS ends here."""

    @property
    def is_proxied(self) -> bool:
        return self.url.startswith("http://")

    def ask(
        self,
        token: str | None,
        identity: Issued | None,
        path: str = "/",
        *,
        method: str = "GET",
        headers: Fields = (),
        through_proxy: bool = True,
    ) -> Answer:
        """What is answered to whoever holds `identity` and sends `token`; `through_proxy` adds what a proxy adds."""
        fields = [] if token is None else [("authorization", f"Bearer {token}")]
        if self.is_proxied and through_proxy:
            fields += self.proxied(identity)
        connection = self._connect(None if self.is_proxied else identity)
        with contextlib.closing(connection):
            connection.putrequest(method, path)
            for name, value in (*fields, *headers):
                connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    def websocket(self, token: str | None, identity: Issued | None) -> ClientConnection:
        """A websocket to `/talk`."""
        fields = [] if token is None else [("authorization", f"Bearer {token}")]
        if self.is_proxied:
            return connect(
                self.url.replace("http", "ws", 1) + "/talk", additional_headers=fields + self.proxied(identity)
            )
        context = self.cast.world.context(identity)
        return connect(self.url.replace("http", "ws", 1) + "/talk", additional_headers=fields, ssl=context)

    def proxied(self, identity: Issued | None) -> list[tuple[str, str]]:
        """What the proxy sends for a client with this certificate."""
        said = forwarded_headers(CONTRACT, None if identity is None else identity.certificate)
        return [*said.items(), (SECRET_HEADER, SECRET)]

    def _connect(self, identity: Issued | None) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        if self.is_proxied:
            return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
        context: ssl.SSLContext = self.cast.world.context(identity)
        return http.client.HTTPSConnection(parts.hostname or "", parts.port, context=context, timeout=20)


class GuardedAPI:
    """The sentences."""

    title: ClassVar[str]
    """The face, and the server under it, as the table names them."""
    source: ClassVar[str]
    """Where the certificate comes from, as the table says it."""
    cannot: ClassVar[Mapping[str, str]] = {}
    """By the name of the test, without `test_`: why it is otherwise here."""

    @staticmethod
    def serve(cast: Cast) -> contextlib.AbstractContextManager[Face]:
        """The server, running until the block ends."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def face(cls, cast: Cast) -> Iterator[Face]:
        """The server, for all sentences."""
        with cls.serve(cast) as face:
            yield face

    def test_the_owner_passes(self, face: Face) -> None:
        """With the certificate that the token is bound to, again and again."""
        for _ in range(3):
            answer = face.ask(face.cast.tokens["good"], face.cast.owner)
            assert (200, "owner") == (answer.status, answer.json["client_id"]), answer

    def test_what_the_owner_is_told_is_for_no_shared_cache(self, face: Face) -> None:
        """Where the application says nothing about caching; refusals are for no cache at all."""
        assert "private" == face.ask(face.cast.tokens["good"], face.cast.owner).headers["cache-control"]
        assert "no-store" == face.ask(None, face.cast.owner).headers["cache-control"]

    def test_a_stolen_token_is_worthless(self, face: Face) -> None:
        """With another certificate, although the owner was here a moment ago."""
        assert 200 == face.ask(face.cast.tokens["good"], face.cast.owner).status
        refused(face.ask(face.cast.tokens["good"], face.cast.thief), 401, "invalid_token")

    def test_without_a_certificate_it_is_worthless(self, face: Face) -> None:
        """Nobody proved anything."""
        refused(face.ask(face.cast.tokens["good"], None), 401, "invalid_token")

    def test_an_unbound_token_is_refused(self, face: Face) -> None:
        """Whoever has it could use it."""
        refused(face.ask(face.cast.tokens["unbound"], face.cast.owner), 401, "invalid_token")

    def test_an_expired_token_is_refused(self, face: Face) -> None:
        """Its signature is good."""
        refused(face.ask(face.cast.tokens["expired"], face.cast.owner), 401, "invalid_token")

    def test_a_revoked_token_is_refused(self, face: Face) -> None:
        """The issuer's status list says so."""
        refused(face.ask(face.cast.tokens["revoked"], face.cast.owner), 401, "invalid_token")

    @pytest.mark.wide
    def test_an_opaque_token_is_asked_about(self, cast: Cast) -> None:
        """By introspection, where the API says so; and it is as bound as any."""
        with self.serve(replace(cast, resource=OPAQUE)) as face:
            for _ in range(2):
                assert "owner" == face.ask(cast.tokens["opaque"], cast.owner).json["client_id"]
                for thief in (cast.thief, None):
                    refused(face.ask(cast.tokens["opaque"], thief), 401, "invalid_token", resource=OPAQUE)
            refused(face.ask(cast.tokens["opaque"] + "x", cast.owner), 401, "invalid_token", resource=OPAQUE)

    def test_what_the_whole_api_needs_is_asked_everywhere(self, face: Face) -> None:
        """403, and the challenge names the scope."""
        refused(face.ask(face.cast.tokens["writing"], face.cast.owner), 403, "insufficient_scope", 'scope="read"')

    def test_what_a_route_needs_is_asked_there(self, face: Face) -> None:
        """By what the framework has for it."""
        assert 200 == face.ask(face.cast.tokens["good"], face.cast.owner, "/write").status
        answer = face.ask(face.cast.tokens["reading"], face.cast.owner, "/write")
        refused(answer, 403, "insufficient_scope", 'scope="write"')

    def test_a_route_may_ask_inside(self, face: Face) -> None:
        """`principal.require` becomes the same 403."""
        assert 200 == face.ask(face.cast.tokens["good"], face.cast.owner, "/late").status
        answer = face.ask(face.cast.tokens["reading"], face.cast.owner, "/late")
        refused(answer, 403, "insufficient_scope", 'scope="write"')

    def test_two_tokens_are_a_bad_request(self, face: Face) -> None:
        """In two headers, or in one with a comma."""
        good, owner = face.cast.tokens["good"], face.cast.owner
        refused(face.ask(good, owner, headers=[("authorization", f"Bearer {good}")]), 400, "invalid_request")
        refused(face.ask(f"{good}, Bearer {good}", owner), 400, "invalid_request")

    def test_a_token_in_the_query_counts_for_nothing(self, face: Face) -> None:
        """Alone it is no token; beside one in the header it is one too many."""
        good, owner = face.cast.tokens["good"], face.cast.owner
        assert 401 == face.ask(None, owner, f"/?access_token={good}").status
        refused(face.ask(good, owner, f"/?access_token={good}"), 400, "invalid_request")

    def test_without_a_token_no_error_is_named(self, face: Face) -> None:
        """RFC 6750 section 3.1; where the metadata is, is said all the same."""
        answer = face.ask(None, face.cast.owner)
        challenge = answer.headers["www-authenticate"]
        assert (401, f'Bearer resource_metadata="{RESOURCE}{METADATA}"') == (answer.status, challenge)
        assert {"request_id"} == set(answer.json)

    def test_a_refusal_of_head_has_no_body(self, face: Face) -> None:
        """And the status and challenge of any other."""
        answer = face.ask(None, face.cast.owner, method="HEAD")
        assert (401, b"") == (answer.status, answer.body)
        assert "www-authenticate" in answer.headers

    def test_everybody_may_read_the_metadata(self, face: Face) -> None:
        """Without a token; HEAD tells the same without a body."""
        answer = face.ask(None, None, METADATA)
        assert (200, RESOURCE) == (answer.status, answer.json["resource"])
        assert "public, max-age=300" == answer.headers["cache-control"]
        assert answer.json["tls_client_certificate_bound_access_tokens"]
        head = face.ask(None, None, METADATA, method="HEAD")
        assert (200, b"") == (head.status, head.body)

    def test_nothing_but_the_metadata_is_open(self, face: Face) -> None:
        """Not what looks like it, nor what else is done to it."""
        for path in (f"{METADATA}/", f"{METADATA}/x", f"/x/..{METADATA}", f"/{METADATA}", f"{METADATA};x"):
            assert 401 == face.ask(None, None, path).status, path
        assert 401 == face.ask(None, None, METADATA, method="POST", headers=[("content-length", "0")]).status

    def test_a_stranger_proves_nothing_by_headers(self, face: Face) -> None:
        """Whoever sends the owner's certificate in the headers of a proxy, spelled in any way."""
        said = forwarded_headers(CONTRACT, face.cast.owner.certificate)
        for spelled in (
            list(said.items()),
            [(name.replace("-", "_"), value) for name, value in said.items()],
            [*said.items(), *said.items()],
            [*said.items(), (SECRET_HEADER, "b" * len(SECRET))],
            [("client-cert", forwarded_headers("rfc9440", face.cast.owner.certificate)["client-cert"])],
        ):
            answer = face.ask(face.cast.tokens["good"], None, headers=spelled, through_proxy=False)
            refused(answer, 401, "invalid_token")

    def test_the_thief_proves_nothing_by_headers(self, face: Face) -> None:
        """What it sends beside what the proxy says of it is a bad request, or is not seen at all."""
        said = forwarded_headers(CONTRACT, face.cast.owner.certificate)
        for spelled in (list(said.items()), [(name.replace("-", "_"), value) for name, value in said.items()]):
            answer = face.ask(face.cast.tokens["good"], face.cast.thief, headers=spelled)
            assert answer.status in {400, 401}, answer

    def test_a_twin_beside_the_proxys_header_is_noticed(self, face: Face) -> None:
        """400 from a declared proxy; where there is none, such headers are nobody's."""
        said = forwarded_headers(CONTRACT, face.cast.thief.certificate)
        twins = [(name.replace("-", "_"), value) for name, value in said.items()]
        answer = face.ask(face.cast.tokens["good"], face.cast.owner, headers=twins)
        assert (400 if face.is_proxied else 200) == answer.status, answer

    def test_a_header_that_comes_twice_from_the_proxy_is_noticed(self, face: Face) -> None:
        """400, as above."""
        said = forwarded_headers(CONTRACT, face.cast.owner.certificate)
        for name, value in said.items():
            answer = face.ask(face.cast.tokens["good"], face.cast.owner, headers=[(name, value)])
            assert (400 if face.is_proxied else 200) == answer.status, answer

    def test_a_self_signed_certificate_is_as_good_as_any(self, face: Face) -> None:
        """The API asks for no chain (RFC 8705 section 6.2)."""
        answer = face.ask(face.cast.tokens["self_signed"], face.cast.self_signed)
        assert (200, "self") == (answer.status, answer.json["client_id"]), answer

    def test_a_websocket_is_for_its_owner_alone(self, face: Face) -> None:
        """Whoever may not pass is refused before it is accepted."""
        good, owner = face.cast.tokens["good"], face.cast.owner
        with face.websocket(good, owner) as opened:
            assert "owner" == opened.recv(10)
        for token, identity in ((None, owner), (good, face.cast.thief), (good, None)):
            with pytest.raises(InvalidStatus) as refusal, face.websocket(token, identity):
                pass
            assert refusal.value.response.status_code in {401, 403}

    def test_what_a_proxy_lost_is_no_answer(self, face: Face) -> None:
        """A client that names a header in `Connection` makes some proxies drop it: then nobody passes."""
        lost = {"connection": "close, x-ssl-client-cert, x-ssl-client-verify"}
        kept = [pair for pair in face.proxied(face.cast.owner) if pair[0] != "x-ssl-client-verify"]
        headers = [*kept, *lost.items()] if face.is_proxied else list(lost.items())
        answer = face.ask(face.cast.tokens["good"], None, headers=headers, through_proxy=False)
        assert answer.status in {400, 401}, answer

    def test_the_application_sees_no_header_of_the_proxy(self, face: Face) -> None:
        """Neither the certificate nor the secret; nor what a stranger called so."""
        said = [] if face.is_proxied else forwarded_headers(CONTRACT, face.cast.owner.certificate).items()
        answer = face.ask(face.cast.tokens["good"], face.cast.owner, "/headers", headers=list(said))
        assert 200 == answer.status, answer
        seen = {str(name).lower().replace("_", "-") for name in answer.json}
        assert "authorization" in seen
        if face.is_proxied:
            assert not seen & {"x-ssl-client-cert", "x-ssl-client-verify", SECRET_HEADER}

    def test_an_upgrade_to_a_websocket_is_no_way_round(self, face: Face) -> None:
        """Without a token, and with a stolen one, the answer is a refusal."""
        upgrade = [
            ("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13"),
            ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
        ]  # fmt: skip
        for token in (None, face.cast.tokens["good"]):
            assert face.ask(token, face.cast.thief, headers=upgrade).status in {400, 401, 403}


def refused(answer: Answer, status: int, error: str, challenge: str = "", *, resource: str = RESOURCE) -> None:
    """The refusal of RFC 6750, whatever framework says it."""
    assert (status, error) == (answer.status, answer.json["error"]), answer
    assert {"error", "error_description", "request_id"} == set(answer.json)
    assert "application/json" == answer.headers["content-type"].partition(";")[0]
    assert "no-store" == answer.headers["cache-control"]
    said = answer.headers["www-authenticate"]
    assert said.startswith(f'Bearer error="{error}"')
    assert f'resource_metadata="{resource}{METADATA}"' in said
    assert challenge in said


@contextlib.contextmanager
def running(cast: Cast, *command: str, port: int, environment: Mapping[str, str] | None = None) -> Iterator[None]:
    """A server of others, in a process group of its own, until the block ends; it is up when its port answers.

    `command` is what comes behind `python -m`; its working directory is `apps`.
    """
    log = cast.world.directory / f"server-{port}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=APPS, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            start_new_session=True, env={**os.environ, **cast.environment, **(environment or {})},
        )  # fmt: skip
    try:
        until = time.monotonic() + 30
        while not _answers(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def claims_of(token: str) -> dict[str, Any]:
    """Unverified."""
    return dict(json.loads(urlsafe_b64decode(token.split(".")[1] + "==")))


__all__ = ["APPS", "Cast", "Face", "GuardedAPI", "free_port", "refused", "running"]
