"""What pages say, by language: TOML files of ours, and those of a deployment, which stand for what we say.

Rule 1: no text stands in a template, and no markup in a text: a text is escaped, and so is what fills it.
Rule 2: a translation that names a text we do not have, or loses or invents a `{word}`, stops the start.
Rule 3: what a language of the deployment leaves out is said in English.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from certbound.core.errors import ConfigurationError
from certbound.server.pages.names import shown_name

ENGLISH = "en"
MAX_TAG = 64
"""Characters of a language tag; what follows is not looked at."""
MAX_RANGES = 20
"""Of the languages that a request names, so many are looked at."""

Pieces = tuple[tuple[str, str], ...]
"""A text in parts: what stands there, and the word that follows it, which is empty at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The texts of one language, by `table.key`."""

    tag: str
    direction: str
    texts: Mapping[str, Pieces]
    scopes: Mapping[str, str]
    """What a scope lets a client do."""
    months: Sequence[str]
    borrowed: frozenset[str] = frozenset()
    """What is said in English because nobody said it in this language."""

    def say(self, key: str, **names: object) -> Markup:
        """The text with `names`, each kept from moving what stands around it."""
        said = Markup("").join(
            Markup("{}{}").format(text, _isolated(names[word]) if word else "") for text, word in self.texts[key]
        )
        return self._as_it_is(key, said)

    def say_plainly(self, key: str, **names: object) -> str:
        """The same where no markup can stand."""
        return "".join(
            text + (f"\u2068{shown_name(str(names[word]))}\u2069" if word else "") for text, word in self.texts[key]
        )

    def scope(self, word: str) -> Markup:
        """What the scope lets a client do; the word itself where nobody said it."""
        said = self.scopes.get(word)
        return self._as_it_is(SCOPES + word, escape(said)) if said else _isolated(word)

    def _as_it_is(self, key: str, said: Markup) -> Markup:
        """A text of another language says which it is (WCAG 2.2, 3.1.2)."""
        return Markup('<span lang="en" dir="ltr">{}</span>').format(said) if key in self.borrowed and said else said

    def date(self, at: float) -> Markup:
        """The day, UTC."""
        day = datetime.fromtimestamp(at, UTC)
        parts = {"day": str(day.day), "month": self.months[day.month - 1], "year": str(day.year)}
        said = "".join(text + parts.get(word, "") for text, word in self.texts["date.format"])
        return Markup('<time datetime="{}" dir="auto">{}</time>').format(day.date().isoformat(), said)


def read_words(folder: Path | None) -> Mapping[str, Words]:
    """By lower-case tag: ours, and what `folder` says.  `ConfigurationError` names the file and the text."""
    ours = {_tag(name).lower(): (_tag(name), _parse(name, text)) for name, text in _own_files()}
    english = ours[ENGLISH][1]
    given = {}
    for path in _files_in(folder):
        translation = _parse(str(path), _read(path))
        _check(path, translation, english)
        given[path.stem.lower()] = path.stem, translation
    told = {**english, **given.get(ENGLISH, ("", {}))[1]}  # stands for what others leave out
    made = {}
    for tag in ours | given:
        own = {key: value for layer in (ours, given) if tag in layer for key, value in layer[tag][1].items()}
        made[tag] = _words((given.get(tag) or ours[tag])[0], own, told)
    return made


def choose(languages: Mapping[str, Words], asked: Sequence[str], accepted: str) -> Words:
    """The first of `asked`, then of what the header Accept-Language says, that there is; else English."""
    for each in (*asked[:MAX_RANGES], *_by_weight(accepted)):
        tag = each[:MAX_TAG].lower()
        while tag:  # RFC 4647 section 3.4: cs-CZ, then cs
            if tag in languages:
                return languages[tag]
            tag = tag.rpartition("-")[0]
    return languages[ENGLISH]


def _by_weight(accepted: str) -> list[str]:
    """RFC 9110 section 12.5.4: the heaviest first, those not wanted at all not there."""
    weighed = []
    for each in accepted[:1000].split(",")[:MAX_RANGES]:
        found = _RANGE.fullmatch(each.strip())
        if found and (weight := float(found["weight"] or 1)):
            weighed.append((weight, found["tag"]))
    return [tag for weight, tag in sorted(weighed, key=lambda each: -each[0])]


def _tag(file_name: str) -> str:
    return file_name.removesuffix(".toml")


def _isolated(name: object) -> Markup:
    return name if isinstance(name, Markup) else Markup("<bdi>{}</bdi>").format(shown_name(str(name)))


def _own_files() -> Iterable[tuple[str, str]]:
    folder = files(__package__) / "locales"
    return sorted((each.name, each.read_text("utf-8")) for each in folder.iterdir() if each.name.endswith(".toml"))


def _files_in(folder: Path | None) -> Sequence[Path]:
    if folder is None:
        return ()
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is no folder of translations")
    found = sorted(folder.glob("*.toml"))
    for path in found:
        if not _TAG.fullmatch(path.stem):
            raise ConfigurationError(f"{path}: the name of a translation is the tag of its language, as in cs.toml")
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error


def _parse(name: str, text: str) -> Mapping[str, Any]:
    """`table.key` to what stands there; a scope may have a dot in its name."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{name} is no TOML: {error}") from error
    flat: dict[str, Any] = {}
    for table, content in document.items():
        if isinstance(content, dict):
            flat |= {f"{table}.{key}": value for key, value in content.items()}
        else:
            flat[table] = content
    return flat


def _check(path: Path, translation: Mapping[str, Any], english: Mapping[str, Any]) -> None:
    """Rule 2."""
    for key, value in translation.items():
        if key == "direction":
            if value not in {"ltr", "rtl"}:
                raise ConfigurationError(f'{path}: direction must be "ltr" or "rtl"')
        elif key == "date.months":
            if not (isinstance(value, list) and len(value) == 12 and all(isinstance(each, str) for each in value)):
                raise ConfigurationError(f"{path}: date.months must be twelve names")
        elif not isinstance(value, str):
            raise ConfigurationError(f"{path}: {key} must be a text")
        elif not key.startswith(SCOPES):
            _check_text(path, key, value, english)


def _check_text(path: Path, key: str, value: str, english: Mapping[str, Any]) -> None:
    if key not in english:
        raise ConfigurationError(f"{path}: there is no text {key}")
    words, due = sorted(_WORD.findall(value)), sorted(_WORD.findall(english[key]))
    for word in due:
        if word not in words:
            raise ConfigurationError(f"{path}: {key} must say {{{word}}}")
    if words != due:
        raise ConfigurationError(f"{path}: {key} may say {{{'}, {'.join(due)}}} once, and no other word in braces")


def _words(tag: str, own: Mapping[str, Any], english: Mapping[str, Any]) -> Words:
    spoken = {**english, **own}
    return Words(
        tag=tag,
        direction=spoken["direction"],
        texts={
            key: _pieces(value)
            for key, value in spoken.items()
            if isinstance(value, str) and not key.startswith(SCOPES) and key != "direction"
        },
        scopes={key.removeprefix(SCOPES): value for key, value in spoken.items() if key.startswith(SCOPES)},
        months=spoken["date.months"],
        borrowed=frozenset(spoken) - frozenset(own) - {"site.name"} if tag.lower() != ENGLISH else frozenset(),
    )


def _pieces(text: str) -> Pieces:
    """ "Hello {name}!" is ("Hello ", "name"), ("!", "")."""
    parts = [*_WORD.split(text), ""]
    return tuple(zip(parts[::2], parts[1::2], strict=True))


SCOPES = "scopes."
_WORD = re.compile(r"\{([a-z_]+)\}")
_TAG = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_RANGE = re.compile(r"(?P<tag>[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*)(\s*;\s*q=(?P<weight>[01](\.[0-9]{0,3})?))?")
