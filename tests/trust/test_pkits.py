"""NIST PKITS against our whole trust path, revocation included (R5, R33): what `docs/reference/x509.md` says is so."""

from pathlib import Path

import pytest

from revoking import revocation
from suites import counted, differences, pkits, reference, refusal


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
async def test_the_reference_tells_every_difference_from_pkits(tmp_path: Path) -> None:
    """By name, with a reason and the figures; nothing is falsely accepted."""
    cases = list(pkits())
    files = [tmp_path / f"{number}.crl" for number in range(len(cases[0].lists))]
    for file, der in zip(files, cases[0].lists, strict=True):
        file.write_bytes(der)
    known = revocation("hard", crls=files)
    verdicts = {case: await refusal(case, known) for case in cases}
    told = reference("PKITS")
    assert told.differences == differences(verdicts)
    assert told.figures == {"all cases": counted(verdicts)}
    assert not told.without_reason
    assert counted(verdicts)[1] == 0
