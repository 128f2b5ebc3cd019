"""What this deployment allows, as values of `core`: what it offers, whom it registers, and how they authenticate."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from joserfc.jwk import KeySet

from certbound.app.files import read_file
from certbound.app.people import pages_of
from certbound.app.trusted import anchor_files, may_have_anchors
from certbound.core.authentication import Accepted
from certbound.core.clients import Allowed, Method
from certbound.core.errors import ConfigurationError, InvalidClientMetadata
from certbound.core.jwks import read_keys
from certbound.core.metadata import DEVICE, INTROSPECTION, PUSHED, REGISTRATION, REVOCATION, TOKEN, USERINFO, Offer
from certbound.core.registration import StatementPolicy, Way
from certbound.core.scope import Scope
from certbound.core.well_known import Issuer
from certbound.server.openapi import Facts, describe_api
from certbound.settings import Settings
from certbound.settings.ways import grant_types_of
from certbound.trust.files import AnchorFiles


def offer_of(
    settings: Settings, *, has_anchors: bool, signing: Sequence[str] = (), locales: Sequence[str] = ()
) -> Offer:
    """What the metadata says; tls_client_auth only where an anchor could vouch for somebody."""
    can_certify = has_anchors or settings.trust.client_anchors
    methods = frozenset(settings.authentication.methods)
    login = settings.login
    optional = {
        REGISTRATION: bool(settings.registration.ways),
        PUSHED: login.is_on,
        DEVICE: login.is_on and login.device,
        USERINFO: settings.has_openid,
    }
    endpoints = {TOKEN, INTROSPECTION, REVOCATION, *(name for name, is_on in optional.items() if is_on)}
    return Offer(
        issuer=Issuer(settings.server.issuer),
        endpoints=frozenset(endpoints),
        mtls_base=settings.server.mtls_url,
        scope=settings.scope,
        grant_types=grant_types_of(settings),
        methods=methods if can_certify else methods - {Method.TLS_CLIENT_AUTH},
        can_bind=True,
        assertion_algorithms=settings.authentication.assertion_algorithms,
        signing_algorithms=tuple(signing),
        authorizes=login.is_on,
        must_push=login.is_on and login.require_pushed,
        openid=settings.has_openid,
        login_application=login.url is not None,
        tells_claims=login.accounts,
        locales=tuple(locales),
    )


def accepted(offer: Offer, settings: Settings) -> Mapping[str, Accepted]:
    """How clients may authenticate, by endpoint; by a certificate also where no anchor vouches for anybody yet."""
    enabled = replace(offer, methods=frozenset(settings.authentication.methods))
    return {
        name: Accepted(
            methods=enabled.methods_at(name),
            issuer=settings.server.issuer,
            algorithms=settings.authentication.assertion_algorithms,
        )
        for name, endpoint in offer.direct.items()
        if endpoint.authenticates
    }


def allowed(settings: Settings, anchors: AnchorFiles) -> Allowed:
    """What clients may be registered with."""
    return Allowed(
        scope=settings.scope,
        grant_types=grant_types_of(settings),
        methods=frozenset(settings.authentication.methods),
        resources=frozenset(settings.tokens.resources),
        has_anchors=may_have_anchors(settings, anchors),
        anchor_keys=anchors.trust.anchors.keys,
        own_anchors=settings.trust.client_anchors,
        assertion_algorithms=frozenset(settings.authentication.assertion_algorithms),
        signing_algorithms=frozenset({settings.keys.algorithm}),
    )


def ways_of(settings: Settings, most: Allowed) -> Sequence[Way]:
    """The ways in, each with no more than is `most`."""
    return tuple(
        Way(
            name=each.name,
            needs=frozenset(each.needs),
            own_name=each.own_name,
            allowed=replace(
                most,
                scope=Scope(frozenset(each.scopes)),
                grant_types=frozenset(each.grant_types),
                methods=frozenset(each.methods),
                resources=frozenset(each.protected_resources),
                formats=frozenset(each.token_formats),
                redirect_hosts=frozenset(each.redirect_hosts),
                own_anchors=each.own_anchors,
                ignored_validity=False,
            ),
        )
        for each in settings.registration.ways
    )


def statements_of(settings: Settings) -> StatementPolicy:
    """Whose software statements count, and which.  `ConfigurationError` if a file of keys cannot be read."""
    asked = settings.registration
    return StatementPolicy(
        issuers={each.issuer: each.jwks_uri or _keys_in(each.jwks) for each in asked.statement_issuers},
        algorithms=asked.statement_algorithms,
        max_age=asked.statement_max_age,
        must_have=frozenset(asked.statement_must_have),
    )


def _keys_in(file: Path | None) -> KeySet:
    """The public keys in a JWK Set.  `ConfigurationError` if there are none."""
    if file is None:  # the settings have said so
        raise ConfigurationError("registration.statement_issuers: an issuer has neither jwks nor jwks_uri")
    try:
        return read_keys(json.loads(read_file(file, "registration.statement_issuers")))
    except (ValueError, RecursionError, InvalidClientMetadata) as error:
        raise ConfigurationError(f"registration.statement_issuers: {file} is no JWK Set: {error}") from error


def api_of(settings: Settings) -> dict[str, Any]:
    """The server that `settings` make, as an OpenAPI document.  `ConfigurationError` if an anchor cannot be read."""
    anchors = anchor_files(settings)
    offer = offer_of(
        settings,
        has_anchors=may_have_anchors(settings, anchors),
        signing=[settings.keys.algorithm],
        locales=pages_of(settings).languages if settings.login.is_on else (),
    )
    ways = ways_of(settings, allowed(settings, anchors))
    return describe_api(Facts(offer=offer, resources=settings.tokens.resources, ways=ways))
