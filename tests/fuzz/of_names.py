"""Distinguished names alone, as DER and as the text that somebody registers; and texts of the other kinds of name.

Rule: what is read is written as a text that is read back as the same name, whatever it is.
"""

import contextlib
from collections.abc import Mapping
from random import Random

from certbound.core.errors import InvalidClientMetadata
from certbound.core.names import BadName, DistinguishedName, NameStyle, format_name, parse_name, read_name
from certbound.core.subject import MAX_TEXT, RdnOrder, Subject, SubjectKind
from fuzz import corpus
from fuzz.mutations import TEXTS, mutate
from fuzz.of_certificates import check_twins, check_writing
from fuzz.trees import changed, paths

Made = bytes | str


class Names:
    """A Name, or a text."""

    name = "names"
    at_least: Mapping[str, float] = {"name": 0.4, "registered": 0.15}
    most_cpu = 0.020

    def make(self, rng: Random) -> Made:
        return _text(rng) if rng.random() < 0.5 else _name(rng)

    def show(self, made: Made) -> tuple[bytes, ...]:
        return (made.encode(errors="surrogatepass") if isinstance(made, str) else made,)

    def feed(self, made: Made) -> tuple[DistinguishedName | None, list[Subject]]:
        read, registered = None, []
        with contextlib.suppress(BadName):
            read = read_name(made) if isinstance(made, bytes) else parse_name(made)
        if isinstance(made, bytes):
            for style in NameStyle:
                try:
                    format_name(made, style)
                except BadName:
                    assert read is None or style is not NameStyle.RFC4514
        else:
            for kind in SubjectKind:
                with contextlib.suppress(InvalidClientMetadata):
                    registered.append(Subject.registered(kind, made, order=_ORDERS.get(kind, RdnOrder.EXACT)))
        return read, registered

    def check(self, made: Made, fed: tuple[DistinguishedName | None, list[Subject]], rng: Random) -> set[str]:
        read, registered = fed
        if read is not None and isinstance(made, bytes):
            check_writing(rng, made, read)
            check_twins(rng, made, read)
        names = [each for each in registered if each.kind is SubjectKind.DN]
        assert bool(names) == (isinstance(made, str) and bool(read) and len(made) <= MAX_TEXT)
        return ({"name"} if read is not None else set()) | ({"registered"} if registered else set())


def _name(rng: Random) -> bytes:
    tree = rng.choice(_SUBJECTS)
    where = list(paths(tree))
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        tree = changed(tree, rng.choice(where), lambda node: mutate(rng, node, corpus.splices()))
    return tree.encoded


def _text(rng: Random) -> str:
    text = rng.choice(_TEXTS)
    for _ in range(rng.choice((1, 1, 2, 4))):
        start = rng.randrange(len(text) + 1)
        end = start + rng.choice((0, 0, 1, 1, 3, 20))
        put = rng.choice((*TEXTS, *_MARKS, chr(rng.randrange(0x80)), chr(rng.randrange(0x110000)), ""))
        text = text[:start] + put * rng.choice((1, 1, 1, 2, 70)) + text[end:]
    if rng.random() < 0.05:
        text = (text + rng.choice(",+;")) * rng.choice((2, 3, 65, 300))
    return text[:MAX_TEXT]


_SUBJECTS = tuple(each.tree.children[5] for each in corpus.seeds_of(corpus.ROOT) if each.tree.children)
_TEXTS = (
    *(format_name(each.encoded) for each in _SUBJECTS if len(each.encoded) < 1000),
    'cn="a, b" , OID.2.5.4.10=#0c0161;C=CZ', "CN=a\\,b\\+c\\20+SN=\\C3\\A9,2.5.4.97=PSD", "/C=CZ/O=Example/CN=client",
    corpus.DNS, corpus.URI, corpus.IP, corpus.EMAIL, corpus.SPIFFE, "2001:db8::1", "https://[2001:db8::1]:8/a",
)  # fmt: skip
_MARKS = (
    ",",
    "+",
    ";",
    "=",
    "#",
    '"',
    "\\",
    "\\5C",
    "\\zz",
    "#0c",
    " ",
    "/",
    "CN=",
    "2.5.4.3=",
    "OID.",
    "@",
    ".",
    ":",
    "%",
)
_ORDERS = {SubjectKind.DN: RdnOrder.ANY}
