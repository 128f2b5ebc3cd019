"""Checks of what a deployment says of itself: metadata, the places that it names, what browsers are told."""

from certbound.cli._doctor.finding import OK, Check, Found, wrong
from certbound.cli._doctor.reach import place_of, request
from certbound.cli._doctor.target import METADATA, Target
from certbound.core.errors import ConfigurationError
from certbound.tls.hosts import is_loopback

BOUND = "tls_client_certificate_bound_access_tokens"


def _metadata(target: Target) -> Found:
    if target.kind == "API":
        if not target.document:
            return wrong(f"nothing is found at {METADATA} (RFC 9728)")
        said = target.document.get("resource")
        if not isinstance(said, str) or not target.url.startswith(said.rstrip("/")):
            return wrong(f"the metadata is of {said!r:.200}")
        return OK
    said = target.document.get("issuer")
    return OK if said == target.url.rstrip("/") else wrong(f"the metadata is of {said!r:.200}")


def _bound(target: Target) -> Found:
    return OK if target.document.get(BOUND) is True else wrong(f"{BOUND} is not true there")


def _aliases(target: Target) -> Found:
    aliases = target.document.get("mtls_endpoint_aliases")
    for name, url in (aliases if isinstance(aliases, dict) else {}).items():
        try:
            place = place_of(str(url))
        except ConfigurationError as error:
            return wrong(str(error))
        answer = target.reach.ask(place, request("POST", place, (), b"x=y"))
        if not answer.status or answer.status in {404, 421} or answer.status >= 500:
            return wrong(f"{name}, {url}: {answer.in_words}")
    return OK


def _hsts(target: Target) -> Found:
    endpoint = target.document.get("authorization_endpoint")
    if target.kind == "API" or not isinstance(endpoint, str):
        return OK
    place = place_of(endpoint)
    if is_loopback(place.host) or place.host.endswith(".localhost"):
        return OK  # a browser would hold it against everything else on this machine
    answer = target.reach.ask(place, request("GET", place, ()))
    return OK if "strict-transport-security" in answer.headers else wrong("Strict-Transport-Security is not there")


DOCUMENTS: tuple[Check, ...] = (
    Check("metadata", "the metadata is there, and of this deployment", _metadata),
    Check("metadata-bound", "the metadata says that tokens are bound to certificates", _bound),
    Check("aliases", "every endpoint that the metadata names for mutual TLS answers", _aliases),
    Check("hsts", "browsers are told to come by https alone", _hsts),
)
"""In the order of the report."""
