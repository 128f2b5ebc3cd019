"""certbound.trust.files: anchors in files and in a folder, watched (R32)."""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from certbound.core.errors import ConfigurationError
from certbound.core.limits import read_limit
from certbound.trust.authority import Authority, self_signed
from certbound.trust.files import AnchorFiles
from certificates import TODAY, anchors, der, read
from speed import least

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
    """Every certificate of every file is an anchor, or an intermediate, as its file is named; one that stands twice,
    once."""
    several = tmp_path / "several.pem"
    several.write_bytes(b"comment\n" + OTHER.certificate_pem + ROOT.certificate_pem)
    files = AnchorFiles([file, several], [file])
    assert in_force(files) == [der(ROOT), der(OTHER)]
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
    choices: tuple[tuple[list[Path], list[Path]], ...] = (([file], []), ([], [file]))
    for given in choices:
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
    other.write_bytes(OTHER.certificate_pem)
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


# What a file may hold.


def weak_authority() -> Authority:
    """A CA whose key nobody accepts any more."""
    return Authority.create("Weak", now=TODAY, key=rsa.generate_private_key(65537, 1024))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(
            lambda: ROOT.certificate_pem + OTHER.certificate_pem[:200], "of 2 PEM blocks 1 are whole", id="cut"
        ),
        pytest.param(lambda: ROOT.certificate_pem + ROOT.key_pem, "it holds a private key", id="key behind"),
        pytest.param(
            lambda: ROOT.certificate_pem.replace(b" CERTIFICATE", b" TRUSTED CERTIFICATE"),
            "it holds a TRUSTED CERTIFICATE of OpenSSL",
            id="trusted",
        ),
        pytest.param(
            lambda: ROOT.certificate_pem + b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
            "it holds a X509 CRL; only CERTIFICATE blocks belong there",
            id="CRL",
        ),
        pytest.param(lambda: der(ROOT)[:-1], "not a DER certificate", id="cut DER"),
        pytest.param(lambda: der(ROOT) + b"\n", "not a DER certificate", id="DER and more"),
        pytest.param(lambda: weak_authority().certificate_pem, "RSA key of 1024 bits", id="weak key"),
    ],
)
def test_what_is_no_set_of_anchors(tmp_path: Path, content: Callable[[], bytes], said: str) -> None:
    """A file that is not whole, or holds more than certificates with strong keys, is refused with its name and why."""
    file = tmp_path / "odd.crt"
    file.write_bytes(content())
    choices: tuple[dict[str, Any], ...] = ({"anchors": [file]}, {"anchors": [], "folder": tmp_path})
    for options in choices:
        with pytest.raises(ConfigurationError) as refusal:
            AnchorFiles(**options)
        assert f"cannot be taken from {file}: " in str(refusal.value)
        assert said in str(refusal.value)


def test_der_and_text_around(tmp_path: Path) -> None:
    """One certificate as DER is as good; PEM may stand among words, and with any line ends."""
    (tmp_path / "a.cer").write_bytes(der(ROOT))
    (tmp_path / "b.pem").write_bytes(b"0 is how this comment begins\n" + OTHER.certificate_pem.replace(b"\n", b"\r\n"))
    assert in_force(AnchorFiles([], folder=tmp_path)) == [der(ROOT), der(OTHER)]


# A folder.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one anchor."""
    folder = tmp_path / "anchors"
    folder.mkdir()
    (folder / "root.pem").write_bytes(ROOT.certificate_pem)
    return folder


def test_files_of_a_folder(folder: Path, file: Path) -> None:
    """Each .pem, .crt and .cer counts, beside the files that are named; nothing else, and nothing deeper."""
    for name in (".hidden.pem", "notes.txt", "root.pem~", "pem", "key.key"):
        (folder / name).write_bytes(b"garbage")
    (folder / "deeper.pem").mkdir()
    (folder / "deeper.pem" / "other.pem").write_bytes(OTHER.certificate_pem)
    os.mkfifo(folder / "pipe.pem")
    files = AnchorFiles([file], folder=folder)
    assert in_force(files) == [der(ROOT)]
    more = [Authority.create(name, now=TODAY) for name in ("PEM", "CRT", "CER")]
    for each, name in zip(more, ("a.PEM", "b.crt", "c.Cer"), strict=True):
        (folder / name).write_bytes(each.certificate_pem)
    files.reload_if_changed()
    assert set(in_force(files)) == {der(ROOT), *map(der, more)}


def test_files_come_and_go(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that is put into the folder counts from the next look on, one that is taken out no more; the log has the
    keys."""
    files = AnchorFiles([], folder=folder)
    (folder / "other.pem").write_bytes(OTHER.certificate_pem)
    with caplog.at_level(logging.WARNING):
        files.reload_if_changed()
        assert in_force(files) == [der(OTHER), der(ROOT)]
        (folder / "root.pem").unlink()
        files.reload_if_changed()
    assert in_force(files) == [der(OTHER)]
    root, other = read(ROOT).key_thumbprint, read(OTHER).key_thumbprint
    assert [each.message for each in caplog.records] == [
        f"trust anchors reloaded: 2 in force; new: {other}; gone: none",
        f"trust anchors reloaded: 1 in force; new: none; gone: {root}",
    ]


def test_an_empty_folder_means_nobody(folder: Path) -> None:
    """A readable folder without a file takes every anchor away."""
    files = AnchorFiles([], folder=folder)
    (folder / "root.pem").unlink()
    files.reload_if_changed()
    assert not files.trust.anchors


@pytest.mark.parametrize("there", [False, True], ids=["missing", "a file"])
def test_a_folder_that_is_none_stops_the_start(tmp_path: Path, there: bool) -> None:
    """A folder that is not there, or is none, is `ConfigurationError`."""
    if there:
        (tmp_path / "gone").write_bytes(ROOT.certificate_pem)
    with pytest.raises(ConfigurationError, match=r"gone: (No such file|Not a directory)"):
        AnchorFiles([], folder=tmp_path / "gone")


def test_a_folder_that_goes_away_keeps_the_last_good_set(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A mount that is lost is no decision: the anchors stay, and the log says so once."""
    files = AnchorFiles([], folder=folder)
    folder.rename(folder.with_name("elsewhere"))
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            files.reload_if_changed()
    assert in_force(files) == [der(ROOT)]
    assert len(caplog.records) == 1
    assert f"stay as they were: trust anchors cannot be taken from {folder}" in caplog.text
    folder.with_name("elsewhere").rename(folder)
    (folder / "root.pem").write_bytes(OTHER.certificate_pem)
    files.reload_if_changed()
    assert in_force(files) == [der(OTHER)]


def test_one_bad_file_keeps_the_whole_set(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """While one file is unusable nothing changes, neither for better nor for worse; each state is told once."""
    files = AnchorFiles([], folder=folder)
    (folder / "bad.pem").write_bytes(b"garbage")
    (folder / "other.pem").write_bytes(OTHER.certificate_pem)
    with caplog.at_level(logging.ERROR):
        files.reload_if_changed()
        files.reload_if_changed()
        assert len(caplog.records) == 1
        (folder / "root.pem").unlink()
        files.reload_if_changed()
        assert len(caplog.records) == 2
    assert in_force(files) == [der(ROOT)]
    (folder / "bad.pem").unlink()
    files.reload_if_changed()
    assert in_force(files) == [der(OTHER)]


def test_the_same_failure_again_is_told_again(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that was good in between has failed anew."""
    files = AnchorFiles([file])
    with caplog.at_level(logging.ERROR):
        for number in (1, 2):
            file.unlink()
            files.reload_if_changed()
            assert len(caplog.records) == number
            file.write_bytes(ROOT.certificate_pem)
            files.reload_if_changed()


def test_a_link_that_leads_nowhere_is_a_failure(folder: Path) -> None:
    """A dangling link is a file that cannot be read, not one that is not there."""
    (folder / "lost.pem").symlink_to(folder / "nowhere")
    with pytest.raises(ConfigurationError, match=r"lost\.pem: No such file"):
        AnchorFiles([], folder=folder)


def test_mounted_secrets(tmp_path: Path) -> None:
    """Files that are links through one hidden link are followed when that link is turned, as orchestrators do it."""
    for number, each in enumerate((ROOT, OTHER)):
        (tmp_path / f"..{number}").mkdir()
        (tmp_path / f"..{number}" / "ca.pem").write_bytes(each.certificate_pem)
    (tmp_path / "..data").symlink_to("..0")
    (tmp_path / "ca.pem").symlink_to("..data/ca.pem")
    files = AnchorFiles([], folder=tmp_path)
    assert in_force(files) == [der(ROOT)]
    (tmp_path / "..new").symlink_to("..1")
    (tmp_path / "..new").replace(tmp_path / "..data")
    files.reload_if_changed()
    assert in_force(files) == [der(OTHER)]


def test_a_file_that_is_written_in_place(file: Path) -> None:
    """The same length, the same age put back by hand: the file has changed all the same."""
    first, second = (Authority.create(name, now=TODAY, key="RSA-2048") for name in ("One", "Two"))
    assert len(first.certificate_pem) == len(second.certificate_pem)
    file.write_bytes(first.certificate_pem)
    files, before = AnchorFiles([file]), file.stat()
    time.sleep(0.02)  # the file system's clock ticks in between
    file.write_bytes(second.certificate_pem)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    files.reload_if_changed()
    assert in_force(files) == [der(second)]


@pytest.mark.parametrize("left", [0, 1], ids=["nothing", "half"])
def test_a_file_that_changes_while_it_is_read(file: Path, monkeypatch: pytest.MonkeyPatch, left: int) -> None:
    """What was read of it is not taken for the whole: the last good set stays until the next look."""
    files, pems = AnchorFiles([file]), [OTHER.certificate_pem, ROOT.certificate_pem]
    file.write_bytes(b"".join(pems))
    read_bytes = Path.read_bytes

    def read_while_written(path: Path) -> bytes:
        path.write_bytes(b"".join(pems[:left]))  # by somebody who has come so far
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", read_while_written)
    files.reload_if_changed()
    assert in_force(files) == [der(ROOT)]
    monkeypatch.undo()
    file.write_bytes(b"".join(pems))
    files.reload_if_changed()
    assert in_force(files) == [der(OTHER), der(ROOT)]


def test_what_changed_nothing_keeps_what_is_remembered(file: Path, folder: Path) -> None:
    """Files that were touched, or hold in other files what was there before, leave the set as it is."""
    files = AnchorFiles([file], folder=folder)
    before = files.trust.anchors
    os.utime(file)
    (folder / "root.pem").rename(folder / "renamed.pem")
    files.reload_if_changed()
    assert files.trust.anchors is before


async def test_others_are_served_while_many_files_are_looked_at(folder: Path) -> None:
    """While a thousand new files are read the event loop turns, and unchanged they are looked at in 50 ms of CPU."""
    authorities = [Authority.create(f"{number}", now=TODAY) for number in range(50)]
    files = AnchorFiles([], folder=folder)
    for number in range(1000):
        (folder / f"{number}.pem").write_bytes(authorities[number % 50].certificate_pem)
    following = asyncio.create_task(files.follow())
    turns = 0
    while not following.done():
        await asyncio.sleep(0)
        turns += 1
    assert len(files.trust.anchors.anchors) == 51
    assert turns > 20
    assert least(files.reload_if_changed) < 0.050


async def test_a_watch_does_not_end(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that fails in a way nobody thought of is not the last one."""
    files = AnchorFiles([file])
    look, failures = files._look, iter([True, True])

    def fail_twice() -> object:
        if next(failures, False):
            raise RuntimeError("unheard of")
        return look()

    monkeypatch.setattr(files, "_look", fail_twice)
    watching = asyncio.create_task(files.watch(0.005))
    file.write_bytes(OTHER.certificate_pem)
    async with asyncio.timeout(5):
        while in_force(files) != [der(OTHER)]:
            await asyncio.sleep(0.005)
    watching.cancel()


async def test_a_limit_without_its_anchor_is_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A limit for a key that no anchor has is a line in the log, at the start and when its anchor goes."""
    limits = {read(each).key_thumbprint: read_limit(dns=["a.example"]) for each in (ROOT, OTHER)}
    files = AnchorFiles([], folder=folder, limits=limits)
    assert files.trust.limits is limits
    with caplog.at_level(logging.WARNING):
        watching = asyncio.create_task(files.watch(60))
        await asyncio.sleep(0)
        assert [each.args for each in caplog.records] == [(read(OTHER).key_thumbprint,)]
        watching.cancel()
        caplog.clear()
        (folder / "root.pem").write_bytes(OTHER.certificate_pem)
        files.reload_if_changed()
    assert caplog.records[-1].args == (read(ROOT).key_thumbprint,)


def test_a_key_that_nobody_can_read(file: Path) -> None:
    """An anchor with a key of an unknown algorithm is refused, not stumbled over later."""
    strange = der(ROOT).replace(bytes.fromhex("06072a8648ce3d0201"), bytes.fromhex("06072a8648ce3d0209"))
    file.write_bytes(strange)
    with pytest.raises(ConfigurationError, match="public key"):
        AnchorFiles([file])
