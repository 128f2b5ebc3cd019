"""certbound.core.qualified: who a payment service provider is, and what it may do."""

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from certbound.core.qualified import (
    QualifiedStatements,
    organization_identifiers,
    read_organization_identifier,
    read_qc_statements,
)
from certbound.trust.authority import self_signed
from certificates import TODAY, psd2_statements, read, tlv


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("PSDES-BDE-3DFD21", ("PSD", "ES", "BDE", "3DFD21")),
        ("PSDPL-PFSA-1234567890", ("PSD", "PL", "PFSA", "1234567890")),
        ("PSDFI-FINFSA-1234567-8", ("PSD", "FI", "FINFSA", "1234567-8")),
        ("VATCZ-12345678", ("VAT", "CZ", "", "12345678")),
        ("LEIXG-529900T8BM49AURSDO55", ("LEI", "XG", "", "529900T8BM49AURSDO55")),
        ("OF:BR-1234", ("OF:", "BR", "", "1234")),
    ],
)
def test_organization_identifiers(text: str, parts: tuple[str, str, str, str]) -> None:
    """PSD with its authority, and the other forms of EN 319 412-1, are taken apart."""
    found = read_organization_identifier(text)
    assert found is not None
    assert (found.scheme, found.country, found.authority, found.identifier) == parts


@pytest.mark.parametrize("text", ["", "PSDES", "PSDES-BDE", "PSDes-BDE-1", "PSDES-B-1", "PSDES-TOOLONGNC-1", "OFBBR-x"])
def test_what_has_no_form(text: str) -> None:
    """What has none of the forms is nothing, not a guess."""
    assert read_organization_identifier(text) is None


def test_they_are_found_in_the_subject() -> None:
    """Those of the subject that have a form, wherever they stand."""
    name = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.COMMON_NAME, "PSDES-BDE-1"),
            x509.NameAttribute(x509.NameOID.ORGANIZATION_IDENTIFIER, "nonsense"),
            x509.NameAttribute(x509.NameOID.ORGANIZATION_IDENTIFIER, "PSDES-BDE-3DFD21"),
        ]
    )
    found = organization_identifiers(read(self_signed(name, now=TODAY)))
    assert [each.text for each in found] == ["PSDES-BDE-3DFD21"]


def test_psd2_statements() -> None:
    """Type, roles and authority of a QWAC; the object identifier of a role counts, not the text beside it."""
    value = psd2_statements({"0.4.0.19495.1.2": "PSP_PI", "0.4.0.19495.1.3": "wrong", "1.2.3": "other"})
    assert read_qc_statements(value) == QualifiedStatements(
        is_qualified=True,
        types=("web",),
        roles=("PSP_PI", "PSP_AI", "other"),
        authority_name="Banco de España",
        authority_id="ES-BDE",
    )


@pytest.mark.parametrize("value", [b"", b"\x30\x02\x30\x00", tlv(0x31, b""), psd2_statements({})[:-1]])
def test_unreadable_statements(value: bytes) -> None:
    """What is no sequence of statements is a ValueError."""
    with pytest.raises(ValueError):
        read_qc_statements(value)


@given(st.binary(max_size=200))
def test_any_bytes_are_statements_or_refused(value: bytes) -> None:
    """No other exception leaves the reader."""
    try:
        read_qc_statements(value)
    except ValueError:
        return
