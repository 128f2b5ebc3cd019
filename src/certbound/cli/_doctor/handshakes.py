"""Checks of TLS: who is asked for a certificate, under which names, and what a handshake brings with it."""

import ssl
from collections.abc import Mapping

from certbound.cli._doctor.finding import OK, Check, Found, cannot_tell, wrong
from certbound.cli._doctor.reach import request
from certbound.cli._doctor.target import Target


def _certificate(target: Target) -> Found:
    answer = target.reach.ask(target.place, request("GET", target.place, ()))
    return OK if answer.status else wrong(f"{target.place.authority}: {answer.in_words}")


def _asked(target: Target) -> Found:
    seen = target.reach.shake_hands(target.place)
    return OK if seen.asked else wrong(seen.failure or f"{target.place.authority} asks for none")


def _conventional(target: Target) -> Found:
    if target.conventional is None:
        return OK
    seen = target.reach.shake_hands(target.conventional)
    return wrong(f"{target.conventional.authority} asks for one") if seen.asked else OK


def _authorities(target: Target) -> Found:
    seen = target.reach.shake_hands(target.place)
    return wrong(f"{seen.authorities} authorities are named") if seen.authorities else OK


def _mixed_case(target: Target) -> Found:
    name = target.place.host.title()
    seen = target.reach.shake_hands(target.place, name)
    return OK if seen.asked or seen.failure else wrong(f"under the name {name} it asks for none")


def _small_records(target: Target) -> Found:
    seen = target.reach.shake_hands(target.place, small_records=True)
    return OK if seen.asked or seen.failure else wrong("then it asks for none")


def _self_signed(target: Target) -> Found:
    naked, seen = target.naked, target.send(identity=target.reach.throwaway)
    if not seen.status:
        return wrong(f"the connection ends: {seen.in_words}")
    if seen.status in {429, naked.status} or target.let_in(seen):
        return OK
    return wrong(f"{seen.in_words} where a client without a certificate gets {naked.in_words}")


def _old_versions(target: Target) -> Found:
    for version, name in _OLD.items():
        if target.reach.ask(target.place, target.bytes_of(), version=version).status:
            return wrong(f"{name} is agreed")
    return OK


def _resumed(target: Target) -> Found:
    if target.reach.own is None:
        return cannot_tell(target.needs)
    answer = target.reach.resumes(target.place, target.bytes_of(), target.reach.own, target.place.host)
    return OK if answer is None else wrong(f"one is resumed: {answer.in_words}")


def _resumed_elsewhere(target: Target) -> Found:
    if target.conventional is None:
        return OK
    answer = target.reach.resumes(target.place, target.bytes_of(), target.reach.own, target.conventional.host)
    return OK if answer is None else wrong(f"one of {target.conventional.host} is resumed: {answer.in_words}")


def _host_is_not_sni(target: Target) -> Found:
    conventional = target.conventional.host if target.conventional is not None else target.place.host
    other = conventional if conventional != target.place.host else "other.invalid"
    blind = target.blind
    for name, host in ((other, target.place.authority), (target.place.host, other), (None, target.place.authority)):
        raw = target.bytes_of(host=host)
        answer = target.reach.ask(target.place, raw, identity=target.reach.own, name=name)
        if (target.let_in(answer) if not blind else 0 < answer.status < 400) and name is not None:
            return wrong(f"a handshake for {name} and a request for {host}: {answer.in_words}")
    return OK if not blind else cannot_tell(blind)


HANDSHAKES: tuple[Check, ...] = (
    Check("certificate", "the server's certificate is of this name, and comes with its issuers", _certificate),
    Check("asked", "clients are asked for a certificate", _asked),
    Check("not-asked", "at the conventional host nobody is asked for a certificate", _conventional),
    Check("authorities", "no authorities are named, so clients choose their certificate themselves", _authorities),
    Check("mixed-case", "a name in capitals is asked for a certificate as well", _mixed_case),
    Check("small-records", "a handshake in many small records is asked for a certificate as well", _small_records),
    Check("self-signed", "a certificate that nobody knows reaches the application, which judges it", _self_signed),
    Check("versions", "nothing older than TLS 1.2 is spoken", _old_versions),
    Check("resumption", "no session is resumed with a certificate that was shown before", _resumed),
    Check("resumption-elsewhere", "no session of the conventional host is resumed here", _resumed_elsewhere),
    Check("host", "the host of the request is the host of the handshake", _host_is_not_sni),
)
"""In the order of the report."""

_OLD: Mapping[ssl.TLSVersion, str] = {ssl.TLSVersion.TLSv1: "TLS 1.0", ssl.TLSVersion.TLSv1_1: "TLS 1.1"}
