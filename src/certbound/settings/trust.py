"""The tables [trust], [revocation] and [fetch]: whose certificates count, and what is read elsewhere to know."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from certbound.core.revoked import RevocationMode
from certbound.settings.section import Seconds, Section


class AnchorLimit(Section, frozen=True, kw_only=True):
    """The names that one authority may speak for; what is not listed is not permitted."""

    anchor: Annotated[
        str,
        Meta(
            min_length=43,
            max_length=43,
            description="SHA-256 of its SubjectPublicKeyInfo, base64url, as `certbound cert inspect` shows it.",
            examples=["n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg"],
        ),
    ]
    subject_dn: Annotated[
        tuple[str, ...],
        Meta(
            description="Subtrees of distinguished names, RFC 4514: the RDNs a subject must begin with, as encoded.",
            examples=[["O=Example Bank,C=CZ"]],
        ),
    ] = ()
    dns: Annotated[
        tuple[str, ...],
        Meta(description="DNS suffixes: a host, and every host below it.", examples=[["clients.example"]]),
    ] = ()
    trust_domain: Annotated[
        tuple[str, ...],
        Meta(description="Hosts of URIs, whole: SPIFFE trust domains.", examples=[["prod.example"]]),
    ] = ()


class Trust(Section, frozen=True, kw_only=True):
    """Who may certify clients of tls_client_auth; nobody unless stated."""

    anchors: Annotated[
        tuple[Path, ...], Meta(description="Files of trust anchors, PEM or DER; watched.", examples=[["ca.pem"]])
    ] = ()
    intermediates: Annotated[
        tuple[Path, ...],
        Meta(
            description="Files of intermediates that clients forget to send, PEM or DER; no anchors.",
            examples=[["intermediate.pem"]],
        ),
    ] = ()
    folder: Annotated[
        Path | None,
        Meta(
            description="Folder of more anchors: each .pem, .crt or .cer in it; watched, so files may come and go. An "
            "empty one means nobody; one that is lost keeps the last good set.",
            examples=["anchors"],
        ),
    ] = None
    client_anchors: Annotated[
        bool, Meta(description="Whether a client may be registered with trust anchors of its own.")
    ] = False
    limits: Annotated[
        tuple[AnchorLimit, ...],
        Meta(
            description="Which subjects an authority may speak for, wherever it stands on a path; one that is not "
            "listed may speak for any. Names of other kinds, addresses and mailboxes are not permitted under a limit.",
            examples=[[{"anchor": "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg", "dns": ["clients.example"]}]],
        ),
    ] = ()


class Revocation(Section, frozen=True, kw_only=True):
    """Whether clients' certificates were revoked by their issuers."""

    mode: Annotated[
        RevocationMode,
        Meta(
            description="off: nobody asks. soft: what is known to be revoked is refused. hard: what is not known to "
            "be good is refused too."
        ),
    ] = RevocationMode.OFF
    crls: Annotated[
        tuple[str, ...],
        Meta(
            description="CRLs, PEM or DER: paths of files, watched, or http(s) URLs, fetched again every max_age and "
            "before nextUpdate.",
            examples=[["ca.crl", "http://crl.example/ca.crl"]],
        ),
    ] = ()
    ocsp: Annotated[
        tuple[str, ...],
        Meta(description="OCSP responders to ask, by URL.", examples=[["http://ocsp.example"]]),
    ] = ()
    from_certificates: Annotated[
        bool,
        Meta(
            description="Whether the CRLs and responders that a certificate names are asked too, once its chain is "
            "trusted."
        ),
    ] = False
    max_age: Annotated[
        Seconds,
        Meta(
            description="Seconds after which URLs and responders are asked again, even if what they said holds "
            "longer; what has no nextUpdate counts no more then."
        ),
    ] = 3600
    max_crl_bytes: Annotated[
        int, Meta(ge=1024, le=134217728, description="Bytes of one CRL; a larger one is not read.")
    ] = 16777216

    @property
    def crl_files(self) -> tuple[Path, ...]:
        """The files among `crls`."""
        return tuple(Path(each) for each in self.crls if "://" not in each)

    @property
    def crl_urls(self) -> tuple[str, ...]:
        """The URLs among `crls`."""
        return tuple(each for each in self.crls if "://" in each)


class Fetch(Section, frozen=True, kw_only=True):
    """How the server fetches what others publish: jwks_uri, CRLs, OCSP."""

    private_addresses: Annotated[
        bool,
        Meta(
            description="Whether addresses that are not public may be connected to: loopback, private, link-local and "
            "the like."
        ),
    ] = False
    timeout: Annotated[
        Seconds,
        Meta(
            description="Seconds one fetch may take, from the first packet to the last byte; and as long again before, "
            "for the name and for its turn among others."
        ),
    ] = 5
    ca: Annotated[
        Path | None,
        Meta(
            description="PEM file of the CAs that vouch for https servers; the system's if absent.",
            examples=["internal-ca.pem"],
        ),
    ] = None
