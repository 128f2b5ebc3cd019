"""Text of others, shown and never run: a name in a certificate must not move a cursor or forge a second line."""


def shown(text: str) -> str:
    """`text` on one line: what is not printable (controls, escape codes, bidi marks, half characters) is escaped."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
