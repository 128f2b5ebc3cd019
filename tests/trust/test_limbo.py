"""x509-limbo and BetterTLS against our whole trust path (R5, R33): what `docs/reference/x509.md` says is so."""

from pathlib import Path

import pytest

from revoking import revocation
from suites import counted, differences, limbo, reference, refusal


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
async def test_the_reference_tells_every_difference_from_limbo(tmp_path: Path) -> None:
    """By name, with a reason and the figures; nothing is falsely accepted among the cases that apply."""
    verdicts = {}
    for number, case in enumerate(limbo()):
        files = [tmp_path / f"{number}-{index}.crl" for index in range(len(case.lists))]
        for file, der in zip(files, case.lists, strict=True):
            file.write_bytes(der)
        verdicts[case] = await refusal(case, revocation("hard", crls=files) if files else None)
    told = reference("x509-limbo")
    applying = {case: refused for case, refused in verdicts.items() if case.applies}
    assert told.differences == differences(verdicts)
    assert told.figures == {"cases that apply": counted(applying), "all cases": counted(verdicts)}
    assert not told.without_reason
    assert counted(applying)[1] == 0
