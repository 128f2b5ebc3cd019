"""Settings: one TOML file and the environment, read once into one frozen value.

Rule 1: a key nobody reads stops the start and names the nearest one that somebody does.
Rule 2: every key can come from the environment as `CERTBOUND_SECTION__KEY`, which wins over the file; with `_FILE`
behind it the value is what that file holds.
Rule 3: relative paths are relative to the file that names them, or to the working directory where none does.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

import msgspec
from msgspec import Meta

from certbound.core.binding import Bind
from certbound.core.errors import ConfigurationError, InvalidScope
from certbound.core.scope import Scope, parse_scope

Seconds = Annotated[int, Meta(ge=1)]
PortNumber = Annotated[int, Meta(ge=0, le=65535)]
ENVIRONMENT_PREFIX = "CERTBOUND_"


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file."""


class Server(_Section, kw_only=True):
    """Who the authorization server is and where it listens."""

    issuer: Annotated[str, Meta(description="The issuer URL, as clients know it; https.")]
    certificate: Annotated[Path, Meta(description="Server certificate, PEM, leaf first.")]
    key: Annotated[Path, Meta(description="Its private key, PEM.")]
    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[PortNumber, Meta(description="Port of the conventional endpoints; 0 takes a free one.")] = 8443
    mtls_url: Annotated[
        str | None,
        Meta(
            description="Base URL of the mutual-TLS endpoints, published as mtls_endpoint_aliases. Without it the "
            "issuer's own host asks for certificates and there are no aliases."
        ),
    ] = None
    mtls_port: Annotated[
        PortNumber | None,
        Meta(
            description="Port of the mutual-TLS endpoints. Without it they share `port` and SNI tells the hosts apart."
        ),
    ] = None
    mtls_certificate: Annotated[
        Path | None, Meta(description="Server certificate of the mutual-TLS host; `certificate` if absent.")
    ] = None
    mtls_key: Annotated[Path | None, Meta(description="Its private key; `key` if absent.")] = None
    minimum_tls: Annotated[Literal["1.2", "1.3"], Meta(description="Oldest TLS version of the conventional port.")] = (
        "1.2"
    )
    mtls_minimum_tls: Annotated[
        Literal["1.2", "1.3"],
        Meta(
            description="Oldest TLS version of the mutual-TLS port; 1.3 hides client certificates (RFC 8705 section 8)."
        ),
    ] = "1.2"
    workers: Annotated[int, Meta(ge=1, le=256, description="Processes that serve.")] = 1
    grace: Annotated[Seconds, Meta(description="Seconds that requests in flight have when the server stops.")] = 10


class Store(_Section, kw_only=True):
    """What survives a restart."""

    url: Annotated[str, Meta(description="Database: sqlite:///path/to/file.")] = "sqlite:///certbound.sqlite"


class Trust(_Section, kw_only=True):
    """Who may certify clients of tls_client_auth; nobody unless stated."""

    anchors: Annotated[tuple[Path, ...], Meta(description="PEM files of trust anchors.")] = ()
    intermediates: Annotated[
        tuple[Path, ...], Meta(description="PEM files of intermediates that clients forget to send; no anchors.")
    ] = ()


class Tokens(_Section, kw_only=True):
    """What tokens say."""

    scopes: Annotated[tuple[str, ...], Meta(description="Scopes there are.")] = ()
    resources: Annotated[tuple[str, ...], Meta(description="Resources (audiences) there are, the default one first.")]
    lifetime: Annotated[Seconds, Meta(description="Seconds an access token lives.")] = 300
    bind: Annotated[
        Bind,
        Meta(
            description="Which clients' tokens are bound to the certificate: always, or requested (those registered "
            "with tls_client_certificate_bound_access_tokens)."
        ),
    ] = Bind.ALWAYS


class Keys(_Section, kw_only=True):
    """The key that signs tokens."""

    file: Annotated[
        Path | None, Meta(description="P-256 private key, PEM. Without it one is made and kept in the store.")
    ] = None
    password: Annotated[
        str | None, Meta(description="Encrypts the keys in the store, and opens `file`; give it as a _FILE.")
    ] = None


class Log(_Section, kw_only=True):
    """What is written, to standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="The least that is written.")] = (
        "info"
    )
    format: Annotated[Literal["console", "json"], Meta(description="For people or for machines.")] = "json"


class Settings(_Section, kw_only=True):
    """All settings of `certbound serve`."""

    server: Server
    tokens: Tokens
    store: Store = Store()
    trust: Trust = Trust()
    keys: Keys = Keys()
    log: Log = Log()

    @property
    def scope(self) -> Scope:
        return Scope(frozenset(self.tokens.scopes))


SECRET_KEYS = frozenset({("keys", "password")})


def load(file: Path | None, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of `file` and the environment.  `ConfigurationError` names the file, the key and the value."""
    given, _ = gather(file, environment)
    return read(given, where=str(file) if file else "the environment", base=file.parent if file else Path())


def gather(
    file: Path | None, environment: Mapping[str, str] = os.environ
) -> tuple[dict[str, dict[str, Any]], dict[tuple[str, str], str]]:
    """What is set, unread, by section and key; and for each (section, key) where it comes from."""
    given = _read_toml(file) if file else {}
    origin = {(section, key): str(file) for section, keys in given.items() for key in keys}
    for variable, text in sorted(environment.items()):
        if not variable.startswith(ENVIRONMENT_PREFIX) or "__" not in variable:
            continue
        section, key, value = _read_variable(variable, text)
        given.setdefault(section, {})[key] = value
        origin[section, key] = f"${variable}"
    return given, origin


def read(given: Mapping[str, Any], *, where: str, base: Path) -> Settings:
    """`given` as settings that do not contradict themselves; relative paths start at `base`."""
    _require_known(given, where)
    try:
        settings = msgspec.convert(given, Settings, dec_hook=lambda kind, text: _path(kind, text, base))
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at ")
        key = place.strip("`$").lstrip(".") or "the file"
        raise ConfigurationError(f"{where}: {key}: {problem[:1].lower()}{problem[1:]}") from error
    _require_consistent(settings, where)
    return settings


def sections() -> Mapping[str, type[_Section]]:
    """The tables of the file by name."""
    return {
        "server": Server, "tokens": Tokens, "store": Store, "trust": Trust, "keys": Keys, "log": Log,
    }  # fmt: skip


def _read_toml(file: Path) -> dict[str, dict[str, Any]]:
    try:
        given = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} is not TOML: {error}") from error
    for section, keys in given.items():
        if not isinstance(keys, dict):
            raise ConfigurationError(f"{file}: {section!r} stands outside a table; the tables are {_list(sections())}")
    return given


def _read_variable(variable: str, text: str) -> tuple[str, str, Any]:
    section, _, key = variable.removeprefix(ENVIRONMENT_PREFIX).lower().partition("__")
    if key.endswith("_file") and key not in _keys(section):
        key = key.removesuffix("_file")
        try:
            text = Path(text).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"${variable}: {text} cannot be read: {error}") from error
    if section not in sections() or key not in _keys(section):
        return section, key, text  # `read` says that nobody knows it
    annotation = msgspec.inspect.type_info(sections()[section]).fields  # type: ignore[attr-defined]
    kind = next(field.type for field in annotation if field.encode_name == key)
    return section, key, _typed(kind, text)


def _typed(kind: Any, text: str) -> Any:
    """A variable's text as the TOML value it stands for: lists by comma, numbers as numbers."""
    while isinstance(kind, msgspec.inspect.Metadata):
        kind = kind.type
    if isinstance(kind, msgspec.inspect.VarTupleType):
        return [each.strip() for each in text.split(",") if each.strip()]
    kinds = kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,)
    if any(isinstance(each, msgspec.inspect.IntType) for each in kinds):
        return int(text) if text.strip().lstrip("-").isdigit() else text
    return text


def _require_known(given: Mapping[str, Any], where: str) -> None:
    for section, keys in given.items():
        if section not in sections():
            raise ConfigurationError(f"{where}: there is no table [{section}]{_nearest(section, sections())}")
        for key in keys:
            if key not in _keys(section):
                raise ConfigurationError(
                    f"{where}: [{section}] has no key {key!r}{_nearest(key, _keys(section), section)}"
                )


def _nearest(word: str, known: Any, section: str = "") -> str:
    """The nearest known word; for a key, also where another table has it."""
    if elsewhere := [name for name in sections() if section and word in _keys(name)]:
        return f"; [{elsewhere[0]}] has one"
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {_list(known)}"


def _keys(section: str) -> tuple[str, ...]:
    found = sections().get(section)
    return found.__struct_fields__ if found else ()


def _path(kind: type, text: Any, base: Path) -> Any:
    if kind is Path and isinstance(text, str) and text:
        return base / Path(text).expanduser()
    raise ValueError(f"expected a path, got {text!r}")


def _require_consistent(settings: Settings, where: str) -> None:
    server = settings.server
    issuer = _url("server.issuer", server.issuer, where)
    if server.mtls_url is None and server.mtls_port is not None:
        raise ConfigurationError(f"{where}: server.mtls_port is set but server.mtls_url is not; set both or neither")
    if server.mtls_url is not None:
        mtls = _url("server.mtls_url", server.mtls_url, where)
        if server.mtls_url == server.issuer:
            raise ConfigurationError(
                f"{where}: server.mtls_url equals server.issuer, so the aliases would be no aliases; give mutual TLS "
                "a host or port of its own, or remove server.mtls_url"
            )
        if server.mtls_port is None and mtls.hostname == issuer.hostname:
            raise ConfigurationError(
                f"{where}: server.mtls_url has the issuer's host {issuer.hostname!r}, so server.mtls_port is needed"
            )
        if server.mtls_port is not None and server.mtls_port == server.port != 0:
            raise ConfigurationError(
                f"{where}: server.mtls_port equals server.port; remove it to share one port by SNI"
            )
    if not settings.tokens.resources:
        raise ConfigurationError(f"{where}: tokens.resources is empty; name at least the API that tokens are for")
    for scope in settings.tokens.scopes:
        try:
            if len(parse_scope(scope)) != 1:
                raise InvalidScope("two words")
        except InvalidScope as error:
            raise ConfigurationError(f"{where}: tokens.scopes: {scope!r} is not one scope word") from error


def _url(key: str, text: str, where: str) -> SplitResult:
    parts = urlsplit(text)
    if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigurationError(f"{where}: {key}: {text!r} is not an https URL without query and fragment")
    if text.endswith("/"):
        raise ConfigurationError(f"{where}: {key}: {text!r} must not end in a slash")
    return parts


def _list(words: Any) -> str:
    return ", ".join(map(str, words))
