"""Clients of others, unmodified, over real TLS: they find the alias, get a token and use it; stolen it is worthless."""

import pytest

from certbound.trust.authority import Issued
from clients.programs import PROGRAMS, Program, Runner, is_bound_to

pytestmark = pytest.mark.clients

each = pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)


@each
def test_a_client_finds_the_alias_gets_a_token_and_calls_the_api(run: Runner, pki: Issued, program: Program) -> None:
    """tls_client_auth. Only the alias asks for a certificate, so that a token says which URL was asked."""
    told = run(program, "pki", pki)
    assert is_bound_to(pki, told["token"])
    assert 200 == told["api"]["status"]


@each
def test_a_self_signed_client_as_well(run: Runner, own: Issued, program: Program) -> None:
    """self_signed_tls_client_auth is the same to a client."""
    told = run(program, "own", own)
    assert is_bound_to(own, told["token"])
    assert 200 == told["api"]["status"]


@each
def test_a_stolen_token_is_refused(run: Runner, pki: Issued, stranger: Issued, program: Program) -> None:
    """With the certificate of another, by the same library."""
    told = run(program, "pki", pki, thief=stranger)
    assert (200, 401) == (told["api"]["status"], told["stolen"]["status"])
    assert "invalid_token" == told["stolen"]["error"]


@each
def test_a_refusal_reaches_the_program(run: Runner, pki: Issued, stranger: Issued, program: Program) -> None:
    """Each library reads our 401 and hands over its `error`."""
    told = run(program, "pki", stranger)
    assert "invalid_client" == told["token"]["error"]
    assert "api" not in told


def test_go_detects_how_to_say_who_it_is(run: Runner, pki: Issued) -> None:
    """Left to itself it tries Basic with an empty secret, is refused, and sends the client id in the body."""
    [go] = (program for program in PROGRAMS if program.name == "Go")
    told = run(go, "pki", pki, method="detected")
    assert 200 == told["api"]["status"]
