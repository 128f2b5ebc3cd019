"""The options that say how a client is known and what it may have, and the metadata that they are."""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from certbound.cli._certificates import OPTIONS, read_bytes, read_chain, read_file
from certbound.cli._commands import WrongUse
from certbound.core.anchors import CERTIFICATES, KEYS
from certbound.core.client_authorization import (
    CODE_GRANT,
    LOGOUT_URIS,
    MUST_PUSH,
    REDIRECT_URIS,
    SUBJECT_TYPE,
    SubjectType,
)
from certbound.core.clients import (
    ASSERTION_ALG,
    DN_ORDER,
    FORMAT,
    ID_TOKEN_ALG,
    IGNORE_VALIDITY,
    PKI_MEMBERS,
    RESOURCES,
    SELF_SIGNED_MEMBERS,
    Method,
    SigningAlgorithm,
    TokenFormat,
)
from certbound.core.errors import ConfigurationError
from certbound.core.grants import device_code, refresh_token, token_exchange
from certbound.core.jwks import make_jwks
from certbound.core.members import listed
from certbound.core.names import RdnOrder
from certbound.core.ports import ClientRecord
from certbound.core.subject import SubjectKind

ClientId = Annotated[str, typer.Argument(metavar="ID", help="The client_id.")]
Name = Annotated[str | None, typer.Option("--name", help="A name for people.")]
SubjectDn = Annotated[str | None, typer.Option("--subject-dn", metavar="DN", help="Subject, as RFC 4514 writes it.")]
SanDns = Annotated[str | None, typer.Option("--san-dns", metavar="NAME", help="DNS name in the certificate.")]
SanUri = Annotated[str | None, typer.Option("--san-uri", metavar="URI", help="URI in the certificate.")]
SanIp = Annotated[str | None, typer.Option("--san-ip", metavar="ADDRESS", help="IP address in the certificate.")]
SanEmail = Annotated[str | None, typer.Option("--san-email", metavar="MAILBOX", help="Mailbox in the certificate.")]
SelfSigned = Annotated[
    list[Path] | None,
    typer.Option("--self-signed", metavar="CERT", help="The certificate itself (PEM); repeat it to overlap two."),
]
JwksUri = Annotated[
    str | None, typer.Option("--jwks-uri", metavar="URL", help="Where it publishes certificates, or keys.")
]
IgnoreValidity = Annotated[
    bool | None,
    typer.Option(
        "--ignore-validity/--check-validity", help="Whether the dates in its self-signed certificates do not count."
    ),
]
Jwks = Annotated[
    Path | None, typer.Option("--jwks", metavar="FILE", help="Public keys it signs assertions with: a JWK Set.")
]
AuthMethod = Annotated[
    Method | None,
    typer.Option(
        "--method",
        metavar="METHOD",
        help="How it authenticates, where the other options do not say it: client_secret_basic, client_secret_post, "
        "none, private_key_jwt, self_signed_tls_client_auth.",
    ),
]
AssertionAlg = Annotated[
    SigningAlgorithm | None,
    typer.Option("--assertion-alg", metavar="ALG", help="The one algorithm of its assertions."),
]
Format = Annotated[
    TokenFormat | None, typer.Option("--token-format", metavar="FORMAT", help="Its access tokens: jwt or opaque.")
]
Protects = Annotated[
    list[str] | None,
    typer.Option(
        "--protects", metavar="URI", help="A resource that it serves, and may introspect tokens of. Repeatable."
    ),
]
Scope = Annotated[str | None, typer.Option("--scope", metavar='"A B"', help="Scopes it may have; '' for none.")]
Bound = Annotated[
    bool | None, typer.Option("--bound/--no-bound", help="Ask for bound tokens; tokens.bind may bind them anyway.")
]
DnOrder = Annotated[
    RdnOrder | None,
    typer.Option("--dn-order", metavar="ORDER", help="RDN order of --subject-dn: exact, reversed, or any."),
]
AnchorKeys = Annotated[
    list[str] | None,
    typer.Option(
        "--anchor-key", metavar="SHA256", help="Key of a server's anchor; only those named count. Repeatable."
    ),
]
OwnAnchors = Annotated[
    list[Path] | None,
    typer.Option("--anchor", metavar="FILE", help="Its own anchors, instead of the server's. Repeatable."),
]
GrantTypes = Annotated[
    list[str] | None,
    typer.Option(
        "--grant-type",
        metavar="TYPE",
        help="A grant it may use, instead of client_credentials: code, device, refresh, exchange, client_credentials, "
        "or the name in full. Repeatable.",
    ),
]
RedirectUris = Annotated[
    list[str] | None,
    typer.Option(
        "--redirect-uri",
        metavar="URI",
        help="Where people go back to with the code: https, http://127.0.0.1/…, or an app's own scheme. Repeatable; "
        "without --grant-type it may use code and refresh.",
    ),
]
LogoutUris = Annotated[
    list[str] | None,
    typer.Option("--post-logout-redirect-uri", metavar="URI", help="Where people may go after a logout. Repeatable."),
]
RequirePar = Annotated[
    bool | None,
    typer.Option("--require-par/--allow-unpushed", help="Whether its authorization requests must be pushed."),
]
Pairwise = Annotated[
    bool | None,
    typer.Option(
        "--pairwise/--public-subjects",
        help="Whether people have another sub at each host of redirect URIs. Changing it makes strangers of them.",
    ),
]
IdTokenAlg = Annotated[
    SigningAlgorithm | None, typer.Option("--id-token-alg", metavar="ALG", help="The algorithm of its ID tokens.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def subjects_of(*values: str | None) -> dict[str, str]:
    """The subjects given, by metadata name; `values` in the order of RFC 8705 section 2.1.2."""
    return {field: value for field, value in zip(SubjectKind, values, strict=True) if value is not None}


def credentials(
    subjects: Mapping[str, str],
    certificates: Sequence[Path] | None,
    jwks: Path | None,
    jwks_uri: str | None,
    method: Method | None,
) -> dict[str, Any]:
    """How the client authenticates, as metadata; the method follows from what it is known by, where that says it."""
    given = [*(MEMBERS[field] for field in subjects), *(["--self-signed"] if certificates else [])]
    given += [name for name, value in (("--jwks", jwks), ("--jwks-uri", jwks_uri)) if value is not None]
    if len(given) > 1:
        raise WrongUse(f"a client is known by one of these only: {listed(given)}")
    known: dict[str, Any] = dict(subjects)
    if certificates:
        known["jwks"] = make_jwks(map(read_file, certificates))
    elif jwks is not None:
        known["jwks"] = _read_jwks(jwks)
    elif jwks_uri is not None:
        known["jwks_uri"] = jwks_uri
    possible = _METHODS["subject" if subjects else given[0]] if given else _WITHOUT
    if not given and method is None:
        return {}
    chosen = method or possible[0]
    if chosen not in possible:
        wanted = f"{given[0]} does not go with it" if given else f"say by what: {listed(_OPTIONS_OF[chosen])}"
        raise WrongUse(f"--method {chosen}: {wanted}")
    return {"token_endpoint_auth_method": chosen.value, **known}


def required(known: dict[str, Any]) -> dict[str, Any]:
    """`known`, if it says how the client authenticates."""
    if not known:
        raise WrongUse(
            f"say how the client is known: one of {listed(OPTIONS.values())}, --self-signed, --jwks, --jwks-uri, or "
            "--method for a secret or none; --from-cert proposes"
        )
    return known


def _read_jwks(file: Path) -> Any:
    try:
        return json.loads(read_bytes(file))
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{file} is no JWK Set: {error}") from error


def trusted(
    order: RdnOrder | None, keys: Sequence[str] | None, files: Sequence[Path] | None, *, every_anchor: bool = False
) -> dict[str, Any]:
    """Who may certify the client, as metadata: what is given takes the place of what was there."""
    if bool(keys) + bool(files) + every_anchor > 1:
        raise WrongUse("give --anchor-key, --anchor or --every-anchor, not two of them")
    given: dict[str, Any] = {} if order is None else {DN_ORDER: order.value}
    if keys or files or every_anchor:
        own = [each for file in files or () for each in read_chain(file)]
        anchors = {KEYS: list(keys or ()), CERTIFICATES: [b64encode(each.der).decode("ascii") for each in own]}
        given |= {member: texts or None for member, texts in anchors.items()}
    return given


def described(
    *,
    name: str | None,
    scope: str | None,
    bound: bool | None,
    grant_types: Sequence[str] | None,
    ignore_validity: bool | None,
    token_format: TokenFormat | None,
    protects: Sequence[str] | None,
    assertion_alg: SigningAlgorithm | None,
    redirect_uris: Sequence[str] | None,
    logout_uris: Sequence[str] | None,
    require_par: bool | None,
    pairwise: bool | None,
    id_token_alg: SigningAlgorithm | None,
) -> dict[str, Any]:
    """What the client may have and is called, as metadata."""
    subject_type = None if pairwise is None else SubjectType.PAIRWISE if pairwise else SubjectType.PUBLIC
    given = {
        "client_name": name,
        "scope": scope,
        "tls_client_certificate_bound_access_tokens": bound,
        "grant_types": [_GRANTS.get(each, each) for each in grant_types] if grant_types else None,
        IGNORE_VALIDITY: ignore_validity,
        FORMAT: token_format.value if token_format is not None else None,
        RESOURCES: list(protects) if protects else None,
        ASSERTION_ALG: assertion_alg.value if assertion_alg is not None else None,
        REDIRECT_URIS: list(redirect_uris) if redirect_uris else None,
        LOGOUT_URIS: list(logout_uris) if logout_uris else None,
        MUST_PUSH: require_par,
        SUBJECT_TYPE: subject_type.value if subject_type is not None else None,
        ID_TOKEN_ALG: id_token_alg.value if id_token_alg is not None else None,
    }
    return {field: value for field, value in given.items() if value is not None}


def with_grants(asked: Mapping[str, Any]) -> dict[str, Any]:
    """A new client that says where people go back to may use the code, and stay without asking them again."""
    if REDIRECT_URIS in asked and "grant_types" not in asked:
        return {**asked, "grant_types": [CODE_GRANT, refresh_token.GRANT_TYPE]}
    return dict(asked)


def complete(changes: Mapping[str, Any], record: ClientRecord, *, adds: bool) -> dict[str, Any]:
    """`changes`, with what a new way to be known takes away from the old one."""
    if "token_endpoint_auth_method" not in changes:
        return dict(changes)
    gone: dict[str, Any] = dict.fromkeys((*SubjectKind, DN_ORDER))
    if "jwks" in changes or "jwks_uri" in changes:
        gone |= dict.fromkeys(("jwks", "jwks_uri"))
    if record.metadata.get("token_endpoint_auth_method") != changes["token_endpoint_auth_method"]:
        gone |= dict.fromkeys((*PKI_MEMBERS, *SELF_SIGNED_MEMBERS, "jwks", "jwks_uri"))
    complete = {**gone, **changes}
    there = record.metadata.get("jwks")
    if adds and isinstance(there, dict) and isinstance(there.get("keys"), list):
        complete["jwks"] = {"keys": [*there["keys"], *(k for k in changes["jwks"]["keys"] if k not in there["keys"])]}
    return complete


MEMBERS: Mapping[str, str] = {
    **OPTIONS,
    DN_ORDER: "--dn-order",
    KEYS: "--anchor-key",
    CERTIFICATES: "--anchor",
    "jwks": "--self-signed or --jwks",
    "jwks_uri": "--jwks-uri",
    IGNORE_VALIDITY: "--ignore-validity",
    "client_id": "--id",
    "client_name": "--name",
    "scope": "--scope",
    "grant_types": "--grant-type",
    "tls_client_certificate_bound_access_tokens": "--bound",
    "token_endpoint_auth_method": "--method",
    FORMAT: "--token-format",
    RESOURCES: "--protects",
    ASSERTION_ALG: "--assertion-alg",
    REDIRECT_URIS: "--redirect-uri",
    LOGOUT_URIS: "--post-logout-redirect-uri",
    MUST_PUSH: "--require-par",
    SUBJECT_TYPE: "--pairwise",
    ID_TOKEN_ALG: "--id-token-alg",
}
"""The option that gives each member of the metadata."""

_GRANTS: Mapping[str, str] = {
    "code": CODE_GRANT,
    "device": device_code.GRANT_TYPE,
    "refresh": refresh_token.GRANT_TYPE,
    "exchange": token_exchange.GRANT_TYPE,
}
"""By what they are called here."""
_WITHOUT = (Method.CLIENT_SECRET_BASIC, Method.CLIENT_SECRET_POST, Method.NONE)
_METHODS: Mapping[str, tuple[Method, ...]] = {
    "subject": (Method.TLS_CLIENT_AUTH,),
    "--self-signed": (Method.SELF_SIGNED_TLS_CLIENT_AUTH,),
    "--jwks": (Method.PRIVATE_KEY_JWT, Method.SELF_SIGNED_TLS_CLIENT_AUTH),
    "--jwks-uri": (Method.SELF_SIGNED_TLS_CLIENT_AUTH, Method.PRIVATE_KEY_JWT),
}
"""By what an option gives, the methods it can be for, the usual one first."""
_OPTIONS_OF: Mapping[Method, tuple[str, ...]] = {
    Method.TLS_CLIENT_AUTH: tuple(OPTIONS.values()),
    Method.SELF_SIGNED_TLS_CLIENT_AUTH: ("--self-signed", "--jwks-uri"),
    Method.PRIVATE_KEY_JWT: ("--jwks", "--jwks-uri"),
}
