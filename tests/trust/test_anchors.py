"""certbound.trust.anchors: sets of anchors, by key (R32)."""

import pytest

from certbound.trust.anchors import Anchors
from certbound.trust.authority import Authority
from certificates import TODAY, anchors, read

ONE = Authority.create("Root", now=TODAY)
SAME_NAME = Authority.create("Root", now=TODAY)
SAME_KEY = Authority.create("Renewed", now=TODAY, key=ONE.private_key)
MIDDLE = ONE.subordinate("M", now=TODAY)


def test_keys_are_those_of_the_anchors() -> None:
    """An intermediate is no anchor; a renewed certificate of a key is the same key."""
    both = anchors(ONE, SAME_KEY, SAME_NAME, intermediates=[MIDDLE])
    assert both.keys == {read(ONE).key_thumbprint, read(SAME_NAME).key_thumbprint}
    assert Anchors().keys == frozenset()


def test_only_some_keys() -> None:
    """Narrowed by key, never by name; the intermediates stay."""
    narrow = anchors(ONE, SAME_NAME, SAME_KEY, intermediates=[MIDDLE]).only({read(ONE).key_thumbprint})
    assert narrow == anchors(ONE, SAME_KEY, intermediates=[MIDDLE])
    assert not narrow.only({read(SAME_NAME).key_thumbprint, read(MIDDLE).key_thumbprint})


@pytest.mark.parametrize("gone", [ONE, MIDDLE])
def test_without_some_keys(gone: Authority) -> None:
    """What has one of the keys is gone, anchor or intermediate."""
    left = anchors(ONE, SAME_NAME, SAME_KEY, intermediates=[MIDDLE]).without({read(gone).key_thumbprint})
    key = read(gone).key_thumbprint
    assert key not in {each.key_thumbprint for each in (*left.anchors, *left.intermediates)}
    assert len(left.anchors) + len(left.intermediates) == (2 if gone is ONE else 3)
