"""Names that strangers gave, as people may see them: on one line, of bounded size, moving nothing around them.

Rule 1: what is not printable is escaped, as everywhere (`core.display`), but for joiners that a script needs.
Rule 2: what is printable and yet not seen (fillers, blanks) is escaped too; a name cannot be empty.
Rule 3: no more marks stand over one letter than a language needs, and no name is longer than a line or two.
The words around are guarded by `<bdi>`, which the templates and `Words.say` put around every name.
"""

import unicodedata

import idna

from certbound.core.display import shown
from certbound.server.pages.views import Asking

MAX_NAME = 100
MAX_LINE = 300
"""Characters: of a name, and of what must be seen to its end, as a host."""
MAX_MARKS = 4
"""Over one letter: Vietnamese needs two, Hebrew and Thai three, Tibetan four."""


def shown_name(text: str, most: int = MAX_NAME) -> str:
    """`text`, which may be anybody's, for people to read, in at most `most` characters."""
    cut = text[: 2 * most]
    if cut.isascii() and cut.isprintable():
        name = " ".join(cut.split())
    else:
        name = " ".join("".join(_letters(unicodedata.normalize("NFC", cut))).split())
    if len(name) > most or len(text) > len(cut):
        return name[: most - 1] + "…"
    return name


def app_name(asking: Asking) -> str:
    """What a client calls itself; its id where that says nothing."""
    return shown_name(asking.name) or shown_name(asking.client_id)


def _letters(text: str) -> list[str]:
    """Each character as it is shown."""
    letters: list[str] = []
    marks = 0
    for position, character in enumerate(text):
        category = unicodedata.category(character)
        marks = marks + 1 if category in _MARKS else 0
        if category == "Zs":
            letters.append(" ")
        elif character in _UNSEEN or 0xE0100 <= ord(character) <= 0xE01EF:
            letters.append(_escaped(character))
        elif character in _JOINERS:
            letters.append(character if _joins(text, position) else _escaped(character))
        elif marks <= MAX_MARKS:
            letters.append(shown(character))
    return letters


def _joins(text: str, position: int) -> bool:
    """Whether a joiner changes how its neighbours are written (RFC 5892 appendix A.1 and A.2)."""
    try:
        return idna.valid_contextj(text, position)
    except ValueError:  # a neighbour that has no name
        return False


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


_MARKS = frozenset({"Mn", "Me"})
_JOINERS = frozenset("\u200c\u200d")
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\U0001d159")
"""Of the printable characters those that show nothing (Default_Ignorable_Code_Point, and two blanks)."""
