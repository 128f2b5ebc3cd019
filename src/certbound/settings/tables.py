"""The tables of certbound.toml: what may be set."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from certbound.core.authorization import OPENID
from certbound.core.binding import Bind
from certbound.core.clients import Method
from certbound.core.errors import ConfigurationError
from certbound.core.scope import Scope
from certbound.settings.login import Login
from certbound.settings.proxy import Proxy
from certbound.settings.registration import Registration
from certbound.settings.section import PortNumber, Seconds, Secret, Section
from certbound.settings.trust import Fetch, Revocation, Trust

ENVIRONMENT_PREFIX = "CERTBOUND_"
ROTATE_DAYS = 90
"""Four times a year: often enough that a rotation is nothing special, seldom enough to be read in a log."""


class Server(Section, frozen=True, kw_only=True):
    """Who the authorization server is and where it listens."""

    issuer: Annotated[
        str, Meta(description="The issuer URL, as clients know it; https.", examples=["https://as.example"])
    ]
    certificate: Annotated[
        Path | None,
        Meta(
            description="Server certificate, PEM, leaf first. Needed unless [proxy] says what ends TLS in front.",
            examples=["as.example.pem"],
        ),
    ] = None
    key: Annotated[Path | None, Meta(description="Its private key, PEM.", examples=["as.example.key"])] = None
    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[PortNumber, Meta(description="Port of the conventional endpoints; 0 takes a free one.")] = 8443
    mtls_url: Annotated[
        str | None,
        Meta(
            description="Base URL of the mutual-TLS endpoints, published as mtls_endpoint_aliases. Without it the "
            "issuer's own host asks for certificates and there are no aliases.",
            examples=["https://mtls.as.example"],
        ),
    ] = None
    mtls_port: Annotated[
        PortNumber | None,
        Meta(
            description="Port of the mutual-TLS endpoints. Without it they share `port` and SNI tells the hosts apart.",
            examples=[9443],
        ),
    ] = None
    mtls_certificate: Annotated[
        Path | None,
        Meta(description="Server certificate of the mutual-TLS host; `certificate` if absent.", examples=["mtls.pem"]),
    ] = None
    mtls_key: Annotated[Path | None, Meta(description="Its private key; `key` if absent.", examples=["mtls.key"])] = (
        None
    )
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
    handshake_bytes: Annotated[
        int,
        Meta(
            ge=4096,
            le=262144,
            description="Bytes a client may send before its TLS handshake is complete, its chain included. A hostile "
            "chain costs up to 0.4 ms of CPU per KiB; an ML-DSA-87 certificate and its issuer need 20 KiB.",
        ),
    ] = 24576

    @property
    def files(self) -> tuple[Path, Path]:
        """Certificate and key.  `ConfigurationError` for a server without TLS of its own."""
        if self.certificate is None or self.key is None:
            raise ConfigurationError("server.certificate and server.key are not set: something in front ends TLS")
        return self.certificate, self.key


class Store(Section, frozen=True, kw_only=True):
    """What survives a restart."""

    url: Annotated[
        str,
        Meta(
            description="Database: sqlite:///path/to/file, or postgresql://user@host/database. A password is best kept "
            "in a file: ?passfile=/path/of/pgpass.",
        ),
    ] = "sqlite:///certbound.sqlite"


class Tokens(Section, frozen=True, kw_only=True):
    """What tokens say."""

    scopes: Annotated[tuple[str, ...], Meta(description="Scopes there are.", examples=[["read", "write"]])] = ()
    resources: Annotated[
        tuple[str, ...],
        Meta(description="Resources (audiences) there are, the default one first.", examples=[["https://api.example"]]),
    ]
    lifetime: Annotated[
        Seconds,
        Meta(
            description="Seconds an access token lives; a day at most, for what `certbound revoke` ends is known "
            "only to guards that read the status list."
        ),
    ] = 300
    bind: Annotated[
        Bind,
        Meta(
            description="Which clients' tokens are bound to the certificate: always, or requested (those registered "
            "with tls_client_certificate_bound_access_tokens)."
        ),
    ] = Bind.ALWAYS
    opaque: Annotated[
        tuple[str, ...],
        Meta(
            description="Resources whose tokens are opaque references, told by introspection; those of all others are "
            "JWTs. A client may be registered with its own access_token_format.",
            examples=[["https://api.example"]],
        ),
    ] = ()
    refresh_lifetime: Annotated[
        int, Meta(ge=60, le=366 * 86400, description="Seconds a refresh token and its successors live.")
    ] = 30 * 86400
    refresh_rotation: Annotated[
        Literal["unbound", "always"],
        Meta(
            description="Which refresh tokens are replaced when they are used: those that neither a certificate nor "
            "authentication binds, or all. FAPI 2.0, Brazil and CDR forbid it for all."
        ),
    ] = "unbound"
    refresh_grace: Annotated[
        int,
        Meta(
            ge=0,
            le=300,
            description="Seconds for which a refresh token that was replaced is answered with the same successor, "
            "since an answer may have been lost; later its use ends the grant.",
        ),
    ] = 10


class Authentication(Section, frozen=True, kw_only=True):
    """How clients may authenticate."""

    methods: Annotated[
        tuple[Method, ...],
        Meta(
            description="The methods that are accepted. Shared secrets and public clients (none) are there for those "
            "who need them; tokens are bound to the certificate on the connection all the same.",
        ),
    ] = (Method.TLS_CLIENT_AUTH, Method.SELF_SIGNED_TLS_CLIENT_AUTH, Method.PRIVATE_KEY_JWT)
    assertion_algorithms: Annotated[
        tuple[Literal["ES256", "PS256", "EdDSA", "RS256"], ...],
        Meta(description="What clients may sign assertions with (private_key_jwt)."),
    ] = ("ES256", "PS256", "EdDSA")
    failures_per_minute: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Failed authentications of one certificate, or of one network for one client id, after which "
            "further ones are answered 429 and written down no more; ten times as many of one network. For each "
            "worker. A success is never refused.",
        ),
    ] = 60


class Keys(Section, frozen=True, kw_only=True):
    """The keys that sign tokens."""

    algorithm: Annotated[
        Literal["ES256", "PS256", "EdDSA", "RS256"],
        Meta(
            description="How tokens are signed; EdDSA is Ed25519. A change is a rotation: the old key signs until the "
            "new one has been published for a day."
        ),
    ] = "ES256"
    rotate_days: Annotated[
        int,
        Meta(
            ge=0,
            le=3650,
            description="Days after which the next key in the store signs; 0 leaves it to `certbound key rotate`.",
        ),
    ] = ROTATE_DAYS
    file: Annotated[
        Path | None,
        Meta(
            description="Private key for `algorithm`, PEM, that signs instead of those in the store; it is yours to "
            "rotate.",
            examples=["signing.key"],
        ),
    ] = None
    published: Annotated[
        tuple[Path, ...],
        Meta(
            description="Beside `file`: further keys, PEM, private or public, that stand in the JWK Set and verify, "
            "but do not sign: the next one, the one before. RSA is for `algorithm` if it can be, else for PS256.",
            examples=[["next.key", "before.pub"]],
        ),
    ] = ()
    password: Annotated[
        Secret | None,
        Meta(
            description="Encrypts the keys in the store, and opens `file`; long and random, and best given as a _FILE."
        ),
    ] = None


class Log(Section, frozen=True, kw_only=True):
    """What is written, to standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="The least that is written.")] = (
        "info"
    )
    format: Annotated[Literal["console", "json"], Meta(description="For people or for machines.")] = "json"
    audit: Annotated[
        Literal["all", "refusals"],
        Meta(
            description="Which decisions are written as events of the logger certbound.audit, whatever the level: all, "
            "or those that were refused and what people change."
        ),
    ] = "all"


class Admin(Section, frozen=True, kw_only=True):
    """A listener for those who run the server: /metrics, /readyz, /healthz."""

    port: Annotated[
        PortNumber | None, Meta(description="Its port, 0 for a free one; without it there is none.", examples=[9090])
    ] = None
    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    tls: Annotated[
        bool, Meta(description="Whether it speaks TLS, with server.certificate; needed where others reach it.")
    ] = False
    plain_for_all: Annotated[
        bool, Meta(description="Whether it may speak plain HTTP on an address that others reach.")
    ] = False


class Settings(Section, frozen=True, kw_only=True):
    """All settings of `certbound serve`."""

    server: Server
    tokens: Tokens
    authentication: Authentication = Authentication()
    registration: Registration = Registration()
    login: Login = Login()
    store: Store = Store()
    trust: Trust = Trust()
    revocation: Revocation = Revocation()
    fetch: Fetch = Fetch()
    keys: Keys = Keys()
    log: Log = Log()
    admin: Admin = Admin()
    proxy: Proxy = Proxy()

    @property
    def scope(self) -> Scope:
        return Scope(frozenset(self.tokens.scopes))

    @property
    def has_openid(self) -> bool:
        """Whether clients learn who people are: where people log in, and the scope for it is one of those there are."""
        return self.login.is_on and self.login.openid and OPENID in self.tokens.scopes


SECRET_KEYS = frozenset({("keys", "password"), ("proxy", "secret")})
"""Never shown; their variables may have `_FILE` behind them."""


USUAL_KEYS = frozenset({("server", "certificate"), ("server", "key")})
"""Not always required, and yet among the first that a deployment sets."""


def sections() -> Mapping[str, type[Section]]:
    """The tables of the file by name."""
    return {
        "server": Server, "tokens": Tokens, "authentication": Authentication,
        "registration": Registration, "login": Login, "store": Store, "trust": Trust,
        "revocation": Revocation, "fetch": Fetch, "keys": Keys, "log": Log,
        "admin": Admin, "proxy": Proxy,
    }  # fmt: skip
