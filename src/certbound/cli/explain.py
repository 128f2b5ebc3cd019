"""`certbound explain`: the verdict on a client and its certificate, step by step, and what to change.

Rule 1: the verdict is the server's own: the function, the settings, the store and the sources that the token endpoint
has; nothing is judged here.
Rule 2: what is asked about is a request that names the client and shows nothing but the certificate, so of a client
that must show a secret or an assertion it is said how.
Rule 3: the reason is for whoever runs the server; the client itself is told `invalid_client` and no more.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from certbound.cli._certificates import certificates_in, read_bytes
from certbound.cli._commands import WrongUse
from certbound.cli._deployment import ConfigFile, load_settings
from certbound.cli._output import date, note, say, say_json, say_table
from certbound.core.authentication import Step, authenticate, steps_of
from certbound.core.binding import choose_certificate
from certbound.core.certificate import PeerCertificate, read_certificate
from certbound.core.credentials import Presented
from certbound.core.errors import BadCertificate, ConfigurationError, InvalidClient, InvalidRequest
from certbound.core.metadata import TOKEN

if TYPE_CHECKING:
    from certbound.app import Authentication
    from certbound.core.clients import Client
    from certbound.settings import Settings


def explain(
    client_id: Annotated[str, typer.Option("--client", metavar="ID", help="The client_id.")],
    cert: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What the client sends: its certificate, then the chain behind it."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="As if it were then, for example 2030-06-01T12:00Z; now if absent."),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Fetch nothing: no jwks_uri, no CRL, no OCSP.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    config: ConfigFile = None,
) -> None:
    """Say step by step why a certificate does or does not authenticate a client, and what to change.

    It asks what the server asks, in the same order, with the same settings and store, and stops where it would stop.
    That the client holds the private key is taken for granted.  Of a client that authenticates otherwise it says what
    the client must send.  The exit status is 0 if the client would be accepted with this certificate and nothing more.

    Example: certbound explain --client billing --cert billing.pem

    Example, before a certificate comes into use: certbound explain --client billing --cert new.pem --at 2030-01-01
    """
    now = time.time() if at is None else _time(at)
    peer = None if cert is None else _peer(cert)
    settings = load_settings(config)
    if at is not None:
        note("what is registered, published and revoked is asked as it is now; the dates are judged as of then")
    verdict = asyncio.run(_ask(settings, client_id, peer, now, offline=offline))
    if json:
        say_json(verdict.as_json(client_id, peer, now))
    else:
        _say(verdict, client_id, peer, now)
    if not verdict.is_accepted:
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    """What the server would say; `failed` is None if it would accept."""

    steps: Sequence[Step]
    failed: Step | None
    reason: str = ""
    advice: Sequence[str] = ()
    bound_to: str | None = None
    unfit: str = ""
    """Why there is no token for a client that is accepted: it must be bound, and cannot."""
    asked: Sequence[str] = ()
    """Who was asked about revocation, if anybody was."""

    @property
    def is_accepted(self) -> bool:
        return self.failed is None and not self.unfit

    def results(self) -> list[tuple[str, Step]]:
        """Each step and how it ended."""
        end = len(self.steps) if self.failed is None else self.steps.index(self.failed)
        words = ["passed"] * end + ["FAILED"] * (self.failed is not None)
        words += ["not reached"] * (len(self.steps) - len(words))
        return list(zip(words, self.steps, strict=True))

    def as_json(self, client_id: str, peer: PeerCertificate | None, now: float) -> dict[str, Any]:
        return {
            "client_id": client_id,
            "x5t#S256": peer.leaf.thumbprint if peer else None,
            "at": now,
            "accepted": self.is_accepted,
            "steps": [{"step": step.name, "question": step.value, "result": word} for word, step in self.results()],
            "reason": self.reason or self.unfit or None,
            "advice": list(self.advice),
            "bound_to": self.bound_to,
            "revocation": list(self.asked),
        }


async def _ask(
    settings: "Settings", client_id: str, peer: PeerCertificate | None, now: float, *, offline: bool
) -> _Verdict:
    from certbound import app
    from certbound.cli._advice import asked

    async with app.open_authentication(settings, offline=offline) as authentication:
        client = await authentication.clients.find(client_id)
        _announce(settings, client, offline=offline)
        revoked = authentication.clients.revoked
        offer = app.offer_of(settings, has_anchors=authentication.has_anchors)
        try:
            authenticated = await authenticate(
                client,
                Presented(client_id),
                peer,
                accepted=app.accepted(offer, settings)[TOKEN],
                sources=authentication.sources,
                revoked=revoked,
                now=now,
            )
        except InvalidClient as refusal:
            return await _refused(authentication, settings, client_id, client, peer, refusal, now)
        statuses = authentication.revocation() if client and client.subject else ()
    bound, unfit = None, ""
    try:
        bound = choose_certificate(authenticated, peer, settings.tokens.bind, revoked=revoked)
    except InvalidRequest as refusal:
        unfit = refusal.reason
    remark = _SOFT if settings.revocation.mode == "soft" and any(each.problem for each in statuses) else ""
    return _Verdict(
        steps=steps_of(authenticated.client.method),
        failed=None,
        unfit=unfit,
        bound_to=bound.thumbprint if bound else None,
        asked=(*asked(statuses), *([remark] if remark else [])),
    )


async def _refused(
    authentication: "Authentication",
    settings: "Settings",
    client_id: str,
    client: "Client | None",
    peer: PeerCertificate | None,
    refusal: InvalidClient,
    now: float,
) -> _Verdict:
    from certbound.cli._advice import Case, advise

    failed = Step(refusal.step)
    advice = await advise(failed, Case(authentication, settings, client_id, client, peer, now))
    steps = (failed,) if client is None else steps_of(client.method)
    return _Verdict(steps=steps, failed=failed, reason=refusal.reason, advice=advice)


def _announce(settings: "Settings", client: "Client | None", *, offline: bool) -> None:
    """What may take seconds is said before."""
    if offline or client is None:
        return
    if client.jwks_uri is not None:
        note(f"asking {client.jwks_uri}")
    elif client.subject is not None and _asks_others(settings):
        note("others may be asked about revocation; that can take seconds")


def _asks_others(settings: "Settings") -> bool:
    asked = settings.revocation
    return asked.mode != "off" and bool(asked.crl_urls or asked.ocsp or asked.from_certificates)


def _say(verdict: _Verdict, client_id: str, peer: PeerCertificate | None, now: float) -> None:
    certificate = f"certificate {peer.leaf.thumbprint}" if peer else "no certificate"
    say(f"client {client_id}, {certificate}, {date(now)}")
    say_table(verdict.results(), indent="  ")
    if verdict.unfit:
        say("", f"accepted, and gets no token: {verdict.unfit}")
    elif verdict.failed is None:
        if verdict.asked:
            say("", "asked about revocation were:", *(f"  {line}" for line in verdict.asked))
        bound = f"bound to this certificate (x5t#S256 {verdict.bound_to})" if verdict.bound_to else "not bound"
        say("", f"accepted; its token would be {bound}")
        if verdict.bound_to is None:
            say('  tokens.bind is "requested", and the client did not ask; certbound client update ID --bound does')
    else:
        say("", f"refused: {verdict.reason}", *(f"  {line}" for line in verdict.advice))


def _peer(file: Path) -> PeerCertificate:
    leaf, *behind = certificates_in(read_bytes(file), str(file))
    try:
        return PeerCertificate(read_certificate(leaf), tuple(behind))
    except BadCertificate as error:
        raise ConfigurationError(f"{file} begins with no usable certificate: {error}") from error


def _time(text: str) -> float:
    try:
        given = datetime.fromisoformat(text)
    except ValueError as error:
        raise WrongUse(f"--at: {text!r} is no time; write it as 2030-06-01 or 2030-06-01T12:00Z") from error
    return (given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp()


_SOFT = 'what nobody knows passes, for revocation.mode is "soft"'
