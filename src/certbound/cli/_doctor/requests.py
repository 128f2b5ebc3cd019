"""Checks of what a client can write: the headers of every contract, in every spelling that some server takes for them.

Rule: each is written as a proxy would write it for the certificate that was given, and sent without that certificate.
"""

from collections.abc import Callable, Iterator

from certbound.cli._doctor.finding import OK, Check, Found, cannot_tell, wrong
from certbound.cli._doctor.reach import Answer
from certbound.cli._doctor.target import Target
from certbound.tls.forwarded import CONTRACTS
from certbound.tls.forwarded.writing import forwarded_headers

Written = list[tuple[str, str]]
Variant = Callable[[Target, Written], Answer]


def _owner(target: Target) -> Found:
    if target.needs:
        return cannot_tell(target.needs)
    answer = target.honest
    return OK if target.let_in(answer) else wrong(f"it is answered {answer.in_words}")


def _nobody(target: Target) -> Found:
    if target.needs:
        return cannot_tell(target.needs)
    return wrong(f"without one it is answered {target.naked.in_words}") if target.let_in(target.naked) else OK


def _another(target: Target) -> Found:
    if target.needs:
        return cannot_tell(target.needs)
    answer = target.send(identity=target.reach.throwaway)
    return wrong(f"with another it is answered {answer.in_words}") if target.let_in(answer) else OK


def _early(target: Target) -> Found:
    if target.kind == "API":
        return OK
    if target.blind:
        return cannot_tell(target.blind)
    answer = target.send(("Early-Data", "1"), identity=target.reach.own)
    if not target.let_in(answer):
        return OK
    return cannot_tell(
        "it is answered with a token, which is right only where nothing in front accepts early data (TLS 1.3 0-RTT)"
    )


def _plain(target: Target) -> Found:
    if target.plain is None:
        return cannot_tell("give --plain-url, where the application or the proxy listens without TLS")
    place, host = target.plain.at(target.place.path), target.place.authority
    return _forged(target, lambda to, written: to.reach.ask(place, to.bytes_of(*written, place=place, host=host)))


def _forged(target: Target, variant: Variant) -> Found:
    """Which contracts are believed when `variant` writes them; that they are is seen even where the owner is not."""
    if target.needs or target.let_in(target.naked):
        return cannot_tell(target.blind)
    believed = [name for name, written in _written(target) if target.let_in(variant(target, written))]
    if believed:
        return wrong(f"believed: {', '.join(believed)}")
    return cannot_tell(target.blind) if target.blind else OK


def _written(target: Target) -> Iterator[tuple[str, Written]]:
    """What each contract's proxy would write for the certificate that was given; the same is written once."""
    assert target.reach.own is not None
    before: set[tuple[tuple[str, str], ...]] = set()
    for name in CONTRACTS:
        written = [each for each in forwarded_headers(name, target.reach.own.der).items() if each[1]]
        if tuple(written) not in before:
            before.add(tuple(written))
            yield name, written


def _plainly(target: Target, written: Written) -> Answer:
    return target.send(*written)


def _beside_another(target: Target, written: Written) -> Answer:
    return target.send(*written, identity=target.reach.throwaway)


def _twice(target: Target, written: Written) -> Answer:
    return target.send(*written, *written)


def _spelled(sign: str) -> Variant:
    return lambda target, written: target.send(*((name.replace("-", sign), value) for name, value in written))


def _longer(target: Target, written: Written) -> Answer:
    return target.send(*((f"{name}-", value) for name, value in written))


def _connection(target: Target, written: Written) -> Answer:
    names = ", ".join(["close", *(name for name, _ in written), "x-ssl-client-verify"])
    twins = [(name.replace("-", "_"), value) for name, value in written]
    answer = target.send(("Connection", names), *written)
    return answer if target.let_in(answer) else target.send(("Connection", names), *twins)


def _trailer(target: Target, written: Written) -> Answer:
    return target.reach.ask(target.place, *target.with_trailer(*written))


def _alone(target: Target, written: Written) -> Answer:
    return target.send(*written[:1])


def _check(name: str, says: str, variant: Variant) -> Check:
    return Check(name, says, lambda target: _forged(target, variant))


REQUESTS: tuple[Check, ...] = (
    Check("owner", "the certificate's owner is let in", _owner),
    Check("nobody", "without a certificate nobody is let in", _nobody),
    Check("another", "with another certificate nobody is let in", _another),
    _check("forged", "the headers of a proxy, written by a client, are believed nowhere", _plainly),
    _check("forged-alone", "nor is the certificate header alone, without what goes with it", _alone),
    _check("forged-beside", "nor beside another certificate", _beside_another),
    _check("forged-twice", "nor written twice", _twice),
    _check("forged-underscores", "nor with underscores in their names", _spelled("_")),
    _check("forged-dots", "nor with dots in their names", _spelled(".")),
    _check("forged-pluses", "nor with pluses in their names", _spelled("+")),
    _check("forged-longer", "nor with a hyphen behind their names", _longer),
    _check("forged-connection", "nor when `Connection` names what the proxy writes", _connection),
    _check("forged-trailer", "nor in a trailer", _trailer),
    Check("plain", "nor where there is no TLS", _plain),
    Check("early-data", "a request in early data obtains nothing", _early),
)
"""In the order of the report."""
