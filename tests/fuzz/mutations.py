"""What is done to one node of a certificate: a table, each row a way that certificates go wrong or are made to."""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from random import Random

from fuzz.trees import Node, leaf, parent, raw

MOST_BYTES = 24 * 1024
"""Of everything that a peer can send in a handshake (`server.handshake_bytes`)."""

Splices = Sequence[Node]
"""Nodes of other certificates."""

_Mutation = Callable[[Random, Node, Splices], Sequence[Node]]


def mutate(rng: Random, node: Node, splices: Splices) -> Sequence[Node]:
    """What stands in the place of `node` afterwards."""
    mutation = (_FITTING[_kind(node)] if rng.random() < 0.8 else _any)(rng)
    return mutation(rng, node, splices)


def _kind(node: Node) -> str:
    if node.tag == 0x06:
        return "identifier"
    return "text" if node.children is None else "parent"


def twin(rng: Random, node: Node) -> Node:
    """The same text in another string type; `node` itself, if it is no text."""
    encoding = STRING_ENCODINGS.get(node.tag)
    if encoding is None or node.children is not None:
        return node
    try:
        text = node.content.decode(encoding)
    except UnicodeDecodeError:
        return node
    tag = rng.choice([tag for tag, encoding in STRING_ENCODINGS.items() if _is_encodable(text, tag, encoding)])
    return leaf(tag, text.encode(STRING_ENCODINGS[tag]))


def _is_encodable(text: str, tag: int, encoding: str) -> bool:
    if tag == NUMERIC_STRING and not set(text) <= set("0123456789 "):
        return False
    if tag == PRINTABLE_STRING and not set(text) <= _PRINTABLE:
        return False
    try:
        return text.encode(encoding).decode(encoding) == text
    except UnicodeError:
        return False


def _flip(rng: Random, node: Node, _: Splices) -> Sequence[Node]:
    content = bytearray(node.content or b"\0")
    for _time in range(rng.choice((1, 1, 1, 2, 5))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return [leaf(node.tag, bytes(content))]


def _as_twin(rng: Random, node: Node, _: Splices) -> Sequence[Node]:
    return [twin(rng, node)]


def _other_tag(rng: Random, node: Node, _: Splices) -> Sequence[Node]:
    if node.tag & 0xC0 == 0x80:
        tag = rng.randrange(9) | (node.tag & 0xE0 if rng.random() < 0.7 else rng.choice((0x80, 0xA0)))
    else:
        tag = rng.choice(_TAGS) if rng.random() < 0.9 else rng.randrange(256)
    return [leaf(tag, node.content)]


def _other_content(rng: Random, node: Node, _: Splices) -> Sequence[Node]:
    return [leaf(node.tag, rng.choice(CONTENTS))]


def _other_text(rng: Random, node: Node, _: Splices) -> Sequence[Node]:
    tag = rng.choice(tuple(STRING_ENCODINGS))
    text = rng.choice(TEXTS) * rng.choice((1, 1, 1, 1, 2, 30, 300))
    return [leaf(tag, text[:4000].encode(STRING_ENCODINGS[tag], errors="replace"))]


def _longer(rng: Random, node: Node, _: Splices) -> Sequence[Node]:
    size = rng.choice((64, 127, 128, 255, 256, 512, 513, 4096, 16_384))
    filler = rng.choice((node.content, node.content[:1], b"A", b"\0", b"\xff", "\u0344".encode(), "\ufdfa".encode()))
    return [leaf(node.tag, (node.content + (filler or b"\0") * size)[:size])]


def _cut(rng: Random, node: Node, _: Splices) -> Sequence[Node]:
    return [leaf(node.tag, node.content[: rng.randrange(len(node.content) + 1)])]


def _remove(_: Random, __: Node, ___: Splices) -> Sequence[Node]:
    return []


def _repeat(rng: Random, node: Node, _: Splices) -> Sequence[Node]:
    times = rng.choice((2, 2, 2, 3, 17, 65, 257, 1000, 3000))
    return [node] * max(2, min(times, MOST_BYTES // 2 // (len(node.encoded) or 1)))


def _count(rng: Random, node: Node, _: Splices) -> Sequence[Node]:
    """Many that are alike, each another."""
    times = min(rng.choice((3, 64, 65, 256, 257, 1000, 3000)), MOST_BYTES // 2 // (len(node.encoded) + 4))
    deepest = _with_content(node, lambda content, number: content + b"%d" % number)
    return [deepest(number) for number in range(times)]


def _with_content(node: Node, change: Callable[[bytes, int], bytes]) -> Callable[[int], Node]:
    """`node` with the content of its last leaf changed."""
    if not node.children:
        return lambda number: leaf(node.tag, change(node.content, number))
    last = _with_content(node.children[-1], change)
    before = node.children[:-1]
    return lambda number: parent(node.tag, (*before, last(number)))


def _reorder(rng: Random, node: Node, _: Splices) -> Sequence[Node]:
    if not node.children:
        return [leaf(node.tag, node.content[::-1])]
    children = list(node.children)
    if len({each.tag for each in children}) == 1 or rng.random() < 0.1:
        rng.shuffle(children)
    return [parent(node.tag, children)]


def _empty(_: Random, node: Node, __: Splices) -> Sequence[Node]:
    return [leaf(node.tag, b"")]


def _splice_alike(rng: Random, node: Node, splices: Splices) -> Sequence[Node]:
    alike = [each for each in rng.sample(splices, 24) if _shape(each) == _shape(node)]
    return [alike[0] if alike else node]


def _shape(node: Node) -> tuple[int, ...]:
    return (node.tag, *(each.tag for each in (node.children or ())[:2]))


def _splice(rng: Random, node: Node, splices: Splices) -> Sequence[Node]:
    alike = [each for each in rng.sample(splices, 12) if each.tag == node.tag]
    return [alike[0] if alike else rng.choice(splices)]


def _splice_beside(rng: Random, node: Node, splices: Splices) -> Sequence[Node]:
    [other] = _splice(rng, node, splices)
    return [node, other] if rng.random() < 0.5 else [other, node]


def _odd_length(rng: Random, node: Node, _: Splices) -> Sequence[Node]:
    """Not minimal, indefinite, too long, too short: what BER allows and what nothing does."""
    content, tag = node.content, bytes([node.tag])
    length = len(content)
    return [
        raw(
            rng.choice(
                (
                    tag + b"\x81" + bytes([length & 0xFF]) + content,
                    tag + b"\x84" + length.to_bytes(4, "big") + content,
                    tag + b"\x80" + content + b"\0\0",
                    tag + b"\x84\xff\xff\xff\xff" + content,
                    tag + b"\x88" + b"\xff" * 8 + content,
                    tag + b"\xff" + content,
                    bytes([node.tag, (length + 1) & 0x7F]) + content,
                    bytes([node.tag, max(length - 1, 0) & 0x7F]) + content,
                )
            )
        )
    ]


def _multi_byte_tag(rng: Random, node: Node, _: Splices) -> Sequence[Node]:
    tag = rng.choice((b"\x1f\x81\x00", b"\x3f" + b"\xff" * 9 + b"\x7f", b"\x1f\x0c", b"\xbf\x87\xff\x7f"))
    return [raw(tag + node.encoded[1:])]


def _huge_integer(rng: Random, _: Node, __: Splices) -> Sequence[Node]:
    size = rng.choice((1, 8, 9, 20, 21, 64, 512, 2048, 16_384))
    return [leaf(0x02, rng.choice((b"\x7f", b"\xff", b"\x80", b"\0", b"")) + rng.randbytes(size))]


def _deep(rng: Random, node: Node, _: Splices) -> Sequence[Node]:
    tag = rng.choice((0x30, 0x31, 0xA0, 0xA4, 0x24, node.tag | 0x20))
    encoded = node.encoded
    for _time in range(rng.choice((1, 2, 5, 30, 100, 1000, 3000))):
        if len(encoded) > MOST_BYTES // 2:
            break
        encoded = parent(tag, [raw(encoded)]).encoded
    return [raw(encoded)]


def _identifier(rng: Random, _: Node, __: Splices) -> Sequence[Node]:
    return [leaf(0x06, rng.choice(IDENTIFIERS))]


def _time(rng: Random, _: Node, __: Splices) -> Sequence[Node]:
    tag, text = rng.choice(TIMES)
    return [leaf(tag, text)]


def _boolean(rng: Random, _: Node, __: Splices) -> Sequence[Node]:
    return [leaf(0x01, rng.choice((b"\xff", b"\0", b"\x01", b"", b"\xff\xff")))]


NUMERIC_STRING, PRINTABLE_STRING = 0x12, 0x13
STRING_ENCODINGS: Mapping[int, str] = {
    0x0C: "utf-8",
    NUMERIC_STRING: "ascii",
    PRINTABLE_STRING: "ascii",
    0x14: "latin-1",
    0x16: "ascii",
    0x1A: "ascii",
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}
_PRINTABLE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 '()+,-./:=?")
_TAGS = (*STRING_ENCODINGS, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0A, 0x0D, 0x17, 0x18, 0x19, 0x1B, 0x1D, 0x30, 0x31)

TEXTS: tuple[str, ...] = (
    "", " ", "  a  b  ", "client", "CLIENT", "client.example", "client\0", "\0", "client\0.evil.example", "*.example",
    "*", "client.example.", ".example", "xn--", "xn--zzzzzzzzzzzz", "xn--bcher-kva.example", "bücher.example", "a" * 64,
    "https://client.example/a", "https://client.example:8/a?b#c", "https://[::1]", "https://[v1.x]/", "//", "a:", ":a",
    "spiffe://trust.example/workload", "spiffe://trust.example/../a", "spiffe://", "urn:a", "who@client.example", "@",
    "who@who@client.example", "192.0.2.1", "::1", "(null)", "*)(uid=*", "'; drop", "\r\nX: y", "\x1b[2J", "\u202ea",
    "\u0344", "a\u0316\u0344", "\ufdfa", "\U0001d164", "ß", "ſ", "ı", "İ", "Σς", "\u212a", "\u0149", "ﬃ", "ａ", "\xad",
    "\u200b", "\ufffd", "\ufeff", "\u20b9", "\ud7ff", "\ue000", "\U0010ffff", "\x7f", "\x80", "#30", "\\", '"',
    ",+;=<>",
    "CN=client", "/CN=client", "CN=#0c00", "1.2.3=a", "oid.2.5.4.3", "\ua7f0", "\U00031350", "가각",
    "\u1100\u1161\u11a8",
)  # fmt: skip
CONTENTS: tuple[bytes, ...] = (
    b"", b"\0", b"\0\0", b"\xff", b"\x80", b"\xff" * 16, b"\0" * 16, b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
    b"\xfe\xff\0a", b"\xd8\x00", b"\xd8\x00\xdc\x00", b"\x00\x11\x00\x00", b"\xff\xff\xff\xff", b"\xc0\x00\x02\x01",
    b"\0" * 10 + b"\xff\xff\xc0\0\x02\x01", b"\xc0\x00\x02", b"\x30\x00", b"\x31\x00", b"\x05\x00",
    b"\x30\x80", b"\x01",
    unicodedata.normalize("NFD", "é").encode(), b"\x07\x80", b"\x00\x80", b"\x02\x01\x00", b"\x04\x02\x30\x00",
)  # fmt: skip
IDENTIFIERS: tuple[bytes, ...] = (
    b"", b"\x80", b"\x55", b"\x55\x04\x03", b"\x55\x1d\x11", b"\x55\x1d\x13", b"\x55\x1d\x25", b"\x55\x1d\x1e",
    b"\x55\x1d\x0f", b"\x55\x1d\x20", b"\x55\x1d\x24", b"\x55\x1d\x36", b"\x55\x1d\x1f", b"\x55\x1d\x23",
    b"\x55\x1d\x09",
    b"\x80\x55\x04\x03", b"\x55\x04\x80\x03", b"\x55\x04\x83", b"\xff" * 8 + b"\x7f", b"\xff" * 30 + b"\x7f",
    b"\xff" * 62 + b"\x7f", b"\xff" * 63 + b"\x7f", b"\xff" * 4000 + b"\x7f", b"\x01" * 63, b"\x01" * 64, b"\x7f",
    bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010101"), bytes.fromhex("2a864886f70d01010a"),
    bytes.fromhex("2b6570"), bytes.fromhex("2a8648ce3d040302"), bytes.fromhex("2b06010505070308"),
    bytes.fromhex("2b06010505070302"), bytes.fromhex("551d2500"), bytes.fromhex("2b06010505070101"),
    bytes.fromhex("2b060105050701030a"), bytes.fromhex("2b06010401d679020402"), bytes.fromhex("2b0601050507010c"),
)  # fmt: skip
TIMES: tuple[tuple[int, bytes], ...] = (
    (0x17, b"300601110000Z"), (0x17, b"500101000000Z"), (0x17, b"491231235959Z"), (0x17, b"3006011100Z"),
    (0x17, b"300601110060Z"), (0x17, b"300601110000+0100"), (0x17, b"000000000000Z"), (0x17, b"300230000000Z"),
    (0x18, b"20300601110000Z"), (0x18, b"99991231235959Z"), (0x18, b"00000101000000Z"), (0x18, b"00010101000000Z"),
    (0x18, b"20500101000000Z"), (0x18, b"20300601110000.5Z"), (0x18, b"20491231235959Z"), (0x18, b"30000101000000Z"),
    (0x17, b""), (0x18, b"\0" * 15), (0x18, b"19500101000000Z"), (0x18, b"18990101000000Z"),
)  # fmt: skip

# What usually leaves a certificate one, by the kind of node.
_OF_TEXT: Mapping[_Mutation, float] = {
    _as_twin: 14, _other_text: 14, _flip: 6, _other_tag: 6, _other_content: 5, _longer: 6, _cut: 2, _empty: 2,
    _splice_alike: 8,
}  # fmt: skip
_OF_IDENTIFIERS: Mapping[_Mutation, float] = {_splice_alike: 10, _identifier: 4}
_OF_PARENTS: Mapping[_Mutation, float] = {_repeat: 5, _count: 3, _reorder: 6, _splice_alike: 10, _remove: 8}
_ANY: Mapping[_Mutation, float] = {
    **_OF_TEXT, **_OF_IDENTIFIERS, **_OF_PARENTS,
    _flip: 10, _splice: 8, _splice_beside: 6, _odd_length: 3, _multi_byte_tag: 1, _huge_integer: 2, _deep: 2, _time: 2,
    _boolean: 2,
}  # fmt: skip


def _choice(table: Mapping[_Mutation, float]) -> Callable[[Random], _Mutation]:
    rows, weights = tuple(table), tuple(table.values())
    return lambda rng: rng.choices(rows, weights)[0]


_any = _choice(_ANY)
_FITTING: Mapping[str, Callable[[Random], _Mutation]] = {
    "text": _choice(_OF_TEXT), "identifier": _choice(_OF_IDENTIFIERS), "parent": _choice(_OF_PARENTS),
}  # fmt: skip
