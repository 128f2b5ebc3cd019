"""DER as trees that can be changed anywhere and written again; what is written need not be DER any more.

Rule: a node is immutable and keeps its bytes, so a change costs as much as the path to it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

Path = tuple[int, ...]
"""Which child, and of that which child."""

OCTET_STRING, SEQUENCE, SET = 0x04, 0x30, 0x31
_CONSTRUCTED = 0x20
_DEEPEST = 24


@dataclass(frozen=True, slots=True)
class Node:
    """A value.  `children` is None for what has none; an OCTET STRING that holds one value has it as its child."""

    tag: int
    content: bytes
    children: "tuple[Node, ...] | None"
    encoded: bytes


def leaf(tag: int, content: bytes) -> Node:
    """A value without children."""
    return Node(tag, content, None, header(tag, len(content)) + content)


def parent(tag: int, children: Sequence[Node]) -> Node:
    """A value that holds others."""
    content = b"".join([each.encoded for each in children])
    return Node(tag, content, tuple(children), header(tag, len(content)) + content)


def raw(encoded: bytes) -> Node:
    """Any bytes in the place of a value."""
    return Node(0, encoded, None, encoded)


def header(tag: int, length: int) -> bytes:
    """Tag and minimal length."""
    if length < 0x80:
        return bytes((tag, length))
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets


def parse(data: bytes) -> Node:
    """The one value in `data`, which is DER.  `ValueError` if it is not."""
    [node] = _values(data, 0)
    return node


def paths(node: Node, here: Path = ()) -> Iterator[Path]:
    """The way to every node below and including this one."""
    yield here
    for index, child in enumerate(node.children or ()):
        yield from paths(child, (*here, index))


def at(node: Node, path: Path) -> Node:
    """The node at `path`, or the last one on it that is there."""
    for index in path:
        if not node.children or index >= len(node.children):
            break
        node = node.children[index]
    return node


def changed(node: Node, path: Path, change: Callable[[Node], Sequence[Node]]) -> Node:
    """The tree in which others, perhaps none, stand in the place of the node at `path`."""
    if not path or not node.children or path[0] >= len(node.children):
        made = change(node)
        return made[0] if made else node
    index = path[0]
    child = node.children[index]
    if len(path) > 1 and child.children and path[1] < len(child.children):
        between: Sequence[Node] = [changed(child, path[1:], change)]
    else:
        between = change(child)
    return parent(node.tag, (*node.children[:index], *between, *node.children[index + 1 :]))


def _values(data: bytes, depth: int) -> list[Node]:
    found, position = [], 0
    while position < len(data):
        tag, length, start = data[position], data[position + 1], position + 2
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(data[position + 2 : start], "big")
        end = start + length
        content = data[start:end]
        if tag & 0x1F == 0x1F or header(tag, length) != data[position:start] or len(content) != length:
            raise ValueError("not DER")
        found.append(Node(tag, content, _children(tag, content, depth), data[position:end]))
        position = end
    return found


def _children(tag: int, content: bytes, depth: int) -> tuple[Node, ...] | None:
    if depth > _DEEPEST or not (tag & _CONSTRUCTED or tag == OCTET_STRING):
        return None
    try:
        children = _values(content, depth + 1)
    except (ValueError, IndexError):
        return None
    return tuple(children) if tag != OCTET_STRING or len(children) == 1 else None
