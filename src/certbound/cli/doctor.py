"""`certbound doctor`: tries on a running deployment what a client could try, and says what is wrong.

Rule 1: only what it was told to speak to is spoken to, and only as that deployment's own client.
Rule 2: standard output is the report; progress goes to standard error.
Rule 3: exit status 1 if anything is wrong; what could not be seen is no fault, and is said.
"""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from certbound.cli._commands import WrongUse
from certbound.cli._output import note, say, say_json
from certbound.cli.proxies import KINDS

if TYPE_CHECKING:
    from certbound.cli._doctor.finding import Check, Finding
    from certbound.cli._doctor.reach import Identity
    from certbound.cli._doctor.target import Target


def doctor(
    url: Annotated[str, typer.Argument(metavar="URL", help="The issuer, or the URL of an API that answers GET.")],
    cert: Annotated[Path | None, typer.Option(metavar="PEM", help="A client's certificate, then its issuers.")] = None,
    key: Annotated[Path | None, typer.Option(metavar="PEM", help="Its private key, not encrypted.")] = None,
    ca: Annotated[
        Path | None, typer.Option(metavar="PEM", help="Who vouches for the deployment; the system's roots if absent.")
    ] = None,
    client_id: Annotated[
        str, typer.Option(metavar="ID", help="For an issuer: a client registered for this certificate.")
    ] = "",
    token: Annotated[
        str, typer.Option(metavar="TOKEN", help="For an API: a token bound to this certificate; - reads it from stdin.")
    ] = "",
    plain_url: Annotated[
        str,
        typer.Option(
            metavar="URL", help="Where the application or its proxy listens without TLS, if one can be reached."
        ),
    ] = "",
    proxy: Annotated[
        str, typer.Option(metavar="NAME", help=f"What ends TLS there, for the lines that mend it: {', '.join(KINDS)}.")
    ] = "",
    connect: Annotated[
        str,
        typer.Option(metavar="ADDRESS", help="Where to connect instead of where names point: address or address:port."),
    ] = "",
    skip: Annotated[
        list[str] | None, typer.Option(metavar="CHECK", help="A check to leave out; several times.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Try on a deployment what a client could try, and say what is wrong and which line mends it.

    It shows certificates, withholds them, forges what proxies write about them, and looks whether the answer changes.
    It obtains tokens as the client that you name, and changes nothing.

    Example: certbound doctor https://as.example --cert billing.pem --key billing.key --client-id billing --proxy nginx

    Example: certbound doctor https://api.example/items --cert billing.pem --key billing.key --token "$TOKEN"
    """
    _require_names(proxy, skip or ())
    if (cert is None) != (key is None):
        raise WrongUse("give --cert and --key together")
    from certbound.cli._doctor import reach, target

    with _identity(cert, key) as own, reach.throwaway() as throwaway:
        at = reach.Reach(ca, _place(connect), own, throwaway)
        said = sys.stdin.read().strip() if token == _STDIN else token
        found = target.find(at, url, client_id=client_id, token=said, plain_url=plain_url)
        note(f"{found.kind} at {found.place.authority}")
        findings = list(_examine(found, proxy, frozenset(skip or ())))
        note(f"{at.asked} requests sent")
    _report(findings, found, as_json=as_json)
    if any(each.verdict == "wrong" for each in findings):
        raise typer.Exit(1)


def _examine(target: "Target", proxy: str, skipped: frozenset[str]) -> "Iterator[Finding]":
    from certbound.cli._doctor.finding import Finding, cannot_tell
    from certbound.cli._doctor.mends import mend

    for check in _checks():
        if check.name in skipped:
            continue
        note(f"… {check.name}")
        found = check.run(target)
        if check.name.startswith("forged") and found.verdict == "ok" and _is_limited(target):
            found = cannot_tell("it answers 429 to the certificate's owner as well: wait a minute")
        mends = () if found.verdict == "ok" else mend(check.name, proxy, found.seen, target)
        yield Finding(check.name, check.says, found.verdict, found.seen, mends if found.verdict == "wrong" else ())


def _is_limited(target: "Target") -> bool:
    """Whether refusals are of the limit's making: then the owner is refused too."""
    before, target.reach.limited = target.reach.limited, 0
    return before > 0 and target.send(identity=target.reach.own).status == 429


def _checks() -> "Sequence[Check]":
    from certbound.cli._doctor.documents import DOCUMENTS
    from certbound.cli._doctor.handshakes import HANDSHAKES
    from certbound.cli._doctor.requests import REQUESTS

    return (*HANDSHAKES, *REQUESTS, *DOCUMENTS)


def _report(findings: "Sequence[Finding]", target: "Target", *, as_json: bool) -> None:
    if as_json:
        say_json({"url": target.url, "kind": target.kind, "checks": [asdict(each) for each in findings]})
        return
    before: tuple[str, ...] = ()
    seen = ""
    for each in findings:
        say(f"{_SIGNS[each.verdict]} {each.says}")
        if each.seen and not (each.verdict == "cannot tell" and each.seen == seen):
            say(f"       {each.seen}")
        seen = each.seen
        for line in ("the same",) if len(each.mend) > 1 and each.mend == before else each.mend:
            say(f"       -> {line}")
        before = each.mend or before
    count = {verdict: sum(each.verdict == verdict for each in findings) for verdict in _SIGNS}
    say("", ", ".join(f"{count[verdict]} {verdict}" for verdict in _SIGNS))


@contextlib.contextmanager
def _identity(cert: Path | None, key: Path | None) -> "Iterator[Identity | None]":
    """One file of both, for as long as the block runs."""
    if cert is None or key is None:
        yield None
        return
    from ssl import DER_cert_to_PEM_cert

    from certbound.cli._certificates import read_bytes, read_chain
    from certbound.cli._doctor.reach import Identity

    chain = read_chain(cert)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "own.pem"
        file.touch(mode=0o600)
        file.write_bytes(
            read_bytes(key).rstrip() + b"\n" + "".join(DER_cert_to_PEM_cert(each.der) for each in chain).encode()
        )
        yield Identity(file, chain[0].der)


def _place(connect: str) -> tuple[str, int | None] | None:
    if not connect:
        return None
    host, colon, port = connect.rpartition(":")
    if not colon or (connect.count(":") > 1 and not connect.startswith("[")):
        return connect.strip("[]"), None
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise WrongUse(f"--connect: {connect!r:.80} is no address and no address:port")
    return host.strip("[]"), int(port)


def _require_names(proxy: str, skipped: Sequence[str]) -> None:
    if proxy and proxy not in KINDS:
        raise WrongUse(f"--proxy: there is no {proxy!r:.80}; choose one of {', '.join(KINDS)}")
    names = [each.name for each in _checks()]
    if unknown := [each for each in skipped if each not in names]:
        raise WrongUse(f"--skip: there is no check {unknown[0]!r:.80}; there are {', '.join(names)}")


_STDIN = "-"
_SIGNS = {"ok": "ok    ", "wrong": "WRONG ", "cannot tell": "?     "}
