"""certbound.core.errors: one tree, two texts for each refusal, and nothing on the wire that may not be there."""

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbound.core import errors
from certbound.core.errors import (
    CertboundError,
    InvalidClientMetadata,
    InvalidRequest,
    OAuthError,
    Refusal,
    describable,
)

DESCRIPTION = re.compile(r"[\x20-\x21\x23-\x5B\x5D-\x7E]*")
"""RFC 6749 section 5.2 and RFC 6750 section 3: what `error_description` and `error` may hold."""


def classes(root: type = CertboundError) -> Iterator[type]:
    """Every class of the tree."""
    for each in root.__subclasses__():
        if each.__module__ == errors.__name__:
            yield each
            yield from classes(each)


def refusals() -> list[type[Refusal]]:
    """Those that go to a peer, without the two that are only families."""
    return [each for each in classes() if issubclass(each, Refusal) and hasattr(each, "error")]


def made(kind: type[Refusal], reason: str = "why") -> Refusal:
    """One refusal of this class."""
    if issubclass(kind, InvalidClientMetadata):
        return kind("field", reason)
    if kind is errors.InsufficientScope:
        return errors.InsufficientScope(reason, required=frozenset({"read"}))
    if kind is errors.RequestRefused:
        return errors.RequestRefused(reason, error="invalid_request", description="what the client is told")
    return kind(reason)


@pytest.mark.parametrize("kind", refusals())
def test_what_goes_on_the_wire(kind: type[Refusal]) -> None:
    """Every `error` and `error_description` has only the characters that its RFC allows."""
    refusal = made(kind)
    assert DESCRIPTION.fullmatch(refusal.description)
    assert DESCRIPTION.fullmatch(refusal.error)
    assert 400 <= refusal.status < 600


@given(st.text(st.characters(exclude_categories=[])))
def test_any_text_becomes_describable(text: str) -> None:
    """Whatever a peer sent into a reason that is told back, the description stays within the RFC's characters."""
    assert DESCRIPTION.fullmatch(describable(text))
    assert DESCRIPTION.fullmatch(InvalidRequest(text).description)
    assert DESCRIPTION.fullmatch(InvalidClientMetadata("jwks", text).description)
    assert InvalidRequest(text).reason == text


@pytest.mark.parametrize("kind", refusals())
def test_two_texts(kind: type[Refusal]) -> None:
    """The reason is kept for the log; the description is the class's own, but where the form of the request is told."""
    refusal = made(kind, "the secret reason")
    assert "the secret reason" in refusal.reason
    tells = kind in {InvalidRequest, InvalidClientMetadata, errors.InvalidRedirectUri}
    assert ("secret" in refusal.description) is tells


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    """The tree that the module's docstring draws has the classes of the module, each under its parent."""
    drawn = dict(_drawn())
    there = {each.__name__: _drawn_parent(each) for each in classes() if each is not Refusal}
    assert drawn == {"CertboundError": "", **there}


def test_the_drawn_error_codes_are_those_of_the_classes() -> None:
    """Status and error code beside a class in the drawing are the class's own."""
    for kind in refusals():
        line = next(each for each in (errors.__doc__ or "").splitlines() if re.search(rf"\b{kind.__name__}\b", each))
        refusal = made(kind)
        assert str(refusal.status) in line
        if issubclass(kind, OAuthError):
            assert refusal.error in line


def _drawn() -> Iterator[tuple[str, str]]:
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"    ([│ ]*)(?:[├└]── )?([A-Z]\w+)", line):
            name = found.group(2)
            depth = 0 if "──" not in line else len(found.group(1)) // 4 + 1
            above[depth:] = [name]
            yield name, above[depth - 1] if depth else ""


def _drawn_parent(kind: type) -> str:
    """`Refusal` is not drawn: it is how refusals are made, not what is refused."""
    parent = kind.__bases__[0]
    return CertboundError.__name__ if parent is Refusal else parent.__name__
