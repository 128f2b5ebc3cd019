"""certbound.core.attributes: one table of attribute types; a name in any case is an object identifier."""

from pathlib import Path

import pytest

from certbound.core.attributes import ATTRIBUTE_TYPES, OIDS, TYPES, BadName, find_oid
from certbound.core.names import parse_name


def test_no_type_and_no_name_stands_twice() -> None:
    """An object identifier has one row, a name one object identifier."""
    assert len(TYPES) == len(ATTRIBUTE_TYPES)
    assert len(OIDS) == sum(len(each.names) for each in ATTRIBUTE_TYPES)


@pytest.mark.parametrize("kind", ATTRIBUTE_TYPES, ids=[each.names[0] for each in ATTRIBUTE_TYPES])
def test_every_spelling_is_the_type(kind: tuple[str, tuple[str, ...]]) -> None:
    """Each name, in any case, and the object identifier, plain or with `OID.`, are one type."""
    oid, names, *_ = kind
    spelled = [spelling for name in names for spelling in (name, name.upper(), name.lower(), name.swapcase())]
    assert {find_oid(each) for each in (*spelled, oid, f"OID.{oid}", f"oid.{oid}")} == {oid}
    assert len({parse_name(f"{each}=1") for each in spelled}) == 1


@pytest.mark.parametrize("oid", ["0.0", "0.9.2342.19200300.100.1.25", "1.39.0", "2.5.4.3", "2.999.1", "2.16.76.1.3.1"])
def test_any_object_identifier_is_a_type(oid: str) -> None:
    """A type that is not in the table is its object identifier."""
    assert find_oid(oid) == oid


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("commonNam", "did you mean commonName"),
        ("organisationIdentifier", "did you mean organizationIdentifier"),
        ("ORGANIZATIONIDENTIFER", "did you mean organizationIdentifier"),
        ("serialnumer", "did you mean serialNumber"),
        ("emailAdress", "did you mean emailAddress"),
        ("xyzzy", "write its object identifier"),
        ("subject", "leave out the words"),
        ("2.5.4.03", "numbers and dots"),
        ("2.5.4.", "numbers and dots"),
        ("2..4", "numbers and dots"),
        ("3.1", "numbers and dots"),
        ("1.40", "numbers and dots"),
        ("2", "numbers and dots"),
        ("", "object identifier"),
        ("x" * 100_000, "object identifier"),
        ("２.5.4.3", "object identifier"),
    ],
)
def test_an_unknown_name_is_refused_with_advice(name: str, says: str) -> None:
    """What is no type is `BadName`, and the message suggests what may be meant."""
    with pytest.raises(BadName) as refusal:
        find_oid(name)
    assert says in str(refusal.value)
    assert len(str(refusal.value)) < 250


def test_the_reference_lists_every_type() -> None:
    """The table in the reference is the table here: names, object identifier and matching rule, in the same order."""
    text = (Path(__file__).parent.parent.parent / "docs/reference/names.md").read_text()
    rows = [
        f"| {', '.join(f'`{name}`' for name in each.names)} | `{each.oid}` | {each.rule.value} |"
        for each in ATTRIBUTE_TYPES
    ]
    assert text.endswith("\n".join(["|---|---|---|", *rows]) + "\n")
