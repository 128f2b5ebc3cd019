"""What an issuer says of a token when it is asked (RFC 7662, RFC 8705 sections 2 and 5).

Rule 1: the issuer is asked over https, by a client that proves who it is with a certificate of its own; where, say the
settings or the metadata of exactly that issuer, its mutual-TLS alias first.  No redirect is followed.
Rule 2: an answer is bounded, JSON, and says `active` as a boolean.  What is no such answer is none, and then the token
is neither good nor bad: `IntrospectionUnavailable` (503).
Rule 3: "not active" and "active" count for `cache_seconds`, never beyond the end of the token, and each in a memory of
its own: whoever brings a thousand bad tokens pushes no good one out.
Rule 4: what counts is what the issuer said, not what was concluded: certificate, time, audience and scopes are judged
anew on each request.
Rule 5: one question at a time about one token, and it goes on when those who asked are gone; `MAX_QUESTIONS` in all.
Rule 6: an issuer that is away is asked once in `PAUSE` seconds, not by each request.  What only one token brought about
is held against that token alone, or strangers could keep the issuer from being asked.

What is missing in an answer, where RFC 7662 says that it may be:

    iss       it is the issuer that was asked
    exp       the token is good as long as the answer counts
    aud       refused; `require_audience=False` takes it for ours (RFC 7662 section 4 has the issuer decide that for
              whoever asks), and then `token_type` must say that it is an access token
    sub, client_id   refused: a person's token without `sub` must not look like one of the client itself
    cnf       the token is bound to nothing

Answers are not asked for signed (RFC 9701): TLS proves whose they are, and nobody here shows them to others.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from certbound.core.errors import ConfigurationError, IntrospectionUnavailable, InvalidToken
from certbound.core.jws import MAX_TOKEN, is_time
from certbound.core.metadata import INTROSPECTION
from certbound.core.well_known import Issuer
from certbound.resource._identity import ClientIdentity
from certbound.resource.fetching import FAILURES, MAX_DOCUMENT, load_metadata, read_body

CAPACITY = 4096
"""How many answers of either kind are remembered."""
MAX_QUESTIONS = 100
"""How many tokens are asked about at the same time."""
PAUSE = 1.0
"""Seconds after a failure before the next question."""
QUESTION_TIMEOUT = 5.0
"""Seconds for a question and for finding out where to put it; those who wait do so no longer, however bytes drip."""
METADATA_AGE = 300.0
"""Seconds for which the metadata of the issuer says where to ask."""

_log = logging.getLogger("certbound.resource")


@dataclass(frozen=True, slots=True, kw_only=True)
class Introspection:
    """How an issuer is asked about tokens: as a client of its own, with a certificate of its own.

    `ConfigurationError` for what can never be asked.
    """

    client_id: str
    certificate: Path | str
    """PEM: the certificate with which the API authenticates, its issuers behind it.  Read again when it changes."""
    key: Path | str
    """PEM: its private key."""
    endpoint: str | None = None
    """Where to ask; None: what the issuer's metadata says, its mutual-TLS alias first."""
    cache_seconds: float = 30
    """How long an answer counts; never beyond the end of the token.  0: each request is a question."""
    also_jwt: bool = False
    """Whether tokens that could be verified here are asked about as well."""
    require_audience: bool = True
    """Whether an answer must say for whom the token is; False: the issuer answers "active" for this API's only."""

    def __post_init__(self) -> None:
        if not self.client_id:
            raise ConfigurationError("introspection: client_id is empty; name this API as the issuer registered it")
        if not math.isfinite(self.cache_seconds) or not 0 <= self.cache_seconds <= MAX_CACHE_SECONDS:
            raise ConfigurationError(
                f"introspection: cache_seconds is {self.cache_seconds!r}; give 0 to {MAX_CACHE_SECONDS}, since a "
                "revoked token is accepted for so long"
            )
        if self.endpoint is not None and not _is_https(self.endpoint):
            raise ConfigurationError(f"introspection: endpoint is {self.endpoint!r}; give an https URL")


class Introspector:
    """Asks one issuer, and remembers for a short time what it said."""

    def __init__(
        self,
        issuer: Issuer,
        asked: Introspection,
        identity: ClientIdentity,
        new_client: Callable[[], httpx.AsyncClient],
        now: Callable[[], float],
    ) -> None:
        """`identity` makes the clients that ask, `new_client` those that read the issuer's metadata."""
        self.also_jwt = asked.also_jwt
        self._issuer = issuer
        self._asked = asked
        self._identity = identity
        self._new_client = new_client
        self._now = now
        self._active: dict[bytes, _Said] = {}
        self._other: dict[bytes, _Said] = {}
        self._questions: dict[bytes, asyncio.Task[_Said]] = {}
        self._away = _Said(0, 0)
        self._found: str | None = None
        self._found_until = -math.inf

    def known(self, token: str) -> Mapping[str, Any] | None:
        """What it said of this token a short time ago; None if `ask` has to.  `InvalidToken` (401) if "not active"."""
        said = self._remembered(_digest(token))
        return None if said is None else _claims(said)

    async def ask(self, token: str) -> Mapping[str, Any]:
        """What it says now.  `InvalidToken` (401) if that is "not active", `IntrospectionUnavailable` (503)."""
        # (1) What is longer than any token that is read here is none.
        if len(token) > MAX_TOKEN:
            raise InvalidToken(f"the token has more than {MAX_TOKEN} characters")
        # (2) What was said a moment ago, while this request was on its way here, is not asked again.
        digest = _digest(token)
        said = self._remembered(digest)
        if said is not None:
            return _claims(said)
        # (3) An issuer that is away is left alone for a moment.
        if self._away.counts(self._now()):
            return _claims(self._away)
        # (4) One question about one token.
        return _claims(await asyncio.shield(self._question(token, digest)))

    def completed(self, claims: Mapping[str, Any], audience: str) -> Mapping[str, Any]:
        """`claims` for judging by an API that is `audience`."""
        if "aud" in claims or self._asked.require_audience:
            return claims
        if "token_type" not in claims:
            raise InvalidToken("the issuer says neither for whom the token is nor that it is an access token")
        return {**claims, "aud": audience}

    def _remembered(self, digest: bytes) -> "_Said | None":
        said = self._active.get(digest) or self._other.get(digest)
        return said if said is not None and said.counts(self._now()) else None

    def _question(self, token: str, digest: bytes) -> "asyncio.Task[_Said]":
        task = self._questions.get(digest)
        # A loop that is gone left its questions behind; nobody answers them.
        if task is None or task.get_loop() is not asyncio.get_running_loop():
            if len(self._questions) >= MAX_QUESTIONS:
                self._questions = {
                    key: each for key, each in self._questions.items() if not each.get_loop().is_closed()
                }
            if len(self._questions) >= MAX_QUESTIONS:
                raise IntrospectionUnavailable(f"{MAX_QUESTIONS} tokens are being asked about at {self._issuer}")
            task = self._questions[digest] = asyncio.create_task(self._run(token, digest))
        return task

    async def _run(self, token: str, digest: bytes) -> "_Said":
        try:
            said = await self._say(token)
            _keep(self._active if said.claims is not None else self._other, digest, said)
            if said.claims is None:  # what was good before is not any more
                self._active.pop(digest, None)
            return said
        finally:
            self._questions.pop(digest, None)

    async def _say(self, token: str) -> "_Said":
        """What there is to say of this token from now on; it does not raise."""
        begun_at = self._now()
        try:
            async with asyncio.timeout(QUESTION_TIMEOUT):
                answer = await self._load(await self._where(), token)
            return self._read(answer, begun_at)
        except _Unanswered as error:  # about this token
            _log.error("%s says nothing of a token: %s", self._issuer, error)
            return _Said(begun_at, self._now() + PAUSE, unavailable=f"{self._issuer} says nothing of it: {error}")
        except FAILURES as error:
            _log.error("%s cannot be asked about tokens: %r", self._issuer, error)
            now, self._found = self._now(), None  # it may have moved
            self._away = _Said(now, now + PAUSE, unavailable=f"{self._issuer} cannot be asked: {error!r}")
            return self._away

    async def _where(self) -> str:
        if self._asked.endpoint is not None:
            return self._asked.endpoint
        now = self._now()
        if self._found is None or now >= self._found_until:
            async with self._new_client() as client:
                self._found = _endpoint(await load_metadata(client, self._issuer))
            self._found_until = now + METADATA_AGE
        return self._found

    async def _load(self, url: str, token: str) -> Mapping[str, Any]:
        form = {"token": token, "client_id": self._asked.client_id}
        # Nothing is decompressed: a few bytes could become more than memory holds before they are counted.
        headers = {"accept": "application/json", "accept-encoding": "identity"}
        async with (
            self._identity.client() as client,
            client.stream("POST", url, data=form, headers=headers, follow_redirects=False) as response,
        ):
            if response.status_code in _NOBODY_IS_ANSWERED:
                raise ValueError(f"{url} answers {response.status_code}{_NOBODY_IS_ANSWERED[response.status_code]}")
            if response.status_code != 200:
                raise _Unanswered(f"{url} answers {response.status_code}")
            media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            if media_type != "application/json":
                raise _Unanswered(f"{url} answers with content-type {media_type!r:.80}, not application/json")
            try:
                return msgspec.json.decode(await read_body(response, url, most=MAX_DOCUMENT), type=dict[str, Any])
            except (ValueError, RecursionError) as error:  # msgspec's are ValueErrors
                raise _Unanswered(str(error)) from error

    def _read(self, answer: Mapping[str, Any], begun_at: float) -> "_Said":
        until = begun_at + self._asked.cache_seconds
        # (a) It says so, one way or the other.
        active = answer.get("active")
        if not isinstance(active, bool):
            raise _Unanswered(f"active is {active!r:.40}")
        if not active:
            return _Said(begun_at, until, refused=f"{self._issuer} says that it is not active")
        # (b) It is a token for bearers, bound or not: one that demands another proof is none (RFC 9449).
        token_type = answer.get("token_type", "Bearer")
        if not isinstance(token_type, str) or token_type.lower() != "bearer":
            return _Said(begun_at, until, refused=f"it is of the type {token_type!r:.40}")
        # (c) Its status is what was just said, and its end is the end of what was said.
        claims = {name: value for name, value in answer.items() if name != "status"}
        claims.setdefault("iss", self._issuer)
        claims.setdefault("exp", max(until, begun_at + 1))
        expires_at = claims["exp"]
        return _Said(begun_at, min(until, expires_at) if is_time(expires_at) else until, claims=claims)


class _Unanswered(Exception):
    """The issuer is there, and its answer about one token is none."""


class _Said(msgspec.Struct, frozen=True):
    """What came of a question: claims, or why the token is refused, or why nobody knows."""

    begun_at: float
    until: float
    claims: Mapping[str, Any] | None = None
    refused: str = ""
    unavailable: str = ""

    def counts(self, now: float) -> bool:
        """Not before it was asked, either: a clock that was set back makes no answer young."""
        return self.begun_at <= now < self.until


def _claims(said: _Said) -> Mapping[str, Any]:
    if said.claims is not None:
        return dict(said.claims)  # what an application does to its own changes nothing here
    raise InvalidToken(said.refused) if said.refused else IntrospectionUnavailable(said.unavailable)


def _keep(memory: dict[bytes, _Said], digest: bytes, said: _Said) -> None:
    """What was asked first goes first."""
    memory.pop(digest, None)
    memory[digest] = said
    while len(memory) > CAPACITY:
        memory.pop(next(iter(memory)), None)


def _endpoint(metadata: Mapping[str, Any]) -> str:
    """RFC 8705 section 5: the alias, where there is one."""
    aliases = metadata.get("mtls_endpoint_aliases")
    found = metadata.get(INTROSPECTION)
    if isinstance(aliases, Mapping):
        found = aliases.get(INTROSPECTION, found)
    if not isinstance(found, str) or not _is_https(found):
        raise ValueError(f"its metadata has no https {INTROSPECTION}")
    return found


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and bool(parts.hostname) and not parts.fragment and "@" not in parts.netloc
    except ValueError:
        return False


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()


MAX_CACHE_SECONDS = 3600
_NOBODY_IS_ANSWERED = {
    401: ": is this API registered there with this client_id and certificate?",
    404: ": is that the endpoint?",
    429: "",
    502: "",
    503: "",
    504: "",
}
"""Statuses that say nothing about one token."""
