"""`certbound.client.watching`: an identity in files that somebody renews, however clumsily."""

import logging
from pathlib import Path

import pytest

from certbound.client import IdentityUnusable, WatchedIdentity
from certbound.core.certificate import thumbprint
from certbound.trust.authority import Issued, self_signed


class Place:
    """Files, and a clock that a test sets."""

    def __init__(self, folder: Path) -> None:
        self.certificate, self.key, self.now = folder / "a.pem", folder / "a.key", 0.0

    def write(self, issued: Issued, *, key: bool = True, certificate: bool = True) -> None:
        """By a rename, as a careful program does it."""
        for file, content, wanted in (
            (self.certificate, issued.chain_pem, certificate),
            (self.key, issued.key_pem, key),
        ):
            if wanted:
                new = file.with_suffix(".new")
                new.write_bytes(content)
                new.rename(file)

    def watch(self) -> WatchedIdentity:
        return WatchedIdentity(self.certificate, self.key, clock=lambda: self.now)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


ONE, TWO = self_signed("CN=one"), self_signed("CN=two")


def test_renewed_files_are_read_within_a_second(place: Place) -> None:
    """Not before: the files are looked at once a second, whoever asks however often."""
    place.write(ONE)
    watched = place.watch()
    before = watched.current()
    place.write(TWO)
    place.now = 0.9
    assert watched.current() is before
    place.now = 1.1
    assert watched.current().thumbprint == thumbprint(TWO.der)
    assert watched.current() is watched.current()


def test_what_did_not_change_is_the_same_object(place: Place) -> None:
    """Even if it was written again."""
    place.write(ONE)
    watched = place.watch()
    before = watched.current()
    place.write(ONE)
    place.now = 5
    assert watched.current() is before


def test_half_of_a_renewal_changes_nothing(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """A certificate without its key: the old identity stays, it is said once, and the other half completes it."""
    place.write(ONE)
    watched = place.watch()
    place.write(TWO, key=False)
    with caplog.at_level(logging.WARNING):
        for place.now in (2, 4, 6):
            assert watched.current().thumbprint == thumbprint(ONE.der)
    [said] = caplog.records
    assert "does not belong to the client certificate" in said.getMessage()
    place.write(TWO, certificate=False)
    place.now = 8
    assert watched.current().thumbprint == thumbprint(TWO.der)


def test_two_programs_that_renew_at_once(place: Place) -> None:
    """One's certificate beside the other's key is no identity; whoever writes both last decides."""
    other = self_signed("CN=three")
    place.write(ONE)
    watched = place.watch()
    place.write(TWO)
    place.write(other, key=False)
    place.now = 2
    assert watched.current().thumbprint == thumbprint(ONE.der)
    place.write(other)
    place.now = 4
    assert watched.current().thumbprint == thumbprint(other.der)


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN CERTIFICATE-----\n"])
def test_files_that_are_gone_or_cut_off(place: Place, content: bytes | None) -> None:
    """The identity in memory is good enough until they are back."""
    place.write(ONE)
    watched = place.watch()
    if content is None:
        place.certificate.unlink()
    else:
        place.certificate.write_bytes(content)
    place.now = 2
    assert watched.current().thumbprint == thumbprint(ONE.der)
    place.write(TWO)
    place.now = 4
    assert watched.current().thumbprint == thumbprint(TWO.der)


def test_at_the_start_there_is_nothing_to_fall_back_on(place: Place) -> None:
    """Files that hold no identity are an error, and so is a key that OpenSSL will not use."""
    place.write(ONE)
    place.write(TWO, key=False)
    with pytest.raises(IdentityUnusable, match="does not belong"):
        place.watch()
