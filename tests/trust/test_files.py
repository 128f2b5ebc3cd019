"""certbound.trust.files: anchors in files, watched (R32)."""

import logging
from pathlib import Path

import pytest

from certbound.core.errors import ConfigurationError
from certbound.trust.authority import Authority, self_signed
from certbound.trust.files import AnchorFiles
from certificates import TODAY, anchors, der

ROOT = Authority.create("Root", now=TODAY)
OTHER = Authority.create("Other", now=TODAY)


def in_force(files: AnchorFiles) -> list[bytes]:
    """The anchors that decide at the moment."""
    return [each.der for each in files.trust.anchors.anchors]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with one anchor."""
    file = tmp_path / "anchors.pem"
    file.write_bytes(ROOT.certificate_pem)
    return file


def test_anchors_and_intermediates(file: Path, tmp_path: Path) -> None:
    """Every certificate of every file is an anchor, or an intermediate, as its file is named."""
    several = tmp_path / "several.pem"
    several.write_bytes(b"comment\n" + OTHER.certificate_pem + ROOT.certificate_pem)
    files = AnchorFiles([file, several], [file])
    assert in_force(files) == [der(ROOT), der(OTHER), der(ROOT)]
    assert [each.der for each in files.trust.anchors.intermediates] == [der(ROOT)]


def test_no_file_means_nobody() -> None:
    """Without any file there is no anchor."""
    assert not AnchorFiles([]).trust.anchors


@pytest.mark.parametrize(
    "content",
    [b"garbage", ROOT.key_pem, ROOT.certificate_pem[:100], None],
    ids=["garbage", "key", "cut", "missing"],
)
def test_an_unusable_file_stops_the_start(tmp_path: Path, content: bytes | None) -> None:
    """A file that is missing or holds no certificate is `ConfigurationError`, which names it (CVE-2026-27586)."""
    file = tmp_path / "anchors.pem"
    if content is not None:
        file.write_bytes(content)
    for given in (([file], []), ([], [file])):
        with pytest.raises(ConfigurationError, match=r"anchors\.pem"):
            AnchorFiles(*given)


def test_a_changed_file_is_in_force_after_the_next_look(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An anchor added or taken away counts from the next look on, and the log says so."""
    files = AnchorFiles([file])
    trust = files.trust
    file.write_bytes(ROOT.certificate_pem + OTHER.certificate_pem)
    with caplog.at_level(logging.WARNING):
        files.reload_if_changed()
    assert in_force(files) == [der(ROOT), der(OTHER)]
    assert "2 in force" in caplog.text
    file.write_bytes(OTHER.certificate_pem)
    files.reload_if_changed()
    assert in_force(files) == [der(OTHER)]
    assert files.trust is trust


def test_a_file_put_in_its_place(file: Path) -> None:
    """A file that is replaced by renaming another over it, of the same length and age, is noticed."""
    files = AnchorFiles([file])
    other = file.with_suffix(".new")
    other.write_bytes(ROOT.certificate_pem.replace(b"\n", b"\n", 1))
    new = OTHER.certificate_pem
    other.write_bytes(new)
    import os

    os.utime(other, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    other.replace(file)
    files.reload_if_changed()
    assert in_force(files) == [der(OTHER)]


def test_an_unchanged_file_keeps_what_is_remembered(file: Path) -> None:
    """Looking at files that did not change replaces nothing."""
    files = AnchorFiles([file])
    before = files.trust.anchors
    files.reload_if_changed()
    assert files.trust.anchors is before
    file.write_bytes(OTHER.certificate_pem)
    files.reload_if_changed()
    after = files.trust.anchors
    files.reload_if_changed()
    assert files.trust.anchors is after is not before


@pytest.mark.parametrize("content", [b"garbage", ROOT.certificate_pem[:100], None], ids=["garbage", "cut", "missing"])
def test_the_last_good_set_is_kept(file: Path, caplog: pytest.LogCaptureFixture, content: bytes | None) -> None:
    """A file that becomes unreadable changes nothing, says so, and is followed again when it is whole."""
    files = AnchorFiles([file])
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    with caplog.at_level(logging.ERROR):
        files.reload_if_changed()
    assert in_force(files) == [der(ROOT)]
    assert "stay as they were" in caplog.text
    file.write_bytes(OTHER.certificate_pem)
    files.reload_if_changed()
    assert in_force(files) == [der(OTHER)]


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_an_empty_file_means_nobody(file: Path, content: bytes) -> None:
    """A readable empty file takes every anchor away: that is a decision, not an accident."""
    files = AnchorFiles([file])
    file.write_bytes(content)
    files.reload_if_changed()
    assert not files.trust.anchors


def test_any_certificate_may_be_in_the_file(file: Path) -> None:
    """The file is read as it is; what an anchor can vouch for is the verifier's verdict."""
    file.write_bytes(self_signed("CN=x", now=TODAY).certificate_pem)
    assert len(in_force(AnchorFiles([file]))) == 1
    assert anchors(ROOT)
