"""certbound.core.confirmation: the `cnf` claim, made and checked (R15 to R17)."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbound.core.certificate import read_pem_certificates
from certbound.core.confirmation import (
    X5T_S256,
    Confirmed,
    NotConfirmed,
    confirm,
    match_confirmation,
    read_confirmation,
)
from certbound.trust.authority import self_signed
from certificates import TODAY, read

VECTORS = Path(__file__).parent.parent / "vectors"
OWN = read(self_signed("CN=own", now=TODAY))
OTHER = read(self_signed("CN=other", now=TODAY))


def test_appendix_a() -> None:
    """The `cnf` of the certificate in RFC 8705 Appendix A is the one printed there (R17, R36)."""
    [certificate] = read_pem_certificates((VECTORS / "rfc8705-appendix-a.pem").read_bytes())
    assert confirm(certificate) == json.loads((VECTORS / "rfc8705-appendix-a.json").read_text())["cnf"]


def test_the_member_is_spelled_as_registered() -> None:
    """The confirmation has one member, `x5t#S256` (R35)."""
    assert list(confirm(OWN)) == ["x5t#S256"]
    assert X5T_S256 == "x5t#S256"


def test_the_certificate_it_is_bound_to() -> None:
    """A confirmation is matched by the certificate it was made from."""
    assert match_confirmation(confirm(OWN), OWN) == Confirmed(OWN)
    assert read_confirmation(confirm(OWN)) == OWN.thumbprint


def test_another_certificate() -> None:
    """A confirmation is not matched by another certificate, be it for the same key and name."""
    same_key = self_signed("CN=own", now=TODAY)
    again = self_signed("CN=own", key=same_key.private_key, now=TODAY)
    for bound, presented in ((OWN, OTHER), (read(same_key), read(again))):
        with pytest.raises(NotConfirmed):
            match_confirmation(confirm(bound), presented)


def test_no_certificate() -> None:
    """A confirmation is not matched without a certificate."""
    with pytest.raises(NotConfirmed, match="without"):
        match_confirmation(confirm(OWN), None)


@pytest.mark.parametrize(
    "cnf",
    [
        None, {}, [], "x5t#S256", 1, True, [X5T_S256], {"jkt": OWN.thumbprint}, {"x5t#s256": OWN.thumbprint},
        {"x5t": OWN.thumbprint}, {"kid": "1"}, {"jwk": {}},
        {**confirm(OWN), "jkt": "x"}, {**confirm(OWN), "x5t": OWN.thumbprint},
        {X5T_S256: None}, {X5T_S256: 1}, {X5T_S256: [OWN.thumbprint]}, {X5T_S256: ""},
        {X5T_S256: OWN.thumbprint + "="}, {X5T_S256: OWN.thumbprint + "\n"}, {X5T_S256: OWN.thumbprint[:42]},
        {X5T_S256: " " + OWN.thumbprint}, {X5T_S256: OWN.thumbprint + "é"},
        {X5T_S256: OWN.thumbprint + "A"}, {X5T_S256: "é" * 43},
        {X5T_S256: "+" * 43}, {X5T_S256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    ],
)  # fmt: skip
def test_malformed(cnf: Any) -> None:
    """A `cnf` of another kind, of several members, or whose value is no SHA-256 in base64url, confirms nothing."""
    for presented in (OWN, None):
        with pytest.raises(NotConfirmed):
            match_confirmation(cnf, presented)


def test_the_last_character_is_compared_too() -> None:
    """A thumbprint that differs only in bits base64url would drop is another thumbprint."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for last in alphabet:
        text = OWN.thumbprint[:-1] + last
        if text != OWN.thumbprint:
            with pytest.raises(NotConfirmed):
                match_confirmation({X5T_S256: text}, OWN)


_JSON = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text(), max_size=2)


@given(_JSON | st.dictionaries(st.just(X5T_S256) | st.text(max_size=5), _JSON, max_size=3))
def test_anything_confirms_or_does_not(cnf: Any) -> None:
    """Arbitrary JSON as `cnf` is `NotConfirmed`, and nothing else."""
    with pytest.raises(NotConfirmed):
        match_confirmation(cnf, OWN)
