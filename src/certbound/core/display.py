"""Text of others, shown and never run: a name in a certificate must not move a cursor or forge a second line.

And text that may hold what nobody should read: tokens, secrets and keys keep their kind and lose the rest.
"""

import re


def shown(text: str) -> str:
    """`text` on one line: what is not printable (controls, escape codes, bidi marks, half characters) is escaped."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def hash_name(digest: str) -> str:
    """By which people call what is known by its hash: eight characters that open nothing, none of them a dash at the
    start, which a command would take for an option.
    """
    return digest.lstrip("-")[:8]


def redacted(text: str) -> str:
    """`text` without the tokens, secrets, keys and certificates that may stand in it, whoever put them there."""
    if not _may_hold_secrets(text):
        return text
    return _SECRET.sub(lambda found: f"{next(filter(None, found.groups()))}…", text)


def bounded(text: str, most: int) -> str:
    """`text`, `redacted` and `shown`, in at most `most` characters."""
    if len(text) <= most and text.isprintable() and not _may_hold_secrets(text):  # nearly always
        return text
    # Cut before as well, so that a megabyte is not searched; a secret at the cut loses its end and keeps its kind.
    text = shown(redacted(text[: 4 * most]))
    return text if len(text) <= most else text[: most - 1] + "…"


def _may_hold_secrets(text: str) -> bool:
    """Hardly ever, and soon found out."""
    return "cb" in text or "eyJ" in text or "-----" in text


_SECRET = re.compile(
    r"\b(cb[a-z]{2}_)[A-Za-z0-9_-]+"  # tokens and secrets of this server
    r"|(?<![A-Za-z0-9_-])(eyJ)[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*)*"  # a JOSE header and what follows it
    r"|(-----BEGIN )(?:(?!-----END ).)*(?:-----END [A-Z0-9 ]*(?:-----)?)?",
    re.DOTALL,
)
