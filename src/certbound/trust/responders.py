"""OCSP responders, asked when somebody wants to know, and what they answered (RFC 6960).

Rule 1: an answer is asked for again after `max_age`, or when it ends; if nobody answers then, it counts until it ends.
Rule 2: a responder that cannot be reached is left alone for a while, so that it does not slow down every request; so
is one that has no answer about a certificate, as far as that certificate goes.
Rule 3: one question at a time about one certificate to one responder; an answer is never followed by an older one.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from certbound.core.certificate import Certificate, Thumbprint
from certbound.trust.fetch import HTTP_OR_HTTPS, Fetcher, FetchFailed
from certbound.trust.ocsp import MOST_BYTES, Answer, BadAnswer, ask, read_answer
from certbound.trust.sources import Source, SourceKind, SourceStatus, retry_after

MOST_ANSWERS = 4096
MOST_RESPONDERS = 64
"""How many are remembered of each."""

SILENT_FOR = 60.0
"""Seconds until a responder is asked again about a certificate of which it had nothing to say."""

_LONGEST = 300.0
"""As `retry_after` has it."""

K = TypeVar("K")
V = TypeVar("V")
Subject = tuple[Thumbprint, Thumbprint]
"""A certificate and its issuer."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """An answer, and when it is asked for again."""

    answer: Answer
    due: float


class Responders:
    """What responders said of certificates."""

    def __init__(self, *, urls: Sequence[str], fetcher: Fetcher, max_age: float, clock: Callable[[], float]) -> None:
        self._urls = tuple(dict.fromkeys(urls))
        self._fetcher = fetcher
        self._max_age = max_age
        self._clock = clock
        self._answers: OrderedDict[Subject, Remembered] = OrderedDict()
        self._responders: OrderedDict[str, _Responder] = OrderedDict((url, _Responder(url)) for url in self._urls)
        self._silent: OrderedDict[tuple[str, Subject], float] = OrderedDict()
        self._running: dict[tuple[str, Subject], asyncio.Task[Answer | None]] = {}

    def remembered(self, certificate: Certificate, issuer: Certificate) -> Remembered | None:
        """The last answer about `certificate` that somebody with authority gave, however old."""
        return self._answers.get((certificate.thumbprint, issuer.thumbprint))

    async def ask(
        self,
        certificate: Certificate,
        issuer: Certificate,
        named: Sequence[str],
        believes: Callable[[Answer], Awaitable[bool]],
    ) -> None:
        """The responders that are configured, then those that the certificate names, until one is believed."""
        subject = (certificate.thumbprint, issuer.thumbprint)
        for url in dict.fromkeys((*self._urls, *named)):
            responder = self._responder(url)
            now = self._clock()
            until = max(responder.left_alone_until, self._silent.get((url, subject), 0.0))
            if now < until <= now + _LONGEST:  # or the clock went back
                continue
            running = self._running.get((url, subject))
            if running is None:
                running = asyncio.create_task(self._ask(responder, certificate, issuer, believes))
                self._running[url, subject] = running
                running.add_done_callback(partial(self._forget, (url, subject)))
            if await asyncio.shield(running) is not None:
                return

    async def close(self) -> None:
        """Nobody is asked any more."""
        running = tuple(self._running.values())
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def statuses(self) -> Iterator[SourceStatus]:
        for each in self._responders.values():
            yield each.source.status()

    async def _ask(
        self,
        responder: "_Responder",
        certificate: Certificate,
        issuer: Certificate,
        believes: Callable[[Answer], Awaitable[bool]],
    ) -> Answer | None:
        question = ask(certificate, issuer)
        try:
            fetched = await self._fetcher.fetch(
                responder.url,
                most=MOST_BYTES,
                schemes=HTTP_OR_HTTPS,
                body=question.der,
                content_type="application/ocsp-request",
                accept="application/ocsp-response",
            )
        except FetchFailed as error:
            responder.source.failed(str(error))
            responder.left_alone_until = self._clock() + retry_after(responder.source.failures, self._max_age)
            return None
        now = self._clock()
        responder.source.succeeded(now)
        subject = (certificate.thumbprint, issuer.thumbprint)
        self._keep(self._silent, (responder.url, subject), now + min(SILENT_FOR, self._max_age))
        try:
            answer = read_answer(fetched.body, question, max_age=self._max_age, now=now)
        except BadAnswer as error:
            responder.source.remark(f"no answer about a certificate: {error}", certificate.thumbprint)
            return None
        if not await believes(answer):
            responder.source.remark("no answer that the issuer of a certificate stands behind", certificate.thumbprint)
            return None
        return self._remember(subject, answer, now, responder)

    def _remember(self, subject: Subject, answer: Answer, now: float, responder: "_Responder") -> Answer | None:
        known = self._answers.get(subject)
        if known is not None and answer.this_update < known.answer.this_update:
            responder.source.remark("an older answer about a certificate than the one that is known", subject[0])
            return None
        due = min(now + self._max_age, answer.ends_at(self._max_age))
        self._keep(self._answers, subject, Remembered(answer, due))
        self._silent.pop((responder.url, subject), None)
        return answer

    @staticmethod
    def _keep(memory: OrderedDict[K, V], key: K, value: V) -> None:
        """The newest `MOST_ANSWERS`."""
        memory[key] = value
        memory.move_to_end(key)
        while len(memory) > MOST_ANSWERS:
            memory.popitem(last=False)

    def _forget(self, key: tuple[str, Subject], _: object) -> None:
        self._running.pop(key, None)

    def _responder(self, url: str) -> "_Responder":
        if url not in self._responders:
            self._responders[url] = _Responder(url)
            while len(self._responders) > MOST_RESPONDERS + len(self._urls):
                self._responders.pop(next(each for each in self._responders if each not in self._urls))
        return self._responders[url]


@dataclass(slots=True)
class _Responder:
    url: str
    left_alone_until: float = 0.0
    source: Source = field(init=False)

    def __post_init__(self) -> None:
        self.source = Source(SourceKind.OCSP, self.url)
