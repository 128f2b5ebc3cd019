"""Writes the table of `certbound.core._repertoire`: run it with a Python whose `unicodedata` is Unicode 14 (3.11).

python tests/vectors/make_repertoire.py
"""

import sys
import textwrap
import unicodedata

MAPPED = {0xAD, 0x200B}
"""Format characters that RFC 4518 maps to nothing and that are no control function: SOFT HYPHEN, ZERO WIDTH SPACE."""


def is_comparable(code: int) -> bool:
    """Assigned, and neither a control, a format character, a surrogate, private, REPLACEMENT CHARACTER, nor a tag."""
    if code in MAPPED:
        return True
    if code == 0xFFFD or code >= 0xE0000:  # beyond: tags, and variation selectors that RFC 4518 does not map
        return False
    return unicodedata.category(chr(code)) not in {"Cc", "Cf", "Cn", "Co", "Cs"}


def runs() -> list[int]:
    """Lengths of runs, by turns of code points that are not comparable and of those that are, from U+0000 on."""
    lengths, state = [0], False
    for code in range(sys.maxunicode + 1):
        if is_comparable(code) is not state:
            state = not state
            lengths.append(0)
        lengths[-1] += 1
    return lengths if state else lengths[:-1]


def table() -> str:
    """The lines of the table."""
    return "\n".join(textwrap.wrap(" ".join(f"{length:x}" for length in runs()), 118))


if __name__ == "__main__":
    print(table())
