"""The table [registration]: who may register clients, and what each way in may ask for."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from certbound.core.clients import Method, TokenFormat
from certbound.core.registration import Need
from certbound.settings.section import Seconds, Section


class RegistrationWay(Section, frozen=True, kw_only=True):
    """One way in; what is not listed may not be asked for."""

    name: Annotated[
        str, Meta(min_length=1, max_length=64, description="What it is called in log and audit.", examples=["partners"])
    ]
    needs: Annotated[
        tuple[Need, ...],
        Meta(
            description="What must be shown, all of it: an initial access token, a software statement, a certificate "
            "that one of registration.anchors vouches for; [] lets anybody register.",
            examples=[["initial_token"]],
        ),
    ]
    methods: Annotated[
        tuple[Method, ...],
        Meta(min_length=1, description="How its clients may authenticate.", examples=[["tls_client_auth"]]),
    ]
    scopes: Annotated[
        tuple[str, ...],
        Meta(description="Scopes they may have; who asks for none in particular gets them all.", examples=[["read"]]),
    ] = ()
    grant_types: Annotated[tuple[str, ...], Meta(min_length=1, description="Grants they may use.")] = (
        "client_credentials",
    )
    protected_resources: Annotated[
        tuple[str, ...],
        Meta(
            description="Resources they may say they serve, and so introspect the tokens of.",
            examples=[["https://api.example"]],
        ),
    ] = ()
    token_formats: Annotated[
        tuple[TokenFormat, ...], Meta(description="Formats of access tokens they may choose.", examples=[["jwt"]])
    ] = ()
    redirect_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Hosts to which they may have people sent back, beside apps on their own machines (loopback "
            'addresses, schemes of apps); with a dot before it, those below a host; "*" is any, and whoever comes this '
            "way may then send your people anywhere.",
            examples=[["app.example", ".partner.example"]],
        ),
    ] = ()
    own_anchors: Annotated[bool, Meta(description="Whether they may bring trust anchors of their own.")] = False
    own_name: Annotated[
        bool,
        Meta(
            description="Where mutual_tls is needed: whether a client of tls_client_auth must be known by a name in "
            "the certificate that it shows."
        ),
    ] = True


class StatementIssuer(Section, frozen=True, kw_only=True):
    """Somebody whose software statements count."""

    issuer: Annotated[
        str, Meta(min_length=1, description="Its iss, as statements have it.", examples=["https://directory.example"])
    ]
    jwks: Annotated[Path | None, Meta(description="File of its keys, a JWK Set.", examples=["directory.json"])] = None
    jwks_uri: Annotated[
        str | None, Meta(description="Where it publishes them instead.", examples=["https://directory.example/jwks"])
    ] = None


class Registration(Section, frozen=True, kw_only=True):
    """Who may register clients over the network (RFC 7591); nobody unless stated."""

    ways: Annotated[
        tuple[RegistrationWay, ...],
        Meta(
            description="The ways in, the first that fits counts; without any there is no registration endpoint.",
            examples=[[{"name": "partners", "needs": ["initial_token"], "methods": ["tls_client_auth"]}]],
        ),
    ] = ()
    anchors: Annotated[
        tuple[Path, ...],
        Meta(
            description="Files of those who certify registrants (mutual_tls), PEM or DER; watched. They may be those "
            "of trust.anchors or others.",
            examples=[["registrants.pem"]],
        ),
    ] = ()
    statement_issuers: Annotated[
        tuple[StatementIssuer, ...],
        Meta(
            description="Whose software statements count.",
            examples=[[{"issuer": "https://directory.example", "jwks_uri": "https://directory.example/jwks"}]],
        ),
    ] = ()
    statement_algorithms: Annotated[
        tuple[Literal["ES256", "PS256", "EdDSA", "RS256"], ...],
        Meta(min_length=1, description="What they may be signed with."),
    ] = ("ES256", "PS256", "EdDSA")
    statement_max_age: Annotated[Seconds, Meta(description="Seconds after its iat for which a statement counts.")] = 300
    statement_must_have: Annotated[
        tuple[str, ...],
        Meta(description="Claims without which a statement is refused.", examples=[["software_id", "jwks_uri"]]),
    ] = ()
    open_per_minute: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="Clients that may register in a minute by a way that needs nothing, in all workers together.",
        ),
    ] = 10
