"""Registered clients as people and programs are shown them."""

from typing import TYPE_CHECKING, Any

from certbound.cli._client_options import MEMBERS
from certbound.cli._output import date, say_json, say_table
from certbound.core.clients import Client, read_client
from certbound.core.display import hash_name
from certbound.core.errors import InvalidClientMetadata
from certbound.core.members import listed
from certbound.core.names import RdnOrder
from certbound.core.ports import ClientRecord

if TYPE_CHECKING:
    from certbound.server.clients import ClientRegistry


def say_client(registry: "ClientRegistry", record: ClientRecord) -> None:
    client, problem = _read(record)
    if client is None:
        say_table([("client", record.client_id), ("state", "unreadable"), ("problem", problem)], indent="  ")
        say_json(record.metadata)
        return
    facts = registry.describe(client)
    say_table(
        [
            ("client", client.client_id),
            ("name", client.name),
            ("state", _state(record)),
            ("method", client.method),
            *_secrets_of(record),
            *_known_by(client),
            *_trusted_by(client),
            ("scope", facts["scope"]),
            ("grants", listed(client.grant_types)),
            *_for_people(client),
            *([("serves", listed(client.protected_resources))] if client.protected_resources else []),
            *([("registered", f"itself, by way {record.registration.way}")] if record.registration else []),
            ("tokens", "bound" if facts["tls_client_certificate_bound_access_tokens"] else "not bound"),
        ],
        indent="  ",
    )


def _known_by(client: Client) -> list[tuple[str, str]]:
    if client.subject is not None:
        return [(MEMBERS[client.subject.kind].removeprefix("--"), client.subject.text)]
    if client.keys is not None:
        alg = f", {client.assertion_alg} only" if client.assertion_alg is not None else ""
        return [("keys", f"{len(client.keys.keys)} of its own{alg}")]
    dates = [("dates", "do not count")] if client.ignores_validity else []
    published = [("published at", client.jwks_uri)] if client.jwks_uri is not None else []
    registered = [("certificate", f"{each.thumbprint} until {date(each.not_after)}") for each in client.certificates]
    return [*published, *registered, *dates]


def _for_people(client: Client) -> list[tuple[str, str]]:
    """What it may do with those whom it acts for."""
    return [
        *(("redirect URI", each) for each in client.redirect_uris),
        *(("after logout", each) for each in client.logout_uris),
        *([("requests", "must be pushed")] if client.must_push else []),
        *([("knows people", f"by a sub of its own, at {client.sector}")] if client.sector else []),
        *([("ID tokens", client.id_token_alg.value)] if client.id_token_alg is not None else []),
    ]


def secrets_as_json(record: ClientRecord) -> list[dict[str, Any]]:
    """The client's secrets, the oldest first: none of them can be shown again."""
    return [
        {
            "name": hash_name(each.digest),
            "created_at": int(each.created_at),
            "ends_at": each.ends_at and int(each.ends_at),
        }
        for each in record.secrets
    ]


def _secrets_of(record: ClientRecord) -> list[tuple[str, str]]:
    return [
        ("secret", f"{hash_name(each.digest)} since {date(each.created_at)}"
         + ("" if each.ends_at is None else f", ends {date(each.ends_at)}"))
        for each in record.secrets
    ]  # fmt: skip


def _trusted_by(client: Client) -> list[tuple[str, str]]:
    """What confines who may certify it, if anything does."""
    order = client.subject.order if client.subject is not None else RdnOrder.EXACT
    return [
        *([("RDN order", order.value)] if order is not RdnOrder.EXACT else []),
        *(("only anchor", key) for key in sorted(client.anchors.keys)),
        *(
            ("own anchor", f"{each.key_thumbprint} until {date(each.not_after)}")
            for each in client.anchors.certificates
        ),
    ]


def row(record: ClientRecord) -> tuple[str, str, str, str]:
    client, problem = _read(record)
    if client is None:
        return record.client_id, "unreadable", problem, ""
    known = " ".join(f"{kind} {text}" for kind, text in _known_by(client)) or client.method.value
    return record.client_id, _state(record), known, " ".join(sorted(client.scope))


def as_json(registry: "ClientRegistry", record: ClientRecord) -> dict[str, Any]:
    client, problem = _read(record)
    if client is None:
        return {"client_id": record.client_id, "enabled": record.enabled, "problem": problem, "stored": record.metadata}
    answer = {**registry.describe(client), "enabled": record.enabled}
    if record.secrets:
        answer["secrets"] = secrets_as_json(record)
    if client.certificates:
        answer["x5t#S256"] = [each.thumbprint for each in client.certificates]
    return answer


def _read(record: ClientRecord) -> tuple[Client | None, str]:
    """The stored client, or None and why it is none."""
    try:
        return read_client(record.client_id, record.metadata, enabled=record.enabled, version=record.version), ""
    except InvalidClientMetadata as error:
        return None, error.reason


def _state(record: ClientRecord) -> str:
    return "enabled" if record.enabled else "disabled"
